package store

import (
	"bytes"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// Batch stages writes over a Reader and shows them at once. Layers nest: a
// frame is staged in a layer of its own, which is merged when it fits and
// forgotten when it does not. Not safe for concurrent use.
type Batch struct {
	below  Reader
	under  []byte // before keys of the generation that is written
	writes []write
	places map[string]int // of keys in writes
	bytes  int
	// classes are the places of the keys that begin with a byte, of the first
	// classed writes: who scans looks at one class.
	classes map[byte][]int
	classed int
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
	b := &Batch{below: r, under: r.space(), places: map[string]int{}}
	if _, ok := r.(*View); ok {
		b.reads = map[string]read{}
	}
	return b
}

// NewBatchOver returns an empty batch over a view and, before it, what pending
// stages: a batch that is being committed, which may or may not be in the view.
func NewBatchOver(v *View, pending *Batch) *Batch {
	below := NewBatch(v)
	below.writes, below.places = pending.writes, pending.places
	return NewBatch(below)
}

// Set stages a write; value is the batch's from now on.
func (b *Batch) Set(key, value []byte) { b.put(write{key: string(key), value: value}) }

// Delete stages a deletion.
func (b *Batch) Delete(key []byte) { b.put(write{key: string(key), deleted: true}) }

func (b *Batch) put(w write) {
	b.bytes += b.weight(w)
	if i, ok := b.places[w.key]; ok {
		b.bytes -= b.weight(b.writes[i])
		b.writes[i] = w
		return
	}
	b.places[w.key] = len(b.writes)
	b.writes = append(b.writes, w)
}

func (b *Batch) weight(w write) int {
	return len(b.under) + len(w.key) + len(w.value) + entryOverhead
}

func (b *Batch) space() []byte { return b.under }

// Len returns the number of staged writes.
func (b *Batch) Len() int { return len(b.writes) }

// Bytes returns about what the batch weighs in a transaction.
func (b *Batch) Bytes() int { return b.bytes }

// Fits reports whether b fits one transaction, with others.
func (b *Batch) Fits(others ...*Batch) bool {
	bytes, writes := b.bytes, len(b.writes)
	for _, other := range others {
		bytes, writes = bytes+other.bytes, writes+len(other.writes)
	}
	return bytes <= maxCommitBytes && writes <= maxCommitWrites
}

// Full reports whether more than half of what a transaction takes is staged.
func (b *Batch) Full() bool { return b.bytes > maxCommitBytes/2 || len(b.writes) > maxCommitWrites/2 }

// maxCommitWrites: Badger bounds a transaction's entries by its bytes divided by
// the size of a skip list's node (96 bytes).
const maxCommitWrites = maxCommitBytes / 100

// Layer returns an empty batch over b.
func (b *Batch) Layer() *Batch { return NewBatch(b) }

// Reset forgets what is staged, so that the batch can be used again.
func (b *Batch) Reset() {
	clear(b.places)
	clear(b.classes)
	clear(b.writes)
	b.writes, b.bytes, b.classed = b.writes[:0], 0, 0
}

// Merge takes over what a layer of b staged.
func (b *Batch) Merge(layer *Batch) {
	for _, w := range layer.writes {
		b.put(w)
	}
}

// Get implements Reader. The value must not be changed.
func (b *Batch) Get(key []byte) ([]byte, bool) {
	if i, ok := b.places[string(key)]; ok {
		return b.writes[i].value, !b.writes[i].deleted
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

// matching returns what is staged with a prefix, which is not empty.
func (b *Batch) matching(prefix, start []byte, reverse bool) []write {
	var list []write
	for _, i := range b.class(prefix[0]) {
		w := b.writes[i]
		if !strings.HasPrefix(w.key, string(prefix)) {
			continue
		}
		if c := strings.Compare(w.key, string(start)); start != nil && (!reverse && c < 0 || reverse && c > 0) {
			continue
		}
		list = append(list, w)
	}
	slices.SortFunc(list, func(x, y write) int {
		if reverse {
			x, y = y, x
		}
		return strings.Compare(x.key, y.key)
	})
	return list
}

// class returns the places of the keys that begin with a byte.
func (b *Batch) class(first byte) []int {
	if b.classes == nil {
		b.classes = map[byte][]int{}
	}
	for ; b.classed < len(b.writes); b.classed++ {
		if k := b.writes[b.classed].key; k != "" {
			b.classes[k[0]] = append(b.classes[k[0]], b.classed)
		}
	}
	return b.classes[first]
}

// stage writes what is staged into a transaction. Badger brings it into an order of
// its own.
func (b *Batch) stage(txn *badger.Txn) error {
	size := 0
	for i := range b.writes {
		size += len(b.under) + len(b.writes[i].key)
	}
	keys, entries := make([]byte, 0, size), make([]badger.Entry, len(b.writes))
	for i, w := range b.writes {
		begin := len(keys)
		if w.key != "" && w.key[0] >= firstMade {
			keys = append(keys, b.under...)
		}
		keys = append(keys, w.key...)
		key := keys[begin:len(keys):len(keys)]
		if w.deleted {
			if err := txn.Delete(key); err != nil {
				return err
			}
			continue
		}
		entries[i].Key, entries[i].Value = key, w.value
		if err := txn.SetEntry(&entries[i]); err != nil {
			return err
		}
	}
	return nil
}
