package ledger

import (
	"context"
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/store"
)

// Sizes of a rebuild's pieces.
const (
	// pieceRecords are applied in one transaction, at most: fewer while others
	// append, so that none of them waits for long.
	pieceRecords     = 2000
	busyPieceRecords = 100
	// lastPieceRecords are so few that appends may wait for them.
	lastPieceRecords = 200
)

// Reproject makes all projections anew from the ledger alone, beside the living
// ones, while appends and reads go on; appends go first. The new ones are put in
// force in one transaction, which appends wait for shortly, and the former ones
// are removed. progress, which may be nil, is told how many of how many records
// are applied.
//
// Until the new projections are in force, an error and the end of ctx or of the
// process leave the former ones as they were; what was unfinished is removed now
// or when the ledger is opened. Erased records are applied without their payload.
//
// One rebuild goes on at a time: a second one is refused with kind conflict.
func (l *Ledger) Reproject(ctx context.Context, progress func(done, total uint64)) error {
	_, err := l.renew(ctx, progress, &builder{put: true})
	return err
}

// Renew is Reproject that also compares the former projections with the new ones,
// as both were at the moment in which these were put in force. They differ after
// an upgrade, and while an erasure is under way; else something was wrong.
func (l *Ledger) Renew(ctx context.Context, progress func(done, total uint64)) (Difference, error) {
	return l.renew(ctx, progress, &builder{put: true, compare: true})
}

// Compare makes the projections anew like Renew, compares, and leaves the former
// ones in force.
func (l *Ledger) Compare(ctx context.Context, progress func(done, total uint64)) (Difference, error) {
	return l.renew(ctx, progress, &builder{compare: true})
}

func (l *Ledger) renew(ctx context.Context, progress func(done, total uint64), b *builder) (d Difference, err error) {
	defer store.Guard(&err)
	if !l.rebuilding.TryLock() {
		return d, engine.Errorf(engine.Conflict, "ledger: a rebuild is going on already, or a scrub makes one to compare with")
	}
	defer l.rebuilding.Unlock()
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	s := l.cfg.Store
	pause := l.pauser(ctx)
	if err := s.RemoveOther(pause); err != nil {
		return d, engine.WrapError(engine.Internal, err, "ledger: removing an unfinished rebuild")
	}
	if err := s.RoomForGeneration(); err != nil {
		return d, err
	}
	b.former = s.InForce()
	if b.generation, err = s.BeginGeneration(); err != nil {
		return d, err
	}
	b.ledger, b.next, b.progress = l, make([]uint64, l.shards), progress
	if err = b.build(ctx, pause); err == nil {
		d, err = b.difference(pause)
	}
	if err != nil && s.InForce() != b.generation {
		kind := engine.Internal
		if ctx.Err() != nil {
			kind = engine.Timeout
		}
		return d, l.giveUp(engine.WrapError(kind, err, "ledger: rebuilding"))
	}
	if err := s.RemoveOther(l.pauser(context.WithoutCancel(ctx))); err != nil {
		return d, engine.WrapError(engine.Internal, err, "ledger: the projections are made anew; removing the others").
			WithHint("what is left of them is removed at the next start")
	}
	return d, err
}

// Rebuild is Reproject for those who wait for it anyhow.
func (l *Ledger) Rebuild() error { return l.Reproject(context.Background(), nil) }

// giveUp removes what is unfinished, unless the ledger is being closed: then the
// next start does.
func (l *Ledger) giveUp(cause error) error {
	if err := l.cfg.Store.RemoveOther(l.pauser(context.Background())); err != nil && !l.isClosed() {
		return engine.AsError(cause).WithHint("the former projections stay in force; what is unfinished is removed at the next start (not now: %v)", err)
	}
	return cause
}

// builder makes one generation of projections.
type builder struct {
	ledger     *Ledger
	put        bool // in force, at the end
	compare    bool
	former     store.Generation
	generation store.Generation
	views      []*store.View // to compare: of both generations at the end, of the former one first
	next       []uint64      // by shard: the first record that is not applied
	progress   func(done, total uint64)
}

