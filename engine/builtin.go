package engine

import (
	"context"
	"time"
)

// Builtin is one call that scripts make of the world: what it is, and how it is
// done. Packages under builtins/ make them; the one door in package builtins
// wraps them all with scrubbing and limits.
type Builtin struct {
	Signature
	// Do performs the call. It is called from many goroutines at once, must obey
	// ctx, and never panics on outside data. Errors are *Error; one that is not
	// counts as Internal. An error of an effect whose outcome is unknown sets
	// Maybe.
	Do func(ctx context.Context, c *Call) (Result, error)
	// Probe asks the world whether the call did happen ("is it blocked?"), for a
	// step of class once that was started and has no result. nil: a person is
	// asked.
	Probe func(ctx context.Context, c *Call) (happened bool, r Result, err error)
	// Before reads what Probe will compare with, such as which boot of a host this
	// is. Its value is recorded with the step's start, before Do, and stands in
	// Call.Before of Do and Probe. Its error is that of the step, which then has
	// not begun. It is nil for most.
	Before func(ctx context.Context, c *Call) (Value, error)
	// Decode has, for each version before Version, a function that reads what that
	// one returned as Version does: journals of older programs are replayed with
	// it. It gets the value that was recorded, and must return the same for the same
	// one. A builtin that raises its Version adds one, and changes those before it;
	// a test holds that none is missing.
	Decode map[int]func(old Value) (Value, error)
}

// Undecoded lists the versions before the builtin's own that have no decoder.
func (b Builtin) Undecoded() (versions []int) {
	for v := 1; v < b.Version; v++ {
		if b.Decode[v] == nil {
			versions = append(versions, v)
		}
	}
	return versions
}

// Call is one step on its way to a builtin.
type Call struct {
	Name string
	// Connection is the name of the connection, for builtins that take one.
	Connection string
	// Args by parameter name; every parameter that was given or has a default is
	// there. Handles of secrets are already replaced by their values: nothing of
	// Args may go into an error, a log or a result.
	Args map[string]Value
	// Key is the idempotency key RUN/GENERATION/PATH/N, equal when the same step
	// is performed again.
	Key string
	// Before is what the builtin's Before read.
	Before Value
	// Class is the step's, after `effect =`; empty is the builtin's own.
	Class Class
	// Run and Incident are ids; Incident may be empty.
	Run, Incident string
}

// Text returns the argument as a string, "" when it is absent or none.
func (c *Call) Text(name string) string {
	s, _ := c.Args[name].(string)
	return s
}

// Span returns the argument as a duration, or fallback when it is absent.
func (c *Call) Span(name string, fallback time.Duration) time.Duration {
	if d, ok := c.Args[name].(time.Duration); ok {
		return d
	}
	return fallback
}

// Bool returns the argument as a bool, or fallback when it is absent.
func (c *Call) Bool(name string, fallback bool) bool {
	if b, ok := c.Args[name].(bool); ok {
		return b
	}
	return fallback
}

// Result is what a builtin gives back.
type Result struct {
	Value Value
	// Change is set when the call changed the world in a way that its inverse can
	// take back. When nothing changed (it already was so), it is nil, so that
	// taking back does not undo what somebody else did.
	Change *Inverse
	// Starts are runs to begin in the very frame that records this result: mail
	// is handed to the outbox this way.
	Starts []Start
}

// Inverse is how a change is taken back: a builtin with its arguments.
type Inverse struct {
	Title   string // "block 02:00:00:00:00:07 on home"
	Builtin string
	Args    map[string]Value // with "connection" where the builtin takes one
}

// Start asks for a run.
type Start struct {
	Handler Handler
	Args    map[string]Value
	Purpose string
}
