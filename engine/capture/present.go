package capture

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// appendData appends the data of a record in presentation form, or in the generic
// form where it breaks the rules of its type.
func (r *outline) appendData(dst, raw []byte) []byte {
	data := raw[r.data:r.end]
	switch {
	case len(data) == 0:
		return dst
	case r.kind == dns.TypeA && len(data) == 4:
		return netip.AddrFrom4([4]byte(data)).AppendTo(dst)
	case r.kind == dns.TypeAAAA && len(data) == 16:
		return netip.AddrFrom16([16]byte(data)).AppendTo(dst)
	case isName(r.kind):
		if name, end, err := appendName(dst, raw, r.data); err == nil && end == r.end {
			return name
		}
		return appendGeneric(dst, data)
	}
	if layout, known := layouts[r.kind]; known {
		f := formatter{msg: raw[:r.end], off: r.data, dst: dst}
		if f.all(layout) {
			return f.dst
		}
		return appendGeneric(dst, data)
	}
	if text, ok := r.presentOther(raw); ok {
		return append(dst, text...)
	}
	return appendGeneric(dst, data)
}

// isName reports whether the data of a type is one name.
func isName(kind uint16) bool {
	return kind == dns.TypeCNAME || kind == dns.TypeNS || kind == dns.TypePTR || kind == dns.TypeDNAME
}

// layouts says what the data of a type consists of, a letter for each field: of
// the types that are common, and of those in which names may be compressed (RFC
// 3597 §4, RFC 6762 §18.14). Others are left to miekg/dns.
var layouts = map[uint16]string{
	dns.TypeMX: "2n", dns.TypeRT: "2n", dns.TypeAFSDB: "2n", dns.TypeKX: "2n",
	dns.TypeSOA: "nn44444", dns.TypeSRV: "222n", dns.TypePX: "2nn", dns.TypeRP: "nn", dns.TypeMINFO: "nn", dns.TypeTALINK: "nn",
	dns.TypeMB: "n", dns.TypeMG: "n", dns.TypeMR: "n", dns.TypeMD: "n", dns.TypeMF: "n", dns.TypeNSAPPTR: "n",
	dns.TypeNAPTR: "22sssn", dns.TypeHINFO: "ss", dns.TypeTXT: "S", dns.TypeSPF: "S", dns.TypeCAA: "1to", dns.TypeURI: "22o",
	dns.TypeSVCB: "2np", dns.TypeHTTPS: "2np",
	dns.TypeRRSIG: "T114DD2nB", dns.TypeSIG: "T114DD2nB", dns.TypeNSEC: "nb", dns.TypeNXT: "nb",
	dns.TypeDS: "211X", dns.TypeCDS: "211X", dns.TypeDNSKEY: "211B", dns.TypeCDNSKEY: "211B",
}

// formatter writes the fields of a record's data, with spaces between.
type formatter struct {
	msg []byte // up to the end of the data
	off int
	dst []byte
}

// all writes the fields of a layout; false means that the data does not have it.
func (f *formatter) all(layout string) bool {
	for i := range len(layout) {
		if i > 0 {
			f.dst = append(f.dst, ' ')
		}
		if !f.field(layout[i]) {
			return false
		}
	}
	return f.off == len(f.msg)
}

func (f *formatter) field(kind byte) bool {
	switch kind {
	case '1':
		return f.number(1)
	case '2':
		return f.number(2)
	case '4':
		return f.number(4)
	case 'n':
		return f.name()
	case 's':
		return f.text(true)
	case 't':
		return f.text(false)
	case 'S':
		return f.texts()
	case 'o':
		f.dst = append(appendText(append(f.dst, '"'), f.rest()), '"')
	case 'X':
		f.dst = appendUpperHex(f.dst, f.rest())
	case 'B':
		f.dst = base64.StdEncoding.AppendEncode(f.dst, f.rest())
	case 'T':
		kind, ok := f.take(2)
		if ok {
			f.dst = append(f.dst, typeName(binary.BigEndian.Uint16(kind))...)
		}
		return ok
	case 'D':
		return f.date()
	case 'b':
		return f.types()
	case 'p':
		return f.parameters()
	}
	return true
}

// take returns the next n bytes.
func (f *formatter) take(n int) ([]byte, bool) {
	if f.off+n > len(f.msg) {
		return nil, false
	}
	f.off += n
	return f.msg[f.off-n : f.off], true
}

func (f *formatter) rest() []byte {
	rest := f.msg[f.off:]
	f.off = len(f.msg)
	return rest
}

// number writes a number of 1, 2 or 4 bytes.
func (f *formatter) number(size int) bool {
	data, ok := f.take(size)
	n := uint64(0)
	for _, b := range data {
		n = n<<8 | uint64(b)
	}
	f.dst = strconv.AppendUint(f.dst, n, 10)
	return ok
}

