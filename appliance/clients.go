package appliance

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"larkspur/builtins/unifi"
	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/clients"
	"larkspur/engine/trigger"
	"larkspur/ui"
	"larkspur/ui/desk"
)

const (
	// askUniFiEvery is how often UniFi is asked what it calls its clients.
	askUniFiEvery = 5 * time.Minute
	// askUniFiFor is how long that may take.
	askUniFiFor = time.Minute
)

// namer asks UniFi what clients are called.
type namer struct {
	clients *clients.Clients
	door    doer
	clock   engine.Clock
	// connections names those of kind unifi.
	connections func() []string

	mu     sync.Mutex
	failed map[string]error // of the last try, by connection
}

// doer performs builtins; *door is one.
type doer interface {
	Do(ctx context.Context, c *engine.Call) (engine.Result, error)
}

// Run asks each connection from time to time, until ctx ends, which it returns. A
// failure is logged when it begins and shown as long as it lasts: names are a help,
// and their lack stops nothing.
func (n *namer) Run(ctx context.Context) error {
	for {
		now := map[string]error{}
		for _, connection := range n.connections() {
			if err := n.ask(ctx, connection); err != nil && ctx.Err() == nil {
				now[connection] = err
			}
		}
		n.mu.Lock()
		before := n.failed
		n.failed = now
		n.mu.Unlock()
		for connection, err := range now {
			if before[connection] == nil {
				slog.Warn("UniFi does not tell what clients are called", "connection", connection, "error", err)
			}
		}
		if err := n.clock.Sleep(ctx, askUniFiEvery); err != nil {
			return err
		}
	}
}

// ask takes in the names that one connection knows.
func (n *namer) ask(ctx context.Context, connection string) error {
	ctx, cancel := context.WithTimeout(ctx, askUniFiFor)
	defer cancel()
	r, err := n.door.Do(ctx, &engine.Call{Name: "unifi.clients", Connection: connection, Args: map[string]engine.Value{"connection": connection, "all": true}})
	if err != nil {
		return err
	}
	list, _ := r.Value.([]engine.Value)
	now := n.clock.Now()
	for _, v := range list {
		s, _ := v.(engine.Struct)
		text, _ := s.Fields["mac"].(string)
		name, _ := s.Fields["name"].(string)
		mac, err := capture.ParseMAC(text)
		if err != nil || strings.EqualFold(name, text) { // without a name its MAC stands there
			continue
		}
		n.clients.Learn(clients.UniFi, netip.Addr{}, mac, name, now)
		if online, _ := s.Fields["online"].(bool); online {
			ip, _ := s.Fields["ip"].(string)
			addr, _ := netip.ParseAddr(ip)
			n.clients.Saw(addr, mac, now)
		}
	}
	return nil
}

// health tells of connections that do not answer.
func (n *namer) health() (c ui.Check, tell bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c = ui.Check{Name: "names of clients", Status: desk.HealthOK}
	for _, connection := range sortedKeys(n.failed) {
		c.Message = fmt.Sprintf("UniFi %q does not tell them: %v", connection, n.failed[connection])
	}
	return c, len(n.failed) > 0
}

// unifiConnections names the connections of kind unifi.
func (a *Appliance) unifiConnections() []string {
	return sortedKeys(a.current().Connections[unifi.Section])
}

// hearing are messages from which names of clients are learned.
type hearing struct {
	trigger.Messages
	observer *clients.Observer
}

func (h hearing) Next(ctx context.Context) (*capture.Message, error) {
	m, err := h.Messages.Next(ctx)
	if err == nil {
		h.observer.Observe(m)
	}
	return m, err
}

// hear makes a reader's messages tell of clients, and its frames of leases.
func (a *Appliance) hear(messages trigger.Messages) trigger.Messages {
	if r, ok := messages.(*capture.Reader); ok {
		r.TellLeases(a.clients.Leased)
	}
	return hearing{messages, a.clients.Observer()}
}

// withDHCP adds the ports of DHCP to those that a filter lets through, where they
// have room.
func withDHCP(ports []uint16) []uint16 {
	if len(ports) == 0 {
		ports = capture.DefaultPorts()
	}
	if len(ports)+2 > capture.MaxPorts {
		return ports
	}
	return append(append([]uint16{}, ports...), capture.DHCPServerPort, capture.DHCPClientPort)
}
