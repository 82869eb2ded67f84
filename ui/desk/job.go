package desk

import (
	"context"

	"larkspur/engine"
	"larkspur/ui/login"
)

// StartJob has a job run now, by hand.
func (d *Desk) StartJob(ctx context.Context, who login.Identity, name string) (engine.JobStart, error) {
	if err := Permit(who, login.Steer); err != nil {
		return engine.JobStart{}, err
	}
	return d.Jobs.StartJob(ctx, name, who.Name, who.How)
}