// name writes a name, with what has a meaning in a zone file escaped.
func (f *formatter) name() bool {
	start := len(f.dst)
	dst, end, err := appendName(f.dst, f.msg, f.off)
	f.dst, f.off = dst, end
	if err == nil && bytes.ContainsAny(dst[start:], zoneSpecial+`\`) {
		f.dst = appendZoneName(dst[:start], bytes.Clone(dst[start:]))
	}
	return err == nil
}

// zoneSpecial are the bytes that a zone file gives a meaning.
const zoneSpecial = `"();'@`

// appendZoneName appends a name that is written as Message.Name with a backslash
// before each byte that has a meaning.
func appendZoneName(dst, name []byte) []byte {
	for i := 0; i < len(name); i++ {
		switch b := name[i]; {
		case strings.IndexByte(zoneSpecial, b) >= 0:
			dst = append(dst, '\\', b)
		case b == '\\':
			b = (name[i+1]-'0')*100 + (name[i+2]-'0')*10 + name[i+3] - '0'
			if i += 3; b > ' '-1 && b < 0x7f {
				dst = append(dst, '\\', b)
			} else {
				dst = appendDecimal(dst, b)
			}
		default:
			dst = append(dst, b)
		}
	}
	return dst
}

// text writes a string of up to 255 bytes, quoted or not.
func (f *formatter) text(quoted bool) bool {
	size, ok := f.take(1)
	if !ok {
		return false
	}
	data, ok := f.take(int(size[0]))
	if !quoted {
		f.dst = appendText(f.dst, data)
		return ok
	}
	f.dst = append(appendText(append(f.dst, '"'), data), '"')
	return ok
}

// texts writes one or more strings.
func (f *formatter) texts() bool {
	for first := true; first || f.off < len(f.msg); first = false {
		if !first {
			f.dst = append(f.dst, ' ')
		}
		if !f.text(true) {
			return false
		}
	}
	return true
}

// date writes a moment in seconds since 1970 as RFC 4034 §3.2 does.
func (f *formatter) date() bool {
	data, ok := f.take(4)
	if !ok {
		return false
	}
	f.dst = time.Unix(int64(binary.BigEndian.Uint32(data)), 0).UTC().AppendFormat(f.dst, "20060102150405")
	return true
}

// types writes the types of a bitmap (RFC 4034 §4.1.2) up to the end; where there
// are none, it takes back the space before.
func (f *formatter) types() bool {
	f.dst = f.dst[:len(f.dst)-1]
	for window := -1; f.off < len(f.msg); {
		head, ok := f.take(2)
		if !ok || int(head[0]) <= window || head[1] == 0 || head[1] > 32 {
			return false
		}
		bitmap, ok := f.take(int(head[1]))
		if !ok {
			return false
		}
		window = int(head[0])
		for bit := range len(bitmap) * 8 {
			if bitmap[bit/8]<<(bit%8)&0x80 != 0 {
				f.dst = append(append(f.dst, ' '), typeName(uint16(window<<8|bit))...)
			}
		}
	}
	return true
}

// appendText appends a string as within quotes (RFC 1035 §5.1).
func appendText(dst, text []byte) []byte {
	for _, b := range text {
		switch {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b < ' ' || b > '~':
			dst = appendDecimal(dst, b)
		default:
			dst = append(dst, b)
		}
	}
	return dst
}

// appendDecimal appends \DDD.
func appendDecimal(dst []byte, b byte) []byte {
	return append(dst, '\\', '0'+b/100, '0'+b/10%10, '0'+b%10)
}

func appendUpperHex(dst, data []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, b := range data {
		dst = append(dst, digits[b>>4], digits[b&0xf])
	}
	return dst
}

// appendGeneric appends data in the form of RFC 3597 §5.
func appendGeneric(dst, data []byte) []byte {
	dst = strconv.AppendInt(append(dst, `\# `...), int64(len(data)), 10)
	if len(data) > 0 {
		dst = hex.AppendEncode(append(dst, ' '), data)
	}
	return dst
}

// presentOther leaves the presentation to miekg/dns, where it understood every
// byte, but for the names within.
func (r *outline) presentOther(raw []byte) (string, bool) {
	switch {
	case r.kind == dns.TypeOPT || r.kind == dns.TypeTSIG: // no part of any answer, and shown in several lines
		return "", false
	case r.kind == dns.TypeLOC && raw[r.data] != 0: // another version (RFC 1876 §2)
		return "", false
	}
	rr, end, err := dns.UnpackRR(raw[:r.end], r.start)
	if err != nil || end != r.end {
		return "", false
	}
	if _, unknown := rr.(*dns.RFC3597); unknown || !repacks(rr, raw[r.data:r.end]) {
		return "", false
	}
	normaliseNames(reflect.ValueOf(rr).Elem())
	return strings.CutPrefix(rr.String(), rr.Header().String()) // not found: a type without a presentation form, as NULL
}

// repacks reports whether a record has this data in wire format. What miekg/dns
// read of less, or of compressed names that this type may not have, has other.
func repacks(rr dns.RR, data []byte) bool {
	rr.Header().Name = "."
	wire := make([]byte, 1+recordHeaderSize+len(data))
	end, err := dns.PackRR(rr, wire, 0, nil, false)
	return err == nil && end == len(wire) && bytes.Equal(wire[1+recordHeaderSize:], data)
}

// normaliseNames writes the names in the fields of a record as all others: lower
// case, no trailing dot. miekg/dns marks them by tags.
func normaliseNames(v reflect.Value) {
	for i := range v.NumField() {
		field, kind := v.Field(i), v.Type().Field(i)
		switch {
		case kind.Anonymous && field.Kind() == reflect.Struct:
			normaliseNames(field)
		case !isNameTag(kind.Tag.Get("dns")):
		case field.Kind() == reflect.String:
			field.SetString(normalName(field.String()))
		case field.Kind() == reflect.Slice:
			for j := range field.Len() {
				field.Index(j).SetString(normalName(field.Index(j).String()))
			}
		}
	}
}

// isNameTag reports whether a field with this tag of miekg/dns is a name.
func isNameTag(tag string) bool {
	switch tag {
	case "domain-name", "cdomain-name", "ipsechost", "amtrelayhost":
		return true
	}
	return false
}

func normalName(name string) string {
	name = strings.ToLower(name)
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}
