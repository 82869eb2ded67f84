package page_test

import (
	"strings"
	"testing"

	"larkspur/ui/uitest"
)

func TestQuestions(t *testing.T) {
	w := uitest.Sample(t, address)
	ana := w.Visit(t, "ana")
	p := ana.Get("/larkspur/questions").Want(200, "What now?", "until", "10:31 CET", "else Allow", "viewer@example.org", "Answer")
	if strings.Index(p.Body, "What now?") > strings.Index(p.Body, "Why should this") {
		t.Error("what waits for the reader does not stand first")
	}
	ana.Get("/larkspur/questions?status=answered").Want(200, "Tell the viewer?", "No by dave").Lacks("What now?")
	ana.Get("/larkspur/questions?status=withdrawn").Want(200, "Nothing to answer")
	w.Visit(t, "vic").Get("/larkspur/questions").Want(200, "What now?").Lacks(">Answer<")
}
