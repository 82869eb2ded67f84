package worker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/wire"
)

// crowd plays a bundle whose steps are answered when all branches wait, in the
// order that choose says.
func (p *play) crowd(b *bundle, choose func(open []wire.Step) int) wire.Ended {
	p.t.Helper()
	var c *call
	var open []wire.Step
	reply := func(n int) {
		s := open[n]
		open = slices.Delete(open, n, n+1)
		a := p.answer(&s)
		a.Path, a.Number = s.Path, s.Number
		status := engine.StepDone
		if a.Error != nil {
			status = engine.StepFailed
		}
		p.steps = append(p.steps, engine.Step{
			Path: s.Path, Number: s.Number, Builtin: s.Builtin, At: s.At, Args: s.Args, Hash: s.Hash, Ticks: s.Ticks,
			Status: status, Result: a.Result, Error: a.Error,
		})
		c.answers.Put(a)
	}
	c = newCall(newEnvironment(testHello()), b, p.run, func(kind string, body any) error {
		if step, ok := body.(wire.Step); ok {
			open = append(open, step)
			p.asked = append(p.asked, step)
			if !step.More {
				reply(0)
			}
			return nil
		}
		if len(open) == 0 {
			p.t.Errorf("%s with no step open", kind)
			return fmt.Errorf("stuck")
		}
		reply(choose(open))
		return nil
	})
	return c.execute()
}

func oldest([]wire.Step) int      { return 0 }
func newest(open []wire.Step) int { return len(open) - 1 }

// weakly fails the first try of some calls, and knows the time.
func weakly(s *wire.Step) wire.Answer {
	switch {
	case s.Builtin == "now":
		return wire.Answer{Result: engine.MustEncode(time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC))}
	case s.Number == 1 && strings.Contains(string(s.Args), "weak"):
		return wire.Answer{Error: engine.Errorf(engine.Unavailable, "not now")}
	}
	return wire.Answer{Result: engine.MustEncode(nil)}
}

// places lists steps as PATH/N.
func places(steps []engine.Step) []string {
	var list []string
	for _, s := range steps {
		list = append(list, engine.StepID(s.Path, s.Number))
	}
	return list
}

// parallels are playbooks whose result says in which order things happened.
var parallels = map[string]string{
	"captured variables": `
def f():
    seen = []
    def look(name):
        for n in range(2):
            http.get("https://example.org/%s%d" % (name, n))
            seen.append("%s%d" % (name, n))
        return name
    got = parallel(lambda: look("a"), lambda: look("b"), lambda: look("c"))
    return [got, seen]
`,
	"each, some at once": `
def f():
    seen = []
    def look(n):
        seen.append("begin %d" % n)
        http.get("https://example.org/%d" % n)
        seen.append("end %d" % n)
        return n * n
    return [parallel(look, each = range(7), at_once = 3), seen]
`,
	"nested": `
def f():
    seen = []
    def leaf(name):
        http.get("https://example.org/" + name)
        seen.append(name)
        return name
    def inner(name):
        return parallel(lambda: leaf(name + "1"), lambda: leaf(name + "2"))
    got = parallel(lambda: inner("a"), lambda: leaf("b"), lambda: inner("c"))
    now()
    return [got, seen, parallel(leaf, each = ["x", "y"])]
`,
	"attempts inside and around": `
def f():
    seen = []
    def bad():
        http.get("https://example.org/bad")
        seen.append("bad")
        fail("no")
    def weak(n):
        r = attempt(lambda: http.get("https://example.org/weak%d" % n), tries = 2, backoff = "1s")
        seen.append((n, r.ok))
        return r.ok
    r = attempt(lambda: parallel(weak, each = [1, 2]), timeout = "1m")
    return [r.value, seen]
`,
	"branches without steps": `
def f():
    return [parallel(lambda: 1, lambda: 2), parallel(lambda x: x, each = []), parallel(lambda x: x * 2, each = {"a": 1})]
`,
}

// TestParallelReplays: whatever the order in which the steps of branches end, the
// replay of every beginning of the journal goes the same way.
func TestParallelReplays(t *testing.T) {
	for name, source := range parallels {
		b := loadGood(t, source)
		for order, choose := range map[string]func([]wire.Step) int{"first": oldest, "last": newest} {
			p := newPlay(t)
			p.run.Interpreter = interpreterVersion()
			p.answer = weakly
			want := p.crowd(b, choose)
			if want.Status != endedDone {
				t.Fatalf("%s: got %+v: %v", name, want, want.Error)
			}
			for n := range len(p.steps) + 1 {
				again := newPlay(t)
				again.run, again.answer = p.run, weakly
				again.run.Journal = p.steps[:n]
				rest := places(p.steps[n:])
				got := again.crowd(b, func(open []wire.Step) int {
					for k, s := range open {
						if len(rest) > len(again.steps) && engine.StepID(s.Path, s.Number) == rest[len(again.steps)] {
							return k
						}
					}
					return 0
				})
				if got.Status != want.Status || string(got.Value) != string(want.Value) {
					t.Errorf("%s, %s, with %d of %d steps: got %s %s %v, want %s", name, order, n, len(p.steps), got.Status, got.Value, got.Error, want.Value)
				}
				equal(t, name+", "+order+": rest of the steps", places(again.steps), rest)
			}
		}
	}
}

// TestTurns: branches go on in the order of the answers.
func TestTurns(t *testing.T) {
	b := loadGood(t, parallels["captured variables"])
	for order, tt := range map[string]struct {
		choose func([]wire.Step) int
		want   string
	}{
		"first": {oldest, `[["a","b","c"],["a0","b0","c0","a1","b1","c1"]]`},
		"last":  {newest, `[["a","b","c"],["c0","c1","b0","b1","a0","a1"]]`},
	} {
		if got := newPlay(t).crowd(b, tt.choose); string(got.Value) != tt.want {
			t.Errorf("%s: got %s %v, want %s", order, got.Value, got.Error, tt.want)
		}
	}
}

