package runner_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/sandbox"
	"larkspur/engine/state"
)

// bothShards plays a test on one shard and on eight, where a lock is mostly in
// another one than the runs.
func bothShards(t *testing.T, play func(t *testing.T, cfg boxConfig)) {
	for _, shards := range []int{1, 8} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			t.Parallel()
			play(t, boxConfig{shards: shards})
		})
	}
}

// holder asks a person while it holds a lock; others wait for it.
const holder = `
def f(i):
    l = lock("printer")
    sim.put("in " + run.id)
    ask("dave", run.id, choices = ["go"])
    sim.put("out " + run.id)
    l.release()
    l.release()
    sim.tag("after")
    ask("ana", "end of " + run.id, choices = ["go"])
`

// asked waits for a question with a text, and answers it.
func (b *box) asked(text, choice string) {
	b.t.Helper()
	id := ""
	b.bell.until(b.t, "the question "+text+" is open", func() bool {
		qs, _, err := b.state.Questions(engine.QuestionFilter{Status: engine.QuestionOpen}, "", 100)
		must(b.t, err)
		for _, q := range qs {
			if q.Text == text {
				id = q.ID
			}
		}
		return id != ""
	})
	b.answer(id, engine.Reply{Choice: choice, By: engine.Addressee{Name: "dave"}})
}

// waits waits until a run waits for something.
func (b *box) waits(run, what string) {
	b.t.Helper()
	b.bell.until(b.t, run+" waits for "+what, func() bool {
		r := b.run(run)
		if r.Error != nil {
			b.t.Fatalf("run %s is %s: %s", run, r.Status, describe(r.Error))
		}
		return strings.Contains(r.Waits, what)
	})
}

// TestALockGoesFromRunToRun: one holds it, the others wait in the order in which
// they asked, across restarts of the process, and hold no memory.
func TestALockGoesFromRunToRun(t *testing.T) {
	bothShards(t, func(t *testing.T, cfg boxConfig) {
		b := playbookWith(t, cfg, holder)
		var runs []string
		for n := range 3 {
			_, run := b.start()
			runs = append(runs, run)
			if n > 0 {
				b.waits(run, `lock "printer" held by run `+runs[0])
			} else {
				b.waits(run, "an answer")
			}
		}
		list, _, err := b.state.Runs(engine.RunFilter{Status: engine.RunWaiting}, "", 10)
		must(t, err)
		contains(t, "the list", fmt.Sprint(list), `lock "printer" held by run `+runs[0])
		b.reopen()
		for n, run := range runs {
			if n < 2 {
				b.waits(runs[2], "held by run "+run)
			}
			b.asked(run, "go")
		}
		for _, run := range runs {
			b.asked("end of "+run, "go")
			b.status(run, engine.RunDone)
		}
		b.noLocks()
		got := strings.Join(b.world.did("sim.put"), " ")
		want := ""
		for _, run := range runs {
			want += " sim.put in " + run + " sim.put out " + run
		}
		if got != strings.TrimSpace(want) {
			t.Errorf("got %s, want%s", got, want)
		}
		b.rebuilds()
	})
}

// noLocks wants that no lock is held, and nobody knows of one.
func (b *box) noLocks() {
	b.t.Helper()
	b.bell.until(b.t, "no lock is held", func() bool {
		for key := range b.projections() {
			if key[0] == 'G' || key[0] == '0' {
				return false
			}
		}
		return true
	})
	runs, _, err := b.state.Runs(engine.RunFilter{}, "", 100)
	must(b.t, err)
	for _, r := range runs {
		if len(r.Locks) > 0 {
			b.t.Errorf("run %s still has %+v", r.ID, r.Locks)
		}
	}
}

