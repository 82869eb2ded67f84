package appliance

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/feed"
	"larkspur/engine/trigger"
	"larkspur/ui"
	"larkspur/ui/desk"
)

const (
	// watchEvery is how often sensors are looked at for what the log should say.
	watchEvery = 10 * time.Second
	// firstSilence is after how long a sensor that never saw anything is told of,
	// longSilence after how long one that did.
	firstSilence = 5 * time.Minute
	longSilence  = time.Hour
	// freshLoss is for how long a loss is a warning; afterwards it is a number.
	freshLoss = time.Hour
)

func (a *Appliance) sensorsHealth() ui.Check {
	c := ui.Check{Name: "sensors", Status: desk.HealthOK}
	if len(a.sensors) == 0 {
		c.Message = "none is configured"
	}
	for _, s := range a.sensors {
		c.Children = append(c.Children, s.health())
	}
	return c
}

// health tells how a sensor fares; every loss is counted and shown.
func (s *sensor) health() ui.Check {
	st := s.stats()
	c := ui.Check{Name: s.name, Status: desk.HealthOK, Message: fmt.Sprintf("%d %s, %d DNS messages, %d matched a rule, %d recorded",
		st.Capture.Source.Frames, cmp.Or(s.unit, "frames"), st.Capture.Messages, st.Matched, st.Delivered)}
	if len(s.lives) > 0 {
		c.Message += s.way()
		c.Children = append(c.Children, s.interfaceHealth(st)...)
	}
	if behind := st.Capture.Source.Behind; behind > 0 {
		c.Message += fmt.Sprintf("; %d bytes still to be read", behind)
	}
	s.mu.Lock()
	failed := s.failed
	s.mu.Unlock()
	if failed != nil {
		c.Status, c.Message, c.Hint = desk.HealthFail, c.Message+"; it stopped: "+failed.Error(), engine.AsError(failed).Hint
	}
	return with(c, s.lossHealth(st), directionHealth(st, len(s.lives) > 0), undecodableHealth(st))
}

// with adds those of some checks that have something to say.
func with(c ui.Check, checks ...ui.Check) ui.Check {
	for _, child := range checks {
		if child.Name != "" {
			c.Children = append(c.Children, child)
		}
	}
	return c
}

// way says how frames come; nothing while there is no interface.
func (s *sensor) way() string {
	bytes, away := 0, false
	for _, l := range s.lives {
		state := l.State()
		bytes, away = bytes+state.RingBytes, away || state.Away
	}
	switch {
	case away:
		return ""
	case bytes == 0:
		return "; without a ring"
	case len(s.lives) > 1:
		return fmt.Sprintf("; %d readers with rings of %d MB in all", len(s.lives), bytes>>20)
	}
	return fmt.Sprintf("; a ring of %d MB", bytes>>20)
}

// interfaceHealth tells what is wrong with the interface.
func (s *sensor) interfaceHealth(st trigger.DNSStats) (checks []ui.Check) {
	states := make([]capture.LiveState, len(s.lives))
	last := time.Time{}
	for i, l := range s.lives {
		states[i] = l.State()
		if states[i].LastFrame.After(last) {
			last = states[i].LastFrame
		}
	}
	state := states[0]
	switch {
	case state.Away:
		checks = append(checks, warn("away", fmt.Sprintf("there is no interface %s; it is waited for", s.name), "ip link shows the interfaces that are there"))
	case state.Down:
		checks = append(checks, warn("down", "the interface is switched off", "ip link set "+s.name+" up"))
	case state.NoCarrier:
		checks = append(checks, warn("no link", "nothing is connected to the interface, or its other end is off", "look at the cable and at the port of the switch"))
	default:
		checks = append(checks, s.silence(last)...)
	}
	if state.NoRing != "" {
		checks = append(checks, warn("no ring", "each frame costs a system call, so that fewer can come in a second: "+state.NoRing,
			"a smaller ring may be had (ring: 8MB); some containers allow none"))
	}
	return checks
}

// silence tells when an interface that is up shows nothing.
func (s *sensor) silence(last time.Time) []ui.Check {
	s.mu.Lock()
	began := s.began
	s.mu.Unlock()
	now := s.clock.Now()
	const hint = "look at the mirroring of the switch; tcpdump -i NAME port 53 shows whether anything comes"
	switch {
	case began.IsZero():
	case last.IsZero() && now.Sub(began) >= firstSilence:
		return []ui.Check{warn("silent", "the interface is up, and no DNS has come since the start", strings.Replace(hint, "NAME", s.name, 1))}
	case !last.IsZero() && now.Sub(last) >= longSilence && now.Sub(began) >= longSilence:
		return []ui.Check{warn("silent", "the interface is up, and no DNS has come since "+minute(last), strings.Replace(hint, "NAME", s.name, 1))}
	}
	return nil
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func warn(name, message, hint string) ui.Check {
	return ui.Check{Name: name, Status: desk.HealthWarn, Message: message, Hint: hint}
}

// lossHealth tells what was lost: a warning as long as it is fresh, then a number.
func (s *sensor) lossHealth(st trigger.DNSStats) ui.Check {
	total, parts := lost(st)
	if len(parts) == 0 {
		return ui.Check{}
	}
	c := ui.Check{Name: "losses", Status: desk.HealthOK, Message: strings.Join(parts, "; ")}
	if total == 0 {
		return c
	}
	at := s.lossSeen(total)
	c.Message += "; last grown " + minute(at)
	if s.clock.Now().Sub(at) < freshLoss {
		c.Status = desk.HealthWarn
		if st.Capture.Source.KernelDropped > 0 {
			c.Hint = "a larger ring (ring: 64MB) bridges longer bursts; fanout: 2 reads with two processors"
		}
	}
	return c
}

// lossSeen notes how many losses there are, and returns when they last grew.
func (s *sensor) lossSeen(total uint64) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if total != s.losses {
		s.losses, s.lossAt = total, s.clock.Now()
	}
	return s.lossAt
}

