package appliance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/trigger"
	"larkspur/ui"
	"larkspur/ui/desk"
)

// counted yields no messages, and the counters of a test.
type counted struct{ stats capture.Stats }

func (c *counted) Next(ctx context.Context) (*capture.Message, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (c *counted) Stats() capture.Stats { return c.stats }

// set is a clock that stands where a test sets it.
type set struct{ now time.Time }

func (s *set) Now() time.Time { return s.now }

func (s *set) Sleep(ctx context.Context, _ time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}

func countedSensor(stats capture.Stats) (*sensor, *counted, *set) {
	c, clock := &counted{stats}, &set{time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)}
	s := &sensor{name: "eth1", clock: clock, began: clock.now}
	s.add(trigger.NewDNS(trigger.DNSConfig{Name: "eth1", Messages: c}), nil)
	return s, c, clock
}

// told writes the checks below a node, one a line.
func told(c ui.Check) string {
	var lines []string
	for _, child := range c.Children {
		lines = append(lines, fmt.Sprintf("%s %s: %s", child.Status, child.Name, child.Message))
	}
	return strings.Join(lines, "\n")
}

func TestSensorLosses(t *testing.T) {
	s, c, clock := countedSensor(capture.Stats{Messages: 3})
	if h := s.health(); h.Status != desk.HealthOK || len(h.Children) != 0 || !strings.Contains(h.Message, "3 DNS messages") {
		t.Errorf("nothing lost: got %+v", h)
	}
	c.stats.Lost = map[string]uint64{"fragments_full": 2, "mid_stream": 1}
	c.stats.Undecodable = map[string]uint64{"bad_question": 4}
	c.stats.Source = capture.SourceStats{KernelDropped: 7, RingFrozen: 1}
	clock.now = clock.now.Add(time.Minute)
	want := "warn losses: frames that the kernel dropped, because they came faster than they were read: 7; fragments given up for want of room: 2; " +
		"pieces of TCP streams that began before the capture: 1; the ring was full, times: 1; last grown 2026-11-22 20:01 UTC\n" +
		"ok undecodable: bad question: 4"
	if got := told(s.health()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	clock.now = clock.now.Add(freshLoss)
	if got := s.health(); got.Worst() != desk.HealthOK || !strings.Contains(told(got), "last grown 2026-11-22 20:01 UTC") {
		t.Errorf("an hour later: got %s", told(got))
	}
}

// TestEveryLossHasAName: a reason that is lost is told, whatever it is.
func TestEveryLossHasAName(t *testing.T) {
	st := trigger.DNSStats{Dropped: map[string]uint64{"unavailable": 1, trigger.DropQueueFull: 1, trigger.DropStopped: 1, engine.CauseNoRoom: 1}}
	st.Capture.Lost = map[string]uint64{}
	for r := capture.Reason(0); r.String() != "unknown"; r++ {
		if r.Class() == capture.Lost {
			st.Capture.Lost[r.String()] = 1
		}
	}
	total, parts := lost(st)
	if len(parts) != len(st.Dropped)+len(st.Capture.Lost) || total != uint64(len(parts))-3 {
		t.Errorf("got %d that worry of %d: %q", total, len(parts), parts)
	}
	for _, s := range parts {
		if strings.HasPrefix(s, "events not recorded, ") && strings.Contains(s, "stream") {
			t.Errorf("got %q: the reason is no loss of an event", s)
		}
	}
}

func TestSensorDirection(t *testing.T) {
	for seen, other := range map[string]string{"queries": "responses", "responses": "queries"} {
		st := trigger.DNSStats{Capture: capture.Stats{Pairing: &capture.PairingStats{OneDirection: seen}}}
		c := directionHealth(st, true)
		if c.Status != desk.HealthWarn || !strings.HasPrefix(c.Message, "nearly all messages are "+seen+": the "+other) {
			t.Errorf("%s: got %+v", seen, c)
		}
		if c := directionHealth(st, false); c.Name != "" {
			t.Errorf("of a log: got %+v", c)
		}
	}
	if c := directionHealth(trigger.DNSStats{Capture: capture.Stats{Pairing: &capture.PairingStats{}}}, true); c.Name != "" {
		t.Errorf("both: got %+v", c)
	}
}

func TestSensorSilence(t *testing.T) {
	s, _, clock := countedSensor(capture.Stats{})
	began := clock.now
	for _, test := range []struct {
		last, now time.Duration // since the start; 0: never
		want      string
	}{
		{0, firstSilence - 1, ""},
		{0, firstSilence, "no DNS has come since the start"},
		{time.Minute, longSilence, ""},
		{time.Minute, longSilence + time.Minute, "no DNS has come since 2026-11-22 20:01 UTC"},
	} {
		clock.now = began.Add(test.now)
		last := time.Time{}
		if test.last > 0 {
			last = began.Add(test.last)
		}
		got := told(ui.Check{Children: s.silence(last)})
		if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("%v after %v: got %q, want %q", test.now, test.last, got, test.want)
		}
	}
}

func TestSensorMeters(t *testing.T) {
	s, c, _ := countedSensor(capture.Stats{Queries: 2, Responses: 1, Undecodable: map[string]uint64{"bad_udp": 5}})
	c.stats.Source = capture.SourceStats{KernelDropped: 7, Frames: 3}
	a := &Appliance{sensors: []*sensor{s}}
	var lines []string
	for _, m := range a.sensorMeters() {
		if (m.Type == "counter") != strings.HasSuffix(m.Name, "_total") || !strings.HasSuffix(m.Help, ".") {
			t.Errorf("got %+v", m)
		}
		for _, sample := range m.Samples {
			lines = append(lines, fmt.Sprint(m.Name, sample.Suffix, sample.Labels, sample.Value))
		}
	}
	for _, want := range []string{
		"dns_frames_total[[sensor eth1]] 3",
		"dns_lost_total[[sensor eth1] [reason kernel]] 7",
		"dns_lost_total[[sensor eth1] [reason queue_full]] 0",
		"dns_messages_total[[sensor eth1] [direction query]] 2",
		"dns_undecodable_total[[sensor eth1] [reason bad_udp]] 5",
		"dns_pairing_total[[sensor eth1] [outcome unanswered]] 0",
		"dns_latency_seconds[[sensor eth1] [quantile 0.99]] 0",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("%s is missing among\n%s", want, strings.Join(lines, "\n"))
		}
	}
}
