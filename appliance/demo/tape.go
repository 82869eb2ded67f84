package demo

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
)

// tape is a capture that is silent until Play, and then shows the recording as
// if it happened now.
type tape struct {
	recording []byte
	clock     engine.Clock
	plays     chan struct{}

	mu    sync.Mutex // guards stats
	stats capture.SourceStats

	// of the goroutine that reads
	file  *capture.File
	shift time.Duration // from the recording's time to now
	begun bool
}

func newTape(recording []byte, clock engine.Clock) *tape {
	return &tape{recording: recording, clock: clock, plays: make(chan struct{}, 1)}
}

// Play shows the recording once; while it plays, a second press does nothing.
func (t *tape) Play() {
	select {
	case t.plays <- struct{}{}:
	default:
	}
}

// Next implements capture.Source.
func (t *tape) Next(ctx context.Context, f *capture.Frame) error {
	for {
		if t.file == nil {
			if err := t.wait(ctx); err != nil {
				return err
			}
		}
		err := t.file.Next(ctx, f)
		if err == io.EOF {
			t.file.Close()
			t.file = nil
			continue
		}
		if err != nil {
			return err
		}
		return t.pace(ctx, f)
	}
}

// wait opens the recording once somebody pressed play.
func (t *tape) wait(ctx context.Context) (err error) {
	select {
	case <-t.plays:
	case <-ctx.Done():
		return ctx.Err()
	}
	t.begun = false
	t.file, err = capture.NewFile(ctx, "recording", bytes.NewReader(t.recording))
	return err
}

// pace holds a frame back until its turn.
func (t *tape) pace(ctx context.Context, f *capture.Frame) error {
	now := t.clock.Now()
	if !t.begun {
		t.begun, t.shift = true, now.Sub(f.Time)
	}
	f.Time = f.Time.Add(t.shift)
	t.mu.Lock()
	t.stats.Frames++
	t.stats.Bytes += uint64(len(f.Data))
	t.mu.Unlock()
	if ahead := f.Time.Sub(now); ahead > 0 {
		return t.clock.Sleep(ctx, ahead)
	}
	return nil
}

// Stats implements capture.Source.
func (t *tape) Stats() capture.SourceStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}

// Close implements capture.Source.
func (t *tape) Close() error {
	if t.file == nil {
		return nil
	}
	return t.file.Close()
}
