package passivedns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"larkspur/engine/capture"
)

// Keys of the cache store. All begin with apart, which is below
// store.ApartBelow, and a class.
//
// A name stands in a key with its labels from the right, each ended by a zero
// byte, and an empty one after the last: "com\0example\0www\0\0". A name in
// presentation form holds no byte below '!', so that the keys of a name and all
// names below it are those that begin with its labels, the name's own first.
const (
	apart = 0x03

	classRecord  = 'n' // name, type, form, data → value
	classAddress = 'a' // address, name, type → nothing
	classTarget  = 't' // target, type, name → nothing
	classAsked   = 'c' // client's number, name, type → value
	classAsker   = 'q' // name, type, client's number → nothing
	classClient  = 'k' // address → client's number
	classDomain  = 'd' // domain → value
	classNew     = 'f' // first seen, newest first; domain → nothing
	classBook    = 'b' // → book
)

// Forms of data: what follows its type in the key of a record.
const (
	formNone    byte = iota // the name has no record of the type (NODATA, RFC 2308 §2.2)
	formMissing             // there is no such name (NXDOMAIN)
	formWire                // data in wire form
	formText                // data in presentation form: it holds names, which may be compressed
)

// maxDataBytes bounds the data that is kept of a record.
const maxDataBytes = 1024

var errKey = errors.New("malformed key")

// appendName appends a name in presentation form, as in a key.
func appendName(key, name []byte) []byte {
	if len(name) == 1 && name[0] == '.' {
		return append(key, 0)
	}
	for end := len(name); end > 0; {
		dot := bytes.LastIndexByte(name[:end], '.')
		key = append(append(key, name[dot+1:end]...), 0)
		end = dot
	}
	return append(key, 0)
}

// cutName returns the name at the beginning of a key's rest.
func cutName(key []byte) (name string, rest []byte, err error) {
	var labels []string
	for {
		end := bytes.IndexByte(key, 0)
		switch {
		case end < 0:
			return "", nil, errKey
		case end == 0 && len(labels) == 0:
			return ".", key[1:], nil
		case end == 0:
			return strings.Join(labels, "."), key[1:], nil
		}
		labels = append([]string{string(key[:end])}, labels...)
		key = key[end+1:]
	}
}

// below returns the beginning of the keys of a name and all names below it,
// without class.
func below(key, name []byte) []byte {
	key = appendName(key, name)
	return key[:len(key)-1]
}

func class(c byte) []byte { return append(make([]byte, 0, 96), apart, c) }

// recordOf is what the key of a record says.
type recordOf struct {
	Name string
	Type uint16
	Form byte
	Data []byte
}

// appendKey appends the key of a record.
func (r recordOf) appendKey(key []byte) []byte {
	key = appendName(append(key, apart, classRecord), []byte(r.Name))
	key = binary.BigEndian.AppendUint16(key, r.Type)
	return append(append(key, r.Form), r.Data...)
}

func parseRecord(key []byte) (r recordOf, err error) {
	if len(key) < 2 || key[0] != apart || key[1] != classRecord {
		return r, errKey
	}
	name, rest, err := cutName(key[2:])
	if err != nil || len(rest) < 3 || rest[2] > formText {
		return r, errKey
	}
	return recordOf{name, binary.BigEndian.Uint16(rest), rest[2], bytes.Clone(rest[3:])}, nil
}

// text returns the data in presentation form; "" where there is none.
func (r recordOf) text() string {
	switch r.Form {
	case formWire:
		return capture.PresentData(r.Type, r.Data)
	case formText:
		return string(r.Data)
	}
	return ""
}

