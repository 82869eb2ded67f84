// Package api is the JSON interface under /api/v1, LANGUAGE section 7: one
// handler for each call, strict about what it is sent. Lists answer
// {"items", "next"}, errors {"error": {"kind", "message", "hint"}}.
//
// The routes stand in package ui; Operations describes them for the OpenAPI
// document, and a test holds the two against each other.
package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

// API answers programs. Safe for concurrent use.
type API struct {
	Desk   *desk.Desk
	Access *login.Access
	// URL is the configured address, for links in answers.
	URL *url.URL
	// Version is Larkspur's, for the OpenAPI document.
	Version string
}

// List is a page of a list.
type List[T any] struct {
	Items []T `json:"items"`
	// Next is the cursor of the next page, "" on the last.
	Next string `json:"next"`
}

// Failure is the body of every error.
type Failure struct {
	Error engine.Error `json:"error"`
}

// Fail writes an error; id is what the log calls it.
func (a *API) Fail(c echo.Context, err error, id string) error {
	status, said := desk.Explain(err, id)
	if status == http.StatusUnauthorized {
		c.Response().Header().Set("WWW-Authenticate", `Bearer realm="larkspur"`)
	}
	return write(c, status, Failure{*said})
}

// write sends JSON without HTML escapes, as programs like to read it.
func write(c echo.Context, status int, v any) error {
	b, err := engine.MarshalJSON(v)
	if err != nil {
		return engine.WrapError(engine.Internal, err, "encoding the answer")
	}
	return c.Blob(status, "application/json; charset=utf-8", append(b, '\n'))
}

func who(c echo.Context) login.Identity { return login.From(c.Request().Context()).Identity }

// query reads parameters and refuses those that a call does not know: a
// misspelt filter must not select everything.
type query struct {
	values url.Values
	err    error
}

func params(c echo.Context, known ...string) *query {
	q := &query{values: c.QueryParams()}
	for _, name := range sortedKeys(q.values) {
		if !slices.Contains(known, name) {
			q.err = unknown("parameter", name, known)
			return q
		}
	}
	return q
}

func (q *query) text(name string) string { return q.values.Get(name) }

// oneOf reads a parameter that takes certain values only.
func (q *query) oneOf(name string, allowed ...string) string {
	v := q.values.Get(name)
	if v != "" && !slices.Contains(allowed, v) && q.err == nil {
		q.err = engine.Errorf(engine.Invalid, "%s: got %q, want %s", name, v, either(allowed))
	}
	return v
}

func (q *query) limit() int {
	text := q.values.Get("limit")
	if text == "" {
		return desk.DefaultLimit
	}
	n, err := strconv.Atoi(text)
	if (err != nil || n < 1 || n > desk.MaxLimit) && q.err == nil {
		q.err = engine.Errorf(engine.Invalid, "limit: got %q, want a number from 1 to %d", text, desk.MaxLimit)
	}
	return n
}

// number reads a number from 1, 0 for none.
func (q *query) number(name string) int {
	text := q.values.Get(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if (err != nil || n < 1) && q.err == nil {
		q.err = engine.Errorf(engine.Invalid, "%s: got %q, want a number from 1", name, text)
	}
	return n
}

func (q *query) time(name string) time.Time {
	text := q.values.Get(name)
	if text == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	if q.err == nil {
		q.err = engine.Errorf(engine.Invalid, "%s: got %q, want a time like 2026-11-22T08:00:00Z", name, text)
	}
	return time.Time{}
}

// page answers with a page of a list.
func page[T any](c echo.Context, items []T, next string, err error) error {
	if err != nil {
		return err
	}
	if items == nil {
		items = []T{}
	}
	return write(c, http.StatusOK, List[T]{items, next})
}

// decided answers with a decision; one that had no effect is a conflict.
func decided(c echo.Context, d engine.Decision, err error) error {
	switch {
	case err != nil:
		return err
	case !d.Applied:
		return desk.NotApplied(d)
	}
	return write(c, http.StatusOK, d)
}

func unknown(what, name string, known []string) error {
	err := engine.Errorf(engine.Invalid, "unknown %s %q", what, clip(name))
	if near := nearest(name, known); near != "" {
		return err.WithHint("Did you mean %q?", near)
	}
	if len(known) == 0 {
		return err.WithHint("This call takes none.")
	}
	return err.WithHint("Known here: %s.", strings.Join(known, ", "))
}

// either writes "a, b or c".
func either(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60]
	}
	return s
}
