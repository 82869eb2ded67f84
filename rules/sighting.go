package rules

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"larkspur/engine"
)

// sighting is what an event says of its message: rules judge both by the same
// code.
func sighting(e *engine.Event) engine.Sighting {
	fields := e.Fields
	s := engine.Sighting{
		Name:     []byte(canonical(text(fields, "query"))),
		Type:     code(fields, "type", dns.StringToType, "TYPE"),
		Response: fields["response"] == true,
		Paired:   fields["query_seen"] == true,
		Proto:    protoOf(fields),
		Answers:  eventAnswer(fields),
	}
	s.Client, _ = netip.ParseAddr(text(fields, "client")) // a name, or nothing, is in no network
	s.ClientMAC, _ = parseMAC(text(fields, "client_mac"))
	return s
}

// unknownCode stands for a type or response code that an event does not tell, or
// by a name that no registry has.
const unknownCode = engine.NoResponseCode

func code[N uint16 | int](fields map[string]engine.Value, name string, numbers map[string]N, prefix string) uint16 {
	if n, ok := number(text(fields, name), numbers, prefix); ok {
		return n
	}
	return unknownCode
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

// text is a field's string, "" when it is absent or something else.
func text(fields map[string]engine.Value, name string) string {
	s, _ := fields[name].(string)
	return s
}

// eventAnswer is what the event of a response carries.
type eventAnswer map[string]engine.Value

// ResponseCode implements engine.Answers.
func (f eventAnswer) ResponseCode() uint16 { return code(f, "rcode", dns.StringToRcode, "RCODE") }

// AppendAddresses implements engine.Answers.
func (f eventAnswer) AppendAddresses(dst []netip.Addr) []netip.Addr {
	for _, r := range f.records() {
		switch text(r, "type") {
		case "A", "AAAA":
			if a, err := netip.ParseAddr(text(r, "data")); err == nil {
				dst = append(dst, a)
			}
		}
	}
	return dst
}

// AppendTargets implements engine.Answers.
func (f eventAnswer) AppendTargets(dst *engine.Names) {
	for _, r := range f.records() {
		switch text(r, "type") {
		case "CNAME", "DNAME":
			dst.Set(append(dst.Room(), canonical(text(r, "data"))...))
		}
	}
}

func (f eventAnswer) records() []map[string]engine.Value {
	list, _ := f["answers"].([]engine.Value)
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
