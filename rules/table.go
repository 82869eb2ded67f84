package rules

import (
	"math/bits"
	"math/rand/v2"
	"unicode/utf8"
)

// table is a set of canonical names that answers whether a given name is one of
// them or lies below one: a blocked Bloom filter of the names and all that stand
// above them, then an open table of offsets into one arena. Hashes run from the
// root label towards the leaf, so that one pass over a name yields those of all
// its suffixes, and ends at the first that the filter does not know. Their seed
// is random, so that nobody can choose names that collide. Ready once built;
// then safe for concurrent reading.
type table struct {
	seed  uint64
	count int
	bloom []uint64 // one word a block, four bits a name
	tags  []uint8  // 0: the slot is free
	slots []uint32 // offset of the entry in arena
	arena []byte   // entries: length, name
}

// newTable makes a table for about n names.
func newTable(n int) *table {
	t := &table{seed: rand.Uint64()}
	t.resize(n)
	return t
}

func (t *table) resize(n int) {
	n = max(n, 8)
	t.bloom = make([]uint64, n/4+1)
	t.tags = make([]uint8, n+n/3+1)
	t.slots = make([]uint32, len(t.tags))
}

// add puts a canonical name in; none is longer than 255 bytes.
func (t *table) add(name string) {
	if t.count >= len(t.slots)-len(t.slots)/4 {
		t.grow()
	}
	h := t.hash(name)
	slot, found := slotOf(t, h, name)
	if found {
		return
	}
	entry := uint32(len(t.arena))
	t.arena = append(append(t.arena, byte(len(name))), name...)
	t.place(name, h, slot, entry)
	t.count++
}

func (t *table) place(name string, h uint64, slot int, entry uint32) {
	t.tags[slot], t.slots[slot] = tagOf(h), entry
	part := t.seed
	for i := len(name) - 1; i >= 0; i-- {
		part = (part ^ uint64(name[i])) * hashPrime
		if i == 0 || name[i-1] == '.' {
			h := finish(part)
			t.bloom[reduce(h, len(t.bloom))] |= bloomMask(h)
		}
	}
}

// grow doubles the table.
func (t *table) grow() {
	t.resize(2 * t.count)
	t.each(func(entry uint32, name string) {
		h := t.hash(name)
		slot, _ := slotOf(t, h, name)
		t.place(name, h, slot, entry)
	})
}

// each visits all names in the order of their coming.
func (t *table) each(visit func(entry uint32, name string)) {
	for at := 0; at < len(t.arena); {
		end := at + 1 + int(t.arena[at])
		visit(uint32(at), string(t.arena[at+1:end]))
		at = end
	}
}

// covers tells whether name equals one of the table's or lies below one. The
// name is ASCII in any case, with or without the trailing dot; escapes must be
// canonical already.
func covers[T ~string | ~[]byte](t *table, name T) bool {
	end := len(name)
	for end > 0 && name[end-1] == '.' {
		end--
	}
	h := t.seed
	for i := end - 1; i >= 0; i-- {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		h = (h ^ uint64(c)) * hashPrime
		if i > 0 && name[i-1] != '.' {
			continue
		}
		full := finish(h)
		if mask := bloomMask(full); t.bloom[reduce(full, len(t.bloom))]&mask != mask {
			return false
		}
		if _, found := slotOf(t, full, name[i:end]); found {
			return true
		}
	}
	return false
}

// slotOf returns where a name stands, or the free slot where it belongs.
func slotOf[T ~string | ~[]byte](t *table, h uint64, name T) (int, bool) {
	tag := tagOf(h)
	for i := reduce(mix(h), len(t.slots)); ; i++ {
		if i == len(t.slots) {
			i = 0
		}
		switch t.tags[i] {
		case 0:
			return i, false
		case tag:
			if equalFold(t.arena, t.slots[i], name) {
				return i, true
			}
		}
	}
}

// equalFold compares an entry with a name of any case.
func equalFold[T ~string | ~[]byte](arena []byte, entry uint32, name T) bool {
	if int(arena[entry]) != len(name) {
		return false
	}
	for i, c := range arena[entry+1 : int(entry)+1+len(name)] {
		d := name[i]
		if d >= 'A' && d <= 'Z' {
			d |= 0x20
		}
		if c != d {
			return false
		}
	}
	return true
}

// needsCanonical tells whether a name has escapes or bytes beyond ASCII, which
// find does not understand.
func needsCanonical[T ~string | ~[]byte](name T) bool {
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' || name[i] >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

const hashPrime = 0x9E3779B97F4A7C15

// hash is that of a whole canonical name, as covers computes it.
func (t *table) hash(name string) uint64 {
	h := t.seed
	for i := len(name) - 1; i >= 0; i-- {
		h = (h ^ uint64(name[i])) * hashPrime
	}
	return finish(h)
}

// finish spreads the entropy over all bits (MurmurHash3's finalizer).
func finish(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// mix gives the table other leading bits than the filter.
func mix(h uint64) uint64 { return h * hashPrime }

// reduce maps a hash to 0…n-1 by its leading bits.
func reduce(h uint64, n int) int {
	hi, _ := bits.Mul64(h, uint64(n))
	return int(hi)
}

func tagOf(h uint64) uint8 { return uint8(h>>24) | 1 }

// bloomMask sets four bits, chosen by the trailing 24 bits of the hash.
func bloomMask(h uint64) uint64 {
	return 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) | 1<<(h>>18&63)
}