// address returns the address that a record of type A or AAAA holds.
func (r recordOf) address() (netip.Addr, bool) {
	if r.Form != formWire || r.Type != dns.TypeA && r.Type != dns.TypeAAAA {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(r.Data)
}

// target returns the name that a record leads to, "" for none: that of a CNAME,
// DNAME, NS, PTR, MX or SRV.
func (r recordOf) target() string {
	if r.Form != formText {
		return ""
	}
	text := string(r.Data)
	switch r.Type {
	case dns.TypeMX, dns.TypeSRV:
		return text[strings.LastIndexByte(text, ' ')+1:]
	case dns.TypeCNAME, dns.TypeDNAME, dns.TypeNS, dns.TypePTR:
		return text
	}
	return ""
}

// indexKey returns the key by which a record is found by what it answers, nil
// for none.
func (r recordOf) indexKey() []byte {
	if a, ok := r.address(); ok {
		return appendAddressKey(a, r.Name, r.Type)
	}
	if target := r.target(); target != "" {
		return appendTargetKey(target, r.Type, r.Name)
	}
	return nil
}

func appendAddressKey(a netip.Addr, name string, kind uint16) []byte {
	key := appendName(addressPrefix(a), []byte(name))
	return binary.BigEndian.AppendUint16(key, kind)
}

func addressPrefix(a netip.Addr) []byte {
	raw := a.As16()
	return append(class(classAddress), raw[:]...)
}

func appendTargetKey(target string, kind uint16, name string) []byte {
	key := appendName(class(classTarget), []byte(target))
	return appendName(binary.BigEndian.AppendUint16(key, kind), []byte(name))
}

// askedOf is what the key of a client's lookups says.
type askedOf struct {
	Client uint32
	Name   string
	Type   uint16
}

func parseAsked(key []byte) (a askedOf, err error) {
	if len(key) < 6 || key[0] != apart || key[1] != classAsked {
		return a, errKey
	}
	name, rest, err := cutName(key[6:])
	if err != nil || len(rest) != 2 {
		return a, errKey
	}
	return askedOf{binary.BigEndian.Uint32(key[2:]), name, binary.BigEndian.Uint16(rest)}, nil
}

func (a askedOf) appendKey(key []byte) []byte {
	key = appendName(binary.BigEndian.AppendUint32(append(key, apart, classAsked), a.Client), []byte(a.Name))
	return binary.BigEndian.AppendUint16(key, a.Type)
}

// askerKey is the other way: who asked for a name.
func (a askedOf) askerKey() []byte {
	key := appendName(class(classAsker), []byte(a.Name))
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(key, a.Type), a.Client)
}

func clientKey(a netip.Addr) []byte {
	raw := a.As16()
	return append(class(classClient), raw[:]...)
}

func domainKey(domain string) []byte { return append(class(classDomain), domain...) }

// newKey is where a domain stands among all, the newest first.
func newKey(first uint32, domain string) []byte {
	return append(binary.BigEndian.AppendUint32(class(classNew), ^first), domain...)
}

// value is what is kept of a record, of a client's lookups and of a domain: times
// in seconds since 1970.
type value struct {
	first, last uint32
	count       uint64
}

// add merges what was seen of the same.
func (v *value) add(w value) {
	if v.first == 0 || w.first != 0 && w.first < v.first {
		v.first = w.first
	}
	v.last = max(v.last, w.last)
	if v.count+w.count < v.count {
		v.count = ^uint64(0)
		return
	}
	v.count += w.count
}

func (v value) encode() []byte {
	b := binary.AppendUvarint(make([]byte, 0, 12), uint64(v.first))
	b = binary.AppendUvarint(b, uint64(v.last-min(v.first, v.last)))
	return binary.AppendUvarint(b, v.count)
}

func decodeValue(b []byte) (v value, err error) {
	var parts [3]uint64
	for i := range parts {
		n := 0
		if parts[i], n = binary.Uvarint(b); n <= 0 {
			return v, errKey
		}
		b = b[n:]
	}
	if parts[0]+parts[1] > 1<<32-1 || len(b) > 0 {
		return v, errKey
	}
	return value{uint32(parts[0]), uint32(parts[0] + parts[1]), parts[2]}, nil
}

// holdsNames reports whether the data of a type holds names that a message may
// compress (RFC 1035 §3.3, RFC 3597 §4), so that it is kept as text.
func holdsNames(kind uint16) bool {
	switch kind {
	case dns.TypeNS, dns.TypeMD, dns.TypeMF, dns.TypeCNAME, dns.TypeSOA, dns.TypeMB, dns.TypeMG, dns.TypeMR, dns.TypePTR,
		dns.TypeMINFO, dns.TypeMX, dns.TypeRP, dns.TypeAFSDB, dns.TypeRT, dns.TypeSIG, dns.TypePX, dns.TypeNXT, dns.TypeSRV,
		dns.TypeNAPTR, dns.TypeKX, 38 /* A6 */, dns.TypeDNAME, dns.TypeTALINK, dns.TypeLP:
		return true
	}
	return false
}

// isTarget reports whether the data of a type is one name.
func isTarget(kind uint16) bool {
	return kind == dns.TypeCNAME || kind == dns.TypeDNAME || kind == dns.TypeNS || kind == dns.TypePTR
}

// leftOut reports whether records of a type are not kept: signatures and proofs
// of DNSSEC change with every signing and tell of no place.
func leftOut(kind uint16) bool {
	switch kind {
	case dns.TypeNone, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY, dns.TypeANY:
		return true
	}
	return false
}
