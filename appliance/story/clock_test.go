package story

import (
	"context"
	"sync"
	"time"

	"larkspur/engine"
)

// clock goes as the machine's does, and further when it is advanced. It is an
// engine.Machine, whose clock may be set wrong.
type clock struct {
	mu    sync.Mutex // guards what follows
	ahead time.Duration
	wrong time.Duration // how far it is set ahead of the time
	moved chan struct{} // closed and replaced when it is advanced
}

func newClock() *clock { return &clock{moved: make(chan struct{})} }

// Now implements engine.Clock.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().UTC().Round(0).Add(c.ahead + c.wrong)
}

// Up implements engine.Machine.
func (c *clock) Up() time.Duration {
	up, _ := c.up()
	return up
}

func (c *clock) up() (time.Duration, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(time.Now().UnixNano()) + c.ahead, c.moved
}

// Sync implements engine.Machine: nobody keeps it.
func (c *clock) Sync() engine.Sync { return engine.SyncUnknown }

// Sleep implements engine.Clock.
func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	up, moved := c.up()
	for end := up + d; up < end; up, moved = c.up() {
		t := time.NewTimer(end - up)
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
	c.wake()
}

// set sets the clock wrong, while time goes on.
func (c *clock) set(wrong time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = wrong
	c.wake()
}

func (c *clock) wake() {
	close(c.moved)
	c.moved = make(chan struct{})
}
