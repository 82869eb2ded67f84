package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"larkspur/appliance/config"
	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
	"larkspur/scripts"
	"larkspur/ui"
	"larkspur/ui/desk"
)

// Hello is what workers are told that carry no runs.
func Hello() wire.Hello {
	return wire.Hello{Engine: Version, Signatures: signatures(), HashKeys: map[string][]byte{"none": make([]byte, 32)}, HashKey: "none"}
}

// Rebuild makes the projections of a workspace's ledger anew and returns the
// number of its records. The appliance must not run meanwhile: a running one is
// asked by its interface.
func Rebuild(ctx context.Context, dir, by string, progress func(done, total uint64)) (records uint64, err error) {
	settings, problems := config.Load(dir)
	if scripts.HasError(problems) {
		return 0, &Problems{problems}
	}
	a := &Appliance{door: &door{}, settings: settings}
	a.setClock(machine{})
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := a.openStores(settings); err != nil {
		return 0, err
	}
	for shard := range a.ledger.Shards() {
		records += a.ledger.Size(uint16(shard))
	}
	d, err := a.ledger.Renew(ctx, progress)
	if err != nil {
		return records, err
	}
	return records, a.noteRebuilt(ctx, by, records, d)
}

// noteRebuilt records a rebuild.
func (a *Appliance) noteRebuilt(ctx context.Context, by string, records uint64, d ledger.Difference) error {
	said := record.Rebuilt{By: by, Compared: d.Compared, Differ: d.Differ, Differs: described(d), Equal: d.Differ == 0, Records: records}
	return a.note(ctx, record.RebuiltKind, said)
}

// described names the entries that differ, each once.
func described(d ledger.Difference) (names []string) {
	for _, key := range d.First {
		if name := state.Describe(key); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// compareProjections compares them with what the records give, beside the work of
// the appliance. notNow says why that makes no sense now.
func (a *Appliance) compareProjections(ctx context.Context) (d ledger.Difference, notNow string, err error) {
	const erasing = "an erasure goes on, after which they are made anew"
	if a.eraser.Busy() {
		return d, erasing, nil
	}
	d, err = a.ledger.Compare(ctx, nil)
	switch {
	case err != nil && (engine.KindOf(err) == engine.Conflict || engine.NoRoom(err)):
		return d, err.Error(), nil
	case err == nil && d.Differ > 0 && a.eraser.Busy():
		return ledger.Difference{}, erasing, nil
	}
	return d, "", err
}

// rebuilder makes the projections anew while the appliance works. It implements
// ui.Rebuilder. Safe for concurrent use.
type rebuilder struct {
	a     *Appliance
	clock engine.Clock
	begin chan string // holds one wish: whose

	mu  sync.Mutex // guards now
	now desk.Rebuild
}

func newRebuilder(a *Appliance) *rebuilder {
	return &rebuilder{a: a, clock: a.clock, begin: make(chan string, 1)}
}

// Rebuild implements ui.Rebuilder.
func (r *rebuilder) Rebuild(by string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now.Running {
		return engine.Errorf(engine.Conflict, "a rebuild is going on already: %s", progressOf(r.now))
	}
	began := r.clock.Now().UTC()
	r.now = desk.Rebuild{Running: true, Began: &began}
	r.begin <- by // nobody else wishes while one is running
	slog.Info("the projections are made anew", "by", by)
	return nil
}

// Rebuilding implements ui.Rebuilder.
func (r *rebuilder) Rebuilding() desk.Rebuild {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// Run rebuilds when somebody wishes, until ctx ends.
func (r *rebuilder) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case by := <-r.begin:
			d, err := r.a.ledger.Renew(ctx, r.progress)
			if err == nil {
				if unsaid := r.a.noteRebuilt(ctx, by, r.Rebuilding().Total, d); unsaid != nil {
					slog.Error("a rebuild could not be recorded", "by", by, "error", unsaid)
				}
			}
			r.end(d, err)
		}
	}
}

func (r *rebuilder) progress(done, total uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.Done, r.now.Total = done, total
}

func (r *rebuilder) end(d ledger.Difference, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ended := r.clock.Now().UTC()
	r.now.Running, r.now.Ended = false, &ended
	r.now.Compared, r.now.Differ, r.now.Differs = d.Compared, d.Differ, described(d)
	if err != nil {
		r.now.Error = err.Error()
		slog.Error("the projections were not made anew, the former ones are in force", "error", err)
		return
	}
	slog.Info("the projections are made anew", "records", r.now.Total, "took", ended.Sub(*r.now.Began).Round(time.Millisecond))
}

func progressOf(r desk.Rebuild) string {
	switch {
	case r.Total == 0:
		return "beginning"
	case r.Done == r.Total:
		return fmt.Sprintf("%d records, removing the former projections", r.Total)
	}
	return fmt.Sprintf("%d of %d records, %d %%", r.Done, r.Total, 100*r.Done/r.Total)
}

// health tells of a rebuild that goes on, or that failed.
func (r *rebuilder) health() (c ui.Check, tell bool) {
	c = ui.Check{Name: "rebuild", Status: desk.HealthOK}
	switch now := r.Rebuilding(); {
	case now.Running:
		c.Message = "the projections are made anew: " + progressOf(now)
	case now.Error != "":
		c.Status, c.Message = desk.HealthWarn, now.Error
		c.Hint = "the former projections are in force; begin again with: larkspur rebuild"
	default:
		return c, false
	}
	return c, true
}
