package api_test

import (
	"testing"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/uitest"
)

func TestDevices(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	ana := w.Visit(t, "ana")
	w.Visit(t, "").Pair("/larkspur/a/" + uitest.OpenLink)
	c.Get("/api/v1/devices").Want(200, `"person":"ana"`, `"person":"dave"`, `"how":"code"`, `"used":`)
	ana.Get("/larkspur/api/v1/devices").Want(200, `"person":"ana"`).Lacks("dave") // her own
	viewer := w.Visit(t, "")
	viewer.Header["Authorization"] = "Bearer a-viewer-of-the-tests"
	viewer.Get("/api/v1/devices").Want(200).Lacks("ana", "dave")
	viewer.Do("POST", "/api/v1/devices/d0-1/revoke", "application/json", `{}`).Want(404)
	c.Do("POST", "/api/v1/devices/d0-1/revoke", "application/json", `{"reason": "lost"}`).Want(200, `"applied":true`)
	c.Do("POST", "/api/v1/devices/d0-1/revoke", "application/json", `{}`).Want(409, "revoked already")
	c.Do("POST", "/api/v1/devices/d0-9/revoke", "application/json", `{}`).Want(404, "no device")
	ana.Get("/larkspur/api/v1/devices").Want(401)
}

// TestATokenIsNoSignIn: it counts as a paired device, and not as somebody who signed in
// a moment ago.
func TestATokenIsNoSignIn(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	q := &w.Has.Questions[1]
	path := "/api/v1/questions/" + uitest.OpenQ + "/answer"
	q.Proof = desk.ProofLogin
	c.Do("POST", path, "application/json", `{"choice": "Block"}`).Want(403, "sign-in of the last 15 minutes")
	q.Proof = desk.ProofTyped
	c.Do("POST", path, "application/json", `{"choice": "Block"}`).Want(422, "typed")
	q.Proof = desk.ProofDevice
	c.Do("POST", path, "application/json", `{"choice": "Block"}`).Want(200, `"applied":true`)
	if q.Answer == nil || q.Answer.Proof != engine.ProofToken {
		t.Errorf("got %+v, want it proven by the token", q.Answer)
	}
}
