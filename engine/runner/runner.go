// Package runner carries runs: it starts them in a worker with their journal,
// records each step before the world is touched and after, parks a run that
// waits, and goes on from the ledger alone. Nothing of a run lives outside it.
//
// Use Runner.Run to carry what is ready; the decisions of people enter through
// Answer, ChangeIncident and UndoChange.
package runner

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/sandbox"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// Builtins performs the calls that are not words of our own. Package builtins
// implements it as the one door to the world.
type Builtins interface {
	Lookup(name string) (engine.Builtin, bool)
	Do(ctx context.Context, c *engine.Call) (engine.Result, error)
	Probe(ctx context.Context, c *engine.Call) (happened bool, r engine.Result, err error)
}

// Config of a Runner. All fields but AtOnce are needed.
type Config struct {
	Ledger   *ledger.Ledger
	State    *state.State
	Pool     *sandbox.Pool
	Builtins Builtins
	Clock    engine.Clock
	Engine   string // Larkspur's version
	// People returns the present people and teams.
	People func() People
	// Mails reports whether mail can be sent; nil means that it can.
	Mails func() bool
	// Link returns the address of a page: "incidents/i0-1".
	Link func(page string) string
	// LinkKey makes the tokens of links.
	LinkKey []byte
	// AtOnce is how many runs are carried at once; more wait their turn.
	AtOnce int
	// Calendars returns the present calendars, by name; nil knows none.
	Calendars func() map[string]*calendar.Hours
	// Zone returns the workspace's present time zone.
	Zone func() *time.Location
	// InTurn has the branches of a parallel touch the world one after the other,
	// in their order: for replays and tests, which must end the same every time.
	InTurn bool
	// Live returns the bundle that is live now, with its commit; nil knows none.
	Live func() (bundle, commit string)
	// Steady is the clock below Clock, if it is to be watched: its jumps hold what
	// would fire. Nil watches none.
	Steady *engine.Steady
	// Expect says what is wrong with a trigger that a run wants to expect; nil
	// takes all.
	Expect func(engine.Trigger) error
	// MaxSteps bounds a journal; 0 is 10,000 (LANGUAGE section 3).
	MaxSteps int
}

// defaultAtOnce suits a Pi: a run that is carried costs about 20 KB here.
const defaultAtOnce = 64

// defaultMaxSteps bounds a journal (LANGUAGE section 3).
const defaultMaxSteps = 10_000

// Runner carries runs. Safe for concurrent use.
type Runner struct {
	cfg Config

	mu       sync.Mutex // guards what follows
	queue    []string
	carried  map[string]*turn // runs in a worker now
	more     *sync.Cond
	stopped  bool
	wakeTime context.CancelFunc

	released  chan struct{} // has room for one: the brake was let go
	passed    chan struct{} // has room for one: another shard is to hear of a lock
	counting  chan struct{} // has room for one: a deadline has begun
	calendars chan struct{} // has room for one: calendars have changed

	clock  sync.Mutex // held while the clock is looked at, held or let go; guards toldOf
	toldOf time.Time  // since when the clock is held that people were told of
}

// turn is the carrying of one run.
type turn struct {
	again bool          // something happened to the run: look afterwards
	call  *sandbox.Call // told of it, once it is there
}

// woken tells a call that something happened to its run: a branch may go on.
type woken struct{}

// New returns a runner that does nothing before Run.
func New(cfg Config) *Runner {
	if cfg.AtOnce == 0 {
		cfg.AtOnce = defaultAtOnce
	}
	if cfg.MaxSteps == 0 {
		cfg.MaxSteps = defaultMaxSteps
	}
	r := &Runner{cfg: cfg, carried: map[string]*turn{}, released: make(chan struct{}, 1), passed: make(chan struct{}, 1)}
	r.counting, r.calendars = make(chan struct{}, 1), make(chan struct{}, 1)
	r.more = sync.NewCond(&r.mu)
	return r
}

// Run goes on with every run of the owned shards and carries new ones, until ctx
// ends. Effects that have begun are finished and recorded before it returns.
func (r *Runner) Run(ctx context.Context) error {
	for _, own := range r.cfg.Ledger.Owned() {
		ready, err := r.cfg.State.Ready(own.Shard)
		if err != nil {
			return err
		}
		r.enqueue(ready...)
	}
	stop := context.AfterFunc(ctx, r.stop)
	defer stop()
	var tasks sync.WaitGroup
	for range r.cfg.AtOnce {
		tasks.Go(func() { r.carryAll(ctx) })
	}
	tasks.Go(func() { r.fireTimers(ctx) })
	if r.cfg.Steady != nil {
		tasks.Go(func() { r.watchClock(ctx) })
	}
	tasks.Go(func() { r.releaseHeld(ctx) })
	tasks.Go(func() { r.tellLocks(ctx) })
	tasks.Go(func() { r.countDeadlines(ctx) })
	tasks.Wait()
	return nil
}

