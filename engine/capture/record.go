package capture

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"reflect"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// recordHeaderSize is what follows the name of a record: type, class, time to
// live and length of the data.
const recordHeaderSize = 10

// Record is one answer of a message. Names in it are written as Message.Name is.
type Record struct {
	Name string
	Type string // as Message.TypeName
	TTL  uint32 // seconds
	// Data is in presentation form (RFC 1035 §5.1), and in the generic form of
	// RFC 3597 §5 where it cannot be read by the rules of its type.
	Data string
}

// Records decodes the answer section. Where it is malformed, the records before
// that point are returned beside an error. Like other decoders it takes the end of
// the message between two records for the end of the section, unless it is Cut.
func (m *Message) Records() ([]Record, error) {
	w, err := m.answers()
	if err != nil || m.counts[1] == 0 {
		return nil, err
	}
	var records []Record
	var name []byte
	for i := 0; i < int(m.counts[1]) && (m.Cut || w.off < len(m.Raw)); i++ {
		r, err := w.next()
		if err != nil {
			return records, err
		}
		if name, _, err = appendName(name[:0], m.Raw, r.start); err != nil {
			return records, err
		}
		data, err := r.present(m.Raw)
		if err != nil {
			return records, err
		}
		records = append(records, Record{Name: string(name), Type: typeName(r.kind), TTL: r.ttl, Data: data})
	}
	return records, nil
}

// Rcode returns the response code, as in "NXDOMAIN" or "RCODE24". The upper bits
// come from the OPT record (RFC 6891 §6.1.3) where it can be found.
func (m *Message) Rcode() string {
	code := int(m.Flags&0xf) | m.extendedRcode()
	if code == dns.RcodeBadVers {
		return "BADVERS" // its other name, BADSIG, is one of TSIG
	}
	if name, ok := dns.RcodeToString[code]; ok {
		return name
	}
	return "RCODE" + strconv.Itoa(code)
}

func (m *Message) extendedRcode() int {
	if m.counts[3] == 0 {
		return 0
	}
	w, err := m.answers()
	if err != nil {
		return 0
	}
	before := int(m.counts[1]) + int(m.counts[2])
	for i := 0; i < before+int(m.counts[3]); i++ {
		r, err := w.next()
		if err != nil {
			return 0
		}
		if i >= before && r.kind == dns.TypeOPT {
			return int(r.ttl>>24) << 4
		}
	}
	return 0
}

// answers returns a walk over the records of the message.
func (m *Message) answers() (recordWalk, error) {
	w := recordWalk{raw: m.Raw, off: m.body}
	if !m.Question {
		return w, nil
	}
	for i := 1; i < int(m.counts[0]) && w.off < len(m.Raw); i++ {
		end, err := skipName(w.raw, w.off)
		if err != nil {
			return w, err
		}
		if w.off = end + 4; w.off > len(w.raw) {
			return w, errCut
		}
	}
	return w, nil
}

// recordWalk goes from record to record, looking only at their outlines.
type recordWalk struct {
	raw []byte
	off int
}

// outline says where a record and its data lie in the message.
type outline struct {
	start, data, end int
	kind, class      uint16
	ttl              uint32
}

func (w *recordWalk) next() (outline, error) {
	end, err := skipName(w.raw, w.off)
	if err != nil {
		return outline{}, err
	}
	if end+recordHeaderSize > len(w.raw) {
		return outline{}, errCut
	}
	head := w.raw[end:]
	r := outline{
		start: w.off, data: end + recordHeaderSize,
		kind: binary.BigEndian.Uint16(head), class: binary.BigEndian.Uint16(head[2:]), ttl: binary.BigEndian.Uint32(head[4:]),
	}
	r.end = r.data + int(binary.BigEndian.Uint16(head[8:]))
	if r.end > len(w.raw) {
		return outline{}, errCut
	}
	w.off = r.end
	return r, nil
}

// present returns the data in presentation form. The only error is a malformed
// name of a record that is nothing but a name.
func (r outline) present(raw []byte) (string, error) {
	data := raw[r.data:r.end]
	switch {
	case len(data) == 0:
		return "", nil
	case r.kind == dns.TypeA && len(data) == 4:
		return netip.AddrFrom4([4]byte(data)).String(), nil
	case r.kind == dns.TypeAAAA && len(data) == 16:
		return netip.AddrFrom16([16]byte(data)).String(), nil
	case isName(r.kind):
		name, end, err := appendName(nil, raw, r.data)
		if err != nil {
			return "", err
		}
		if end == r.end {
			return string(name), nil
		}
		return generic(data), nil
	}
	return r.presentOther(raw), nil
}

// isName reports whether the data of a type is one name.
func isName(kind uint16) bool {
	return kind == dns.TypeCNAME || kind == dns.TypeNS || kind == dns.TypePTR || kind == dns.TypeDNAME
}

// presentOther leaves the presentation to miekg/dns, but for the names within.
func (r outline) presentOther(raw []byte) string {
	data := raw[r.data:r.end]
	if r.kind == dns.TypeOPT || r.kind == dns.TypeTSIG { // no part of any answer, and shown in several lines
		return generic(data)
	}
	rr, end, err := dns.UnpackRR(raw[:r.end], r.start)
	if err != nil || end != r.end {
		return generic(data)
	}
	if _, unknown := rr.(*dns.RFC3597); unknown {
		return generic(data)
	}
	normaliseNames(reflect.ValueOf(rr).Elem())
	text, found := strings.CutPrefix(rr.String(), rr.Header().String())
	if !found { // a type without a presentation form, as NULL
		return generic(data)
	}
	return text
}

// generic returns data in the form of RFC 3597 §5.
func generic(data []byte) string {
	b := append([]byte(`\# `), strconv.Itoa(len(data))...)
	if len(data) > 0 {
		b = hex.AppendEncode(append(b, ' '), data)
	}
	return string(b)
}

// normaliseNames writes the names in the fields of a record as all others: lower
// case, no trailing dot. miekg/dns marks them by the tags "domain-name" and
// "cdomain-name".
func normaliseNames(v reflect.Value) {
	for i := range v.NumField() {
		field, kind := v.Field(i), v.Type().Field(i)
		switch {
		case kind.Anonymous && field.Kind() == reflect.Struct:
			normaliseNames(field)
		case !strings.HasSuffix(kind.Tag.Get("dns"), "domain-name"):
		case field.Kind() == reflect.String:
			field.SetString(normalName(field.String()))
		case field.Kind() == reflect.Slice:
			for j := range field.Len() {
				field.Index(j).SetString(normalName(field.Index(j).String()))
			}
		}
	}
}

func normalName(name string) string {
	name = strings.ToLower(name)
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}
