package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// An erasure takes payload and salt of records away and leaves their digest, so
// that the tree stands. It is a record itself: in the transaction that writes it
// the payloads are overwritten with nothing, and Purge then drops them from the
// store's files. What stays of each payload (record.Residue) is part of the
// erasure's record, and lies beside the digest for quick reading.

// Erasure says what became of an erased record.
type Erasure struct {
	Because string      `json:"because"`
	Left    engine.Data `json:"left,omitempty"` // what stays of its payload
	Name    string      `json:"name"`           // record.Erased.Erasure
	Record  uint64      `json:"record"`         // the erasure's own, in the same shard
	Time    time.Time   `json:"time"`
}

// remains is what lies in place of an erased payload.
type remains struct {
	Erasure
	digest [sha256.Size]byte
	number uint64
}

func (r *remains) append() []byte {
	return append(slices.Clone(r.digest[:]), record.Marshal(r.Erasure)...)
}

// parseRemains reads what append wrote, and the bare digests of the first
// version.
func parseRemains(b []byte) (r remains, err error) {
	if len(b) < sha256.Size {
		return r, engine.Errorf(engine.Internal, "what is left of an erased payload has %d bytes", len(b))
	}
	r.digest = [sha256.Size]byte(b)
	if len(b) > sha256.Size {
		err = json.Unmarshal(b[sha256.Size:], &r.Erasure)
	}
	return r, err
}

// Bounds of one record of an erasure: it and what it does fit a transaction.
const (
	maxErasedRecords = 512
	maxResidueBytes  = 96 << 10
)

// Erase appends records of an erasure, at least one, each with as many of the
// records numbers as a frame takes, and returns them. Records that are erased
// already, and those of which nothing could go, are left out. When the projector
// gives one no effect, it erased nothing, and is the last one.
//
// What is gone is not in any answer any more, but still in files and in former
// projections: make these anew, then Purge.
func (l *Ledger) Erase(ctx context.Context, shard uint16, e record.Erased, numbers []uint64) (done []Record, err error) {
	numbers = slices.Compact(slices.Sorted(slices.Values(numbers)))
	e.Spans = nil
	records := []New{{record.ErasedKind, record.Marshal(e)}}
	for first := true; first || len(numbers) > 0; first = false {
		if err := ctx.Err(); err != nil {
			return done, engine.WrapError(engine.Timeout, err, "ledger: erasing")
		}
		if err := l.check(shard, records); err != nil {
			return done, err
		}
		req := &request{shard: shard, records: records, erase: &erasing{Erased: e, numbers: numbers}}
		written, err := l.enqueue(req)
		if err != nil {
			return done, err
		}
		done = append(done, written...)
		if numbers = numbers[req.erase.taken:]; !applied(written[0]) {
			return done, nil
		}
	}
	return done, nil
}

// erasing is what a request erases: numbers, in order, of which the frame took
// the first.
type erasing struct {
	record.Erased
	numbers []uint64
	taken   int
}

// plan finds what goes and what stays of each record, and completes the payload
// of the erasure's record. It is asked again when a frame is staged again.
func (e *erasing) plan(r store.Reader, shard uint16) (gone []remains, payload []byte, err error) {
	e.Spans, e.taken = nil, 0
	bytes := 0
	for _, n := range e.numbers {
		if len(gone) == maxErasedRecords || bytes > maxResidueBytes {
			break
		}
		e.taken++
		rec, err := load(r, shard, n)
		if err != nil {
			return nil, nil, err
		}
		if rec.Erased {
			continue
		}
		left, err := record.Residue(rec.Header.Kind, rec.Payload)
		if err != nil {
			return nil, nil, err
		}
		if left != nil {
			gone = append(gone, remains{digest: rec.payloadDigest(), number: n, Erasure: Erasure{Left: left}})
			bytes += len(left)
			e.add(n, left)
		}
	}
	return gone, record.Marshal(e.Erased), nil
}

func (e *erasing) add(n uint64, left []byte) {
	if last := len(e.Spans) - 1; last >= 0 && e.Spans[last].Last()+1 == n {
		e.Spans[last].Left = append(e.Spans[last].Left, left)
		return
	}
	e.Spans = append(e.Spans, record.Span{First: n, Left: []engine.Data{left}})
}

// do erases within the transaction that writes the erasure's record.
func (e *erasing) do(tx *store.Batch, by Record, gone []remains) {
	if !applied(by) {
		return
	}
	for _, r := range gone {
		r.Because, r.Name, r.Record, r.Time = e.Because, e.Erasure, by.Header.Record, by.Header.Time
		tx.Set(recordKey(classErased, by.Header.Shard, r.number), r.append())
		tx.Set(recordKey(classPayload, by.Header.Shard, r.number), nil)
	}
}

func applied(r Record) bool {
	o, err := record.Unmarshal[record.Outcome](r.Outcome)
	return err == nil && o.Applied
}

// Purge drops from the store's files what records of an erasure erased; by are
// their numbers. It may be done again. rest is called from time to time, with
// how many records are dropped; an error of it ends Purge.
func (l *Ledger) Purge(shard uint16, by []uint64, rest func(done int) error) (err error) {
	defer store.Guard(&err)
	keys, err := l.erasedKeys(shard, by)
	if err == nil {
		err = l.blank(keys)
	}
	if err != nil {
		return err
	}
	return l.cfg.Store.Purge(keys, rest)
}

// Blank makes sure that what records of an erasure erased is read by nobody: a
// crash in a Purge may have taken the newer, empty payloads first.
func (l *Ledger) Blank(shard uint16, by []uint64) (err error) {
	defer store.Guard(&err)
	keys, err := l.erasedKeys(shard, by)
	if err != nil {
		return err
	}
	return l.blank(keys)
}

func (l *Ledger) erasedKeys(shard uint16, by []uint64) (keys [][]byte, err error) {
	for _, n := range by {
		spans, err := l.erasedBy(shard, n)
		if err != nil {
			return nil, err
		}
		for _, span := range spans {
			for i := range span.Left {
				keys = append(keys, recordKey(classPayload, shard, span.First+uint64(i)))
			}
		}
	}
	return keys, nil
}

func (l *Ledger) erasedBy(shard uint16, n uint64) ([]record.Span, error) {
	rec, err := l.Record(shard, n)
	if err != nil {
		return nil, err
	}
	if rec.Header.Kind != record.ErasedKind || !applied(rec) {
		return nil, nil
	}
	p, err := record.Unmarshal[record.Erased](rec.Payload)
	return p.Spans, err
}

// blank overwrites the payloads that are there.
func (l *Ledger) blank(keys [][]byte) error {
	for len(keys) > 0 {
		view := l.cfg.Store.View()
		batch := store.NewBatch(view)
		for ; len(keys) > 0 && batch.Len() < maxErasedRecords; keys = keys[1:] {
			if _, ok := view.Get(keys[0]); ok {
				batch.Set(keys[0], nil)
			}
		}
		view.Close()
		if err := l.cfg.Store.Commit(batch); err != nil {
			return err
		}
	}
	return nil
}
