// Package clients knows what the devices of a network are called: by address, by
// MAC, from where and since when.
//
// A name is a help for people who read. It never decides anything: most names are
// what a device says of itself, and a device can say what it likes.
package clients

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"larkspur/engine"
	"larkspur/engine/capture"
)

// Source tells where a name is from.
type Source string

// The sources, the most trusted one first: what the owner wrote, what the owner
// called the device in UniFi, what the device asked an address for with, what it
// announces to everybody.
const (
	Config Source = "config"
	UniFi  Source = "unifi"
	DHCP   Source = "dhcp"
	MDNS   Source = "mdns"
)

var sources = []Source{Config, UniFi, DHCP, MDNS}

// Bounds: strangers announce names.
const (
	// maxDevices is how many MACs, and how many addresses, are known. The ones that
	// were quiet longest make room.
	maxDevices = 4096
	// maxName is how long a name is, in characters.
	maxName = 64
	// routerHas is how many IPv4 addresses a MAC has that is a router's: it sends for
	// others, and says nothing about whose they are.
	routerHas = 5
	// keepFor is how long a name is known that nobody repeats.
	keepFor = 30 * 24 * time.Hour
)

// Name is what a device is called.
type Name struct {
	Name   string    `json:"name"`
	Source Source    `json:"source"`
	Seen   time.Time `json:"seen"`
}

// device is what is known under one MAC or one address.
type device struct {
	Names []Name      `json:"names,omitempty"` // at most one a source
	MAC   capture.MAC `json:"mac,omitzero"`    // of an address: who had it last
	Seen  time.Time   `json:"seen"`
}

// Clients are the names of devices. Safe for concurrent use.
type Clients struct {
	clock engine.Clock
	store Store

	mu      sync.RWMutex // guards what follows
	macs    map[capture.MAC]*device
	addrs   map[netip.Addr]*device
	held    map[capture.MAC]int // IPv4 addresses in addrs by MAC
	config  map[string]string   // by MAC or address, as text
	changed bool                // since it was saved
}

// New returns what store kept; nil keeps nothing.
func New(clock engine.Clock, store Store) *Clients {
	c := &Clients{clock: clock, store: store, macs: map[capture.MAC]*device{}, addrs: map[netip.Addr]*device{}, held: map[capture.MAC]int{}}
	c.load()
	return c
}

// Configure takes the names that the owner wrote, by MAC or address in their usual
// forms; they take the place of those before.
func (c *Clients) Configure(names map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.config = names
}

// Name returns what a client is called: by its MAC where that is known, else by its
// address; "" for somebody unknown.
func (c *Clients) Name(addr netip.Addr, mac capture.MAC) string {
	n, _ := c.Lookup(addr, mac)
	return n.Name
}

// Lookup is Name with where the name is from, and since when.
func (c *Clients) Lookup(addr netip.Addr, mac capture.MAC) (Name, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	addr = addr.Unmap().WithZone("")
	by := c.addrs[addr]
	if mac.IsZero() && by != nil {
		mac = by.MAC
	}
	if c.held[mac] >= routerHas {
		mac = capture.MAC{}
	}
	for _, key := range [...]string{mac.String(), addr.String()} {
		if name := c.config[key]; name != "" {
			return Name{Name: name, Source: Config}, true
		}
	}
	var found Name
	if d := c.macs[mac]; d != nil {
		found = d.best(found)
	}
	if by != nil && (mac.IsZero() || by.MAC.IsZero() || by.MAC == mac) { // not of who had the address before
		found = by.best(found)
	}
	return found, found.Name != ""
}

// best returns the most trusted of a name and those of the device.
func (d *device) best(found Name) Name {
	for _, source := range sources {
		for _, n := range d.Names {
			if n.Source == source {
				return better(found, n)
			}
		}
	}
	return found
}

func better(a, b Name) Name {
	for _, source := range sources {
		if a.Source == source {
			return a
		}
		if b.Source == source {
			return b
		}
	}
	return b
}

// Saw notes that a MAC has an address, at a time.
func (c *Clients) Saw(addr netip.Addr, mac capture.MAC, at time.Time) {
	if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || mac.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	addr = addr.Unmap().WithZone("")
	d := c.atAddr(addr, at)
	if d.MAC == mac {
		return
	}
	if !d.MAC.IsZero() {
		d.Names = nil // of who had the address before
		c.hold(addr, d.MAC, -1)
	}
	d.MAC, c.changed = mac, true
	c.hold(addr, mac, 1)
}

// hold counts the IPv4 addresses of a MAC.
func (c *Clients) hold(addr netip.Addr, mac capture.MAC, n int) {
	if !addr.Is4() || mac.IsZero() {
		return
	}
	if c.held[mac] += n; c.held[mac] <= 0 {
		delete(c.held, mac)
	}
}

// atAddr returns the device of an address, made if need be.
func (c *Clients) atAddr(addr netip.Addr, at time.Time) *device {
	before := len(c.addrs)
	d := entry(c.addrs, addr, at)
	if len(c.addrs) < before {
		c.count()
	}
	return d
}

// count counts the addresses of all MACs anew.
func (c *Clients) count() {
	clear(c.held)
	for addr, d := range c.addrs {
		c.hold(addr, d.MAC, 1)
	}
}

// Learn notes what a device is called, by its MAC, its address or both; what is not
// known is zero.
func (c *Clients) Learn(source Source, addr netip.Addr, mac capture.MAC, name string, at time.Time) {
	name = clean(name)
	if name == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var d *device
	switch {
	case !mac.IsZero():
		d = entry(c.macs, mac, at)
	case addr.IsValid() && !addr.IsUnspecified() && !addr.IsMulticast():
		d = c.atAddr(addr.Unmap().WithZone(""), at)
	default:
		return
	}
	d.learn(Name{name, source, at.UTC()})
	c.changed = true
}

// learn keeps one name a source.
func (d *device) learn(n Name) {
	for i := range d.Names {
		if d.Names[i].Source == n.Source {
			d.Names[i] = n
			return
		}
	}
	d.Names = append(d.Names, n)
}

// entry returns the device of a key, made if need be in place of the one that was
// quiet longest.
func entry[K comparable](all map[K]*device, key K, at time.Time) *device {
	d := all[key]
	if d == nil {
		if len(all) >= maxDevices {
			makeRoom(all)
		}
		d = &device{}
		all[key] = d
	}
	d.Seen = at.UTC()
	return d
}

// makeRoom forgets an eighth of the devices, those that were quiet longest, so that a
// flood of strangers costs little for each.
func makeRoom[K comparable](all map[K]*device) {
	keys := slices.SortedFunc(maps.Keys(all), func(a, b K) int { return all[a].Seen.Compare(all[b].Seen) })
	for _, key := range keys[:len(keys)/8] {
		delete(all, key)
	}
}

// clean makes a name fit to be shown: no control characters or others that hide or
// turn text, spaces as one, at most maxName characters.
func clean(name string) string {
	if !utf8.ValidString(name) {
		return ""
	}
	name = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
	name = strings.Join(strings.Fields(name), " ")
	if utf8.RuneCountInString(name) > maxName {
		name = string([]rune(name)[:maxName])
	}
	return strings.TrimSpace(name)
}
