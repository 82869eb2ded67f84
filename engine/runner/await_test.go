package runner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

const awaiting = `
def f(i):
    a = attempt(lambda: i.wait(%s))
    i.set(came = a.value, kind = a.error.kind if a.error else "")
`

// did wants that a person's act had effect.
func (b *box) did(d engine.Decision, err error) {
	b.t.Helper()
	must(b.t, err)
	if !d.Applied {
		b.t.Fatalf("got %+v, want applied", d)
	}
}

// TestAWaitForTheIncident: what ends each wait, and what does not.
func TestAWaitForTheIncident(t *testing.T) {
	note := func(b *box, i string) { b.did(b.runner.Note(context.Background(), i, "looking", "ana")) }
	set := func(b *box, i string) {
		b.append(0, record.IncidentChangedKind, record.IncidentAct{Act: record.ActSet, Incident: i, By: "ana", Fields: engine.MustEncode(map[string]engine.Value{"x": int64(1)}), Order: []string{"x"}})
	}
	shut := func(b *box, i string) { b.did(b.runner.CloseIncident(context.Background(), i, "enough", "", "ana")) }
	byRun := func(b *box, i string) {
		b.append(0, record.IncidentChangedKind, record.IncidentAct{Act: record.ActNote, Incident: i, By: "run r0-9", Text: "beep"})
	}
	over := func(b *box, i string) { b.advance(time.Hour) }
	tests := []struct {
		name, args string
		does       []func(b *box, i string)
		came, kind engine.Value
	}{
		{"a note touches", `"touched", timeout = "1h"`, []func(*box, string){note}, true, ""},
		{"a fact touches", `"touched", timeout = "1h"`, []func(*box, string){set}, true, ""},
		{"a script does not", `"touched", timeout = "1h"`, []func(*box, string){byRun, over}, false, ""},
		{"time is over", `until = "assigned", timeout = "1h"`, []func(*box, string){note, over}, false, ""},
		{"closed", `"closed"`, []func(*box, string){note, shut}, true, ""},
		{"closed while it waits for else", `"touched"`, []func(*box, string){shut}, nil, "closed"},
		{"nobody answers", `"answered", timeout = "1h"`, []func(*box, string){note, over}, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, strings.Replace(awaiting, "%s", tt.args, 1))
			incident, run := b.start()
			b.status(run, engine.RunWaiting)
			b.reopen()
			for n, do := range tt.does {
				if do(b, incident); n < len(tt.does)-1 && b.run(run).Status != engine.RunWaiting {
					t.Fatalf("act %d ended the wait", n)
				}
			}
			b.status(run, engine.RunDone)
			b.facts(incident, map[string]engine.Value{"came": tt.came, "kind": tt.kind})
		})
	}
}

// TestAnAnswerIsWaitedFor: a branch hears of the answer that another one asked for.
func TestAnAnswerIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    r = parallel(lambda: ask("dave", "Well?", choices = ["yes"]).choice, lambda: i.wait("answered"), lambda: i.wait("touched"), lambda: i.wait("assigned", timeout = "1h"))
    i.set(r = ",".join([str(x) for x in r]))
`)
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.answer(b.question().ID, engine.Reply{Choice: "yes", By: engine.Addressee{Name: "dave"}})
	b.advance(time.Hour)
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"r": "yes,True,True,False"})
}

// TestAWaitThatIsOverWhenItBegins: an incident that the run itself closed is closed.
func TestAWaitThatIsOverWhenItBegins(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    i.close("over")
    one = i.wait("closed")
    two = parallel(lambda: i.wait("closed"), lambda: i.wait("closed", timeout = "1h"))
    a = attempt(lambda: i.wait("lunch"))
    late = attempt(lambda: i.wait("touched", timeout = "3h"), timeout = "1h")
    i.set(r = "%s %s %s %s %s" % (one, two[0], two[1], a.error.message, late.error.kind))
`)
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.advance(time.Hour)
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"r": `True True True incident.wait: until: got "lunch", want assigned, touched, closed, answered timeout`})
}

// TestAWaitIsRestarted: it waits for what comes from then on.
func TestAWaitIsRestarted(t *testing.T) {
	t.Parallel()
	b := playbook(t, strings.Replace(awaiting, "%s", `"touched"`, 1))
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.did(b.runner.Note(context.Background(), incident, "looking", "ana"))
	b.status(run, engine.RunDone)
	b.restart(run, engine.RestartRequest{Step: "1", By: "ana", How: "page"})
	b.bell.until(t, "it waits again", func() bool { return b.run(run).Status == engine.RunWaiting })
	b.did(b.runner.Note(context.Background(), incident, "again", "ana"))
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"came": true})
}
