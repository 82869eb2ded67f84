package api

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Scrub serves POST scrub: it begins one, and answers at once.
func (a *API) Scrub(c echo.Context) error {
	if err := body(c, &struct{}{}); err != nil {
		return err
	}
	if err := a.Desk.Scrubs.Scrub(who(c).Name); err != nil {
		return err
	}
	return write(c, http.StatusAccepted, a.Desk.Scrubs.Scrubbing())
}

// Scrubbing serves GET scrub.
func (a *API) Scrubbing(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	return write(c, http.StatusOK, a.Desk.Scrubs.Scrubbing())
}
