package page_test

import (
	"strings"
	"testing"

	"larkspur/ui/login"
	"larkspur/ui/uitest"
)

func TestSignInIsAskedForInPlace(t *testing.T) {
	w := uitest.Sample(t, address)
	nobody := w.Visit(t, "")
	for _, path := range []string{"/larkspur/", "/larkspur/incidents/i0-42", "/larkspur/audit", "/larkspur/status"} {
		nobody.Get(path).Want(401, "Please sign in", "larkspur login").Lacks("Netflix", ">Runs<")
	}
}

func TestSignOut(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "dave")
	kept := dave.Cookies[login.CookieName]
	form := dave.Get("/larkspur/").Form()
	dave.Post("/larkspur/logout", nil).Want(403)
	p := dave.Post("/larkspur/logout", form).Want(200, "You are signed out").Lacks("Sign out")
	if !strings.Contains(p.Header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("got %q, want the cookie deleted", p.Header.Get("Set-Cookie"))
	}
	dave.Cookies[login.CookieName] = kept
	dave.Get("/larkspur/").Want(401)
	if got, want := w.Logged(), "login dave link; logout dave"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRoleIsLookedUpAtEveryRequest(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "dave")
	dave.Get("/larkspur/audit").Want(200)
	who := w.Has.Persons["dave"]
	who.Role = "viewer"
	w.Has.Persons["dave"] = who
	dave.Get("/larkspur/audit").Want(403)
	delete(w.Has.Persons, "dave")
	dave.Get("/larkspur/").Want(401)
}
