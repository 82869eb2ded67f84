package capture

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Bits of the flags in an OPT record (RFC 6891 §6.1.4, RFC 9824 §5.1).
const (
	ednsDO = 1 << 15
	ednsCO = 1 << 14
)

// EDNS is what the OPT record of a message says (RFC 6891 §6.1).
type EDNS struct {
	UDPSize uint16
	Version uint8
	Flags   uint16
	options []byte
}

// EDNS returns what the first OPT record says; ok is false where there is none, or
// the records before it are malformed. It shares memory with m and allocates
// nothing.
func (m *Message) EDNS() (e EDNS, ok bool) {
	opt, ok := m.opt()
	if !ok {
		return EDNS{}, false
	}
	return EDNS{UDPSize: opt.class, Version: uint8(opt.ttl >> 16), Flags: uint16(opt.ttl), options: m.Raw[opt.data:opt.end]}, true
}

// opt finds the OPT record among the additional records, once.
func (m *Message) opt() (outline, bool) {
	if m.optSought {
		return m.optAt, m.optAt.end > 0
	}
	m.optSought, m.optAt = true, outline{}
	w, err := m.records()
	before := int(m.counts[1]) + int(m.counts[2])
	for i := 0; err == nil && i < before+int(m.counts[3]); i++ {
		var r outline
		r, err = w.next()
		if err == nil && i >= before && r.kind == dns.TypeOPT && m.Raw[r.start] == 0 {
			m.optAt = r
			break
		}
	}
	return m.optAt, m.optAt.end > 0
}

// FlagNames returns the flags that are set, of DO and CO.
func (e *EDNS) FlagNames() []string {
	names := []string{}
	if e.Flags&ednsDO != 0 {
		names = append(names, "DO")
	}
	if e.Flags&ednsCO != 0 {
		names = append(names, "CO")
	}
	return names
}

// Option is one option of an OPT record.
type Option struct {
	Code uint16
	Data []byte
}

// Options returns an iterator over the options, up to one that is cut.
func (e *EDNS) Options() func(yield func(Option) bool) {
	return func(yield func(Option) bool) {
		for rest := e.options; len(rest) >= 4; {
			size := int(binary.BigEndian.Uint16(rest[2:]))
			if 4+size > len(rest) || !yield(Option{binary.BigEndian.Uint16(rest), rest[4 : 4+size]}) {
				return
			}
			rest = rest[4+size:]
		}
	}
}

// optionNames are the names of the options, as IANA registers them.
var optionNames = map[uint16]string{
	1: "LLQ", 2: "UPDATE-LEASE", 3: "NSID", 4: "OWNER", 5: "DAU", 6: "DHU", 7: "N3U", 8: "CLIENT-SUBNET", 9: "EXPIRE", 10: "COOKIE",
	11: "KEEPALIVE", 12: "PADDING", 13: "CHAIN", 14: "KEY-TAG", 15: "EDE", 16: "CLIENT-TAG", 17: "SERVER-TAG",
	18: "REPORT-CHANNEL", 19: "ZONEVERSION", 20292: "UMBRELLA-IDENT", 26946: "DEVICE-ID",
}

// Options that have rules of their own here.
const (
	optionSubnet  = 8
	optionPadding = 12
	optionError   = 15
)

// Name returns the name of the option, or "OPT65001".
func (o Option) Name() string {
	if name, ok := optionNames[o.Code]; ok {
		return name
	}
	return "OPT" + strconv.Itoa(int(o.Code))
}

// Subnet reads a client subnet (RFC 7871 §6): the network on whose behalf a query
// is made, and, in a response, for how many of its bits the answer holds.
func (o Option) Subnet() (network netip.Prefix, scope int, ok bool) {
	if o.Code != optionSubnet || len(o.Data) < 4 {
		return netip.Prefix{}, 0, false
	}
	bits, scope, address := int(o.Data[2]), int(o.Data[3]), o.Data[4:]
	var full [16]byte
	size := 4
	switch binary.BigEndian.Uint16(o.Data) {
	case 1:
	case 2:
		size = 16
	default:
		return netip.Prefix{}, 0, false
	}
	if bits > 8*size || scope > 8*size || len(address) > size || 8*len(address) < bits {
		return netip.Prefix{}, 0, false
	}
	copy(full[:], address)
	addr := netip.AddrFrom16(full)
	if size == 4 {
		addr = netip.AddrFrom4([4]byte(full[:]))
	}
	return netip.PrefixFrom(addr, bits).Masked(), scope, true
}

// ExtendedError is a reason that a server gives for its response (RFC 8914).
type ExtendedError struct {
	Code uint16
	Name string // as IANA registers it, "" for a code without a name
	Text string // UTF-8, for people; often empty
}

// ExtendedError reads an extended error.
func (o Option) ExtendedError() (e ExtendedError, ok bool) {
	if o.Code != optionError || len(o.Data) < 2 {
		return e, false
	}
	e.Code = binary.BigEndian.Uint16(o.Data)
	e.Name = dns.ExtendedErrorCodeToString[e.Code]
	e.Text = strings.ToValidUTF8(strings.TrimRight(string(o.Data[2:]), "\x00"), "\ufffd")
	return e, true
}

// Subnet returns the client subnet.
func (e *EDNS) Subnet() (network netip.Prefix, scope int, ok bool) {
	for o := range e.Options() {
		if network, scope, ok = o.Subnet(); ok {
			return network, scope, ok
		}
	}
	return netip.Prefix{}, 0, false
}

// Errors returns the extended errors.
func (e *EDNS) Errors() (errors []ExtendedError) {
	for o := range e.Options() {
		if r, ok := o.ExtendedError(); ok {
			errors = append(errors, r)
		}
	}
	return errors
}

// Others returns the options that neither Subnet nor Errors tells of.
func (e *EDNS) Others() (others []Option) {
	subnets := 0
	for o := range e.Options() {
		if _, ok := o.ExtendedError(); ok {
			continue
		}
		if _, _, ok := o.Subnet(); ok {
			if subnets++; subnets == 1 {
				continue
			}
		}
		others = append(others, o)
	}
	return others
}

// fields returns what an event says of EDNS, without what is not there.
func (e *EDNS) fields() map[string]any {
	fields := map[string]any{"udp_size": int64(e.UDPSize), "version": int64(e.Version)}
	flags := []any{}
	for _, name := range e.FlagNames() {
		flags = append(flags, name)
	}
	fields["flags"] = flags
	if network, scope, ok := e.Subnet(); ok {
		fields["client_subnet"], fields["client_subnet_scope"] = network.String(), int64(scope)
	}
	var errors, others []any
	for _, r := range e.Errors() {
		errors = append(errors, map[string]any{"code": int64(r.Code), "name": r.Name, "text": r.Text})
	}
	for _, o := range e.Others() {
		others = append(others, o.fields())
	}
	if errors != nil {
		fields["errors"] = errors
	}
	if others != nil {
		fields["options"] = others
	}
	return fields
}

// fields returns code, name and data, in hexadecimal; of padding the length.
func (o Option) fields() map[string]any {
	fields := map[string]any{"code": int64(o.Code), "name": o.Name()}
	if o.IsPadding() {
		fields["length"] = int64(len(o.Data))
	} else {
		fields["data"] = hex.EncodeToString(o.Data)
	}
	return fields
}

// IsPadding reports whether the option is there for its length alone (RFC 7830).
func (o Option) IsPadding() bool { return o.Code == optionPadding }
