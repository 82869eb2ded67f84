package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/sandbox"
	"larkspur/engine/sandbox/sandboxtest"
	"larkspur/engine/wire"
)

// hello has a few builtins of each kind.
func hello() wire.Hello {
	return wire.Hello{
		Engine: "test",
		Signatures: []engine.Signature{
			{Name: "now", Class: engine.Read, Version: 1},
			{Name: "print", Class: engine.Read, Params: []engine.Param{{Name: "text", Kind: "text"}}, Positional: 1},
			{Name: "http.get", Class: engine.Read, Version: 1, Positional: 1, Params: []engine.Param{{Name: "url", Kind: "text", Required: true}}},
		},
		HashKeys: map[string][]byte{"k1": []byte("key")}, HashKey: "k1",
		MaxTicks: 200_000_000, MaxEvaluateTicks: 1_000_000,
	}
}

// start opens and runs a pool for the length of the test.
func start(t *testing.T, change func(*sandbox.Config)) *sandbox.Pool {
	t.Helper()
	cfg := sandbox.Config{Binary: sandboxtest.Binary(t), Hello: hello(), Processors: 2}
	if change != nil {
		change(&cfg)
	}
	p, err := sandbox.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := errors.Join(p.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return p
}

func bundle(source string) wire.Load {
	return wire.Load{Bundle: engine.Bundle{Hash: fmt.Sprintf("%x", len(source)) + source[:min(len(source), 20)], Files: map[string]string{"scripts/a.star": source}}}
}

// load loads a source that must have no problems and returns its hash.
func load(t *testing.T, p *sandbox.Pool, source string) string {
	t.Helper()
	l := bundle(source)
	loaded, err := p.Load(t.Context(), l)
	if err != nil || len(loaded.Declarations.Problems) > 0 {
		t.Fatalf("loading: %v, problems %v", err, loaded.Declarations.Problems)
	}
	return l.Bundle.Hash
}

func run(hash string) wire.Run {
	return wire.Run{Run: "r0-1", Bundle: hash, Handler: engine.Handler{File: "a.star", Name: "f"}}
}

// begin starts f of the bundle and returns the call.
func begin(t *testing.T, p *sandbox.Pool, r wire.Run) *sandbox.Call {
	t.Helper()
	c, err := p.Start(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// finish answers all steps with what answer makes of them and returns the end.
func finish(t *testing.T, c *sandbox.Call, answer func(*wire.Step) wire.Answer) (steps []engine.Step, ended *wire.Ended) {
	t.Helper()
	for {
		e, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch e := e.(type) {
		case *wire.Ended:
			return steps, e
		case *wire.Step:
			a := answer(e)
			steps = append(steps, engine.Step{
				Path: e.Path, Number: e.Number, Builtin: e.Builtin, Class: e.Class, At: e.At, Args: e.Args, Hash: e.Hash, Ticks: e.Ticks,
				Status: engine.StepDone, Result: a.Result,
			})
			if err := c.Answer(e, a); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func echo(s *wire.Step) wire.Answer { return wire.Answer{Result: engine.MustEncode(s.Builtin)} }

const threeGets = `
def f():
    return [http.get("https://%d.example.org/" % n) for n in range(3)]
`

func TestRunsAndReplays(t *testing.T) {
	p := start(t, nil)
	r := run(load(t, p, threeGets))
	steps, ended := finish(t, begin(t, p, r), echo)
	if ended.Status != "done" || len(steps) != 3 || string(ended.Value) != `["http.get","http.get","http.get"]` {
		t.Fatalf("got %+v after %d steps", ended, len(steps))
	}
	if got := steps[2].At; got != "scripts/a.star:3:21" {
		t.Errorf("third step stands at %s", got)
	}
	r.Interpreter = p.Interpreter()
	for n := range len(steps) + 1 {
		r.Journal = steps[:n]
		live, again := finish(t, begin(t, p, r), echo)
		if len(live) != len(steps)-n || string(again.Value) != string(ended.Value) {
			t.Errorf("with %d recorded: got %d live steps and %s", n, len(live), again.Value)
		}
	}
}

func TestContained(t *testing.T) {
	p := start(t, nil)
	load(t, p, threeGets)
	s := p.Status()[0]
	if len(s.Missing) > 0 {
		t.Errorf("missing: %v", s.Missing)
	}
	if strings.Join(s.Contained, " ") != "memory no_new_privs landlock seccomp" {
		t.Errorf("contained: %v", s.Contained)
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.PID))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread is gone
		}
		if !bytes.Contains(text, []byte("NoNewPrivs:\t1")) || !bytes.Contains(text, []byte("Seccomp:\t2")) {
			t.Errorf("%s is not contained:\n%s", task, text)
		}
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.PID))
	if err != nil || !strings.HasPrefix(string(env), "TZ=UTC\x00") || bytes.Contains(env, []byte("PATH=")) {
		t.Errorf("environment: %q, %v", env, err)
	}
}

func TestCellRefuses(t *testing.T) {
	out, err := exec.Command(sandboxtest.Binary(t), "cell").Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Contained, Missing []string
		Tries              map[string]string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Tries) < 15 {
		t.Fatalf("got %d tries: %s", len(got.Tries), out)
	}
	for name, said := range got.Tries {
		if !strings.HasSuffix(said, "operation not permitted") {
			t.Errorf("%s: got %q, want operation not permitted", name, said)
		}
	}
}

// TestDeaths: whatever a script does, only its worker dies, and the pool goes on.
func TestDeaths(t *testing.T) {
	tests := []struct{ name, source, why string }{
		{"memory", "def f():\n    return len([0] * 1000000000)\n", sandbox.DiedMemory},
		{"join", "def f():\n    x = 'x' * 100000000\n    return len(''.join([x] * 100))\n", sandbox.DiedMemory},
		{"time", "def f():\n    x = 3\n    for _ in range(40):\n        x = x * x\n    return x\n", sandbox.DiedTime},
	}
	p := start(t, func(c *sandbox.Config) { c.Silence = 2 * time.Second })
	calm := load(t, p, threeGets)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := begin(t, p, run(load(t, p, tt.source)))
			e, err := c.Next(t.Context())
			var death *sandbox.Death
			if !errors.Is(err, sandbox.ErrDied) || !errors.As(err, &death) {
				t.Fatalf("got %v, %v, want a death", e, err)
			}
			if death.Why != tt.why || !death.Suspect {
				t.Errorf("got %+v (suspect: %v), want %s and a suspect", death, death.Suspect, tt.why)
			}
			if _, ended := finish(t, begin(t, p, run(calm)), echo); ended.Status != "done" {
				t.Errorf("afterwards: got %+v", ended)
			}
		})
	}
	if s := p.Status()[0]; s.Deaths != len(tests) || s.LastDeath == "" {
		t.Errorf("got %d deaths, last %q", s.Deaths, s.LastDeath)
	}
}

