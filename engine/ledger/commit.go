package ledger

import (
	"slices"

	"larkspur/engine"
	"larkspur/engine/store"
)

// Group commit. Requests that are queued are staged as one group and committed in
// one transaction. While one group is on its way to the disk, the next one is
// staged over it, and takes what comes in until the disk is free: computing and
// syncing go on side by side. Whoever appends does the work: the first request of
// a group leads it. One leader stages at a time, one commits, in the same order.

// group is what one transaction writes.
type group struct {
	view     *store.View
	batch    *store.Batch
	heads    []*head // where the shards end after it
	requests []*request
	records  []Record
	layer    *store.Batch  // room for one request besides the first
	settled  chan struct{} // closed when it is committed, or failed
	failed   bool          // set before settled is closed
	// next is a view of the moment before its commit, for the group after it: one
	// that is opened beside a commit waits for the disk. It is nil when nobody else
	// seemed to append. Guarded by Ledger.mu.
	next *store.View
}

// enqueue returns when a request is settled, by this caller or by another.
func (l *Ledger) enqueue(req *request) ([]Record, error) {
	req.done, req.lead = make(chan struct{}), make(chan struct{}, 1)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, errClosed()
	}
	l.callers.Add(1)
	defer l.callers.Done()
	l.queue = append(l.queue, req)
	lead := !l.leading
	l.leading = true
	l.mu.Unlock()
	if !lead {
		select { // tells the leader, who may be waiting for more
		case l.arrived <- struct{}{}:
		default:
		}
		select {
		case <-req.done:
			return req.result, req.err
		case <-req.lead:
		}
	}
	l.lead(req)
	return req.result, req.err
}

// lead settles the first request of the queue, with what comes after it.
func (l *Ledger) lead(req *request) {
	if req.act != nil {
		l.inFlight().wait()
		l.queueFirst(l.take()[1:])
		l.act(req)
		l.handOver(nil)
		return
	}
	g, before := l.begin()
	l.gather(g, before)
	for before.wait() {
		l.putBack(g) // what it was staged over is not there
		g, before = l.begin()
		l.gather(g, before)
	}
	l.handOver(g)
	l.finish(g)
}

// wait waits until a group is settled, and reports whether it failed.
func (g *group) wait() (failed bool) {
	if g == nil {
		return false
	}
	<-g.settled
	return g.failed
}

// inFlight returns the group that is on its way to the disk, if any.
func (l *Ledger) inFlight() *group {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flying
}

// begin returns an empty group, and the one that it comes behind, if that is on
// its way to the disk.
func (l *Ledger) begin() (g, before *group) {
	g = &group{settled: make(chan struct{})}
	l.mu.Lock()
	heads := l.heads
	if before = l.flying; before != nil {
		heads, g.view, before.next = before.heads, before.next, nil
	}
	l.mu.Unlock()
	switch {
	case before == nil:
		g.view = l.cfg.Store.View()
		g.batch = store.NewBatch(g.view)
	case g.view == nil:
		before.wait()
		return l.begin()
	default:
		g.batch = store.NewBatchOver(g.view, before.batch)
	}
	g.heads = slices.Clone(heads)
	return g, before
}

// gather stages what is queued, and until the group before is settled what
// comes.
func (l *Ledger) gather(g, before *group) {
	for l.fill(g) && before != nil {
		select {
		case <-before.settled:
			return
		case <-l.arrived:
		}
	}
}

// fill stages what is queued; false when the group takes no more.
func (l *Ledger) fill(g *group) (more bool) {
	requests := l.take()
	for n, req := range requests {
		if req.act != nil || !l.add(g, req) {
			l.queueFirst(requests[n:])
			return false
		}
	}
	return true
}

// take empties the queue.
func (l *Ledger) take() []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	requests := l.queue
	l.queue = nil
	return requests
}

func (l *Ledger) queueFirst(requests []*request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(requests, l.queue...)
}

