package feed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
)

// DefaultFields are the fields of passivedns' log (passivedns -f).
const DefaultFields = "SMcsCQTAtn"

// fieldOrder is the order in which passivedns prints fields, whatever the order
// of its -f: H the date or S and M seconds and microseconds, h the host, c the
// client and w its MAC, s the server and W its MAC, p the transport, C the class, Q
// the query and L its length, T the type, A the answer and l its length, t the
// TTL, n the count.
const fieldOrder = "HSMhcwsWpCQLTAltn"

// passivedns reads the log of passivedns, as text or (with -j) as JSON, of answers
// and (with -L) of errors. Each line is a response with one record:
//
//	1322849924.408856||192.0.2.7||192.0.2.53||IN||www.example.org.||A||192.0.2.1||46587||5
//
// Some types are printed in part: of SRV and MX the target alone, of SOA and RP the
// first name. What is missing is read as zeros and the root.
type passivedns struct {
	stamper
	fields    string // in the order of the log, S standing for S and M
	separator []byte
}

// newPassivedns takes the letters given to passivedns -f and the separator of -d;
// empty ones are the defaults.
func newPassivedns(s stamper, letters, separator string) (*passivedns, error) {
	if letters == "" {
		letters = DefaultFields
	}
	if separator == "" {
		separator = "||"
	}
	for _, c := range letters {
		if !strings.ContainsRune(fieldOrder, c) {
			return nil, engine.Errorf(engine.Invalid, "fields: got the letter %q, want some of %s", c, fieldOrder)
		}
	}
	for _, need := range "cQTA" {
		if !strings.ContainsRune(letters, need) {
			return nil, engine.Errorf(engine.Invalid, "fields: %q lacks the letter %q: client, query, type and answer (cQTA) must be there", letters, need)
		}
	}
	p := &passivedns{stamper: s, separator: []byte(separator)}
	for _, c := range fieldOrder {
		dated := strings.ContainsRune(letters, 'H') && (c == 'S' || c == 'M') // the date has them
		joined := strings.ContainsRune(letters, 'S') && c == 'M'              // SECONDS.MICROSECONDS
		if strings.ContainsRune(letters, c) && !dated && !joined {
			p.fields += string(c)
		}
	}
	return p, nil
}

func (p *passivedns) pending() bool  { return false }
func (p *passivedns) flush(*[]entry) {}

func (p *passivedns) line(line []byte, out *[]entry) string {
	e := entry{Said: capture.Said{Proto: capture.UDP, Response: true}}
	var a capture.Record
	if i := bytes.Index(line, []byte("passivedns: ")); i >= 0 { // by syslog (-y)
		line = line[i+len("passivedns: "):]
	}
	var reason string
	switch {
	case len(line) > 0 && line[0] == '{':
		reason = p.fromJSON(line, &e, &a)
	case len(line) > 0 && line[0] == '#':
		return otherLine
	default:
		reason = p.fromText(line, &e, &a)
	}
	if reason == "" {
		reason = e.passiveAnswer(a)
	}
	if reason != "" {
		return reason
	}
	*out = append(*out, e)
	return ""
}

// fromText reads fields between separators. An answer may hold the separator, all
// other fields cannot.
func (p *passivedns) fromText(line []byte, e *entry, a *capture.Record) string {
	parts := bytes.Split(line, p.separator)
	more := len(parts) - len(p.fields)
	if more < 0 {
		return badLine
	}
	e.Time = p.now()
	for i, letter := range p.fields {
		text := parts[0]
		parts = parts[1:]
		if letter == 'A' && more > 0 {
			text = append(append([]byte{}, text...), p.separator...)
			text = append(text, bytes.Join(parts[:more], p.separator)...)
			parts = parts[more:]
			more = 0
		}
		if reason := p.field(p.fields[i], text, e, a); reason != "" {
			return reason
		}
	}
	if more > 0 {
		return badLine
	}
	return ""
}

