package runner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
)

// commits counts the commits that a run needs after its start.
func (b *box) commits() int {
	b.t.Helper()
	before := b.power.count()
	b.play()
	return b.power.count() - before - 2 // the event and its match
}

func TestCommitsOfARun(t *testing.T) {
	tests := []struct {
		name, source string
		want         int
	}{
		{"reads alone", "def f(i):\n    for n in range(20):\n        sim.read(str(n))\n    now()\n    print('x')\n", 1},
		{"nothing", "def f(i):\n    pass\n", 1},
		{"five effects", "def f(i):\n    for n in range(5):\n        sim.put(str(n))\n", 6},
		{"five repeatable effects", "def f(i):\n    for n in range(5):\n        sim.tag(str(n))\n", 6},
		{"an effect between reads", "def f(i):\n    sim.read('a')\n    sim.put('b')\n    i.set(done = True)\n", 2},
		{"words on the incident", "def f(i):\n    i.set(a = 1)\n    i.note('x')\n    i.close('y')\n", 1},
		{"a read after an effect", "def f(i):\n    sim.put('a')\n    sim.read('b')\n", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := playbook(t, tt.source).commits(); got != tt.want {
				t.Errorf("got %d commits, want %d", got, tt.want)
			}
		})
	}
}

// TestEffectsStandInTheLedgerBefore: when an effect runs, its start is on the
// disk; its result is there when the run is over.
func TestEffectsStandInTheLedgerBefore(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.put('a')\n    sim.tag('b')\n")
	var seen []string
	note := func(_ context.Context, c *engine.Call) (engine.Result, error) {
		for _, s := range b.steps(c.Run) {
			seen = append(seen, s.Builtin+" "+s.Status)
		}
		return engine.Result{Value: "ok"}, nil
	}
	b.world.on("sim.put", note)
	b.world.on("sim.tag", note)
	_, run := b.play()
	equal(t, "steps as the effects saw them", seen, []string{"sim.put started", "sim.put done", "sim.tag started"})
	for _, s := range b.steps(run) {
		if s.Status != engine.StepDone || string(s.Result) != `"ok"` || !strings.HasPrefix(s.At, "scripts/a.star:") {
			t.Errorf("got %+v", s)
		}
	}
}

func TestCallsCarryTheirKeyAndClass(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.read('a')\n    sim.put('b')\n    sim.block('02:00:00:00:00:07', expires = '1h', why = 'homework')\n")
	incident, run := b.play()
	for n, c := range b.world.calls {
		if c.Run != run || c.Incident != incident || c.Key != run+"/1/"+engine.StepID("", n+1) {
			t.Errorf("got call %+v, want the key of step %d", c, n+1)
		}
		if len(c.Args) != 1 {
			t.Errorf("%s: got arguments %v: expires and why are ours", c.Name, c.Args)
		}
	}
	if c := b.world.calls; c[0].Class != engine.Read || c[1].Class != engine.Once {
		t.Errorf("got classes %s and %s", c[0].Class, c[1].Class)
	}
}

func TestErrorsOfSteps(t *testing.T) {
	tests := []struct {
		name, source string
		fault        error
		status       string
		want         string
	}{
		{"uncaught", "def f(i):\n    sim.put('a')\n", engine.Errorf(engine.Denied, "not you"), engine.RunFailed, "denied: not you () at scripts/a.star:2:12"},
		{"caught", "def f(i):\n    r = attempt(lambda: sim.put('a'))\n    i.set(kind = r.error.kind, maybe = r.error.maybe)\n", engine.Errorf(engine.Denied, "not you"), engine.RunDone, ""},
		{"without a kind", "def f(i):\n    sim.put('a')\n", context.DeadlineExceeded, engine.RunFailed, "internal: context deadline exceeded"},
		{"of the script", "def f(i):\n    return 1 // 0\n", nil, engine.RunFailed, "script: floored division by zero"},
		{"fail", "def f(i):\n    fail('no way')\n", nil, engine.RunFailed, "script: no way"},
		{"no such function", "def g(i):\n    pass\n", nil, engine.RunFailed, "f"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, tt.source)
			b.world.on("sim.put", func(context.Context, *engine.Call) (engine.Result, error) { return engine.Result{}, tt.fault })
			incident, run := b.start()
			r := b.settled(run)
			if r.Status != tt.status {
				t.Fatalf("got %s: %s, want %s", r.Status, describe(r.Error), tt.status)
			}
			contains(t, "error", describe(r.Error), tt.want)
			if tt.status == engine.RunFailed {
				contains(t, "story", b.story(incident), "the run failed")
				if b.incident(incident).Status != engine.IncidentOpen {
					t.Error("the incident of a failed run is not open")
				}
			}
		})
	}
}

