package runner_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

const remembers = `
def f(i):
    n = state.get("visits", 0)
    state.set("visits", n + 1)
    state.set("who", {"name": "ana", "seen": [now()]}, expires = "2h")
    i.set(n = n, own = state.get("visits"), who = state.get("who")["name"], none = state.get("nothing"))
    sleep("1h")
    state.set("visits", state.get("visits") + 10)
    sleep("1h")
    i.set(later = state.get("visits"), gone = state.get("who", "gone"))
    state.set("visits", None)
    i.set(removed = state.get("visits", "removed"))
`

// TestStateIsKeptOnce: in every shard, and whatever is replayed.
func TestStateIsKeptOnce(t *testing.T) {
	for _, shards := range []int{1, 8} {
		t.Run(fmt.Sprint(shards), func(t *testing.T) {
			t.Parallel()
			b := playbookWith(t, boxConfig{shards: shards}, remembers)
			incident, run := b.start()
			for _, until := range []string{"until 2026-11-22T09:00:00Z", "until 2026-11-22T10:00:00Z"} {
				b.bell.until(t, until, func() bool { return b.run(run).Waits == until })
				b.reopen()
				b.advance(time.Hour)
			}
			b.status(run, engine.RunDone)
			b.facts(incident, map[string]engine.Value{
				"n": int64(0), "own": int64(1), "who": "ana", "none": nil, "later": int64(11), "gone": "gone", "removed": "removed",
			})
			b.rebuilds()
		})
	}
}

// TestACrashSetsStateOnce: wherever the power goes out.
func TestACrashSetsStateOnce(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		for n := 2; n < 10; n++ {
			b := playbookWith(t, boxConfig{shards: shards}, "def f(i):\n    for n in range(3):\n        state.set('n', state.get('n', 0) + 1)\n        sim.tag('x')\n    i.set(n = state.get('n'))\n")
			b.power.after(n+1, true)
			e := b.append(0, record.EventSeenKind, record.EventSeen{Kind: "dns", Source: "eth1", Time: b.clock.Now()})
			_, _ = b.offer(0, record.EventMatchedKind, record.EventMatched{
				Rule: "r", Event: e.Event, Offer: "o", Bundle: b.bundle, Mode: "live", Severity: "low", Type: "t", Title: "T",
				Do: engine.Handler{File: "a.star", Name: "f"},
			})
			b.drive()
			b.reopen()
			b.status("r0-1", engine.RunDone)
			if got := b.fact("i0-1", "n"); got != int64(3) {
				t.Errorf("%d shards, crash at commit %d: got %v, want 3", shards, n, got)
			}
			b.close()
		}
	}
}

func TestWrongMemories(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"state.set('', 1)":                "state.set: key: got 0 bytes, want 1 to 200",
		"state.get('x' * 300)":            "state.get: key: got 300 bytes",
		"state.set('k', 'x' * 70000)":     "bytes of arguments, at most 65536",
		"random.int(2, 1)":                "random.int: got 2 to 1",
		"random.choice([])":               "there is none to choose",
		"continue_as(f, args = {'x': 1})": "f has no parameter x",
	} {
		b := playbook(t, "def f(i):\n    "+source+"\n")
		_, run := b.start()
		if r := b.status(run, engine.RunFailed); !strings.Contains(r.Error.Message, want) {
			t.Errorf("%s: got %s, want %s", source, describe(r.Error), want)
		}
	}
}

// TestChanceIsRecorded: a replay sees what the run saw.
func TestChanceIsRecorded(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    seen = [random.int(1, 6), random.float(), random.choice(["a", "b"]), random.shuffle([1, 2, 3]), today()]
    i.set(before = seen)
    sleep("20h")
    i.set(after = seen, day = today())
`)
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.reopen()
	b.advance(20 * time.Hour)
	b.status(run, engine.RunDone)
	before, after := fmt.Sprint(b.fact(incident, "before")), fmt.Sprint(b.fact(incident, "after"))
	if before != after || !strings.Contains(before, "2026-11-22 00:00:00") {
		t.Errorf("got %s, then %s", before, after)
	}
	if got := fmt.Sprint(b.fact(incident, "day")); got != "2026-11-23 00:00:00 +0000 UTC" {
		t.Errorf("got the day %s", got)
	}
}

// TestALongLoopContinues: each run has a journal of its own, and one after the
// other goes on.
func TestALongLoopContinues(t *testing.T) {
	t.Parallel()
	b := playbookWith(t, boxConfig{steps: 8}, `
def f(i, round = 0):
    for n in range(4):
        sim.put("%d %d" % (round, n))
    if round < 3:
        attempt(lambda: continue_as(f, args = {"round": round + 1}))
        sim.put("never")
    i.set(client = i.event.client)
    i.close("after %d rounds" % round)
`)
	incident, run := b.start()
	b.bell.until(t, "the incident is closed", func() bool { return b.incident(incident).Status == engine.IncidentClosed })
	b.status(run, engine.RunDone)
	if got := len(b.world.did("sim.put")); got != 16 {
		t.Errorf("got %d calls, want 16: %v", got, b.world.did("sim.put"))
	}
	if i := b.incident(incident); i.Reason != "after 3 rounds" || b.fact(incident, "client") != "192.0.2.7" {
		t.Errorf("got %+v", i)
	}
	runs, _, err := b.state.Runs(engine.RunFilter{Incident: incident}, "", 10)
	must(t, err)
	for k, r := range runs { // newest first
		if r.Status != engine.RunDone || k+1 < len(runs) && r.Parent != runs[k+1].ID {
			t.Errorf("got %+v", r)
		}
	}
	b.rebuilds()
}

// TestAJobThatContinuesDoesNotOverlap: its next firing waits for the last run.
func TestAJobThatContinuesDoesNotOverlap(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def g():\n    continue_as(h)\n\ndef h():\n    sleep('1h')\n")
	fire := func(n int) record.Outcome {
		return b.append(0, record.JobFiredKind, record.JobFired{
			Job: "j", Bundle: b.bundle, Mode: "live", Do: engine.Handler{File: "a.star", Name: "g"}, Instant: b.clock.Now().Add(time.Duration(n)), Offer: fmt.Sprint(n),
		})
	}
	first := fire(1)
	b.status(first.Run, engine.RunDone)
	b.status("r0-2", engine.RunWaiting)
	if o := fire(2); o.Applied {
		t.Errorf("got %+v, want it refused: the run before goes on", o)
	}
	b.advance(time.Hour)
	b.status("r0-2", engine.RunDone)
	if o := fire(3); !o.Applied {
		t.Errorf("got %+v", o)
	}
}

func TestAParallelCannotContinue(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def g(i):\n    pass\n\ndef f(i):\n    parallel(lambda: continue_as(g), lambda: sim.tag('x'))\n")
	_, run := b.start()
	if r := b.status(run, engine.RunFailed); !strings.Contains(r.Error.Message, "call it after the parallel") {
		t.Errorf("got %s", describe(r.Error))
	}
}
