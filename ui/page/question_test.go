package page_test

import (
	"net/http"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
	"larkspur/ui/uitest"
)

const linkPath, formPath = "/larkspur/a/" + uitest.OpenLink, "/larkspur/a/" + uitest.FormLink

func TestLinkShowsTheQuestion(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "")
	for range 3 {
		v.Get(linkPath).Want(200,
			"Netflix from 192.0.2.7", "netflix-while-away", "What now?", "Device: living room TV", "blocks the device for 8 hours",
			"10:31 CET", "(in 1 hour)", "If nobody does, <b>Allow</b> is taken", "Asked of dave or ana",
			"To answer, pair this browser with <b>dave</b>", "Send me a code", "to d…@example.org").Lacks("Sign out", ">Runs<", `name="choice"`)
		if p := v.Do(http.MethodHead, linkPath, "", ""); p.Status != 200 {
			t.Errorf("HEAD: got %d, want 200", p.Status)
		}
	}
	if got := w.Logged(); got != "" {
		t.Errorf("looking decided something: %s", got)
	}
}

func TestLinkAnswers(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "").Pair(linkPath)
	form := v.Get(linkPath).Want(200, "You answer as dave, with whom this browser is paired").Form("choice", "Block", "reason", "homework first")
	v.Post(linkPath, form).Want(200, "Thank you, your answer is recorded", "Block", "by dave", "homework first", "The incident is still open.")
	if got, want := w.Logged(), `login dave code; answer q0-7 "Block" by dave how link device d0-1 reason "homework first" fields `; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	v.Post(linkPath, form).Want(409, "You have answered this already", "Block")
	v.Get(linkPath).Want(409, "You have answered this already")
	if got := strings.Count(w.Logged(), "answer"); got != 1 {
		t.Errorf("got %d answers, want 1", got)
	}
}

func TestLinkTellsWhatHappenedSince(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "")
	form := v.Get(linkPath).Form("choice", "Block")
	q := &w.Has.Questions[1]
	i := &w.Has.Incidents[0]
	i.Status, i.Reason, i.ClosedBy, i.Closed = "closed", "the owner is at home", "ana", uitest.Start().Add(-60e9)
	since := "The incident was closed 1 min ago by ana: the owner is at home."

	q.Status, q.Answer = engine.QuestionAnswered, &engine.Answer{Choice: "Allow", By: "ana", At: uitest.Start(), Reason: "it is Sunday"}
	v.Post(linkPath, form).Want(409, "ana has answered this already", "Allow", "it is Sunday", since)
	q.Status, q.Answer = engine.QuestionTimedOut, &engine.Answer{Choice: "Allow", By: "nobody", TimedOut: true}
	v.Post(linkPath, form).Want(410, "The time to answer is over", "what was announced was done: Allow", since)
	q.Answer = nil
	v.Get(linkPath).Want(410, "The playbook went on without an answer")
	q.Status = engine.QuestionWithdrawn
	v.Get(linkPath).Want(410, "This question was withdrawn", since)
	if got := w.Logged(); got != "" {
		t.Errorf("a stale link decided something: %s", got)
	}
}

func TestLinkTellsOutsidersLess(t *testing.T) {
	w := uitest.Sample(t, address)
	i := &w.Has.Incidents[0]
	i.Status, i.Reason, i.ClosedBy, i.Closed = "closed", "the viewer lied", "ana", uitest.Start().Add(-60e9)
	w.Has.Questions[0].Status = engine.QuestionWithdrawn
	w.Visit(t, "").Get(formPath).Want(410, "The incident was closed 1 min ago.").Lacks("lied", "by ana")
}

func TestLinkWhenSomebodyIsFirst(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "")
	form := v.Get(linkPath).Form("choice", "Block")
	w.Late = "it was answered a moment ago"
	v.Post(linkPath, form).Want(409)
}

func TestLinkRefusesForgery(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "").Pair(linkPath)
	form := v.Get(linkPath).Form("choice", "Block")
	v.Post(linkPath, with(nil, "choice", "Block")).Want(409, "The question changed", "Nothing was decided")
	other := v.Get(formPath).Form("choice", "Block")
	v.Post(linkPath, other).Want(409)
	v.Header["Origin"] = "https://evil.example.org"
	v.Post(linkPath, form).Want(403, "another site")
	delete(v.Header, "Origin")
	v.Header["Sec-Fetch-Site"] = "cross-site"
	v.Post(linkPath, form).Want(403, "another site")
	delete(v.Header, "Sec-Fetch-Site")
	w.Has.Questions[1].Revision = 2
	v.Post(linkPath, form).Want(409, "The question changed after this page was opened")
	if got := w.Logged(); got != "login dave code" {
		t.Errorf("a forged request decided something: %s", got)
	}
	v.Header["Origin"] = "null" // what browsers send under Referrer-Policy no-referrer
	v.Post(linkPath, v.Get(linkPath).Form("choice", "Block")).Want(200)
}

func TestLinkUnknown(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "")
	v.Get("/larkspur/a/cut-off").Want(404, "no question belongs to this link", "cut off when it was copied")
	v.Post("/larkspur/a/cut-off", with(nil, "choice", "Block")).Want(404)
	v.Get("/larkspur/a/" + strings.Repeat("x", 9000)).Want(404)
	for range login.BadPerWindow {
		v.Get("/larkspur/a/guess")
	}
	if p := v.Get(linkPath).Want(429, "too many wrong tokens"); p.Header.Get("Retry-After") == "" {
		t.Error("the answer does not say when to try again")
	}
	w.Pass(login.BadWindow)
	v.Get(linkPath).Want(200)
}

