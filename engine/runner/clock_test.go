package runner_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// machine is one whose clock a test sets beside the time that goes by.
type machine struct {
	clock *clock

	mu    sync.Mutex // guards what follows
	ahead time.Duration
	sync  engine.Sync
}

func (m *machine) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clock.Now().Add(m.ahead)
}

func (m *machine) Up() time.Duration { return time.Duration(m.clock.Now().UnixNano()) }

func (m *machine) Sync() engine.Sync {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sync
}

func (m *machine) Sleep(ctx context.Context, d time.Duration) error { return m.clock.Sleep(ctx, d) }

// set sets the clock so far ahead of the time, and what keeps it.
func (m *machine) set(ahead time.Duration, sync engine.Sync) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead, m.sync = ahead, sync
}

// held waits until the clock of a shard is held, or not.
func (b *box) held(shard uint16, on bool) engine.ClockHold {
	b.t.Helper()
	var h engine.ClockHold
	b.bell.until(b.t, fmt.Sprint("the clock is held: ", on), func() bool {
		var err error
		h, err = b.state.Clock(shard)
		must(b.t, err)
		if h.On != on {
			b.wake(time.Minute) // to look at it
		}
		return h.On == on
	})
	return h
}

// wake lets time go by for those who sleep no longer than d.
func (b *box) wake(d time.Duration) {
	if to := b.clock.Now().Add(d); b.clock.sleeps(to) {
		b.clock.set(to)
	}
}

const (
	to1970 = -57 * 365 * 24 * time.Hour
	to2036 = 10 * 365 * 24 * time.Hour
)

const asksWithDefault = `def f(i):
    a = ask('dave', 'Block it?', choices = ['Block', 'Allow'], timeout = '2h', default = 'Block')
    i.set(choice = a.choice, timed_out = a.timed_out)
`

// TestNobodyAnswersWhileTheClockIsHeld: while the clock cannot be trusted no
// default answers, also when by either clock its time has come; people may. Once
// it is right again, it goes on.
func TestNobodyAnswersWhileTheClockIsHeld(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"1970": to1970, "2036": to2036, "+11 minutes": 11 * time.Minute, "-11 minutes": -11 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &machine{}
			b := playbookWith(t, boxConfig{watch: m, shards: 2}, asksWithDefault)
			incident, run := b.start()
			q := b.question()
			b.status(run, engine.RunWaiting)
			before := b.clock.Now()
			m.set(ahead, engine.SyncUnknown)
			h := b.held(0, true)
			if from := h.From.Sub(before); from < 0 || from > time.Hour || h.To.Sub(h.From) != ahead || !strings.HasPrefix(h.Why, "the clock was set ") {
				t.Errorf("got %+v", h)
			}
			b.held(1, true)
			told := b.told()
			if want := "The clock jumped, and timers wait: " + h.Why; told.Title != want || told.Type != "clock" || told.Status != engine.IncidentOpen {
				t.Errorf("got the incident %+v, want %q", told, want)
			}
			b.clock.set(b.clock.Now().Add(3 * time.Hour)) // its time has come
			b.held(0, true)
			b.wake(time.Minute)
			o := b.append(0, record.TimerFiredKind, record.TimerFired{Timer: b.timer(q.ID)})
			if o.Applied || b.run(run).Status != engine.RunWaiting {
				t.Fatalf("got %+v: nobody answered while the clock is held", o)
			}
			m.set(0, engine.SyncUnknown)
			if h := b.held(0, false); h.How != engine.ClockRight {
				t.Errorf("got %+v", h)
			}
			b.status(run, engine.RunDone)
			b.facts(incident, map[string]engine.Value{"choice": "Block", "timed_out": true})
		})
	}
}

// told waits for the incident of a clock that is held.
func (b *box) told() engine.Incident {
	b.t.Helper()
	var list []engine.Incident
	b.bell.until(b.t, "there is one incident of the clock", func() bool {
		b.wake(time.Minute)
		var err error
		list, _, err = b.state.Incidents(engine.IncidentFilter{Type: "clock"}, "", 10)
		must(b.t, err)
		return len(list) == 1
	})
	return list[0]
}

