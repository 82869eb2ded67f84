package runner_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/sandbox"
)

// story is a playbook with a step of every kind.
const story = `
def flip(n):
    return sim.tag("flip " + str(n))

def flop(done, n):
    sim.tag("flop " + str(n))

def f(i):
    seen = sim.read("first")
    i.set(seen = seen, begun = now())
    sim.put("one")
    sim.tag("two")
    b = sim.block("02:00:00:00:00:07", expires = "8h")
    c = change("flip it", do = flip, undo = flop, args = {"n": 3})
    a = ask("dave", "What now?", choices = ["Allow", "Block"], timeout = "2h", default = "Allow")
    i.note(a.choice + " by " + a.by.name)
    sleep("1h")
    r = attempt(lambda: sim.read("weak"), tries = 2, backoff = "1m")
    i.set(tries = r.value)
    c.undo()
    sim.mail("ana@example.org")
    sim.put(sim.read("last"))
    i.close("over", quiet = "1h")
`

// drive plays the people and the time around a run until every run is over, or
// the power is out.
func (b *box) drive() {
	b.t.Helper()
	late := time.After(patience)
	for {
		rung := b.bell.next()
		if b.power.isOut() || b.turn() {
			return
		}
		select {
		case <-rung:
		case <-late:
			runs, _, _ := b.state.Runs(engine.RunFilter{}, "", 10)
			b.t.Fatalf("gave up: %+v", runs)
		}
	}
}

// turn does what the runs wait for; true when nothing is left to do.
func (b *box) turn() (over bool) {
	b.t.Helper()
	ready, err := b.state.Ready(0)
	must(b.t, err)
	if len(ready) > 0 {
		return false // they go on by themselves
	}
	qs, _, err := b.state.Questions(engine.QuestionFilter{Status: engine.QuestionOpen}, "", 1)
	must(b.t, err)
	counts, err := b.state.Counts()
	must(b.t, err)
	runs, _, err := b.state.Runs(engine.RunFilter{}, "", 1)
	must(b.t, err)
	switch {
	case len(qs) > 0:
		_, _ = b.runner.Answer(context.Background(), qs[0].ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "ana"}}) // the power may go out
	case len(runs) > 0 && counts.WaitingRuns == 0 && counts.ChangesInForce == 0:
		return true
	case b.clock.sleeps(b.clock.Now().Add(8 * time.Hour)):
		b.clock.set(b.clock.Now().Add(time.Hour))
		b.bell.ring()
	}
	return false
}

// theWorld is a world that knows what happened, and can be asked.
func theWorld(b *box) (happened func(name string) map[string]int) {
	b.world.on("sim.read", func(_ context.Context, c *engine.Call) (engine.Result, error) {
		if c.Key == "r0-1/1/12" || c.Key == "r0-1/1/1.2/3" { // the first try of what is weak
			return engine.Result{}, engine.Errorf(engine.Unavailable, "not now")
		}
		return engine.Result{Value: c.Text("what")}, nil
	})
	done := func(name string) map[string]int {
		keys := map[string]int{}
		b.world.mu.Lock()
		defer b.world.mu.Unlock()
		for _, c := range b.world.calls {
			if c.Name == name {
				keys[c.Key+" "+c.Text("what")+c.Text("mac")]++
			}
		}
		return keys
	}
	for _, name := range []string{"sim.put", "sim.block"} {
		b.world.probe(name, func(ctx context.Context, c *engine.Call) (bool, engine.Result, error) {
			if done(name)[c.Key+" "+c.Text("what")+c.Text("mac")] == 0 {
				return false, engine.Result{}, nil
			}
			if name == "sim.block" {
				r, err := doBlock(ctx, c)
				return true, r, err
			}
			return true, engine.Result{Value: c.Text("what")}, nil
		})
	}
	return done
}

