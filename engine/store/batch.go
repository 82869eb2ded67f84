package store

import (
	"bytes"
	"sort"
)

// Batch stages writes over a Reader and shows them at once. Layers nest: a
// frame is staged in a layer of its own, which is merged when it fits and
// forgotten when it does not. Not safe for concurrent use.
type Batch struct {
	below  Reader
	under  []byte // before keys of the generation that is written
	writes map[string]write
	bytes  int
	// reads remembers what a view below gave, which never changes: a frame asks
	// for the same keys again and again.
	reads map[string]read
}

type read struct {
	value []byte
	ok    bool
}

type write struct {
	key     string
	value   []byte
	deleted bool
}

// entryOverhead is what Badger counts for an entry besides key and value.
const entryOverhead = 16

// NewBatch returns an empty batch over r.
func NewBatch(r Reader) *Batch {
	b := &Batch{below: r, under: r.space(), writes: map[string]write{}}
	if _, ok := r.(*View); ok {
		b.reads = map[string]read{}
	}
	return b
}

// Set stages a write; value is the batch's from now on.
func (b *Batch) Set(key, value []byte) { b.put(write{key: string(key), value: value}) }

// Delete stages a deletion.
func (b *Batch) Delete(key []byte) { b.put(write{key: string(key), deleted: true}) }

func (b *Batch) put(w write) {
	if old, ok := b.writes[w.key]; ok {
		b.bytes -= b.weight(old)
	}
	b.writes[w.key] = w
	b.bytes += b.weight(w)
}

func (b *Batch) weight(w write) int {
	return len(b.under) + len(w.key) + len(w.value) + entryOverhead
}

func (b *Batch) space() []byte { return b.under }

// Len returns the number of staged writes.
func (b *Batch) Len() int { return len(b.writes) }

// Bytes returns about what the batch weighs in a transaction.
func (b *Batch) Bytes() int { return b.bytes }

// Fits reports whether b and another fit one transaction together.
func (b *Batch) Fits(other *Batch) bool {
	return b.bytes+other.bytes <= maxCommitBytes && len(b.writes)+len(other.writes) <= maxCommitWrites
}

// Full reports whether more than half of what a transaction takes is staged.
func (b *Batch) Full() bool { return b.bytes > maxCommitBytes/2 || len(b.writes) > maxCommitWrites/2 }

// maxCommitWrites: Badger bounds a transaction's entries by its bytes divided by
// the size of a skip list's node (96 bytes).
const maxCommitWrites = maxCommitBytes / 100

// Layer returns an empty batch over b.
func (b *Batch) Layer() *Batch { return NewBatch(b) }

// Merge takes over what a layer of b staged.
func (b *Batch) Merge(layer *Batch) {
	for _, w := range layer.writes {
		b.put(w)
	}
}

// Get implements Reader. The value must not be changed.
func (b *Batch) Get(key []byte) ([]byte, bool) {
	if w, ok := b.writes[string(key)]; ok {
		return w.value, !w.deleted
	}
	if b.reads == nil {
		return b.below.Get(key)
	}
	known, ok := b.reads[string(key)]
	if !ok {
		known.value, known.ok = b.below.Get(key)
		b.reads[string(key)] = known
	}
	return known.value, known.ok
}

// Scan implements Reader: what is staged, merged with what is below.
func (b *Batch) Scan(prefix, start []byte, reverse bool, fn func(key, value []byte) bool) {
	staged := b.matching(prefix, start, reverse)
	before := func(a, b []byte) bool {
		c := bytes.Compare(a, b)
		return c < 0 != reverse && c != 0
	}
	stopped := false
	next := func(limit []byte) bool { // emits staged writes before limit
		for len(staged) > 0 && (limit == nil || before([]byte(staged[0].key), limit)) {
			w := staged[0]
			staged = staged[1:]
			if !w.deleted && !fn([]byte(w.key), w.value) {
				stopped = true
				return false
			}
		}
		return true
	}
	b.below.Scan(prefix, start, reverse, func(key, value []byte) bool {
		if !next(key) {
			return false
		}
		if len(staged) > 0 && staged[0].key == string(key) {
			return true // overwritten: emitted before the next key
		}
		if !fn(key, value) {
			stopped = true
		}
		return !stopped
	})
	if !stopped {
		next(nil)
	}
}

func (b *Batch) matching(prefix, start []byte, reverse bool) []write {
	var list []write
	for _, w := range b.writes {
		if !bytes.HasPrefix([]byte(w.key), prefix) {
			continue
		}
		if c := bytes.Compare([]byte(w.key), start); start != nil && (!reverse && c < 0 || reverse && c > 0) {
			continue
		}
		list = append(list, w)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].key < list[j].key != reverse })
	return list
}

func (b *Batch) sorted() []write { return b.matching(nil, nil, false) }
