package page_test

import (
	"testing"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

func TestDevices(t *testing.T) {
	w := uitest.Sample(t, address)
	ana, dave := w.Visit(t, "ana"), w.Visit(t, "dave")
	w.Visit(t, "").Get("/larkspur/devices").Want(401)
	p := ana.Get("/larkspur/devices").Want(200, "this browser", "a sign-in link", "ana").Lacks("dave</dd>")
	dave.Get("/larkspur/devices").Want(200, "this browser", "ana", "dave")

	ana.Post("/larkspur/devices/d0-2/revoke", p.Form()).Want(404)
	ana.Post("/larkspur/devices/d0-9/revoke", p.Form()).Want(404)
	ana.Post("/larkspur/devices/d0-1/revoke", nil).Want(403)
	form := dave.Get("/larkspur/devices").Form("reason", "the phone was lost")
	if to := dave.Post("/larkspur/devices/d0-1/revoke", form).Want(303).Header.Get("Location"); to != "/larkspur/devices?done=revoked" {
		t.Errorf("got a redirect to %q", to)
	}
	dave.Post("/larkspur/devices/d0-1/revoke", form).Want(409, "revoked already")
	dave.Get("/larkspur/devices?done=revoked").Want(200, "is paired no more", "by dave: the phone was lost")
	ana.Get("/larkspur/devices").Want(401)

	w.Pass(engine.DeviceLife)
	dave.Get("/larkspur/devices").Want(401)
}
