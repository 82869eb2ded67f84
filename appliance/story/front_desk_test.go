package story

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"larkspur/appliance/demo/mailbox"
	"larkspur/engine"
)

const reportBody = `{"subject": "The printer is on fire", "text": "It smells.", "reporter": "Eve <eve@example.org>"}`

var buttonInMail = regexp.MustCompile(`https?://[^\s"<>]+/b/[A-Za-z0-9_-]+`)

// frontDesk is a box whose workspace switches front_desk on.
func frontDesk(t *testing.T) *box {
	t.Helper()
	return serveIn(t, func(dir string) {
		file, err := os.OpenFile(filepath.Join(dir, "larkspur.yaml"), os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = file.WriteString("teams: {desk: [dave, ana]}\nplaybooks:\n  - front_desk: {name: reports, hook: reports, team: desk}\n")
		must(t, err)
		must(t, file.Close())
		must(t, os.WriteFile(filepath.Join(dir, "secrets", "reports"), []byte(hookToken+"\n"), 0o600))
	})
}

// report sends one, and returns the acknowledgement that its reporter gets.
func (b *box) report() mailbox.Mail {
	b.t.Helper()
	status, said, _, err := b.hook("reports", bearer(hookToken), strings.NewReader(reportBody), int64(len(reportBody)))
	if err != nil || status != 202 {
		b.t.Fatalf("the report: got %d, %+v, %v", status, said, err)
	}
	return b.mailTo("eve@example.org", "Thank you, your report is here")
}

// mailTo waits for a mail to somebody that says something.
func (b *box) mailTo(address, says string) (found mailbox.Mail) {
	b.t.Helper()
	b.eventually("mail to "+address+" that says "+says, func() bool {
		for _, m := range b.mailbox.Mails() {
			if slices.Contains(m.To, address) && strings.Contains(m.Subject+"\n"+m.Text, says) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// TestResponsibleAutomation plays U4 with a browser of a phone: each of its
// sentences is a subtest.
func TestResponsibleAutomation(t *testing.T) {
	b := frontDesk(t)
	v := newVisitor(t)
	mail := b.report()
	link := buttonInMail.FindString(mail.Text)

	t.Run("the acknowledgement mail to an end user carries a break-out button", func(t *testing.T) {
		wantText(t, "the mail", mail.Text, "I need a person now", "/b/")
		wantText(t, "the mail as HTML", mail.HTML, "I need a person now", link)
		v.open(link)
		v.see("break-out", "The printer is on fire", "I need a person now", "Opening this page told nobody yet")
		if i := b.until("incident", func(*incident) bool { return true }); i.Severity != "medium" || i.Owner != "" || i.run("button").ID != "" {
			t.Errorf("the link alone changed the incident: %+v", i)
		}
	})
	v.do(chromedp.Click(chromedp.CSS("button.primary")), chromedp.WaitVisible(chromedp.CSS(".outcome")))
	v.see("pressed", "Thank you, it is told")
	pressed := b.until("end of the press", func(i *incident) bool { return i.Owner != "" && len(i.Deadlines) > 0 })

	t.Run("it raises the severity", func(t *testing.T) {
		if pressed.Severity != "high" {
			t.Errorf("got %s, want high", pressed.Severity)
		}
	})
	t.Run("assigns a team member", func(t *testing.T) {
		if pressed.Owner != "dave" && pressed.Owner != "ana" {
			t.Errorf("got %q, want one of the team", pressed.Owner)
		}
		b.mailTo(pressed.Owner+"@example.org", "Eve asks for a person: The printer is on fire")
		v.open(link)
		v.see("taken", pressed.Owner+" looks after it now")
	})
	t.Run("and starts the response SLA", func(t *testing.T) {
		timer := pressed.Deadlines[0]
		if left := timer.Due.Sub(b.clock.Now()); timer.Name != "response" || left <= 29*time.Minute || left > 30*time.Minute {
			t.Errorf("got %+v, want 30 minutes for the response", timer)
		}
	})
	t.Run("while the automation goes on in parallel", func(t *testing.T) {
		if main := pressed.run("playbook"); main.Status != engine.RunWaiting || len(pressed.Questions) != 1 {
			t.Errorf("the main run is %s, want waiting for its question", main.Status)
		}
	})
	t.Run("twice is once", func(t *testing.T) {
		status, page, err := visit(b.ctx, "POST", link, map[string][]string{"form_token": {"x"}})
		must(t, err)
		if status != 403 {
			t.Errorf("a forged press: got %d\n%s", status, page)
		}
		v.open(link)
		v.see("again", "This was pressed already")
	})
	t.Run("nobody acts: the SLA is breached, and the team is told", func(t *testing.T) {
		b.clock.advance(31 * time.Minute)
		i := b.until("breach", func(i *incident) bool { return i.Severity == "critical" })
		wantText(t, "the story", i.told(), "I need a person now")
		b.mailTo("dave@example.org", "Nobody has acted: The printer is on fire")
		b.mailTo("ana@example.org", "Nobody has acted: The printer is on fire")
	})
	t.Run("after closing it reopens", func(t *testing.T) {
		b.post("/api/v1/questions/"+pressed.Questions[0].ID+"/answer", map[string]any{"choice": "Answer", "fields": map[string]any{"answer": "Use the other one."}})
		b.until("close", func(i *incident) bool { return i.Status == engine.IncidentClosed })
		last := b.mailTo("eve@example.org", "Use the other one.")
		v.open(buttonInMail.FindString(last.Text))
		v.see("not-solved", "It is not solved")
		v.do(chromedp.Click(chromedp.CSS("button.primary")), chromedp.WaitVisible(chromedp.CSS(".outcome")))
		b.until("reopening", func(i *incident) bool { return i.Status == engine.IncidentOpen })
	})
}
