package api

import (
	"github.com/labstack/echo/v4"
)

// Devices serves GET devices.
func (a *API) Devices(c echo.Context) error {
	q := params(c, "limit", "cursor")
	limit := q.limit()
	if q.err != nil {
		return q.err
	}
	items, next, err := a.Desk.PairedDevices(who(c), q.text("cursor"), limit)
	return page(c, items, next, err)
}

// RevokeDevice serves POST devices/:id/revoke.
func (a *API) RevokeDevice(c echo.Context) error {
	var b ReasonBody
	if err := body(c, &b); err != nil {
		return err
	}
	d, err := a.Desk.Revoke(c.Request().Context(), who(c), c.Param("id"), b.Reason)
	return decided(c, d, err)
}
