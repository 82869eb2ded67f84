package page_test

import (
	"errors"
	"regexp"
	"testing"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

func TestErrorPages(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "dave")
	dave.Get("/larkspur/nothing").Want(404, "Not found", "there is nothing at this address", ">Runs<")
	w.Visit(t, "").Get("/larkspur/nothing").Want(404, "Not found").Lacks(">Runs<")
	dave.Do("DELETE", "/larkspur/", "", "").Want(405, "does not take that method")
	w.Trouble = engine.Errorf(engine.Unavailable, "the ledger is starting").WithHint("Wait a moment.")
	dave.Get("/larkspur/").Want(503, "the ledger is starting", "Wait a moment.")
}

func TestErrorPageKeepsCausesInside(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "dave")
	id := regexp.MustCompile(`id [0-9a-f]{16}<`)
	w.Trouble = errors.New("badger: /var/lib/larkspur/x.vlog is broken")
	if p := dave.Get("/larkspur/").Want(500, "Something went wrong").Lacks("badger", "vlog"); !id.MatchString(p.Body) {
		t.Error("the page does not say under which id the log has it")
	}
	w.Trouble, w.Panic = nil, true
	if p := dave.Get("/larkspur/").Want(500, "Something went wrong").Lacks("the world ends"); !id.MatchString(p.Body) {
		t.Error("the page of a panic does not say under which id the log has it")
	}
	w.Panic = false
	dave.Get("/larkspur/").Want(200)
}
