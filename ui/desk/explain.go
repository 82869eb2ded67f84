package desk

import (
	"errors"
	"net/http"
	"strings"

	"larkspur/engine"
	"larkspur/ui/login"

	"github.com/labstack/echo/v4"
)

// Explain returns the HTTP status of an error and what may be said about it to
// whoever asked. Internal causes stay inside: id, which is in the log, stands
// for them.
func Explain(err error, id string) (status int, said *engine.Error) {
	var (
		nobody   *login.Unauthenticated
		tooBig   *http.MaxBytesError
		tooMany  *login.TooMany
		problems Problems
		routed   *echo.HTTPError
	)
	switch {
	case errors.As(err, &nobody):
		return http.StatusUnauthorized, engine.Errorf(engine.Denied, "%s", nobody.Why).WithHint("%s", nobody.Hint)
	case errors.As(err, &tooBig):
		return http.StatusRequestEntityTooLarge, TooBig(tooBig.Limit)
	case errors.As(err, &tooMany):
		return http.StatusTooManyRequests, engine.Errorf(engine.Denied, "%s", tooMany.Error())
	case errors.As(err, &problems):
		return http.StatusUnprocessableEntity, engine.AsError(problems)
	case errors.As(err, &routed):
		return routed.Code, explainRouting(routed.Code)
	}
	said = engine.AsError(err)
	status = StatusOf(said.Kind)
	if said.Kind == engine.Internal {
		said = engine.Errorf(engine.Internal, "something went wrong inside Larkspur").
			WithHint("It is in the log under the id %s.", id)
	}
	return status, &engine.Error{Kind: said.Kind, Message: said.Message, Hint: said.Hint, Cause: said.Cause}
}

// TooBig says that a request's body is over its limit.
func TooBig(limit int64) *engine.Error {
	return engine.Errorf(engine.Invalid, "the request's body is too large: at most %d KB are taken here", limit>>10).
		WithHint("Send less; nothing was read or changed.")
}

func explainRouting(code int) *engine.Error {
	switch code {
	case http.StatusNotFound:
		return engine.Errorf(engine.NotFound, "there is nothing at this address")
	case http.StatusMethodNotAllowed:
		return engine.Errorf(engine.Invalid, "this address does not take that method")
	}
	if code == http.StatusNotImplemented {
		return engine.Errorf(engine.Invalid, "this version of Larkspur does not have this call yet").
			WithHint("Nothing was read or changed. GET /api/v1/openapi.json lists the calls that there are; the CHANGELOG says when this one comes.")
	}
	return engine.Errorf(engine.Invalid, "%s", strings.ToLower(http.StatusText(code)))
}

// StatusOf is the HTTP status of a kind of error.
func StatusOf(k engine.Kind) int {
	switch k {
	case engine.Invalid:
		return http.StatusBadRequest
	case engine.NotFound:
		return http.StatusNotFound
	case engine.Conflict:
		return http.StatusConflict
	case engine.Denied:
		return http.StatusForbidden
	case engine.Timeout:
		return http.StatusGatewayTimeout
	case engine.Unavailable:
		return http.StatusServiceUnavailable
	case engine.Closed:
		return http.StatusGone
	}
	return http.StatusInternalServerError
}

// NotApplied is the error of a decision that had no effect.
func NotApplied(d engine.Decision) error {
	why := d.Why
	if why == "" {
		why = "somebody or something else was first"
	}
	return engine.Errorf(engine.Conflict, "it had no effect: %s", why).
		WithHint("Look at what happened since, and decide again if it is still needed.")
}
