package capture

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

const (
	// lookupWindow is how long after its query a response is no lookup of its own.
	lookupWindow = 30 * time.Second
	lookupWays   = 8       // queries that share a row of the table
	lookupRows   = 1 << 14 // 131,072 queries in all, in 3 MiB
)

// Lookups joins queries and responses to lookups. Every query is a lookup; a
// response is one only if no query with its addresses, ports, id and question came
// in the 30 seconds before, by the clock of the capture. So a lookup is one event,
// whether the query was seen or the response alone. Ask it about every message of a
// capture, or what it counts is not true.
//
// The table of queries is of fixed size. When more than it holds come within 30
// seconds, an old one is forgotten, an answered one first, and a response to it
// counts as a lookup again.
//
// Stats is safe for concurrent use; the rest is not.
type Lookups struct {
	seed    maphash.Seed
	rows    [][lookupWays]askedQuery
	key     []byte
	waiting waiting
	counts  pairingCounts

	newest int64 // time of the latest message, by which queries grow old
	set    int64 // how often the clock was set back
}

// Pairing is what is known of a message from those before it.
type Pairing struct {
	// Lookup says that the message is the event of its lookup.
	Lookup bool
	// Key is shared by the query of a lookup, its repetitions and its responses;
	// other lookups have another. It differs from one Lookups to the next and is
	// never 0.
	Key uint64
	// Paired says that the query of this response was seen. Elapsed is the time
	// since it came first: as long as the client has waited.
	Paired  bool
	Elapsed time.Duration
	// Answered says that the query of this response was answered before.
	Answered bool
	// Repeated says that this query came before and still waits for its answer.
	Repeated bool
}

// askedQuery is a query as the table knows it. Two queries with equal hashes are
// taken for the same; those of a row agree by chance once in 2^64.
type askedQuery struct {
	hash  uint64 // 0: empty
	first int64  // when it came, in nanoseconds since 1970
	// late is how much later it was repeated last; the lowest bits are asides.
	late int64
}

// last returns when the query came last.
func (q *askedQuery) last() int64 { return q.first + q.late>>lateShift }

// repeat notes that the query came again.
func (q *askedQuery) repeat(now int64) { q.late = (now-q.first)<<lateShift | q.late&(1<<lateShift-1) }

// The asides of askedQuery.late.
const (
	wasAnswered = 1 << iota
	uncounted   // no matter of PairingStats
	asideBits   = iota
	setBits     = 16
	lateShift   = asideBits + setBits
)

// NewLookups returns an empty table.
func NewLookups() *Lookups {
	return &Lookups{seed: maphash.MakeSeed(), rows: make([][lookupWays]askedQuery, lookupRows)}
}

// Pair takes in the next message of a capture.
func (l *Lookups) Pair(m *Message) Pairing {
	row, hash := l.find(m)
	now := m.Time.UnixNano()
	l.goTo(now)
	if counted(m) {
		l.counts.direction(m.Response())
	}
	if m.Response() {
		return l.response(m, row, hash, now)
	}
	return l.query(m, row, hash, now)
}

// goTo lets time go by. A message may be a little older than the one before; beyond
// the window the clock was set back, and nothing from before is waited for.
func (l *Lookups) goTo(now int64) {
	if l.newest-now > int64(lookupWindow) {
		l.counts.unanswered.add(l.waiting.giveUp())
		l.set = (l.set + 1) % (1 << setBits)
		l.newest = now
	}
	l.newest = max(l.newest, now)
	l.counts.unanswered.add(l.waiting.advance(l.newest))
}

// counted reports whether a message is a matter of PairingStats.
func counted(m *Message) bool { return m.Service == DNS }

// query takes in a query: a new one, or one that is repeated within the window.
func (l *Lookups) query(m *Message, row *[lookupWays]askedQuery, hash uint64, now int64) Pairing {
	for i := range row {
		q := &row[i]
		if q.hash != hash || q.late&wasAnswered != 0 || !l.fresh(q) || now-q.first > int64(lookupWindow) {
			continue
		}
		if counted(m) {
			l.counts.retransmitted.add(1)
			l.waiting.leave(q.last())
			l.waiting.enter(now)
		}
		q.repeat(now)
		return Pairing{Lookup: true, Key: q.key(), Repeated: true}
	}
	q := askedQuery{hash: hash, first: now, late: l.set << asideBits}
	if counted(m) {
		l.waiting.enter(now)
	} else {
		q.late |= uncounted
	}
	l.enter(row, q)
	return Pairing{Lookup: true, Key: q.key()}
}

