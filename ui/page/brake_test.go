package page_test

import (
	"testing"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

func TestTheBrake(t *testing.T) {
	w := uitest.Sample(t, address)
	path := "/larkspur/brake"
	ana := w.Visit(t, "ana")
	p := ana.Get(path).Want(200, "The brake is off", "Hold every effect", "Nothing is held")
	form := p.Form()
	form.Set("reason", "something is odd")
	if to := ana.Post(path+"/on", form).Want(303).Header.Get("Location"); to != path+"?done=braked" {
		t.Errorf("got a redirect to %q", to)
	}
	w.Has.Brake = engine.Brake{On: true, Since: uitest.Start(), By: "ana", Why: "something is odd"}
	ana.Get("/larkspur/changes").Want(200, "The brake is on: playbooks change nothing.", `href="/larkspur/brake"`)
	ana.Get(path).Want(200, "Pressed by <b>ana</b>", "something is odd", "No playbook wanted to change anything since").Lacks("Let it go")
	ana.Post(path+"/off", form).Want(403, "It takes the role engineer or admin")
	eng := w.Visit(t, "eng")
	off := eng.Get(path).Want(200, "Let it go").Form()
	eng.Post(path+"/off", off).Want(303)
	if got, want := w.Logged(), `login ana link; brake true by ana "something is odd"; login eng link; brake false by eng ""`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	w.Late = "the brake is not on"
	eng.Post(path+"/off", off).Want(409, "the brake is not on")
	w.Visit(t, "ben").Get(path).Want(200, "The brake is on").Lacks("Let it go", "Hold every")
}

func TestWhatIsHeldIsListed(t *testing.T) {
	w := uitest.Sample(t, address)
	for i := range w.Has.Runs {
		if r := &w.Has.Runs[i]; r.ID == uitest.BadRunID {
			r.Status, r.Waits, r.Held = engine.RunHeld, "the brake, before ssh.run at scripts/a.star:7:5", "2"
		}
	}
	s := &w.Has.Journals[uitest.BadRunID][1]
	s.Status, s.Held, s.Error = engine.StepNotStarted, engine.HeldByBrake, nil
	eng := w.Visit(t, "eng")
	p := eng.Get("/larkspur/brake").Want(200, uitest.BadRunID, "the brake holds it", "Let it go on", "Drop it", "step-2").Lacks("step-1")
	run := "/larkspur/runs/" + uitest.BadRunID
	eng.Get(run).Want(200, "It waits for the brake, before ssh.run", "Let it go on")
	form := p.Form()
	form.Set("step", "2")
	form.Set("outcome", "release")
	form.Set("reason", "it is needed")
	eng.Post(run+"/resolve", form).Want(303)
	if got, want := w.Logged(), `login eng link; resolve r0-16 2 release  by eng "it is needed"`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	w.Visit(t, "ana").Get("/larkspur/brake").Want(200, "the brake holds it").Lacks("Drop it")
}
