package page_test

import (
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

const address = "https://soar.example.org/larkspur/"

func TestIncidents(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "dave")
	p := dave.Get("/larkspur/").Want(200,
		"Netflix from 192.0.2.7", "blog: certificate ends in 3 days", uitest.PrivateName, "critical", "30 min ago", "12 events",
		"2 questions wait for an answer", `href="/larkspur/incidents/i0-42"`)
	p.Lacks("Website request")
	if strings.Contains(p.Body, "<script") {
		t.Error("a title is not escaped")
	}
	dave.Get("/larkspur/?status=closed").Want(200, "Website request", "Approve, by ana").Lacks("blog:")
	dave.Get("/larkspur/?status=all&q=NETFLIX").Want(200, "Netflix from").Lacks("blog:")
	dave.Get("/larkspur/?severity=critical").Want(200, "blog:").Lacks("Netflix from")
	dave.Get("/larkspur/?q=nothing").Want(200, "Nothing matches")
	dave.Get("/larkspur/?status=bogus").Want(200, "Netflix from")
	dave.Get("/larkspur/?cursor=bogus").Want(400, "want one that a list gave")
}

func TestIncidentsHidesWhatIsForATeam(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Visit(t, "vic").Get("/larkspur/").Want(200, "Netflix from").Lacks(uitest.PrivateName)
	w.Visit(t, "vic").Get("/larkspur/incidents/"+uitest.TeamID).Want(404, "there is no incident")
	w.Visit(t, "ana").Get("/larkspur/incidents/"+uitest.TeamID).Want(200, uitest.PrivateName, "team only")
	w.Visit(t, "ada").Get("/larkspur/incidents/"+uitest.TeamID).Want(200, uitest.PrivateName)
}

func TestIncidentsWhenThereIsNone(t *testing.T) {
	w := uitest.New(t, address)
	dave := w.Visit(t, "dave")
	dave.Get("/larkspur/").Want(200, "No rules yet", "larkspur init")
	w.Has.Statuses = []engine.RuleStatus{{Rule: engine.Rule{Name: "x", Mode: "live"}}}
	dave.Get("/larkspur/").Want(200, "All quiet", "1 rule is watching", "larkspur replay")
	dave.Get("/larkspur/?status=closed").Want(200, "Nothing here yet")
	w.Has.Live.Problems = []engine.Problem{{Severity: "warning"}, {Severity: "error", Message: "undefined: x"}}
	dave.Get("/larkspur/").Want(200, "The newest files have 1 error.")
}

func TestIncidentsPages(t *testing.T) {
	w := uitest.New(t, address)
	for i := range 120 {
		w.Has.Incidents = append(w.Has.Incidents, engine.Incident{
			ID: engine.FormatID('i', 0, uint64(200-i)), Status: "open", Title: "n", Severity: "low", Opened: uitest.Start(),
			Visible: map[bool]string{true: "team"}[i%2 == 0], Team: "nobody's",
		})
	}
	seen := map[string]bool{}
	vic := w.Visit(t, "vic")
	path, pages := "/larkspur/?severity=low", 0
	for path != "" {
		p := vic.Get(path).Want(200)
		path = ""
		for _, link := range p.Links() {
			if id, ok := strings.CutPrefix(link, "/larkspur/incidents/"); ok {
				seen[id] = true
			}
			if strings.Contains(link, "cursor=") {
				path = "/larkspur/" + link
			}
		}
		pages++
	}
	if len(seen) != 60 || pages != 2 {
		t.Errorf("got %d incidents on %d pages, want the 60 visible ones on 2", len(seen), pages)
	}
}

func TestListsGoOnWhereAReaderEndedEarly(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Scan = 2
	dave := w.Visit(t, "dave")
	dave.Get("/larkspur/?status=closed").Want(200, "Nothing so far", "Search further back", "cursor=2")
	dave.Get("/larkspur/?status=closed&cursor=2").Want(200, "Website request", "Back to the newest")
	dave.Get("/larkspur/?status=all").Want(200, "blog:", "Older").Lacks("Website request")
	for _, path := range []string{"/larkspur/changes?status=undone", "/larkspur/runs?status=failed", "/larkspur/questions?status=answered"} {
		dave.Get(path).Want(200, "Nothing so far")
	}
}

// A search that finds nothing among the open ones offers to look in all.
func TestASearchGoesOnInAllIncidents(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Visit(t, "dave").Get("/larkspur/?q=website&severity=info").Want(200, "Nothing matches", "Look in all incidents", `/larkspur/?q=website&severity=info&status=all`)
	w.Visit(t, "dave").Get("/larkspur/?q=website&status=all").Want(200, "Website request: example.org")
}
