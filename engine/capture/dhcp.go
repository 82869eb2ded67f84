package capture

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// The ports of DHCP.
const (
	DHCPServerPort = 67
	DHCPClientPort = 68
)

// Lease is what a DHCP message says of a client.
type Lease struct {
	Time time.Time
	MAC  MAC
	Addr netip.Addr // that the client has from now on; invalid where none is told
	Name string     // that the client gives itself; "" where it does not
}

// ParseMAC reads an Ethernet address.
func ParseMAC(text string) (MAC, error) {
	a, err := net.ParseMAC(text)
	if err != nil || len(a) != len(MAC{}) {
		return MAC{}, fmt.Errorf("got %.40q, want an Ethernet address such as 02:00:00:00:00:07", text)
	}
	return MAC(a), nil
}

// Where things stand in a BOOTP message (RFC 2131 §2), and the options that are
// read (RFC 2132, RFC 4702).
const (
	bootpFixed   = 236
	bootpCiaddr  = 12
	bootpYiaddr  = 16
	bootpChaddr  = 28
	dhcpMagic    = 0x63825363
	optPad       = 0
	optHostName  = 12
	optMessage   = 53
	optFQDN      = 81
	optEnd       = 255
	dhcpRequest  = 3
	dhcpAck      = 5
	dhcpInform   = 8
	maxHostBytes = 255
)

// ParseLease reads the payload of a UDP datagram between the ports of DHCP; false
// for what says nothing of a client, or breaks RFC 2131. An address is told by a
// server's ACK, or by a client that has one already.
func ParseLease(data []byte) (l Lease, ok bool) {
	const ethernet, macLength = 1, 6
	if len(data) < bootpFixed+4 || data[1] != ethernet || data[2] != macLength || binary.BigEndian.Uint32(data[bootpFixed:]) != dhcpMagic {
		return l, false
	}
	l.MAC = MAC(data[bootpChaddr : bootpChaddr+macLength])
	kind, ok := l.options(data[bootpFixed+4:])
	if !ok || l.MAC.IsZero() || l.MAC.isGroup() {
		return l, false
	}
	at := bootpCiaddr
	switch kind {
	case dhcpAck:
		at = bootpYiaddr
	case dhcpRequest, dhcpInform:
	default:
		return l, false
	}
	if addr := netip.AddrFrom4([4]byte(data[at : at+4])); !addr.IsUnspecified() {
		l.Addr = addr
	}
	return l, true
}

// options reads the options, and returns the kind of the message.
func (l *Lease) options(b []byte) (kind byte, ok bool) {
	for len(b) > 0 {
		code := b[0]
		switch code {
		case optPad:
			b = b[1:]
			continue
		case optEnd:
			return kind, true
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return 0, false
		}
		value := b[2 : 2+int(b[1])]
		b = b[2+len(value):]
		switch {
		case code == optMessage && len(value) == 1:
			kind = value[0]
		case code == optHostName:
			l.Name = string(value)
		case code == optFQDN && len(value) > 3 && l.Name == "":
			l.Name = fqdn(value)
		}
	}
	return kind, true
}

// fqdn reads option 81: flags, two response codes, and a name as text or, where bit
// E of the flags says so, in wire format.
func fqdn(value []byte) string {
	const encoded = 1 << 2
	if value[0]&encoded == 0 {
		return string(value[3:])
	}
	if length := int(value[3]); length < len(value)-3 && length <= maxHostBytes {
		return string(value[4 : 4+length]) // the host is the first label
	}
	return ""
}
