package feed

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"larkspur/engine/capture"
)

// Bounds of what dnsmasq keeps between lines.
const (
	// maxAsked is how many queries wait for their answers.
	maxAsked = 4096
	// askedFor is how long they do.
	askedFor = 30 * time.Second
	// maxAnswers bounds the records of one answer.
	maxAnswers = 256
)

// dnsmasq reads the log of dnsmasq and of Pi-hole, with log-queries or
// log-queries=extra (dnsmasq(8)):
//
//	Nov 22 20:14:30 dnsmasq[30879]: 216 192.0.2.7/36899 query[A] c.example.com from 192.0.2.7
//	Nov 22 20:14:30 dnsmasq[30879]: 216 192.0.2.7/36899 config c.example.com is <CNAME>
//	Nov 22 20:14:30 dnsmasq[30879]: 216 192.0.2.7/36899 config h.example.com is 192.0.2.9
//
// An answer takes a line for each record, so it is complete when a line of another
// kind follows. With "extra" a serial number joins answers and queries; without, an
// answer belongs to all who asked for its name in the last 30 seconds and have none
// yet. What an answer holds beyond addresses, aliases and names of addresses is
// not in the log.
type dnsmasq struct {
	stamper
	asked     []asked // oldest first
	serial    uint16  // of queries without a serial of their own
	answer    reply
	forgotten uint64 // queries, for want of room
	unasked   uint64 // answers of which it is not known who asked
}

// asked is a query that waits for its answer.
type asked struct {
	entry
	serial string // of log-queries=extra, with the process; "" without
}

// reply is an answer of which more lines may come.
type reply struct {
	open    bool
	serial  string
	time    time.Time
	name    string // that was asked for, as the log writes it
	rcode   string
	only    string // the one type that it can be for; "" is any
	owner   string // of the next record
	alias   bool   // the next line names the target of the last record
	answers []capture.Record
}

func (d *dnsmasq) pending() bool { return d.answer.open }

func (d *dnsmasq) line(line []byte, out *[]entry) string {
	at, rest, bad := d.cut(line)
	process, said, found := cutProgram(rest, "dnsmasq")
	if !found {
		d.flush(out)
		return otherLine
	}
	if bad {
		return badTime
	}
	serial, client, said := cutSerial(said)
	if serial != "" {
		serial = process + " " + serial
	}
	verb, _ := cutField(said)
	switch {
	case bytes.HasPrefix(verb, []byte("query[")):
		d.flush(out)
		return d.query(at, serial, client, said, out)
	case bytes.Contains(said, []byte(" is ")):
		return d.is(at, serial, said, out)
	}
	d.flush(out)
	return otherLine
}

// cutProgram finds "dnsmasq[30879]: " and returns the number and what follows.
func cutProgram(line []byte, name string) (process string, said []byte, found bool) {
	i := bytes.Index(line, []byte(name))
	if i < 0 {
		return "", nil, false
	}
	head, said, found := bytes.Cut(line[i+len(name):], []byte(": "))
	return string(bytes.Trim(head, "[]")), said, found
}

// cutSerial reads "216 192.0.2.7/36899 ", if it is there.
func cutSerial(said []byte) (serial string, client netip.AddrPort, rest []byte) {
	number, rest := cutField(said)
	who, rest := cutField(rest)
	if _, err := strconv.ParseUint(string(number), 10, 64); err != nil {
		return "", client, said
	}
	host, port, found := bytes.Cut(who, []byte{'/'})
	addr, ok := parseAddr(host)
	p, good := parsePort(port)
	if !found || !ok || !good {
		return "", client, said
	}
	return string(number), netip.AddrPortFrom(addr, p), rest
}

// query reads "query[A] www.example.org from 192.0.2.7".
func (d *dnsmasq) query(at time.Time, serial string, client netip.AddrPort, said []byte, out *[]entry) string {
	verb, rest := cutField(said)
	i := bytes.LastIndex(rest, []byte(" from "))
	if i < 0 {
		return badLine
	}
	name, from := rest[:i], rest[i+len(" from "):]
	if !client.IsValid() {
		addr, ok := parseAddr(bytes.TrimSpace(from))
		if !ok {
			return badAddress
		}
		client = netip.AddrPortFrom(addr, 0)
	}
	if len(name) > maxNameText {
		return badName
	}
	d.serial++
	e := entry{Said: capture.Said{Time: at, Client: client, Proto: capture.UDP, ID: d.serial, Name: escaped(name), Type: queryType(verb)}}
	*out = append(*out, e)
	d.remember(asked{e, serial})
	return ""
}

// queryType reads "query[A]" and "query[type=65280]".
func queryType(verb []byte) string {
	kind := strings.TrimSuffix(strings.TrimPrefix(string(verb), "query["), "]")
	if number, found := strings.CutPrefix(kind, "type="); found {
		return "TYPE" + number
	}
	return kind
}

// remember keeps a query until its answer comes.
func (d *dnsmasq) remember(q asked) {
	d.asked = slices.DeleteFunc(d.asked, func(a asked) bool { return q.Time.Sub(a.Time) > askedFor })
	if len(d.asked) >= maxAsked {
		d.asked = slices.Delete(d.asked, 0, 1)
		d.forgotten++
	}
	d.asked = append(d.asked, q)
}

