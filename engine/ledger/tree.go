package ledger

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine/store"
)

// tileHeight: a tile holds the 256 hashes below one node eight levels up.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// tree is the Merkle tree (RFC 6962 §2.1) of one shard. Full tiles lie in the
// store; the hashes of the last, unfinished tile of each level are kept here
// and computed anew when the ledger is opened.
type tree struct {
	size  uint64
	tails [][]tlog.Hash
}

// clone returns a copy that may grow while t stays as it is. They share their
// hashes: growing writes behind the end of t's tails alone. Of two clones of one
// tree only the last may be used: the ledger grows one tree a shard, and forgets
// what it did not commit.
func (t *tree) clone() *tree {
	return &tree{size: t.size, tails: slices.Clone(t.tails)}
}

// grow adds a leaf and stages the tiles that it completes.
func (t *tree) grow(w *store.Batch, shard uint16, leaf tlog.Hash) {
	t.size++
	for level, h := 0, leaf; ; level++ {
		if level == len(t.tails) {
			t.tails = append(t.tails, nil)
		}
		if t.tails[level] == nil {
			t.tails[level] = make([]tlog.Hash, 0, tileWidth)
		}
		t.tails[level] = append(t.tails[level], h)
		if len(t.tails[level]) < tileWidth {
			return
		}
		index := t.size>>(tileHeight*(level+1)) - 1
		w.Set(tileKey(shard, level, index), encodeTile(t.tails[level]))
		h = fold(t.tails[level])
		t.tails[level] = nil
	}
}

func encodeTile(hashes []tlog.Hash) []byte {
	b := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

func decodeTile(b []byte) []tlog.Hash {
	hashes := make([]tlog.Hash, len(b)/tlog.HashSize)
	for i := range hashes {
		copy(hashes[i][:], b[i*tlog.HashSize:])
	}
	return hashes
}

// fold returns the node above a power of two of hashes.
func fold(hashes []tlog.Hash) tlog.Hash {
	level := slices.Clone(hashes)
	for len(level) > 1 {
		for i := 0; i < len(level)/2; i++ {
			level[i] = tlog.NodeHash(level[2*i], level[2*i+1])
		}
		level = level[:len(level)/2]
	}
	return level[0]
}

// loadTree rebuilds the tails of a tree of the given size: the last leaves from
// their records, higher levels from the tiles below.
func loadTree(r store.Reader, shard uint16, size uint64, leaf func(record uint64) (tlog.Hash, error)) (*tree, error) {
	t := &tree{size: size}
	for level := 0; level == 0 || size>>(tileHeight*level) > 0; level++ {
		count := size >> (tileHeight * level)
		var tail []tlog.Hash
		for i := count &^ (tileWidth - 1); i < count; i++ {
			h, err := t.loadNode(r, shard, level, i, leaf)
			if err != nil {
				return nil, err
			}
			tail = append(tail, h)
		}
		t.tails = append(t.tails, tail)
	}
	return t, nil
}

func (t *tree) loadNode(r store.Reader, shard uint16, level int, index uint64, leaf func(uint64) (tlog.Hash, error)) (tlog.Hash, error) {
	if level == 0 {
		return leaf(index)
	}
	b, ok := r.Get(tileKey(shard, level-1, index))
	if !ok || len(b) != tileWidth*tlog.HashSize {
		return tlog.Hash{}, fmt.Errorf("shard %d: tile %d/%d is missing or short", shard, level-1, index)
	}
	return fold(decodeTile(b)), nil
}

// reader answers tlog's questions for stored hashes from tiles and tails.
func (t *tree) reader(r store.Reader, shard uint16) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			level, n := tlog.SplitStoredHashIndex(index)
			h, err := t.node(r, shard, level, uint64(n))
			if err != nil {
				return nil, err
			}
			out[i] = h
		}
		return out, nil
	})
}

// node returns the hash of the n-th complete subtree of 2^level leaves.
func (t *tree) node(r store.Reader, shard uint16, level int, n uint64) (tlog.Hash, error) {
	tileLevel := level / tileHeight
	width := uint64(1) << (level % tileHeight)
	first := n * width
	index := first >> tileHeight
	hashes, err := t.tile(r, shard, tileLevel, index)
	if err != nil {
		return tlog.Hash{}, err
	}
	at := first - index<<tileHeight
	if at+width > uint64(len(hashes)) {
		return tlog.Hash{}, t.noNode(shard, level, n)
	}
	return fold(hashes[at : at+width]), nil
}

func (t *tree) noNode(shard uint16, level int, n uint64) error {
	return fmt.Errorf("shard %d: the tree of %d leaves has no node %d/%d", shard, t.size, level, n)
}

func (t *tree) tile(r store.Reader, shard uint16, level int, index uint64) ([]tlog.Hash, error) {
	if index == t.size>>(tileHeight*(level+1)) && level < len(t.tails) {
		return t.tails[level], nil
	}
	b, ok := r.Get(tileKey(shard, level, index))
	if !ok || len(b) != tileWidth*tlog.HashSize {
		return nil, fmt.Errorf("shard %d: tile %d/%d is missing or short", shard, level, index)
	}
	return decodeTile(b), nil
}

// root returns the root of the tree's first size leaves.
func (t *tree) root(r store.Reader, shard uint16, size uint64) (tlog.Hash, error) {
	return tlog.TreeHash(int64(size), t.reader(r, shard))
}
