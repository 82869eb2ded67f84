package desk

import (
	"context"
	"strings"

	"larkspur/engine"
	"larkspur/ui/login"
)

// SetBrake presses the brake or lets it go. Whoever may work may press it: nothing
// is lost by that. Letting go takes the right to steer.
func (d *Desk) SetBrake(ctx context.Context, who login.Identity, on bool, why string) (engine.Decision, error) {
	right := login.Steer
	if on {
		right = login.Work
	}
	if err := Permit(who, right); err != nil {
		return engine.Decision{}, err
	}
	if err := text("reason", why, false); err != nil {
		return engine.Decision{}, err
	}
	return d.Decider.SetBrake(ctx, on, who.Name, strings.TrimSpace(why))
}
