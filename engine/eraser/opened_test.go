package eraser

import (
	"context"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// TestWhatARunReadOfAnIncidentIsErased: what a run opened, and what it read of it, is
// gone with the incident, from the journals and blobs of other runs, too.
func TestWhatARunReadOfAnIncidentIsErased(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	defer b.close()
	text := marker()
	fired := b.append(rec(record.JobFiredKind, record.JobFired{Job: "check", Instant: morning, Offer: "j", Do: engine.Handler{File: "a.star", Name: "f"}, Bundle: "b1", Mode: "live"}))
	facts := data(map[string]engine.Value{"who": text})
	o := b.append(rec(record.IncidentOpenedKind, record.IncidentOpened{
		Run: fired.Run, Generation: 1, Rule: "check", Offer: "o", Severity: "low", Type: "outage", Title: "About " + text, Fields: facts, Order: []string{"who"},
		Reporter: &engine.Reporter{Name: text}, Dedup: text, DedupSet: true, Do: &engine.Handler{File: "a.star", Name: "g"}, Args: facts, Bundle: "b1", Mode: "live",
	}))
	ref := engine.IncidentRef{ID: o.Incident}
	large := data(engine.Struct{Type: "incidents.page", Fields: map[string]engine.Value{
		"items": []engine.Value{map[string]engine.Value{"id": ref, "title": strings.Repeat(text+" ", 2000)}},
	}})
	sum, err := b.state.KeepBlob(large)
	must(t, err)
	step := func(n int, builtin string, args, result engine.Value) ledger.New {
		return rec(record.StepDoneKind, record.StepDone{Run: fired.Run, Generation: 1, Number: n, Builtin: builtin, At: "a.star:1:1", Args: data(args), Result: data(result)})
	}
	b.append(
		step(1, "incidents.open", map[string]engine.Value{"title": "About " + text}, engine.Struct{Type: "incident.opened", Fields: map[string]engine.Value{"incident": ref, "new": true}}),
		step(2, "incident.get", map[string]engine.Value{"incident": o.Incident, "name": "title"}, "About "+text),
		rec(record.StepDoneKind, record.StepDone{Run: fired.Run, Generation: 1, Number: 3, Builtin: "incidents.find", At: "a.star:1:1", Blob: sum}),
		rec(record.RunEndedKind, record.RunEnded{Run: fired.Run, Generation: 1, Status: engine.RunDone}),
		rec(record.RunEndedKind, record.RunEnded{Run: o.Run, Generation: 1, Status: engine.RunDone}),
		rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActAssign, Incident: o.Incident, Among: []string{text, "ana"}, Team: "family", By: "dave"}),
		rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActEscalate, Incident: o.Incident, Severity: "high", By: "dave"}),
		rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActClose, Incident: o.Incident, By: "dave", Text: "over"}))
	b.state.ReleaseBlob(sum)
	if i, err := b.state.Incident(o.Incident); err != nil || i.Owner != text {
		t.Fatalf("got %+v, %v", i, err)
	}
	_, err = b.eraser.Erase(context.Background(), engine.ErasureRequest{Incident: o.Incident, Because: "of a test", By: "dave", How: "api"})
	must(t, err)
	b.finish()
	if files := b.found(text); len(files) > 0 {
		t.Errorf("it stands in %v", files)
	}
	i, err := b.state.Incident(o.Incident)
	must(t, err)
	if i.Owner != "" || i.Team != "family" || i.Severity != "high" || i.Reporter != nil || i.Erased == nil || i.Type != "outage" {
		t.Errorf("got %+v", i)
	}
	b.equalsItsRebuild()
	b.verify()
}
