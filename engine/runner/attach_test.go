package runner_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

const attaches = `
def f(i, word):
    sim.put("first " + i.event.client)
    sleep("10h")

def more(i, e, word):
    sim.put("%s %s after %s" % (word, e.client, i.event.client))
    if e.client == "c2":
        fail("no")
    sleep("1h")
    sim.put("done " + e.client)
`

// attach offers the n-th event of an incident that is open.
func (b *box) attach(n int) record.Outcome {
	b.t.Helper()
	fields := engine.MustEncode(map[string]engine.Value{"client": fmt.Sprint("c", n)})
	e := b.append(0, record.EventSeenKind, record.EventSeen{Kind: "dns", Source: "eth1", Time: b.clock.Now(), Fields: fields})
	return b.append(0, record.EventMatchedKind, record.EventMatched{
		Rule: "r", Event: e.Event, EventKind: "dns", EventTime: b.clock.Now(), Fields: fields, Offer: e.Event, Bundle: b.bundle, Mode: "live",
		Severity: "low", Type: "t", Title: "T", DedupSet: true, Do: engine.Handler{File: "a.star", Name: "f"},
		OnAttach: &engine.Handler{File: "a.star", Name: "more"}, Args: engine.MustEncode(map[string]engine.Value{"word": "more"}),
	})
}

// attachRuns lists the runs of on_attach, the oldest first.
func (b *box) attachRuns() (list []engine.Run) {
	b.t.Helper()
	runs, _, err := b.state.Runs(engine.RunFilter{}, "", 100)
	must(b.t, err)
	for k := len(runs) - 1; k >= 0; k-- {
		if runs[k].Purpose == state.PurposeAttach {
			list = append(list, runs[k])
		}
	}
	return list
}

// TestLaterEventsAreHandledInOrder: one at a time, beside the main run, also when
// one of them fails; do runs once.
func TestLaterEventsAreHandledInOrder(t *testing.T) {
	t.Parallel()
	b := playbook(t, attaches)
	first := b.attach(0)
	b.status(first.Run, engine.RunWaiting)
	for n := 1; n <= 4; n++ {
		if o := b.attach(n); o.Action != state.Attached || o.Run == "" || o.Incident != first.Incident {
			t.Fatalf("got %+v, want a run of on_attach", o)
		}
	}
	want := []string{"sim.put first c0"}
	for n := 1; n <= 4; n++ {
		want = append(want, fmt.Sprintf("sim.put more c%d after c0", n))
		if n == 2 {
			continue // it fails, and the next begins
		}
		run := b.attachRuns()[n-1].ID
		b.bell.until(t, "it sleeps", func() bool { return strings.HasPrefix(b.run(run).Waits, "until") })
		equal(t, "calls", b.world.did("sim.put"), want)
		if n < 4 && n != 1 {
			if r := b.attachRuns()[n]; r.Status != engine.RunWaiting || r.Waits != "the end of run "+run {
				t.Errorf("got %+v, want it to wait for %s", r, run)
			}
		}
		b.reopen()
		b.advance(time.Hour)
		want = append(want, fmt.Sprint("sim.put done c", n))
		b.status(run, engine.RunDone)
	}
	for n, status := range []string{engine.RunDone, engine.RunFailed, engine.RunDone, engine.RunDone} {
		if r := b.attachRuns()[n]; r.Status != status {
			t.Errorf("run %d: got %s, want %s", n, r.Status, status)
		}
	}
	b.status(first.Run, engine.RunWaiting)
	b.rebuilds()
}

// TestClosingEndsWhatLaterEventsWaitFor: and those that come later have nothing to
// wait for.
func TestClosingEndsWhatLaterEventsWaitFor(t *testing.T) {
	t.Parallel()
	b := playbook(t, attaches)
	first := b.attach(0)
	b.attach(1)
	b.attach(3)
	b.bell.until(t, "the handler sleeps", func() bool { return strings.HasPrefix(b.attachRuns()[0].Waits, "until") })
	if d, err := b.runner.CloseIncident(t.Context(), first.Incident, "enough", "resolved", "ana"); err != nil || !d.Applied {
		t.Fatalf("got %+v, %v", d, err)
	}
	for _, r := range b.attachRuns() {
		b.status(r.ID, engine.RunDone)
	}
	b.status(first.Run, engine.RunDone)
	for _, call := range b.world.did("sim.put") {
		if strings.Contains(call, "done") {
			t.Errorf("got %q after the incident was closed", call)
		}
	}
	if o := b.attach(5); o.Action != state.Opened {
		t.Errorf("got %+v, want a new incident", o)
	}
}
