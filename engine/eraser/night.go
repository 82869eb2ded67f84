package eraser

import (
	"context"
	"log/slog"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
)

// A pass comes every night, and an hour after the start, for boxes that are off
// at night.
const (
	passHour  = 3 // of the workspace's day
	firstPass = time.Hour
)

// Nights makes the passes until ctx ends, beside Run.
func (e *Eraser) Nights(ctx context.Context) error {
	for wait := firstPass; e.cfg.Clock.Sleep(ctx, wait) == nil; wait = e.untilNight() {
		if err := e.Pass(ctx); err != nil && ctx.Err() == nil {
			slog.Error("the nightly erasure could not be done; trying again the next night", "error", err)
		}
	}
	return nil
}

func (e *Eraser) untilNight() time.Duration {
	now := e.cfg.Clock.Now()
	local := now.In(e.cfg.Zone())
	next := time.Date(local.Year(), local.Month(), local.Day(), passHour, 0, 0, 0, local.Location())
	if !next.After(now) {
		next = time.Date(local.Year(), local.Month(), local.Day()+1, passHour, 0, 0, 0, local.Location())
	}
	return next.Sub(now)
}

// Pass asks for what is due: incidents that are older than they are kept, and
// what earlier erasures had to leave because it was in use. It removes blobs that
// no record names. Run does what it asks for.
func (e *Eraser) Pass(ctx context.Context) error {
	if err := e.retire(ctx); err != nil {
		return err
	}
	err := e.eachErasure(func(x engine.Erasure) {
		if x.Status == engine.ErasureWaits {
			e.enqueue(x.ID)
		}
	})
	if err != nil {
		return err
	}
	return e.Collect(ctx)
}

// retire erases by age.
func (e *Eraser) retire(ctx context.Context) error {
	if e.cfg.Keep == nil {
		return nil
	}
	span, before := e.cfg.Keep(e.cfg.Clock.Now())
	if span == "" {
		return nil
	}
	req := engine.ErasureRequest{Before: before, Because: "retention: incidents older than " + span, By: "larkspur", How: "schedule"}
	if would, err := e.Plan(ctx, req); err != nil || would.Records == 0 {
		return err
	}
	_, err := e.Erase(ctx, req)
	return err
}

// Collect removes the blobs that no record names: what a crash left, and those
// of erased records.
func (e *Eraser) Collect(ctx context.Context) error {
	sweep := e.cfg.Blobs.Sweep()
	defer sweep.End()
	used := map[string]bool{}
	p := &planner{e: e}
	err := p.each(ctx, func(r ledger.Record) error {
		for _, sum := range blobsOf(r) {
			used[sum] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	held, err := sweep.Collect(used)
	if err != nil {
		return err
	}
	if held.Removed > 0 {
		slog.Info("blobs that no record names are removed", "files", held.Removed, "bytes", held.Freed)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	removed, freed := e.held.Removed+held.Removed, e.held.Freed+held.Freed
	e.held = held
	e.held.Removed, e.held.Freed = removed, freed
	return nil
}
