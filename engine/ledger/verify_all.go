package ledger

import (
	"slices"
	"sort"

	"golang.org/x/mod/sumdb/tlog"
)

// complete checks a complete export, block by block: 256 records, and the hashes
// that the tree holds of them.
type complete struct {
	v     *verifier
	shard int // -1 before the first
	size  uint64
	tree  *tree         // its tails; nil when they are missing or damaged
	tiles map[int]*tile // the open ones above the blocks, by level
	block *block
	next  uint64 // number of the next block
	stray int    // line of the last record that belongs to the last block and stood before it
}

// tile is a tile of the export; its hashes are nil when they cannot be trusted.
type tile struct {
	index  uint64
	hashes []tlog.Hash
}

// block is up to 256 records below one tile.
type block struct {
	shard    uint16
	index    uint64
	line     int         // where it begins
	leaves   []tlog.Hash // as the tree holds them; nil when they cannot be trusted
	parent   *tlog.Hash  // what they must fold to
	got      []int       // line of each record; 0: not there
	order    []int       // records as they came
	computed []tlog.Hash // of the records, for blocks without leaves
	forged   []place
	unread   []unread
}

// place is a record that says where it belongs, and is not what belongs there.
type place struct{ at, line int }

type unread struct {
	line int
	why  string
}

// maxStrays bounds what a block remembers of lines that do not belong.
const maxStrays = 2 * tileWidth

func (c *complete) proves() error { return nil }

func (c *complete) proof(p *proofLine) {
	if p.tails != nil {
		c.openShard(*p.tails)
		return
	}
	c.openTile(p)
}

func (c *complete) openShard(t tailsLine) {
	if int(t.Shard) <= c.shard {
		c.v.found(c.v.n, "proof", Duplicated, "shard %d was there before", t.Shard)
		return
	}
	if int(t.Shard) >= len(c.v.check.Shards) {
		c.v.found(c.v.n, "proof", Inserted, "the ledger has no shard %d", t.Shard)
		return
	}
	c.turnTo(int(t.Shard))
	want := c.v.check.Shards[t.Shard]
	if tree, ok := treeOf(t); ok && tree.size == want.Size {
		c.tree = tree
	}
	root, ok := tlog.Hash{}, c.tree != nil
	if ok {
		var err error
		root, err = c.tree.root(nil, t.Shard, c.tree.size)
		ok = err == nil
	}
	if !ok || root != want.Root {
		c.v.found(c.v.n, "proof", Forged, "the tree of shard %d does not have the root that the checkpoint signs", t.Shard)
	}
}

// treeOf reads the unfinished tiles of a tree: of each level what its size says.
func treeOf(t tailsLine) (*tree, bool) {
	tree := &tree{size: t.Size}
	for level := 0; level < len(t.Tails); level++ {
		hashes, ok := hashesOf(t.Tails[level])
		if !ok || level > 0 && t.Size>>(tileHeight*level) == 0 || uint64(len(hashes)) != t.Size>>(tileHeight*level)%tileWidth {
			return nil, false
		}
		tree.tails = append(tree.tails, hashes)
	}
	return tree, t.Size>>(tileHeight*len(tree.tails)) == 0
}

// turnTo ends the present shard and begins another one.
func (c *complete) turnTo(shard int) {
	c.endShard()
	for c.shard++; c.shard < shard; c.shard++ {
		c.missing(uint16(c.shard), 0, c.v.check.Shards[c.shard].Size)
	}
	c.tree, c.tiles, c.block, c.next = nil, map[int]*tile{}, nil, 0
	if shard < len(c.v.check.Shards) {
		c.size = c.v.check.Shards[shard].Size
	}
}

func (c *complete) missing(shard uint16, from, until uint64) {
	if from < until {
		c.v.found(c.v.n, recordsName(shard, from, until-1), Missing, "not there before this line")
	}
}

