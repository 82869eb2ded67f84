package sandbox_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"larkspur/engine/sandbox"
)

// pids are the processes of the workers there are.
func pids(p *sandbox.Pool) map[int]bool {
	found := map[int]bool{}
	for _, s := range p.Status() {
		if s.PID > 0 {
			found[s.PID] = true
		}
	}
	return found
}

// until waits for what another process brings about.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for !is() {
		if t.Context().Err() != nil {
			t.Fatalf("never: %s", what)
		}
		runtime.Gosched()
	}
}

// TestWorkersComeAndGo: a crowd gets another worker, which ends when it has had
// nothing to do for a while.
func TestWorkersComeAndGo(t *testing.T) {
	p := start(t, func(c *sandbox.Config) { c.Workers, c.Crowd, c.IdleAfter = 2, 3, 10*time.Millisecond })
	r := run(load(t, p, threeGets))
	var calls []*sandbox.Call
	for range 3 {
		calls = append(calls, begin(t, p, r))
	}
	until(t, "a second worker", func() bool { return len(pids(p)) == 2 })
	calls = append(calls, begin(t, p, r))
	if s := p.Status(); s[0].Calls != 3 || s[1].Calls != 1 {
		t.Errorf("got %d and %d calls, want the fourth at the second worker", s[0].Calls, s[1].Calls)
	}
	for _, c := range calls {
		if _, ended := finish(t, c, echo); ended.Status != "done" {
			t.Errorf("got %+v", ended)
		}
	}
	until(t, "one worker again", func() bool { return len(pids(p)) == 1 })
	if s := p.Status(); s[1].Deaths != 0 {
		t.Errorf("got %d deaths of a worker that was sent away", s[1].Deaths)
	}
}

// TestOneCell: a call that is alone has a process to itself; another waits for it.
func TestOneCell(t *testing.T) {
	p := start(t, nil)
	r := run(load(t, p, threeGets))
	first, err := p.StartAlone(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.StartAlone(soon, r); !errors.Is(err, context.Canceled) {
		t.Errorf("a second one: got %v, want to wait", err)
	}
	if s := p.Status()[0]; s.Calls != 0 {
		t.Errorf("the shared worker has %d calls", s.Calls)
	}
	if _, ended := finish(t, first, echo); ended.Status != "done" {
		t.Errorf("got %+v", ended)
	}
	second, err := p.StartAlone(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil { // while the call is open
		t.Fatal(err)
	}
	if _, err := second.Next(t.Context()); err != nil && !errors.Is(err, sandbox.ErrClosed) {
		t.Errorf("got %v, want a step or closed", err)
	}
	if _, err := p.StartAlone(t.Context(), r); !errors.Is(err, sandbox.ErrClosed) {
		t.Errorf("afterwards: got %v, want closed", err)
	}
}

// TestInnocentsAreNoSuspects: of the calls that die with their worker, one is
// suspected.
func TestInnocentsAreNoSuspects(t *testing.T) {
	p := start(t, nil)
	calm, deadly := run(load(t, p, threeGets)), run(load(t, p, "def f():\n    n = 1000000000\n    return [0] * n\n"))
	var waiting []*sandbox.Call
	for range 5 {
		c := begin(t, p, calm)
		if _, err := c.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, c)
	}
	var death *sandbox.Death
	if _, err := begin(t, p, deadly).Next(t.Context()); !errors.As(err, &death) || !death.Suspect {
		t.Errorf("got %v, want a suspect", err)
	}
	for _, c := range waiting {
		if _, err := c.Next(t.Context()); !errors.As(err, &death) || death.Suspect {
			t.Errorf("got %v, want a death without suspicion", err)
		}
	}
}
