package rules

import (
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

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
	types   map[string]bool
	clients *clients
	rcodes  map[string]bool
	answers *answers
	protos  map[string]bool
}

// clients are who may have asked.
type clients struct {
	networks networks
	macs     map[string]bool
}

// answers are what may have been answered: addresses, and names that a CNAME or
// DNAME leads to.
type answers struct {
	networks networks
	domains  *table
}

// dnsIndex answers WantsDNS for all live triggers together.
type dnsIndex struct {
	all   bool   // some trigger takes any name
	names *table // of `domains`
	lists []*table
}

// dnsFilter compiles the arguments of one on.dns.
func (c *compiler) dnsFilter(args *arguments, live bool) filter {
	args.only(dnsArguments...)
	if seen := args.values["first_seen"]; seen != nil && seen != false {
		c.problem("on.dns: first_seen: not in this version").Hint = "it needs the passive DNS memory; leave it out"
	}
	f := &dnsFilter{
		domains: args.domains(),
		lists:   args.watchLists(),
		types:   args.types(),
		rcodes:  args.rcodes(),
		clients: args.clients(),
		answers: args.answers(),
		protos:  args.protos(),
	}
	if live {
		c.set.dns.add(f)
	}
	return f
}

func (a *arguments) domains() *table {
	if !a.given("domains") {
		return nil
	}
	t := newTable(0)
	for _, text := range a.texts("domains") {
		name, err := parseDomain(text)
		if err != nil {
			a.problem("on.dns: domains: %v", err)
			continue
		}
		t.add(name)
	}
	return t
}

func (a *arguments) watchLists() []*List {
	if !a.given("list") {
		return nil
	}
	found := []*List{}
	for _, text := range a.texts("list") {
		name := ListName(text)
		if l, ok := a.lists[name]; ok {
			found = append(found, l)
		} else {
			a.problem("on.dns: list: no list %q", name).Hint = "write it into lists/" + name + ".txt: one domain, address or network a line"
		}
	}
	return found
}

// types and rcodes read names of DNS registries, or their numbers.
func (a *arguments) types() map[string]bool {
	return registered(a, "types", dns.StringToType, dns.TypeToString, "TYPE", "a DNS record type such as A, AAAA or TXT")
}

func (a *arguments) rcodes() map[string]bool {
	return registered(a, "rcodes", dns.StringToRcode, dns.RcodeToString, "RCODE", "a DNS response code such as NXDOMAIN")
}

// registered reads an argument whose values stand in a registry; a number, bare
// or after prefix, is any value by its name in events.
func registered[N uint16 | int](a *arguments, argument string, numbers map[string]N, names map[N]string, prefix, want string) map[string]bool {
	if !a.given(argument) {
		return nil
	}
	set := map[string]bool{}
	for _, text := range a.texts(argument) {
		name := strings.ToUpper(text)
		n, err := strconv.ParseUint(strings.TrimPrefix(name, prefix), 10, 16)
		if err == nil {
			if name = names[N(n)]; name == "" {
				name = prefix + strconv.FormatUint(n, 10)
			}
		} else if _, ok := numbers[name]; !ok {
			a.problem("on.dns: %s: got %q, want %s", argument, text, want)
		}
		set[name] = true
	}
	return set
}

func (a *arguments) clients() *clients {
	if !a.given("clients") {
		return nil
	}
	c := &clients{macs: map[string]bool{}}
	for _, text := range a.texts("clients") {
		if mac, ok := parseMAC(text); ok {
			c.macs[mac] = true
			continue
		}
		p, ok, err := parseNetwork(text)
		switch {
		case err != nil:
			a.problem("on.dns: clients: %v", err)
		case !ok:
			a.problem("on.dns: clients: got %q, want an address, a network or a MAC address", text)
		default:
			c.networks.add(p)
		}
	}
	return c
}

func (a *arguments) answers() *answers {
	if !a.given("answers") {
		return nil
	}
	out := &answers{domains: newTable(0)}
	for _, text := range a.texts("answers") {
		p, ok, err := parseNetwork(text)
		if ok && err == nil {
			out.networks.add(p)
			continue
		}
		var name string
		if err == nil {
			name, err = parseDomain(text)
		}
		if err != nil {
			a.problem("on.dns: answers: %v", err).Hint = "want addresses, networks or the names that a CNAME leads to"
			continue
		}
		out.domains.add(name)
	}
	return out
}

func (a *arguments) protos() map[string]bool {
	if !a.given("proto") {
		return nil
	}
	set := map[string]bool{}
	for _, text := range a.texts("proto") {
		proto := strings.ToLower(text)
		if !contains(dnsProtos, proto) {
			a.problem("on.dns: proto: got %q, want %s", text, strings.Join(dnsProtos, ", "))
			continue
		}
		set[proto] = true
	}
	return set
}

