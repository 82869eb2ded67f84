package runner_test

import (
	"context"
	"testing"
	"time"

	"larkspur/engine"
)

// mailed are the subjects of the mails that were tried, by address.
func (b *box) mailed() map[string][]string {
	b.world.mu.Lock()
	defer b.world.mu.Unlock()
	by := map[string][]string{}
	for _, c := range b.world.calls {
		if c.Name == "smtp.deliver" {
			mail := c.Args["mail"].(map[string]engine.Value)
			to := mail["to"].([]engine.Value)[0].(string)
			by[to] = append(by[to], mail["subject"].(string))
		}
	}
	return by
}

func (b *box) mailsTo(address string, n int) []string {
	b.t.Helper()
	b.bell.until(b.t, "mails", func() bool { return len(b.mailed()[address]) >= n })
	return b.mailed()[address]
}

func TestReminders(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    a = ask(["dave", "ana"], "Who opens?", choices = ["Yes", "No"], quorum = 2, remind = "1d", timeout = "7d", default = "No")
    i.set(choice = a.choice)
`)
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.mailsTo("dave@example.org", 1)
	b.mailsTo("ana@example.org", 1)
	b.advance(24 * time.Hour)
	equal(t, "dave", b.mailsTo("dave@example.org", 2), []string{"Who opens?", "Reminder: Who opens?"})
	b.mailsTo("ana@example.org", 2)
	b.says(b.question().ID, "dave", "dave@example.org", "Yes", "")
	b.close()
	b.clock.set(b.clock.Now().Add(60 * time.Hour)) // two of them fell due while the power was out
	b.open()
	b.mailsTo("ana@example.org", 3)
	b.advance(12 * time.Hour) // the next is at its interval, not one after the last
	b.mailsTo("ana@example.org", 4)
	if got := b.mailed()["dave@example.org"]; len(got) != 2 {
		t.Errorf("who has answered is reminded: %v", got)
	}
	if q := b.question(); q.Reminders != 3 {
		t.Errorf("got %d reminders, want 3", q.Reminders)
	}
	contains(t, "story", b.story(incident), "timer | reminds dave, ana", "timer | reminds ana")
	b.says(b.question().ID, "ana", "", "Yes", "")
	b.status(run, engine.RunDone)
	b.idleRuns(t)
	if timers, err := b.state.DueTimers(0, b.clock.Now().Add(1000*time.Hour), 10); err != nil || len(timers) != 0 {
		t.Errorf("got timers %+v, %v, want none", timers, err)
	}
	b.rebuilds()
}

func TestRemindersEndWithTheIncident(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    ask('dave', 'q?', remind = '1h')\n")
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.mailsTo("dave@example.org", 1)
	_, err := b.runner.CloseIncident(t.Context(), incident, "over", "", "ana")
	must(t, err)
	b.status(run, engine.RunDone)
	if timers, err := b.state.DueTimers(0, b.clock.Now().Add(1000*time.Hour), 10); err != nil || len(timers) != 0 {
		t.Errorf("got timers %+v, %v, want none", timers, err)
	}
	b.rebuilds()
}

// TestAMailThatWaits is shown with what the server said, and let go of when its
// question is answered.
func TestAMailThatWaits(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    ask('dave', 'Block it?', choices = ['Yes'])\n    email_later(i)\n\ndef email_later(i):\n    sim.mail('ana@example.org')\n")
	b.world.on("smtp.deliver", func(context.Context, *engine.Call) (engine.Result, error) {
		return engine.Result{}, engine.Errorf(engine.Unavailable, "smtp default: 451 greylisted")
	})
	incident, run := b.start()
	waits := func(n int) []engine.Mail {
		b.t.Helper()
		var mails []engine.Mail
		b.bell.until(t, "mails that wait", func() bool {
			var err error
			mails, _, err = b.state.WaitingMails("", 10)
			must(t, err)
			return len(mails) == n
		})
		return mails
	}
	m := waits(1)[0]
	if m.Subject != "Block it?" || m.To[0] != "dave@example.org" || m.Error != "smtp default: 451 greylisted" || m.Tries != 1 || !m.Next.Equal(b.clock.Now().Add(time.Minute)) || m.Incident != incident {
		t.Errorf("got %+v", m)
	}
	b.rebuilds()
	b.says(b.question().ID, "dave", "", "Yes", "")
	b.status(run, engine.RunDone)
	waits(2)
	b.advance(time.Minute)
	b.bell.until(t, "the mail to be let go of", func() bool { r := b.run(m.Run); return r.Status == engine.RunDone })
	if r := b.run(m.Run); r.Unsent != "it was answered already" {
		t.Errorf("got %+v", r)
	}
	contains(t, "story", b.story(incident), "mail for dave@example.org waits, smtp default: 451 greylisted; next try", "is not sent any more: it was answered already")
	b.world.on("smtp.deliver", doDeliver)
	b.advance(2 * time.Minute)
	waits(0)
	b.rebuilds()
}

// TestAMailThatIsGivenUp opens an incident, also where it belongs to none.
func TestAMailThatIsGivenUp(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.mail('gone@example.org')\n    i.close('told them')\n")
	b.world.on("smtp.deliver", func(context.Context, *engine.Call) (engine.Result, error) {
		return engine.Result{}, engine.Errorf(engine.Denied, "550 no such user")
	})
	b.start()
	var found engine.Incident
	b.bell.until(t, "an incident of its own", func() bool {
		list, _, err := b.state.Incidents(engine.IncidentFilter{Type: "undelivered-mail"}, "", 10)
		must(t, err)
		if len(list) == 1 {
			found = list[0]
		}
		return len(list) == 1
	})
	if found.Title != "Mail for gone@example.org could not be delivered" || found.Severity != "medium" || found.Status != engine.IncidentOpen {
		t.Errorf("got %+v", found)
	}
	b.idleRuns(t)
	b.facts(found.ID, map[string]engine.Value{"address": "gone@example.org", "why": "550 no such user", "about": "i0-1"})
}
