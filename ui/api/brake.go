package api

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// BrakeBody is what pressing the brake, or letting it go, takes.
type BrakeBody struct {
	Reason string `json:"reason"`
}

// Brake serves GET brake.
func (a *API) Brake(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	b, err := a.Desk.Reader.Brake()
	if err != nil {
		return err
	}
	return write(c, http.StatusOK, b)
}

// Pause serves POST pause.
func (a *API) Pause(c echo.Context) error { return a.setBrake(c, true) }

// Resume serves POST resume.
func (a *API) Resume(c echo.Context) error { return a.setBrake(c, false) }

func (a *API) setBrake(c echo.Context, on bool) error {
	var b BrakeBody
	if err := body(c, &b); err != nil {
		return err
	}
	d, err := a.Desk.SetBrake(c.Request().Context(), who(c), on, b.Reason)
	return decided(c, d, err)
}