func (c *complete) endShard() {
	if c.shard < 0 || c.shard >= len(c.v.check.Shards) {
		return
	}
	c.endBlock()
	c.missing(uint16(c.shard), min(c.next*tileWidth, c.size), c.size)
}

func (c *complete) openTile(p *proofLine) {
	t := &p.tile
	if int(t.Shard) != c.shard || t.Index >= c.size>>(tileHeight*(t.Level+1)) {
		c.v.found(c.v.n, "proof", Inserted, "tile %d/%d of shard %d does not belong here", t.Level, t.Index, t.Shard)
		return
	}
	hashes := p.hashes
	parent, known := c.node(t.Level+1, t.Index)
	first, last := t.Index<<(tileHeight*(t.Level+1)), (t.Index+1)<<(tileHeight*(t.Level+1))-1
	if known && p.above != parent {
		c.v.found(c.v.n, "proof", Forged, "the hashes of %s do not lie under the signed root", recordsName(t.Shard, first, last))
		hashes = nil
	}
	if t.Level > 0 {
		c.endBlock()
		c.tiles[t.Level] = &tile{t.Index, hashes}
		return
	}
	if c.block != nil && c.block.index == t.Index {
		c.v.found(c.v.n, "proof", Duplicated, "the hashes of %s were there before", recordsName(t.Shard, first, last))
		return
	}
	c.openBlock(t.Index, hashes)
	if known {
		c.block.parent = &parent
	}
}

// node returns the n-th hash of a level of tiles, if it is known.
func (c *complete) node(level int, n uint64) (tlog.Hash, bool) {
	if n>>tileHeight == c.size>>(tileHeight*(level+1)) {
		if c.tree == nil {
			return tlog.Hash{}, false
		}
		return c.tree.tails[level][n%tileWidth], true
	}
	t := c.tiles[level]
	if t == nil || t.index != n>>tileHeight {
		c.v.found(c.v.n, "proof", Missing, "tile %d/%d of shard %d should stand before this line", level, n>>tileHeight, c.shard)
		c.tiles[level] = &tile{index: n >> tileHeight}
		return tlog.Hash{}, false
	}
	if t.hashes == nil {
		return tlog.Hash{}, false
	}
	return t.hashes[n%tileWidth], true
}

func (c *complete) openBlock(index uint64, leaves []tlog.Hash) {
	c.endBlock()
	switch {
	case index > c.next:
		c.missing(uint16(c.shard), c.next*tileWidth, index*tileWidth)
	case index < c.next:
		c.v.found(c.v.n, recordsName(uint16(c.shard), index*tileWidth, (index+1)*tileWidth-1), Reordered, "they, or others of their numbers, were due before")
	}
	count := min(tileWidth, c.size-index*tileWidth)
	c.next = max(c.next, index+1)
	c.block = &block{
		shard: uint16(c.shard), index: index, line: c.v.n, leaves: leaves,
		got: make([]int, count), order: make([]int, 0, count),
	}
	if leaves == nil {
		c.block.computed = make([]tlog.Hash, count)
	}
}

func (c *complete) unreadable(why string) {
	if b := c.block; b != nil && len(b.unread) < maxStrays {
		b.unread = append(b.unread, unread{c.v.n, why})
		return
	}
	c.v.found(c.v.n, "line", Malformed, "%s", why)
}

func (c *complete) record(l *recordLine, leaf tlog.Hash) {
	c.turnByRecord(l, leaf)
	if c.shard >= 0 && int(l.Shard) == c.shard {
		c.openByRecord(l, leaf)
	}
	b := c.block
	switch {
	case l.Edge || len(l.Proof) > 0:
		c.v.found(c.v.n, recordName(l.Shard, l.Record), Malformed, "complete exports have no such record")
	case b == nil:
		c.v.found(c.v.n, recordName(l.Shard, l.Record), Inserted, "it does not belong here")
	case b.leaves == nil:
		b.addUnknown(c.v, l, leaf)
	default:
		b.add(c.v, l, leaf)
	}
}

