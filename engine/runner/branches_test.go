package runner_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

// crew is a playbook whose branches do a step of every kind, and share a list.
const crew = `
def f(i):
    seen = []
    def shift(name, who):
        sim.read(name)
        sim.put(name + " one")
        seen.append(name)
        a = ask(who, name + "?", choices = ["Block"], timeout = "2h", default = "Block")
        seen.append(name + " " + a.by.name)
        parallel(lambda: sim.tag(name + " two"), lambda: sim.put(name + " three"))
        i.note(name)
        return name
    def nap():
        sleep("30m")
        seen.append("nap")
        b = sim.block("02:00:00:00:00:07")
        return attempt(lambda: sim.read("weak"), tries = 2, backoff = "1m").value
    got = parallel(lambda: shift("a", "dave"), lambda: shift("b", "ana"), nap)
    i.set(got = got, seen = sorted(seen))
    i.close("over")
`

// beginCrew starts it on a new box.
func beginCrew(t *testing.T, cfg boxConfig, prepare func(b *box)) (b *box, happened func(string) map[string]int) {
	t.Helper()
	b = playbookWith(t, cfg, crew)
	happened = theWorld(b)
	if prepare != nil {
		prepare(b)
	}
	b.append(0, record.EventSeenKind, record.EventSeen{Kind: "dns", Source: "eth1", Time: b.clock.Now()})
	_, _ = b.offer(0, record.EventMatchedKind, record.EventMatched{ // the power may go out
		Rule: "r", Event: "e0-1", Offer: "o", Bundle: b.bundle, Mode: "live", Severity: "low", Type: "t", Title: "T",
		Do: engine.Handler{File: "a.star", Name: "f"},
	})
	return b, happened
}

// work drives a box until the crew is done; its change stays in force.
func (b *box) work() {
	b.t.Helper()
	late := time.After(patience)
	for {
		rung := b.bell.next()
		if b.power.isOut() || b.crewDone() {
			return
		}
		b.turn()
		select {
		case <-rung:
		case <-late:
			b.t.Fatalf("gave up: %+v", b.steps("r0-1"))
		}
	}
}

func (b *box) crewDone() bool {
	r, err := b.state.Run("r0-1")
	return err == nil && r.Status != engine.RunRunning && r.Status != engine.RunWaiting
}

// result sums up what the crew came to, however its branches met.
func (b *box) result(happened func(string) map[string]int) string {
	b.t.Helper()
	r, i := b.run("r0-1"), b.incident("i0-1")
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s, %s %q %s\n", r.Status, describe(r.Error), i.Status, i.Reason, i.Fields)
	var steps []string
	for _, st := range b.steps("r0-1") {
		steps = append(steps, engine.StepID(st.Path, st.Number)+" "+st.Builtin+" "+st.Status)
	}
	slices.Sort(steps)
	fmt.Fprintln(&s, strings.Join(steps, "\n"))
	for _, name := range []string{"sim.put", "sim.block"} {
		fmt.Fprintln(&s, name, happened(name))
	}
	return strings.ReplaceAll(s.String(), "nobody", "ana") // a time-out may be faster than the test
}

