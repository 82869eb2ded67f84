package page_test

import (
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

const incidentPath = "/larkspur/incidents/" + uitest.OpenID

func TestIncidentTellsItsStory(t *testing.T) {
	w := uitest.Sample(t, address)
	p := w.Visit(t, "dave").Get(incidentPath).Want(200,
		"Netflix from 192.0.2.7", "living room TV", "Watched for", "25m", // summary
		"Tell the viewer?", "No by dave", "they know already", // decisions
		"What now?", "blocks the device for 8 hours", `name="choice" value="Block"`, // question, with its buttons
		"unifi.client", "scripts/netflix.star:4:20", `if unifi.client("home", mac = PHONE).online:`, "took 40 ms",
		"online = False", `"mac": "02:00:00:00:00:01"`, "waits for question q0-7",
		"r0-18", "outbox",
		"block 02:00:00:00:00:07 on home", "Undo now", "Taken back", // changes
		"Opened: Netflix", "www.netflix.com", "22 Nov, 08:30 CET") // timeline, event, zone
	if summary, run := strings.Index(p.Body, "<h2>Summary"), strings.Index(p.Body, "Run r0-17"); summary < 0 || summary > run {
		t.Error("the summary is not on top")
	}
	p.Want(200, `datetime="2026-11-22T08:30:00+01:00" title="2026-11-22T08:30:00+01:00"`)
}

func TestIncidentShowsItsDeadlines(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Visit(t, "dave").Get(incidentPath).Want(200, "overdue", "To close it", "within 8h in the hours of office, until", "23 Nov, 11:00 CET", "in 26 hours", "To respond", "breached",
		"over since", "contain", "paused", "1h30m left")
	w.Visit(t, "dave").Get("/larkspur/").Want(200, `<span class="badge bad">overdue</span>`, "in 3 hours")
	w.Visit(t, "dave").Get("/larkspur/?deadline=overdue").Want(200, "Netflix from", "Only what is <b>overdue</b>").Lacks("blog:")
	w.Visit(t, "dave").Get("/larkspur/overview").Want(200, "Overdue: Netflix from")
}

func TestIncidentOrdersFacts(t *testing.T) {
	p := uitest.Sample(t, address)
	body := p.Visit(t, "vic").Get(incidentPath).Want(200).Body
	if strings.Index(body, "Device") > strings.Index(body, "Phones at home") {
		t.Error("facts do not stand in the order of their first setting")
	}
}

func TestIncidentShowsActsByRole(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Visit(t, "vic").Get(incidentPath).Want(200).Lacks("Close the incident", "Undo now", `name="choice"`)
	w.Visit(t, "ana").Get(incidentPath).Want(200, "Close the incident", "Undo now", `name="choice"`).Lacks("Open the question")
	w.Visit(t, "eng").Get(incidentPath).Want(200, "Close the incident").Lacks(`name="choice"`)
}

func TestIncidentIsClosedNotedAndReopened(t *testing.T) {
	w := uitest.Sample(t, address)
	ana := w.Visit(t, "ana")
	form := ana.Get(incidentPath).Form()
	p := ana.Post(incidentPath+"/close", with(form, "reason", "  ", "code", "duplicate"))
	p.Want(400, "The reason must be filled in")
	p = ana.Post(incidentPath+"/note", with(form, "text", strings.Repeat("x", 5000)))
	p.Want(400, "The note is too long", "xxxxx")
	ana.Post(incidentPath+"/note", with(form, "text", "seen <b>")).Want(303)
	if to := ana.Post(incidentPath+"/close", with(form, "reason", "homework", "code", "duplicate")).Want(303).Header.Get("Location"); to != incidentPath+"?done=closed" {
		t.Errorf("got a redirect to %q, want the incident", to)
	}
	ana.Get(incidentPath+"?done=closed").Want(200, "The incident is closed.", "homework", "Reopen")
	ana.Post(incidentPath+"/reopen", with(form, "reason", "again")).Want(303)
	want := `login ana link; note i0-42 "seen <b>" by ana; close i0-42 "homework" duplicate by ana; reopen i0-42 "again" by ana`
	if got := w.Logged(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestIncidentIsAssignedOnItsPage(t *testing.T) {
	w := uitest.Sample(t, address)
	ana := w.Visit(t, "ana")
	form := ana.Get(incidentPath).Want(200, `<optgroup label="People"><option`, `<optgroup label="Teams">`, "who has the fewest open incidents").Form()
	ana.Post(incidentPath+"/assign", with(form, "to", "family", "pick", "less-busy")).Want(303)
	ana.Post(incidentPath+"/escalate", with(form, "severity", "critical")).Want(303)
	ana.Post(incidentPath+"/set", with(form, "name", "ticket", "value", "T-1")).Want(303)
	ana.Get(incidentPath+"?done=assigned").Want(200, "The incident is assigned.")
	ana.Post(incidentPath+"/assign", with(form, "to", "nobody")).Want(400, "assign: there is no")
	ana.Post(incidentPath+"/set", with(form, "name", " ", "value", "T-1")).Want(400, "Its name must be filled in")
	want := `login ana link; assign i0-42 to family pick "less-busy" by ana; escalate i0-42 to critical by ana; set i0-42 [ticket] {"ticket":"T-1"} by ana`
	if got := w.Logged(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	w.Visit(t, "vic").Get(incidentPath).Want(200).Lacks("Assign to")
}

func TestIncidentActsNeedRoleAndForm(t *testing.T) {
	w := uitest.Sample(t, address)
	vic := w.Visit(t, "vic")
	vic.Post(incidentPath+"/close", with(vic.Get("/larkspur/").Form(), "reason", "x")).Want(403, "the role viewer may not do this", "responder, engineer or admin")
	ana := w.Visit(t, "ana")
	ana.Post(incidentPath+"/close", with(nil, "reason", "x")).Want(403, "the form is not from your session")
	other := w.Visit(t, "dave").Get(incidentPath).Form()
	ana.Post(incidentPath+"/close", with(other, "reason", "x")).Want(403, "the form is not from your session")
	ana.Header["Sec-Fetch-Site"] = "cross-site"
	ana.Post(incidentPath+"/close", with(ana.Get(incidentPath).Form(), "reason", "x")).Want(403, "another site")
	w.Visit(t, "").Post(incidentPath+"/close", with(nil, "reason", "x")).Want(401, "Please sign in")
	if strings.Contains(w.Logged(), "close") {
		t.Error("an incident was closed")
	}
}

func TestIncidentLateDecision(t *testing.T) {
	w := uitest.Sample(t, address)
	ana := w.Visit(t, "ana")
	form := ana.Get(incidentPath).Form()
	w.Late = "it is closed already"
	ana.Post(incidentPath+"/close", with(form, "reason", "x")).Want(409, "it is closed already", "Nothing was changed")
}

func TestIncidentUnknown(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "dave")
	dave.Get("/larkspur/incidents/i0-999").Want(404, "there is no incident", "Not found")
	dave.Get("/larkspur/incidents/../../etc").Want(404)
	dave.Get("/larkspur/incidents/i00-1").Want(404)
}

func TestIncidentTimelineIsPaged(t *testing.T) {
	w := uitest.Sample(t, address)
	for len(w.Has.Stories[uitest.OpenID]) < 450 {
		w.Has.Stories[uitest.OpenID] = append(w.Has.Stories[uitest.OpenID], engine.TimelineEntry{Text: "and then", Time: uitest.Start()})
	}
	w.Has.Stories[uitest.OpenID][449].Text = "the end"
	dave := w.Visit(t, "dave")
	dave.Get(incidentPath).Want(200, `href="?timeline=200#timeline"`).Lacks("the end")
	dave.Get(incidentPath+"?timeline=400").Want(200, "the end")
}

// One page has one zone: what a line of the story ends with, and what a run waits
// for, are shown in the workspace's.
func TestMomentsOfAStoryAreInTheZoneOfThePage(t *testing.T) {
	w := uitest.Sample(t, address)
	until := uitest.Start().Add(8 * time.Hour)
	text := "changed: block the TV, until " + until.Format(engine.UntilLayout)
	w.Has.Stories[uitest.OpenID] = append(w.Has.Stories[uitest.OpenID], engine.TimelineEntry{Record: 9, Time: uitest.Start(), Kind: "step_done", Text: text, Until: until})
	w.Has.Runs[0].Waits = "until " + until.Format(time.RFC3339)
	dave := w.Visit(t, "dave")
	dave.Get(incidentPath).Want(200, "changed: block the TV, until 22 Nov, 17:00 CET", "waits until 22 Nov, 17:00 CET").Lacks("UTC")
	dave.Get("/larkspur/runs").Want(200, "waits until 22 Nov, 17:00 CET")
	dave.Get("/larkspur/runs/"+w.Has.Runs[0].ID).Want(200, "until 22 Nov, 17:00 CET").Lacks("16:00:00Z")
}
