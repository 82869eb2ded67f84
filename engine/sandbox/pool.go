package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"larkspur/engine"
	"larkspur/engine/wire"
)

// Config says what to start. Zero values take the defaults.
type Config struct {
	// Binary is the executable that has the two hidden commands; this very
	// program by default.
	Binary string
	// Workers is the number of processes that calls share at most; 1 by default.
	// The first is always there; another is started when all have Crowd calls, and
	// ended when it had none for IdleAfter. A cell for a suspect comes besides.
	Workers   int
	Crowd     int
	IdleAfter time.Duration
	// MaxDataBytes is the memory that a worker may use (RLIMIT_DATA).
	MaxDataBytes uint64
	// Processors is how many threads a worker computes with at once.
	Processors int
	// MaxCalls is how many calls a worker holds at once; more wait.
	MaxCalls int
	// Silence is how long a worker may compute without a message; a question of
	// where and dedup functions has SilenceOfWhere and as much as its items may take.
	Silence        time.Duration
	SilenceOfWhere time.Duration
	// Hello is what every worker is told first.
	Hello wire.Hello
	// Trace makes every worker write down where its script is, as a cell does: its
	// death says at which line. It costs time.
	Trace bool
	// Covered is told which lines of scripts were executed, where Hello.Cover is
	// set. It is called by several goroutines.
	Covered func(wire.Covered)
}

// Defaults of Config.
const (
	DefaultMaxDataBytes = 256 << 20
	DefaultMaxCalls     = 512
	DefaultCrowd        = 16
	DefaultIdleAfter    = time.Minute
	DefaultSilence      = 10 * time.Second
	DefaultWhere        = time.Second
	// Limits of interpreter steps, where Hello has none: some seconds between two
	// calls of the world on a Pi, and some 10 ms for one where.
	DefaultMaxTicks         = 50_000_000
	DefaultMaxEvaluateTicks = 1_000_000

	minMaxDataBytes = 32 << 20
)

// Pauses between starts that failed.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// Pool is a number of workers. All methods are safe for concurrent use.
type Pool struct {
	cfg        Config
	signatures map[string]engine.Signature
	cancel     context.CancelFunc
	ctx        context.Context // ends when the pool is closed
	ended      chan struct{}   // closed when Run returned

	mu      sync.Mutex
	running bool
	slots   []slot
	bundles map[string]wire.Load
	cell    chan struct{} // has room for the one cell
	// changed is closed and replaced whenever a waiting Start may look again.
	changed chan struct{}
}

// slot is the place of one worker after another. Guarded by Pool.mu.
type slot struct {
	worker  *worker // nil unless ready
	wanted  bool    // a process is to be here
	deaths  int
	last    *Death
	failure error // why the last start failed
}

