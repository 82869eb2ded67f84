package capture

import (
	"encoding/binary"
	"hash/maphash"
	"time"
)

const (
	// lookupWindow is how long after its query a response is no lookup of its own.
	lookupWindow = 30 * time.Second
	lookupWays   = 8       // queries that share a row of the table
	lookupRows   = 1 << 14 // 131,072 queries in all, in 2 MiB
)

// Lookups tells which messages are lookups: every query is one; a response is one
// only if no query with its addresses, ports, id and question came in the 30
// seconds before, by the clock of the capture. So a lookup is one event, whether
// the query was seen or the response alone.
//
// The table of queries is of fixed size. When more than it holds come within 30
// seconds, an old one is forgotten, an answered one first, and a response to it
// counts as a lookup again; Forgotten counts them.
type Lookups struct {
	seed      maphash.Seed
	rows      [][lookupWays]askedQuery
	key       []byte
	forgotten uint64
}

// askedQuery is a query as the table knows it. Two queries with equal hashes, one
// in 2^64, are taken for the same.
type askedQuery struct {
	hash uint64 // 0: empty
	// when is the time in nanoseconds since 1970; the lowest bit says that it
	// was answered.
	when int64
}

// NewLookups returns an empty table.
func NewLookups() *Lookups {
	return &Lookups{seed: maphash.MakeSeed(), rows: make([][lookupWays]askedQuery, lookupRows)}
}

// Forgotten returns how many queries were forgotten before their time.
func (l *Lookups) Forgotten() uint64 { return l.forgotten }

// IsLookup takes in the next message of a capture and reports whether it is a
// lookup.
func (l *Lookups) IsLookup(m *Message) bool {
	hash := l.hash(m)
	row := &l.rows[hash%lookupRows]
	now := m.Time.UnixNano() &^ 1
	if !m.Response() {
		l.enter(row, hash, now)
		return true
	}
	for i := range row {
		if row[i].hash == hash && row[i].fresh(now) {
			row[i].when |= 1
			return false
		}
	}
	return true
}

// fresh reports whether the query came within the window. One that seems to come
// from the future was captured before all the same: clocks are set back.
func (q askedQuery) fresh(now int64) bool {
	age := time.Duration(now - q.when&^1)
	return age <= lookupWindow && age >= -lookupWindow
}

// enter notes a query, in place of the one that is missed least.
func (l *Lookups) enter(row *[lookupWays]askedQuery, hash uint64, now int64) {
	place := 0
	for i := range row {
		if row[i].hash == hash || row[i].hash == 0 {
			place = i
			break
		}
		if row[i].worth(now) < row[place].worth(now) {
			place = i
		}
	}
	if old := row[place]; old.hash != 0 && old.hash != hash && old.fresh(now) {
		l.forgotten++
	}
	row[place] = askedQuery{hash: hash, when: now}
}

// worth orders queries by how much they would be missed: not at all when their
// time is over, little when they were answered, less the older they are.
func (q askedQuery) worth(now int64) int64 {
	if !q.fresh(now) {
		return -1
	}
	left := int64(lookupWindow) + q.when&^1 - now
	if q.when&1 != 0 {
		return left
	}
	return left + 4*int64(lookupWindow)
}

// hash is over addresses, ports, transport, id and question.
func (l *Lookups) hash(m *Message) uint64 {
	client, server := m.Client.Addr().As16(), m.Server.Addr().As16()
	k := append(l.key[:0], client[:]...)
	k = append(k, server[:]...)
	k = binary.BigEndian.AppendUint16(k, m.Client.Port())
	k = binary.BigEndian.AppendUint16(k, m.Server.Port())
	k = binary.BigEndian.AppendUint16(k, m.ID)
	k = binary.BigEndian.AppendUint16(k, m.Type)
	k = binary.BigEndian.AppendUint16(k, m.Class)
	k = append(k, byte(m.Proto))
	k = append(k, m.Name...)
	l.key = k
	if hash := maphash.Bytes(l.seed, k); hash != 0 {
		return hash
	}
	return 1
}