// field reads one field of the text format.
func (p *passivedns) field(letter byte, text []byte, e *entry, a *capture.Record) (reason string) {
	ok := true
	switch letter {
	case 'S':
		if e.Time, ok = unixTime(text); !ok {
			return badTime
		}
	case 'H':
		var bad bool
		if e.Time, _, bad = p.cut(append(text, ' ')); bad {
			return badTime
		}
	case 'c':
		return addrField(&e.Client, text)
	case 's':
		return addrField(&e.Server, text)
	case 'w':
		if mac, err := net.ParseMAC(string(text)); err == nil && len(mac) == len(e.ClientMAC) {
			e.ClientMAC = capture.MAC(mac)
		}
	case 'p':
		if string(text) == "tcp" {
			e.Proto = capture.TCP
		}
	case 'C':
		e.Class = string(text)
	case 'Q':
		e.Name = string(text)
	case 'T':
		a.Type = string(text)
	case 'A':
		a.Data = string(text)
	case 't':
		ttl, err := strconv.ParseUint(string(text), 10, 32)
		if a.TTL = uint32(ttl); err != nil {
			return badLine
		}
	}
	return ""
}

func addrField(to *netip.AddrPort, text []byte) string {
	a, ok := parseAddr(text)
	if !ok {
		return badAddress
	}
	*to = netip.AddrPortFrom(a, 0)
	return ""
}

// passiveLine are the keys of the JSON format that we read.
type passiveLine struct {
	Date    string  `json:"timestamp"`
	Seconds float64 `json:"timestamp_s"`
	Micros  float64 `json:"timestamp_ms"` // microseconds, in spite of its name
	Client  string  `json:"client"`
	Server  string  `json:"server"`
	Proto   string  `json:"proto"`
	Class   string  `json:"class"`
	Query   string  `json:"query"`
	Type    string  `json:"type"`
	Answer  *string `json:"answer"`
	TTL     float64 `json:"ttl"`
}

func (p *passivedns) fromJSON(line []byte, e *entry, a *capture.Record) string {
	var l passiveLine
	if err := json.Unmarshal(line, &l); err != nil || l.Query == "" || l.Answer == nil {
		return badLine
	}
	switch {
	case l.Date != "":
		var bad bool
		if e.Time, _, bad = p.cut([]byte(l.Date + " ")); bad {
			return badTime
		}
		e.Time = e.Time.Add(time.Duration(clamp(l.Micros, 999_999)) * time.Microsecond)
	case l.Seconds > 0:
		e.Time = time.Unix(int64(clamp(l.Seconds, maxUnixSeconds)), int64(clamp(l.Micros, 999_999))*1000).UTC()
	default:
		e.Time = p.now()
	}
	if l.Proto == "tcp" {
		e.Proto = capture.TCP
	}
	e.Name, e.Class = l.Query, l.Class
	a.Type, a.Data, a.TTL = l.Type, *l.Answer, uint32(clamp(l.TTL, math.MaxUint32))
	if reason := addrField(&e.Client, []byte(l.Client)); reason != "" {
		return reason
	}
	if l.Server == "" {
		return ""
	}
	return addrField(&e.Server, []byte(l.Server))
}

func clamp(v, most float64) float64 { return max(0, min(v, most)) }

// passiveRcodes are the errors that passivedns prints in place of an answer, by
// the names that DNS has for them (passivedns, print_passet).
var passiveRcodes = map[string]string{
	"FORMERR": "FORMERR", "SERVFAIL": "SERVFAIL", "NXDOMAIN": "NXDOMAIN", "NOTIMPL": "NOTIMP", "REFUSED": "REFUSED",
	"YXDOMAIN": "YXDOMAIN", "YXRRSET": "YXRRSET", "NXRRSET": "NXRRSET", "NOTAUTH": "NOTAUTH", "NOTZONE": "NOTZONE",
}

// passiveAnswer gives the entry its type, and its answer or response code.
func (e *entry) passiveAnswer(a capture.Record) string {
	if len(e.Name) > maxNameText || e.Name == "" {
		return badName
	}
	e.Type = a.Type
	if n, err := strconv.ParseUint(a.Type, 10, 16); err == nil { // a type that it has no name for
		e.Type = fmt.Sprintf("TYPE%d", n)
	}
	if rcode, failed := passiveRcodes[a.Data]; failed && a.TTL == 0 {
		e.Rcode = rcode
		return ""
	}
	switch a.Type {
	case "MX":
		a.Data = "0 " + a.Data
	case "SRV":
		a.Data = "0 0 0 " + a.Data
	case "RP":
		a.Data += " ."
	case "SOA":
		a.Data += " . 0 0 0 0 0"
	}
	a.Name, a.Type = e.Name, e.Type
	e.Answers = []capture.Record{a}
	return ""
}
