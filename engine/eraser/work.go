package eraser

import (
	"context"
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

// Bounds of one group of an erasure's records: what is in use again stops the
// group alone.
const (
	groupRecords   = 2000
	groupIncidents = 50
)

// restAfter is how long others have the store to themselves between two turns of
// removing.
const restAfter = 200 * time.Millisecond

// work does an erasure to its end. Done again after a crash, it goes on with
// what is left.
func (e *Eraser) work(ctx context.Context, id string) error {
	x, _, err := e.cfg.State.Erasure(id)
	if err != nil {
		return err
	}
	p, err := e.eraseAll(ctx, x)
	if err != nil {
		return err
	}
	x.Waits = p.waiting()
	_, parts, err := e.cfg.State.Erasure(id)
	if err != nil {
		return err
	}
	if err := e.remove(ctx, x, parts); err != nil {
		return err
	}
	e.say("writing down that it is done")
	for _, part := range parts {
		if err := e.note(ctx, part.Shard, x, true); err != nil {
			return err
		}
	}
	return nil
}

// eraseAll erases what may be erased, and returns the last plan, in which nothing
// is left to take.
func (e *Eraser) eraseAll(ctx context.Context, x engine.Erasure) (*plan, error) {
	for {
		e.say("planning")
		p, err := e.plan(ctx, x)
		if err != nil {
			return nil, err
		}
		took := 0
		for _, g := range groups(p) {
			e.say("erasing: %d of %d records", took, len(p.take))
			n, err := e.eraseGroup(ctx, x, g)
			if err != nil {
				return nil, err
			}
			took += n
		}
		if took == 0 {
			return p, nil
		}
	}
}

// group is records of one shard with the incidents that they belong to.
type group struct {
	shard     uint16
	numbers   []uint64
	incidents []string
}

// groups cuts a plan into pieces, records of one incident together.
func groups(p *plan) (list []*group) {
	owner := func(c candidate) string {
		if len(c.owners) > 0 {
			return c.owners[0]
		}
		return ""
	}
	take := slices.Clone(p.take)
	slices.SortStableFunc(take, func(a, b candidate) int {
		if a.shard != b.shard {
			return int(a.shard) - int(b.shard)
		}
		return compare(owner(a), owner(b))
	})
	var g *group
	for i, c := range take {
		full := g != nil && (len(g.numbers) >= groupRecords || len(g.incidents) >= groupIncidents) && owner(c) != owner(take[i-1])
		if g == nil || g.shard != c.shard || full {
			g = &group{shard: c.shard}
			list = append(list, g)
		}
		g.numbers = append(g.numbers, c.number)
		for _, o := range c.owners {
			if shard, _, ok := engine.ParseID('i', o); ok && shard == c.shard && !slices.Contains(g.incidents, o) {
				g.incidents = append(g.incidents, o)
			}
		}
	}
	return list
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// eraseGroup returns how many records it erased: fewer than it has when some are
// erased already, or one of its incidents came into use meanwhile.
func (e *Eraser) eraseGroup(ctx context.Context, x engine.Erasure, g *group) (took int, err error) {
	r := recordOf(x)
	r.Incidents = g.incidents
	done, err := e.cfg.Ledger.Erase(ctx, g.shard, r, g.numbers)
	for _, rec := range done {
		p, failed := record.Unmarshal[record.Erased](rec.Payload)
		if failed != nil {
			return took, failed
		}
		for _, s := range p.Spans {
			if outcomeOf(rec).Applied {
				took += len(s.Left)
			}
		}
	}
	return took, err
}

// remove takes away what is left of erased payloads besides the ledger: former
// projections, and what lies in files.
func (e *Eraser) remove(ctx context.Context, x engine.Erasure, parts []state.Part) error {
	e.say("making the pages' data anew")
	for _, part := range parts {
		if err := e.cfg.Ledger.Blank(part.Shard, part.Records); err != nil {
			return err
		}
	}
	err := e.cfg.Ledger.Reproject(ctx, func(done, total uint64) {
		e.say("making the pages' data anew: %d of %d records", done, total)
	})
	if err != nil {
		return err
	}
	e.say("removing from files")
	for _, part := range parts {
		err := e.cfg.Ledger.Purge(part.Shard, part.Records, func(done int) error {
			e.say("removing from files: %d records", done)
			return e.cfg.Clock.Sleep(ctx, restAfter)
		})
		if err != nil {
			return err
		}
	}
	e.say("removing former projections from files")
	if err := e.cfg.Store.PurgeFormer(); err != nil {
		return err
	}
	e.say("removing blobs")
	if err := e.Collect(ctx); err != nil {
		return err
	}
	if x.Snapshots && e.cfg.Snapshots != nil {
		e.say("removing snapshots")
		if err := e.cfg.Snapshots(); err != nil {
			return err
		}
	}
	return e.forget(x)
}

// forget takes a person out of the cache: browser sessions, and what the passive
// DNS memory has of them.
func (e *Eraser) forget(x engine.Erasure) error {
	if x.Person == "" || e.cfg.Cache == nil {
		return nil
	}
	keys, _ := e.cfg.Ledger.HashKeys()
	person := newMentions(keys, x.Person)
	err := e.cfg.Cache.Forget(func(key string, value []byte) bool {
		return person.in([]byte(key)) || person.in(value)
	})
	if err != nil || e.cfg.Memory == nil {
		return err
	}
	return e.cfg.Memory.Forget(person.in)
}
