package desk

import (
	"context"
	"strings"

	"larkspur/engine"
	"larkspur/ui/login"
)

// ClockHold says whether timers wait because the clock jumped: all shards have
// one clock.
func (d *Desk) ClockHold() (engine.ClockHold, error) { return d.Reader.Clock(0) }

// AcceptClock takes what the clock says for the time. What fell due by then fires
// at once, and cannot be taken back: it takes the right to govern.
func (d *Desk) AcceptClock(ctx context.Context, who login.Identity, why string) (engine.Decision, error) {
	if err := Permit(who, login.Govern); err != nil {
		return engine.Decision{}, err
	}
	if err := text("reason", why, false); err != nil {
		return engine.Decision{}, err
	}
	return d.Decider.AcceptClock(ctx, who.Name, strings.TrimSpace(why))
}

// clockHeld says that timers wait, and why.
func (d *Desk) clockHeld() ([]Need, error) {
	h, err := d.ClockHold()
	if err != nil || !h.On {
		return nil, err
	}
	return []Need{{HealthFail, "The clock jumped: no timer fires and no default answers", h.Why, "/status"}}, nil
}