func TestABundleThatIsBrokenOrGoneFailsTheRun(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    undefined_name()\n")
	_, run := b.start()
	if r := b.settled(run); r.Status != engine.RunFailed || r.Error.At != "scripts/a.star:2:5" {
		t.Errorf("got %s: %s, want failed at the name", r.Status, describe(r.Error))
	}
	b.bundle = "0123456789ab"
	_, run = b.start()
	if r := b.settled(run); r.Status != engine.RunFailed || !strings.Contains(r.Error.Message, "bundle 0123456789ab") {
		t.Errorf("got %s: %s, want failed for the bundle", r.Status, describe(r.Error))
	}
}

func TestNowNeverGoesBack(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    a = now()\n    sim.read('back')\n    b = now()\n    sim.put('x')\n    sleep('1h')\n    i.set(a = a, b = b, c = now(), ordered = a <= b and b <= now())\n")
	begun := b.clock.Now()
	b.world.on("sim.read", func(context.Context, *engine.Call) (engine.Result, error) {
		b.clock.set(begun.Add(-24 * time.Hour))
		return engine.Result{}, nil
	})
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.reopen()
	b.advance(time.Hour)
	b.status(run, engine.RunDone)
	if b.fact(incident, "ordered") != true || b.fact(incident, "c") != begun {
		t.Errorf("got a %v, b %v, c %v, want all of them %v", b.fact(incident, "a"), b.fact(incident, "b"), b.fact(incident, "c"), begun)
	}
}

func TestJournalsAreBounded(t *testing.T) {
	t.Parallel()
	b := playbookWith(t, boxConfig{steps: 25}, "def f(i):\n    for n in range(100):\n        sim.read(str(n))\n")
	_, run := b.start()
	r := b.settled(run)
	if r.Status != engine.RunFailed || r.Error.Kind != engine.Script || r.Error.Cause != "limit" || r.Error.Message != "a run may have 25 steps" || r.Error.Hint == "" {
		t.Errorf("got %s: %s", r.Status, describe(r.Error))
	}
	if got := len(b.world.did("sim.read")); got != 25 {
		t.Errorf("got %d reads, want 25", got)
	}
	b.activate("def f(i):\n    for n in range(24):\n        sim.read(str(n))\n    sleep('1h')\n    print('exactly at the limit? no: one more')\n")
	_, run = b.start()
	b.status(run, engine.RunWaiting)
	b.reopen()
	b.advance(time.Hour)
	if r := b.status(run, engine.RunFailed, engine.RunDone); r.Status != engine.RunFailed || r.Error.Cause != "limit" {
		t.Errorf("after reopening: got %s: %s", r.Status, describe(r.Error))
	}
}

func TestLargeResultsLieAsBlobs(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    r = sim.read('big')\n    sleep('1h')\n    i.set(same = len(r), end = r[-3:])\n")
	b.world.on("sim.read", func(context.Context, *engine.Call) (engine.Result, error) {
		return engine.Result{Value: strings.Repeat("0123456789", 5000) + "end"}, nil
	})
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	if s := b.steps(run)[0]; len(s.Result) != 50005 {
		t.Errorf("got a result of %d bytes, want 50005", len(s.Result))
	}
	b.reopen()
	b.advance(time.Hour)
	b.status(run, engine.RunDone)
	if b.fact(incident, "same") != int64(50003) || b.fact(incident, "end") != "end" {
		t.Errorf("got %v, %v", b.fact(incident, "same"), b.fact(incident, "end"))
	}
	if got := len(b.world.did("sim.read")); got != 1 {
		t.Errorf("got %d reads, want 1", got)
	}
}