// TestWhatEndsARunGivesItsLocksUp: however it ends.
func TestWhatEndsARunGivesItsLocksUp(t *testing.T) {
	source := `
def f(i):
    lock("printer")
    sim.block("02:00:00:00:00:07")
    ask("dave", run.id, choices = ["go", "fail"])
`
	tests := []struct {
		name, ends string
		end        func(b *box, incident, run string)
	}{
		{"done", engine.RunDone, func(b *box, _, run string) { b.asked(run, "go") }},
		{"closed", engine.RunDone, func(b *box, i, _ string) { b.did(b.runner.CloseIncident(context.Background(), i, "x", "", "ana")) }},
		{"undone", engine.RunUndone, func(b *box, _, run string) { b.restart(run, engine.RestartRequest{By: "ana"}) }},
		{"failed", engine.RunFailed, func(b *box, _, run string) {
			b.world.on("sim.block", func(ctx context.Context, c *engine.Call) (engine.Result, error) {
				if c.Run == run {
					return engine.Result{}, engine.Errorf(engine.Denied, "no")
				}
				return doBlock(ctx, c)
			})
			b.restart(run, engine.RestartRequest{Step: "2", By: "ana"})
		}},
		{"restarted", engine.RunWaiting, func(b *box, _, run string) { b.restart(run, engine.RestartRequest{Step: "1", By: "ana"}) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bothShards(t, func(t *testing.T, cfg boxConfig) {
				b := playbookWith(t, cfg, source)
				incident, one := b.start()
				b.waits(one, "an answer")
				_, two := b.start()
				b.waits(two, `lock "printer" held by run `+one)
				tt.end(b, incident, one)
				b.waits(two, "an answer")
				if tt.ends == engine.RunWaiting {
					b.waits(one, `lock "printer" held by run `+two)
					b.asked(two, "go")
					b.waits(one, "an answer")
				} else {
					b.status(one, tt.ends)
					b.asked(two, "go")
				}
				b.status(two, engine.RunDone)
				b.rebuilds()
			})
		})
	}
}

// TestALockInTime: time is over, an incident is closed, an attempt's time is over:
// who waited is out of the queue.
func TestALockInTime(t *testing.T) {
	bothShards(t, func(t *testing.T, cfg boxConfig) {
		b := playbookWith(t, cfg, `
def f(i):
    lock("printer")
    ask("dave", run.id, choices = ["go"])

def late(i):
    a = attempt(lambda: lock("printer", timeout = "1h"))
    i.set(kind = a.error.kind, message = a.error.message)

def bounded(i):
    a = attempt(lambda: lock("printer"), timeout = "1h")
    i.set(kind = a.error.kind, message = a.error.message)

def closed(i):
    a = attempt(lambda: lock("printer"))
    i.set(kind = a.error.kind, message = a.error.message)
`)
		_, one := b.start()
		b.waits(one, "an answer")
		incidents, runs := map[string]string{}, map[string]string{}
		for _, name := range []string{"late", "bounded", "closed"} {
			incidents[name], runs[name] = b.startWith(record.EventMatched{Do: engine.Handler{File: "a.star", Name: name}})
			b.waits(runs[name], `lock "printer"`)
		}
		b.did(b.runner.CloseIncident(context.Background(), incidents["closed"], "x", "", "ana"))
		b.status(runs["closed"], engine.RunDone)
		b.advance(time.Hour)
		b.status(runs["late"], engine.RunDone)
		b.status(runs["bounded"], engine.RunDone)
		b.facts(incidents["closed"], map[string]engine.Value{"kind": "closed"})
		b.facts(incidents["late"], map[string]engine.Value{"kind": "timeout", "message": `lock "printer": it was not free in time`})
		b.facts(incidents["bounded"], map[string]engine.Value{"kind": "timeout", "message": "lock: the attempt's time is over"})
		b.asked(one, "go")
		b.status(one, engine.RunDone)
		b.noLocks()
		b.rebuilds()
	})
}

// TestARunHasItsOwnLocks: asked for again they are had at once, in branches, too;
// only the last release gives one up.
func TestARunHasItsOwnLocks(t *testing.T) {
	bothShards(t, func(t *testing.T, cfg boxConfig) {
		b := playbookWith(t, cfg, `
def f(i):
    a = lock("printer")
    b = lock("printer")
    c = parallel(lambda: lock("printer"), lambda: lock("printer", timeout = "1m"))
    a.release()
    c[0].release()
    c[1].release()
    ask("dave", run.id, choices = ["go"])
    b.release()
    ask("dave", "after", choices = ["go"])

def other(i):
    lock("printer")

def branches(i):
    parallel(lambda: lock("printer"), lambda: lock("printer"))
`)
		_, one := b.start()
		b.waits(one, "an answer")
		_, two := b.startWith(record.EventMatched{Do: engine.Handler{File: "a.star", Name: "other"}})
		b.waits(two, "held by run "+one)
		_, three := b.startWith(record.EventMatched{Do: engine.Handler{File: "a.star", Name: "branches"}})
		b.waits(three, "held by run "+one)
		b.asked(one, "go")
		b.status(two, engine.RunDone)
		b.status(three, engine.RunDone)
		b.asked("after", "go")
		b.status(one, engine.RunDone)
		b.noLocks()
		b.rebuilds()
	})
}

