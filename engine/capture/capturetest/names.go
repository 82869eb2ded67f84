package capturetest

import (
	"fmt"
	"strings"
)

// Domain returns the n-th of 16 million made-up registrable domains, all
// different, as in "kodarimu-shop.co.uk". Traffic draws from the first ones, the
// most popular first.
func Domain(n int) string {
	const consonants, vowels = "bdfgklmnprstvwyz", "aeio"
	var b [8]byte
	rest := uint32(n) * 0x9e3779b1 & (1<<24 - 1) // odd, so different for different n
	for i := 0; i < len(b); i += 2 {
		b[i], b[i+1] = consonants[rest&15], vowels[rest>>4&3]
		rest >>= 6
	}
	h := scatter(uint64(n))
	return string(b[:]) + endings[h%uint64(len(endings))] + "." + topLevels[h>>32%uint64(len(topLevels))]
}

var (
	endings   = []string{"", "", "", "", "media", "-shop", "24", "cloud", "cdn", "-analytics", "app", "online"}
	topLevels = []string{"com", "com", "com", "com", "com", "net", "net", "org", "de", "io", "co.uk", "app", "com.br"}
	hostParts = []string{
		"api", "cdn", "img", "static", "mail", "login", "m", "edge-01.eu-central-1", "a.b", "telemetry", "_dmarc",
		"ns1", "video-17.fra03.ix", "assets", "push", "ssl", "config.v2", "autodiscover", "ocsp", "update",
	}
	serviceNames = []string{
		"_ldap._tcp.dc._msdcs.corp.example", "_kerberos._udp.corp.example", "_sip._tcp.voice.example",
		"_xmpp-client._tcp.chat.example", "_imaps._tcp.mail.example",
	}
	oddNames = []string{ // in presentation form
		`sp\032ace.example`, `dot\.ted.example`, `caf\195\169.example`, "xn--caf-dma.example", `back\092slash.example`,
		"_under_score.example", "a." + strings.Repeat("l", 63) + ".example", `nul\000.example`,
	}
	multicastNames = []string{
		"_airplay._tcp.local", "_ipp._tcp.local", "_googlecast._tcp.local", "_hap._tcp.local",
		`Living\032Room._airplay._tcp.local`, "printer.local", "nas.local",
	}
	deviceNames = []string{"living-room-tv", "phone", "laptop", "printer", "nas", "thermostat", "tablet", "doorbell"}
)

// host is a name that is asked for, and what is answered.
type host struct {
	name      string // as a reader writes it: lower case, no trailing dot
	wire      []byte // lower case
	watched   bool
	lookAlike bool
	missing   bool // does not exist
	answers   map[uint16]*answer
}

// newHost makes a host of a name in presentation form.
func newHost(text string) *host {
	wire := appendWireName(nil, text)
	return &host{name: present(wire), wire: wire, missing: scatter(uint64(len(text))*31+uint64(text[0])<<8+uint64(text[len(text)/2]))%16 == 0}
}

// appendWireName appends a name, in which \DDD and \X are escapes.
func appendWireName(b []byte, text string) []byte {
	start := len(b)
	b = append(b, 0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '.':
			b[start] = byte(len(b) - start - 1)
			start = len(b)
			b = append(b, 0)
			continue
		case c == '\\' && text[i+1] >= '0' && text[i+1] <= '9':
			c = (text[i+1]-'0')*100 + (text[i+2]-'0')*10 + text[i+3] - '0'
			i += 3
		case c == '\\':
			c = text[i+1]
			i++
		}
		b = append(b, lower(c))
	}
	b[start] = byte(len(b) - start - 1)
	return append(b, 0)
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// present writes a name in wire form as a reader must: dots and backslashes within
// labels, and what does not print, as \DDD.
func present(wire []byte) string {
	var b strings.Builder
	for at := 0; wire[at] != 0; at += int(wire[at]) + 1 {
		if at > 0 {
			b.WriteByte('.')
		}
		for _, c := range wire[at+1 : at+1+int(wire[at])] {
			if c <= ' ' || c > '~' || c == '.' || c == '\\' {
				fmt.Fprintf(&b, `\%03d`, c)
			} else {
				b.WriteByte(lower(c))
			}
		}
	}
	if b.Len() == 0 {
		return "."
	}
	return b.String()
}

// names are what is asked for.
type names struct {
	popularity ranks
	sites      [][]*host // by domain; filled when asked for
	reverse    []*host
	services   []*host
	odd        []*host
	multicast  []*host
	watched    []*host
	lookAlikes []*host
}

func newNames(o TrafficOptions) *names {
	n := &names{popularity: newRanks(o.Domains, 8), sites: make([][]*host, o.Domains)}
	n.services, n.odd, n.multicast = hosts(serviceNames), hosts(oddNames), hosts(multicastNames)
	for i := range 256 {
		h := newHost(fmt.Sprintf("%d.%d.0.10.in-addr.arpa", i, i%4))
		if i%8 == 0 {
			h = newHost(strings.Repeat("0.", 22) + fmt.Sprintf("%x.%x", i%16, i/16) + ".8.b.d.0.1.0.0.2.ip6.arpa")
		}
		h.missing = i%3 == 0
		n.reverse = append(n.reverse, h)
	}
	for _, domain := range o.Watched {
		n.watch(domain)
	}
	return n
}

func hosts(texts []string) (list []*host) {
	for _, text := range texts {
		list = append(list, newHost(text))
	}
	return list
}

// watch adds names within a domain, and others that only look like it.
func (n *names) watch(domain string) {
	for _, text := range []string{domain, "www." + domain, "api-global." + domain, "a.b.c." + domain} {
		h := newHost(text)
		h.watched, h.missing = true, false
		n.watched = append(n.watched, h)
	}
	for _, text := range []string{"not" + domain, domain + ".evil.example", "www.x-" + domain, domain + "m"} {
		h := newHost(text)
		h.lookAlike = true
		n.lookAlikes = append(n.lookAlikes, h)
	}
}

// popular returns one of the ordinary names.
func (n *names) popular(p *pcg) *host {
	i := n.popularity.draw(p)
	if n.sites[i] == nil {
		n.sites[i] = site(i)
	}
	list := n.sites[i]
	return list[p.below(len(list)+2)%len(list)] // the first two come up more often
}

// site returns the names of a domain: itself, www and up to four more.
func site(i int) []*host {
	domain := Domain(i)
	list := []*host{newHost(domain), newHost("www." + domain)}
	for h := scatter(uint64(i) + 1<<32); len(list) < 2+int(h>>60%5); h = scatter(h) {
		list = append(list, newHost(hostParts[h%uint64(len(hostParts))]+"."+domain))
	}
	return list
}

func pick(p *pcg, list []*host) *host { return list[p.below(len(list))] }
