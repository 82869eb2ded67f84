package runner_test

import (
	"context"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

const expecting = `
def f(i):
    e = expect(on.webhook("probe", match = {"id": "7"}), timeout = "2h", take = True)
    sim.put("shoot")
    ask("dave", "before", choices = ["go"])
    got = e.wait()
    again = e.wait()
    i.set(got = got.fields["id"] if got else None, again = again.id if again else None, elapsed = str(e.elapsed))
`

// comes brings an event that step 1 of a run expects.
func (b *box) comes(run, offer string) record.Outcome {
	b.t.Helper()
	e := b.append(0, record.EventSeenKind, record.EventSeen{Kind: "webhook", Source: "probe", Time: b.clock.Now(), Fields: engine.MustEncode(map[string]engine.Value{"id": int64(7)})})
	return b.append(0, record.EventExpectedKind, record.EventExpected{
		Event: e.Event, EventKind: "webhook", EventTime: b.clock.Now(), Fields: engine.MustEncode(map[string]engine.Value{"id": int64(7)}),
		Offer: offer, Run: run, Seen: b.clock.Now(), Source: "probe", Step: "1",
	})
}

// TestAnEventIsExpected: before the run waits for it, while it does, after a restart
// of the process, or never.
func TestAnEventIsExpected(t *testing.T) {
	tests := []struct {
		name         string
		early, later bool
		got          engine.Value
		elapsed      string
	}{
		{"before wait", true, false, int64(7), "10m"},
		{"while it waits", false, true, int64(7), "20m"},
		{"never", false, false, nil, "2h"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, expecting)
			incident, run := b.start()
			b.waits(run, "an answer")
			list, err := b.state.Expectations()
			must(t, err)
			if len(list) != 1 || list[0].Run != run || list[0].Trigger.Kind != "webhook" || list[0].Trigger.Match["id"] != "7" {
				t.Fatalf("got %+v", list)
			}
			b.clock.set(b.clock.Now().Add(10 * time.Minute))
			if tt.early {
				if o := b.comes(run, "a"); !o.Applied || o.Action != state.ExpectedTaken {
					t.Fatalf("got %+v", o)
				}
				if o := b.comes(run, "b"); o.Applied {
					t.Errorf("a second one: got %+v", o)
				}
			}
			b.reopen()
			b.asked("before", "go")
			if !tt.early {
				b.waits(run, "an event of on.webhook")
				b.reopen()
			}
			if tt.later {
				b.clock.set(b.clock.Now().Add(10 * time.Minute))
				b.comes(run, "a")
				if o := b.comes(run, "a"); o.Applied || o.Action != state.ExpectedTaken {
					t.Errorf("offered twice: got %+v", o)
				}
			} else if !tt.early {
				b.advance(2 * time.Hour)
			}
			b.status(run, engine.RunDone)
			b.facts(incident, map[string]engine.Value{"got": tt.got, "elapsed": tt.elapsed})
			if again := b.fact(incident, "again"); (again != nil) != (tt.got != nil) {
				t.Errorf("waited for again: got %v", again)
			}
			if list, _ := b.state.Expectations(); len(list) != 0 {
				t.Errorf("afterwards: got %+v", list)
			}
			if o := b.comes(run, "late"); o.Applied {
				t.Errorf("after the run: got %+v", o)
			}
			b.rebuilds()
		})
	}
}

// TestAnExpectationIsRestarted: an event that came after the place of the restart is
// forgotten, and waited for with all of the time.
func TestAnExpectationIsRestarted(t *testing.T) {
	t.Parallel()
	b := playbook(t, expecting)
	incident, run := b.start()
	b.waits(run, "an answer")
	b.comes(run, "a")
	b.asked("before", "go")
	b.status(run, engine.RunDone)
	b.clock.set(b.clock.Now().Add(5 * time.Hour))
	b.restart(run, engine.RestartRequest{Step: "2", By: "ana"})
	b.asked("before", "go")
	b.waits(run, "an event of on.webhook")
	b.clock.set(b.clock.Now().Add(time.Hour))
	b.comes(run, "b")
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"got": int64(7), "elapsed": "1h"})
	b.restart(run, engine.RestartRequest{Step: "5", By: "ana"}) // the event was there before
	b.bell.until(t, "it is done again", func() bool { r := b.run(run); return r.Generation == 3 && r.Status == engine.RunDone })
	b.rebuilds()
}

// TestExpectationsEnd: closing the incident ends the wait; an attempt's time bounds
// it; in shadow mode nothing is expected; there are not too many.
func TestExpectationsEnd(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    e = expect(on.dns("example.org", rcodes = ["NXDOMAIN"]))
    a = attempt(e.wait, timeout = "1h")
    p = parallel(lambda: attempt(e.wait).error, lambda: 7)
    i.set(kind = a.error.kind, closed = p[0].kind)

def many(i):
    for n in range(100):
        expect(on.webhook("probe"), "1h")
    a = attempt(lambda: expect(on.webhook("probe")))
    i.set(message = a.error.message)

def shadow(i):
    e = expect(on.webhook("probe"))
    i.set(got = e.wait(), elapsed = str(e.elapsed))
`)
	incident, run := b.start()
	b.waits(run, "an event of on.dns")
	b.advance(time.Hour)
	b.bell.until(t, "it waits again", func() bool { return len(b.steps(run)) > 4 && b.run(run).Status == engine.RunWaiting })
	b.did(b.runner.CloseIncident(context.Background(), incident, "x", "", "ana"))
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"kind": "timeout", "closed": "closed"})
	play := func(name, mode string) (string, string) {
		return b.startWith(record.EventMatched{Do: engine.Handler{File: "a.star", Name: name}, Mode: mode})
	}
	incident, run = play("many", "live")
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"message": "expect: the run expects 100 events already"})
	incident, run = play("shadow", "shadow")
	b.status(run, engine.RunDone)
	b.rebuilds()
}
