package api

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Rebuild serves POST rebuild: it begins one, and answers at once.
func (a *API) Rebuild(c echo.Context) error {
	if err := body(c, &struct{}{}); err != nil {
		return err
	}
	if err := a.Desk.Rebuilds.Rebuild(who(c).Name); err != nil {
		return err
	}
	return write(c, http.StatusAccepted, a.Desk.Rebuilds.Rebuilding())
}

// Rebuilding serves GET rebuild.
func (a *API) Rebuilding(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	return write(c, http.StatusOK, a.Desk.Rebuilds.Rebuilding())
}
