package ledger

import (
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
)

// partial checks an export in which each record carries its own proof. Of a
// range it also checks that nothing was left out: numbers follow each other, and
// the edges show that the neighbours lie outside of the range.
type partial struct {
	v      *verifier
	span   bool // a range: numbers must follow each other
	shard  int  // -1 before the first
	begun  bool // there was a record of the shard
	first  uint64
	line   int // of the first
	next   uint64
	last   time.Time
	before bool // whether the records seen begin where the range does
	after  bool // whether they end where it ends
	gaps   []gap
	lines  map[uint64]int // of records by number, as far as there is room
	unread []unread
}

// gap is what was not there when its place came.
type gap struct {
	from, until uint64
	line        int
}

// maxRemembered bounds the lines that a partial check remembers.
const maxRemembered = 1 << 16

func newPartial(v *verifier) *partial {
	return &partial{v: v, span: v.header.Scope == ScopeRange, shard: -1}
}

func (p *partial) proof(*proofLine) {}

func (p *partial) proves() error {
	return engine.Errorf(engine.Invalid, "exports of some records have no such line")
}

func (p *partial) unreadable(why string) {
	if p.span && len(p.unread) < maxStrays {
		p.unread = append(p.unread, unread{p.v.n, why})
		return
	}
	p.v.found(p.v.n, "line", Malformed, "%s", why)
}

func (p *partial) record(l *recordLine, leaf tlog.Hash) {
	shard, n, ok := p.place(l, leaf)
	if !ok {
		return
	}
	if shard > p.shard {
		p.turnTo(shard)
	}
	if shard < p.shard {
		p.v.found(p.v.n, recordName(uint16(shard), n), Reordered, "it stands after records of shard %d", p.shard)
		return
	}
	if p.inOrder(n) {
		p.limits(l, n)
	}
}

// place checks a record's proof, and returns where in the ledger it belongs;
// false when nothing shows it.
func (p *partial) place(l *recordLine, leaf tlog.Hash) (shard int, n uint64, ok bool) {
	name := recordName(l.Shard, l.Record)
	switch shard = int(l.Shard); {
	case p.leads(l, shard, l.Record, leaf):
		if leaf != l.Leaf {
			p.v.found(p.v.n, name, Changed, "the leaf written with it; its content is what the ledger holds")
		}
		return shard, l.Record, true
	case p.leads(l, shard, l.Record, l.Leaf):
		p.v.found(p.v.n, name, Changed, "its content is not what the ledger holds")
		return shard, l.Record, true
	case p.leads(l, p.shard, p.next, l.Leaf):
		p.v.found(p.v.n, recordName(uint16(p.shard), p.next), Changed, "it says that it is %s", name)
		return p.shard, p.next, true
	case shard >= len(p.v.check.Shards) || l.Record >= p.v.check.Shards[shard].Size:
		p.v.found(p.v.n, name, Inserted, "the checkpoint does not cover it")
	case leaf == l.Leaf:
		p.v.found(p.v.n, name, Forged, "its proof does not lead to the signed root")
	default:
		p.v.found(p.v.n, name, Changed, "neither its content nor its proof is what the ledger holds")
	}
	return shard, l.Record, p.begun && shard == p.shard && l.Record == p.next
}

func (p *partial) leads(l *recordLine, shard int, n uint64, leaf tlog.Hash) bool {
	if shard < 0 || shard >= len(p.v.check.Shards) {
		return false
	}
	s := p.v.check.Shards[shard]
	return n < s.Size && tlog.CheckRecord(l.Proof, int64(s.Size), s.Root, int64(n), leaf) == nil
}

// inOrder checks that a record follows the one before; false when it does not
// and was told.
func (p *partial) inOrder(n uint64) bool {
	if p.begun && n < p.next {
		p.late(n)
		return false
	}
	if !p.begun {
		p.first, p.line = n, p.v.n
	}
	if p.begun && p.span && n > p.next {
		p.skipped(n)
	}
	p.begun, p.next = true, n+1
	if len(p.lines) < maxRemembered {
		p.lines[n] = p.v.n
	}
	return true
}