// build catches up with the ledger until so little is missing that appends can
// wait for it.
func (b *builder) build(ctx context.Context, pause func() error) error {
	for {
		for b.behind() > lastPieceRecords {
			if err := b.catchUp(ctx, pause); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		finished := false
		err := b.ledger.alone(func() (err error) {
			if finished = b.behind() <= 2*lastPieceRecords; finished {
				err = b.finish()
			}
			return err
		})
		if err != nil || finished {
			return err
		}
	}
}

// finish applies what is left, and switches. Nothing appends meanwhile.
func (b *builder) finish() error {
	for b.behind() > 0 || b.put && b.ledger.cfg.Store.InForce() != b.generation {
		if err := b.step(pieceRecords, b.put); err != nil {
			return err
		}
	}
	if s := b.ledger.cfg.Store; b.compare {
		b.views = []*store.View{s.ViewOf(b.former), s.ViewOf(b.generation)}
	}
	return nil
}

func (b *builder) pieceSize() int {
	if b.ledger.busy() {
		return busyPieceRecords
	}
	return pieceRecords
}

// behind is how many records are not applied yet.
func (b *builder) behind() (n uint64) {
	for shard, t := range b.ledger.snapshot() {
		n += t.size - b.next[shard]
	}
	return n
}

func (b *builder) tell() {
	done := uint64(0)
	for _, n := range b.next {
		done += n
	}
	b.progress(done, done+b.behind())
}

// step applies the next records in one transaction. The one that applies the
// last of them switches, when last is set.
func (b *builder) step(limit int, last bool) error {
	view := b.ledger.cfg.Store.ViewOf(b.generation)
	defer view.Close()
	p := &piece{builder: b, batch: store.NewBatch(view), next: slices.Clone(b.next), left: limit}
	sizes := b.ledger.snapshot()
	for shard := 0; shard < len(sizes) && !p.full; shard++ {
		if p.next[shard] == sizes[shard].size {
			continue
		}
		if err := p.take(view, uint16(shard), sizes[shard].size); err != nil {
			return err
		}
	}
	if taken := limit - p.left; taken > 1 && !p.batch.Fits() {
		return b.step(taken-1, last) // the last record was a large one
	}
	if err := p.commit(last); err != nil {
		return err
	}
	b.next = p.next
	b.tell()
	return nil
}

// piece is what one transaction applies.
type piece struct {
	*builder
	batch *store.Batch
	next  []uint64
	left  int // records that it may still take
	full  bool
}

// take applies records of a shard below end while they fit.
func (p *piece) take(view *store.View, shard uint16, end uint64) error {
	var failed error
	err := readRecords(view, shard, p.next[shard], func(r Record) bool {
		if p.left == 0 || r.Header.Record >= end {
			p.full = p.left == 0
			return false
		}
		if failed = p.ledger.cfg.Projector.Apply(p.batch, r); failed != nil {
			return false
		}
		p.next[shard]++
		p.left--
		p.full = p.batch.Full()
		return !p.full
	})
	if err == nil {
		err = failed
	}
	return err
}

func (p *piece) commit(last bool) error {
	s := p.ledger.cfg.Store
	if last && !p.full {
		return s.SwitchTo(p.generation, p.batch)
	}
	return s.Commit(p.batch)
}

// alone runs fn while nothing is appended, in the order of the queue.
func (l *Ledger) alone(fn func() error) error {
	_, err := l.enqueue(&request{act: fn})
	return err
}

// act runs a request that appends nothing.
func (l *Ledger) act(req *request) {
	func() {
		defer store.Guard(&req.err)
		req.err = req.act()
	}()
	close(req.done)
}

// busy reports whether others appended since it was asked last.
func (l *Ledger) busy() bool {
	frames := l.appended.Load()
	return l.noticed.Swap(frames) != frames
}

// pauser returns a function that a rebuild calls between its pieces. While others
// append, it waits as long as the piece took: a rebuild then takes half of the
// time, at most.
func (l *Ledger) pauser(ctx context.Context) func() error {
	began := time.Now()
	return func() error {
		defer func() { began = time.Now() }()
		if l.isClosed() {
			return errClosed()
		}
		if !l.busy() {
			return ctx.Err()
		}
		rest := time.NewTimer(time.Since(began))
		defer rest.Stop()
		select {
		case <-rest.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *Ledger) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}
