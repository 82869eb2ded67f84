package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"larkspur/engine"
	"larkspur/engine/wire"
)

// startLimit is how long a process may take to become ready.
const startLimit = 15 * time.Second

// drainLimit bounds reading what a dead process left in its socket.
const drainLimit = time.Second

// worker is one process, from start to end.
type worker struct {
	pool *Pool
	slot int
	cmd  *exec.Cmd
	conn *os.File
	said *said
	// gone is closed once the process is reaped; death is set before.
	gone chan struct{}
	// entered is closed once the worker is ready.
	entered chan struct{}
	trace   *os.File // where a cell writes down where its script is

	sending sync.Mutex // one message at a time; never held with mu

	mu        sync.Mutex
	ready     *wire.Ready
	death     *Death
	suspect   *exchange // which computed for longest when it died
	killed    bool
	next      uint64
	exchanges map[uint64]*exchange
	bundles   map[string]*loading

	// Guarded by pool.mu:
	open      int       // calls picked for it
	left      time.Time // when the last of them ended
	dismissed bool      // it was one too many
}

// loading is a bundle on its way into a worker. err is set before done closes.
type loading struct {
	done chan struct{}
	err  error
}

// newWorker starts the process. The caller must stay on its thread until the
// process is reaped: Pdeathsig watches the thread that forked.
func newWorker(p *Pool, slot int) (*worker, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	w := &worker{pool: p, slot: slot, conn: ours, said: &said{}, gone: make(chan struct{}), entered: make(chan struct{}), exchanges: map[uint64]*exchange{}, bundles: map[string]*loading{}}
	w.cmd = &exec.Cmd{
		Path:       p.cfg.Binary,
		Args:       []string{"larkspur", LaunchCommand, strconv.FormatUint(p.cfg.MaxDataBytes, 10)},
		Dir:        "/",
		Env:        environment(p.cfg),
		Stderr:     w.said,
		ExtraFiles: []*os.File{theirs},
		WaitDelay:  time.Second,
		SysProcAttr: &syscall.SysProcAttr{
			Setpgid:   true,
			Pdeathsig: syscall.SIGKILL,
		},
	}
	if slot == cellSlot || p.cfg.Trace {
		if err := w.traced(); err != nil {
			ours.Close()
			return nil, err
		}
	}
	if err := w.cmd.Start(); err != nil {
		ours.Close()
		w.trace.Close()
		return nil, fmt.Errorf("starting %s: %w", p.cfg.Binary, err)
	}
	return w, nil
}

// environment is all that a worker inherits. GOMEMLIMIT makes it collect before
// it dies; GOMAXPROCS spares it looking for cgroups, whose files it cannot open.
func environment(cfg Config) []string {
	return []string{
		"TZ=UTC",
		"GOTRACEBACK=none",
		"GOMAXPROCS=" + strconv.Itoa(cfg.Processors),
		"GOMEMLIMIT=" + strconv.FormatUint(memoryTarget(cfg), 10),
	}
}

// memoryTarget is what the collector of a worker aims at.
func memoryTarget(cfg Config) uint64 { return cfg.MaxDataBytes / 4 * 3 }

// socketPair makes the two ends, non-blocking, so that deadlines work.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "supervisor"), nil
}

// run greets the worker, reads what it sends until it ends, and reaps it.
func (w *worker) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { w.kill(nil) })
	defer stop()
	late := time.AfterFunc(startLimit, func() {
		if !w.isReady() {
			w.kill(&Death{Why: DiedTime, Detail: "not ready in time"})
		}
	})
	defer late.Stop()
	var reading sync.WaitGroup
	reading.Go(w.read)
	w.send(wire.KindHello, 0, w.pool.cfg.Hello)
	_ = w.cmd.Wait()                                       // the state says more than the error
	_ = w.conn.SetReadDeadline(time.Now().Add(drainLimit)) // what it said last is read to the end
	reading.Wait()
	w.conn.Close()
	w.mu.Lock()
	if w.death == nil {
		w.death = exitDeath(w.cmd.ProcessState, string(w.said.text))
	}
	w.suspect = longest(w.exchanges)
	if w.trace != nil {
		w.death.At = lastTrace(w.trace)
		w.trace.Close()
	}
	for _, x := range w.exchanges {
		if x.quiet != nil {
			x.quiet.Stop()
		}
	}
	w.mu.Unlock()
	w.pool.retire(w)
	close(w.gone)
}

