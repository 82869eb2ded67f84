package passivedns

import (
	"sync/atomic"
	"time"
)

// counts are counted where they happen.
type counts struct {
	observed, leftOut, behind         atomic.Uint64
	merged, displaced, written, added atomic.Uint64
	expired, evicted                  atomic.Uint64
	malformed, tooLong, clients       atomic.Uint64
	noRoom, unwritten                 atomic.Uint64
	records, asked, domains           atomic.Int64
}

// hold notes how many entries there are.
func (c *counts) hold(b book) {
	c.records.Store(b.Records)
	c.asked.Store(b.Asked)
	c.domains.Store(b.Domains)
}

// Stats says how the memory fares. Counters begin at 0 with the process; entries
// are what is written.
type Stats struct {
	Since    time.Time `json:"since,omitzero"` // when the memory began
	Observed uint64    `json:"observed"`       // messages that were taken note of
	LeftOut  uint64    `json:"left_out"`       // messages of mDNS, LLMNR, other classes, or without a question
	Records  int64     `json:"records"`        // entries: names with their answers,
	Asked    int64     `json:"asked"`          // what clients asked,
	Domains  int64     `json:"domains"`        // registrable domains
	Merged   uint64    `json:"merged"`         // sightings that were counted in memory alone
	Added    uint64    `json:"added"`          // entries that were new
	Written  uint64    `json:"written"`        // entries that were written, new or not
	Expired  uint64    `json:"expired"`        // entries whose time was over
	Evicted  uint64    `json:"evicted"`        // entries that made room for others
	Behind   int       `json:"behind"`         // bytes of messages that wait to be taken in
	// Dropped are sightings that are lost, by reason.
	Dropped map[string]uint64 `json:"dropped"`
}

// Reasons for which a sighting is dropped.
const (
	DropBehind    = "behind"     // messages came faster than they were taken in
	DropNoRoom    = "no_room"    // more was new than may be written in a minute
	DropUnwritten = "unwritten"  // the store did not take it, and there was no room to wait
	DropMalformed = "malformed"  // a record that breaks the rules, and those behind it
	DropTooLong   = "too_long"   // data of over 1,024 bytes
	DropClients   = "clients"    // a lookup of a client beyond the 65,536 that are told apart
	DropUnread    = "unreadable" // what the store knew of a domain could not be read
)

// Stats may be called at any time.
func (m *Memory) Stats() Stats {
	c := &m.counts
	s := Stats{
		Since: moment(m.since.Load()), Observed: c.observed.Load(), LeftOut: c.leftOut.Load(),
		Records: c.records.Load(), Asked: c.asked.Load(), Domains: c.domains.Load(),
		Merged: c.merged.Load(), Added: c.added.Load(), Written: c.written.Load(),
		Expired: c.expired.Load(), Evicted: c.evicted.Load(), Behind: m.batches.behind(),
		Dropped: map[string]uint64{
			DropBehind: c.behind.Load(), DropNoRoom: c.noRoom.Load(), DropUnwritten: c.unwritten.Load(),
			DropMalformed: c.malformed.Load(), DropTooLong: c.tooLong.Load(), DropClients: c.clients.Load(),
		},
	}
	if t := m.tables.Load(); t != nil {
		lost, failed := t.domains.losses()
		s.Dropped[DropNoRoom] += lost
		s.Dropped[DropUnread] = failed
	}
	return s
}

func (d *domains) losses() (lost, failed uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lost, d.failed
}

// over reports whether there is clearly more than is wanted.
func (m *Memory) over() bool {
	bound := int64(m.cfg.Settings().Entries)
	bound += bound / 50
	return m.counts.records.Load() > bound || m.counts.asked.Load() > bound || m.counts.domains.Load() > bound
}