// TestTwoRunsThatWaitForEachOther: the second to ask is told at once.
func TestTwoRunsThatWaitForEachOther(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i, one, two):
    lock(one)
    ask("dave", run.id, choices = ["go"])
    a = attempt(lambda: lock(two, timeout = "1h"))
    i.set(kind = a.error.kind if a.error else "", message = a.error.message if a.error else "")
`)
	begin := func(one, two string) (string, string) {
		return b.startWith(record.EventMatched{Args: engine.MustEncode(map[string]engine.Value{"one": one, "two": two})})
	}
	i1, r1 := begin("a", "b")
	i2, r2 := begin("b", "c")
	i3, r3 := begin("c", "a")
	for _, run := range []string{r1, r2, r3} { // each holds its first
		b.waits(run, "an answer")
	}
	b.asked(r1, "go")
	b.waits(r1, `lock "b" held by run `+r2)
	b.asked(r2, "go")
	b.waits(r2, `lock "c" held by run `+r3)
	b.asked(r3, "go")
	for _, run := range []string{r3, r2, r1} {
		b.status(run, engine.RunDone)
	}
	b.facts(i1, map[string]engine.Value{"kind": ""})
	b.facts(i2, map[string]engine.Value{"kind": ""})
	b.facts(i3, map[string]engine.Value{"kind": "conflict", "message": fmt.Sprintf(
		`lock "a": run %s holds it and waits for lock "b", which run %s holds and waits for lock "c", which run %s holds: neither would go on`, r1, r2, r3)})
	b.noLocks()
	b.rebuilds()
}

// TestARestartHoldsItsLocksAgain: from a step between lock and release, of a run
// that is over, the lock is taken again before the run goes on.
func TestARestartHoldsItsLocksAgain(t *testing.T) {
	bothShards(t, func(t *testing.T, cfg boxConfig) {
		b := playbookWith(t, cfg, holder)
		_, one := b.start()
		b.asked(one, "go")
		b.asked("end of "+one, "go")
		b.status(one, engine.RunDone)
		_, two := b.start()
		b.waits(two, "an answer")
		for _, step := range []string{"3", "2"} { // the second while it waits
			if d := b.restart(one, engine.RestartRequest{Step: step, By: "ana"}); !d.Applied {
				t.Fatalf("got %+v", d)
			}
			b.waits(one, `lock "printer" held by run `+two)
			b.reopen()
		}
		before := len(b.world.did("sim.put"))
		b.asked(two, "go")
		b.waits(two, "an answer of ana")
		b.waits(one, "an answer of dave")
		_, three := b.start()
		b.waits(three, "held by run "+one)
		b.asked(one, "go")
		b.asked("end of "+one, "go")
		b.asked(three, "go")
		for _, run := range []string{two, three} {
			b.asked("end of "+run, "go")
		}
		for _, run := range []string{one, two, three} {
			b.status(run, engine.RunDone)
		}
		if got := len(b.world.did("sim.put")) - before; got != 5 { // out of two, in and out of one, and of three
			t.Errorf("got %d effects: %v", got, b.world.did("sim.put"))
		}
		b.noLocks()
		b.rebuilds()
	})
}

// TestAShadowRunHoldsNoLock: it changes nothing that would have to be guarded.
func TestAShadowRunHoldsNoLock(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    l = lock('printer')\n    ask('dave', run.id, choices = ['go'])\n    l.release()\n")
	_, one := b.start()
	b.waits(one, "an answer")
	_, two := b.startWith(record.EventMatched{Mode: "shadow"})
	b.status(two, engine.RunDone)
	b.asked(one, "go")
	b.status(one, engine.RunDone)
}

// guarded does something at one place for an hour.
const guarded = `
def f(i):
    l = lock("printer")
    sim.tag("in " + run.id)
    sleep("1h")
    sim.tag("out " + run.id)
    l.release()
    sim.tag("after " + run.id)
