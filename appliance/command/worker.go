package command

import (
	"errors"

	"larkspur/appliance"
	"larkspur/engine/sandbox"
)

// withWorker runs fn with a pool of one worker, for commands that only look at
// scripts.
func (c *call) withWorker(fn func(*sandbox.Pool) error) error {
	return c.withPool(sandbox.Config{Binary: c.worker, Hello: appliance.Hello()}, fn)
}

// withPool runs fn with a pool of one worker.
func (c *call) withPool(settings sandbox.Config, fn func(*sandbox.Pool) error) error {
	pool, err := sandbox.Open(settings)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(c.ctx) }() // ends with Close, below
	err = fn(pool)
	return errors.Join(err, pool.Close(), <-ended)
}