func TestKilledBetweenSteps(t *testing.T) {
	p := start(t, nil)
	r := run(load(t, p, threeGets))
	c := begin(t, p, r)
	e, err := c.Next(t.Context())
	step, ok := e.(*wire.Step)
	if !ok {
		t.Fatalf("got %v, %v, want a step", e, err)
	}
	if err := syscall.Kill(p.Status()[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var death *sandbox.Death
	if _, err := c.Next(t.Context()); !errors.As(err, &death) || death.Why != sandbox.DiedKilled || death.Suspect {
		t.Fatalf("got %v, want killed and no suspect", err)
	}
	if err := c.Answer(step, echo(step)); !errors.Is(err, sandbox.ErrDied) {
		t.Errorf("answering: got %v, want %v", err, sandbox.ErrDied)
	}
	r.Journal = []engine.Step{{Number: 1, Builtin: step.Builtin, At: step.At, Args: step.Args, Hash: step.Hash, Status: engine.StepDone, Result: echo(step).Result}}
	if live, ended := finish(t, begin(t, p, r), echo); ended.Status != "done" || len(live) != 2 {
		t.Errorf("again: got %+v after %d steps", ended, len(live))
	}
}

func TestDivergenceShowsBothSides(t *testing.T) {
	p := start(t, nil)
	r := run(load(t, p, threeGets))
	steps, _ := finish(t, begin(t, p, r), echo)
	steps[1].Args = engine.MustEncode(map[string]engine.Value{"url": "https://else.example.org/"})
	steps[1].Hash = "k1:00"
	r.Journal = steps
	live, ended := finish(t, begin(t, p, r), echo)
	if ended.Status != "diverged" || len(live) != 0 {
		t.Fatalf("got %+v", ended)
	}
	for _, want := range []string{"step 2", "other arguments", "https://else.example.org/", "https://1.example.org/", "scripts/a.star:3:21"} {
		if !strings.Contains(ended.Error.Message, want) {
			t.Errorf("message lacks %q:\n%s", want, ended.Error.Message)
		}
	}
}

func TestCloseCancels(t *testing.T) {
	p := start(t, nil)
	r := run(load(t, p, threeGets))
	for range 50 {
		c := begin(t, p, r)
		if _, err := c.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if e, err := c.Next(t.Context()); err != nil || e.(*wire.Ended).Status != "cancelled" {
			t.Fatalf("got %v, %v, want cancelled", e, err)
		}
	}
	if s := p.Status()[0]; s.Calls != 0 || s.Deaths != 0 {
		t.Errorf("got %d calls and %d deaths", s.Calls, s.Deaths)
	}
}

func TestEvaluates(t *testing.T) {
	p := start(t, func(c *sandbox.Config) { c.Workers = 2 })
	hash := load(t, p, `
def f(i):
    pass

rule(name = "r", when = on.webhook("hook", where = lambda e: e.level > 3), do = f, dedup = lambda e: [e.host, 1])
`)
	event := func(level int64) engine.Data {
		return engine.MustEncode(map[string]engine.Value{"kind": "webhook", "fields": map[string]engine.Value{"level": level, "host": "h"}})
	}
	got, err := p.Evaluate(t.Context(), wire.Evaluate{Bundle: hash, Items: []wire.Item{
		{Rule: "r", Event: event(4)}, {Rule: "r", Event: event(3)}, {Rule: "r", Trigger: -1, Event: event(1)}, {Rule: "x", Event: event(1)},
		{Rule: "r", Event: engine.MustEncode(map[string]engine.Value{})},
	}})
	if err != nil || len(got.Verdicts) != 5 {
		t.Fatalf("got %+v, %v", got, err)
	}
	v := got.Verdicts
	if !v[0].Match || v[1].Match || string(v[2].Key) != `["h",1]` || v[3].Error == nil {
		t.Errorf("got %+v", v)
	}
	if v[4].Error == nil || v[4].Error.At != "scripts/a.star:5:70" || v[4].Error.Kind != engine.Script {
		t.Errorf("got %v %q at %s", v[4].Error, v[4].Error.Kind, v[4].Error.At)
	}
}

func TestEveryWorkerGetsTheBundle(t *testing.T) {
	p := start(t, func(c *sandbox.Config) { c.Workers = 3; c.MaxCalls = 1 })
	r := run(load(t, p, threeGets))
	for range 3 { // each fills one worker
		if _, err := begin(t, p, r).Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	full, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Start(full, r); !errors.Is(err, context.Canceled) {
		t.Errorf("a fourth call: got %v, want to wait", err)
	}
	p.Forget(r.Bundle)
	_, err := p.Evaluate(full, wire.Evaluate{Bundle: r.Bundle})
	if err == nil {
		t.Error("a forgotten bundle was evaluated")
	}
}

func TestUnknownBundle(t *testing.T) {
	p := start(t, nil)
	if _, err := p.Start(t.Context(), run("nowhere")); engine.KindOf(err) != engine.NotFound {
		t.Errorf("got %v, want not_found", err)
	}
}

func TestSaysWhyNothingStarts(t *testing.T) {
	p := start(t, func(c *sandbox.Config) { c.Binary = "/nonexistent/larkspur" })
	_, err := p.Load(t.Context(), bundle(threeGets))
	if engine.KindOf(err) != engine.Unavailable || !strings.Contains(err.Error(), "/nonexistent/larkspur") {
		t.Errorf("got %v", err)
	}
	if s := p.Status()[0]; s.Failure == "" || s.PID != 0 {
		t.Errorf("got %+v", s)
	}
}

func TestClosedPool(t *testing.T) {
	p := start(t, nil)
	r := run(load(t, p, threeGets))
	c := begin(t, p, r)
	if _, err := c.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := p.Status()[0].PID
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(t.Context()); !errors.Is(err, sandbox.ErrClosed) {
		t.Errorf("got %v, want %v", err, sandbox.ErrClosed)
	}
	if _, err := p.Start(t.Context(), r); !errors.Is(err, sandbox.ErrClosed) {
		t.Errorf("got %v, want %v", err, sandbox.ErrClosed)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("worker %d: got %v, want it gone", pid, err)
	}
}

// TestClosedUnseen: a call that is closed before anybody looked at its step must
// not stop the worker's reader.
func TestClosedUnseen(t *testing.T) {
	p := start(t, nil)
	r := run(load(t, p, threeGets))
	for range 200 {
		c, err := p.Start(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	if _, ended := finish(t, begin(t, p, r), echo); ended.Status != "done" {
		t.Errorf("got %+v", ended)
	}
}

// TestCrowd: many calls at once, some closed, while workers are killed: every
// call ends, and the pool goes on.
func TestCrowd(t *testing.T) {
	p := start(t, func(c *sandbox.Config) { c.Workers = 2; c.MaxCalls = 20 })
	r := run(load(t, p, threeGets))
	var crowd sync.WaitGroup
	for n := range 200 {
		crowd.Go(func() {
			if err := visit(t.Context(), p, r, n); err != nil && !errors.Is(err, sandbox.ErrDied) {
				t.Errorf("visitor %d: %v", n, err)
			}
		})
	}
	crowd.Wait()
	if _, ended := finish(t, begin(t, p, r), echo); ended.Status != "done" {
		t.Errorf("afterwards: got %+v", ended)
	}
	for _, s := range p.Status() {
		if s.Calls > 1 {
			t.Errorf("%d calls are open", s.Calls)
		}
	}
}

// visit carries one run to its end; every tenth is closed early, and every
// fiftieth kills a worker.
func visit(ctx context.Context, p *sandbox.Pool, r wire.Run, n int) error {
	c, err := p.Start(ctx, r)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		e, err := c.Next(ctx)
		if err != nil {
			return err
		}
		step, ok := e.(*wire.Step)
		switch {
		case !ok:
			return nil
		case n%50 == 7 && step.Number == 2:
			if pid := p.Status()[n%2].PID; pid > 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
			}
		case n%10 == 3 && step.Number == 2:
			return nil
		}
		if err := c.Answer(step, echo(step)); err != nil {
			return err
		}
	}
}

// TestParserBombs: what does not parse takes at most its worker with it.
func TestParserBombs(t *testing.T) {
	p := start(t, nil)
	bombs := map[string]string{
		"brackets": "x = " + strings.Repeat("[", 1<<19),
		"not":      "x = " + strings.Repeat("not ", 1<<17) + "1\n",
		"plus":     "x = 1" + strings.Repeat("+1", 1<<18) + "\n",
		"lambda":   "x = " + strings.Repeat("lambda: ", 1<<16) + "1\n",
		"if":       "x = " + strings.Repeat("1 if 1 else ", 1<<16) + "1\n",
		"list":     "x = [0] * 1000000000\n",
	}
	for name, source := range bombs {
		l := bundle(source)
		l.Bundle.Hash = name
		loaded, err := p.Load(t.Context(), l)
		if err != nil && !errors.Is(err, sandbox.ErrDied) {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %v, %.100v", name, err, loaded.Declarations.Problems)
	}
	if _, ended := finish(t, begin(t, p, run(load(t, p, threeGets))), echo); ended.Status != "done" {
		t.Errorf("afterwards: got %+v", ended)
	}
}

// TestForeignProcess: what is not a worker is found out and named.
func TestForeignProcess(t *testing.T) {
	for name, script := range map[string]string{
		"garbage":    `printf '\000\000\000\003xyz' >&3; read x <&3`,
		"too long":   `printf '\377\377\377\377' >&3; read x <&3`,
		"wrong turn": `printf '\000\000\000\027{"kind":"step","call":1}' >&3; read x <&3`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "larkspur")
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			p := start(t, func(c *sandbox.Config) { c.Binary = path; c.MaxDataBytes = 1 << 30 })
			if _, err := p.Load(t.Context(), bundle(threeGets)); engine.KindOf(err) != engine.Unavailable || !strings.Contains(err.Error(), "protocol") {
				t.Errorf("got %v, want unavailable for the protocol", err)
			}
		})
	}
}

// A test asks the bench, which asks its fakes before it answers, which ask the
// bench in turn; and it says where it died.
func TestTestsAskAndAreAsked(t *testing.T) {
	p := start(t, func(cfg *sandbox.Config) { cfg.Trace = true })
	l := bundle("x = 1\n")
	l.Tests = map[string]string{"scripts/a_test.star": `
def test_a(t):
    def fake(url, **kw):
        t.crash()
        return struct(url = url, kw = sorted(kw))
    t.fake("http.get", fake)
    t.job("x")

def test_b(t):
    x = len([1])
    y = [x] * 1000000000
`}
	loaded, err := p.Load(t.Context(), l)
	if err != nil || len(loaded.Tests) != 2 {
		t.Fatalf("got %+v, %v", loaded, err)
	}
	open := func(name string) *sandbox.Call {
		c, err := p.StartTest(t.Context(), wire.Test{Bundle: l.Bundle.Hash, File: "scripts/a_test.star", Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open("test_a")
	var told []string
	next := func() sandbox.Event {
		event, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch e := event.(type) {
		case *wire.Step:
			told = append(told, e.Builtin+" at "+e.At)
		case *wire.Faked:
			told = append(told, "faked "+string(e.Result))
		case *wire.Ended:
			told = append(told, "ended "+e.Status)
		}
		return event
	}
	reply := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	step := func() *wire.Step { return next().(*wire.Step) }
	reply(c.Answer(step(), wire.Answer{})) // t.fake
	job := step()
	reply(c.Fake(wire.Fake{Builtin: "http.get", Args: engine.MustEncode(map[string]engine.Value{"url": "u", "timeout": int64(1)}), Order: []string{"url", "timeout"}, Positional: 1}))
	reply(c.Answer(step(), wire.Answer{})) // t.crash, within the fake
	next()                                 // the fake's result
	reply(c.Answer(job, wire.Answer{}))
	next() // the end
	want := []string{
		"t.fake at scripts/a_test.star:6:11", "t.job at scripts/a_test.star:7:10", "t.crash at scripts/a_test.star:4:16",
		`faked {"$":"struct","v":{"kw":["timeout"],"url":"u"}}`, "ended done",
	}
	if got := strings.Join(told, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	var death *sandbox.Death
	if _, err := open("test_b").Next(t.Context()); !errors.As(err, &death) || death.Why != sandbox.DiedMemory || death.At != "scripts/a_test.star:11:10" {
		t.Errorf("got %v, %+v", err, death)
	}
}

// A worker that is told to die is no death to count, and another takes its place.
func TestKill(t *testing.T) {
	p := start(t, nil)
	c := begin(t, p, run(load(t, p, "def f():\n    return now()\n")))
	if _, err := c.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	var death *sandbox.Death
	if _, err := c.Next(t.Context()); !errors.As(err, &death) || death.Why != sandbox.DiedKilled || death.Suspect {
		t.Errorf("got %v", err)
	}
	if deaths := p.Status()[0].Deaths; deaths != 0 {
		t.Errorf("got %d deaths, want none", deaths)
	}
	if _, ended := finish(t, begin(t, p, run(load(t, p, "def f():\n    return now()\n"))), echo); ended.Status != "done" {
		t.Errorf("got %+v", ended)
	}
}