// longest returns the exchange that has computed for longest, nil if none does.
func longest(exchanges map[uint64]*exchange) *exchange {
	var first *exchange
	for _, x := range exchanges {
		if x.phase == computing && (first == nil || x.since.Before(first.since)) {
			first = x
		}
	}
	return first
}

// kill ends the process. why is nil when the pool
// closes or the end of the process will say.
func (w *worker) kill(why *Death) {
	w.mu.Lock()
	if why != nil && w.death == nil {
		w.death = why
	}
	w.killed = true
	w.mu.Unlock()
	w.pool.retire(w)
	_ = w.cmd.Process.Kill() // it may be gone already; it cannot have children
}

func (w *worker) isReady() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ready != nil
}

// read receives until the worker is gone or breaks the protocol.
func (w *worker) read() {
	r := bufio.NewReaderSize(w.conn, 64<<10)
	for {
		e, err := wire.Read(r)
		if ended(err) {
			w.kill(nil) // what closed its end has nothing left to say
			return
		}
		if err == nil {
			err = w.receive(e)
		}
		if err != nil {
			w.kill(&Death{Why: DiedProtocol, Detail: err.Error()})
			return
		}
	}
}

// ended says whether a connection is over, whatever was under way.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, os.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}

// receive gives one message to its exchange.
func (w *worker) receive(e wire.Envelope) error {
	switch e.Kind {
	case wire.KindReady:
		return w.becomeReady(e)
	case wire.KindCovered:
		return w.covered(e)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.exchanges[e.Call]
	if x == nil {
		return fmt.Errorf("%.40q on call %d, which is not open", e.Kind, e.Call)
	}
	body, err := x.reply(e, w.pool.signatures)
	if err != nil {
		return err
	}
	if x.phase == cancelled && (e.Kind == wire.KindStep || e.Kind == wire.KindRest) {
		return nil // it crossed our cancel
	}
	if x.take(body, w.pool.cfg.Silence); x.phase == over {
		delete(w.exchanges, x.number)
	}
	return nil
}

// covered hands on which lines a worker executed, if anybody wants to know.
func (w *worker) covered(e wire.Envelope) error {
	var lines wire.Covered
	if err := json.Unmarshal(e.Body, &lines); err != nil {
		return fmt.Errorf("decoding %s: %w", e.Kind, err)
	}
	if w.pool.cfg.Covered == nil {
		return fmt.Errorf("%s, which nobody asked for", e.Kind)
	}
	w.pool.cfg.Covered(lines)
	return nil
}

func (w *worker) becomeReady(e wire.Envelope) error {
	ready := &wire.Ready{}
	if err := json.Unmarshal(e.Body, ready); err != nil {
		return fmt.Errorf("decoding %s: %w", e.Kind, err)
	}
	w.mu.Lock()
	again := w.ready != nil
	w.ready = ready
	w.mu.Unlock()
	if again {
		return fmt.Errorf("%s for a second time", e.Kind)
	}
	if len(ready.Missing) > 0 {
		slog.Warn("a worker is contained by less than it should be: the kernel lacks something, or the program was built with C (CGO_ENABLED=0 builds it without)", "missing", ready.Missing, "contained", ready.Contained)
	}
	close(w.entered)
	w.pool.enter(w)
	return nil
}

// send writes one message. A worker that does not read for too long is killed; a
// dead one is noticed by its reader, so that send need not tell.
func (w *worker) send(kind string, call uint64, body any) {
	var frame bytes.Buffer
	if err := wire.Write(&frame, kind, call, body); err != nil {
		w.kill(&Death{Why: DiedProtocol, Detail: err.Error()})
		return
	}
	w.sending.Lock()
	defer w.sending.Unlock()
	_ = w.conn.SetWriteDeadline(time.Now().Add(w.pool.cfg.Silence))
	if _, err := w.conn.Write(frame.Bytes()); os.IsTimeout(err) {
		w.kill(&Death{Why: DiedTime, Detail: "it does not read"})
	}
}

// begin opens an exchange with its first message.
func (w *worker) begin(kind string, body any) *exchange {
	w.mu.Lock()
	w.next++
	x := &exchange{number: w.next, opened: kind, events: wire.NewQueue[any](), since: time.Now()}
	patience := w.pool.cfg.patience(body)
	x.quiet = time.AfterFunc(patience, func() { w.kill(w.silent(kind, patience)) })
	if w.killed {
		x.phase = waiting // it is not what killed the worker
	}
	w.exchanges[x.number] = x
	w.mu.Unlock()
	w.send(kind, x.number, body)
	return x
}

// spanOfWhere is what one where or dedup function may take: several times what
// its interpreter steps do, on a Pi.
const spanOfWhere = 50 * time.Millisecond

// patience is how long a worker may compute on a message before it says something.
func (c *Config) patience(body any) time.Duration {
	if q, ok := body.(wire.Evaluate); ok {
		return min(c.SilenceOfWhere+time.Duration(len(q.Items))*spanOfWhere, max(c.Silence, c.SilenceOfWhere))
	}
	return c.Silence
}

// silent is the death of a worker that computes for too long. Out of memory the
// runtime may hang rather than die.
func (w *worker) silent(kind string, patience time.Duration) *Death {
	d := &Death{Why: DiedTime, Detail: fmt.Sprintf("a %s computed for more than %v without a step", kind, patience)}
	if data := statm(w.cmd.Process.Pid, statmData); uint64(data) > memoryTarget(w.pool.cfg) {
		d.Why = DiedMemory
		d.Detail += fmt.Sprintf(", with %d MiB of memory", data>>20)
	}
	return d
}

// result waits for the next message of an exchange.
func (w *worker) result(ctx context.Context, x *exchange) (any, error) {
	for {
		if body, ok := x.events.Take(); ok {
			return body, nil
		}
		select {
		case <-x.events.More():
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-w.gone:
			if body, ok := x.events.Take(); ok { // it came just before the end
				return body, nil
			}
			return nil, w.died(x)
		}
	}
}

// died says how the worker ended, to one of its exchanges. Only for a worker
// that is gone.
func (w *worker) died(x *exchange) error {
	if w.pool.isClosed() {
		return ErrClosed
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	death := *w.death
	death.Suspect = x != nil && x == w.suspect
	return &death
}

// ask opens an exchange that has one answer and waits for it. When ctx ends
// first the answer is dropped as it comes, and still watched for silence.
func (w *worker) ask(ctx context.Context, kind string, body any) (any, error) {
	return w.result(ctx, w.begin(kind, body))
}

// load parses a bundle in this worker and keeps it there if it is good.
func (w *worker) load(ctx context.Context, l wire.Load) (wire.Loaded, error) {
	body, err := w.ask(ctx, wire.KindLoad, l)
	if err != nil {
		return wire.Loaded{}, err
	}
	loaded := *body.(*wire.Loaded)
	if loaded.Good() {
		done := make(chan struct{})
		close(done)
		w.mu.Lock()
		w.bundles[l.Bundle.Hash] = &loading{done: done}
		w.mu.Unlock()
	}
	return loaded, nil
}

// ensure has the bundle loaded; the first that needs it sends it, others wait.
func (w *worker) ensure(ctx context.Context, hash string) error {
	known, ok := w.pool.bundle(hash)
	w.mu.Lock()
	l := w.bundles[hash]
	if l == nil {
		if !ok {
			w.mu.Unlock()
			return engine.Errorf(engine.NotFound, "sandbox: bundle %.12s is not loaded", hash)
		}
		l = &loading{done: make(chan struct{})}
		w.bundles[hash] = l
		w.mu.Unlock()
		return w.fill(ctx, l, known)
	}
	w.mu.Unlock()
	select {
	case <-l.done:
		return l.err
	case <-w.gone:
		return w.died(nil)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fill sends a known bundle and settles l. It does not stop when ctx ends,
// because others may wait for the same bundle; the silence limit bounds it.
func (w *worker) fill(ctx context.Context, l *loading, known wire.Load) error {
	body, err := w.ask(context.WithoutCancel(ctx), wire.KindLoad, known)
	if err == nil && !body.(*wire.Loaded).Good() {
		err = engine.Errorf(engine.Internal, "sandbox: bundle %.12s was good before and is not now: %v", known.Bundle.Hash, body.(*wire.Loaded).Declarations.Problems)
	}
	l.err = err
	if err != nil {
		w.mu.Lock()
		delete(w.bundles, known.Bundle.Hash)
		w.mu.Unlock()
	}
	close(l.done)
	return err
}

// forget drops a bundle from the worker.
func (w *worker) forget(hash string) {
	w.mu.Lock()
	had := w.bundles[hash] != nil
	delete(w.bundles, hash)
	w.mu.Unlock()
	if had {
		w.send(wire.KindForget, 0, wire.Forget{Bundle: hash})
	}
}
