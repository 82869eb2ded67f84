package fault

import (
	"context"
	"sync"
	"time"
)

// clock is virtual: its parent advances it.
type clock struct {
	mu       sync.Mutex // guards what follows
	now      time.Time
	sleepers map[chan struct{}]time.Time
}

func newClock(now time.Time) *clock { return &clock{now: now, sleepers: map[chan struct{}]time.Time{}} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	wake := make(chan struct{})
	c.mu.Lock()
	c.sleepers[wake] = c.now.Add(d)
	c.mu.Unlock()
	select {
	case <-wake:
		return nil
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.sleepers, wake)
		c.mu.Unlock()
		return ctx.Err()
	}
}

// advance moves the clock forward and wakes those whose time has come.
func (c *clock) advance(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to.After(c.now) {
		c.now = to
	}
	for wake, until := range c.sleepers {
		if !until.After(c.now) {
			close(wake)
			delete(c.sleepers, wake)
		}
	}
}

// next is when the first sleeper wakes up.
func (c *clock) next() (first time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, until := range c.sleepers {
		if first.IsZero() || until.Before(first) {
			first = until
		}
	}
	return first
}