// ending sums up what a run came to.
func (b *box) ending(happened func(string) map[string]int) string {
	b.t.Helper()
	var s strings.Builder
	runs, _, err := b.state.Runs(engine.RunFilter{}, "", 50)
	must(b.t, err)
	// Runs that begin at the same time get their numbers as it happens: they are
	// told by what they are for.
	var names, lines []string
	for _, r := range runs {
		name := strings.TrimSpace(r.Purpose + " " + r.Change + r.Question)
		names = append(names, r.ID, name)
		lines = append(lines, fmt.Sprintf("%s %s %s %v\n", name, r.Status, r.Incident, r.Error))
	}
	slices.Sort(lines)
	s.WriteString(strings.Join(lines, ""))
	i := b.incident("i0-1")
	fmt.Fprintf(&s, "%s %s %q by %s, facts %s %v\n", i.ID, i.Status, i.Reason, i.ClosedBy, i.Fields, i.Order)
	changes := b.changes("i0-1")
	for n := len(changes) - 1; n >= 0; n-- {
		fmt.Fprintf(&s, "%s %s %s by %s\n", changes[n].ID, changes[n].Title, changes[n].Status, changes[n].UndoneBy)
	}
	for _, st := range b.steps("r0-1") {
		fmt.Fprintf(&s, "%d %s %s %s\n", st.Number, st.Builtin, st.Status, st.At)
	}
	named := strings.NewReplacer(names...)
	for _, name := range []string{"sim.put", "sim.block", "sim.tag", "sim.unblock", "smtp.deliver"} {
		keys := map[string]int{}
		for k, times := range happened(name) {
			if strings.HasPrefix(named.Replace(k), "outbox q") {
				continue // unless the answer was first
			}
			if name != "sim.put" && name != "sim.block" {
				times = 1 // repeated under the same key
			}
			keys[named.Replace(k)] = times // those of class once: once each, or it shows
		}
		fmt.Fprintln(&s, name, keys)
	}
	return named.Replace(s.String())
}

// begin starts the story on a new box, with the power going out after so many
// commits.
func begin(t *testing.T, prepare func(b *box)) (*box, func(string) map[string]int) {
	t.Helper()
	b := playbook(t, story)
	happened := theWorld(b)
	if prepare != nil {
		prepare(b)
	}
	match := record.EventMatched{
		Rule: "r", Event: "e0-1", Offer: "o", Bundle: b.bundle, Mode: "live", Severity: "low", Type: "t", Title: "T",
		Do: engine.Handler{File: "a.star", Name: "f"},
	}
	b.append(0, record.EventSeenKind, record.EventSeen{Kind: "dns", Source: "eth1", Time: b.clock.Now()})
	_, _ = b.offer(0, record.EventMatchedKind, match) // the power may go out
	return b, happened
}

