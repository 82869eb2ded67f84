package clients

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/netip"
	"time"

	"larkspur/engine/capture"
)

// Store keeps names across restarts; *store.Cache is one.
type Store interface {
	Get(key string) (value []byte, found bool, err error)
	Set(key string, value []byte, ttl time.Duration) error
}

const (
	// storeKey is where all names lie: a house has few.
	storeKey = "clients"
	// saveEvery is how often they are saved, when they changed.
	saveEvery = time.Minute
)

// saved is how they lie there.
type saved struct {
	MACs  map[string]*device     `json:"macs"`
	Addrs map[netip.Addr]*device `json:"addrs"`
}

// Run saves what changed until ctx ends, which it returns, and then once more.
func (c *Clients) Run(ctx context.Context) error {
	for {
		err := c.clock.Sleep(ctx, saveEvery)
		c.save()
		if err != nil {
			return err
		}
	}
}

// save writes all names that are not too old.
func (c *Clients) save() {
	if c.store == nil {
		return
	}
	c.mu.Lock()
	s := saved{MACs: map[string]*device{}, Addrs: map[netip.Addr]*device{}}
	changed := c.changed
	c.changed = false
	since := c.clock.Now().Add(-keepFor)
	maps.DeleteFunc(c.macs, func(_ capture.MAC, d *device) bool { return d.Seen.Before(since) })
	maps.DeleteFunc(c.addrs, func(_ netip.Addr, d *device) bool { return d.Seen.Before(since) })
	c.count()
	for mac, d := range c.macs {
		s.MACs[mac.String()] = d
	}
	maps.Copy(s.Addrs, c.addrs)
	value, err := json.Marshal(s)
	c.mu.Unlock()
	if changed && err == nil {
		err = c.store.Set(storeKey, value, keepFor)
	}
	if err != nil {
		slog.Warn("names of clients are not saved", "error", err)
	}
}

// load reads what was saved; what cannot be read is left out.
func (c *Clients) load() {
	if c.store == nil {
		return
	}
	value, found, err := c.store.Get(storeKey)
	if err != nil || !found {
		return
	}
	var s saved
	if err := json.Unmarshal(value, &s); err != nil {
		slog.Warn("names of clients cannot be read: they begin anew", "error", err)
		return
	}
	for text, d := range s.MACs {
		if mac, err := capture.ParseMAC(text); err == nil && d != nil && len(c.macs) < maxDevices {
			c.macs[mac] = d
		}
	}
	for addr, d := range s.Addrs {
		if d != nil && len(c.addrs) < maxDevices {
			c.addrs[addr] = d
		}
	}
	c.count()
}
