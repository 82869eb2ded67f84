package rules

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// table is a set of canonical names that answers whether a given name is one of
// them or lies below one: a blocked Bloom filter of the names and all that stand
// above them, then an open table of offsets into one arena. Hashes run from the
// root label towards the leaf, so that one pass over a name yields those of all
// its suffixes, for all tables at once, and ends at the first that no filter
// knows. The names themselves are compared: no hash decides that one is covered.
// Ready once built; then safe for concurrent reading.
type table struct {
	count int
	bloom []uint64 // one word a block, four bits a name and a fifth where it is no parent alone
	tags  []uint8  // 0: the slot is free
	slots []uint32 // offset of the entry in arena
	arena []byte   // entries: length, name
}

// seeds are chosen at start, so that nobody can choose names that collide. All
// tables have the same.
var seeds = [2]uint64{rand.Uint64(), rand.Uint64() | 1}

// newTable makes a table for about n names of size bytes in all.
func newTable(n, size int) *table {
	t := &table{arena: make([]byte, 0, size)}
	t.resize(n)
	return t
}

// tableOf makes a table of a few canonical names.
func tableOf(names ...string) *table {
	t := newTable(len(names), 0)
	for _, name := range names {
		t.add([]byte(name))
	}
	return t
}

func (t *table) resize(n int) {
	n = max(n, 8)
	t.bloom = make([]uint64, n/4+1)
	t.tags = make([]uint8, n+n/3+1)
	t.slots = make([]uint32, len(t.tags))
}

// add puts a canonical name in; none is longer than 255 bytes.
func (t *table) add(name []byte) {
	if t.count >= len(t.slots)-len(t.slots)/4 {
		t.grow()
	}
	h := hashName(name)
	slot, found := t.slotOf(h, name)
	if found {
		return
	}
	entry := uint32(len(t.arena))
	t.arena = append(append(t.arena, byte(len(name))), name...)
	t.place(name, h, slot, entry)
	t.count++
}

func (t *table) place(name []byte, h uint64, slot int, entry uint32) {
	t.tags[slot], t.slots[slot] = tagOf(h), entry
	for start, part, ok := longer(name, rootOf(name), seeds[0]); ok; start, part, ok = longer(name, start, part) {
		t.bloom[reduce(part, len(t.bloom))] |= bloomMask(part)
	}
	t.bloom[reduce(h, len(t.bloom))] |= bloomMask(h) | ownMask(h)
}

// grow doubles the table.
func (t *table) grow() {
	t.resize(2 * t.count)
	t.each(func(entry uint32, name []byte) {
		h := hashName(name)
		slot, _ := t.slotOf(h, name)
		t.place(name, h, slot, entry)
	})
}

// clip gives back memory that a generous guess of the size took.
func (t *table) clip() {
	if len(t.arena) < cap(t.arena)-cap(t.arena)/8 {
		t.arena = bytes.Clone(t.arena)
	}
	if t.count < len(t.slots)/4 {
		t.grow()
	}
}

// each visits all names in the order of their coming.
func (t *table) each(visit func(entry uint32, name []byte)) {
	for at := 0; at < len(t.arena); {
		end := at + 1 + int(t.arena[at])
		visit(uint32(at), t.arena[at+1:end])
		at = end
	}
}

// covers tells whether a canonical name equals one of the table's or lies below
// one.
func (t *table) covers(name []byte) bool {
	for start, h, ok := longer(name, rootOf(name), seeds[0]); ok; start, h, ok = longer(name, start, h) {
		block := t.block(h)
		if mask := bloomMask(h); block&mask != mask {
			return false
		}
		if block&ownMask(h) != 0 && t.holds(h, name[start:]) {
			return true
		}
	}
	return false
}

// block is the word of the filter for a hash: it lacks bits of bloomMask where no
// name of this hash, and none below one, is in the table, and that of ownMask where
// no name itself is.
func (t *table) block(h uint64) uint64 { return t.bloom[reduce(h, len(t.bloom))] }

func (t *table) holds(h uint64, name []byte) bool {
	_, found := t.slotOf(h, name)
	return found
}

// slotOf returns where a name stands, or the free slot where it belongs.
func (t *table) slotOf(h uint64, name []byte) (int, bool) {
	tag := tagOf(h)
	for i := reduce(h*hashPrime, len(t.slots)); ; i++ { // other leading bits than the filter
		if i == len(t.slots) {
			i = 0
		}
		switch t.tags[i] {
		case 0:
			return i, false
		case tag:
			if t.equals(t.slots[i], name) {
				return i, true
			}
		}
	}
}