func (r *Runner) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	r.more.Broadcast()
}

// Notice takes what was committed: runs that were started or woken, timers that
// were set. It never blocks.
func (r *Runner) Notice(notices []state.Notice) {
	for _, n := range notices {
		if !n.Outcome.Applied {
			continue
		}
		if n.Outcome.Run != "" && startsRun(n.Kind) {
			r.enqueue(n.Outcome.Run)
		}
		r.enqueue(n.Outcome.Runs...)
		r.enqueue(n.Outcome.Woken...)
		if n.Outcome.Timer != "" || n.Outcome.Reminder != "" || n.Kind == record.ClockHeldKind {
			r.wakeTimers()
		}
		if len(n.Outcome.Locks) > 0 {
			signal(r.passed)
		}
		if n.Outcome.Counts {
			signal(r.counting)
		}
	}
}

// startsRun tells outcomes whose Run is new from those that only name one.
func startsRun(k record.Kind) bool {
	switch k {
	case record.EventMatchedKind, record.IncidentOpenedKind, record.JobFiredKind, record.UndoRequestedKind, record.TimerFiredKind, record.ButtonPressedKind, record.JobStartedKind, record.DeadlineBreachedKind:
		return true
	}
	return false
}

func (r *Runner) enqueue(runs ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range runs {
		if t := r.carried[id]; t != nil {
			t.wake()
			continue
		}
		r.queue = append(r.queue, id)
		r.more.Signal()
	}
}

// next returns a run to carry; false when the runner stops.
func (r *Runner) next() (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		for len(r.queue) == 0 && !r.stopped {
			r.more.Wait()
		}
		if r.stopped {
			return "", false
		}
		id := r.queue[0]
		r.queue = r.queue[1:]
		if t := r.carried[id]; t != nil {
			t.wake()
			continue
		}
		r.carried[id] = &turn{}
		return id, true
	}
}

// release ends the carrying of a run; one that was woken meanwhile, or wants to
// go on, is queued again.
func (r *Runner) release(id string, again bool) {
	r.mu.Lock()
	again = again || r.carried[id].again
	delete(r.carried, id)
	r.mu.Unlock()
	if again {
		r.enqueue(id)
	}
}

// wake notes that something happened to the run, and tells its call.
func (t *turn) wake() {
	t.again = true
	if t.call != nil {
		t.call.Post(woken{})
	}
}

// attach has a call told of what happens to its run.
func (r *Runner) attach(id string, call *sandbox.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.carried[id]
	if t == nil {
		return // Settle carries one after the other
	}
	if t.call = call; t.again {
		call.Post(woken{})
	}
}

func (r *Runner) carryAll(ctx context.Context) {
	for {
		id, ok := r.next()
		if !ok {
			return
		}
		again, err := r.carry(ctx, id)
		if err != nil && ctx.Err() == nil {
			complain("run could not go on; trying again", err, "run_id", id)
			again = r.cfg.Clock.Sleep(ctx, pauseAfterFault) == nil
		}
		r.release(id, again)
	}
}

// complain logs a fault after which we try again. Of a full disk the store has
// told, once for all who wait for it.
func complain(what string, err error, args ...any) {
	if !engine.NoRoom(err) {
		slog.Error(what, append(args, "error", err)...)
	}
}

// pauseAfterFault is the pause before a run is tried again after a fault of ours
// (no worker, no disk). Its state is in the ledger; nothing is lost.
const pauseAfterFault = time.Second

// carry takes a run as far as it goes: to its end, or to where it waits. again
// asks for another turn.
func (r *Runner) carry(ctx context.Context, id string) (again bool, err error) {
	run, err := r.cfg.State.Run(id)
	if err != nil || run.Status != engine.RunRunning {
		return false, err
	}
	c := &carrier{r: r, run: run, started: map[string]engine.Step{}, outside: map[string]waiting{}}
	defer c.forget()
	start, err := c.begin(ctx)
	if errors.Is(err, errInDoubt) || errors.Is(err, errAwaitsLock) {
		return false, nil
	}
	if err != nil {
		return false, c.cannotBegin(ctx, err)
	}
	call, err := r.place(ctx, run, start)
	if err != nil {
		return false, err
	}
	defer call.Close()
	r.attach(id, call)
	c.call = call
	again, err = c.converse(ctx)
	c.collect(ctx)
	return again, c.leave(ctx, err)
}

// place opens a run's call: in a worker with others, or, once a worker died on it,
// alone.
func (r *Runner) place(ctx context.Context, run engine.Run, start wire.Run) (*sandbox.Call, error) {
	if run.Deaths > 0 {
		return r.cfg.Pool.StartAlone(ctx, start)
	}
	return r.cfg.Pool.Start(ctx, start)
}

