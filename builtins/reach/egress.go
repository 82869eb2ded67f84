package reach

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"larkspur/engine"
)

// Policy says which addresses may be dialed. The order: cloud metadata and our
// own ports are always refused, then deny, then hosts of connections and allow
// are let through, then the address must be public. Immutable.
type Policy struct {
	allow, deny rules
	connections map[string]bool
	ownPorts    []uint16
	local       func() ([]net.Addr, error)
}

// rules is one of the two lists of `egress` in box.yaml.
type rules struct {
	prefixes []netip.Prefix
	hosts    []string
}

// NewPolicy makes a policy from the lists of `egress` (networks, addresses or
// hosts; "*.example.org" is every host below), the hosts that connections name,
// and the ports that this program listens on. Errors are of kind invalid and
// name the key.
func NewPolicy(allow, deny, connectionHosts []string, ownPorts []int) (*Policy, error) {
	p := &Policy{connections: map[string]bool{}, local: net.InterfaceAddrs}
	var err error
	if p.allow, err = parseRules("egress.allow", allow); err != nil {
		return nil, err
	}
	if p.deny, err = parseRules("egress.deny", deny); err != nil {
		return nil, err
	}
	for _, h := range connectionHosts {
		p.connections[canonicalHost(h)] = true
	}
	for _, n := range ownPorts {
		p.ownPorts = append(p.ownPorts, uint16(n))
	}
	return p, nil
}

func parseRules(key string, list []string) (rules, error) {
	var r rules
	for _, s := range list {
		if prefix, err := netip.ParsePrefix(s); err == nil {
			r.prefixes = append(r.prefixes, prefix.Masked())
			continue
		}
		if addr, err := netip.ParseAddr(s); err == nil {
			addr = addr.Unmap()
			r.prefixes = append(r.prefixes, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		if s == "" || strings.ContainsAny(s, "/: ") {
			return r, engine.Errorf(engine.Invalid, "%s: got %q, want a network (192.0.2.0/24), an address or a host", key, s)
		}
		r.hosts = append(r.hosts, canonicalHost(s))
	}
	return r, nil
}

// canonicalHost makes equal hosts equal strings: lower case, no trailing dot, no
// brackets, addresses in their shortest form.
func canonicalHost(h string) string {
	h = strings.TrimSuffix(strings.ToLower(strings.Trim(h, "[]")), ".")
	if a, err := netip.ParseAddr(h); err == nil {
		return a.Unmap().WithZone("").String()
	}
	return h
}

func (r rules) match(host string, addrs []netip.Addr) bool {
	for _, h := range r.hosts {
		if h == host {
			return true
		}
		if below, ok := strings.CutPrefix(h, "*"); ok && strings.HasSuffix(host, below) {
			return true
		}
	}
	for _, p := range r.prefixes {
		if slices.ContainsFunc(addrs, p.Contains) {
			return true
		}
	}
	return false
}

// Check says whether the address that host resolved to may be dialed. The error
// is of kind denied.
func (p *Policy) Check(host string, to netip.AddrPort) error {
	host = canonicalHost(host)
	addrs := embedded(to.Addr())
	refuse := func(why string) *engine.Error {
		name := to.Addr().Unmap().String()
		if name != host {
			name += " (" + host + ")"
		}
		return engine.Errorf(engine.Denied, "egress: %s %s", name, why)
	}
	switch {
	case slices.ContainsFunc(addrs, isMetadata):
		return refuse("is a cloud's metadata service, which is always refused")
	case slices.Contains(p.ownPorts, to.Port()) && p.isOurs(addrs):
		return refuse("is a port of this program, which is always refused")
	case p.deny.match(host, addrs):
		return refuse("is closed by egress.deny")
	case p.connections[host] || p.allow.match(host, addrs):
		return nil
	case slices.ContainsFunc(addrs, notPublic):
		return refuse("is not a public address, and no connection names it").
			WithHint("name the host in `connections`, or open it with egress.allow in box.yaml")
	}
	return nil
}

// CheckBehind says whether a host that another one is asked to connect to may be
// reached. A name is looked up there, out of our sight: then to is zero, and only
// what is said of the name counts.
func (p *Policy) CheckBehind(host string, to netip.AddrPort) error {
	if to.IsValid() {
		return p.Check(host, to)
	}
	if p.deny.match(canonicalHost(host), nil) {
		return engine.Errorf(engine.Denied, "egress: %s is closed by egress.deny", host)
	}
	return nil
}

// isOurs reports whether an address leads back to this machine.
func (p *Policy) isOurs(addrs []netip.Addr) bool {
	ours, _ := p.local()
	for _, a := range addrs {
		if a.IsLoopback() || a.IsUnspecified() {
			return true
		}
		for _, o := range ours {
			if n, ok := o.(*net.IPNet); ok && n.IP.Equal(a.AsSlice()) {
				return true
			}
		}
	}
	return false
}

// embedded returns the address and, where it carries an IPv4 address that a
// gateway would go on to (NAT64, RFC 6052; 6to4, RFC 3056), that one too.
func embedded(a netip.Addr) []netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return []netip.Addr{a}
	}
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return []netip.Addr{netip.AddrFrom4([4]byte(b[12:16]))}
	case b[0] == 0x20 && b[1] == 0x02:
		return []netip.Addr{a, netip.AddrFrom4([4]byte(b[2:6]))}
	}
	return []netip.Addr{a}
}

// The tables below never change after start.
var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
	global = netip.MustParsePrefix("2000::/3")

	// metadata are the services by which clouds hand credentials to machines:
	// AWS, Google, Azure and most others on the first, then ECS and EKS, Alibaba,
	// Oracle, Azure's wire server, AWS and Google by IPv6.
	metadata = addresses("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200",
		"192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254")

	// reserved is what the IANA special-purpose registries (RFC 6890) list as not
	// globally reachable.
	reserved = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
		"172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)

func addresses(list ...string) []netip.Addr {
	out := make([]netip.Addr, len(list))
	for i, s := range list {
		out[i] = netip.MustParseAddr(s)
	}
	return out
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func isMetadata(a netip.Addr) bool { return slices.Contains(metadata, a) }

func notPublic(a netip.Addr) bool {
	if a.Is6() && !global.Contains(a) {
		return true
	}
	return slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(a) })
}