// Open checks the configuration. Nothing is started before Run.
func Open(cfg Config) (*Pool, error) {
	cfg = defaults(cfg)
	if cfg.MaxDataBytes < minMaxDataBytes {
		return nil, engine.Errorf(engine.Invalid, "sandbox: %d bytes of memory for a worker, want at least %d", cfg.MaxDataBytes, minMaxDataBytes)
	}
	p := &Pool{
		cfg: cfg, signatures: map[string]engine.Signature{}, ended: make(chan struct{}),
		slots: make([]slot, cfg.Workers), bundles: map[string]wire.Load{}, cell: make(chan struct{}, 1), changed: make(chan struct{}),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.slots[0].wanted = true
	for _, s := range cfg.Hello.Signatures {
		p.signatures[s.Name] = s
	}
	return p, nil
}

func defaults(cfg Config) Config {
	if cfg.Binary == "" {
		cfg.Binary = self
	}
	if cfg.Workers == 0 {
		cfg.Workers = 1
	}
	if cfg.MaxDataBytes == 0 {
		cfg.MaxDataBytes = DefaultMaxDataBytes
	}
	if cfg.Processors == 0 {
		cfg.Processors = runtime.NumCPU()
	}
	if cfg.MaxCalls == 0 {
		cfg.MaxCalls = DefaultMaxCalls
	}
	if cfg.Crowd == 0 {
		cfg.Crowd = min(DefaultCrowd, cfg.MaxCalls)
	}
	if cfg.IdleAfter == 0 {
		cfg.IdleAfter = DefaultIdleAfter
	}
	if cfg.Silence == 0 {
		cfg.Silence = DefaultSilence
	}
	if cfg.SilenceOfWhere == 0 {
		cfg.SilenceOfWhere = DefaultWhere
	}
	if cfg.Hello.MaxTicks == 0 {
		cfg.Hello.MaxTicks = DefaultMaxTicks
	}
	if cfg.Hello.MaxEvaluateTicks == 0 {
		cfg.Hello.MaxEvaluateTicks = DefaultMaxEvaluateTicks
	}
	return cfg
}

// Run starts the workers and starts them again when they die, until ctx ends or
// Close is called. When it returns, every child is reaped.
func (p *Pool) Run(ctx context.Context) error {
	p.mu.Lock()
	again := p.running
	p.running = true
	p.mu.Unlock()
	if again {
		return errors.New("sandbox: Run was called before")
	}
	stop := context.AfterFunc(ctx, p.cancel)
	defer stop()
	var slots sync.WaitGroup
	for i := range p.slots {
		slots.Go(func() { p.supervise(i) })
	}
	slots.Wait()
	p.cell <- struct{}{} // the last cell is reaped, and there will be none
	close(p.ended)
	return nil
}

// Close ends all workers and waits until Run has reaped them.
func (p *Pool) Close() error {
	p.cancel()
	p.mu.Lock()
	running := p.running
	p.mu.Unlock()
	if running {
		<-p.ended
	}
	return nil
}

func (p *Pool) isClosed() bool { return p.ctx.Err() != nil }

// supervise keeps one slot filled. It stays on one thread, because Pdeathsig
// kills a child when the thread that forked it ends.
func (p *Pool) supervise(i int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pause := firstPause
	for p.awaitWanted(i) {
		err := p.oneLife(i)
		if err == nil || p.ctx.Err() != nil {
			pause = firstPause
			continue
		}
		slog.Error("worker did not start", "slot", i, "error", err, "again_in", pause)
		p.update(func() { p.slots[i].failure = err })
		select {
		case <-time.After(pause):
		case <-p.ctx.Done():
		}
		pause = min(2*pause, lastPause)
	}
}

// awaitWanted waits until a worker is wanted in a slot; false when the pool ends.
func (p *Pool) awaitWanted(i int) bool {
	for p.ctx.Err() == nil {
		p.mu.Lock()
		wanted, changed := p.slots[i].wanted, p.changed
		p.mu.Unlock()
		if wanted {
			return true
		}
		select {
		case <-changed:
		case <-p.ctx.Done():
		}
	}
	return false
}

// oneLife runs one worker to its end. The error says why it never became ready.
func (p *Pool) oneLife(i int) error {
	w, err := newWorker(p, i)
	if err != nil {
		return err
	}
	w.run(p.ctx)
	dismissed := false
	p.update(func() {
		if dismissed = w.dismissed; dismissed {
			return
		}
		p.slots[i].deaths++
		p.slots[i].last = w.death
	})
	if dismissed {
		return nil
	}
	if w.ready == nil {
		return w.death
	}
	if p.ctx.Err() == nil {
		slog.Warn("worker died", "slot", i, "why", w.death.Why, "detail", w.death.Detail)
	}
	return nil
}

// enter puts a worker that is ready into its slot.
func (p *Pool) enter(w *worker) {
	if w.slot == cellSlot {
		return
	}
	p.update(func() { p.slots[w.slot].worker, p.slots[w.slot].failure = w, nil })
}

// retire takes a worker that is dead, or as good as dead, out of its slot.
func (p *Pool) retire(w *worker) {
	if w.slot == cellSlot {
		return
	}
	p.mu.Lock()
	seated := p.slots[w.slot].worker == w
	p.mu.Unlock()
	if seated {
		p.update(func() {
			if p.slots[w.slot].worker == w {
				p.slots[w.slot].worker = nil
			}
		})
	}
}

// update changes what mu guards and wakes those who wait for a worker.
func (p *Pool) update(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

// pick reserves a place at the ready worker with the fewest calls, and waits for
// one if there is none.
func (p *Pool) pick(ctx context.Context) (*worker, error) {
	for {
		p.mu.Lock()
		w, failure := p.freest()
		if w != nil {
			w.open++
			p.wantMore(w)
		}
		changed := p.changed
		p.mu.Unlock()
		switch {
		case p.isClosed():
			return nil, ErrClosed
		case w != nil:
			return w, nil
		case failure != nil:
			return nil, engine.Errorf(engine.Unavailable, "sandbox: no worker can be started: %w", failure)
		}
		select {
		case <-changed:
		case <-p.ctx.Done():
		case <-ctx.Done():
			return nil, fmt.Errorf("sandbox: no worker is free: %w", ctx.Err())
		}
	}
}

// wantMore asks for another worker when the freest has a crowd. mu is held.
func (p *Pool) wantMore(freest *worker) {
	if freest.open < p.cfg.Crowd {
		return
	}
	for i := range p.slots {
		if !p.slots[i].wanted {
			p.slots[i].wanted = true
			close(p.changed)
			p.changed = make(chan struct{})
			return
		}
	}
}

// freest returns a worker with room, or why no slot has any.
func (p *Pool) freest() (*worker, error) {
	var best *worker
	var failure error
	failed, wanted := 0, 0
	for _, s := range p.slots {
		if s.wanted {
			wanted++
		}
		if s.failure != nil {
			failed, failure = failed+1, s.failure
		}
		if s.worker != nil && s.worker.open < p.cfg.MaxCalls && (best == nil || s.worker.open < best.open) {
			best = s.worker
		}
	}
	if failed < wanted {
		failure = nil
	}
	return best, failure
}

// leave gives a place back. A cell ends with its call.
func (p *Pool) leave(w *worker) {
	if w.slot == cellSlot {
		w.kill(nil)
		return
	}
	p.update(func() { w.open, w.left = w.open-1, time.Now() })
	if w.slot > 0 {
		time.AfterFunc(p.cfg.IdleAfter, func() { p.dismiss(w) })
	}
}

// dismiss ends a worker that is one too many: it has had nothing to do for a
// while.
func (p *Pool) dismiss(w *worker) {
	idle := false
	p.update(func() {
		s := &p.slots[w.slot]
		if idle = s.worker == w && w.open == 0 && time.Since(w.left) >= p.cfg.IdleAfter; idle {
			s.worker, s.wanted, w.dismissed = nil, false, true
		}
	})
	if idle {
		w.kill(nil)
	}
}

func (p *Pool) bundle(hash string) (wire.Load, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.bundles[hash]
	return l, ok
}

// Load parses a bundle in one worker and, if it has no errors, remembers it: any
// other worker, and one that is started later, gets it before its first use. A
// bundle that was loaded before is replaced. Problems of the scripts are in the
// answer; the error speaks of the sandbox.
func (p *Pool) Load(ctx context.Context, l wire.Load) (wire.Loaded, error) {
	w, err := p.pick(ctx)
	if err != nil {
		return wire.Loaded{}, err
	}
	defer p.leave(w)
	loaded, err := w.load(ctx, l)
	if err != nil || !loaded.Good() {
		return loaded, err
	}
	p.mu.Lock()
	p.bundles[l.Bundle.Hash] = l
	var others []*worker
	for _, s := range p.slots {
		if s.worker != nil && s.worker != w {
			others = append(others, s.worker)
		}
	}
	p.mu.Unlock()
	for _, o := range others {
		o.forget(l.Bundle.Hash) // so that it gets the new names and time zone
	}
	return loaded, nil
}

// Knows tells whether a bundle was loaded and not forgotten.
func (p *Pool) Knows(hash string) bool {
	_, ok := p.bundle(hash)
	return ok
}

// Forget drops a bundle. Calls in flight keep theirs.
func (p *Pool) Forget(hash string) {
	p.mu.Lock()
	delete(p.bundles, hash)
	var workers []*worker
	for _, s := range p.slots {
		if s.worker != nil {
			workers = append(workers, s.worker)
		}
	}
	p.mu.Unlock()
	for _, w := range workers {
		w.forget(hash)
	}
}

// Kill kills the worker of every slot; others follow. It is for tests of
// playbooks, which want to see their runs survive that.
func (p *Pool) Kill() {
	var workers []*worker
	p.update(func() {
		for _, s := range p.slots {
			if s.worker != nil {
				s.worker.dismissed = true // it is not its fault
				workers = append(workers, s.worker)
			}
		}
	})
	for _, w := range workers {
		w.kill(&Death{Why: DiedKilled, Detail: "it was told to die"})
		<-w.gone
	}
}

// Evaluate asks where and dedup functions of a loaded bundle, in one batch.
func (p *Pool) Evaluate(ctx context.Context, e wire.Evaluate) (wire.Evaluated, error) {
	w, err := p.pickFor(ctx, e.Bundle)
	if err != nil {
		return wire.Evaluated{}, err
	}
	defer p.leave(w)
	body, err := w.ask(ctx, wire.KindEvaluate, e)
	if err != nil {
		return wire.Evaluated{}, err
	}
	evaluated := *body.(*wire.Evaluated)
	if !evaluated.Unknown && len(evaluated.Verdicts) != len(e.Items) {
		death := &Death{Why: DiedProtocol, Detail: fmt.Sprintf("%d verdicts for %d items", len(evaluated.Verdicts), len(e.Items))}
		w.kill(death)
		return wire.Evaluated{}, death
	}
	return evaluated, nil
}

// pickTries bounds how many workers may die while one call is being placed.
const pickTries = 3

// pickFor picks a worker and makes sure that it has the bundle. A worker that
// dies meanwhile, under somebody else's call, is passed over.
func (p *Pool) pickFor(ctx context.Context, bundle string) (*worker, error) {
	for try := 1; ; try++ {
		w, err := p.pick(ctx)
		if err != nil {
			return nil, err
		}
		if err = w.ensure(ctx, bundle); err == nil {
			return w, nil
		}
		p.leave(w)
		if !errors.Is(err, ErrDied) || try == pickTries {
			return nil, err
		}
	}
}