// timer is the timer of a question.
func (b *box) timer(question string) string {
	b.t.Helper()
	due, err := b.state.DueTimers(0, b.clock.Now().Add(1000*time.Hour), 10)
	must(b.t, err)
	for _, tm := range due {
		if tm.Target == question {
			return tm.ID
		}
	}
	b.t.Fatalf("no timer of %s in %+v", question, due)
	return ""
}

// TestAPersonAnswersWhileTheClockIsHeld: the run goes on, at a time that goes on.
func TestAPersonAnswersWhileTheClockIsHeld(t *testing.T) {
	t.Parallel()
	m := &machine{}
	b := playbookWith(t, boxConfig{watch: m}, asksWithDefault)
	incident, run := b.start()
	q := b.question()
	begun := b.clock.Now()
	m.set(to2036, engine.SyncUnknown)
	b.held(0, true)
	if d := b.answer(q.ID, engine.Reply{Choice: "Allow", By: engine.Addressee{Name: "dave"}, How: "page", Proof: engine.ProofToken}); !d.Applied {
		t.Fatalf("got %+v", d)
	}
	r := b.status(run, engine.RunDone)
	if took := r.Ended.Sub(begun); took < 0 || took > time.Hour {
		t.Errorf("got a run that ended after %v", took)
	}
	b.facts(incident, map[string]engine.Value{"choice": "Allow", "timed_out": false})
}

// TestAcceptingTheClock: what an administrator says is the time, is.
func TestAcceptingTheClock(t *testing.T) {
	t.Parallel()
	m := &machine{}
	b := playbookWith(t, boxConfig{watch: m}, "def f(i):\n    sleep('2h')\n")
	accept := func() engine.Decision {
		d, err := b.runner.AcceptClock(context.Background(), "dave", "it was an hour slow")
		must(t, err)
		return d
	}
	if d := accept(); d.Applied || d.Why != "the clock is not held" {
		t.Errorf("got %+v of a clock that is not held", d)
	}
	_, run := b.start()
	b.status(run, engine.RunWaiting)
	m.set(150*time.Minute, engine.SyncUnknown)
	b.held(0, true)
	if d := accept(); !d.Applied {
		t.Fatalf("got %+v", d)
	}
	b.status(run, engine.RunDone)
	if h := b.held(0, false); h.By != "dave" || h.How != engine.ClockAccepted || h.Why != "it was an hour slow" {
		t.Errorf("got %+v", h)
	}
}

// TestTheClockAfterARest: a box that is started with a clock that cannot be right
// waits, over starts, until it is right; one that was off for days does not.
func TestTheClockAfterARest(t *testing.T) {
	t.Parallel()
	m := &machine{}
	b := playbookWith(t, boxConfig{watch: m}, "def f(i):\n    sleep('2h')\n")
	_, run := b.start()
	b.status(run, engine.RunWaiting)
	b.close()
	m.set(to1970, engine.SyncAwaited)
	b.open()
	if h := b.held(0, true); !strings.Contains(h.Why, "which cannot be") {
		t.Errorf("got %+v", h)
	}
	first := b.told()
	b.reopen()
	b.held(0, true)
	if again := b.told(); again.ID != first.ID {
		t.Errorf("got incident %s after another start, want %s", again.ID, first.ID)
	}
	if r := b.run(run); r.Status != engine.RunWaiting {
		t.Fatalf("got run %s", r.Status)
	}
	m.set(72*time.Hour, engine.SyncAwaited)
	b.wake(time.Minute)
	b.held(0, true)
	m.set(72*time.Hour, engine.Synced)
	b.held(0, false)
	b.status(run, engine.RunDone)

	_, run = b.start()
	b.status(run, engine.RunWaiting)
	b.close()
	m.set(0, engine.SyncUnknown)
	b.clock.set(b.clock.Now().AddDate(0, 0, 9))
	b.open()
	b.status(run, engine.RunDone)
	b.held(0, false)
}
