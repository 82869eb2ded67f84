package passivedns

import "hash/maphash"

// Sizes of the hot table: what is seen often is counted there, and written down
// now and then.
const (
	hotWays = 8
	hotRows = 1 << 13 // 65,536 entries in all
	// keepKeyBytes is the room that a slot keeps for its next key.
	keepKeyBytes = 256
)

// slot counts what was seen of one key since it was written down last.
type slot struct {
	key   []byte
	since value  // its last is 0 when nothing is to be written
	last  uint32 // also when nothing is to be written
	// waiting are queries that were counted and may be answered yet.
	waiting uint32
}

// hot is a table of fixed size over keys of the store: rows of slots, of which the
// one that was seen least lately makes room. The hashes of a row lie together, in
// one line of the processor's cache.
type hot struct {
	seed   maphash.Seed
	hashes [][hotWays]uint64 // 0: empty
	rows   [][hotWays]slot
}

func newHot(seed maphash.Seed) *hot {
	return &hot{seed: seed, hashes: make([][hotWays]uint64, hotRows), rows: make([][hotWays]slot, hotRows)}
}

// find returns the slot of a key; or, for one that is not there, the slot that it
// may take.
func (h *hot) find(key []byte) (s *slot, at place, found bool) {
	hash := maphash.Bytes(h.seed, key) | 1
	n := hash >> 32 % hotRows
	row, slots := &h.hashes[n], &h.rows[n]
	for i, other := range row {
		if other == hash && string(slots[i].key) == string(key) {
			return &slots[i], place{}, true
		}
	}
	oldest := 0
	for i := range slots {
		if slots[i].last < slots[oldest].last {
			oldest = i
		}
	}
	return &slots[oldest], place{&row[oldest], hash}, false
}

// place is where a key that is not there would go.
type place struct {
	at   *uint64
	hash uint64
}

// take makes a slot that of a key.
func (h *hot) take(s *slot, at place, key []byte) {
	room := s.key[:0]
	if cap(room) > keepKeyBytes {
		room = nil
	}
	*at.at = at.hash
	*s = slot{key: append(room, key...)}
}

// clear forgets all.
func (h *hot) clear() {
	clear(h.hashes)
	clear(h.rows)
}