// matches holds a message against the filter. A lookup is one event: it fires
// for the query, or for a response whose query was not seen. With rcodes or
// answers it fires for the response. A list's addresses are looked for in the
// answers, unless the list's domains took the query already.
func (f *dnsFilter) matches(e *engine.Event) bool {
	fields := e.Fields
	response := fields["response"] == true
	if f.rcodes != nil || f.answers != nil {
		if !response || !f.rcodeMatches(fields) || !f.answers.match(fields) {
			return false
		}
	}
	return f.protoMatches(fields) &&
		(f.types == nil || f.types[strings.ToUpper(text(fields, "type"))]) &&
		f.clients.match(fields) &&
		f.nameMatches(fields, response)
}

func (f *dnsFilter) nameMatches(fields map[string]engine.Value, response bool) bool {
	name := text(fields, "query")
	if f.domains != nil && !below(f.domains, name) {
		return false
	}
	// The event that stands for the lookup, for what fires on queries.
	first := !response || fields["query_seen"] != true || f.rcodes != nil || f.answers != nil
	if f.lists == nil {
		return first
	}
	for _, l := range f.lists {
		if below(l.domains, name) {
			return first
		}
	}
	return response && slices.ContainsFunc(f.lists, func(l *List) bool { return anyAnswer(fields, l.networks.contains) })
}

func (f *dnsFilter) rcodeMatches(fields map[string]engine.Value) bool {
	return f.rcodes == nil || f.rcodes[strings.ToUpper(text(fields, "rcode"))]
}

func (f *dnsFilter) protoMatches(fields map[string]engine.Value) bool {
	proto := protoOf(fields)
	if f.protos == nil {
		return proto != "mdns" && proto != "llmnr"
	}
	return f.protos[proto]
}

// protoOf tells mDNS and LLMNR by their ports (RFC 6762 §2, RFC 4795 §2), the
// server's before the client's, where the field itself names the transport.
func protoOf(fields map[string]engine.Value) string {
	proto := strings.ToLower(text(fields, "proto"))
	for _, port := range [...]string{"server_port", "client_port"} {
		switch fields[port] {
		case int64(53):
			return proto
		case int64(5353):
			return "mdns"
		case int64(5355):
			return "llmnr"
		}
	}
	return proto
}

func (c *clients) match(fields map[string]engine.Value) bool {
	if c == nil {
		return true
	}
	if c.networks.contains(text(fields, "client")) {
		return true
	}
	mac, ok := parseMAC(text(fields, "client_mac"))
	return ok && c.macs[mac]
}

func (a *answers) match(fields map[string]engine.Value) bool {
	if a == nil {
		return true
	}
	return anyAnswer(fields, a.networks.contains) || anyTarget(fields, a.domains)
}

// anyAnswer tells whether the data of one address record is accepted.
func anyAnswer(fields map[string]engine.Value, accept func(string) bool) bool {
	for _, record := range records(fields) {
		switch text(record, "type") {
		case "A", "AAAA":
			if accept(text(record, "data")) {
				return true
			}
		}
	}
	return false
}

// anyTarget tells whether a CNAME or DNAME leads to one of the names.
func anyTarget(fields map[string]engine.Value, names *table) bool {
	for _, record := range records(fields) {
		switch text(record, "type") {
		case "CNAME", "DNAME":
			if below(names, text(record, "data")) {
				return true
			}
		}
	}
	return false
}

// records are the answers of a message.
func records(fields map[string]engine.Value) []map[string]engine.Value {
	list, _ := fields["answers"].([]engine.Value)
	records := make([]map[string]engine.Value, 0, len(list))
	for _, v := range list {
		switch v := v.(type) {
		case map[string]engine.Value:
			records = append(records, v)
		case engine.Struct:
			records = append(records, v.Fields)
		}
	}
	return records
}

// text is a field's string, "" when it is absent or something else.
func text(fields map[string]engine.Value, name string) string {
	s, _ := fields[name].(string)
	return s
}

// below tells whether a name is one of the table's or lies below one.
func below(t *table, name string) bool {
	if needsCanonical(name) {
		name = canonical(name)
	}
	return covers(t, name)
}

// add takes a live trigger's names into the index.
func (x *dnsIndex) add(f *dnsFilter) {
	switch {
	case f.domains != nil:
		if x.names == nil {
			x.names = newTable(0)
		}
		f.domains.each(func(_ uint32, name string) { x.names.add(name) })
	case f.lists == nil || slices.ContainsFunc(f.lists, func(l *List) bool { return !l.networks.empty() }):
		x.all = true // any name, or addresses in any answer
	default:
		for _, l := range f.lists {
			if !slices.Contains(x.lists, l.domains) {
				x.lists = append(x.lists, l.domains)
			}
		}
	}
}

// WantsDNS tells whether a message about name could match a rule: when it is
// false, none does, and no event need be made. The name is in presentation form
// and in any case. It does not allocate for names of letters, digits and
// hyphens.
func (s *Set) WantsDNS(name []byte) bool {
	if s.dns.all {
		return true
	}
	if needsCanonical(name) {
		name = []byte(canonical(string(name)))
	}
	return s.dns.has(name)
}

func (x *dnsIndex) has(name []byte) bool {
	if x.names != nil && covers(x.names, name) {
		return true
	}
	for _, t := range x.lists {
		if covers(t, name) {
			return true
		}
	}
	return false
}
