package engine

import (
	"context"
	"time"
)

// Clock tells the time to runner, intake, triggers and state, none of which may
// ask the machine. Tests pass one that they advance. Safe for concurrent use.
type Clock interface {
	// Now returns the time in UTC.
	Now() time.Time
	// Sleep returns after d, or earlier with the context's error.
	Sleep(ctx context.Context, d time.Duration) error
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now returns the machine's time in UTC, without a monotonic reading, so that
// what is recorded equals what is read back.
func (SystemClock) Now() time.Time { return time.Now().UTC().Round(0) }

// Sleep waits on the machine's monotonic clock.
func (SystemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
