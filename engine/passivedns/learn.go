package passivedns

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"

	"github.com/miekg/dns"

	"larkspur/engine/capture"
)

// Bounds of what leaves the hot table between two writings.
const (
	maxLeavingKeys = 8192
	// leavingBudget is how many keys may be displaced in a minute. A flood of names
	// that nobody asks for twice wears out no card: what is over it is counted.
	leavingBudget = 300_000
)

// maxClients bounds the addresses that are told apart.
const maxClients = 1 << 16

// clients gives addresses numbers, which stand in keys: who is forgotten loses
// the number, and what was kept under it is nobody's.
type clients struct {
	numbers   map[netip.Addr]uint32
	addresses map[uint32]netip.Addr
	fresh     []netip.Addr // not yet written
	last      uint32
}

func newClients() clients {
	return clients{numbers: map[netip.Addr]uint32{}, addresses: map[uint32]netip.Addr{}}
}

func (c *clients) add(a netip.Addr, number uint32) {
	c.numbers[a], c.addresses[number], c.last = number, a, max(c.last, number)
}

// learn takes in the notes of a batch. m.mu is held.
func (m *Memory) learn(t *tables, batch []byte) {
	withClients := m.cfg.Settings().Clients
	for len(batch) > 0 {
		var n note
		n, batch = next(batch)
		if n.opcode() != dns.OpcodeQuery {
			continue
		}
		m.begin(n.time)
		t.domains.mark(n.name, n.nameHash, n.time, n.lookup)
		if withClients {
			m.learnClient(t, &n)
		}
		if n.response() {
			m.learnAnswers(t, &n)
		}
	}
}

// learnClient counts a lookup of a client: its query, or the response where that
// alone was seen.
func (m *Memory) learnClient(t *tables, n *note) {
	number, ok := m.number(n.addr())
	if !ok {
		m.counts.clients.Add(1)
		return
	}
	key := binary.BigEndian.AppendUint32(append(t.key[:0], apart, classAsked), number)
	key = binary.BigEndian.AppendUint16(appendName(key, n.name), n.kind)
	t.key = key
	s := m.slot(t, key, n.time)
	if s == nil {
		return
	}
	if ago(n.time, s.last) > newAgain {
		s.waiting = 0
	}
	seen := value{first: n.time, last: n.time, count: 1}
	switch {
	case !n.response():
		s.waiting++
	case s.waiting > 0:
		s.waiting--
		seen.count = 0 // its query was counted
	}
	s.since.add(seen)
	s.last = max(s.last, n.time)
}

// number returns the number of a client.
func (m *Memory) number(a netip.Addr) (uint32, bool) {
	if n, ok := m.clients.numbers[a]; ok {
		return n, true
	}
	if len(m.clients.numbers) >= maxClients {
		return 0, false
	}
	m.clients.add(a, m.clients.last+1)
	m.clients.fresh = append(m.clients.fresh, a)
	return m.clients.last, true
}

// learnAnswers takes in what a response says.
func (m *Memory) learnAnswers(t *tables, n *note) {
	if n.rcode() != dns.RcodeSuccess && n.rcode() != dns.RcodeNameError {
		return
	}
	walk, err := capture.AnswerRRs(n.wire)
	if err != nil {
		m.counts.malformed.Add(1)
		return
	}
	t.names[0] = append(t.names[0][:0], n.name...) // where the chain has come to
	a := answers{m: m, t: t, n: n}
	for {
		rr, ok, err := walk.Next()
		if err != nil && !n.cut() {
			m.counts.malformed.Add(1)
		}
		if !ok {
			if err == nil && !n.cut() {
				a.none()
			}
			return
		}
		a.learn(rr)
	}
}

// answers takes in the records of one response.
type answers struct {
	m      *Memory
	t      *tables
	n      *note
	former capture.RR
	prefix []byte // of the key of former
	has    bool   // a record of the type that was asked for
}

// learn takes in one record.
func (a *answers) learn(rr capture.RR) {
	if rr.Class != dns.ClassINET || leftOut(rr.Type) {
		return
	}
	if rr.Type == a.n.kind {
		a.has = true
	}
	if !a.place(rr) {
		return
	}
	key, ok := a.key(rr)
	if !ok {
		return
	}
	a.t.key = key
	if s := a.m.slot(a.t, key, a.n.time); s != nil {
		s.since.add(value{first: a.n.time, last: a.n.time, count: 1})
		s.last = max(s.last, a.n.time)
	}
}

// place puts class and name of a record into the room for keys, and marks its
// domain.
func (a *answers) place(rr capture.RR) bool {
	if a.prefix != nil && rr.SameName(a.former) {
		return true
	}
	name, err := rr.AppendName(a.t.names[1][:0])
	if a.t.names[1] = name; err != nil {
		a.m.counts.malformed.Add(1)
		return false
	}
	a.prefix = appendName(append(a.t.key[:0], apart, classRecord), name)
	a.t.key = a.prefix
	a.former = rr
	if string(name) != string(a.n.name) {
		hash := maphash.Bytes(a.m.seed, name) | 1
		a.t.domains.mark(name, hash, a.n.time, a.n.lookup)
	}
	return true
}

// key returns the key of a record.
func (a *answers) key(rr capture.RR) ([]byte, bool) {
	key := binary.BigEndian.AppendUint16(a.prefix, rr.Type)
	var err error
	switch {
	case isTarget(rr.Type):
		if key, err = rr.AppendTarget(append(key, formText)); err == nil && rr.Type == dns.TypeCNAME {
			a.t.names[0], err = rr.AppendTarget(a.t.names[0][:0])
		}
	case holdsNames(rr.Type):
		key = rr.AppendPresent(append(key, formText))
	default:
		key = append(append(key, formWire), rr.Data...)
	}
	if err != nil {
		a.m.counts.malformed.Add(1)
		return key, false
	}
	if len(key)-len(a.prefix) > maxDataBytes {
		a.m.counts.tooLong.Add(1)
		return key, false
	}
	return key, true
}

// none notes that there was no answer, of the name at the end of the chain.
func (a *answers) none() {
	form := byte(formMissing)
	if a.n.rcode() == dns.RcodeSuccess {
		if form = formNone; a.has {
			return
		}
	}
	if leftOut(a.n.kind) {
		return
	}
	name := a.t.names[0]
	key := appendName(append(a.t.key[:0], apart, classRecord), name)
	key = append(binary.BigEndian.AppendUint16(key, a.n.kind), form)
	a.t.key = key
	if s := a.m.slot(a.t, key, a.n.time); s != nil {
		s.since.add(value{first: a.n.time, last: a.n.time, count: 1})
		s.last = max(s.last, a.n.time)
	}
}

// slot returns the slot of a key, nil where there is no room for another.
func (m *Memory) slot(t *tables, key []byte, at uint32) *slot {
	s, free, found := t.hot.find(key)
	if found {
		m.counts.merged.Add(1)
		return s
	}
	if s.since.last > 0 { // not yet written
		if len(m.leaving) >= maxLeavingKeys || m.budget <= 0 {
			m.counts.noRoom.Add(1)
			return nil
		}
		m.budget--
		v := m.leaving[string(s.key)]
		v.add(s.since)
		m.leaving[string(s.key)] = v
		m.counts.displaced.Add(1)
		if len(m.leaving) == maxLeavingKeys/2 {
			m.hurry()
		}
	}
	t.hot.take(s, free, key)
	s.last = at
	return s
}
