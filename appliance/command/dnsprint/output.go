package dnsprint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"larkspur/engine"
)

const (
	outputBuffer = 64 << 10
	// maxIdle is how long a line may lie in the buffer when none follows.
	maxIdle = 200 * time.Millisecond
)

// output buffers lines. A timer flushes them when the input idles, so that who
// watches a live capture sees each message at once.
type output struct {
	w    io.Writer
	stop context.CancelFunc // called when writing failed

	mu    sync.Mutex
	buf   []byte
	timer *time.Timer // nil: not waiting
	err   error
}

func newOutput(w io.Writer, stop context.CancelFunc) *output {
	return &output{w: w, stop: stop, buf: make([]byte, 0, outputBuffer)}
}

// write takes in a line. Its failure stops the reading of the input.
func (o *output) write(line []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.buf)+len(line) > outputBuffer {
		o.flushLocked()
	}
	o.buf = append(o.buf, line...)
	if o.timer == nil {
		o.timer = time.AfterFunc(maxIdle, o.flush)
	}
}

func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.timer = nil
	o.flushLocked()
}

func (o *output) flushLocked() {
	if o.err == nil && len(o.buf) > 0 {
		if _, o.err = o.w.Write(o.buf); o.err != nil {
			o.stop()
		}
	}
	o.buf = o.buf[:0]
}

// close flushes and returns the first error; that nobody reads any more is none.
func (o *output) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.timer != nil {
		o.timer.Stop()
	}
	o.flushLocked()
	switch {
	case o.err == nil, errors.Is(o.err, syscall.EPIPE), errors.Is(o.err, io.ErrClosedPipe), errors.Is(o.err, os.ErrClosed):
		return nil
	case errors.Is(o.err, syscall.ENOSPC):
		return engine.Errorf(engine.Unavailable, "standard output: %w", o.err).WithHint("free space where the output goes")
	}
	return fmt.Errorf("standard output: %w", o.err)
}