// lossNames say what is counted under each reason. Those that are usual happen in
// any capture, and worry nobody.
var lossNames = []struct {
	reason, name string
	usual        bool
}{
	{lossKernel, "frames that the kernel dropped, because they came faster than they were read", false},
	{lossRing, "frames in damaged blocks of the ring", false},
	{capture.FragmentsFull.String(), "fragments given up for want of room", false},
	{capture.StreamsFull.String(), "TCP streams given up for want of room", false},
	{capture.StreamGap.String(), "gaps in TCP streams", false},
	{feed.FeedFull, "dnstap frames that came faster than they were read", false},
	{feed.PendingFull, "queries forgotten before their answers came, for want of room", false},
	{feed.MissedRotation, "times that a log was replaced before it was read to its end", false},
	{feed.TooLong, "lines or frames that are too long", false},
	{trigger.DropQueueFull, "events not recorded, because they came too fast", false},
	{trigger.DropStopped, "events not recorded, because Larkspur stopped", false},
	{engine.CauseNoRoom, "events not recorded, because the disk is full", false},
	{capture.FragmentsLate.String(), "fragments whose rest did not come", true},
	{feed.HalfLine, "lines of a log that were never ended", true},
	{capture.StreamsLate.String(), "TCP streams that ended within a message", true},
	{capture.MidStream.String(), "pieces of TCP streams that began before the capture", true},
}

// Reasons of losses that have no name of their own.
const (
	lossKernel = "kernel"
	lossRing   = "ring_broken"
)

// losses are all losses by reason; those that always count are there even when
// nothing was lost.
func losses(st trigger.DNSStats) map[string]uint64 {
	all := map[string]uint64{lossKernel: st.Capture.Source.KernelDropped, lossRing: st.Capture.Source.RingBroken, trigger.DropQueueFull: 0}
	for _, some := range []map[string]uint64{st.Capture.Lost, st.Dropped} {
		for reason, n := range some {
			all[reason] += n
		}
	}
	return all
}

// lost says in words what was lost, and how much of it should worry somebody.
func lost(st trigger.DNSStats) (total uint64, parts []string) {
	all := losses(st)
	say := func(name string, n uint64) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", name, n))
		}
	}
	for _, l := range lossNames {
		say(l.name, all[l.reason])
		if !l.usual {
			total += all[l.reason]
		}
		delete(all, l.reason)
	}
	for _, reason := range sortedKeys(all) {
		say("events not recorded, "+strings.ReplaceAll(reason, "_", " "), all[reason])
		total += all[reason]
	}
	say("the ring was full, times", st.Capture.Source.RingFrozen)
	return total, parts
}

// directionHealth tells when one direction of an interface is not mirrored. A log
// may well have one alone.
func directionHealth(st trigger.DNSStats, live bool) ui.Check {
	if st.Capture.Pairing == nil || !live {
		return ui.Check{}
	}
	other := map[string]string{"queries": "responses", "responses": "queries"}[st.Capture.Pairing.OneDirection]
	if other == "" {
		return ui.Check{}
	}
	return warn("one direction", fmt.Sprintf("nearly all messages are %s: the %s are not mirrored, or lost before they come here", st.Capture.Pairing.OneDirection, other),
		"mirror both directions (rx and tx) of the port, or the port of the resolver")
}

// undecodableHealth tells what could not be decoded. That is strangers' doing and
// no warning.
func undecodableHealth(st trigger.DNSStats) ui.Check {
	var parts []string
	for _, reason := range sortedKeys(st.Capture.Undecodable) {
		parts = append(parts, fmt.Sprintf("%s: %d", strings.ReplaceAll(reason, "_", " "), st.Capture.Undecodable[reason]))
	}
	if len(parts) == 0 {
		return ui.Check{}
	}
	return ui.Check{Name: "undecodable", Status: desk.HealthOK, Message: strings.Join(parts, "; ")}
}

// watch says in the log, once each, what the status page warns of.
func (s *sensor) watch(ctx context.Context) error {
	s.mu.Lock()
	s.began = s.clock.Now()
	s.mu.Unlock()
	told := map[string]bool{}
	for {
		s.tell(told)
		if err := s.clock.Sleep(ctx, watchEvery); err != nil {
			return nil
		}
	}
}

// tell logs the warnings that are new, and those that are over.
func (s *sensor) tell(told map[string]bool) {
	now := map[string]bool{}
	for _, c := range s.health().Children {
		if c.Status == desk.HealthOK {
			continue
		}
		now[c.Name] = true
		if !told[c.Name] {
			slog.Warn("a sensor wants a look", "sensor", s.name, "what", c.Name, "message", c.Message, "hint", c.Hint)
		}
		told[c.Name] = true
	}
	for name := range told {
		if !now[name] {
			slog.Info("a sensor is well again", "sensor", s.name, "what", name)
			delete(told, name)
		}
	}
}