func TestAtOnce(t *testing.T) {
	b := loadGood(t, parallels["each, some at once"])
	most := 0
	newPlay(t).crowd(b, func(open []wire.Step) int {
		most = max(most, len(open))
		return 0
	})
	if most != 3 {
		t.Errorf("got %d steps at once, want 3", most)
	}
}

// TestTheFirstFailureIsRaisedLast: when all branches have ended.
func TestTheFirstFailureIsRaisedLast(t *testing.T) {
	b := loadGood(t, `
def f():
    done = []
    def go(n):
        http.get("https://example.org/%d" % n)
        if n > 0:
            return [][n]
        http.get("https://example.org/more")
        done.append(n)
    r = attempt(lambda: parallel(go, each = [0, 2, 1]))
    return [r.ok, r.error.message, r.error.at, done]
`)
	want := `[false,"index 2 out of range: empty list","scripts/a.star:7:22",[0]]`
	if got := newPlay(t).crowd(b, oldest); string(got.Value) != want {
		t.Errorf("got %s %v, want %s", got.Value, got.Error, want)
	}
}

// TestWhatEndsARunEndsItsBranches: no attempt hides it, and fail waits for the
// others.
func TestWhatEndsARunEndsItsBranches(t *testing.T) {
	for name, tt := range map[string]struct{ source, status, want string }{
		"fail":  {"def bad():\n    fail(\"no\")\n\ndef f():\n    attempt(lambda: parallel(bad, lambda: now()))\n", endedFailed, "no"},
		"ticks": {"def bad():\n    while True:\n        pass\n\ndef f():\n    attempt(lambda: parallel(lambda: now(), bad, lambda: now()))\n", endedFailed, "interpreter steps"},
		"steps": {"def bad():\n    for n in range(20000):\n        now()\n\ndef f():\n    attempt(lambda: parallel(lambda: now(), bad))\n", endedFailed, "a run may have 10000"},
	} {
		got := newPlay(t).crowd(loadGood(t, tt.source), oldest)
		if got.Status != tt.status || got.Error == nil || !strings.Contains(got.Error.Message, tt.want) {
			t.Errorf("%s: got %+v %v, want %s", name, got, got.Error, tt.want)
		}
	}
}

// TestWrongParallels: what cannot be meant.
func TestWrongParallels(t *testing.T) {
	for call, want := range map[string]string{
		"parallel()":                                    "parallel: missing argument fn",
		"parallel(now())":                               "parallel: function 1: got None, want a function",
		"parallel(f, lambda: 1, each = [1])":            "for 2 functions, want a list for one",
		"parallel(f, at_once = 3)":                      "at_once goes with each",
		"parallel(lambda x: x, each = [1], at_once= 0)": "at_once: got 0, want 1 to 10000",
		"parallel(lambda x: x, each = range(1000000))":  "parallel: 1000000 branches are too many: at most 10000",
		"parallel(*([f] * 20000))":                      "parallel: 20000 branches are too many",
		"parallel(lambda x: x, eech = [1])":             `unexpected argument "eech"`,
		"f()":                                           "nested too deep",
	} {
		b := loadGood(t, "def f(n = 0):\n    if n == 1:\n        return "+call+"\n    return parallel(f)\n\ndef g():\n    return "+call+"\n")
		p := newPlay(t)
		p.run.Handler.Name = "g"
		if got := p.crowd(b, oldest); got.Status != endedFailed || !strings.Contains(got.Error.Message, want) {
			t.Errorf("%s: got %+v %v, want %s", call, got, got.Error, want)
		}
	}
}

// TestAnotherParallelDiverges: a script that runs other branches than the
// recorded ones stops.
func TestAnotherParallelDiverges(t *testing.T) {
	source := "def f():\n    return parallel(lambda n: http.get(\"https://example.org/%d\" % n), each = [1, 2, 3])\n"
	p := newPlay(t)
	p.crowd(loadGood(t, source), newest)
	for name, tt := range map[string]struct {
		change func(steps []engine.Step) []engine.Step
		want   string
	}{
		"more branches":      {func(s []engine.Step) []engine.Step { s[0].Hash = "k2:00"; return s }, "other arguments"},
		"another path":       {func(s []engine.Step) []engine.Step { s[1].Path = "7.7"; return s }, "does not come to step 7.7/1"},
		"a step of a branch": {func(s []engine.Step) []engine.Step { s[2].Builtin = "now"; return s }, "another builtin"},
	} {
		again := newPlay(t)
		again.run.Journal = tt.change(slices.Clone(p.steps))
		got := again.crowd(loadGood(t, source), oldest)
		if got.Status != endedDiverged || !strings.Contains(got.Error.Message, tt.want) {
			t.Errorf("%s: got %+v %v, want %s", name, got, got.Error, tt.want)
		}
	}
}

// TestACancelledParallelEnds: with all its branches.
func TestACancelledParallelEnds(t *testing.T) {
	b := loadGood(t, "def f():\n    parallel(lambda: now(), lambda: attempt(lambda: now()))\n")
	var c *call
	c = newCall(newEnvironment(testHello()), b, newPlay(t).run, func(kind string, body any) error {
		if step, ok := body.(wire.Step); ok && !step.More {
			c.answers.Put(wire.Answer{Number: step.Number})
		}
		if kind == wire.KindRest {
			c.cancel()
		}
		return nil
	})
	if got := c.execute(); got.Status != endedCancelled {
		t.Errorf("got %+v", got)
	}
}
