package clients

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"larkspur/engine/capture"
)

// An Observer learns from the messages of one sensor; it is for one goroutine.
type Observer struct {
	clients *Clients
	// known remembers which MAC an address had, so that most messages cost a look.
	known [observed]struct {
		addr netip.Addr
		mac  capture.MAC
	}
}

// observed is how many addresses an Observer remembers; a power of 2.
const observed = 1 << 10

// Observer returns a new one.
func (c *Clients) Observer() *Observer { return &Observer{clients: c} }

// Observe takes in a message: that its client's MAC has its address, and what an mDNS
// announcement says of its sender. It keeps nothing of m.
func (o *Observer) Observe(m *capture.Message) {
	if m.Service == capture.MDNS && m.Response() {
		o.clients.announced(m)
		return
	}
	if m.ClientMAC.IsZero() {
		return
	}
	addr := m.Client.Addr()
	slot := &o.known[place(addr)]
	if slot.addr == addr && slot.mac == m.ClientMAC {
		return
	}
	slot.addr, slot.mac = addr, m.ClientMAC
	o.clients.Saw(addr, m.ClientMAC, m.Time)
}

func place(addr netip.Addr) int {
	b := addr.As16()
	h := uint32(2166136261) // FNV-1a
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return int(h % observed)
}

// maxAnnounced bounds the records of an announcement that are looked at.
const maxAnnounced = 64

// announced takes a name from an mDNS announcement (RFC 6762), for its sender alone:
// a device may name itself, and nobody else. A friendly name ("Living Room TV") is
// better than that of the host.
func (c *Clients) announced(m *capture.Message) {
	sender := m.Server.Addr()
	msg, err := m.Decoded()
	if err != nil {
		return
	}
	host, friendly := "", ""
	for i, rr := range append(msg.Answer, msg.Extra...) {
		if i == maxAnnounced {
			break
		}
		switch rr := rr.(type) {
		case *dns.A:
			if addr, ok := netip.AddrFromSlice(rr.A); ok && addr.Unmap() == sender {
				host = hostOf(rr.Hdr.Name)
			}
		case *dns.AAAA:
			if addr, ok := netip.AddrFromSlice(rr.AAAA); ok && addr.Unmap() == sender {
				host = hostOf(rr.Hdr.Name)
			}
		case *dns.TXT:
			if name := friendlyOf(rr); name != "" {
				friendly = name
			}
		case *dns.SRV:
			if name := instanceOf(rr.Hdr.Name); name != "" && friendly == "" {
				friendly = name
			}
		}
	}
	if friendly == "" {
		friendly = host
	}
	c.Learn(MDNS, sender, capture.MAC{}, friendly, m.Time)
}

// hostOf returns the host of "living-room.local.".
func hostOf(name string) string {
	host, local := strings.CutSuffix(strings.ToLower(name), ".local.")
	if !local || strings.Contains(host, ".") {
		return ""
	}
	return unescaped(name[:len(host)])
}

// friendlyOf returns the name that Google Cast puts into TXT: fn=Living Room TV.
func friendlyOf(rr *dns.TXT) string {
	if !strings.Contains(strings.ToLower(rr.Hdr.Name), "._googlecast._tcp.") {
		return ""
	}
	for _, text := range rr.Txt {
		if name, found := strings.CutPrefix(text, "fn="); found {
			return unescaped(name)
		}
	}
	return ""
}

// friendlyServices are those whose instances have names that people gave.
var friendlyServices = []string{"._airplay._tcp.", "._ipp._tcp.", "._printer._tcp.", "._spotify-connect._tcp.", "._hap._tcp.", "._smb._tcp.", "._device-info._tcp."}

// instanceOf returns the instance of "Living Room TV._airplay._tcp.local.".
func instanceOf(name string) string {
	for _, service := range friendlyServices {
		if i := strings.Index(strings.ToLower(name), service); i > 0 {
			return unescaped(name[:i])
		}
	}
	return ""
}

// unescaped undoes the presentation form of a label (RFC 1035 §5.1).
func unescaped(label string) string {
	if !strings.Contains(label, `\`) {
		return label
	}
	var b strings.Builder
	for i := 0; i < len(label); i++ {
		if label[i] != '\\' || i+1 == len(label) {
			b.WriteByte(label[i])
			continue
		}
		if i+3 < len(label) && digit(label[i+1]) && digit(label[i+2]) && digit(label[i+3]) {
			n := int(label[i+1]-'0')*100 + int(label[i+2]-'0')*10 + int(label[i+3]-'0')
			b.WriteByte(byte(n))
			i += 3
			continue
		}
		i++
		b.WriteByte(label[i])
	}
	return b.String()
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// Leased takes in what a DHCP message says.
func (c *Clients) Leased(l capture.Lease) {
	c.Saw(l.Addr, l.MAC, l.Time)
	c.Learn(DHCP, netip.Addr{}, l.MAC, l.Name, l.Time)
}