// is reads "reply www.example.org is 192.0.2.1", whoever knows it: reply, cached,
// config, a hosts file, "gravity blocked" …
func (d *dnsmasq) is(at time.Time, serial string, said []byte, out *[]entry) string {
	i := bytes.Index(said, []byte(" is "))
	source, data := said[:i], string(said[i+len(" is "):])
	j := bytes.LastIndexByte(source, ' ')
	if j < 0 || j == len(source)-1 {
		d.flush(out)
		return otherLine
	}
	name := d.nameIn(serial, source, string(source[j+1:]))
	if d.answer.open && !d.answer.goesOn(serial, name) {
		d.flush(out)
	}
	if !d.answer.open {
		d.answer = reply{open: true, serial: serial, time: at, name: name, owner: name}
	}
	if len(d.answer.answers) == maxAnswers {
		return otherLine
	}
	d.answer.add(name, data)
	return ""
}

// nameIn returns the name that a line speaks of: its last word, or a name with
// spaces that was asked for.
func (d *dnsmasq) nameIn(serial string, source []byte, last string) string {
	for _, q := range d.asked {
		if q.serial == serial && strings.Contains(q.Name, `\032`) && bytes.HasSuffix(source, []byte(strings.ReplaceAll(q.Name, `\032`, " "))) {
			return q.Name
		}
	}
	return escaped([]byte(last))
}

// goesOn tells whether a line belongs to the answer that is open.
func (r *reply) goesOn(serial, name string) bool {
	return r.serial == serial && (serial != "" || r.alias || strings.EqualFold(r.owner, name))
}

// add takes in what one line says.
func (r *reply) add(name, data string) {
	if r.alias {
		r.answers[len(r.answers)-1].Data = name
		r.alias = false
	}
	r.owner = name
	switch addr, isAddr := parseAddr([]byte(data)); {
	case isAddr && addr.Is4():
		r.record("A", data)
	case isAddr:
		r.record("AAAA", data)
	case data == "<CNAME>":
		r.record("CNAME", "")
		r.alias = true
	case data == "NXDOMAIN" || data == "SERVFAIL" || data == "REFUSED":
		r.rcode = data
	case data == "NODATA-IPv4":
		r.only = "A"
	case data == "NODATA-IPv6":
		r.only = "AAAA"
	case isAddress(name) && !strings.ContainsAny(data, "<> "):
		r.record("PTR", escaped([]byte(data)))
	}
}

// record notes a record; the owner of a PTR is the name that was asked for.
func (r *reply) record(kind, data string) {
	if kind != "CNAME" && r.only == "" {
		r.only = kind
	}
	r.answers = append(r.answers, capture.Record{Name: r.owner, Type: kind, Data: data})
}

func isAddress(name string) bool {
	_, ok := parseAddr([]byte(name))
	return ok
}

// flush gives the answer that is open to those who asked for it.
func (d *dnsmasq) flush(out *[]entry) {
	r := d.answer
	if !r.open {
		return
	}
	d.answer = reply{}
	if r.alias { // its target did not come
		r.answers = r.answers[:len(r.answers)-1]
	}
	if !r.clear(d.asked) {
		d.unasked++
		return
	}
	d.asked = slices.DeleteFunc(d.asked, func(q asked) bool {
		if !r.answersTo(q) {
			return false
		}
		*out = append(*out, r.to(q))
		return true
	})
}

// clear tells whether it is clear who asked for an answer: without serials, one that
// tells no type may be for each query of its name.
func (r *reply) clear(all []asked) bool {
	kind := ""
	for _, q := range all {
		if !r.answersTo(q) {
			continue
		}
		if kind != "" && kind != q.Type && r.only == "" {
			return false
		}
		kind = q.Type
	}
	return kind != ""
}

// drops tells how many lines came to nothing, and why, since it was asked last.
func (d *dnsmasq) drops() map[string]uint64 {
	n := map[string]uint64{PendingFull: d.forgotten, unasked: d.unasked}
	d.forgotten, d.unasked = 0, 0
	return n
}

// answersTo tells whether an answer is for a query. Where there are no serials, an
// error that names no query is for none.
func (r *reply) answersTo(q asked) bool {
	if q.serial != r.serial || r.time.Sub(q.Time) > askedFor {
		return false
	}
	if r.serial != "" {
		return true
	}
	asksFor := r.only == "" || r.only == q.Type || q.Type == "ANY"
	return asksFor && (strings.EqualFold(r.name, q.Name) || isReverse(r.name, q.Name))
}

// isReverse tells whether a name is the one for looking up an address.
func isReverse(address, name string) bool {
	a, ok := parseAddr([]byte(address))
	if !ok || !strings.HasSuffix(strings.ToLower(name), ".arpa") {
		return false
	}
	return strings.EqualFold(name, reverseName(a))
}

// reverseName is the name under which the name of an address stands (RFC 1035
// §3.5, RFC 3596 §2.5).
func reverseName(a netip.Addr) string {
	var b strings.Builder
	bytes := a.AsSlice()
	for _, octet := range slices.Backward(bytes) {
		if a.Is4() {
			b.WriteString(strconv.Itoa(int(octet)) + ".")
			continue
		}
		b.WriteString(strconv.FormatUint(uint64(octet&0xf), 16) + "." + strconv.FormatUint(uint64(octet>>4), 16) + ".")
	}
	if a.Is4() {
		return b.String() + "in-addr.arpa"
	}
	return b.String() + "ip6.arpa"
}

// to makes the response to a query.
func (r *reply) to(q asked) entry {
	e := q.entry
	e.Time, e.Response, e.Rcode = r.time, true, r.rcode
	e.Answers = slices.Clone(r.answers)
	for i := range e.Answers {
		if a := &e.Answers[i]; a.Type == "PTR" {
			a.Name = q.Name
		} else if i == 0 {
			a.Name = q.Name // in the case that was asked in
		}
	}
	return e
}
