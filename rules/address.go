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
	bits4, bits6 []int // lengths of prefix that occur
	prefixes     map[netip.Prefix]struct{}
}

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
	n.prefixes[p] = struct{}{}
}

func (n *networks) empty() bool { return len(n.prefixes) == 0 }

// contains tells whether the text is an address of one of the networks.
func (n *networks) contains(text string) bool {
	if n.empty() {
		return false
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
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

// parseMAC reads a hardware address of six bytes in any usual spelling and
// returns it as events have it.
func parseMAC(text string) (string, bool) {
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 {
		return "", false
	}
	return mac.String(), true
}
