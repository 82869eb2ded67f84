// Package eraser makes what the ledger holds of somebody or something go away:
// by incident, by person, by age. It plans what a request selects, erases the
// payloads of these records (ledger.Erase), makes the projections anew without
// them, and removes what is left in files: tables and logs of the store, blobs,
// the cache.
//
// Begin with Plan for what a request would do, then Erase. Run does the work,
// goes on with what a crash interrupted, comes back to what was in use, and
// erases by age every night. A request that was taken is a record: it is done
// sooner or later.
package eraser

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/store"
)

// Memory forgets what mentions somebody, from files too.
type Memory interface {
	Forget(mentions func(text []byte) bool) error
}

// Config is what an Eraser needs.
type Config struct {
	Ledger *ledger.Ledger
	State  *state.State
	Store  *store.Store
	Blobs  *store.Blobs
	Cache  *store.Cache // nil: there is none
	// Memory is the passive DNS memory, which lies in the cache and forgets for
	// itself; nil: there is none.
	Memory Memory
	Clock  engine.Clock
	Zone   func() *time.Location
	// Keep returns how long closed incidents are kept, as it was written and as a
	// time before now; "" means for ever.
	Keep func(now time.Time) (span string, before time.Time)
	// Snapshots deletes the snapshots of upgrades; nil: there are none.
	Snapshots func() error
	// Elsewhere returns sentences about what an erasure does not reach.
	Elsewhere func() []string
}

// Eraser erases. Safe for concurrent use.
type Eraser struct {
	cfg  Config
	wake chan struct{}

	mu    sync.Mutex // guards what follows
	queue []string
	now   string // the erasure that is being done
	step  string // what is being done of it
	held  store.Held

	// onStep, in tests, is told of each step before it is taken.
	onStep func(step string)
}

// New returns an eraser that does nothing before Run.
func New(cfg Config) *Eraser { return &Eraser{cfg: cfg, wake: make(chan struct{}, 1)} }

// MaxReason bounds why something is erased: it stands wherever something was.
const MaxReason = 200

// Plan tells what a request would erase now, and what would wait. Its errors are
// those of Erase.
func (e *Eraser) Plan(ctx context.Context, req engine.ErasureRequest) (engine.Erasure, error) {
	ask, err := e.check(req)
	if err != nil {
		return ask, err
	}
	ask.Sizes = e.sizes()
	p, err := e.plan(ctx, ask)
	if err != nil {
		return ask, err
	}
	out := p.describe(ask)
	out.Asked, out.Sizes, out.Notes = time.Time{}, nil, e.notes()
	return out, nil
}

// Erase takes a request: when it returns, a record says so, and Run does it.
// Errors: invalid, not_found, and conflict for an incident that is in use, with
// what to do.
func (e *Eraser) Erase(ctx context.Context, req engine.ErasureRequest) (engine.Erasure, error) {
	out, err := e.Plan(ctx, req)
	if err != nil {
		return out, err
	}
	var b [8]byte
	rand.Read(b[:])
	out.ID, out.Status, out.Sizes = "x"+hex.EncodeToString(b[:]), engine.ErasureRunning, e.sizes()
	if err := e.note(ctx, 0, out, false); err != nil {
		return out, err
	}
	e.enqueue(out.ID)
	return out, nil
}

// sizes are how many records each shard has.
func (e *Eraser) sizes() (list []uint64) {
	for shard := range e.cfg.Ledger.Shards() {
		list = append(list, e.cfg.Ledger.Size(uint16(shard)))
	}
	return list
}

func (e *Eraser) notes() []string {
	if e.cfg.Elsewhere == nil {
		return nil
	}
	return e.cfg.Elsewhere()
}

// check makes a request an erasure that is not named yet.
func (e *Eraser) check(req engine.ErasureRequest) (engine.Erasure, error) {
	out := engine.Erasure{
		Asked: e.cfg.Clock.Now(), By: req.By, How: req.How, Because: strings.Join(strings.Fields(req.Because), " "),
		Incident: req.Incident, Before: req.Before, Snapshots: req.Snapshots,
	}
	switch {
	case out.Because == "":
		return out, engine.Errorf(engine.Invalid, "because: it must be said why").WithHint("the reason stands wherever something was: write nothing there that should be erased, too")
	case len(out.Because) > MaxReason:
		return out, engine.Errorf(engine.Invalid, "because: %d bytes, at most %d", len(out.Because), MaxReason)
	}
	switch {
	case req.Incident != "" && req.Person == "" && req.Before.IsZero():
		return out, e.checkIncident(req.Incident)
	case req.Incident == "" && req.Person != "" && req.Before.IsZero():
		keys, name := e.cfg.Ledger.HashKeys()
		out.Person = sealed(keys, name, req.Person)
		return out, checkPerson(req.Person)
	case req.Incident == "" && req.Person == "" && !req.Before.IsZero():
		return out, nil
	}
	return out, engine.Errorf(engine.Invalid, "got an erasure of several things or of nothing, want one: incident or person")
}

