package desk

import (
	"context"

	"larkspur/engine"
	"larkspur/ui/login"
)

// Press presses a button of an incident on behalf of who is signed in.
func (d *Desk) Press(ctx context.Context, who login.Identity, incident, button string) (engine.Decision, error) {
	if err := d.mayWork(who, incident); err != nil {
		return engine.Decision{}, err
	}
	list, err := d.Reader.Buttons(incident)
	if err != nil {
		return engine.Decision{}, err
	}
	for _, b := range list {
		if b.ID == button {
			return d.Decider.Press(ctx, b.ID, who.Name, who.How)
		}
	}
	return engine.Decision{}, missing("button", button)
}

// PressLink presses a button for whoever holds its link: somebody without an
// account, as a rule. A member of the team who is signed in is named.
func (d *Desk) PressLink(ctx context.Context, who login.Identity, b engine.Button) (engine.Decision, error) {
	by := engine.ByLink
	if who.Known() {
		by = who.Name
	}
	return d.Decider.Press(ctx, b.ID, by, "link")
}
