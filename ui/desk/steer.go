package desk

import (
	"context"
	"strings"

	"larkspur/engine"
	"larkspur/ui/login"
)

// MaxValue bounds what a person says that a step returned.
const MaxValue = 16 << 10

// maySteer checks that somebody may steer a run, and sees it.
func (d *Desk) maySteer(who login.Identity, run string) error {
	if err := Permit(who, login.Steer); err != nil {
		return err
	}
	_, err := d.Run(who, run)
	return err
}

// Resolve says of a step in doubt that it happened, is to be done again, or
// skipped; of one that is held, that it may go on, or is dropped. in.Value is
// JSON, of what happened alone.
func (d *Desk) Resolve(ctx context.Context, who login.Identity, run string, in engine.Resolution) (engine.Decision, error) {
	if err := d.maySteer(who, run); err != nil {
		return engine.Decision{}, err
	}
	if err := text("reason", in.Why, false); err != nil {
		return engine.Decision{}, err
	}
	if len(in.Value) > MaxValue {
		return engine.Decision{}, Problems{"value": "is too long: at most 16 KB"}
	}
	in.By, in.How, in.Why = who.Name, who.How, strings.TrimSpace(in.Why)
	return d.Decider.ResolveStep(ctx, run, in)
}

// Restart lets a run go on from a step again; without one, all it changed is
// taken back, and it ends.
func (d *Desk) Restart(ctx context.Context, who login.Identity, run string, in engine.RestartRequest) (engine.Decision, error) {
	if err := d.mayRestart(who, run, in); err != nil {
		return engine.Decision{}, err
	}
	in.By, in.How, in.Why = who.Name, who.How, strings.TrimSpace(in.Why)
	return d.Decider.Restart(ctx, run, in)
}

// PreviewRestart says what a restart would do, and does nothing.
func (d *Desk) PreviewRestart(ctx context.Context, who login.Identity, run string, in engine.RestartRequest) (engine.RestartPreview, error) {
	if err := d.mayRestart(who, run, in); err != nil {
		return engine.RestartPreview{}, err
	}
	in.By = who.Name
	return d.Decider.PreviewRestart(ctx, run, in)
}

func (d *Desk) mayRestart(who login.Identity, run string, in engine.RestartRequest) error {
	if err := d.maySteer(who, run); err != nil {
		return err
	}
	if err := text("reason", in.Why, false); err != nil {
		return err
	}
	if len(in.Answer) > MaxValue {
		return Problems{"answer": "is too long: at most 16 KB"}
	}
	return nil
}
