package passivedns

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"
	"unsafe"

	"larkspur/engine"
	"larkspur/engine/capture"
)

// Sizes of the tables of registrable domains.
const (
	domainWays = 8
	domainRows = 1 << 11 // 16,384 domains in all
	// nameRows is how many names remember their domain.
	nameRows = 1 << 15
	// verdictRows is how many lookups remember what was known before them.
	verdictRows = 1 << 13
	// newAgain is how long a domain was not seen, at least, for the lookup that
	// sees it to be remembered: its response comes within that time.
	newAgain = 30
	// maxLeaving bounds domains that wait to be written after they left the table.
	maxLeaving = 4096
)

// domains knows when registrable domains were seen: a table of those that are seen
// often, before the store. Safe for concurrent use.
type domains struct {
	seed maphash.Seed
	load func(domain string) (value, error)

	mu       sync.Mutex // guards what follows
	rows     [][domainWays]domain
	names    [][2]uint64 // hashes of a name and of its domain, 0 for none
	verdicts []verdict
	leaving  map[string]value
	keep     uint32 // seconds for which a domain is remembered
	lost     uint64 // that found no room in leaving
	failed   uint64 // that could not be read
}

type domain struct {
	hash  uint64
	name  string
	since value // since it was written down last; nothing where count is 0
	first uint32
	last  uint32
	// prior is last before lookup, the latest one.
	prior  uint32
	lookup uint64
}

// verdict is what was known of a domain before a lookup that was long in coming.
type verdict struct {
	lookup      uint64
	first, last uint32 // 0: never seen
	at          uint32
}

func newDomains(seed maphash.Seed, load func(string) (value, error)) *domains {
	return &domains{
		seed: seed, load: load, rows: make([][domainWays]domain, domainRows), names: make([][2]uint64, nameRows),
		verdicts: make([]verdict, verdictRows), leaving: map[string]value{},
	}
}

// mark notes that a name was seen at a time, by a lookup, and returns what was
// known of its domain before the lookup; nothing where it has none.
func (d *domains) mark(name []byte, nameHash uint64, at uint32, lookup uint64) (before value) {
	d.mu.Lock()
	defer d.mu.Unlock()
	row := &d.names[nameHash>>32%nameRows]
	if row[0] == nameHash {
		if row[1] == 0 {
			return value{}
		}
		if e := d.find(row[1]); e != nil {
			return d.see(e, at, lookup)
		}
	}
	text, ok := capture.Registrable(unsafe.String(unsafe.SliceData(name), len(name)))
	if !ok {
		*row = [2]uint64{nameHash, 0}
		return value{}
	}
	hash := d.hash(text)
	*row = [2]uint64{nameHash, hash}
	e := d.find(hash)
	if e == nil {
		e = d.fetch(strings.Clone(text), hash)
	}
	return d.see(e, at, lookup)
}

func (d *domains) hash(domain string) uint64 { return maphash.String(d.seed, domain) | 1 }

func (d *domains) find(hash uint64) *domain {
	row := &d.rows[hash>>32%domainRows]
	for i := range row {
		if row[i].hash == hash {
			return &row[i]
		}
	}
	return nil
}

// fetch brings a domain into the table, with what the store knows of it.
func (d *domains) fetch(name string, hash uint64) *domain {
	known, leaving := d.leaving[name]
	delete(d.leaving, name)
	stored, err := d.load(name)
	if err != nil {
		d.failed++
	}
	row := &d.rows[hash>>32%domainRows]
	place := &row[0]
	for i := range row {
		if row[i].last < place.last {
			place = &row[i]
		}
	}
	if place.since.count > 0 {
		d.leave(place)
	}
	*place = domain{hash: hash, name: name, first: stored.first, last: stored.last}
	if leaving {
		place.since = known
		stored.add(known)
		place.first, place.last = stored.first, stored.last
	}
	return place
}

// leave keeps what is to be written of a domain that leaves the table.
func (d *domains) leave(e *domain) {
	v, ok := d.leaving[e.name]
	if !ok && len(d.leaving) >= maxLeaving {
		d.lost++
		return
	}
	v.add(e.since)
	d.leaving[e.name] = v
}

// see notes a sighting and returns what was known before its lookup.
func (d *domains) see(e *domain, at uint32, lookup uint64) (before value) {
	if e.last != 0 && d.keep > 0 && ago(at, e.last) > int64(d.keep) { // it was forgotten in between
		e.first, e.last, e.since = 0, 0, value{}
	}
	v := &d.verdicts[lookup%verdictRows]
	switch {
	case v.lookup == lookup^e.hash && ago(at, v.at) <= newAgain:
		before = value{first: v.first, last: v.last}
	case e.lookup == lookup && ago(at, e.last) <= newAgain:
		before = value{first: e.first, last: e.prior}
	default:
		before = value{first: e.first, last: e.last}
		if e.last == 0 || ago(at, e.last) > newAgain {
			*v = verdict{lookup ^ e.hash, e.first, e.last, at}
		}
		e.prior, e.lookup = e.last, lookup
		e.since.count++
	}
	e.since.add(value{first: at, last: at})
	if e.first == 0 || at < e.first {
		e.first = at
	}
	e.last = max(e.last, at)
	return before
}

// ago is how many seconds lie between two times, whichever came first.
func ago(at, then uint32) int64 {
	if at < then {
		return int64(then) - int64(at)
	}
	return int64(at) - int64(then)
}

// Domain tells what was known of the registrable domain of a message's question
// before its lookup, and notes that it was seen. Query and response of a lookup are
// told the same, also when Observe was told of them before. It may read the store
// once, and waits for nothing else.
func (m *Memory) Domain(msg *capture.Message) engine.Seen {
	name := string(msg.Name)
	text, registrable := capture.Registrable(name)
	seen := engine.Seen{Domain: text, Known: true, Since: moment(m.since.Load())}
	if !registrable || !concerns(msg) {
		return seen
	}
	at := uint32(msg.Time.Unix())
	t := m.open()
	m.begin(at)
	seen.Since = moment(m.since.Load())
	lookup, hash := lookupOf(m.seed, msg)
	before := t.domains.mark(msg.Name, hash, at, lookup)
	if seen.Known = before.last != 0; seen.Known {
		seen.First, seen.Last = moment(before.first), moment(before.last)
	}
	return seen
}

func moment(seconds uint32) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// pending returns what is to be written, by domain; written says that it was.
func (d *domains) pending() (rows []row) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, v := range d.leaving {
		rows = append(rows, row{name, v})
	}
	for i := range d.rows {
		for j := range d.rows[i] {
			if e := &d.rows[i][j]; e.since.count > 0 {
				rows = append(rows, row{e.name, e.since})
			}
		}
	}
	return rows
}

func (d *domains) written(rows []row) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range rows {
		if v, ok := d.leaving[r.key]; ok {
			if v == r.v {
				delete(d.leaving, r.key)
			} else {
				v.count -= min(v.count, r.v.count)
				d.leaving[r.key] = v
			}
			continue
		}
		if e := d.find(d.hash(r.key)); e != nil && e.since.count >= r.v.count {
			e.since.count -= r.v.count
			if e.since.count == 0 {
				e.since = value{}
			}
		}
	}
}

func (d *domains) setKeep(seconds uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keep = seconds
}

func (d *domains) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.rows)
	clear(d.names)
	clear(d.verdicts)
	clear(d.leaving)
}