// skipped remembers a gap, or takes the lines that could not be read for it.
func (p *partial) skipped(n uint64) {
	if n > p.next && uint64(len(p.unread)) == n-p.next {
		for i, u := range p.unread {
			p.v.found(u.line, recordName(uint16(p.shard), p.next+uint64(i)), Changed, "the line cannot be read: %s", u.why)
		}
		p.unread = p.unread[:0]
		return
	}
	if len(p.gaps) < maxFindings {
		p.gaps = append(p.gaps, gap{p.next, n, p.v.n})
		return
	}
	p.v.found(p.v.n, recordsName(uint16(p.shard), p.next, n-1), Missing, "not there before this line")
}

// late tells of a record that comes after a later one.
func (p *partial) late(n uint64) {
	name := recordName(uint16(p.shard), n)
	if line, ok := p.lines[n]; ok {
		p.v.found(p.v.n, name, Duplicated, "it was there before, line %d", line)
		return
	}
	for i, g := range p.gaps {
		if n < g.from || n >= g.until {
			continue
		}
		p.gaps[i].until = n
		p.gaps = append(p.gaps, gap{n + 1, g.until, g.line})
		break
	}
	if len(p.lines) < maxRemembered {
		p.lines[n] = p.v.n
	}
	p.v.found(p.v.n, name, Reordered, "it stands after a later one")
}

// limits checks a record's time against the range, and what the edges show.
func (p *partial) limits(l *recordLine, n uint64) {
	f := p.v.header.Filter
	early := !f.Since.IsZero() && l.Time.Before(f.Since)
	late := !f.Until.IsZero() && !l.Time.Before(f.Until)
	name := recordName(uint16(p.shard), n)
	switch {
	case l.Edge && (!p.span || !early && !late):
		p.v.found(p.v.n, name, Changed, "its content was taken away; only neighbours of the range come without")
	case !l.Edge && (early || late):
		p.v.found(p.v.n, name, Inserted, "its time is outside of the range")
	case l.Time.Before(p.last):
		p.v.found(p.v.n, name, Changed, "its time is before that of an earlier record")
	}
	if n == 0 || l.Edge && early {
		p.before = true
	}
	p.after = n+1 == p.v.check.Shards[p.shard].Size || l.Edge && late
	p.last = l.Time
}

func (p *partial) turnTo(shard int) {
	p.endShard()
	for p.shard++; p.shard < shard; p.shard++ {
		p.begun, p.before, p.after = false, false, false
		p.endShard()
	}
	p.begun, p.next, p.last, p.before, p.after = false, 0, time.Time{}, false, false
	p.lines = map[uint64]int{}
}

// endShard tells what was left out of a shard.
func (p *partial) endShard() {
	if p.begun && len(p.unread) > 0 {
		if size := p.v.check.Shards[p.shard].Size; size == p.next+uint64(len(p.unread)) {
			p.skipped(size)
			p.next, p.after = size, true
		}
	}
	for _, u := range p.unread {
		p.v.found(u.line, "line", Malformed, "%s", u.why)
	}
	for _, g := range p.gaps {
		if g.from < g.until {
			p.v.found(g.line, recordsName(uint16(p.shard), g.from, g.until-1), Missing, "not there before this line")
		}
	}
	p.unread, p.gaps = nil, nil
	if !p.span || p.shard < 0 || p.v.check.Shards[p.shard].Size == 0 {
		return
	}
	shard := uint16(p.shard)
	switch {
	case !p.begun:
		p.v.found(p.v.n, recordsName(shard, 0, p.v.check.Shards[p.shard].Size-1), Missing, "nothing shows which of them are of the range")
	case !p.after:
		p.v.found(p.v.n, recordName(shard, p.next), Missing, "nothing shows that it, or what follows it, lies outside of the range")
	}
	if p.begun && !p.before {
		p.v.found(p.line, recordName(shard, max(p.first, 1)-1), Missing, "nothing shows that it, or what precedes it, lies outside of the range")
	}
}

func (p *partial) finish() { p.turnTo(len(p.v.check.Shards)) }
