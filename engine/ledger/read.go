package ledger

import (
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// Record reads one record of a shard; not_found beyond its end.
func (l *Ledger) Record(shard uint16, n uint64) (_ Record, err error) {
	defer store.Guard(&err)
	view := l.cfg.Store.View()
	defer view.Close()
	return ReadRecord(view, shard, n)
}

// ReadRecord reads one record of the moment that r shows.
func ReadRecord(r store.Reader, shard uint16, n uint64) (Record, error) {
	return load(r, shard, n)
}

// ReadPayload reads the payload of one record; nil, false for an erased one.
// It is cheaper than ReadRecord.
func ReadPayload(r store.Reader, shard uint16, n uint64) ([]byte, bool) {
	salted, ok := r.Get(recordKey(classPayload, shard, n))
	if !ok || len(salted) < saltBytes {
		return nil, false
	}
	return salted[saltBytes:], true
}

// Size returns the number of records in a shard.
func (l *Ledger) Size(shard uint16) uint64 { return l.snapshot()[shard].size }

// Records calls fn for the records of a shard from number first on, in order,
// until fn returns false.
func (l *Ledger) Records(shard uint16, first uint64, fn func(Record) bool) (err error) {
	defer store.Guard(&err)
	view := l.cfg.Store.View()
	defer view.Close()
	return readRecords(view, shard, first, fn)
}

func readRecords(r store.Reader, shard uint16, first uint64, fn func(Record) bool) error {
	return readFrames(r, shard, first, func(frame *record.Frame, i int) (more bool, err error) {
		rec, err := loadFrom(r, frame, i)
		return err == nil && fn(rec), err
	})
}

// readFrames calls fn for the entries of a shard from record first on, in order,
// until it returns false.
func readFrames(r store.Reader, shard uint16, first uint64, fn func(frame *record.Frame, i int) (more bool, err error)) error {
	start := recordKey(classFrame, shard, first)
	if frame, err := frameOf(r, shard, first); err == nil {
		start = recordKey(classFrame, shard, frame.First)
	}
	var err error
	r.Scan(key(classFrame, shard), start, false, func(_, value []byte) bool {
		var frame record.Frame
		if frame, err = record.ParseFrame(value); err != nil {
			return false
		}
		more := true
		for i := range frame.Entries {
			if frame.First+uint64(i) < first {
				continue
			}
			if more, err = fn(&frame, i); err != nil || !more {
				return false
			}
		}
		return true
	})
	return err
}

// RecordsBackward calls fn for the records of a shard from number last down,
// until fn returns false.
func (l *Ledger) RecordsBackward(shard uint16, last uint64, fn func(Record) bool) (err error) {
	defer store.Guard(&err)
	view := l.cfg.Store.View()
	defer view.Close()
	view.Scan(key(classFrame, shard), recordKey(classFrame, shard, last), true, func(_, value []byte) bool {
		var frame record.Frame
		if frame, err = record.ParseFrame(value); err != nil {
			return false
		}
		for i := len(frame.Entries) - 1; i >= 0; i-- {
			if frame.First+uint64(i) > last {
				continue
			}
			var rec Record
			if rec, err = loadFrom(view, &frame, i); err != nil || !fn(rec) {
				return false
			}
		}
		return true
	})
	return err
}

// LeafOf returns the leaf of a stored record in base64, computed from what is
// stored.
func (l *Ledger) LeafOf(shard uint16, n uint64) (string, error) {
	r, err := l.Record(shard, n)
	return r.Leaf().String(), err
}
