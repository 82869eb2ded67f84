package desk

import (
	"context"

	"larkspur/engine"
	"larkspur/ui/login"
)

// Erase erases on behalf of an administrator; dry only tells what it would. A
// missing or too long reason is a Problem of "because".
func (d *Desk) Erase(ctx context.Context, who login.Identity, req engine.ErasureRequest, dry bool) (engine.Erasure, error) {
	if err := Permit(who, login.Govern); err != nil {
		return engine.Erasure{}, err
	}
	if err := text("because", req.Because, true); err != nil {
		return engine.Erasure{}, err
	}
	if req.Incident != "" {
		if _, err := d.Incident(who, req.Incident); err != nil {
			return engine.Erasure{}, err
		}
	}
	req.By, req.How = who.Name, who.How
	if dry {
		return d.Eraser.Plan(ctx, req)
	}
	return d.Eraser.Erase(ctx, req)
}
