package appliance

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"larkspur/builtins"
	"larkspur/engine"
	"larkspur/engine/intake"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/scripts"
)

// rulebook is what runs now: the live workspace and how its rules fare.
type rulebook struct {
	live   atomic.Pointer[scripts.Live]
	state  *state.State
	intake *intake.Intake
}

// Snapshot implements ui.Rules.
func (b *rulebook) Snapshot() engine.Snapshot {
	if live := b.live.Load(); live != nil {
		return *live.Snapshot
	}
	return engine.Snapshot{}
}

// RuleStatuses implements ui.Rules.
func (b *rulebook) RuleStatuses() []engine.RuleStatus {
	var list []engine.RuleStatus
	for _, rule := range b.Snapshot().Declarations.Rules {
		s := engine.RuleStatus{Rule: rule, LastError: b.intake.LastError(rule.Name)}
		if h, err := b.state.Hits(rule.Name); err == nil {
			s.Hits, s.LastHit = h.Hits, h.Last
		} else {
			s.LastError = err.Error()
		}
		list = append(list, s)
	}
	return list
}

// rules is what the intake goes by.
func (b *rulebook) rules() *intake.Live {
	live := b.live.Load()
	if live == nil || live.Snapshot.Hash == "" {
		return nil
	}
	return &intake.Live{Bundle: live.Snapshot.Hash, Commit: live.Snapshot.Commit, Set: live.Rules}
}

// publish makes a workspace the live one: its content is kept, and a record says
// so, before any event meets it.
func (a *Appliance) publish(ctx context.Context, live *scripts.Live) {
	before := a.rules.Snapshot()
	for live.Snapshot.Hash != "" && live.Snapshot.Hash != before.Hash {
		err := a.activate(ctx, live.Snapshot)
		if err == nil {
			slog.Info("scripts are live", "bundle", live.Snapshot.Hash[:12], "rules", len(live.Snapshot.Declarations.Rules))
			break
		}
		if !engine.NoRoom(err) { // the store has told of that, once
			slog.Error("scripts could not be made live; trying again", "error", err)
		}
		if a.clock.Sleep(ctx, time.Second) != nil {
			return
		}
	}
	for _, p := range live.Snapshot.Problems {
		text := p.Message
		if p.Hint != "" {
			text += " (" + p.Hint + ")"
		}
		slog.Warn("workspace", "severity", p.Severity, "at", engine.Position{File: p.File, Line: p.Line, Col: p.Col}.String(), "problem", text)
	}
	if live.OK() {
		if scripts.HasError(before.Problems) {
			slog.Info("the workspace has no errors any more")
		}
		a.adopt()
	}
	a.rules.live.Store(live)
	if before.Hash != "" && before.Hash != live.Snapshot.Hash {
		a.pool.Forget(before.Hash) // a run that still needs it loads it from the ledger's store
	}
}

func (a *Appliance) activate(ctx context.Context, s *engine.Snapshot) error {
	blob, err := a.state.KeepBundle(s.Bundle)
	if err != nil {
		return err
	}
	defer a.state.ReleaseBlob(blob)
	p := record.BundleActivated{Blob: blob, Bundle: s.Hash, Commit: s.Commit}
	for _, name := range sortedKeys(s.Bundle.Files) {
		p.Files = append(p.Files, name)
	}
	for _, r := range s.Declarations.Rules {
		p.Rules = append(p.Rules, r.Name)
	}
	_, err = a.ledger.Append(ctx, 0, ledger.New{Kind: record.BundleActivatedKind, Payload: record.Marshal(p)})
	return err
}

// door is the builtins of the configuration in force, behind one pointer: the
// configuration changes while runs go on.
type door struct{ now atomic.Pointer[builtins.Door] }

func (d *door) Lookup(name string) (engine.Builtin, bool) { return d.now.Load().Lookup(name) }

func (d *door) Do(ctx context.Context, c *engine.Call) (engine.Result, error) {
	return d.now.Load().Do(ctx, c)
}

func (d *door) Probe(ctx context.Context, c *engine.Call) (bool, engine.Result, error) {
	return d.now.Load().Probe(ctx, c)
}

// jobs are what the schedule goes by.
func (a *Appliance) jobs() *intake.Jobs {
	s := a.rules.Snapshot()
	if s.Hash == "" {
		return nil
	}
	return &intake.Jobs{Bundle: s.Hash, Commit: s.Commit, Zone: a.current().Zone, Jobs: s.Declarations.Jobs}
}

// liveBundle is what runs are restarted with that want the live scripts.
func (a *Appliance) liveBundle() (bundle, commit string) {
	s := a.rules.Snapshot()
	return s.Hash, s.Commit
}
