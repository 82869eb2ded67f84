package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// Changes serves GET changes.
func (a *API) Changes(c echo.Context) error {
	q := params(c, "status", "incident", "limit", "cursor")
	f := engine.ChangeFilter{
		Status:   q.oneOf("status", engine.ChangeInForce, engine.ChangeUndone, engine.ChangeUndoFailed),
		Incident: q.text("incident"),
	}
	limit := q.limit()
	if q.err != nil {
		return q.err
	}
	items, next, err := a.Desk.Changes(who(c), f, q.text("cursor"), limit)
	for i := range items {
		items[i] = change(items[i])
	}
	return page(c, items, next, err)
}

func change(c engine.Change) engine.Change {
	c.InverseArgs, c.Args, c.Done = desk.Plain(c.InverseArgs), desk.Plain(c.Args), desk.Plain(c.Done)
	return c
}

// Change serves GET changes/:id.
func (a *API) Change(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	found, err := a.Desk.Change(who(c), c.Param("id"))
	if err != nil {
		return err
	}
	return write(c, http.StatusOK, change(found))
}

// UndoBody is what taking a change back takes.
type UndoBody struct {
	// Script says which version's undo runs: "same", the one that made the change, or
	// "current", the live one.
	Script string `json:"script"`
	Reason string `json:"reason"`
}

// UndoChange serves POST changes/:id/undo.
func (a *API) UndoChange(c echo.Context) error {
	var b UndoBody
	if err := body(c, &b); err != nil {
		return err
	}
	current, err := script(b.Script)
	if err != nil {
		return err
	}
	d, err := a.Desk.Undo(c.Request().Context(), who(c), c.Param("id"), b.Reason, current)
	return decided(c, d, err)
}