// TestACrashInsideAParallel: whichever commit fails because the power went out
// before it, branches go on, and nothing happens twice.
func TestACrashInsideAParallel(t *testing.T) {
	t.Parallel()
	b, happened := beginCrew(t, boxConfig{}, nil)
	first := b.power.count()
	b.work()
	commits := b.power.count() - first + 1
	want := b.result(happened)
	contains(t, "without a crash", want, "done no error, closed", `"got":["a","b",`, `"seen":["a","a ana","b","b ana","nap"]`, "1.0/4.1/1 sim.put done")
	for n := 2; n < commits; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			b, happened := beginCrew(t, boxConfig{}, func(b *box) { b.power.after(n+1, true) })
			b.work()
			b.reopen()
			b.work()
			if got := b.result(happened); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestAWorkerKilledInsideAParallel: after each commit of the run; the replay in
// another process changes nothing. Not beside tests that reopen their store: a
// process that is being started has its lock for a moment.
func TestAWorkerKilledInsideAParallel(t *testing.T) {
	p := ownPool(t, nil)
	kill := func(at int64, seen *atomic.Int64) func(state.Notice) {
		return func(n state.Notice) {
			if n.Outcome.Run == "r0-1" && seen.Add(1) == at {
				if pid := p.Status()[0].PID; pid > 0 {
					_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
				}
			}
		}
	}
	want := ""
	for at, last := int64(0), int64(1); at <= last; at++ {
		var seen atomic.Int64
		b, happened := beginCrew(t, boxConfig{pool: p}, func(b *box) { b.onNotice.Store(kill(at, &seen)) })
		b.work()
		got := b.result(happened)
		if at == 0 {
			want, last = got, seen.Load()
			continue
		}
		if got != want {
			t.Errorf("killed after record %d: got\n%s\nwant\n%s", at, got, want)
		}
		b.close()
	}
}

// meeting is a builtin that returns when so many calls of it are under way.
func meeting(n int) func(ctx context.Context, c *engine.Call) (engine.Result, error) {
	var came atomic.Int64
	all := make(chan struct{})
	return func(ctx context.Context, c *engine.Call) (engine.Result, error) {
		if came.Add(1) == int64(n) {
			close(all)
		}
		select {
		case <-all:
			return engine.Result{Value: c.Text("what")}, nil
		case <-ctx.Done():
			return engine.Result{}, ctx.Err()
		}
	}
}

// TestBranchesTouchTheWorldAtTheSameTime: their effects and reads meet there, and
// what began is on the disk in one frame.
func TestBranchesTouchTheWorldAtTheSameTime(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    i.set(got = parallel(lambda: sim.put("a"), lambda: sim.put("b"), lambda: sim.read("c"), lambda: sim.tag("d")))
`)
	meet := meeting(4)
	for _, name := range []string{"sim.put", "sim.read", "sim.tag"} {
		b.world.on(name, meet)
	}
	before := b.power.count()
	incident, _ := b.play()
	if got := fmt.Sprint(b.fact(incident, "got")); got != "[a b c d]" {
		t.Errorf("got %s", got)
	}
	if got := b.power.count() - before; got > 5 { // event, match, starts, end, and a frame between results at most
		t.Errorf("got %d commits", got)
	}
}

// TestManyBranches: no more than a hundred are in the world at once, and their
// starts need not fit one frame.
func TestManyBranches(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    got = parallel(lambda n: sim.tag("%d " % n + "x" * 3000), each = range(400), at_once = 400)
    i.set(n = len(got))
`)
	var now, most atomic.Int64
	b.world.on("sim.tag", func(context.Context, *engine.Call) (engine.Result, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return engine.Result{Value: "ok"}, nil
	})
	incident, _ := b.play()
	if got := b.fact(incident, "n"); got != int64(400) || most.Load() > 100 {
		t.Errorf("got %v results, %d at once", got, most.Load())
	}
}

// TestBranchesWaitBesideOthers: the run is parked when all wait, and goes on with
// the branch whose answer came.
func TestBranchesWaitBesideOthers(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    seen = []
    def asks():
        seen.append(ask("dave", "Now?", choices = ["Yes"]).choice)
        sim.put("answered")
    def naps():
        sleep("3h")
        seen.append("slept")
    def works():
        for n in range(3):
            sim.put("work %d" % n)
        seen.append("worked")
    parallel(asks, naps, works)
    i.set(seen = seen)
`)
	incident, run := b.start()
	r := b.status(run, engine.RunWaiting)
	contains(t, "what it waits for", r.Waits, "an answer of dave; until 2026-11-22T11:00:00Z")
	b.mails()
	b.answer(b.question().ID, engine.Reply{Choice: "Yes", By: engine.Addressee{Name: "dave"}})
	b.bell.until(t, "the answer was worked on", func() bool { return slices.Contains(b.world.did("sim.put"), "sim.put answered") })
	r = b.status(run, engine.RunWaiting)
	b.reopen()
	b.advance(3 * time.Hour)
	b.status(run, engine.RunDone)
	if got := fmt.Sprint(b.fact(incident, "seen")); got != "[worked Yes slept]" {
		t.Errorf("got %s", got)
	}
	equal(t, "calls", b.world.did("sim.put"), []string{"sim.put work 0", "sim.put work 1", "sim.put work 2", "sim.put answered"})
}

// TestAnAnswerDoesNotWaitForOtherBranches: while one is in the world, and its
// place in the order of branches is that of the ledger.
func TestAnAnswerDoesNotWaitForOtherBranches(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    seen = []
    def asks():
        seen.append(ask("dave", "Now?", choices = ["Yes"]).choice)
        sim.tag("answered")
    def works():
        for n in range(3):
            sim.put("work %d" % n)
            seen.append(n)
    parallel(asks, works)
    i.set(seen = seen)
    sleep("1h")
    i.note("after a replay")
`)
	meet, hold := make(chan struct{}, 3), make(chan struct{})
	b.world.on("sim.put", func(_ context.Context, c *engine.Call) (engine.Result, error) {
		if meet <- struct{}{}; c.Text("what") == "work 1" {
			<-hold
		}
		return engine.Result{Value: "ok"}, nil
	})
	incident, run := b.start()
	<-meet
	<-meet
	b.answer(b.question().ID, engine.Reply{Choice: "Yes", By: engine.Addressee{Name: "dave"}})
	b.bell.until(t, "the answer was worked on", func() bool { return slices.Contains(b.world.did("sim.tag"), "sim.tag answered") })
	close(hold)
	b.status(run, engine.RunWaiting)
	b.reopen()
	b.mails()
	b.advance(time.Hour)
	b.status(run, engine.RunDone)
	if got := fmt.Sprint(b.fact(incident, "seen")); got != "[0 Yes 1 2]" {
		t.Errorf("got %s", got)
	}
}

