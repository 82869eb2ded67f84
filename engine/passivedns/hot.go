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
	hash  uint64
	key   []byte
	since value  // its last is 0 when nothing is to be written
	last  uint32 // also when nothing is to be written
	// waiting are queries that were counted and may be answered yet.
	waiting uint32
}

// hot is a table of fixed size over keys of the store: rows of slots, of which the
// one that was seen least lately makes room.
type hot struct {
	seed maphash.Seed
	rows [][hotWays]slot
	used int
}

func newHot(seed maphash.Seed) *hot { return &hot{seed: seed, rows: make([][hotWays]slot, hotRows)} }

// find returns the slot of a key; or, for one that is not there, the slot that it
// may take.
func (h *hot) find(key []byte) (s *slot, hash uint64, found bool) {
	hash = maphash.Bytes(h.seed, key) | 1
	row := &h.rows[hash>>32%hotRows]
	oldest := &row[0]
	for i := range row {
		s := &row[i]
		if s.hash == hash && string(s.key) == string(key) {
			return s, hash, true
		}
		if s.last < oldest.last {
			oldest = s
		}
	}
	return oldest, hash, false
}

// take makes a slot that of a key.
func (h *hot) take(s *slot, hash uint64, key []byte) {
	if s.hash == 0 {
		h.used++
	}
	room := s.key[:0]
	if cap(room) > keepKeyBytes {
		room = nil
	}
	*s = slot{hash: hash, key: append(room, key...)}
}

// clear forgets all.
func (h *hot) clear() { clear(h.rows); h.used = 0 }
