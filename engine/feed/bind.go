package feed

import (
	"bytes"
	"net/netip"

	"larkspur/engine/capture"
)

// bind reads the query log of BIND (its category "queries"), whatever the channel
// prints before it:
//
//	22-Nov-2026 20:14:30.792 queries: info: client @0x7f2a8de54098 192.0.2.7#52587 (www.example.org): query: www.example.org IN A +E(0)K (192.0.2.53)
//	client 192.0.2.7#52587 (www.example.org): view home: query: www.example.org IN A + (192.0.2.53)
//
// Versions before 9.11 leave out what begins with @0x. The flags tell recursion
// desired (+), TCP (T) and checking disabled (C).
type bind struct{ stamper }

func (b *bind) pending() bool  { return false }
func (b *bind) flush(*[]entry) {}

var (
	bindClient = []byte("client ")
	bindQuery  = []byte(": query: ")
)

func (b *bind) line(line []byte, out *[]entry) string {
	at, rest, bad := b.cut(line)
	i := bytes.Index(rest, bindClient)
	if i < 0 {
		return otherLine
	}
	who, asked, found := bytes.Cut(rest[i+len(bindClient):], bindQuery)
	if !found {
		return otherLine
	}
	e := entry{Said: capture.Said{Time: at, Proto: capture.UDP}}
	reason := e.bindClient(who)
	if reason == "" {
		reason = e.bindQuery(asked)
	}
	switch {
	case reason != "":
		return reason
	case bad:
		return badTime
	}
	*out = append(*out, e)
	return ""
}

// bindClient reads "@0x7f2a8de54098 192.0.2.7#52587 (www.example.org)".
func (e *entry) bindClient(who []byte) string {
	if len(who) > 0 && who[0] == '@' {
		_, who = cutField(who)
	}
	who, _ = cutField(who)
	host, port, found := bytes.Cut(bytes.TrimSuffix(who, []byte{':'}), []byte{'#'})
	addr, ok := parseAddr(host)
	number, good := parsePort(port)
	if !found || !ok || !good {
		return badAddress
	}
	e.Client = netip.AddrPortFrom(addr, number)
	return ""
}

// bindQuery reads "www.example.org IN A +E(0)K (192.0.2.53)". Names are in
// presentation form already.
func (e *entry) bindQuery(asked []byte) string {
	name, rest := cutField(asked)
	class, rest := cutField(rest)
	kind, rest := cutField(rest)
	flags, rest := cutField(rest)
	if len(flags) == 0 || (flags[0] != '+' && flags[0] != '-') {
		return badLine
	}
	if len(name) > maxNameText {
		return badName
	}
	e.Name, e.Class, e.Type = string(name), string(class), string(kind)
	e.bindFlags(flags)
	server, _, found := bytes.Cut(bytes.TrimPrefix(rest, []byte{'('}), []byte{')'})
	if !found {
		return "" // before 9.7 the server was not told
	}
	addr, ok := parseAddr(server)
	if !ok {
		return badAddress
	}
	e.Server = netip.AddrPortFrom(addr, 0)
	return ""
}

func (e *entry) bindFlags(flags []byte) {
	if flags[0] == '+' {
		e.Flags |= flagRD
	}
	for _, c := range flags[1:] {
		switch c {
		case 'T':
			e.Proto = capture.TCP
		case 'C':
			e.Flags |= flagCD
		}
	}
}
