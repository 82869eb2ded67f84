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
