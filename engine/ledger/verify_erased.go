package ledger

import (
	"cmp"
	"slices"

	"larkspur/engine/record"
)

// Word says on whose word records of an export are erased, and why.
type Word struct {
	By, Because string
	Records     uint64
}

// maxWords bounds the words of a report; what is beyond them counts as the last.
const maxWords = 200

// gone is a set of records, by shard and page of numbers.
type gone map[gonePage]*[gonePageBits / 64]uint64

type gonePage struct {
	shard uint16
	page  uint64
}

const gonePageBits = 4096

func (g gone) add(shard uint16, n uint64) {
	at := gonePage{shard, n / gonePageBits}
	if g[at] == nil {
		g[at] = new([gonePageBits / 64]uint64)
	}
	g[at][n%gonePageBits/64] |= 1 << (n % 64)
}

// take removes a record, and reports whether it was there.
func (g gone) take(shard uint16, n uint64) bool {
	page, bit := g[gonePage{shard, n / gonePageBits}], uint64(1)<<(n%64)
	if page == nil || page[n%gonePageBits/64]&bit == 0 {
		return false
	}
	page[n%gonePageBits/64] &^= bit
	return true
}

// heed notes an erased record, or takes an erasure's word for those it names:
// it comes after them. Both lines were verified, or are findings.
func (v *verifier) heed(l *recordLine) {
	if l.Erased {
		v.gone.add(l.Shard, l.Record)
		v.report.Erased++
		v.report.Unsaid++
		return
	}
	if l.Kind != record.ErasedKind {
		return
	}
	p, err := record.Unmarshal[record.Erased](l.Payload)
	if err != nil {
		return // its content is the box's own
	}
	word := Word{By: p.By, Because: p.Because}
	for _, span := range p.Spans {
		for i := range span.Left {
			if v.gone.take(l.Shard, span.First+uint64(i)) {
				word.Records++
				v.report.Unsaid--
			}
		}
	}
	v.report.addWord(word)
}

func (r *Report) addWord(w Word) {
	if w.Records == 0 {
		return
	}
	at := slices.IndexFunc(r.Words, func(x Word) bool { return x.By == w.By && x.Because == w.Because })
	if at < 0 && len(r.Words) == maxWords {
		at = maxWords - 1
		r.Words[at].By, r.Words[at].Because = "others", "of other reasons"
	}
	if at < 0 {
		r.Words = append(r.Words, w)
		return
	}
	r.Words[at].Records += w.Records
}

// sortWords puts the words with the most records first.
func (r *Report) sortWords() {
	slices.SortStableFunc(r.Words, func(a, b Word) int { return cmp.Compare(b.Records, a.Records) })
}
