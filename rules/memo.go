package rules

import (
	"encoding/binary"
	"sync/atomic"
)

// memo remembers names that no table covers, so that those that are asked for again
// and again, and the response after each query, cost one look. It goes by a hash of 64
// bits with a seed that nobody knows: that a name is taken for another is a matter of
// one lookup in 10^16. It only grows stale with its Set. Safe for concurrent use.
type memo struct {
	places [memoPlaces]atomic.Uint64 // hashes; 0: none
}

// memoPlaces are 128 KiB.
const memoPlaces = 1 << 14

// hash is that of a whole name. Unlike that of its suffixes it needs no labels.
func (*memo) hash(name []byte) uint64 {
	h := seeds[0] + uint64(len(name))
	start := 0
	for ; len(name)-start > 8; start += 8 {
		h = fold(h, binary.LittleEndian.Uint64(name[start:]))
	}
	return fold(h, word(name, start, len(name)))
}

func (m *memo) holds(hash uint64) bool { return m.places[hash%memoPlaces].Load() == hash }

func (m *memo) add(hash uint64) { m.places[hash%memoPlaces].Store(hash) }
