package fault

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"larkspur/engine/record"
)

// place is where a frame begins.
type place struct {
	Shard uint16
	First uint64
}

// truth is what callers of one ledger know: what they tried, what they were told.
type truth struct {
	ledger string
	tries  map[string]int    // content of a frame, and what an erasure leaves of it → how often it was tried
	kept   map[place][]seen  // frames that must be there, byte for byte
	notes  []string          // signed checkpoints
	wanted map[string]string // erasures by their reason → the incident, "" for by age
	asked  map[string]string // those that were taken → their ids
}

func newTruth() *truth {
	return &truth{tries: map[string]int{}, kept: map[place][]seen{}, wanted: map[string]string{}, asked: map[string]string{}}
}

// content names a frame by what its caller wanted.
func content(shard uint16, recs []seen) string {
	var b strings.Builder
	fmt.Fprint(&b, shard)
	for _, r := range recs {
		fmt.Fprintf(&b, " %d:%s", r.Kind, r.Payload)
	}
	return b.String()
}

// remains names a frame by what an erasure leaves of it, which is there before
// and after.
func remains(shard uint16, recs []seen) string {
	var b strings.Builder
	fmt.Fprint(&b, "left ", shard)
	for _, r := range recs {
		if r.Left == "" {
			r.Left = r.Payload
		}
		fmt.Fprintf(&b, " %d:%s", r.Kind, r.Left)
	}
	return b.String()
}

// hear takes one line of a child. A line that was cut by its death says nothing.
func (t *truth) hear(text []byte) (line, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return l, fmt.Errorf("a line of the child: %w", err)
	}
	switch l.Say {
	case "opened":
		if t.ledger != "" && t.ledger != l.Ledger {
			return l, fmt.Errorf("the child has ledger %s, it was %s", l.Ledger, t.ledger)
		}
		t.ledger = l.Ledger
	case "try":
		t.tries[content(l.Shard, l.Recs)]++
		t.tries[remains(l.Shard, l.Recs)]++
	case "ack":
		return l, t.acknowledged(l)
	case "erase":
		t.wanted[l.Text] = l.About
	case "asked":
		t.asked[l.Text] = l.About
	case "signed":
		t.notes = append(t.notes, l.Text)
	}
	return l, nil
}

func (t *truth) acknowledged(l line) error {
	h, err := header(l.Recs[0])
	if err != nil {
		return err
	}
	at := place{h.Shard, h.Record}
	if _, twice := t.kept[at]; twice {
		return fmt.Errorf("record %d of shard %d was acknowledged twice", h.Record, h.Shard)
	}
	t.kept[at] = l.Recs
	return nil
}

func header(s seen) (record.Header, error) {
	b, err := hex.DecodeString(s.Header)
	if err != nil {
		return record.Header{}, err
	}
	return record.ParseHeader(b)
}

// adopt keeps what a check found on the disk that the next process opens: it
// must stay from now on, whether its caller was told or not.
func (t *truth) adopt(found map[place][]seen) {
	for at, recs := range found {
		t.kept[at] = recs
		if h, err := header(recs[0]); err == nil {
			t.ledger = h.Ledger.String()
		}
	}
}
