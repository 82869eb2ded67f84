package runner_test

import (
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/state"
)

// agreeing is a playbook that several people have to agree on.
func agreeing(t *testing.T, more string) (b *box, incident, run string) {
	t.Helper()
	b = playbook(t, `
def f(i):
    r = attempt(lambda: ask(["dave", "ana", "DAVE@example.org", "guest@example.org"], "Open the vault?",
                            choices = ["Yes", "No"], quorum = 2`+more+`))
    if not r.ok:
        return i.set(kind = r.error.kind, message = r.error.message)
    a = r.value
    i.set(choice = a.choice, by = a.by.name, late = a.timed_out, said = ["%s %s %s" % (x.by, x.choice, x.reason) for x in a.answers])
`)
	incident, run = b.start()
	b.status(run, engine.RunWaiting)
	return b, incident, run
}

func (b *box) says(id, who, email, choice, reason string) engine.Decision {
	b.t.Helper()
	return b.answer(id, engine.Reply{Choice: choice, Reason: reason, By: engine.Addressee{Name: who, Email: email}, How: "page", Proof: "device"})
}

func TestAQuorumOfDifferentPeople(t *testing.T) {
	t.Parallel()
	b, incident, run := agreeing(t, "")
	q := b.question()
	if len(q.To) != 3 || q.Quorum != 2 || b.run(run).Waits != "2 equal answers of dave, ana, guest@example.org" {
		t.Fatalf("got %+v, %q, want three people, of whom two agree", q, b.run(run).Waits)
	}
	if d := b.says(q.ID, "dave", "dave@example.org", "Yes", "first"); !d.Applied || d.Why == "" {
		t.Errorf("got %+v, want it to count, and to say that others follow", d)
	}
	if d := b.says(q.ID, "", "dave@example.org", "Yes", "by another way"); !d.Applied {
		t.Errorf("got %+v", d)
	}
	if q := b.question(); q.Status != engine.QuestionOpen || len(q.Answers) != 1 || q.Answers[0].Reason != "by another way" {
		t.Errorf("somebody counts twice: got %+v", q)
	}
	if d := b.says(q.ID, "eve", "eve@example.org", "Yes", ""); d.Applied || d.Why != state.NotAsked {
		t.Errorf("somebody who is not asked: got %+v", d)
	}
	b.says(q.ID, "ana", "ana@example.org", "No", "")
	b.reopen()
	b.says(q.ID, "ana", "ana@example.org", "Yes", "thought again")
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"choice": "Yes", "by": "ana", "late": false})
	if got := b.fact(incident, "said"); len(got.([]engine.Value)) != 2 || got.([]engine.Value)[1] != "ana Yes thought again" {
		t.Errorf("got %v", got)
	}
	if d := b.says(q.ID, "dave", "dave@example.org", "No", ""); d.Applied || d.Why != "it was answered by ana: Yes" {
		t.Errorf("afterwards: got %+v", d)
	}
	contains(t, "story", b.story(incident), "dave | answers: Yes (first)", "; others have to say the same", "ana | answers: Yes (thought again)")
	b.rebuilds()
}

func TestAQuorumThatDoesNotAgree(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]map[string]engine.Value{
		`, default = "No"`: {"choice": "No", "by": "nobody", "late": true},
		``:                 {"kind": "timeout", "message": "ask: no answer had 2 people behind it"},
	} {
		b := playbook(t, `
def f(i):
    r = attempt(lambda: ask(["dave", "ana"], "Open?", choices = ["Yes", "No"], quorum = 2`+more+`))
    if r.ok:
        i.set(choice = r.value.choice, by = r.value.by.name, late = r.value.timed_out, n = len(r.value.answers))
    else:
        i.set(kind = r.error.kind, message = r.error.message)
`)
		incident, run := b.start()
		b.status(run, engine.RunWaiting)
		id := b.question().ID
		b.says(id, "dave", "", "Yes", "")
		b.says(id, "ana", "", "No", "")
		b.status(run, engine.RunDone)
		b.facts(incident, want)
		contains(t, "story", b.story(incident), "all have answered, and they do not agree")
		b.rebuilds()
	}
}

func TestAQuorumInTime(t *testing.T) {
	t.Parallel()
	b, incident, run := agreeing(t, `, timeout = "1h", default = "No"`)
	b.says(b.question().ID, "dave", "", "Yes", "")
	b.advance(time.Hour)
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"choice": "No", "by": "nobody", "late": true})
	if got := b.fact(incident, "said").([]engine.Value); len(got) != 1 || got[0] != "dave Yes " {
		t.Errorf("got %v, want what was said", got)
	}
	b.rebuilds()
}

func TestWrongQuorumsAndReminders(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		`["dave", "dave@example.org"], "q?", quorum = 2`: "ask: quorum: got 2, but only 1 people are asked: dave",
		`"dave", "q?", quorum = 0`:                       "ask: quorum: got 0, want 1 or more people",
		`"dave", "q?", remind = "30s"`:                   "ask: remind: got 30s, want at least 1m",
		`"davee", "q?"`:                                  `ask: to: there is no "davee"`,
		`["dave", None], "q?"`:                           "ask: to: got None, want a person, a team, an address or a list of these",
		`"a b@@example.org", "q?"`:                       `ask: to: got "a b@@example.org", want an address such as ana@example.org`,
		`["dave"] * 3, "q?", details = ["x" * 60000] * 1, quorum = 1, choices = ["` + "y" + `" * 200], default = "n"`: `ask: default: got "n", want one of the choices`,
	} {
		b := playbook(t, "def f(i):\n    ask("+args+")\n")
		_, run := b.start()
		if got := b.settled(run).Error; got == nil || got.Kind != engine.Invalid {
			t.Errorf("%s: got %v", args, got)
		} else {
			contains(t, args, got.Message, want)
		}
	}
}