// TestACrashAfterEveryCommit: wherever the power goes out, just after a commit
// or just before the next one, the run comes to the same end, and nothing
// happens twice.
func TestACrashAfterEveryCommit(t *testing.T) {
	t.Parallel()
	b, happened := begin(t, nil)
	first := b.power.count()
	b.drive()
	commits := b.power.count() - first + 1
	want := b.ending(happened)
	for _, line := range []string{
		"playbook done i0-1 <nil>", `i0-1 closed "over" by run playbook`, "flip it undone by run playbook", "block 02:00:00:00:00:07 undone by its time is over",
	} {
		contains(t, "without a crash", want, line)
	}
	if commits < 15 {
		t.Fatalf("got %d commits: the story is too short to say much", commits)
	}
	for n := 1; n < commits; n++ {
		for _, atNext := range []bool{false, true} {
			if !atNext && n%3 > 0 {
				continue // the harder half says nearly all
			}
			t.Run(fmt.Sprintf("%d %v", n, atNext), func(t *testing.T) {
				t.Parallel()
				b, happened := begin(t, func(b *box) { b.power.after(n+1, atNext) })
				b.drive()
				b.reopen()
				b.drive()
				if got := b.ending(happened); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

// TestACrashAfterEachCommit: a box that is switched off again and again after
// one commit of each life gets there, too.
func TestACrashAfterEachCommit(t *testing.T) {
	t.Parallel()
	b, happened := begin(t, nil)
	b.drive()
	want := b.ending(happened)
	b, happened = begin(t, func(b *box) { b.power.after(2, false) })
	for lives := 0; ; lives++ {
		b.drive()
		if !b.power.isOut() {
			break
		}
		if lives > 100 {
			t.Fatal("it does not come to an end")
		}
		b.close()
		b.cut = 1
		b.open()
	}
	if got := b.ending(happened); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestInDoubt: a step of class once that was started and has no result is never
// repeated silently.
func TestInDoubt(t *testing.T) {
	tests := []struct {
		name   string
		probe  func(n int) (bool, error) // nil: none
		pauses int
		status string
		calls  int // of sim.put, over both lives
	}{
		{"no probe", nil, 0, engine.RunInDoubt, 1},
		{"it happened", func(int) (bool, error) { return true, nil }, 0, engine.RunDone, 1},
		{"it did not happen", func(int) (bool, error) { return false, nil }, 0, engine.RunDone, 2},
		{"nobody answers at first", func(n int) (bool, error) {
			if n < 3 {
				return false, engine.Errorf(engine.Unavailable, "sim: refused")
			}
			return true, nil
		}, 2, engine.RunDone, 1},
		{"nobody knows", func(int) (bool, error) { return false, engine.Errorf(engine.Denied, "sim: not you") }, 0, engine.RunInDoubt, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, "def f(i):\n    r = sim.put('x')\n    i.set(r = r)\n")
			b.power.after(3, true) // event, match, start
			asked := 0
			if tt.probe != nil {
				b.world.probe("sim.put", func(_ context.Context, c *engine.Call) (bool, engine.Result, error) {
					asked++
					happened, err := tt.probe(asked)
					return happened, engine.Result{Value: "as probed"}, err
				})
			}
			incident, run := b.start()
			b.drive()
			b.reopen()
			for range tt.pauses {
				b.advance(time.Second)
			}
			r := b.status(run, tt.status)
			if got := len(b.world.did("sim.put")); got != tt.calls {
				t.Errorf("got %d calls, want %d", got, tt.calls)
			}
			if tt.status != engine.RunInDoubt {
				if want := map[int]string{1: "as probed", 2: "x"}[tt.calls]; b.fact(incident, "r") != want {
					t.Errorf("got result %v, want %v", b.fact(incident, "r"), want)
				}
				return
			}
			if !r.Ended.IsZero() || !r.Error.Maybe || r.Error.Hint == "" || r.Error.At != "scripts/a.star:2:16" {
				t.Errorf("got %+v, %s", r, describe(r.Error))
			}
			contains(t, "story", b.story(incident), "sim.put was started, and nothing says whether it happened")
			b.reopen() // it stays in doubt until a person says
			b.status(run, engine.RunInDoubt)
		})
	}
}

// TestAJournalOfAnotherScriptDiverges: the message shows both sides.
func TestAJournalOfAnotherScriptDiverges(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.read('x')\n    sleep('1h')\n    sim.put('after')\n")
	tests := []struct {
		name string
		step record.StepDone
		want []string
	}{
		{"another builtin", record.StepDone{Builtin: "sim.tag", At: "scripts/a.star:2:13", Args: engine.MustEncode(map[string]engine.Value{"what": "x"})},
			[]string{"another builtin", "recorded: sim.tag", "now:      sim.read"}},
		{"other arguments", record.StepDone{Builtin: "sim.read", At: "scripts/a.star:2:13", Hash: "k1:00", Args: engine.MustEncode(map[string]engine.Value{"what": "y"})},
			[]string{"other arguments", `recorded: sim.read {"what":"y"}`, `now:      sim.read {"what":"x"}`}},
		{"another line", record.StepDone{Builtin: "sim.read", At: "scripts/a.star:9:1"}, []string{"another line", "at scripts/a.star:9:1", "at scripts/a.star:2:13"}},
	}
	for _, tt := range tests {
		// The run's first records are ours: no runner carries them.
		b.close()
		b.idle = true
		b.open()
		incident, run := b.start()
		tt.step.Run, tt.step.Generation, tt.step.Number = run, 1, 1
		b.append(0, record.StepDoneKind, tt.step)
		b.idle = false
		b.reopen()
		r := b.status(run, engine.RunDiverged)
		contains(t, tt.name, r.Error.Message, append(tt.want, "step 1 is not the recorded one")...)
		contains(t, tt.name, b.story(incident), "the run diverged")
	}
	equal(t, "calls", b.world.did(), []string{})
}

// TestThreeDeathsQuarantine: a script that kills its worker is stopped; others
// go on.
func TestThreeDeathsQuarantine(t *testing.T) {
	t.Parallel()
	p := ownPool(t, func(c *sandbox.Config) { c.Silence = 5 * time.Second })
	b := playbookWith(t, boxConfig{pool: p}, "def g(i):\n    sim.put('good')\n\ndef f(i):\n    sim.put('before')\n    n = 1000000000\n    x = [0] * n\n    sim.put('after')\n")
	incident, run := b.start()
	r := b.status(run, engine.RunQuarantined)
	if r.Deaths != 3 || r.Error == nil || !strings.Contains(r.Error.Message, "ended three workers") || r.Error.Hint == "" {
		t.Errorf("got %+v: %s", r, describe(r.Error))
	}
	if r.Error.Kind != engine.Script || r.Error.Cause != "memory" || !strings.HasPrefix(r.Error.At, "scripts/a.star:7:") {
		t.Errorf("got kind %s, cause %q at %q, want script, memory, line 7", r.Error.Kind, r.Error.Cause, r.Error.At)
	}
	equal(t, "calls", b.world.did(), []string{"sim.put before"})
	contains(t, "story", b.story(incident), "the worker that carried the run died")
	b.bell.until(t, "a mail that says so", func() bool { return len(b.world.did("smtp.deliver")) == 1 })
	_, good := b.startWith(record.EventMatched{Do: engine.Handler{File: "a.star", Name: "g"}})
	b.status(good, engine.RunDone)
	b.reopen()
	b.status(run, engine.RunQuarantined)
}

// TestADeathOfTheWorkerLosesNoResult: what an effect came to is recorded though
// the worker died while it went on, under this run's fault or another's.
func TestADeathOfTheWorkerLosesNoResult(t *testing.T) {
	t.Parallel()
	p := ownPool(t, nil)
	b := playbookWith(t, boxConfig{pool: p}, "def f(i):\n    sim.put('x')\n    sim.put('y')\n")
	deaths := 0
	b.world.on("sim.put", func(ctx context.Context, c *engine.Call) (engine.Result, error) {
		if deaths++; deaths == 1 {
			if err := syscall.Kill(p.Status()[0].PID, syscall.SIGKILL); err != nil {
				return engine.Result{}, err
			}
			for p.Status()[0].Deaths == 0 { // until it is reaped
				runtime.Gosched()
			}
		}
		return engine.Result{Value: "ok"}, nil
	})
	_, run := b.start()
	b.status(run, engine.RunDone)
	equal(t, "calls", b.world.did(), []string{"sim.put x", "sim.put y"})
	if r := b.run(run); r.Deaths != 0 {
		t.Errorf("got %d deaths counted against an innocent run", r.Deaths)
	}
}

// TestStoppingLosesNoResult: the appliance stops while an effect goes on; it is
// finished and recorded, and not done again by the next start.
func TestStoppingLosesNoResult(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.put('x')\n    sim.put('y')\n")
	begun, finish := make(chan struct{}, 2), make(chan struct{})
	b.world.on("sim.put", func(context.Context, *engine.Call) (engine.Result, error) {
		begun <- struct{}{}
		<-finish
		return engine.Result{Value: "ok"}, nil
	})
	_, run := b.start()
	<-begun
	closed := make(chan struct{})
	go func() { defer close(closed); b.close() }()
	b.bell.until(t, "the runner is told to stop", func() bool {
		select {
		case <-b.stopping:
			return true
		default:
			b.bell.ring()
			return false
		}
	})
	close(finish)
	<-closed
	b.open()
	b.status(run, engine.RunDone)
	equal(t, "calls", b.world.did(), []string{"sim.put x", "sim.put y"})
}

func TestRunsOfEveryShardGoOn(t *testing.T) {
	t.Parallel()
	b := playbookWith(t, boxConfig{shards: 8}, "def f(i):\n    a = ask('dave', 'q?', timeout = '1h', default = 'no')\n    sim.put(a.choice)\n    i.close('x')\n")
	var runs []string
	for n := range 24 {
		shard := uint16(n % 8)
		o := b.append(shard, record.EventMatchedKind, record.EventMatched{
			Rule: "r", Event: "", Offer: fmt.Sprint(n), Bundle: b.bundle, Mode: "live", Title: "T", Do: engine.Handler{File: "a.star", Name: "f"},
		})
		if got, _, _ := engine.ParseID('r', o.Run); got != shard {
			t.Errorf("got run %s in shard %d", o.Run, shard)
		}
		runs = append(runs, o.Run)
	}
	for _, r := range runs {
		b.status(r, engine.RunWaiting)
	}
	b.mails()
	b.close()
	b.clock.set(b.clock.Now().Add(time.Hour))
	b.open()
	for _, r := range runs {
		b.status(r, engine.RunDone)
	}
	if got := len(b.world.did("sim.put")); got != 24 {
		t.Errorf("got %d calls, want 24", got)
	}
	if got := len(b.world.did("smtp.deliver")); got != 24 {
		t.Errorf("got %d mails, want 24", got)
	}
	if counts, err := b.state.Counts(); err != nil || counts != (engine.Counts{}) {
		t.Errorf("got %+v, %v, want nothing open", counts, err)
	}
}
