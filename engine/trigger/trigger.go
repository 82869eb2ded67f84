// Package trigger turns what happens in the world into events, one source a
// file: Webhook is an http.Handler, DNS reads a capture. Every source hands its
// events to a Sink and says nothing to the world before the Sink has them.
package trigger

import (
	"context"

	"larkspur/engine"
)

// Sink takes events. Safe for concurrent use.
type Sink interface {
	// Deliver returns once the event is durable, with its id. An event whose
	// source and key are known already is not taken twice: the id is the first
	// one's. Errors are of kind unavailable when a later try can succeed.
	Deliver(ctx context.Context, e engine.Event) (id string, err error)
}
