package page_test

import (
	"testing"

	"larkspur/ui/uitest"
)

func TestChanges(t *testing.T) {
	w := uitest.Sample(t, address)
	ana := w.Visit(t, "ana")
	p := ana.Get("/larkspur/changes").Want(200,
		"block 02:00:00:00:00:07 on home", "Why: homework first", "22 Nov, 16:00 CET", "(in 7 hours)", "approved by", "dave", "i0-42", "step 4", "Undo now")
	p.Lacks("allow example.org", "02:00:00:00:00:09")
	ana.Get("/larkspur/changes?status=undo_failed").Want(200, "allow example.org", "connection refused", "undo failed")
	ana.Get("/larkspur/changes?status=undone").Want(200, "taken back: ana").Lacks("Undo now")
	ana.Post("/larkspur/changes/"+uitest.ChangeID+"/undo", p.Form()).Want(303)
	form := ana.Get("/larkspur/incidents/" + uitest.OpenID).Form()
	if to := ana.Post("/larkspur/changes/"+uitest.ChangeID+"/undo", form).Want(303).Header.Get("Location"); to != incidentPath+"?done=undoing" {
		t.Errorf("got a redirect to %q, want back to the incident", to)
	}
	if got, want := w.Logged(), `login ana link; undo c0-3 by ana ""; undo c0-3 by ana ""`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	ana.Post("/larkspur/changes/c0-99/undo", p.Form()).Want(404, "there is no change")
	w.Late = "it was undone already, by dave"
	ana.Post("/larkspur/changes/"+uitest.ChangeID+"/undo", p.Form()).Want(409, "it was undone already, by dave")
}

func TestChangesByRole(t *testing.T) {
	w := uitest.Sample(t, address)
	ben := w.Visit(t, "ben")
	p := ben.Get("/larkspur/changes").Want(200, "block 02").Lacks("Undo now")
	ben.Post("/larkspur/changes/"+uitest.ChangeID+"/undo", p.Form()).Want(403, "the role approver may not do this")
	w.Has.Changes = nil
	ben.Get("/larkspur/changes").Want(200, "Nothing to take back")
}
