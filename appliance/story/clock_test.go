package story

import (
	"context"
	"sync"
	"time"
)

// clock goes as the machine's does, and further when it is advanced.
type clock struct {
	mu    sync.Mutex // guards what follows
	ahead time.Duration
	moved chan struct{} // closed and replaced when it is advanced
}

func newClock() *clock { return &clock{moved: make(chan struct{})} }

// Now implements engine.Clock.
func (c *clock) Now() time.Time {
	now, _ := c.look()
	return now
}

func (c *clock) look() (time.Time, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().UTC().Round(0).Add(c.ahead), c.moved
}

// Sleep implements engine.Clock.
func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	now, moved := c.look()
	for end := now.Add(d); now.Before(end); now, moved = c.look() {
		t := time.NewTimer(end.Sub(now))
		select {
		case <-t.C:
		case <-moved:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// advance puts the clock forward and wakes whose time has come.
func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
	close(c.moved)
	c.moved = make(chan struct{})
}