// response takes in a response and looks for its query.
func (l *Lookups) response(m *Message, row *[lookupWays]askedQuery, hash uint64, now int64) Pairing {
	q := l.asked(m, row, hash)
	if q == nil {
		if counted(m) {
			l.counts.withoutQuery.add(1)
		}
		alone := askedQuery{hash: hash, first: now}
		return Pairing{Lookup: true, Key: alone.key()}
	}
	p := Pairing{Key: q.key(), Paired: true, Elapsed: time.Duration(max(now-q.first, 0)), Answered: q.late&wasAnswered != 0}
	switch {
	case !counted(m):
	case !p.Answered:
		l.waiting.leave(q.last())
		l.counts.latency.add(p.Elapsed)
	case !m.isTransfer():
		l.counts.answeredTwice.add(1)
	}
	q.late |= wasAnswered
	return p
}

// isTransfer reports whether one query has many responses: a zone transfer.
func (m *Message) isTransfer() bool {
	return m.Proto == TCP && (!m.Question || m.Type == dns.TypeAXFR || m.Type == dns.TypeIXFR)
}

// asked returns the query of a response, or nil. A response without a question, as
// some servers refuse and as transfers go on, answers the query of its addresses,
// ports and id that came last.
func (l *Lookups) asked(m *Message, row *[lookupWays]askedQuery, hash uint64) *askedQuery {
	var found *askedQuery
	for i := range row {
		q := &row[i]
		if !l.fresh(q) {
			continue
		}
		if q.hash == hash {
			return q
		}
		if !m.Question && q.hash>>32 == hash>>32 && (found == nil || q.last() > found.last()) {
			found = q
		}
	}
	return found
}

// fresh reports whether the query came within the window, by the clock as it is
// set.
func (l *Lookups) fresh(q *askedQuery) bool {
	return q.hash != 0 && l.newest-q.last() <= int64(lookupWindow) && q.late>>asideBits%(1<<setBits) == l.set
}

// key makes what names the lookup of its hash and its moment (the finisher of
// MurmurHash3).
func (q *askedQuery) key() uint64 {
	k := q.hash ^ uint64(q.first)*0x9e3779b97f4a7c15
	k = (k ^ k>>33) * 0xff51afd7ed558ccd
	k = (k ^ k>>33) * 0xc4ceb9fe1a85ec53
	return max(k^k>>33, 1)
}

// enter notes a query, in place of the one that is missed least.
func (l *Lookups) enter(row *[lookupWays]askedQuery, q askedQuery) {
	place := &row[0]
	for i := range row {
		old := &row[i]
		if old.hash == q.hash || old.hash == 0 {
			place = old
			break
		}
		if l.worth(old) < l.worth(place) {
			place = old
		}
	}
	if place.hash != q.hash && l.fresh(place) {
		l.counts.forgotten.add(1)
		if place.late&(wasAnswered|uncounted) == 0 {
			l.waiting.leave(place.last())
		}
	}
	*place = q
}

// worth orders queries by how much they would be missed: not at all when their
// time is over, little when they were answered, less the older they are.
func (l *Lookups) worth(q *askedQuery) int64 {
	if !l.fresh(q) {
		return -1
	}
	left := int64(lookupWindow) + q.last() - l.newest
	if q.late&wasAnswered != 0 {
		return left
	}
	return left + 4*int64(lookupWindow)
}

// find returns the row of a message and its hash. The row and the upper half are
// of addresses, ports, transport and id, the lower half is of the question. Where
// a question goes to a group, as in LLMNR, others answer it.
func (l *Lookups) find(m *Message) (row *[lookupWays]askedQuery, hash uint64) {
	k := appendAddress(l.key[:0], m.Client.Addr())
	if m.Service == DNS {
		k = appendAddress(k, m.Server.Addr())
	}
	k = binary.BigEndian.AppendUint16(k, m.Client.Port())
	k = binary.BigEndian.AppendUint16(k, m.Server.Port())
	k = binary.BigEndian.AppendUint16(k, m.ID)
	ends := maphash.Bytes(l.seed, append(k, byte(m.Proto)))
	k = binary.BigEndian.AppendUint16(k[:0], m.Type)
	k = binary.BigEndian.AppendUint16(k, m.Class)
	l.key = append(k, m.Name...)
	hash = ends&^0xffffffff | maphash.Bytes(l.seed, l.key)&0xffffffff
	return &l.rows[ends%lookupRows], max(hash, 1)
}

// appendAddress appends the 4 or 16 bytes of an address: the fewer, the sooner they
// are hashed.
func appendAddress(k []byte, addr netip.Addr) []byte {
	if addr.Is4() {
		four := addr.As4()
		return append(k, four[:]...)
	}
	sixteen := addr.As16()
	return append(k, sixteen[:]...)
}
