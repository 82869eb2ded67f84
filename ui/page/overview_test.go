package page_test

import (
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/uitest"
)

func TestOverview(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Has.Live.Problems = []engine.Problem{{File: "scripts/netflix.star", Line: 6, Col: 9, Severity: "error", Message: "undefined: aks"}}
	p := w.Visit(t, "dave").Get("/larkspur/overview").Want(200,
		"Needs somebody now", "192.0.2.7 is watching Netflix. What now?", "asks you",
		"unifi home: answers slowly (2.4 s)", "The newest files have an error: an older version keeps running", "undefined: aks",
		"Could not be taken back: allow example.org", "Rule blog went wrong",
		"Open now", "critical", "opened", "runs failed", "of hand work saved", "answered, after 15 min", "By rule, last 7 days", "netflix-while-away", "blog")
	if n := strings.Count(p.Body, "<svg class=\"chart\""); n != 2 {
		t.Errorf("got %d charts, want 2", n)
	}
	if strings.Contains(p.Body, "style=") || strings.Contains(p.Body, "<script") {
		t.Error("the page has styles or scripts of its own, which the policy forbids")
	}
}

// What only a team may see is in nobody else's numbers.
func TestOverviewOfOthers(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Visit(t, "vic").Get("/larkspur/overview").Want(200, "netflix-while-away").Lacks(`blog</a></th>`, "asks you", uitest.PrivateName)
}

func TestOverviewOfAQuietBox(t *testing.T) {
	w := uitest.New(t, address)
	w.Visit(t, "vic").Get("/larkspur/overview").Want(200, "Nothing. No question waits for you", "No incident is open", "No incident in the last 24 hours", "No incident in the last 14 days").
		Lacks("By rule", "<svg class")
}

func TestOverviewSaysHowManyMore(t *testing.T) {
	w := uitest.New(t, address)
	for n := range 5 {
		w.Has.Runs = append(w.Has.Runs, engine.Run{ID: engine.FormatID('r', 0, uint64(n+1)), Status: engine.RunInDoubt, Rule: "blog"})
	}
	w.Has.Health = desk.Check{Name: "Larkspur", Status: desk.HealthOK, Children: []desk.Check{{Name: "Disk", Status: desk.HealthFail, Message: "it is full", Hint: "Make room."}}}
	w.Visit(t, "dave").Get("/larkspur/overview").Want(200, "Run r0-3 is in doubt", "More runs are in doubt", "Disk: it is full", "Make room.").Lacks("Run r0-4")
}

func TestRuleAndItsHits(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "dave")
	dave.Get("/larkspur/rules/netflix-while-away").Want(200, "on.dns", "What it matched", "12 in all", "dns event e0-9 from eth1", "attached", "opened", "erased")
	dave.Get("/larkspur/rules/nothing").Want(404, `there is no rule "nothing"`)
	delete(w.Has.Hits, "netflix-while-away")
	dave.Get("/larkspur/rules/netflix-while-away").Want(200, "No hits yet")
	w.Has.Statuses = nil
	w.Has.Hits = map[string][]engine.Hit{"gone": {{Title: "long ago", Incident: uitest.ClosedID, Action: "opened"}}}
	dave.Get("/larkspur/rules/gone").Want(200, "No rule of this name is live", "long ago")
}

// A header counts what its reader may see.
func TestHeadersCountWhatIsSeen(t *testing.T) {
	w := uitest.Sample(t, address)
	private := w.Has.Incidents[2]
	for n := range w.Has.Incidents {
		if w.Has.Incidents[n].ID == uitest.TeamID {
			private = w.Has.Incidents[n]
		}
	}
	w.Has.Questions = append(w.Has.Questions,
		engine.Question{ID: "q0-90", Status: engine.QuestionOpen, Incident: private.ID, Text: "hidden"},
		engine.Question{ID: "q0-91", Status: engine.QuestionOpen, Incident: private.ID, Text: "hidden, but asked", To: []engine.Addressee{{Name: "ben"}}})
	w.Has.Changes = append(w.Has.Changes, engine.Change{ID: "c0-90", Status: engine.ChangeInForce, Incident: private.ID})
	for name, want := range map[string][]string{
		"dave": {`Incidents <span class="count">3<`, `Questions <span class="count hot">4<`, `Changes <span class="count">2<`},
		"vic":  {`Incidents <span class="count">2<`, `Questions <span class="count hot">2<`, `Changes <span class="count">1<`},
		"ben":  {`Questions <span class="count hot">3<`},
	} {
		w.Visit(t, name).Get("/larkspur/status").Want(200, want...)
	}
}
