package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"larkspur/engine/wire"
)

// A cell is a worker for one call alone. A run that was suspected of having ended
// a shared worker goes on in one: it then disturbs nobody, its guilt is certain,
// and the worker writes down where the script is, so that the engineer is told
// the line.

// cellSlot is the place of a worker that has none among the shared ones.
const cellSlot = -1

// StartAlone opens a call in a process of its own. There is one cell at a time;
// more wait. The bundle must have been loaded.
func (p *Pool) StartAlone(ctx context.Context, run wire.Run) (*Call, error) {
	select {
	case p.cell <- struct{}{}:
	case <-p.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.isClosed() {
		<-p.cell
		return nil, ErrClosed
	}
	w, err := p.openCell(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.ensure(ctx, run.Bundle); err != nil {
		w.kill(nil)
		return nil, err
	}
	return &Call{worker: w, x: w.begin(wire.KindRun, run)}, nil
}

// openCell starts the process and waits until it is ready. The cell is free again
// when the process is reaped.
func (p *Pool) openCell(ctx context.Context) (*worker, error) {
	began := make(chan *worker, 1)
	failed := make(chan error, 1)
	go func() {
		defer func() { <-p.cell }()
		runtime.LockOSThread() // see supervise
		defer runtime.UnlockOSThread()
		w, err := newWorker(p, cellSlot)
		if err != nil {
			failed <- err
			return
		}
		began <- w
		w.run(p.ctx)
	}()
	select {
	case err := <-failed:
		return nil, err
	case w := <-began:
		return w, w.awaitReady(ctx)
	}
}

// awaitReady waits for a worker's first message.
func (w *worker) awaitReady(ctx context.Context) error {
	select {
	case <-w.entered:
		return nil
	case <-w.gone:
		return w.died(nil)
	case <-ctx.Done():
		w.kill(nil)
		return errors.Join(ErrClosed, ctx.Err())
	}
}

// traced gives a process that is to be started a page of memory that outlives it.
func (w *worker) traced() error {
	fd, err := unix.MemfdCreate("trace", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("a page for the trace of a worker: %w", err)
	}
	w.trace = os.NewFile(uintptr(fd), "trace")
	if err := w.trace.Truncate(wire.TraceBytes); err != nil {
		w.trace.Close()
		return fmt.Errorf("a page for the trace of a worker: %w", err)
	}
	w.cmd.ExtraFiles = append(w.cmd.ExtraFiles, w.trace)
	w.cmd.Env = append(w.cmd.Env, wire.TraceVariable+"=1")
	return nil
}

// lastTrace reads what a dead process wrote last; "" if nothing or nonsense.
func lastTrace(f *os.File) string {
	page := make([]byte, wire.TraceBytes)
	if _, err := f.ReadAt(page, 0); err != nil {
		return ""
	}
	return wire.LastTrace(page)
}