// TestArgumentsThatNoRecordHolds: a step that cannot be recorded fails as a step
// does; it does not hold up the run for ever.
func TestArgumentsThatNoRecordHolds(t *testing.T) {
	tests := []struct{ name, call string }{
		{"read", "sim.read('x' * 300000)"},
		{"effect", "sim.put('x' * 300000)"},
		{"question", "ask('dave', 'q?', details = ['x' * 300000])"},
		{"fact", "i.set(a = 'x' * 300000)"},
		{"note", "i.note('x' * 300000)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, "def f(i):\n    r = attempt(lambda: "+tt.call+")\n    i.set(kind = r.error.kind, message = r.error.message)\n")
			incident, _ := b.play()
			if b.fact(incident, "kind") != "invalid" || !strings.Contains(b.fact(incident, "message").(string), "at most") {
				t.Errorf("got %v: %v", b.fact(incident, "kind"), b.fact(incident, "message"))
			}
			if len(b.world.did()) != 0 {
				t.Errorf("got calls %d, want none", len(b.world.did()))
			}
		})
	}
}

// TestManyHeldSteps: what a run holds back is written before it outgrows a frame.
func TestManyHeldSteps(t *testing.T) {
	tests := []struct{ name, source string }{
		{"many small ones", "def f(i):\n    for n in range(1200):\n        now()\n    i.set(end = True)\n"},
		{"large ones", "def f(i):\n    for n in range(40):\n        i.note('x' * 20000)\n    i.set(end = True)\n"},
		{"large reads", "def f(i):\n    for n in range(40):\n        sim.read('x' * 20000)\n    i.set(end = True)\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, tt.source)
			incident, _ := b.play()
			if b.fact(incident, "end") != true {
				t.Error("the run did not come to its end")
			}
		})
	}
}

func TestFactsAreBounded(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    set = 0
    for n in range(10):
        r = attempt(lambda: i.set(**{"fact %d" % n: "x" * 30000}))
        if r.ok:
            set += 1
        else:
            error = r.error
    i.set(set = set, message = error.message, kind = error.kind)
    i.close("it can still be closed")
`)
	incident, _ := b.play()
	if b.fact(incident, "set") != int64(4) || b.fact(incident, "kind") != "invalid" {
		t.Errorf("got %v facts set, then %v", b.fact(incident, "set"), b.fact(incident, "kind"))
	}
	contains(t, "message", b.fact(incident, "message").(string), "the incident has 1200", "at most 131072")
	if b.incident(incident).Status != engine.IncidentClosed {
		t.Error("the incident is not closed")
	}
}

func TestTheIncidentsWords(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    i.set(zeta = 1, alpha = "two")
    i.set(alpha = "three", list = [1, 2])
    i.note("seen")
    before = i.status
    i.close("done", code = "false_positive", quiet = "2h")
    after = i.status
    i.set(before = before, after = after, client = i.event.client, again = i.fields["alpha"])
    i.reopen()
    i.close("for good")
`)
	incident, _ := b.play()
	i := b.incident(incident)
	equal(t, "order of facts", i.Order, []string{"zeta", "alpha", "list", "before", "after", "client", "again"})
	for name, want := range map[string]engine.Value{"alpha": "three", "before": "open", "after": "closed", "client": "192.0.2.7", "again": "three"} {
		if got := b.fact(incident, name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if i.Status != engine.IncidentClosed || i.Reason != "for good" || i.Code != "resolved" || i.ClosedBy != "run r0-1" {
		t.Errorf("got %+v", i)
	}
	if want := i.Closed.Add(2 * time.Hour); !i.QuietUntil.Equal(want) {
		t.Errorf("got quiet until %v, want %v", i.QuietUntil, want)
	}
	contains(t, "story", b.story(incident), "run r0-1 | sets zeta, alpha", "run r0-1 | seen", "run r0-1 | closes: done", "run r0-1 | reopens")
}
