package page

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

type devicesView struct {
	frame
	Items []deviceView
	Next  string
	Later bool
}

type deviceView struct {
	engine.Device
	Here  bool // it is this browser
	Valid bool
	State string
}

// Devices serves GET /devices: one's own, or, for administrators, all.
func (p *Pages) Devices(c echo.Context) error {
	v := devicesView{frame: p.frame(c, "devices")}
	q := c.QueryParams()
	list, next, err := p.Desk.PairedDevices(v.Who, q.Get("cursor"), desk.DefaultLimit)
	if err != nil {
		return err
	}
	for _, d := range list {
		v.Items = append(v.Items, deviceView{Device: d, Here: d.ID == v.Who.Device.ID, Valid: d.Valid(v.Now), State: stateOf(d, v.frame)})
	}
	v.Next, v.Later = nextPage(q, next), q.Get("cursor") != ""
	return p.render(c, http.StatusOK, "devices", v)
}

func stateOf(d engine.Device, f frame) string {
	switch {
	case d.Erased != nil:
		return "erased"
	case !d.Revoked.IsZero():
		return "revoked"
	case !d.Valid(f.Now):
		return "over"
	}
	return "paired"
}

// RevokeDevice serves POST /devices/:id/revoke.
func (p *Pages) RevokeDevice(c echo.Context) error {
	who := login.From(c.Request().Context()).Identity
	why, err := formValue(c, "reason")
	if err != nil {
		return err
	}
	d, err := p.Desk.Revoke(c.Request().Context(), who, c.Param("id"), why)
	if err != nil {
		return err
	}
	if !d.Applied {
		return desk.NotApplied(d)
	}
	return p.back(c, "/devices", "revoked")
}
