package rules

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// networks is a set of addresses and networks. The zero value is empty and
// ready; once filled it is safe for concurrent reading.
type networks struct {
	few          []netip.Prefix // all of them, while they are few
	bits4, bits6 []int          // lengths of prefix that occur, otherwise
	prefixes     map[netip.Prefix]struct{}
}

// fewNetworks are compared one by one faster than they are looked up.
const fewNetworks = 8

// add puts in a network; an address is one of full length.
func (n *networks) add(p netip.Prefix) {
	if n.prefixes == nil {
		n.prefixes = map[netip.Prefix]struct{}{}
	}
	lengths := &n.bits6
	if p.Addr().Is4() {
		lengths = &n.bits4
	}
	if !slices.Contains(*lengths, p.Bits()) {
		*lengths = append(*lengths, p.Bits())
	}
	if _, known := n.prefixes[p]; !known && len(n.few) <= fewNetworks {
		n.few = append(n.few, p)
	}
	n.prefixes[p] = struct{}{}
}

func (n *networks) empty() bool { return len(n.prefixes) == 0 }

// contains tells whether an address is one of the networks.
func (n *networks) contains(a netip.Addr) bool {
	if n.empty() || !a.IsValid() {
		return false
	}
	a = a.Unmap().WithZone("")
	if len(n.prefixes) <= fewNetworks {
		return slices.ContainsFunc(n.few, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	lengths := n.bits6
	if a.Is4() {
		lengths = n.bits4
	}
	for _, bits := range lengths {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if _, ok := n.prefixes[p]; ok {
			return true
		}
	}
	return false
}

// parseNetwork reads an address or a network. ok is false for text that looks
// like neither; an error says what is wrong with one that does.
func parseNetwork(text string) (p netip.Prefix, ok bool, err error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), true, nil
	}
	p, err = netip.ParsePrefix(text)
	if err != nil {
		return p, false, nil
	}
	if p.Addr().Is4In6() {
		return p, true, fmt.Errorf("%q: write IPv4 networks as IPv4", text)
	}
	if p.Masked() != p {
		return p, true, fmt.Errorf("%q has bits set beyond its length: write %s for the network, or %s for the one address", text, p.Masked(), p.Addr())
	}
	return p, true, nil
}

// parseMAC reads a hardware address of six bytes in any usual spelling.
func parseMAC(text string) (mac [6]byte, ok bool) {
	bytes, err := net.ParseMAC(text)
	if err != nil || len(bytes) != 6 {
		return mac, false
	}
	return [6]byte(bytes), true
}
