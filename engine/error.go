package engine

import (
	"errors"
	"fmt"
)

// Kind is the machine-readable class of an error, as scripts, the API and exit
// codes see it. See LANGUAGE, `attempt`.
type Kind string

// The kinds. Only Timeout and Unavailable may be retried.
const (
	Invalid     Kind = "invalid"
	NotFound    Kind = "not_found"
	Conflict    Kind = "conflict"
	Denied      Kind = "denied"
	Timeout     Kind = "timeout"
	Unavailable Kind = "unavailable"
	Closed      Kind = "closed"
	Script      Kind = "script"
	Internal    Kind = "internal"
)

// CauseNoRoom is the Cause of an Unavailable error of ours when our disk is nearly
// full: nothing was written, and it may be tried again when there is room.
const CauseNoRoom = "no_room"

// NoRoom reports whether err says that our disk is nearly full. The store has
// said so in the log: who tries again need not.
func NoRoom(err error) bool {
	var known *Error
	return errors.As(err, &known) && known.Cause == CauseNoRoom
}

// Error is an error with a kind, a cause and a remedy. Message is what a person
// reads; Hint says what to do next. The wrapped error stays inside the process.
type Error struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
	// Cause narrows Kind: name, refused, reset, unreachable, tls, status; no_room
	// for a full disk; for Script: memory, time, limit; failed for fail().
	Cause string `json:"cause,omitempty"`
	Hint  string `json:"hint,omitempty"`
	// At is file:line:col of the script, where one is to blame.
	At string `json:"at,omitempty"`
	// Maybe is true when an effect may have happened although no answer came.
	Maybe bool `json:"maybe,omitempty"`

	wrapped error
}

// Error returns the message, without the hint.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the internal cause, if any.
func (e *Error) Unwrap() error { return e.wrapped }

// Errorf makes an error of a kind. A %w in format is kept as the internal cause.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), wrapped: errors.Unwrap(err)}
}

// WrapError gives err a kind, unless it has one already, and says what was done.
func WrapError(kind Kind, err error, doing string) *Error {
	var known *Error
	if errors.As(err, &known) {
		copied := *known
		copied.Message = doing + ": " + err.Error()
		copied.wrapped = err
		return &copied
	}
	return &Error{Kind: kind, Message: doing + ": " + err.Error(), wrapped: err}
}

// WithHint sets the remedy and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithCause sets the cause and returns e.
func (e *Error) WithCause(cause string) *Error {
	e.Cause = cause
	return e
}

// AsError returns err as an *Error; one without a kind is Internal.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		if known.Error() == err.Error() {
			return known
		}
		copied := *known
		copied.Message = err.Error()
		return &copied
	}
	return &Error{Kind: Internal, Message: err.Error(), wrapped: err}
}

// KindOf returns the kind of err, Internal for one without.
func KindOf(err error) Kind { return AsError(err).Kind }