`

// three begins a life with three runs that have not begun; cut, if not 0, is after
// how many commits the power goes out.
func three(t *testing.T, cfg boxConfig, source string, cut int) *box {
	t.Helper()
	b := playbookWith(t, cfg, source)
	b.close()
	b.idle = true
	b.open()
	for range 3 {
		b.start()
	}
	b.close()
	b.idle, b.cut = false, cut
	b.open()
	b.cut = 0
	return b
}

// guards lets time pass until all three runs are over, or the power is out.
func (b *box) guards() {
	b.t.Helper()
	b.bell.until(b.t, "all runs are over", func() bool {
		ready, err := b.state.Ready(0)
		must(b.t, err)
		over := 0
		for _, run := range []string{"r0-1", "r0-2", "r0-3"} {
			if b.run(run).Status == engine.RunDone {
				over++
			}
		}
		if to := b.clock.Now().Add(time.Hour); len(ready) == 0 && b.clock.sleeps(to) {
			b.clock.set(to)
			b.bell.ring()
		}
		return b.power.isOut() || over == 3
	})
}

// oneAtATime wants that no two runs were in the guarded place at once.
func (b *box) oneAtATime() {
	b.t.Helper()
	inside := ""
	calls := b.world.did("sim.tag")
	for _, call := range calls {
		what, run, _ := strings.Cut(strings.TrimPrefix(call, "sim.tag "), " ")
		if what == "after" {
			continue
		}
		if inside != "" && inside != run {
			b.t.Fatalf("%s is at the printer, and %s", inside, call)
		}
		if inside = run; what == "out" {
			inside = ""
		}
	}
	for _, run := range []string{"r0-1", "r0-2", "r0-3"} {
		b.status(run, engine.RunDone)
	}
	b.noLocks()
}

// TestALockAndThePower: wherever the power goes out, the lock passes on, to one at
// a time.
func TestALockAndThePower(t *testing.T) {
	bothShards(t, func(t *testing.T, cfg boxConfig) {
		b := three(t, cfg, guarded, 0)
		b.guards()
		b.oneAtATime()
		commits := b.power.count()
		b.rebuilds()
		if commits < 15 {
			t.Fatalf("got %d commits: too few to say much", commits)
		}
		for cut := 1 + cfg.shards%3; cut < commits; cut += 3 { // three runs say the same thrice
			b := three(t, cfg, guarded, cut)
			b.guards()
			b.reopen()
			b.guards()
			b.oneAtATime()
			b.close()
		}
	})
}

// TestALockAndItsWorker: the worker dies after each record; the replays change
// nothing.
func TestALockAndItsWorker(t *testing.T) {
	t.Parallel()
	p := ownPool(t, nil)
	for at, last := int64(0), int64(1); at <= last; at += 7 { // three runs say the same thrice
		b := three(t, boxConfig{pool: p}, guarded, 0)
		var seen atomic.Int64
		b.onNotice.Store(func(state.Notice) {
			if seen.Add(1) == at {
				if pid := p.Status()[0].PID; pid > 0 {
					_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
				}
			}
		})
		b.guards()
		b.oneAtATime()
		if at == 0 {
			last = seen.Load()
		}
		b.close()
	}
}

// TestAScriptThatHoldsALock: and then goes on for ever, kills its worker, or is
// killed with it, keeps others waiting no longer than it lives.
func TestAScriptThatHoldsALock(t *testing.T) {
	tests := []struct{ name, attack, ends string }{
		{"loops", "while True:\n        pass", engine.RunFailed},
		{"fills the memory", "x = [0] * 1000000000", engine.RunQuarantined},
		{"locks for ever", "for n in range(20000):\n        lock(str(n))", engine.RunFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := ownPool(t, func(c *sandbox.Config) { c.Hello.MaxTicks = 2_000_000 })
			b := playbookWith(t, boxConfig{pool: p, steps: 200}, `
def f(i):
    lock("printer")
    sim.tag("holds")
    sleep("1m")
    `+tt.attack+`

def other(i):
    lock("printer")
`)
			_, one := b.start()
			b.waits(one, "until")
			_, two := b.startWith(record.EventMatched{Do: engine.Handler{File: "a.star", Name: "other"}})
			b.waits(two, "held by run "+one)
			b.advance(time.Minute)
			b.status(two, engine.RunDone)
			b.status(one, tt.ends)
			b.noLocks()
			b.rebuilds()
		})
	}
}
