package api

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// AcceptClockBody is what accepting the clock takes.
type AcceptClockBody struct {
	Reason string `json:"reason"`
}

// Clock serves GET clock.
func (a *API) Clock(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	h, err := a.Desk.ClockHold()
	if err != nil {
		return err
	}
	return write(c, http.StatusOK, h)
}

// AcceptClock serves POST clock/accept.
func (a *API) AcceptClock(c echo.Context) error {
	var b AcceptClockBody
	if err := body(c, &b); err != nil {
		return err
	}
	d, err := a.Desk.AcceptClock(c.Request().Context(), who(c), b.Reason)
	return decided(c, d, err)
}
