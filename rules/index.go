package rules

import (
	"slices"

	"larkspur/engine"
)

// dnsIndex answers WantsDNS for all live triggers together: one pass over the
// name tells whether any trigger that names domains could want it; only then are
// these asked one by one, and those that take any name always.
type dnsIndex struct {
	names  *table   // of all `domains`; nil: none
	tables []*table // names, and that of each list
	misses *memo    // names that none of tables covers; nil without tables
	named  []*dnsFilter
	open   []*dnsFilter
	// newness says that a trigger asks what the memory of lookups knows.
	newness bool
}

// add takes a live trigger into the index.
func (x *dnsIndex) add(f *dnsFilter) {
	x.newness = x.newness || f.newness.wanted
	if f.domains == nil && (f.lists == nil || slices.ContainsFunc(f.lists, func(l *List) bool { return !l.networks.empty() })) {
		x.open = append(x.open, f) // any name, or addresses in any answer
		return
	}
	x.named = append(x.named, f)
	if x.misses == nil {
		x.misses = new(memo)
	}
	if f.domains == nil {
		x.addLists(f.lists)
		return
	}
	if x.names == nil {
		x.names = newTable(0, 0)
		x.tables = append(x.tables, x.names)
	}
	f.domains.each(func(_ uint32, name []byte) { x.names.add(name) })
}

func (x *dnsIndex) addLists(lists []*List) {
	for _, l := range lists {
		if !slices.Contains(x.tables, l.domains) {
			x.tables = append(x.tables, l.domains)
		}
	}
}

// WantsDNS tells whether a message could match a rule: when it is false, none
// does, and no event need be made. What it cannot tell is what `match`, `where`
// and the memory of lookups say. It makes the name canonical, and allocates
// nothing but for names with escapes.
func (s *Set) WantsDNS(seen *engine.Sighting) bool {
	x := &s.dns
	if len(x.named)+len(x.open) == 0 {
		return false
	}
	seen.Name = canonicalBytes(seen.Name)
	if x.covered(seen.Name) && wanted(x.named, seen) {
		return true
	}
	return wanted(x.open, seen)
}

// covered tells whether a table covers a canonical name.
func (x *dnsIndex) covered(name []byte) bool {
	if len(x.tables) == 0 || len(name) == 0 {
		return false
	}
	hash := x.misses.hash(name)
	if x.misses.holds(hash) {
		return false
	}
	if coversAny(x.tables, name) {
		return true
	}
	x.misses.add(hash)
	return false
}

func wanted(filters []*dnsFilter, seen *engine.Sighting) bool {
	for _, f := range filters {
		if f.wants(seen) && f.named(seen) {
			return true
		}
	}
	return false
}

// WantsName tells whether any message about a name, a query or its response, could
// match a rule: where it is false, WantsDNS is so for all of them. It is for who must
// not miss the other messages of a lookup that is wanted.
func (s *Set) WantsName(name []byte) bool {
	x := &s.dns
	return len(x.open) > 0 || (len(x.named) > 0 && x.covered(canonicalBytes(name)))
}

// WantsFirstSeen tells whether a live rule asks for first_seen, so that its
// events need what the memory of lookups knows.
func (s *Set) WantsFirstSeen() bool { return s.dns.newness }