// turnByRecord begins the next shard although its tails are missing.
func (c *complete) turnByRecord(l *recordLine, leaf tlog.Hash) {
	if int(l.Shard) == c.shard+1 && int(l.Shard) < len(c.v.check.Shards) && l.Record == 0 && leaf == l.Leaf {
		c.turnTo(int(l.Shard))
		c.v.found(c.v.n, "proof", Missing, "the tails of shard %d should stand before this line", l.Shard)
	}
}

// openByRecord begins a block that has no tile: the last one, or one whose tile
// is missing.
func (c *complete) openByRecord(l *recordLine, leaf tlog.Hash) {
	index := l.Record / tileWidth
	if l.Record >= c.size || c.block != nil && c.block.index == index {
		return
	}
	due := index == c.next && leaf == l.Leaf && (c.block == nil || c.block.full() || l.Record%tileWidth == 0)
	if index != c.size/tileWidth {
		if due {
			parent, known := c.node(1, index)
			c.v.found(c.v.n, "proof", Missing, "the hashes of %s should stand before this line", recordsName(l.Shard, index*tileWidth, (index+1)*tileWidth-1))
			c.openBlock(index, nil)
			if known {
				c.block.parent = &parent
			}
		}
		return
	}
	if c.tree == nil {
		if due {
			c.openBlock(index, nil)
		}
		return
	}
	if ours := slices.Contains(c.tree.tails[0], leaf) || slices.Contains(c.tree.tails[0], l.Leaf); ours && !due {
		// One alone may have been moved here; two show that the last block begins.
		due = c.block == nil || c.stray == c.v.n-1
		c.stray = c.v.n
	}
	if due {
		c.openBlock(index, c.tree.tails[0])
	}
}

func (b *block) full() bool { return len(b.order) == len(b.got) }

func (b *block) first() uint64 { return b.index * tileWidth }

// at returns where in the block a record says that it belongs.
func (b *block) at(l *recordLine) (int, bool) {
	n := l.Record - b.first()
	return int(n), l.Shard == b.shard && l.Record >= b.first() && n < uint64(len(b.got))
}

func (b *block) take(at, line int) {
	b.got[at] = line
	b.order = append(b.order, at)
}

// add checks a record against the leaves of the tree.
func (b *block) add(v *verifier, l *recordLine, leaf tlog.Hash) {
	at, within := b.at(l)
	if within && leaf == b.leaves[at] && b.got[at] == 0 && l.Leaf == leaf {
		b.take(at, v.n)
		return
	}
	name := recordName(l.Shard, l.Record)
	if within && leaf == b.leaves[at] {
		if b.got[at] != 0 {
			v.found(v.n, name, Duplicated, "it was there before, line %d", b.got[at])
			return
		}
		v.found(v.n, name, Changed, "the leaf written with it; its content is what the ledger holds")
		b.take(at, v.n)
		return
	}
	if truly := slices.Index(b.leaves, l.Leaf); truly >= 0 {
		b.addChanged(v, l, truly)
		return
	}
	if within && len(b.forged) < maxStrays {
		b.forged = append(b.forged, place{at, v.n})
		return
	}
	v.found(v.n, name, Inserted, "it does not belong here")
}

// addChanged takes a record whose leaf says which one it was.
func (b *block) addChanged(v *verifier, l *recordLine, at int) {
	name := recordName(b.shard, b.first()+uint64(at))
	if b.got[at] != 0 {
		v.found(v.n, name, Inserted, "a changed copy of the one in line %d", b.got[at])
		return
	}
	b.take(at, v.n)
	if n := b.first() + uint64(at); l.Shard != b.shard || l.Record != n {
		v.found(v.n, name, Changed, "it says that it is %s", recordName(l.Shard, l.Record))
		return
	}
	v.found(v.n, name, Changed, "its content is not what the ledger holds")
}

