package command

import (
	"context"
	"errors"

	"larkspur/appliance"
	"larkspur/engine/sandbox"
)

// withWorker runs fn with a pool of one worker, for commands that only look at
// scripts.
func withWorker(ctx context.Context, fn func(*sandbox.Pool) error) error {
	pool, err := sandbox.Open(sandbox.Config{Hello: appliance.Hello()})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }() // ends with Close, below
	err = fn(pool)
	return errors.Join(err, pool.Close(), <-ended)
}
