package story

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/engine/capture"
	"larkspur/engine/capture/capturetest"
	"larkspur/engine/capture/capturetest/flood"
)

// TestNetflixBesideAFlood plays the story while other DNS passes the same cable:
// RATE frames a second for SECONDS. Nothing may be lost at any stage. `make wire`
// asks for more than the few that a test among others sends.
func TestNetflixBesideAFlood(t *testing.T) {
	if os.Getenv(inside) == "" {
		enclosed(t, "TestNetflixBesideAFlood")
		return
	}
	w := wire(t, "  - dns: {interface: span0}\n")
	passed := w.span.flood(t)
	w.play(t, w.showWire)
	w.wantStory(t, w.alive, "span0")
	sent, rate := passed()
	w.wantNoLoss(t, "span0", sent+2*len(lookups(t)))
	t.Logf("%d frames passed, %.0f a second", sent, rate)
}

// asked returns a number from the environment.
func asked(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// flood begins to send other DNS over the cable, RATE frames a second for SECONDS.
// It returns once some of it has passed; passed waits for the end, and returns how
// many frames were sent and how fast.
func (s span) flood(t *testing.T) (passed func() (int, float64)) {
	t.Helper()
	rate, seconds := asked(t, "RATE", 20_000), asked(t, "SECONDS", 2)
	frames := flood.Frames(capturetest.TrafficOptions{Packets: min(60_000, rate), Other: -1})
	sender, err := flood.Open(farEnd, frames)
	must(t, err)
	t.Cleanup(func() { sender.Close() })
	var (
		sending sync.WaitGroup
		sent    int
		took    time.Duration
	)
	some, _, err := sender.Send(context.Background(), rate, rate/10)
	must(t, err)
	sending.Go(func() {
		capture.Precede() // what else this machine does shall not thin it out
		sent, took, err = sender.Send(t.Context(), rate, rate*seconds)
	})
	return func() (int, float64) {
		sending.Wait()
		must(t, err)
		return some + sent, float64(sent) / took.Seconds()
	}
}

// lossOf is a counter of losses of a sensor.
var lossOf = regexp.MustCompile(`(?m)^larkspur_dns_(?:lost|undecodable|ring_freezes|outages)_total\{sensor="([^"]*)".*\} (\d+)$`)

// wantNoLoss wants a sensor to have read so many frames, and no counter of losses
// of any sensor to be other than zero.
func (w *wired) wantNoLoss(t *testing.T, sensor string, frames int) {
	t.Helper()
	var text string
	read := fmt.Sprintf("larkspur_dns_frames_total{sensor=%q} %d\n", sensor, frames)
	err := eventually(w.alive, func() bool {
		var err error
		_, text, err = visitAs(t, w.url+"/metrics", apiToken)
		must(t, err)
		return strings.Contains(text, read) || len(lost(text)) > 0
	})
	if err != nil || len(lost(text)) > 0 {
		t.Errorf("want %d frames and no loss, got %v: %v\n%s", frames, err, lost(text), dnsLines(text))
	}
	if strings.Count(text, "larkspur_dns_lost_total{") < 2 {
		t.Errorf("no counters of losses in\n%s", dnsLines(text))
	}
}

// lost are the counters of losses that are not zero.
func lost(metrics string) (lines []string) {
	for _, m := range lossOf.FindAllStringSubmatch(metrics, -1) {
		if m[2] != "0" {
			lines = append(lines, m[0])
		}
	}
	return lines
}

func dnsLines(metrics string) string {
	var lines []string
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "larkspur_dns_") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
