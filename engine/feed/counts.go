package feed

import (
	"sync"

	"larkspur/engine/capture"
)

// counts are the counters of a feed.
type counts struct {
	mu    sync.Mutex
	stats capture.Stats
}

// taken counts a line or frame that was read.
func (c *counts) taken(length int) {
	c.mu.Lock()
	c.stats.Source.Frames++
	c.stats.Source.Bytes += uint64(length)
	c.mu.Unlock()
}

// lag notes how many bytes of a log are still to be read.
func (c *counts) lag(bytes int64) {
	c.mu.Lock()
	c.stats.Source.Behind = uint64(bytes)
	c.mu.Unlock()
}

// message counts a message that was made.
func (c *counts) message(response bool) {
	c.mu.Lock()
	c.stats.Messages++
	if response {
		c.stats.Responses++
	} else {
		c.stats.Queries++
	}
	c.mu.Unlock()
}

// untake takes a message back.
func (c *counts) untake(response bool) {
	c.mu.Lock()
	c.stats.Messages--
	if response {
		c.stats.Responses--
	} else {
		c.stats.Queries--
	}
	c.mu.Unlock()
}

// drop counts n lines, frames or messages under a reason.
func (c *counts) drop(reason string, n uint64) {
	if n == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	to := &c.stats.Undecodable
	switch {
	case ignored(reason):
		to = &c.stats.Ignored
	case lost(reason):
		to = &c.stats.Lost
	}
	if *to == nil {
		*to = map[string]uint64{}
	}
	(*to)[reason] += n
}

// Stats returns the counters: frames of the source are lines, or frames of dnstap.
// It may be called at any time, from any goroutine.
func (c *counts) Stats() capture.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	var s capture.Stats
	s.Add(c.stats) // copies the maps
	return s
}