// TestClosingEndsAllBranches: their waits end with closed, and the run is done.
func TestClosingEndsAllBranches(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    def naps(n):
        sleep(n)
        sim.put("never")
    parallel(lambda: ask("dave", "?"), lambda: naps("1h"), lambda: naps("2h"))
    sim.put("never")
`)
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	if d, err := b.runner.CloseIncident(context.Background(), incident, "enough", "resolved", "ana"); err != nil || !d.Applied {
		t.Fatalf("got %+v, %v", d, err)
	}
	b.status(run, engine.RunDone)
	equal(t, "calls", b.world.did("sim.put"), []string{})
	if r := b.run(run); r.Sleeps != "" {
		t.Errorf("it sleeps in %q", r.Sleeps)
	}
}

// TestBranchesInDoubtAtOnce: each is resolved for itself, then all go on.
func TestBranchesInDoubtAtOnce(t *testing.T) {
	t.Parallel()
	b, incident, run := inDoubt(t, 3, "def f(i):\n    i.set(got = parallel(lambda: sim.put('x'), lambda: sim.tag('y'), lambda: sim.put('z')))\n")
	contains(t, "error", b.run(run).Error.Message, "2 steps were started")
	for step, in := range map[string]engine.Resolution{
		"1.0/1": {Outcome: engine.OutcomeHappened, Value: engine.Data(`"seen"`)}, "1.2/1": {Outcome: engine.OutcomeAgain},
	} {
		in.Step = step
		if d := b.resolve(run, in); !d.Applied {
			t.Errorf("%s: got %+v", step, d)
		}
	}
	b.status(run, engine.RunDone)
	if got := fmt.Sprint(b.fact(incident, "got")); got != "[seen y z]" {
		t.Errorf("got %s", got)
	}
	if x := b.world.did("sim.put"); len(x) != 3 || x[2] != "sim.put z" {
		t.Errorf("got %v, want z again", x)
	}
	b.rebuilds()
}

func TestALargeResultOfABranchIsABlob(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    got = parallel(lambda what: sim.read(what), each = ["a", "b", "c"], at_once = 2)
    sleep("1h")
    i.set(sizes = [len(g) for g in got])
`)
	b.world.on("sim.read", func(context.Context, *engine.Call) (engine.Result, error) {
		return engine.Result{Value: strings.Repeat("x", 100<<10)}, nil
	})
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.advance(time.Hour)
	b.status(run, engine.RunDone)
	if got := fmt.Sprint(b.fact(incident, "sizes")); got != "[102400 102400 102400]" {
		t.Errorf("got %s", got)
	}
}

// TestBranchesShareTheJournalsLimit: the steps of all of them count.
func TestBranchesShareTheJournalsLimit(t *testing.T) {
	t.Parallel()
	b := playbookWith(t, boxConfig{steps: 20}, `
def f(i):
    def reads(n):
        for k in range(10):
            sim.read("%d %d" % (n, k))
    parallel(reads, each = [1, 2, 3])
`)
	_, run := b.start()
	if r := b.status(run, engine.RunFailed); !strings.Contains(r.Error.Message, "a run may have 20 steps") || r.Error.Cause != "limit" {
		t.Errorf("got %s", describe(r.Error))
	}
}
