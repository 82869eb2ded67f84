package page_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/ui/login"
	"larkspur/ui/uitest"
)

func TestSetupLink(t *testing.T) {
	w := uitest.Sample(t, address)
	link, _, err := w.Server.SignInLink("ana")
	if err != nil || !strings.HasPrefix(link, address+"setup/") {
		t.Fatalf("got %q, %v, want a link below %s", link, err, address)
	}
	u, _ := url.Parse(link)
	scanner := w.Visit(t, "")
	for range 3 {
		scanner.Get(u.Path).Want(200, "Sign in as ana")
		if p := scanner.Do(http.MethodHead, u.Path, "", ""); p.Status != 200 || p.Header.Get("Set-Cookie") != "" {
			t.Errorf("HEAD: got %d and the cookie %q, want 200 and none", p.Status, p.Header.Get("Set-Cookie"))
		}
	}
	if got := w.Logged(); got != "" {
		t.Errorf("looking was recorded as %q", got)
	}
	ana := w.Visit(t, "")
	form := ana.Get(u.Path).Form()
	ana.Post(u.Path, nil).Want(403, "does not belong to this link")
	p := ana.Post(u.Path, form).Want(303)
	cookie := p.Header.Get("Set-Cookie")
	for _, want := range []string{login.CookieName + "=", "Path=/larkspur/", "HttpOnly", "Secure", "SameSite=Lax"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie %q lacks %s", cookie, want)
		}
	}
	ana.Get(p.Header.Get("Location")).Want(200, "You are signed in", "Incidents")
	scanner.Get(u.Path).Want(410, "This link was used already", "larkspur login ana")
	scanner.Post(u.Path, form).Want(410, "This link was used already")
}

func TestSetupLinkIsOverOrUnknown(t *testing.T) {
	w := uitest.Sample(t, address)
	link, _, _ := w.Server.SignInLink("ana")
	u, _ := url.Parse(link)
	v := w.Visit(t, "")
	form := v.Get(u.Path).Form()
	w.Pass(engine.LinkLife)
	v.Get(u.Path).Want(410, "This link is over", "larkspur login ana")
	v.Post(u.Path, form).Want(410)
	v.Get("/larkspur/setup/cut-off").Want(404, "This link is not known", "larkspur login")
	v.Get("/larkspur/setup/" + strings.Repeat("x", 5000)).Want(404)
	for range login.BadPerWindow {
		v.Get("/larkspur/setup/guess")
	}
	v.Get("/larkspur/setup/guess").Want(429, "too many wrong tokens")
}
