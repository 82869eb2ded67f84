package fault

import (
	"context"
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// spot is one record.
type spot struct {
	shard  uint16
	number uint64
}

// erasures is what a check reads of them.
type erasures struct {
	gone  map[spot]ledger.Erasure // records whose payload is gone
	by    map[spot]record.Erased  // records of erasures that took effect
	named map[spot]bool           // records that one of these names
}

func newErasures() erasures {
	return erasures{gone: map[spot]ledger.Erasure{}, by: map[spot]record.Erased{}, named: map[spot]bool{}}
}

// payload looks into a record: the blob that it names is there; an erasure is one
// that somebody asked for.
func (c *checker) payload(r ledger.Record) {
	at := spot{r.Header.Shard, r.Header.Record}
	if r.Erased {
		c.erased.gone[at] = *r.Erasure
		return
	}
	switch r.Header.Kind {
	case record.StepDoneKind:
		c.blob(at, r.Payload)
	case record.ErasedKind:
		c.erasure(at, r)
	}
}

func (c *checker) blob(at spot, payload []byte) {
	p, err := record.Unmarshal[record.StepDone](payload)
	if err == nil && p.Blob != "" {
		_, err = c.blobs.Get(p.Blob)
	}
	if err != nil {
		c.fault("shard %d, record %d: %w", at.shard, at.number, err)
	}
}

func (c *checker) erasure(at spot, r ledger.Record) {
	p, err := record.Unmarshal[record.Erased](r.Payload)
	if err != nil {
		c.fault("shard %d, record %d: %w", at.shard, at.number, err)
		return
	}
	incident, wanted := c.truth.wanted[p.Because]
	id, taken := c.truth.asked[p.Because]
	if !wanted || incident != p.What.Incident || taken && id != p.Erasure {
		c.fault("shard %d, record %d: nobody asked for %+v", at.shard, at.number, p.What)
	}
	if o, err := record.Unmarshal[record.Outcome](r.Outcome); err == nil && o.Applied {
		c.erased.by[at] = p
	}
}

// erasures wants what is gone to be what the records of erasures name, and every
// erasure that was taken to be there. Then it lets them end, as the next start
// would, and wants them done.
func (c *checker) erasures() {
	for at, p := range c.erased.by {
		for _, s := range p.Spans {
			for i, left := range s.Left {
				n := spot{at.shard, s.First + uint64(i)}
				was, gone := c.erased.gone[n]
				c.erased.named[n] = true
				if !gone || was.Record != at.number || was.Because != p.Because || was.Name != p.Erasure || sum(was.Left) != sum(left) {
					c.fault("shard %d, record %d: got %+v (gone: %v), want it erased by record %d as %s says", at.shard, n.number, was, gone, at.number, p.Erasure)
				}
			}
		}
	}
	for at, was := range c.erased.gone {
		if !c.erased.named[at] {
			c.fault("shard %d, record %d: its payload is gone, and record %d of %s does not say so", at.shard, at.number, was.Record, was.Name)
		}
	}
	c.finish()
}

// finish lets every erasure end that was taken.
func (c *checker) finish() {
	if len(c.truth.wanted) == 0 {
		return
	}
	if err := newEraser(c.store, c.blobs, c.ledger, c.state, patient{}).Finish(context.Background()); err != nil {
		c.fault("finishing erasures: %w", err)
		return
	}
	for because, id := range c.truth.asked {
		x, _, err := c.state.Erasure(id)
		if err != nil || x.Because != because || !slices.Contains([]string{engine.ErasureDone, engine.ErasureWaits}, x.Status) {
			c.fault("the erasure %s, which was taken: got %+v, %w", id, x, err)
			continue
		}
		if i, err := c.state.Incident(x.Incident); x.Incident != "" && x.Status == engine.ErasureDone && (err != nil || i.Erased == nil) {
			c.fault("incident %s, which %s erased with %d records: it is not (%v)", x.Incident, id, x.Records, err)
		}
	}
}

// patient is the clock of a check, which waits for nobody.
type patient struct{ engine.SystemClock }

func (patient) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }
