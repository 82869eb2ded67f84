package page_test

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/ui/desk"
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
	if got, want := w.Logged(), `login dave link; revoke d0-1 by dave how page "signed out"`; got != want {
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

func TestSignInByCode(t *testing.T) {
	w := uitest.Sample(t, address)
	for _, typed := range []string{"ana", "ANA@example.org"} {
		v := w.Visit(t, "")
		p := v.Get("/larkspur/audit?since=2026-11-22").Want(401, "Please sign in", "Send me a code")
		v.Post("/larkspur/signin", p.Form("name", typed)).Want(303)
		page := v.Get("/larkspur/signin?to=/audit").Want(200, "on its way to their mailbox", "for 30 days")
		mail := w.Mails[len(w.Mails)-1]
		if mail.To != "ana@example.org" {
			t.Fatalf("the code went to %s", mail.To)
		}
		v.Post("/larkspur/signin/code", page.Form("code", "wrong")).Want(400, "That is not the code. You may try four more times.")
		loose := strings.ToLower(strings.ReplaceAll(mail.Code, "-", " "))
		if to := v.Post("/larkspur/signin/code", page.Form("code", loose)).Want(303).Header.Get("Location"); to != "/larkspur/audit" {
			t.Errorf("got a redirect to %q", to)
		}
		v.Get("/larkspur/overview").Want(200, "ana")
		v.Get("/larkspur/devices").Want(200, "this browser", "by a mailed code").Lacks(mail.Code)
	}
}

// TestSignInTellsNothing: whether there is somebody of a name cannot be seen.
func TestSignInTellsNothing(t *testing.T) {
	w := uitest.Sample(t, address)
	see := func(name string) string {
		v := w.Visit(t, "")
		p := v.Post("/larkspur/signin", v.Get("/larkspur/signin").Form("name", name)).Want(303)
		page := v.Get("/larkspur/signin")
		wrong := v.Post("/larkspur/signin/code", page.Form("code", "BCDF-GHJK")).Want(400)
		said := regexp.MustCompile(`value="[A-Za-z0-9_-]{20,}"`).ReplaceAllString(page.Body+wrong.Body, "")
		return p.Header.Get("Location") + strings.Join(slices.Sorted(maps.Keys(v.Cookies)), " ") + said
	}
	if dave, nobody := see("dave"), see("nobody at all"); dave != nobody {
		t.Errorf("dave:\n%s\nnobody:\n%s", dave, nobody)
	}
	if len(w.Mails) != 1 {
		t.Errorf("got %d mails, want one", len(w.Mails))
	}
}

func TestSignInWithoutMail(t *testing.T) {
	w := uitest.Sample(t, address)
	w.NoMail = true
	v := w.Visit(t, "")
	v.Get("/larkspur/").Want(401, "no mail server is configured", "larkspur login").Lacks("Send me a code")
	v.Get(linkPath).Want(200, "no mail server is configured", "larkspur login").Lacks("Send me a code", `name="choice"`)
	link, _, err := w.Server.SignInLink("dave")
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(link)
	v.Post(u.Path, v.Get(u.Path).Form()).Want(303)
	v.Post(linkPath, v.Get(linkPath).Form("choice", "Block")).Want(200, "Thank you")
}

// TestALateCode: who holds a link is told why the mail is not there; on the page on
// which anybody may be typed nothing is.
func TestALateCode(t *testing.T) {
	w := uitest.Sample(t, address)
	w.CodeRun = "r0-99"
	w.Has.Runs = append(w.Has.Runs, engine.Run{ID: w.CodeRun, Status: engine.RunWaiting, Purpose: "outbox"})
	v := w.Visit(t, "")
	v.Post(linkPath+"/code", v.Get(linkPath).FormTo("/code")).Want(303)
	run := &w.Has.Runs[len(w.Has.Runs)-1]
	v.Get(linkPath).Want(200, "The mail server does not take it yet")
	v.Get("/larkspur/signin").Want(200, "The code from your mail").Lacks("mail server")
	run.Status, run.Ended = engine.RunFailed, w.Now()
	v.Get(linkPath).Want(200, "It could not be mailed", "larkspur login dave")
	run.Status = engine.RunDone
	v.Get(linkPath).Want(200).Lacks("could not be mailed")
}

// TestSomebodyWithoutAnAccount pairs a browser, answers, and forgets it again.
func TestSomebodyWithoutAnAccount(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Has.Questions[0].Proof = desk.ProofDevice
	v := w.Visit(t, "").Pair(formPath)
	if got := w.Mails[0].To; got != "viewer@example.org" {
		t.Errorf("the code went to %s", got)
	}
	v.Get("/larkspur/").Want(401)
	v.Post(formPath, v.Get(formPath).Form("field.reason", "a film", "field.who", "me")).Want(200, "Thank you")
}
