package runner_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// agrees is a playbook of what people do with a question: a reminder, answers that
// count, one that is changed, one that decides, with a file.
const agrees = `
def f(i):
    a = ask(["dave", "ana"], "Open?", choices = ["Yes", "No"], quorum = 2, remind = "1h", timeout = "1d", default = "No",
            fields = [field.file("proof", required = False)])
    i.set(choice = a.choice, said = ["%s %s" % (x.by, x.choice) for x in a.answers], file = a.fields["proof"].name)
    i.close("over")
`

// agreed plays the people of it until all is over, or the power is out.
func (b *box) agreed() {
	b.t.Helper()
	give := func(id, who, choice string) {
		r := engine.Reply{Choice: choice, By: engine.Addressee{Name: who}, How: "page", Proof: "device"}
		r.Files = map[string][]engine.Upload{"proof": {{Name: who + ".txt", Content: []byte("proof of " + who)}}}
		_, _ = b.runner.Answer(context.Background(), id, r) // the power may go out
	}
	b.bell.until(b.t, "all is over", func() bool {
		if b.power.isOut() {
			return true
		}
		qs, _, err := b.state.Questions(engine.QuestionFilter{Status: engine.QuestionOpen}, "", 10)
		must(b.t, err)
		for _, q := range qs {
			switch said := len(q.Answers); {
			case q.Reminders == 0 && b.clock.sleeps(q.Asked.Add(time.Hour)):
				b.clock.set(q.Asked.Add(time.Hour))
				b.bell.ring()
			case q.Reminders > 0 && said == 0:
				give(q.ID, "dave", "No")
			case said == 1 && q.Answers[0].Choice == "No":
				give(q.ID, "dave", "Yes")
			case said == 1:
				give(q.ID, "ana", "Yes")
			}
		}
		runs, _, err := b.state.Runs(engine.RunFilter{}, "", 100)
		must(b.t, err)
		return len(runs) > 0 && !slices.ContainsFunc(runs, func(r engine.Run) bool { return r.Status != engine.RunDone })
	})
}

// agreement sums up what it came to.
func (b *box) agreement() string {
	b.t.Helper()
	i := b.incident("i0-1")
	files, err := b.state.Attachments(i.ID)
	must(b.t, err)
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s %s\n", i.Status, i.Reason, i.Fields)
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
		if _, _, err := b.state.Attachment(i.ID, f.SHA256); err != nil {
			fmt.Fprintf(&s, "%s is lost: %v\n", f.Name, err)
		}
	}
	slices.Sort(names)
	fmt.Fprintln(&s, names)
	qs, _, err := b.state.Questions(engine.QuestionFilter{}, "", 10)
	must(b.t, err)
	for _, q := range qs {
		fmt.Fprintf(&s, "%s %d reminders, %d answers\n", q.Status, q.Reminders, len(q.Answers))
	}
	return s.String()
}

// TestACrashWhilePeopleAgree: wherever the power goes out between two commits, each
// answer counts once, the reminder is one, and files are there.
func TestACrashWhilePeopleAgree(t *testing.T) {
	t.Parallel()
	play := func(t *testing.T, cut int, atNext bool) (*box, int) {
		b := playbook(t, agrees)
		before := b.power.count()
		if cut > 0 {
			b.power.after(cut, atNext)
		}
		match := record.EventMatched{
			Rule: "r", Offer: "o", Bundle: b.bundle, Mode: "live", Severity: "low", Type: "t", Title: "T", Do: engine.Handler{File: "a.star", Name: "f"},
		}
		_, _ = b.offer(0, record.EventMatchedKind, match) // the power may go out
		b.agreed()
		return b, b.power.count() - before
	}
	b, commits := play(t, 0, false)
	want := b.agreement()
	contains(t, "without a crash", want, "closed over", `"said":["dave Yes","ana Yes"]`, "[ana.txt dave.txt]", "answered 1 reminders, 2 answers")
	b.rebuilds()
	if commits < 8 {
		t.Fatalf("got %d commits: too few to say much", commits)
	}
	for n := 1; n < commits; n++ {
		for _, atNext := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %v", n, atNext), func(t *testing.T) {
				t.Parallel()
				b, _ := play(t, n, atNext)
				b.reopen()
				b.agreed()
				if got := b.agreement(); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}
