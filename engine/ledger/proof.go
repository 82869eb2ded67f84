package ledger

import (
	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/store"
)

// Root returns the root of the first size records of a shard.
func (l *Ledger) Root(shard uint16, size uint64) (root tlog.Hash, err error) {
	err = l.prove(shard, size, func(read tlog.HashReader) (err error) {
		root, err = tlog.TreeHash(int64(size), read)
		return err
	})
	return root, err
}

// InclusionProof proves that record n of a shard is in the tree of its first
// size records (RFC 6962 §2.1.1): tlog.CheckRecord checks it against Root.
func (l *Ledger) InclusionProof(shard uint16, n, size uint64) (proof tlog.RecordProof, err error) {
	if n >= size {
		return nil, engine.Errorf(engine.Invalid, "ledger: record %d is not among the first %d", n, size)
	}
	err = l.prove(shard, size, func(read tlog.HashReader) (err error) {
		proof, err = tlog.ProveRecord(int64(size), int64(n), read)
		return err
	})
	return proof, err
}

// ConsistencyProof proves that the tree of the first size records of a shard
// begins with that of the first old (RFC 6962 §2.1.2), so that nothing was
// changed between two checkpoints: tlog.CheckTree checks it.
func (l *Ledger) ConsistencyProof(shard uint16, old, size uint64) (proof tlog.TreeProof, err error) {
	if old < 1 || old > size {
		return nil, engine.Errorf(engine.Invalid, "ledger: got a tree of %d in one of %d, want 1 to %d", old, size, size)
	}
	err = l.prove(shard, size, func(read tlog.HashReader) (err error) {
		proof, err = tlog.ProveTree(int64(size), int64(old), read)
		return err
	})
	return proof, err
}

func (l *Ledger) prove(shard uint16, size uint64, do func(tlog.HashReader) error) (err error) {
	defer store.Guard(&err)
	if int(shard) >= l.shards {
		return engine.Errorf(engine.NotFound, "ledger: there is no shard %d", shard)
	}
	m := l.moment()
	defer m.Close()
	if t := m.trees[shard]; size > t.size {
		return engine.Errorf(engine.NotFound, "ledger: shard %d has %d records, not %d", shard, t.size, size)
	}
	if err := do(newHashCache(m, shard)); err != nil {
		return engine.WrapError(engine.Internal, err, "ledger: proving")
	}
	return nil
}

// hashCache reads the hashes of one tree, and keeps the tiles that were read
// last with all that lies between their hashes: proofs of neighbours read the
// same ones again and again.
type hashCache struct {
	tree  *tree
	read  store.Reader
	shard uint16
	tiles map[tileID]wholeTile
	order []tileID // oldest first
}

type tileID struct {
	level int
	index uint64
}

// wholeTile is a tile's hashes and, row by row, the nodes above them; each row
// takes the room that it has in a full tile.
type wholeTile struct {
	have  uint64 // hashes of the tile
	nodes []tlog.Hash
}

// maxCachedTiles of 16 KB each: the edge of a tree of 2^40 records and the path
// to one of its records are ten.
const maxCachedTiles = 32

func newHashCache(m *moment, shard uint16) *hashCache {
	return &hashCache{tree: m.trees[shard], read: m, shard: shard, tiles: map[tileID]wholeTile{}}
}

// ReadHashes implements tlog.HashReader.
func (c *hashCache) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		h, err := c.node(level, uint64(n))
		if err != nil {
			return nil, err
		}
		out[i] = h
	}
	return out, nil
}

// node returns the hash of the n-th complete subtree of 2^level leaves.
func (c *hashCache) node(level int, n uint64) (tlog.Hash, error) {
	within := level % tileHeight
	id := tileID{level / tileHeight, n << within >> tileHeight}
	whole, ok := c.tiles[id]
	if !ok {
		hashes, err := c.tree.tile(c.read, c.shard, id.level, id.index)
		if err != nil {
			return tlog.Hash{}, err
		}
		whole = wholeTile{uint64(len(hashes)), between(hashes)}
		c.keep(id, whole)
	}
	// Row r of a tile begins where the rows below it, of halving width, end.
	row := 2*tileWidth - 2*tileWidth>>within
	at := n - id.index<<(tileHeight-within)
	if (at+1)<<within > whole.have {
		return tlog.Hash{}, c.tree.noNode(c.shard, level, n)
	}
	return whole.nodes[row+int(at)], nil
}

func (c *hashCache) keep(id tileID, whole wholeTile) {
	if len(c.order) == maxCachedTiles {
		delete(c.tiles, c.order[0])
		c.order = append(c.order[:0], c.order[1:]...)
	}
	c.tiles[id] = whole
	c.order = append(c.order, id)
}

// between returns a tile's hashes and the complete nodes above them.
func between(hashes []tlog.Hash) []tlog.Hash {
	nodes := make([]tlog.Hash, 2*tileWidth)
	copy(nodes, hashes)
	below, have := nodes, len(hashes)
	for width := tileWidth / 2; width > 0; width /= 2 {
		row := below[2*width:]
		have /= 2
		for i := range have {
			row[i] = tlog.NodeHash(below[2*i], below[2*i+1])
		}
		below = row
	}
	return nodes
}