// addUnknown takes a record of a block whose leaves are not known.
func (b *block) addUnknown(v *verifier, l *recordLine, leaf tlog.Hash) {
	at, within := b.at(l)
	name := recordName(l.Shard, l.Record)
	switch {
	case !within:
		v.found(v.n, name, Inserted, "it does not belong here")
		return
	case b.got[at] != 0:
		v.found(v.n, name, Duplicated, "there was one of this number before, line %d", b.got[at])
		return
	case leaf != l.Leaf:
		v.found(v.n, name, Changed, "its content does not have the leaf written with it")
	}
	b.computed[at] = leaf
	b.take(at, v.n)
}

// endBlock tells what is wrong with a block as a whole.
func (c *complete) endBlock() {
	b := c.block
	if c.block = nil; b == nil {
		return
	}
	for _, f := range b.forged {
		name := recordName(b.shard, b.first()+uint64(f.at))
		if b.got[f.at] != 0 {
			c.v.found(f.line, name, Inserted, "the true one is in line %d", b.got[f.at])
			continue
		}
		b.take(f.at, f.line)
		c.v.found(f.line, name, Forged, "neither its content nor its leaf is what the ledger holds")
	}
	b.tellMissing(c.v)
	b.tellOrder(c.v)
	if b.leaves == nil && b.parent != nil && b.full() && fold(b.computed) != *b.parent {
		c.v.found(b.line, recordsName(b.shard, b.first(), b.first()+uint64(len(b.got))-1), Forged,
			"at least one of them is not what the ledger holds; without their hashes it cannot be said which")
	}
}

// tellMissing names what is not there. Lines that cannot be read are taken for
// what is missing, when their numbers agree.
func (b *block) tellMissing(v *verifier) {
	var gone []int
	for at, line := range b.got {
		if line == 0 {
			gone = append(gone, at)
		}
	}
	for i, u := range b.unread {
		if len(gone) == len(b.unread) {
			v.found(u.line, recordName(b.shard, b.first()+uint64(gone[i])), Changed, "the line cannot be read: %s", u.why)
			continue
		}
		v.found(u.line, "line", Malformed, "%s", u.why)
	}
	if len(gone) == len(b.unread) {
		return
	}
	for i := 0; i < len(gone); {
		j := i + 1
		for j < len(gone) && gone[j] == gone[j-1]+1 {
			j++
		}
		line := b.line
		if gone[i] > 0 {
			line = max(line, b.got[gone[i]-1])
		}
		v.found(line, recordsName(b.shard, b.first()+uint64(gone[i]), b.first()+uint64(gone[j-1])), Missing, "not there after this line")
		i = j
	}
}

// tellOrder names the fewest records whose places explain the order in which
// the block's records came: all but a longest increasing subsequence.
func (b *block) tellOrder(v *verifier) {
	if len(b.forged) == 0 && slices.IsSorted(b.order) {
		return // they are taken in the order of their lines
	}
	slices.SortStableFunc(b.order, func(x, y int) int { return b.got[x] - b.got[y] })
	if slices.IsSorted(b.order) {
		return
	}
	var ends []int // ends[k]: where in order the best run of k+1 ends
	before := make([]int, len(b.order))
	for i, at := range b.order {
		k := sort.Search(len(ends), func(k int) bool { return b.order[ends[k]] > at })
		before[i] = -1
		if k > 0 {
			before[i] = ends[k-1]
		}
		if k == len(ends) {
			ends = append(ends, i)
		}
		ends[k] = i
	}
	kept := make([]bool, len(b.order))
	for i := ends[len(ends)-1]; i >= 0; i = before[i] {
		kept[i] = true
	}
	for i, at := range b.order {
		if !kept[i] {
			v.found(b.got[at], recordName(b.shard, b.first()+uint64(at)), Reordered, "it stands at another place than in the ledger")
		}
	}
}

func (c *complete) finish() {
	if c.shard < len(c.v.check.Shards) {
		c.turnTo(len(c.v.check.Shards))
	}
}
