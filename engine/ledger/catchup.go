package ledger

import (
	"context"
	"slices"
	"sync"

	"larkspur/engine/record"
	"larkspur/engine/store"
)

// A rebuild that is far behind reads, applies and commits side by side: while a
// piece is applied, what comes after it is read, and the piece before it goes to
// the disk.

// Sizes of what is read ahead.
const (
	chunkRecords = 250
	chunksAhead  = 4
)

// catchUp applies the records that there are now, in pieces.
func (b *builder) catchUp(ctx context.Context, pause func() error) (err error) {
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	read := &reading{store: b.ledger.cfg.Store, next: slices.Clone(b.next), sizes: b.ledger.snapshot(), chunks: make(chan []Record, chunksAhead)}
	all.Go(func() { read.run(ctx) })
	a := &applying{builder: b, all: &all, limit: b.pieceSize(), view: b.ledger.cfg.Store.ViewOf(b.generation)}
	a.clear()
	defer func() { a.view.Close() }()
	for chunk := range read.chunks {
		for _, r := range chunk {
			if err := a.take(r); err != nil {
				return err
			}
			if len(a.records) < a.limit && !a.batch.Full() {
				continue
			}
			if err := a.flush(); err != nil {
				return err
			}
			if err := pause(); err != nil {
				return err
			}
			a.limit = a.pieceSize()
		}
	}
	if err := firstError(read.err, a.flush); err != nil {
		return err
	}
	return firstError(a.settle(), ctx.Err)
}

// reading reads records ahead, shard after shard.
type reading struct {
	store  *store.Store
	next   []uint64
	sizes  []*tree
	chunks chan []Record
	err    error // set before chunks is closed
}

func (d *reading) run(ctx context.Context) {
	defer close(d.chunks)
	defer store.Guard(&d.err)
	view := d.store.View()
	defer view.Close()
	for shard, t := range d.sizes {
		if d.err == nil && d.next[shard] < t.size {
			d.err = d.shard(ctx, view, uint16(shard), t.size)
		}
	}
}

func (d *reading) shard(ctx context.Context, view *store.View, shard uint16, end uint64) error {
	payloads := payloadsOf(view, shard, d.next[shard])
	defer payloads.close()
	var chunk []Record
	send := func() bool {
		select {
		case d.chunks <- chunk:
			chunk = make([]Record, 0, chunkRecords)
			return true
		case <-ctx.Done():
			return false
		}
	}
	err := readFrames(view, shard, d.next[shard], func(frame *record.Frame, i int) (more bool, err error) {
		if frame.First+uint64(i) >= end {
			return false, nil
		}
		r, err := payloads.record(view, frame, i)
		if chunk = append(chunk, r); err == nil && len(chunk) == chunkRecords {
			return send(), nil
		}
		return true, err
	})
	if err == nil && len(chunk) > 0 {
		send()
	}
	return firstError(err, ctx.Err)
}

// record reads a record with a payload of its own. Ask for records in order.
func (p *payloadScan) record(r store.Reader, frame *record.Frame, i int) (Record, error) {
	rec := Record{Header: frame.Header(i), Outcome: frame.Entries[i].Outcome}
	salted := slices.Clone(p.of(rec.Header.Record))
	if len(salted) < saltBytes {
		err := loadErased(r, &rec)
		return rec, err
	}
	rec.Salt, rec.Payload = salted[:saltBytes:saltBytes], salted[saltBytes:]
	return rec, nil
}

// applying applies records in pieces, each over the one that is on its way to the
// disk.
type applying struct {
	*builder
	all     *sync.WaitGroup
	limit   int // of the records of a piece
	view    *store.View
	batch   *store.Batch
	records []Record // of the piece
	pending *store.Batch
	saved   chan error // the pending batch's; nil when there is none
	after   []uint64   // the first records behind the pending batch
}

// clear begins the piece, over the pending one.
func (a *applying) clear() {
	if a.batch = store.NewBatch(a.view); a.pending != nil {
		a.batch = store.NewBatchOver(a.view, a.pending)
	}
}

// take applies a record. One that makes the piece too large begins the next one.
func (a *applying) take(r Record) error {
	a.records = append(a.records, r)
	if err := a.ledger.cfg.Projector.Apply(a.batch, r); err != nil {
		return err
	}
	last := len(a.records) - 1
	if last == 0 || a.batch.Fits() {
		return nil
	}
	a.clear()
	for _, again := range a.records[:last] {
		if err := a.ledger.cfg.Projector.Apply(a.batch, again); err != nil {
			return err
		}
	}
	a.records = a.records[:last]
	if err := a.flush(); err != nil {
		return err
	}
	return a.take(r)
}

// flush sends the piece to the disk, once the one before it is there, and begins
// the next.
func (a *applying) flush() error {
	if len(a.records) == 0 {
		return nil
	}
	if err := a.settle(); err != nil {
		return err
	}
	a.after = slices.Clone(a.next)
	for _, r := range a.records {
		a.after[r.Header.Shard] = r.Header.Record + 1
	}
	a.view.Close()
	a.view = a.ledger.cfg.Store.ViewOf(a.generation) // one that is opened beside a commit waits for the disk
	batch, saved := a.batch, make(chan error, 1)
	a.pending, a.saved, a.records = batch, saved, a.records[:0]
	a.all.Go(func() { saved <- a.ledger.cfg.Store.Commit(batch) })
	a.clear()
	return nil
}

// settle waits until the pending piece is on the disk.
func (a *applying) settle() error {
	if a.saved == nil {
		return nil
	}
	err := <-a.saved
	if a.saved = nil; err == nil {
		a.next = a.after
		a.tell()
	}
	return err
}