func (t *table) equals(entry uint32, name []byte) bool {
	start := int(entry) + 1
	return int(t.arena[entry]) == len(name) && string(t.arena[start:start+len(name)]) == string(name)
}

// coversAny tells whether one of the tables covers a canonical name, in one pass
// over it.
func coversAny(tables []*table, name []byte) bool {
	if len(tables) == 1 {
		return tables[0].covers(name)
	}
	for len(tables) > 64 {
		if coversAny(tables[:64], name) {
			return true
		}
		tables = tables[64:]
	}
	left := uint64(1)<<len(tables) - 1 // bits of the tables that may hold more of the name
	for start, h, ok := longer(name, rootOf(name), seeds[0]); ok && left != 0; start, h, ok = longer(name, start, h) {
		for each := left; each != 0; each &= each - 1 {
			i := bits.TrailingZeros64(each)
			t := tables[i]
			block, mask := t.block(h), bloomMask(h)
			if block&mask != mask {
				left &^= 1 << i
			} else if block&ownMask(h) != 0 && t.holds(h, name[start:]) {
				return true
			}
		}
	}
	return false
}

// longer goes from the suffix of a canonical name that begins at start, with its
// hash, to the one that is a label longer; ok is false when there is none. It
// begins with the root: (rootOf(name), seeds[0]). Its state lies in registers:
// a walk of its own type took three times as long.
func longer(name []byte, start int, h uint64) (_ int, _ uint64, ok bool) {
	end := start - 1 // of the label
	if end <= 0 {
		return 0, 0, false
	}
	start = labelStart(name, end)
	return start, hashLabel(h, name, start, end), true
}

func rootOf(name []byte) int { return len(name) + 1 }

const (
	ones = 0x0101010101010101
	dots = '.' * ones
)

// labelStart returns where the label begins that ends at end: behind the dot
// before it. It looks at eight bytes at once.
func labelStart(name []byte, end int) int {
	for end >= 8 {
		x := binary.LittleEndian.Uint64(name[end-8:]) ^ dots
		// The high bit of each byte that is zero, and of no other.
		if zero := ^(((x & (0x7f * ones)) + 0x7f*ones) | x | 0x7f*ones); zero != 0 {
			return end - bits.LeadingZeros64(zero)/8
		}
		end -= 8
	}
	for end > 0 && name[end-1] != '.' {
		end--
	}
	return end
}

const hashPrime = 0x9E3779B97F4A7C15

// hashLabel goes on from the hash of what stands after a label to that with it.
func hashLabel(h uint64, name []byte, start, end int) uint64 {
	h += uint64(end-start) * hashPrime
	for ; end-start > 8; start += 8 {
		h = fold(h, binary.LittleEndian.Uint64(name[start:]))
	}
	return fold(h, word(name, start, end))
}

// fold multiplies to 128 bits and adds the halves without carry, as wyhash does.
func fold(h, word uint64) uint64 {
	hi, lo := bits.Mul64(h^seeds[1], word^hashPrime)
	return hi ^ lo
}

// word returns up to eight bytes of a name as a number.
func word(name []byte, start, end int) (w uint64) {
	switch n := end - start; {
	case start+8 <= len(name):
		return binary.LittleEndian.Uint64(name[start:]) & (1<<(8*n) - 1)
	case end >= 8:
		return binary.LittleEndian.Uint64(name[end-8:]) >> (64 - 8*n)
	}
	for i := end - 1; i >= start; i-- {
		w = w<<8 | uint64(name[i])
	}
	return w
}

// hashName is that of a whole canonical name.
func hashName(name []byte) uint64 {
	h := seeds[0]
	for start, part, ok := longer(name, rootOf(name), h); ok; start, part, ok = longer(name, start, part) {
		h = part
	}
	return h
}

// reduce maps a hash to 0…n-1 by its leading bits.
func reduce(h uint64, n int) int {
	hi, _ := bits.Mul64(h, uint64(n))
	return int(hi)
}

func tagOf(h uint64) uint8 { return uint8(h>>32) | 1 }

// bloomMask sets four bits, chosen by the trailing 24 bits of the hash.
func bloomMask(h uint64) uint64 {
	return 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) | 1<<(h>>18&63)
}

// ownMask is a fifth bit.
func ownMask(h uint64) uint64 { return 1 << (h >> 24 & 63) }
