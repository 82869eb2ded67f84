package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
)

// ErasureBody is what an erasure takes: an incident or a person, and why.
type ErasureBody struct {
	Incident string `json:"incident"`
	Person   string `json:"person"`
	Because  string `json:"because"`
	// Snapshots deletes the snapshots of upgrades, too.
	Snapshots bool `json:"snapshots"`
	DryRun    bool `json:"dry_run"`
}

// Erase serves POST erasures: with dry_run it tells what would go; without, it
// takes the request and answers at once.
func (a *API) Erase(c echo.Context) error {
	var b ErasureBody
	if err := body(c, &b); err != nil {
		return err
	}
	req := engine.ErasureRequest{Incident: b.Incident, Person: b.Person, Because: b.Because, Snapshots: b.Snapshots}
	e, err := a.Desk.Erase(c.Request().Context(), who(c), req, b.DryRun)
	switch {
	case err != nil:
		return err
	case b.DryRun:
		return write(c, http.StatusOK, e)
	}
	return write(c, http.StatusAccepted, e)
}

// Erasures serves GET erasures.
func (a *API) Erasures(c echo.Context) error {
	q := params(c, "limit", "cursor")
	limit := q.limit()
	if q.err != nil {
		return q.err
	}
	items, next, err := a.Desk.Eraser.Erasures(q.text("cursor"), limit)
	return page(c, items, next, err)
}

// Erasure serves GET erasures/:id.
func (a *API) Erasure(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	e, err := a.Desk.Eraser.Erasure(c.Param("id"))
	if err != nil {
		return err
	}
	return write(c, http.StatusOK, e)
}