// add stages a request, or settles one that cannot be; false when it has to go
// into the next group.
func (l *Ledger) add(g *group, req *request) bool {
	if len(g.requests) > 0 {
		return l.addMore(g, req)
	}
	next, err := l.stage(g.batch, g.heads[req.shard], req)
	if err == nil && !g.batch.Fits() {
		err = engine.Errorf(engine.Invalid, "ledger: a frame of %d writes and %d bytes does not fit a transaction", g.batch.Len(), g.batch.Bytes())
	}
	if err != nil {
		g.batch.Reset()
		req.refuse(err)
		return true
	}
	g.take(req, next)
	return true
}

// addMore is add for a group that has requests: what cannot be staged must leave
// nothing behind.
func (l *Ledger) addMore(g *group, req *request) bool {
	if g.layer == nil {
		g.layer = g.batch.Layer()
	}
	g.layer.Reset()
	next, err := l.stage(g.layer, g.heads[req.shard], req)
	if err != nil {
		req.refuse(err)
		return true
	}
	if !g.batch.Fits(g.layer) {
		return false
	}
	g.batch.Merge(g.layer)
	g.take(req, next)
	return true
}

// take takes a request that is staged.
func (g *group) take(req *request, next *head) {
	g.heads[req.shard] = next
	g.requests = append(g.requests, req)
	g.records = append(g.records, req.result...)
}

// refuse settles a request that is not staged.
func (req *request) refuse(err error) {
	req.err, req.result = err, nil
	close(req.done)
}

// putBack forgets a group: its requests are staged again.
func (l *Ledger) putBack(g *group) {
	g.view.Close()
	l.queueFirst(g.requests)
}

// handOver lets the next request lead, while g is committed.
func (l *Ledger) handOver(g *group) {
	flies := g != nil && len(g.requests) > 0
	if flies && (len(g.requests) > 1 || l.waiting() > 0) {
		g.next = l.cfg.Store.View()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if flies {
		l.flying = g
	}
	if len(l.queue) == 0 {
		l.leading = false
		return
	}
	l.queue[0].lead <- struct{}{}
}

// waiting is how many requests are queued.
func (l *Ledger) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// finish commits a group and settles its requests.
func (l *Ledger) finish(g *group) {
	defer g.view.Close()
	if len(g.requests) == 0 {
		return
	}
	err := l.save(g.batch)
	heads := g.heads
	switch {
	case err == nil:
		l.publish(heads)
		l.appended.Add(1)
		l.cfg.Projector.Committed(g.records)
	case engine.NoRoom(err): // nothing was written: the ends stand
		heads = nil
	default:
		heads, err = l.recover(err)
	}
	l.land(g, heads, err != nil)
	for _, req := range g.requests {
		if req.err = err; err != nil {
			req.result = nil
		}
		close(req.done)
	}
}

// land says that a group is not on its way any more. heads, if not nil, is where
// the shards end now.
func (l *Ledger) land(g *group, heads []*head, failed bool) {
	l.mu.Lock()
	if heads != nil {
		l.heads = heads
	}
	l.flying = nil
	unused := g.next
	g.next = nil
	l.mu.Unlock()
	if unused != nil {
		unused.Close()
	}
	g.failed = failed
	close(g.settled)
}

// save commits a batch. Until the ledger is open, it may use the store's reserve.
func (l *Ledger) save(batch *store.Batch) error {
	if !l.opened {
		return l.cfg.Store.CommitReserved(batch)
	}
	return l.cfg.Store.Commit(batch)
}

// recover reads the heads again after a commit of unknown outcome.
func (l *Ledger) recover(cause error) (_ []*head, err error) {
	defer store.Guard(&err)
	heads, _, err := l.loadHeads()
	if err != nil {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		return nil, engine.WrapError(engine.Unavailable, err, "ledger: reading its end after "+cause.Error())
	}
	l.publish(heads)
	e := engine.AsError(cause)
	e.Maybe = true
	return heads, e
}

func (l *Ledger) publish(heads []*head) {
	l.readMu.Lock()
	defer l.readMu.Unlock()
	for i, h := range heads {
		l.trees[i] = h.tree
	}
}
