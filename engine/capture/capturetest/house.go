package capturetest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

const (
	portDNS   = 53
	portMDNS  = 5353
	portLLMNR = 5355
)

// Client is one of those who ask in Traffic.
type Client struct {
	Name  string // that it tells DHCP
	MAC   [6]byte
	IPv4  netip.Addr
	IPv6  netip.Addr
	VLANs []uint16 // of its frames, where the link type has them
}

// client is a Client and its habits.
type client struct {
	Client
	mixes bool // letters of both cases in names
	six   bool // asks over IPv6
}

// Clients returns who asks, the busiest first.
func (t *Traffic) Clients() []Client {
	t.populate()
	list := make([]Client, len(t.clients))
	for i, c := range t.clients {
		list[i] = c.Client
	}
	return list
}

// populate makes clients and servers, once.
func (t *Traffic) populate() {
	if t.clients != nil {
		return
	}
	for i := range t.options.Clients {
		h := scatter(uint64(i) + 1<<40)
		c := &client{mixes: h%10 == 0, six: h>>8%4 == 0}
		c.Name = fmt.Sprintf("%s-%d", deviceNames[i%len(deviceNames)], i)
		c.MAC = [6]byte{0x02, 0x10, byte(h >> 16), byte(h >> 24), byte(i >> 8), byte(i)}
		c.IPv4 = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		c.IPv6 = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 13: 1, 14: byte(i >> 8), 15: byte(i)})
		if int(h>>32%1e6) < t.options.Tagged && t.tags() {
			c.VLANs = []uint16{uint16(10 + i%4), uint16(100 + i%7)}[:1+i%2]
		}
		if t.link == linkIPv4 || t.link == linkIPv6 {
			c.six = t.link == linkIPv6
		}
		t.clients = append(t.clients, c)
	}
	for i, addr := range []string{"192.0.2.53:53", "198.51.100.53:53", "[2001:db8:53::53]:53", "[2001:db8:53::54]:53"} {
		t.servers = append(t.servers, At(byte(0xf0+i), addr))
	}
}

// endpoint is a client at this port.
func (c *client) endpoint(port uint16) Endpoint {
	addr := c.IPv4
	if c.six {
		addr = c.IPv6
	}
	return Endpoint{MAC: c.MAC, Addr: netip.AddrPortFrom(addr, port)}
}

// someone returns a client, the first ones more often.
func (t *Traffic) someone() *client {
	n := len(t.clients)
	return t.clients[min(t.random.below(n), t.random.below(n))]
}

// serverFor returns a resolver that a client can reach.
func (t *Traffic) serverFor(c *client) Endpoint {
	i := t.random.below(2)
	if c.six {
		i += 2
	}
	return t.servers[i]
}

// port returns a port that is none of DNS.
func (t *Traffic) port() uint16 { return uint16(t.random.in(10_000, 60_000)) }

// multicast is the group of mDNS or LLMNR, of a version of IP.
func multicast(port uint16, six bool) Endpoint {
	group, mac := "224.0.0.251", [6]byte{0x01, 0, 0x5e, 0, 0, 251}
	switch {
	case port == portMDNS && six:
		group, mac = "ff02::fb", [6]byte{0x33, 0x33, 0, 0, 0, 0xfb}
	case port == portLLMNR && six:
		group, mac = "ff02::1:3", [6]byte{0x33, 0x33, 0, 1, 0, 3}
	case port == portLLMNR:
		group, mac = "224.0.0.252", [6]byte{0x01, 0, 0x5e, 0, 0, 252}
	}
	return Endpoint{MAC: mac, Addr: netip.AddrPortFrom(netip.MustParseAddr(group), port)}
}

// other makes a packet that has nothing to do with DNS.
func other(t *Traffic, _ *exchange, _ int) {
	c := t.someone()
	from, to := c.endpoint(t.port()), Endpoint{MAC: t.servers[0].MAC, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, 9}), 443)}
	if c.six {
		to.Addr = netip.AddrPortFrom(netip.MustParseAddr("2001:db8:443::1"), 443)
	}
	t.truth.Other++
	payload := t.noise(t.random.in(40, 1400))
	switch t.random.below(10) {
	case 0:
		t.ping(&from, &to, c.VLANs, payload[:40])
	case 1, 2, 3:
		t.datagram(&from, &to, c.VLANs, payload)
	case 4:
		if t.hasLinkTypes() {
			t.arp(&from, &to, c.VLANs)
			break
		}
		t.ping(&from, &to, c.VLANs, payload)
	case 5:
		if t.link != linkIPv6 {
			t.greet(c)
			break
		}
		fallthrough
	default:
		t.segment(&from, &to, c.VLANs, uint32(t.random.next()), 1, ACK, payload)
	}
}

// noise returns bytes that mean nothing.
func (t *Traffic) noise(n int) []byte {
	t.reply = t.reply[:0]
	for len(t.reply) < n {
		t.reply = binary.LittleEndian.AppendUint64(t.reply, t.random.next())
	}
	return t.reply[:n]
}

// hasLinkTypes reports whether frames can hold other things than IP.
func (b *packets) hasLinkTypes() bool {
	return b.link == LinkEthernet || b.link == linkSLL || b.link == linkSLL2
}

func (b *packets) ping(from, to *Endpoint, vlans []uint16, data []byte) {
	proto, kind := uint8(1), byte(8)
	if !from.Addr.Addr().Is4() {
		proto, kind = 58, 128
	}
	b.ip(from, to, vlans, proto, 8+len(data))
	b.frame = append(append(b.frame, kind, 0, 0, 0, 0, 1, 0, 1), data...)
}

func (b *packets) arp(from, to *Endpoint, vlans []uint16) {
	b.open(from, to, vlans, 0x0806)
	b.frame = append(b.frame, 0, 1, 8, 0, 6, 4, 0, 1)
	b.frame = append(append(b.frame, from.MAC[:]...), 10, 0, 0, 1)
	b.frame = append(append(b.frame, to.MAC[:]...), 10, 0, 0, 2)
}

// greet is a client that asks DHCP for its address, by its name.
func (t *Traffic) greet(c *client) {
	from := Endpoint{MAC: c.MAC, Addr: netip.MustParseAddrPort("0.0.0.0:68")}
	to := Endpoint{MAC: [6]byte{255, 255, 255, 255, 255, 255}, Addr: netip.MustParseAddrPort("255.255.255.255:67")}
	t.truth.DHCP++
	m := append(t.reply[:0], 1, 1, 6, 0)
	m = binary.BigEndian.AppendUint32(m, uint32(t.random.next()))
	m = append(m, make([]byte, 20)...)
	m = append(append(m, c.MAC[:]...), make([]byte, 10+64+128)...)
	m = append(m, 0x63, 0x82, 0x53, 0x63, 53, 1, 3, 50, 4)
	m = appendAddress(m, c.IPv4)
	m = append(append(m, 12, byte(len(c.Name))), c.Name...)
	t.reply = append(m, 255)
	t.datagram(&from, &to, c.VLANs, t.reply)
}
