package uitest

import (
	"slices"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// Names of the sample's things.
const (
	LinkToken   = "jqk5vw2tnbx3c7ydm4zfrlhpgoe6aisu"
	OpenLink    = LinkToken
	ButtonLink  = "buttonbuttonbuttonbuttonbuttonbu"
	PressedLink = "pressedpressedpressedpressedpres"
	FormLink    = "formformformformformformformform"
	BundleHash  = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	sampleFile  = "scripts/netflix.star"
	OpenID      = "i0-42"
	ClosedID    = "i0-41"
	TeamID      = "i0-40"
	OpenQ       = "q0-7"
	FormQ       = "q0-9"
	RunID       = "r0-17"
	BadRunID    = "r0-16"
	ChangeID    = "c0-3"
	PrivateName = "the secret party"
)

const sampleScript = `load("lib/people.star", "PHONE")

def respond(i):
    if unifi.client("home", mac = PHONE).online:
        return i.close("the owner is at home")
    a = ask("dave", "%s is watching Netflix. What now?" % i.event.client,
            choices = {"Allow": "lets them watch", "Block": "blocks the device for 8 hours"},
            timeout = "2h", default = "Allow")
    if a.choice == "Block":
        unifi.block("home", mac = i.event.client_mac, expires = "8h", why = a.reason)
    i.close("%s by %s" % (a.choice, a.by), quiet = "2h")
`

func data(m map[string]engine.Value) engine.Data { return engine.MustEncode(m) }

// Sample makes a world in which something happens.
func Sample(t testing.TB, url string) *World {
	w := New(t, url)
	now := Start()
	w.Has.Bundles[BundleHash] = map[string]string{sampleFile: sampleScript}
	w.Has.Events["e0-90"] = engine.Event{
		ID: "e0-90", Kind: "dns", Source: "eth1", Time: now.Add(-30 * time.Minute),
		Fields: map[string]engine.Value{"query": "www.netflix.com", "client": "192.0.2.7", "client_mac": "02:00:00:00:00:07", "type": "A"},
	}
	sampleIncidents(w, now)
	sampleRuns(w, now)
	sampleQuestions(w, now)
	sampleButtons(w, now)
	sampleDeadlines(w, now)
	sampleJobs(w, now)
	sampleChanges(w, now)
	sampleRules(w, now)
	sampleTallies(w, now)
	sampleDNS(w, now)
	return w
}

func sampleIncidents(w *World, now time.Time) {
	w.Has.Incidents = []engine.Incident{
		{
			ID: OpenID, Status: "open", Title: "Netflix from 192.0.2.7 <script>alert(1)</script>", Type: "streaming", Rule: "netflix-while-away",
			Severity: "low", Team: "family", Visible: "all", Opened: now.Add(-30 * time.Minute), Updated: now.Add(-2 * time.Minute),
			Fields: data(map[string]engine.Value{"device": "living room TV", "watched_for": 25 * time.Minute, "phones_at_home": int64(0)}),
			Order:  []string{"device", "watched_for"}, Event: "e0-90", Events: 12, Due: now.Add(26 * time.Hour), Breached: 1,
		},
		{
			ID: "i0-43", Status: "open", Title: "blog: certificate ends in 3 days", Type: "outage", Rule: "blog", Severity: "critical",
			Owner: "ana", Opened: now.Add(-26 * time.Hour), Updated: now.Add(-time.Hour), Events: 1, Due: now.Add(3 * time.Hour),
		},
		{
			ID: TeamID, Status: "open", Title: PrivateName, Type: "family", Rule: "family", Severity: "medium", Team: "family",
			Visible: "team", Opened: now.Add(-50 * time.Hour), Updated: now.Add(-49 * time.Hour), Events: 1,
		},
		{
			ID: ClosedID, Status: "closed", Title: "Website request: example.org", Type: "website", Rule: "website", Severity: "info",
			Opened: now.Add(-100 * time.Hour), Updated: now.Add(-90 * time.Hour), Closed: now.Add(-90 * time.Hour),
			Reason: "Approve, by ana", Code: "resolved", ClosedBy: "ana", Events: 1,
		},
	}
	w.Has.Stories[OpenID] = []engine.TimelineEntry{
		{Record: 1, Time: now.Add(-30 * time.Minute), Kind: "incident_opened", By: "rule netflix-while-away", Text: "Opened: Netflix from 192.0.2.7"},
		{Record: 2, Time: now.Add(-30 * time.Minute), Kind: "run_started", By: "run r0-17", Text: "Run started: respond", Run: RunID},
		{Record: 3, Time: now.Add(-29 * time.Minute), Kind: "step_done", Text: "unifi.client: the phone is away", Run: RunID, Step: "1"},
		{Record: 4, Time: now.Add(-29 * time.Minute), Kind: "question_asked", Text: "Asked dave: what now?", Run: RunID, Step: "2"},
	}
}

func sampleRuns(w *World, now time.Time) {
	handler := engine.Handler{File: "netflix.star", Name: "respond"}
	w.Has.Runs = []engine.Run{
		{
			ID: RunID, Status: engine.RunWaiting, Generation: 1, Incident: OpenID, Event: "e0-90", Rule: "netflix-while-away", Handler: handler,
			Bundle: BundleHash, Commit: "6dcb09b5b57875f334f61aebed695e2e4193db5e", Purpose: "playbook", Mode: "live", Started: now.Add(-30 * time.Minute),
			Waits: "question q0-7", Engine: "1.0",
		},
		{
			ID: "r0-18", Status: engine.RunDone, Generation: 1, Incident: OpenID, Handler: engine.Handler{File: "@larkspur//outbox.star", Name: "question"},
			Bundle: BundleHash, Purpose: "outbox", Question: OpenQ, Parent: RunID, Mode: "live", Started: now.Add(-29 * time.Minute), Ended: now.Add(-28 * time.Minute),
		},
		{
			ID: BadRunID, Status: engine.RunFailed, Generation: 1, Incident: "i0-43", Rule: "blog", Handler: handler, Bundle: BundleHash,
			Purpose: "playbook", Mode: "shadow", Started: now.Add(-26 * time.Hour), Ended: now.Add(-25 * time.Hour),
			Args: data(map[string]engine.Value{"p": engine.Struct{Fields: map[string]engine.Value{"url": "https://blog.example.org/"}}}),
			Error: &engine.Error{
				Kind: engine.Unavailable, Message: `unifi "home": dialing: connection refused`, Cause: "refused",
				Hint: "Is the controller running?", At: sampleFile + ":10:20",
			},
		},
	}
	w.Has.Journals[RunID] = []engine.Step{
		{
			Number: 1, Builtin: "unifi.client", Class: engine.Read, At: sampleFile + ":4:20", Status: engine.StepDone,
			Args:    data(map[string]engine.Value{"connection": "home", "mac": "02:00:00:00:00:01"}),
			Result:  engine.MustEncode(engine.Struct{Fields: map[string]engine.Value{"online": false, "name": "Dave's phone"}}),
			Started: now.Add(-30 * time.Minute), Ended: now.Add(-30*time.Minute + 40*time.Millisecond),
		},
		{
			Number: 2, Builtin: "ask", Class: engine.Once, At: sampleFile + ":6:12", Status: engine.StepStarted, Started: now.Add(-29 * time.Minute),
			Args: data(map[string]engine.Value{"to": "dave", "question": "192.0.2.7 is watching Netflix. What now?", "timeout": 2 * time.Hour}),
		},
	}
	w.Has.Journals[BadRunID] = []engine.Step{
		{
			Path: "0", Number: 1, Builtin: "unifi.block", Class: engine.Repeatable, At: sampleFile + ":10:20", Status: engine.StepFailed,
			Args:    data(map[string]engine.Value{"connection": "home", "key": engine.Secret{Name: "unifi"}}),
			Started: now.Add(-26 * time.Hour), Ended: now.Add(-26*time.Hour + 3*time.Second), Error: w.Has.Runs[2].Error,
		},
		{Number: 2, Builtin: "ssh.run", Class: engine.Once, At: "elsewhere.star:1:1", Status: engine.StepInDoubt, Started: now.Add(-26 * time.Hour)},
		{Number: 3, Builtin: "email.send", Class: engine.Repeatable, At: sampleFile + ":11:12", Status: engine.StepDone, Erased: "erased on 2026-11-20 because ana asked for it", Started: now.Add(-26 * time.Hour)},
	}
}

func sampleQuestions(w *World, now time.Time) {
	dave := engine.Addressee{Name: "dave", Email: "dave@example.org"}
	w.Has.Questions = []engine.Question{
		{
			ID: FormQ, Status: engine.QuestionOpen, Run: RunID, Incident: OpenID, Step: "3", To: []engine.Addressee{{Email: "viewer@example.org"}},
			Text: "Why should this be allowed?", Revision: 1, Asked: now.Add(-20 * time.Minute), Proof: desk.ProofLink,
			Fields: []engine.Field{
				{Name: "reason", Kind: "text", Multiline: true, Required: true},
				{Name: "how_long", Kind: "duration", Max: "30d"},
				{Name: "who", Kind: "choice", Choices: []string{"me", "guests"}, Required: true},
				{Name: "days", Kind: "many", Choices: []string{"Saturday", "Sunday"}, Label: "On which days?"},
				{Name: "site", Kind: "domain"}, {Name: "people", Kind: "number", Max: "9"}, {Name: "from", Kind: "date"}, {Name: "mail", Kind: "address"},
			},
		},
		{
			ID: OpenQ, Status: engine.QuestionOpen, Run: RunID, Incident: OpenID, Step: "2",
			To:      []engine.Addressee{dave, {Name: "ana", Email: "ana@example.org"}},
			Text:    "192.0.2.7 is watching Netflix. What now?",
			Choices: []engine.Choice{{Name: "Allow", Consequence: "lets them watch"}, {Name: "Block", Consequence: "blocks the device for 8 hours"}, {Name: "Ask why", Consequence: "sends a questionnaire to the viewer"}},
			Details: []string{"Device: living room TV", "Seen since 08:30, 12 lookups", "Your phone is not on the Wi-Fi"},
			Default: "Allow", HasDefault: true, Proof: desk.ProofDevice, Revision: 1, Asked: now.Add(-29 * time.Minute), Due: now.Add(91 * time.Minute),
		},
		{
			ID: "q0-5", Status: engine.QuestionAnswered, Run: RunID, Incident: OpenID, Step: "1", To: []engine.Addressee{dave},
			Text: "Tell the viewer?", Choices: []engine.Choice{{Name: "Yes"}, {Name: "No"}}, Revision: 1, Asked: now.Add(-3 * time.Hour),
			Answer: &engine.Answer{Choice: "No", By: "dave", At: now.Add(-2 * time.Hour), Reason: "they know already", How: "link"},
		},
	}
	w.Has.Links[OpenLink] = Link{OpenQ, dave}
	w.Has.Links[FormLink] = Link{FormQ, engine.Addressee{Email: "viewer@example.org"}}
}

func sampleButtons(w *World, now time.Time) {
	b := engine.Button{ID: "b0-1", Label: "I need a person now", Incident: OpenID, Run: RunID, Step: "2", Bundle: BundleHash, Made: now.Add(-20 * time.Minute)}
	pressed := b
	pressed.ID, pressed.Label, pressed.Pressed, pressed.By, pressed.How, pressed.Pressing = "b0-2", "It is not solved", now.Add(-5*time.Minute), engine.ByLink, "link", RunID
	w.Has.Buttons = map[string]engine.Button{ButtonLink: b, PressedLink: pressed}
}

func sampleJobs(w *World, now time.Time) {
	w.Has.Jobs = []engine.JobStatus{
		{
			Job:  engine.Job{Name: "server-check", Every: 5 * time.Minute, Do: engine.Handler{File: "web.star", Name: "check"}, Jitter: 30 * time.Second, Mode: "live"},
			Zone: "Europe/Berlin", Next: []time.Time{now.Add(5 * time.Minute), now.Add(10 * time.Minute), now.Add(15 * time.Minute)}, LastFired: now, LastRun: RunID,
		},
		{
			Job:  engine.Job{Name: "daily-queue", Cron: "0 8 * * mon-fri", Zone: "Europe/London", Do: engine.Handler{File: "web.star", Name: "report"}, CatchUp: true, Mode: "live"},
			Zone: "Europe/London", Next: []time.Time{now.Add(24 * time.Hour), now.Add(48 * time.Hour)},
		},
	}
}

func sampleDeadlines(w *World, now time.Time) {
	of := func(name, status string, left time.Duration) engine.Deadline {
		return engine.Deadline{
			ID: engine.DeadlineID(engine.DeadlineOfIncident, OpenID, name), Of: engine.DeadlineOfIncident, Name: name, Incident: OpenID, Status: status,
			Limit: 8 * time.Hour, Left: left, Hours: "office", Started: now.Add(-30 * time.Minute), Since: now.Add(-30 * time.Minute),
		}
	}
	running, late, paused := of(engine.DeadlineClose, engine.DeadlineRunning, 8*time.Hour), of(engine.DeadlineRespond, engine.DeadlineBreached, time.Minute), of("contain", engine.DeadlinePaused, 90*time.Minute)
	running.Due = now.Add(26 * time.Hour)
	late.Breached, late.BreachRun = now.Add(-10*time.Minute), RunID
	paused.ID, paused.Of = engine.DeadlineID(engine.DeadlineOfSection, OpenID, "contain"), engine.DeadlineOfSection
	w.Has.Deadlines = map[string][]engine.Deadline{OpenID: {running, late, paused}}
}

func sampleChanges(w *World, now time.Time) {
	w.Has.Changes = []engine.Change{
		{
			ID: ChangeID, Status: engine.ChangeInForce, Title: "block 02:00:00:00:00:07 on home", Why: "homework first", Run: RunID, Incident: OpenID,
			Rule: "netflix-while-away", Step: "4", Bundle: BundleHash, Made: now.Add(-time.Hour), Expires: now.Add(7 * time.Hour),
			Inverse: "unifi.unblock", InverseArgs: data(map[string]engine.Value{"mac": "02:00:00:00:00:07"}),
		},
		{
			ID: "c0-2", Status: engine.ChangeUndoFailed, Title: "allow example.org", Run: RunID, Incident: ClosedID, Step: "2", Bundle: BundleHash,
			Made: now.Add(-50 * time.Hour), Error: `ssh "resolver": dialing: connection refused`, UndoRun: "r0-18",
		},
		{
			ID: "c0-1", Status: engine.ChangeUndone, Title: "block 02:00:00:00:00:09 on home", Run: RunID, Incident: OpenID, Step: "4", Bundle: BundleHash,
			Made: now.Add(-60 * time.Hour), UndoneBy: "ana", Undone: now.Add(-52 * time.Hour),
		},
	}
	w.Has.Records = []engine.AuditRecord{
		{Record: 42, Time: now.Add(-time.Hour), Kind: "question_asked", Payload: data(map[string]engine.Value{"question": OpenQ}), Leaf: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
		{Record: 41, Time: now.Add(-48 * time.Hour), Kind: "answer_given", Erased: true, Outcome: data(map[string]engine.Value{"applied": true}), Leaf: "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"},
	}
}

func sampleRules(w *World, now time.Time) {
	at := engine.Position{File: sampleFile, Line: 13, Col: 1}
	w.Has.Live = engine.Snapshot{
		Hash: BundleHash, Commit: "6dcb09b5b57875f334f61aebed695e2e4193db5e", Since: now.Add(-5 * time.Hour),
		Declarations: engine.Declarations{Jobs: []engine.Job{{Name: "server-check", Every: 5 * time.Minute, Do: engine.Handler{File: "server.star", Name: "check"}, Mode: "live", At: at}}},
	}
	w.Has.Statuses = []engine.RuleStatus{
		{
			Rule: engine.Rule{
				Name: "netflix-while-away", When: []engine.Trigger{{Kind: "dns"}}, Do: engine.Handler{File: "netflix.star", Name: "respond"}, Severity: "low",
				Type: "streaming", Mode: "live", DedupSet: true, Dedup: []string{"client"}, Quiet: 6 * time.Hour, ThrottleCount: 10, ThrottleSpan: time.Hour, At: at,
			},
			Hits: 12, LastHit: now.Add(-2 * time.Minute),
		},
		{
			Rule: engine.Rule{Name: "blog", When: []engine.Trigger{{Kind: "webhook"}}, Do: engine.Handler{File: "server.star", Name: "repair"}, Severity: "critical", Mode: "shadow", At: at},
			Hits: 1, LastError: "where: e has no attribute hots (did you mean host?)",
		},
	}
	w.Has.Health = desk.Check{Name: "Larkspur", Status: desk.HealthOK, Children: []desk.Check{
		{Name: "Ledger", Status: desk.HealthOK, Message: "42 records, last checkpoint 1 min ago"},
		{Name: "Connections", Status: desk.HealthOK, Children: []desk.Check{
			{Name: "unifi home", Status: desk.HealthWarn, Message: "answers slowly (2.4 s)", Hint: "Look at the controller's load."},
			{Name: "smtp default", Status: desk.HealthOK},
		}},
	}}
}

// sampleTallies counts a few days of two rules, one of them for a team alone.
func sampleTallies(w *World, now time.Time) {
	hour := now.Truncate(time.Hour)
	row := func(at time.Time, rule, severity, team string, t engine.Tally) engine.TallyRow {
		return engine.TallyRow{TallyGroup: engine.TallyGroup{Time: at, Rule: rule, Type: "streaming", Severity: severity, Team: team}, Tally: t}
	}
	var hours []engine.TallyRow
	for n := range int64(9) {
		at := hour.Add(-time.Duration(n*31) * time.Hour)
		hours = append(hours,
			row(at, "netflix-while-away", "low", "", engine.Tally{
				Matched: 5, Opened: 3 - n%3, Closed: 2 - n%2, CloseSeconds: 3600, RunsDone: 2, SavedSeconds: 600, Asked: 2, Answered: 1, AnswerSeconds: 900, Changes: 1,
			}),
			row(at, "blog", "critical", "family", engine.Tally{Matched: 1, Opened: 1, RunsFailed: 1}))
	}
	slices.Reverse(hours)
	all := []engine.TallyRow{
		row(time.Time{}, "netflix-while-away", "low", "", engine.Tally{Matched: 50, Opened: 12, Closed: 10}),
		row(time.Time{}, "blog", "critical", "family", engine.Tally{Opened: 1}),
		{Tally: engine.Tally{Events: 4321}},
	}
	w.Has.Tallies = map[string][]engine.TallyRow{engine.TallyHours: hours, engine.TallySums: hours, engine.TallyDays: hours, engine.TallyAll: all}
	w.Has.Hits = map[string][]engine.Hit{"netflix-while-away": {
		{Time: now.Add(-2 * time.Minute), Event: "e0-9", Kind: "dns", Source: "eth1", Title: "Netflix from 192.0.2.7", Action: "attached", Incident: OpenID},
		{Time: now.Add(-time.Hour), Event: "e0-1", Kind: "dns", Source: "eth1", Title: "Netflix from 192.0.2.7", Action: "opened", Incident: OpenID, Run: RunID},
		{Time: now.Add(-90 * time.Hour), Action: "opened", Incident: ClosedID, Erased: true},
	}}
}

// Crowded makes a world with much of everything, in long words.
func Crowded(t testing.TB, url string) *World {
	w := Sample(t, url)
	now := Start()
	const many = 120
	titles := []string{
		"Netflix from 192.0.2.7",
		"Lookup of a-very-long-label-that-somebody-made-up-to-carry-data.and-another-one-of-the-same-kind-0123456789abcdef.tunnel.example.org from 2001:db8:1234:5678:9abc:def0:1234:5678",
		"Reported by Ana: \u201cIs this mail from our bank? They want me to confirm my account within 24 hours, and the link looks odd\u201d, with two attachments",
		"d41d8cd98f00b204e9800998ecf8427ee3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	}
	for n := range many {
		at := now.Add(-time.Duration(n*n) * time.Minute)
		severity := engine.Severities[n%len(engine.Severities)]
		id := func(letter byte) string { return engine.FormatID(letter, 1, uint64(many-n)) }
		w.Has.Incidents = append(w.Has.Incidents, engine.Incident{
			ID: id('i'), Status: "open", Title: titles[n%len(titles)], Type: "a-type-with-a-long-name", Rule: "netflix-while-away", Severity: severity,
			Team: "family", Opened: at, Updated: at, Events: 1 + n*37,
		})
		w.Has.Runs = append(w.Has.Runs, engine.Run{
			ID: id('r'), Status: engine.RunInDoubt, Generation: 1, Incident: id('i'), Rule: "netflix-while-away", Handler: engine.Handler{File: "some/long/folder/of/scripts/netflix.star", Name: "respond_to_a_lookup"},
			Bundle: BundleHash, Purpose: "playbook", Mode: "live", Started: at, Error: engine.Errorf(engine.Unavailable, "unifi %q: %s", "home", titles[n%len(titles)]),
		})
		w.Has.Questions = append(w.Has.Questions, engine.Question{
			ID: id('q'), Status: engine.QuestionOpen, Run: id('r'), Incident: id('i'), Step: "2", To: []engine.Addressee{{Name: "dave"}, {Email: "somebody.with.a.long.address@subsidiary.example.org"}},
			Text: titles[n%len(titles)] + ". What now?", Choices: []engine.Choice{{Name: "Allow"}, {Name: "Block"}}, Asked: at, Due: now.Add(time.Hour), Default: "Allow", HasDefault: true,
		})
		w.Has.Changes = append(w.Has.Changes, engine.Change{
			ID: id('c'), Status: engine.ChangeInForce, Title: "block " + titles[n%len(titles)], Run: id('r'), Incident: id('i'), Step: "4", Made: at, Expires: now.Add(time.Hour),
		})
		w.Has.Hits["netflix-while-away"] = append(w.Has.Hits["netflix-while-away"], engine.Hit{
			Time: at, Event: id('e'), Kind: "dns", Source: "span port (recorded)", Title: titles[n%len(titles)], Action: "attached", Incident: id('i'),
		})
		for by, begins := range map[string]time.Time{engine.TallyHours: at.Truncate(time.Hour), engine.TallySums: at.Truncate(time.Hour), engine.TallyDays: at.Truncate(24 * time.Hour), engine.TallyAll: {}} {
			w.Has.Tallies[by] = append(w.Has.Tallies[by], engine.TallyRow{
				TallyGroup: engine.TallyGroup{Time: begins, Rule: "rule-with-a-long-name-" + severity, Type: "a", Severity: severity},
				Tally:      engine.Tally{Matched: 12345, Opened: int64(n * 13), Closed: int64(n * 7), CloseSeconds: 99999, RunsDone: 54321, SavedSeconds: 1e6, Answered: 4, AnswerSeconds: 7777, Changes: 12},
			})
		}
	}
	return w
}

func sampleDNS(w *World, now time.Time) {
	w.Has.DNS = []engine.DNSRecord{
		{Name: "www.netflix.com", Type: "CNAME", Data: "edge.nflxvideo.example", Rcode: "NOERROR", First: now.Add(-500 * time.Hour), Last: now.Add(-time.Minute), Count: 1234},
		{Name: "edge.nflxvideo.example", Type: "A", Data: "198.51.100.80", Rcode: "NOERROR", First: now.Add(-300 * time.Hour), Last: now.Add(-2 * time.Minute), Count: 77, Clients: []string{"192.0.2.7", "192.0.2.8"}},
		{Name: "typo.netflix.com", Type: "A", Rcode: "NXDOMAIN", First: now.Add(-3 * time.Hour), Last: now.Add(-3 * time.Hour), Count: 1, Clients: []string{"192.0.2.7"}},
		{Name: "netflix.com", Type: "AAAA", Rcode: "NOERROR", First: now.Add(-5 * time.Hour), Last: now.Add(-4 * time.Hour), Count: 2},
		{Name: "netflix.com", Type: "TXT", Data: `"<script>alert(1)</script>"`, Rcode: "NOERROR", First: now.Add(-5 * time.Hour), Last: now.Add(-5 * time.Hour), Count: 1},
	}
	w.Has.Domains = []engine.DNSDomain{
		{Domain: "nflxvideo.example", First: now.Add(-5 * time.Minute), Last: now.Add(-time.Minute), Lookups: 3},
		{Domain: "netflix.com", First: now.Add(-500 * time.Hour), Last: now.Add(-time.Minute), Lookups: 1300},
	}
}
