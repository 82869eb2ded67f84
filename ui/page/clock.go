package page

import (
	"github.com/labstack/echo/v4"

	"larkspur/ui/desk"
	"larkspur/ui/login"
)

// AcceptClock serves POST /clock/accept.
func (p *Pages) AcceptClock(c echo.Context) error {
	why, err := formValue(c, "reason")
	if err != nil {
		return err
	}
	d, err := p.Desk.AcceptClock(c.Request().Context(), login.From(c.Request().Context()).Identity, why)
	if err != nil {
		return err
	}
	if !d.Applied {
		return desk.NotApplied(d)
	}
	return p.back(c, "/status", "clock-accepted")
}
