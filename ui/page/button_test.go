package page_test

import (
	"net/http"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/ui/login"
	"larkspur/ui/uitest"
)

const buttonPath = "/larkspur/b/the-token"

func withButton(t *testing.T) *uitest.World {
	w := uitest.Sample(t, address)
	w.Has.Buttons = map[string]engine.Button{"the-token": {ID: "b0-1", Label: "I need a person now", Incident: w.Has.Incidents[0].ID, Run: uitest.RunID, Made: w.Now()}}
	return w
}

// TestAButtonIsPressedByALink: by somebody without an account, once; looking at it
// presses nothing.
func TestAButtonIsPressedByALink(t *testing.T) {
	w := withButton(t)
	v := w.Visit(t, "")
	for range 2 {
		v.Get(buttonPath).Want(200, "I need a person now", "Opening this page told nobody yet")
		if p := v.Do(http.MethodHead, buttonPath, "", ""); p.Status != 200 {
			t.Errorf("HEAD: got %d, want 200", p.Status)
		}
	}
	if got := w.Logged(); got != "" {
		t.Errorf("looking was recorded as %q", got)
	}
	form := v.Get(buttonPath).Form()
	v.Post(buttonPath, form).Want(200, "Thank you, it is told", "Whoever takes it will be shown here")
	v.Post(buttonPath, form).Want(200, "This was pressed already", "once is enough")
	v.Get(buttonPath).Want(200, "This was pressed already")
	if got := w.Logged(); strings.Count(got, "press b0-1 by "+engine.ByLink+" how link") != 1 {
		t.Errorf("got %q, want one press", got)
	}
}

// TestForgedPresses: none of them is one.
func TestForgedPresses(t *testing.T) {
	w := withButton(t)
	w.Has.Buttons["other"] = engine.Button{ID: "b0-2", Label: "Other", Incident: w.Has.Incidents[0].ID}
	v := w.Visit(t, "")
	form := v.Get(buttonPath).Form()
	v.Post(buttonPath, nil).Want(403, "does not belong to this link")
	v.Post("/larkspur/b/other", form).Want(403, "does not belong to this link")
	foreign := w.Visit(t, "")
	foreign.Header["Origin"] = "https://evil.example"
	foreign.Post(buttonPath, form).Want(403, "from another site")
	v.Get("/larkspur/b/cut-off").Want(404, "no button belongs to this link")
	v.Get("/larkspur/b/" + strings.Repeat("x", 5000)).Want(404)
	for range login.BadPerWindow {
		v.Get("/larkspur/b/guess")
	}
	v.Get("/larkspur/b/guess").Want(429, "too many wrong tokens")
	if got := w.Logged(); got != "" {
		t.Errorf("got %q, want no press", got)
	}
}

func TestAButtonOfAnErasedIncident(t *testing.T) {
	w := withButton(t)
	b := w.Has.Buttons["the-token"]
	b.Erased = &engine.Erased{At: w.Now(), Because: "they asked"}
	w.Has.Buttons["the-token"] = b
	w.Visit(t, "").Get(buttonPath).Want(410, "starts nothing any more", "they asked")
}

// TestTheTeamPressesForThem: on the incident's page, by its right.
func TestTheTeamPressesForThem(t *testing.T) {
	w := withButton(t)
	id := w.Has.Incidents[0].ID
	w.Visit(t, "vic").Get("/larkspur/incidents/"+id).Want(200, "I need a person now", "not pressed").Lacks("Press for them")
	ana := w.Visit(t, "ana")
	form := ana.Get("/larkspur/incidents/" + id).Form()
	form.Set("button", "b0-1")
	ana.Post("/larkspur/incidents/"+id+"/press", form).Want(303)
	ana.Get("/larkspur/incidents/"+id).Want(200, "Pressed", "by ana", "r0-9")
	form.Set("button", "b0-7")
	ana.Post("/larkspur/incidents/"+id+"/press", form).Want(404, "no button")
	if got := w.Logged(); !strings.Contains(got, "press b0-1 by ana how page") {
		t.Errorf("got %q, want ana's press", got)
	}
}