func (e *Eraser) checkIncident(id string) error {
	if _, err := e.cfg.State.Incident(id); err != nil {
		return err
	}
	why, err := e.cfg.State.Unsettled(id)
	if err == nil && why != "" {
		err = engine.Errorf(engine.Conflict, "it cannot be erased yet: %s", why).WithHint("nothing was erased")
	}
	return err
}

// recordOf is an erasure as its records carry it.
func recordOf(x engine.Erasure) record.Erased {
	r := record.Erased{
		Because: x.Because, By: x.By, Erasure: x.ID, How: x.How,
		What: record.Selection{Before: x.Before, Incident: x.Incident, Person: x.Person},
	}
	for _, w := range x.Waits {
		r.Waits = append(r.Waits, record.Waiting(w))
	}
	return r
}

// note writes a record of an erasure that erases nothing itself: its beginning,
// or its end.
func (e *Eraser) note(ctx context.Context, shard uint16, x engine.Erasure, done bool) error {
	r := recordOf(x)
	if r.Done = done; !done {
		r.Sizes, r.Snapshots = x.Sizes, x.Snapshots
	}
	_, err := e.cfg.Ledger.Erase(ctx, shard, r, nil)
	return err
}

func (e *Eraser) enqueue(id string) {
	e.mu.Lock()
	if !slices.Contains(e.queue, id) {
		e.queue = append(e.queue, id)
	}
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default: // it will look
	}
}

func (e *Eraser) next() (string, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == 0 {
		return "", false
	}
	e.now, e.step, e.queue = e.queue[0], "planning", e.queue[1:]
	return e.now, true
}

func (e *Eraser) say(format string, args ...any) {
	step := fmt.Sprintf(format, args...)
	if e.onStep != nil {
		e.onStep(step)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.step = step
}

func (e *Eraser) rest() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now, e.step = "", ""
}

// Erasure returns one erasure, with what is being done of it at this moment.
func (e *Eraser) Erasure(id string) (engine.Erasure, error) {
	x, _, err := e.cfg.State.Erasure(id)
	return e.living(x), err
}

// Erasures lists erasures, newest first.
func (e *Eraser) Erasures(cursor string, limit int) ([]engine.Erasure, string, error) {
	list, next, err := e.cfg.State.Erasures(cursor, limit)
	for i := range list {
		list[i] = e.living(list[i])
	}
	return list, next, err
}

func (e *Eraser) living(x engine.Erasure) engine.Erasure {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case x.ID == e.now && x.ID != "":
		x.Status, x.Step = engine.ErasureRunning, e.step
	case slices.Contains(e.queue, x.ID):
		x.Step = "it waits for another erasure"
	}
	return x
}

// Busy reports whether an erasure is being done, or waits to be: meanwhile
// projections may hold what records do not.
func (e *Eraser) Busy() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now != "" || len(e.queue) > 0
}

// Held tells of the blobs what the last collection found.
func (e *Eraser) Held() store.Held {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.held
}

// pauseAfterFault is the pause before an erasure is tried again after a fault.
const pauseAfterFault = time.Minute

// Run does what is asked, until ctx ends. It begins with what an earlier process
// left unfinished.
func (e *Eraser) Run(ctx context.Context) error {
	if err := e.resume(); err != nil {
		return err
	}
	for {
		for id, ok := e.next(); ok; id, ok = e.next() {
			err := e.work(ctx, id)
			e.rest()
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				slog.Error("an erasure could not go on; trying again", "erasure", id, "error", err)
				if e.cfg.Clock.Sleep(ctx, pauseAfterFault) != nil {
					return nil
				}
				e.enqueue(id)
			}
		}
		select {
		case <-e.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// Finish does what is asked and what is unfinished, and returns; the first fault
// ends it. It is for those who wait, and not called beside Run.
func (e *Eraser) Finish(ctx context.Context) error {
	if err := e.resume(); err != nil {
		return err
	}
	for id, ok := e.next(); ok; id, ok = e.next() {
		err := e.work(ctx, id)
		e.rest()
		if err != nil {
			return err
		}
	}
	return nil
}

// resume queues the erasures that have no end yet.
func (e *Eraser) resume() error {
	return e.eachErasure(func(x engine.Erasure) {
		if x.Status == engine.ErasureRunning {
			e.enqueue(x.ID)
		}
	})
}

func (e *Eraser) eachErasure(fn func(engine.Erasure)) error {
	for cursor := ""; ; {
		list, next, err := e.cfg.State.Erasures(cursor, state.MaxPage)
		if err != nil {
			return err
		}
		for _, x := range list {
			fn(x)
		}
		if cursor = next; next == "" {
			return nil
		}
	}
}
