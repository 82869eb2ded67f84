package feed

import (
	"bytes"
	"net/netip"

	"larkspur/engine/capture"
)

// unbound reads the log of Unbound with log-queries, log-replies or both
// (unbound.conf(5)), from its own logfile or from syslog:
//
//	[1795378466] unbound[30877:0] info: 192.0.2.7 www.example.org. A IN
//	[1795378466] unbound[30877:0] info: 192.0.2.7 www.example.org. A IN NOERROR 0.000000 1 60
//
// With log-tag-queryreply "query" and "reply" stand in place of "info", with
// log-destaddr a reply ends in "on udp 192.0.2.53 53". Unbound writes ? for what
// does not print in a name.
type unbound struct{ stamper }

func (u *unbound) pending() bool  { return false }
func (u *unbound) flush(*[]entry) {}

func (u *unbound) line(line []byte, out *[]entry) string {
	at, rest, bad := u.cut(line)
	i := bytes.Index(rest, []byte("unbound"))
	if i < 0 {
		return otherLine
	}
	_, said, found := bytes.Cut(rest[i:], []byte(": "))
	if found && len(said) > 0 && said[0] == '[' { // by syslog: unbound: [30877:0] info: …
		_, said, found = bytes.Cut(said, []byte("] "))
		for _, level := range [...]string{"info: ", "query: ", "reply: "} {
			said = bytes.TrimPrefix(said, []byte(level))
		}
	}
	if !found {
		return otherLine
	}
	e := entry{Said: capture.Said{Time: at, Proto: capture.UDP}}
	switch reason := unboundEntry(said, &e); {
	case reason != "":
		return reason
	case bad:
		return badTime
	}
	*out = append(*out, e)
	return ""
}

// unboundEntry reads what follows the prefix of a line.
func unboundEntry(said []byte, e *entry) string {
	client, rest := cutField(said)
	name, rest := cutField(rest)
	kind, rest := cutField(rest)
	class, rest := cutField(rest)
	addr, ok := parseAddr(client)
	if !ok || len(class) == 0 {
		return otherLine
	}
	if len(name) > maxNameText {
		return badName
	}
	e.Client = netip.AddrPortFrom(addr, 0)
	e.Name, e.Type, e.Class = escaped(name), string(kind), string(class)
	if len(rest) == 0 {
		return ""
	}
	rcode, rest := cutField(rest)
	e.Response, e.Rcode = true, string(rcode)
	if _, where, found := bytes.Cut(rest, []byte(" on ")); found {
		return e.destination(where)
	}
	return ""
}

// destination reads "udp 192.0.2.53 53".
func (e *entry) destination(where []byte) string {
	proto, where := cutField(where)
	host, port := cutField(where)
	addr, ok := parseAddr(host)
	number, good := parsePort(bytes.TrimSpace(port))
	if !ok || !good {
		return badAddress
	}
	e.Server = netip.AddrPortFrom(addr, number)
	if string(proto) != "udp" {
		e.Proto = capture.TCP
	}
	return ""
}
