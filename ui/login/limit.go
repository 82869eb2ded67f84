package login

import (
	"container/list"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"larkspur/engine"
)

// Limits of guessing.
const (
	BadPerWindow = 20
	BadWindow    = time.Minute
	// maxClients bounds the memory: the address that was quiet longest is
	// forgotten first.
	maxClients = 4096
)

// Limiter counts bad tokens of each client address. Memory is bounded. Safe for
// concurrent use.
type Limiter struct {
	clock engine.Clock

	mu      sync.Mutex
	clients map[netip.Addr]*list.Element
	recent  *list.List // of *client, the newest in front
}

type client struct {
	addr  netip.Addr
	since time.Time
	bad   int
}

// NewLimiter makes a Limiter.
func NewLimiter(clock engine.Clock) *Limiter {
	return &Limiter{clock: clock, clients: map[netip.Addr]*list.Element{}, recent: list.New()}
}

// Blocked reports for how long an address has to wait; zero: it may try.
func (l *Limiter) Blocked(addr netip.Addr) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.clients[network(addr)]
	if e == nil {
		return 0
	}
	c := e.Value.(*client)
	left := BadWindow - l.clock.Now().Sub(c.since)
	if c.bad < BadPerWindow || left <= 0 {
		return 0
	}
	return left
}

// Bad counts a bad token.
func (l *Limiter) Bad(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	addr = network(addr)
	now := l.clock.Now()
	e := l.clients[addr]
	if e == nil {
		e = l.recent.PushFront(&client{addr: addr, since: now})
		l.clients[addr] = e
		if l.recent.Len() > maxClients {
			oldest := l.recent.Remove(l.recent.Back()).(*client)
			delete(l.clients, oldest.addr)
		}
	}
	c := e.Value.(*client)
	if now.Sub(c.since) >= BadWindow {
		c.since, c.bad = now, 0
	}
	c.bad++
	l.recent.MoveToFront(e)
}

// network is what one client can choose from: an IPv6 /64, one IPv4 address.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// ClientAddr is the address of who sent the request: the peer's, or, when the
// peer is a trusted proxy, the last address of X-Forwarded-For that is not one.
func ClientAddr(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // a unix socket
	}
	addr := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && isTrusted(addr, trusted); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = next.Unmap()
	}
	return addr
}

func isTrusted(a netip.Addr, trusted []netip.Prefix) bool {
	for _, p := range trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Len is the number of clients that are remembered.
func (l *Limiter) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent.Len()
}
