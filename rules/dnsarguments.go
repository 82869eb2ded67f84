package rules

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

func (a *arguments) domains() *table {
	if !a.given("domains") {
		return nil
	}
	t := newTable(0, 0)
	for _, text := range a.texts("domains") {
		name, err := parseDomain(text)
		if err != nil {
			a.problem("on.dns: domains: %v", err)
			continue
		}
		t.add([]byte(name))
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
func (a *arguments) types() []uint16 {
	return registered(a, "types", dns.StringToType, "TYPE", "a DNS record type such as A, AAAA or TXT")
}

func (a *arguments) rcodes() []uint16 {
	return registered(a, "rcodes", dns.StringToRcode, "RCODE", "a DNS response code such as NXDOMAIN")
}

// registered reads an argument whose values stand in a registry, by name or by
// number, bare or after prefix.
func registered[N uint16 | int](a *arguments, argument string, numbers map[string]N, prefix, want string) []uint16 {
	if !a.given(argument) {
		return nil
	}
	set := []uint16{}
	for _, text := range a.texts(argument) {
		n, ok := number(text, numbers, prefix)
		if !ok {
			a.problem("on.dns: %s: got %q, want %s", argument, text, want)
		}
		set = append(set, n)
	}
	return set
}

// number reads a name of a registry, or a number, bare or after prefix.
func number[N uint16 | int](text string, numbers map[string]N, prefix string) (uint16, bool) {
	text = strings.ToUpper(text)
	if n, err := strconv.ParseUint(strings.TrimPrefix(text, prefix), 10, 16); err == nil {
		return uint16(n), true
	}
	n, ok := numbers[text]
	return uint16(n), ok
}

func (a *arguments) clients() *clients {
	if !a.given("clients") {
		return nil
	}
	c := &clients{macs: map[[6]byte]bool{}}
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
	out := &answers{domains: newTable(0, 0)}
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
		out.domains.add([]byte(name))
	}
	return out
}

func (a *arguments) protos() []string {
	if !a.given("proto") {
		return nil
	}
	set := []string{}
	for _, text := range a.texts("proto") {
		proto := strings.ToLower(text)
		if !slices.Contains(dnsProtos, proto) {
			a.problem("on.dns: proto: got %q, want %s", text, strings.Join(dnsProtos, ", "))
			continue
		}
		set = append(set, proto)
	}
	return set
}

// newness reads first_seen: True for what was never seen, a duration for what was
// not seen for so long.
func (a *arguments) newness() newness {
	switch v := a.values["first_seen"].(type) {
	case nil:
	case bool:
		return newness{wanted: v}
	case time.Duration:
		if v > 0 {
			return newness{wanted: true, within: v}
		}
		a.problem("on.dns: first_seen: got %v, want True or a duration such as \"7d\"", v)
	default:
		a.wrong("first_seen", v, "True or a duration such as \"7d\"")
	}
	return newness{}
}
