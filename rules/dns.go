package rules

import (
	"net/netip"
	"slices"
	"time"

	"larkspur/engine"
)

// dnsArguments are the arguments of on.dns.
var dnsArguments = []string{"domains", "types", "clients", "rcodes", "answers", "first_seen", "list", "proto"}

// dnsProtos are the values of its argument proto. mDNS and LLMNR count only
// where they are named.
var dnsProtos = []string{"udp", "tcp", "mdns", "llmnr"}

// dnsFilter is one on.dns. A part that is nil takes everything; all parts must
// agree.
type dnsFilter struct {
	domains *table
	lists   []*List // any of them
	types   []uint16
	clients *clients
	rcodes  []uint16
	answers *answers
	protos  []string
	newness newness
}

// clients are who may have asked.
type clients struct {
	networks networks
	macs     map[[6]byte]bool
}

// answers are what may have been answered: addresses, and names that a CNAME or
// DNAME leads to.
type answers struct {
	networks networks
	domains  *table
}

// newness is the argument first_seen.
type newness struct {
	wanted bool
	within time.Duration // 0: ever
}

// dnsFilter compiles the arguments of one on.dns.
func (c *compiler) dnsFilter(args *arguments, live bool) filter {
	args.only(dnsArguments...)
	f := &dnsFilter{
		domains: args.domains(),
		lists:   args.watchLists(),
		types:   args.types(),
		rcodes:  args.rcodes(),
		clients: args.clients(),
		answers: args.answers(),
		protos:  args.protos(),
		newness: args.newness(),
	}
	if live {
		c.set.dns.add(f)
	}
	return f
}

// matches holds an event against the filter: what can be told of a message
// before an event is made of it, and what the memory of lookups said.
func (f *dnsFilter) matches(e *engine.Event) bool {
	if f.newness.wanted && !f.newness.matches(e) {
		return false
	}
	s := sighting(e)
	return f.wants(&s) && f.named(&s)
}

// wants holds a message against all parts but its name, the cheap ones first.
func (f *dnsFilter) wants(s *engine.Sighting) bool {
	return (!f.asResponse() || s.Response) &&
		(f.types == nil || slices.Contains(f.types, s.Type)) &&
		f.protoWanted(s.Proto) &&
		(f.rcodes == nil || slices.Contains(f.rcodes, s.Rcode())) &&
		(f.clients == nil || f.clients.match(s)) &&
		(f.answers == nil || f.answers.match(s))
}

// asResponse tells whether the filter fires for responses. Otherwise it fires
// once a lookup: for the query, or for a response whose query was not seen.
func (f *dnsFilter) asResponse() bool { return f.rcodes != nil || f.answers != nil }

// named holds the name against domains and lists. A list's addresses are looked
// for in the answers, unless the list's domains took the query already.
func (f *dnsFilter) named(s *engine.Sighting) bool {
	if f.domains != nil && !f.domains.covers(s.Name) {
		return false
	}
	stands := !s.Response || !s.Paired || f.asResponse() // for the lookup
	if f.lists == nil {
		return stands
	}
	for _, l := range f.lists {
		if l.domains.covers(s.Name) {
			return stands
		}
	}
	return s.Response && slices.ContainsFunc(f.lists, func(l *List) bool { return l.networks.containsAny(s) })
}

// protoWanted: mDNS and LLMNR count only where they are named.
func (f *dnsFilter) protoWanted(proto string) bool {
	if f.protos == nil {
		return proto != "mdns" && proto != "llmnr"
	}
	return slices.Contains(f.protos, proto)
}

func (c *clients) match(s *engine.Sighting) bool {
	return c.networks.contains(s.Client) || len(c.macs) > 0 && c.macs[s.ClientMAC]
}

func (a *answers) match(s *engine.Sighting) bool {
	return a.networks.containsAny(s) || a.domains.count > 0 && leadsBelow(s, a.domains)
}

// leadsBelow tells whether a CNAME or DNAME leads to a name of the table.
func leadsBelow(s *engine.Sighting, t *table) bool {
	targets := s.Targets()
	for i := range targets.Len() {
		if t.covers(canonicalBytes(targets.At(i))) {
			return true
		}
	}
	return false
}

// containsAny tells whether an address of the answers is one of the networks.
func (n *networks) containsAny(s *engine.Sighting) bool {
	return !n.empty() && slices.ContainsFunc(s.Addresses(), func(a netip.Addr) bool { return n.contains(a) })
}

// matches goes by what the memory of lookups put into the event: first_seen,
// last_seen and memory_since. While the memory is younger than the span asked
// for, it cannot know.
func (n newness) matches(e *engine.Event) bool {
	first := e.Fields["first_seen"] == true
	if n.within == 0 {
		return first
	}
	before := e.Time.Add(-n.within)
	if since, known := e.Fields["memory_since"].(time.Time); known && since.After(before) {
		return false
	}
	last, seen := e.Fields["last_seen"].(time.Time)
	return first || seen && last.Before(before)
}