// converse performs the steps that the worker comes up with, until the run ends
// or is to be thrown out of the worker.
func (c *carrier) converse(ctx context.Context) (again bool, err error) {
	for {
		event, err := c.call.Next(ctx)
		if errors.Is(err, sandbox.ErrDied) {
			c.collect(ctx)
			return true, c.died(ctx, err)
		}
		if err != nil {
			return false, err
		}
		if v, err := c.handle(ctx, event); err != nil || v != goOn {
			return v == turnAgain, err
		}
	}
}

// handle does what one event of the call asks for.
func (c *carrier) handle(ctx context.Context, event sandbox.Event) (verdict, error) {
	switch event := event.(type) {
	case *wire.Step:
		a, v, err := c.step(ctx, event)
		return c.deliver(ctx, event, a, v, err)
	case *errand:
		return c.back(ctx, event)
	case *wire.Rest:
		if event.Answered == c.answered { // no answer is under way
			return c.rest(ctx)
		}
	case woken:
		return goOn, c.look(math.MaxUint64)
	case *wire.Ended:
		c.collect(ctx)
		return parked, c.ended(ctx, event)
	}
	return goOn, nil
}

// bundle makes sure that the pool knows a bundle.
func (r *Runner) bundle(ctx context.Context, hash string) error {
	if r.cfg.Pool.Knows(hash) {
		return nil
	}
	b, err := r.cfg.State.Bundle(hash)
	if err != nil {
		return err
	}
	loaded, err := r.cfg.Pool.Load(ctx, wire.Load{Bundle: b, Timezone: r.cfg.Zone().String()})
	if err != nil {
		return err
	}
	for _, p := range loaded.Declarations.Problems {
		if p.Severity == "error" {
			return &engine.Error{Kind: engine.Script, Message: p.Message, Hint: p.Hint, At: position(p)}
		}
	}
	return nil
}

func position(p engine.Problem) string {
	return (engine.Position{File: p.File, Line: p.Line, Col: p.Col}).String()
}

// fireTimers offers each timer's moment to the ledger when it has come.
func (r *Runner) fireTimers(ctx context.Context) {
	for ctx.Err() == nil {
		sleeping, wake := context.WithCancel(ctx)
		r.mu.Lock()
		r.wakeTime = wake
		r.mu.Unlock()
		due, err := r.fireDue(ctx)
		if err != nil && ctx.Err() == nil {
			complain("timers could not fire; trying again", err)
			due = r.cfg.Clock.Now().Add(pauseAfterFault)
		}
		if !due.IsZero() {
			_ = r.cfg.Clock.Sleep(sleeping, due.Sub(r.cfg.Clock.Now())) // woken early is fine
		} else {
			<-sleeping.Done()
		}
		wake()
	}
}

func (r *Runner) wakeTimers() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wakeTime != nil {
		r.wakeTime()
	}
}

// timersAtOnce bounds the timers that one frame fires.
const timersAtOnce = 64

// fireDue fires what is due and returns when the next timer is, zero for never or
// while the clock is held.
func (r *Runner) fireDue(ctx context.Context) (next time.Time, err error) {
	for _, own := range r.cfg.Ledger.Owned() {
		t, ok, err := r.fireDueOf(ctx, own.Shard)
		if err != nil {
			return time.Time{}, err
		}
		if ok && (next.IsZero() || t.Due.Before(next)) {
			next = t.Due
		}
	}
	return next, nil
}

// fireDueOf is fireDue of one shard.
func (r *Runner) fireDueOf(ctx context.Context, shard uint16) (next engine.Timer, ok bool, err error) {
	for {
		may, err := r.timersMayFire(shard)
		if err != nil || !may {
			return engine.Timer{}, false, err
		}
		due, err := r.cfg.State.DueTimers(shard, r.cfg.Clock.Now(), timersAtOnce)
		if err != nil {
			return engine.Timer{}, false, err
		}
		if len(due) == 0 {
			return r.cfg.State.NextTimer(shard)
		}
		records := make([]ledger.New, len(due))
		for i, t := range due {
			records[i] = firing(t)
		}
		if _, err := r.cfg.Ledger.Append(ctx, shard, records...); err != nil {
			return engine.Timer{}, false, err
		}
	}
}

// firing offers that a timer's moment has come.
func firing(t engine.Timer) ledger.New {
	if t.For == state.DeadlineTimer {
		return newRecord(record.DeadlineBreachedKind, record.DeadlineBreached{Deadline: t.Target, Timer: t.ID})
	}
	return newRecord(record.TimerFiredKind, record.TimerFired{Timer: t.ID})
}

func newRecord(k record.Kind, payload any) ledger.New {
	return ledger.New{Kind: k, Payload: record.Marshal(payload)}
}

func outcomeOf(r ledger.Record) (record.Outcome, error) {
	return record.Unmarshal[record.Outcome](r.Outcome)
}