func TestLinkKeepsWhatWasTyped(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "")
	form := v.Get(formPath).Form(
		"field.reason", "  ", "field.how_long", "60d", "field.who", "nobody", "field.days", "Sunday", "field.site", "not a <domain>",
		"field.people", "12", "field.from", "tomorrow", "field.mail", "x y")
	v.Post(formPath, form).Want(422,
		"Nothing was sent yet", "Reason must be filled in", "How long is more than 30d", `Who got "nobody", want me or guests`,
		`Site got "not a <domain>", want a domain like`, "People is more than 9", "From got", "Mail got",
		`value="60d"`, `value="not a <domain>"`, `value="Sunday" checked`)
	if got := w.Logged(); got != "" {
		t.Errorf("a wrong form decided something: %s", got)
	}
	v.Post(formPath, with(form, "field.reason", "a film\r\nfor school", "field.how_long", "2 h", "field.who", "me", "field.site", "https://Example.org/x",
		"field.people", "3", "field.from", "2026-11-23", "field.mail", "192.0.2.9")).Want(200, "Thank you", "a film", "3")
	want := `answer q0-9 "" by viewer@example.org how link link reason "" fields {"days":["Sunday"],"from":{"$":"time","v":"2026-11-22T23:00:00Z"},` +
		`"how_long":{"$":"duration","v":7200000000000},"mail":"192.0.2.9","people":3,"reason":"a film\nfor school","site":"example.org","who":"me"}`
	if got := w.Logged(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLinkReasonAndTypedChoice(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Has.Questions[1].Why, w.Has.Questions[1].Proof = true, desk.ProofTyped
	v := w.Visit(t, "")
	p := v.Get(linkPath).Want(200, "Type the name of your choice").Lacks("Add a reason")
	v.Post(linkPath, p.Form("choice", "Block", "typed", "Allow", "reason", strings.Repeat("x", 4097))).
		Want(422, "The reason is too long", `type "Block" here`)
	v.Post(linkPath, p.Form("choice", "Bogus")).Want(422, "The reason must be filled in", `got "Bogus", want Allow, Block or Ask why`)
	v.Post(linkPath, p.Form("reason", "x")).Want(422, "choose one: Allow, Block or Ask why")
	v.Post(linkPath, p.Form("choice", "Block", "typed", " block ", "reason", "x")).Want(200, "Thank you")
}

func TestLinkThatNeedsASignIn(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Has.Questions[1].Proof = desk.ProofLogin
	v := w.Visit(t, "").Pair(linkPath)
	form := v.Get(linkPath).Want(200, "signed in here less than 15 minutes ago").Form("choice", "Block")
	w.Pass(engine.LoginLife)
	v.Get(linkPath).Want(200, "sign-in of the last 15 minutes: yours is older", "Send me a code").Lacks(`name="choice"`)
	v.Post(linkPath, form).Want(403, "yours is older")
	v.Pair(linkPath)
	v.Post(linkPath, v.Get(linkPath).Form("choice", "Block")).Want(200, "Thank you")
	if got, want := w.Logged(), `login dave code; login dave code; answer q0-7 "Block" by dave how link login d0-2 reason "" fields `; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	ana := w.Visit(t, "ana")
	w.Has.Questions[1].Status = engine.QuestionOpen
	path := "/larkspur/questions/" + uitest.OpenQ
	form = ana.Get(path).Form("choice", "Allow")
	w.Pass(engine.LoginLife)
	ana.Get(path).Want(200, "Sign in again").Lacks(`name="choice"`)
	ana.Post(path, form).Want(403, "sign-in of the last 15 minutes")
}

func TestQuestionForWhoIsSignedIn(t *testing.T) {
	w := uitest.Sample(t, address)
	path := "/larkspur/questions/" + uitest.OpenQ
	ana := w.Visit(t, "ana")
	p := ana.Get(path).Want(200, "What now?", "blocks the device").Lacks("do not forward")
	ana.Post(path, p.Form("choice", "bogus")).Want(422, `got "bogus"`)
	ana.Post(path, with(nil, "choice", "Block")).Want(403)
	if to := ana.Post(path, p.Form("choice", "Block")).Want(303).Header.Get("Location"); to != incidentPath+"?done=answered" {
		t.Errorf("got a redirect to %q, want the incident", to)
	}
	ana.Get(path).Want(200, "You have answered this already")
	ana.Post(path, p.Form("choice", "Allow")).Want(409, "You have answered this already")
	if got, want := w.Logged(), `login ana link; answer q0-7 "Block" by ana how page device d0-1 reason "" fields `; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestQuestionOfOthers(t *testing.T) {
	w := uitest.Sample(t, address)
	path := "/larkspur/questions/" + uitest.OpenQ
	ben := w.Visit(t, "ben") // an approver who is not asked
	p := ben.Get(path).Want(200, "It is put to dave, ana; you may look at it").Lacks(`name="choice"`)
	ben.Post(path, p.Form("choice", "Block")).Want(403, "question q0-7 is put to dave or ana")
	vic := w.Visit(t, "vic")
	vic.Post(path, vic.Get(path).Form("choice", "Block")).Want(403, "the role viewer")
	dave := w.Visit(t, "dave")
	dave.Post("/larkspur/questions/"+uitest.FormQ, dave.Get("/larkspur/questions/"+uitest.FormQ).Form("field.reason", "x", "field.who", "me")).Want(303)
}
