// Package reach is what packages of builtins reach the world with: the one
// dialer that obeys the egress rule, pinned certificates, the translation of
// network errors into kinds and causes, and the shape in which a package hands
// its builtins to the door.
//
// A package of builtins dials with Env.Dialer and nothing else.
package reach

import (
	"time"

	"larkspur/engine"
)

// Secrets resolves names of secrets. Safe for concurrent use.
type Secrets interface {
	// Get returns the secret's value; an error of kind not_found where there is
	// none.
	Get(name string) (string, error)
}

// Env is what a package of builtins is opened with. Everything in it is safe for
// concurrent use.
type Env struct {
	Secrets Secrets
	Dialer  *Dialer
	Clock   engine.Clock
	// People returns the addresses of a person or team, nil for a name that is
	// neither. It may be nil.
	People func(name string) []string
	// Blob returns an attachment by the hex SHA-256 of its content. It may be nil.
	Blob func(sha256 string) ([]byte, error)
	// Incident reads an incident. It may be nil.
	Incident func(id string) (engine.Incident, error)
	// History answers queries of the passive DNS memory. It may be nil.
	History func(engine.DNSQuery) (engine.DNSPage, error)
	// Workspace is the folder of the workspace, for files that connections name;
	// empty where there is none.
	Workspace string
}

// Builtin is a builtin with the limits that the door applies. Zero limits mean
// the door's defaults.
type Builtin struct {
	engine.Builtin
	// Timeout is how long a call may take when it does not say; MaxTimeout is the
	// most that it may ask for.
	Timeout, MaxTimeout time.Duration
	// AtOnce is how many calls of one connection (or, without one, of this
	// module) run at a time; the others wait, within their timeout. Negative is
	// no limit, for a builtin that reaches nothing.
	AtOnce int
	// Lane names a queue of its own for calls that must not wait behind others of
	// their connection; nil, and "", are the common one.
	Lane func(*engine.Call) string
	// Bare lets a call without a name use no connection. Else the door fills in
	// the name where there is one connection, or one called "default".
	Bare bool
	// Handles leaves engine.Secret in the arguments, for a builtin that records
	// them for later instead of sending them anywhere.
	Handles bool
}

// Module is what a package of builtins opens to.
type Module struct {
	Builtins []Builtin
	// Close ends idle connections. It may be nil.
	Close func()
}
