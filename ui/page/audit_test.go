package page_test

import (
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

func TestAudit(t *testing.T) {
	w := uitest.Sample(t, address)
	ada := w.Visit(t, "ada")
	ada.Get("/larkspur/audit").Want(200, "question asked", "0/42", "6e340b9c", "The payload was erased", "2026-11-22 08:00:00 CET", "CsUYapGGPo4dk", "From (Europe/Berlin)")
	ada.Get("/larkspur/audit?since=2026-11-22T00:00").Want(200, "0/42", "Export these records").Lacks("0/41")
	ada.Get("/larkspur/audit?until=2026-11-22T00:00").Want(200, "0/41").Lacks("0/42")
	ada.Get("/larkspur/audit?until=tomorrow").Want(400, `until: got "tomorrow", want a time like`)
	ada.Get("/larkspur/audit?incident=x").Want(400, `incident: got "x", want an id like i0-42`)
	w.Visit(t, "ana").Get("/larkspur/audit").Want(403, "auditor or admin")
	w.Visit(t, "vic").Get("/larkspur/").Lacks(">Audit<")
}

func TestAuditExport(t *testing.T) {
	w := uitest.Sample(t, address)
	ada := w.Visit(t, "ada")
	form := ada.Get("/larkspur/audit?incident=i0-42").Form()
	p := ada.Post("/larkspur/audit/export", form).Want(200, `"kind":"question_asked"`)
	if got := p.Header.Get("Content-Disposition"); !strings.Contains(got, `attachment; filename="larkspur-audit-20261122T080000Z.jsonl"`) {
		t.Errorf("got %q, want a file", got)
	}
	if got := w.Logged(); !strings.Contains(got, "export i0-42 by ada") {
		t.Errorf("the export is not recorded: %s", got)
	}
	ada.Get("/larkspur/audit/export").Want(405)
	w.Trouble = engine.Errorf(engine.Unavailable, "the disk is full").WithHint("Make room.")
	ada.Post("/larkspur/audit/export", form).Want(503, "the disk is full", "Make room.")
}
