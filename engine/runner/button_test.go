package runner_test

import (
	"context"
	"testing"

	"larkspur/engine"
	"larkspur/engine/record"
)

const breakOut = `
def f(i):
    b = i.button("I need a person", out, args = {"to": "high"})
    i.set(label = b.label)
    sim.tag(b.label)
    sleep("1d")
    i.set(main = "done")

def out(i, to):
    i.escalate(to)
    i.set(pressed = run.id)
`

// button is the one that a playbook put on its incident.
func (b *box) button(incident string) engine.Button {
	b.t.Helper()
	list, err := b.state.Buttons(incident)
	if err != nil || len(list) != 1 {
		b.t.Fatalf("got buttons %+v (%v), want one", list, err)
	}
	return list[0]
}

// TestAButtonRunsBesideTheMainRun: it works on while that one sleeps, and twice is
// once.
func TestAButtonRunsBesideTheMainRun(t *testing.T) {
	t.Parallel()
	b := playbook(t, breakOut)
	incident, main := b.start()
	b.status(main, engine.RunWaiting)
	b.reopen()
	one := b.button(incident)
	same(t, "label", one.Label, "I need a person")
	found, err := b.state.ButtonByToken(engine.ButtonToken([]byte("link key"), main+"/1/1"))
	must(t, err)
	same(t, "the token's button", found.ID, one.ID)

	b.did(b.runner.Press(context.Background(), one.ID, engine.ByLink, "link"))
	pressed := b.button(incident)
	b.status(pressed.Pressing, engine.RunDone)
	same(t, "severity", b.incident(incident).Severity, "high")
	same(t, "purpose", b.run(pressed.Pressing).Purpose, "button")
	b.status(main, engine.RunWaiting)
	d, err := b.runner.Press(context.Background(), one.ID, engine.ByLink, "link")
	must(t, err)
	same(t, "pressed again", d.Applied, false)
	contains(t, "why", d.Why, "pressed already")

	b.advance(25 * 3600e9)
	b.status(main, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"main": "done", "label": "I need a person"})
	contains(t, "story", b.story(incident), "offers a button: I need a person", "presses: I need a person")
}

// TestAPressReopens: whoever was told that it is done can still reach a person.
func TestAPressReopens(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    i.button("Not solved", out)
    i.close("solved")

def out(i):
    i.note("they say it is not")
    ask("dave", "Well?", choices = ["yes"])
`)
	incident, run := b.start()
	b.status(run, engine.RunDone)
	same(t, "status", b.incident(incident).Status, engine.IncidentClosed)
	b.did(b.runner.Press(context.Background(), b.button(incident).ID, engine.ByLink, "link"))
	b.status(b.button(incident).Pressing, engine.RunWaiting)
	same(t, "status", b.incident(incident).Status, engine.IncidentOpen)
	b.did(b.runner.CloseIncident(context.Background(), incident, "it is now", "", "dave"))
	b.status(b.button(incident).Pressing, engine.RunDone) // what it asks is withdrawn
}

// TestAPressTouches: it is something that a person did.
func TestAPressTouches(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    i.button("Look here", out)
    i.set(touched = i.wait("touched", timeout = "3d"))

def out(i):
    pass
`)
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.did(b.runner.Press(context.Background(), b.button(incident).ID, engine.ByLink, "link"))
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"touched": true})
}

// TestAShadowOffersNoButton: nobody is mailed its link.
func TestAShadowOffersNoButton(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    b = i.button("Press", out)
    i.set(label = b.label, url = b.url)

def out(i):
    pass
`)
	incident, run := b.startWith(record.EventMatched{Mode: "shadow"})
	b.status(run, engine.RunDone)
	list, err := b.state.Buttons(incident)
	must(t, err)
	same(t, "buttons", len(list), 0)
	b.facts(incident, map[string]engine.Value{"label": "Press", "url": ""})
}

// TestWrongButtons: each mistake is told where it stands.
func TestWrongButtons(t *testing.T) {
	for call, want := range map[string]string{
		`i.button("", out)`:                      "label: got 0 bytes",
		`i.button("x" * 200, out)`:               "label: got 200 bytes, want 1 to 100",
		`i.button("x", lambda i: 1)`:             "lambda",
		`i.button("x", out, args = {"more": 1})`: "out",
		`incidents.get("i0-1").button("x", out)`: "",
		`incidents.open("other", type = "t", severity = "low", dedup = ["x"]).button("x", out)`: "its own incident",
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, `
def f(i):
    r = attempt(lambda: `+call+`)
    i.set(error = "" if r.ok else r.error.message)

def out(i):
    pass
`)
			incident, run := b.start()
			b.status(run, engine.RunDone)
			got, _ := b.fact(incident, "error").(string)
			if contains(t, "error", got, want); want == "" && got != "" {
				t.Errorf("got %q, want none", got)
			}
		})
	}
}

func same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
