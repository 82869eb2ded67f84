package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/ui/api"
	"larkspur/ui/login"
	"larkspur/ui/uitest"
)

const address = "https://soar.example.org/larkspur/"

// client asks with a token of the administrator's.
func client(t *testing.T, w *uitest.World) *uitest.Visitor {
	t.Helper()
	v := w.Visit(t, "")
	v.Header["Authorization"] = "Bearer " + uitest.Token
	return v
}

// read decodes an answer.
func read[T any](t *testing.T, p uitest.Page) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(p.Body), &v); err != nil {
		t.Fatalf("%v\n%s", err, p.Body)
	}
	if got := p.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("got the type %q, want JSON", got)
	}
	return v
}

type failure struct {
	Error struct{ Kind, Message, Hint string }
}

type list struct {
	Items []map[string]any
	Next  string
}

func TestIncidents(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	all := read[list](t, c.Get("/api/v1/incidents").Want(200))
	if len(all.Items) != 4 || all.Next != "" || all.Items[0]["id"] != "i0-42" {
		t.Errorf("got %v, want the four incidents", all)
	}
	fields, _ := all.Items[0]["fields"].(map[string]any)
	if fields["watched_for"] != "25m" || fields["phones_at_home"] != 0.0 {
		t.Errorf("got the fields %v, want plain values", fields)
	}
	for query, want := range map[string]int{
		"status=open": 3, "status=closed": 1, "severity=critical": 1, "type=streaming": 1, "rule=blog": 1, "owner=ana": 1, "q=netflix": 1, "limit=2": 2,
	} {
		if got := read[list](t, c.Get("/api/v1/incidents?"+query).Want(200)); len(got.Items) != want {
			t.Errorf("%s: got %d incidents, want %d", query, len(got.Items), want)
		}
	}
	first := read[list](t, c.Get("/api/v1/incidents?limit=3"))
	rest := read[list](t, c.Get("/api/v1/incidents?limit=3&cursor="+first.Next))
	if len(first.Items) != 3 || len(rest.Items) != 1 || rest.Next != "" {
		t.Errorf("got pages of %d and %d, want 3 and 1", len(first.Items), len(rest.Items))
	}
}

func TestParametersAreStrict(t *testing.T) {
	c := client(t, uitest.Sample(t, address))
	for path, want := range map[string]failure{
		"/api/v1/incidents?state=open":      {struct{ Kind, Message, Hint string }{"invalid", `unknown parameter "state"`, `Did you mean "status"?`}},
		"/api/v1/incidents?status=opened":   {struct{ Kind, Message, Hint string }{"invalid", `status: got "opened", want open or closed`, ""}},
		"/api/v1/incidents?limit=0":         {struct{ Kind, Message, Hint string }{"invalid", `limit: got "0", want a number from 1 to 500`, ""}},
		"/api/v1/incidents?limit=501":       {struct{ Kind, Message, Hint string }{"invalid", `limit: got "501", want a number from 1 to 500`, ""}},
		"/api/v1/rules?x=1":                 {struct{ Kind, Message, Hint string }{"invalid", `unknown parameter "x"`, "This call takes none."}},
		"/api/v1/audit?since=yesterday":     {struct{ Kind, Message, Hint string }{"invalid", `since: got "yesterday", want a time like 2026-11-22T08:00:00Z`, ""}},
		"/api/v1/incidents?cursor=x":        {struct{ Kind, Message, Hint string }{"invalid", `cursor: got "x", want one that a list gave`, ""}},
		"/api/v1/audit?incident=q0-1":       {struct{ Kind, Message, Hint string }{"invalid", `incident: got "q0-1", want an id like i0-42`, ""}},
		"/api/v1/audit?format=xml&limit=12": {struct{ Kind, Message, Hint string }{"invalid", `format: got "xml", want json or jsonl`, ""}},
	} {
		if got := read[failure](t, c.Get(path).Want(400)); got != want {
			t.Errorf("%s: got %+v, want %+v", path, got, want)
		}
	}
}

func TestIncident(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	i := read[map[string]any](t, c.Get("/api/v1/incidents/i0-42").Want(200))
	for _, key := range []string{"id", "title", "severity", "summary", "timeline", "runs", "questions", "changes", "fields"} {
		if i[key] == nil {
			t.Errorf("the incident lacks %q", key)
		}
	}
	summary, _ := json.Marshal(i["summary"])
	if got, want := string(summary), `[{"name":"device","value":"living room TV"},{"name":"watched_for","value":"25m"}]`; got != want {
		t.Errorf("got the summary %s, want %s", got, want)
	}
	if got := read[failure](t, c.Get("/api/v1/incidents/i0-99").Want(404)); got.Error.Kind != "not_found" {
		t.Errorf("got %+v, want not_found", got)
	}
	if got := read[list](t, c.Get("/api/v1/incidents/i0-42/timeline?limit=2")); len(got.Items) != 2 || got.Next == "" {
		t.Errorf("got %v, want two entries and a cursor", got)
	}
	events := read[list](t, c.Get("/api/v1/incidents/i0-42/events"))
	fields, _ := events.Items[0]["fields"].(map[string]any)
	if fields["query"] != "www.netflix.com" {
		t.Errorf("got the events %v, want the lookup", events)
	}
}

func TestIncidentActs(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	post := func(path, body string) uitest.Page { return c.Do("POST", path, "application/json", body) }
	post("/api/v1/incidents/i0-42/note", `{"text": "seen"}`).Want(200, `{"applied":true}`)
	post("/api/v1/incidents/i0-42/close", `{"reason": "homework"}`).Want(200)
	post("/api/v1/incidents/i0-42/reopen", ``).Want(200)
	post("/api/v1/incidents/i0-42/close", `{}`).Want(422, "reason: must be filled in")
	want := `note i0-42 "seen" by admin-token; close i0-42 "homework" resolved by admin-token; reopen i0-42 "" by admin-token`
	if got := w.Logged(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	w.Late = "it is closed"
	if got := read[failure](t, post("/api/v1/incidents/i0-42/close", `{"reason": "x"}`).Want(409)); !strings.Contains(got.Error.Message, "it is closed") {
		t.Errorf("got %+v, want the reason", got)
	}
}

func TestBodiesAreStrict(t *testing.T) {
	c := client(t, uitest.Sample(t, address))
	for body, want := range map[string]string{
		`{"reson": "x"}`:    `unknown key "reson"`,
		`{"reason": 5}`:     "reason: got number, want a string",
		`[1]`:               "want a JSON object",
		`null`:              "want a JSON object",
		`{"reason": "x"} x`: "text after the JSON object",
		`{"reason": "x"`:    "want a JSON object",
		`{"` + strings.Repeat("x", 5000) + `": 1}`: "unknown key",
	} {
		p := c.Do("POST", "/api/v1/incidents/i0-42/close", "application/json", body).Want(400)
		if got := read[failure](t, p); !strings.Contains(got.Error.Message, want) || len(p.Body) > 500 {
			t.Errorf("%.40s: got %+v, want %q", body, got, want)
		}
	}
	p := c.Do("POST", "/api/v1/incidents/i0-42/close", "application/json", `{"reson": "x"}`)
	if got := read[failure](t, p).Error.Hint; got != `Did you mean "reason"?` {
		t.Errorf("got the hint %q", got)
	}
	p = c.Do("POST", "/api/v1/incidents/i0-42/note", "application/json", `{"text": "`+strings.Repeat("x", 300<<10)+`"}`).Want(413)
	if got := read[failure](t, p).Error.Message; got != "the request's body is too large: at most 256 KB are taken here" {
		t.Errorf("got %q", got)
	}
}

func TestRuns(t *testing.T) {
	c := client(t, uitest.Sample(t, address))
	if got := read[list](t, c.Get("/api/v1/runs?status=failed")); len(got.Items) != 1 || got.Items[0]["id"] != "r0-16" {
		t.Errorf("got %v, want the failed run", got)
	}
	r := read[struct {
		Bundle, Commit string
		Steps          []map[string]any
	}](t, c.Get("/api/v1/runs/r0-17").Want(200))
	if r.Bundle != uitest.BundleHash || r.Commit == "" || len(r.Steps) != 2 {
		t.Errorf("got %+v, want the bundle, commit and two steps", r)
	}
	s := r.Steps[0]
	for _, key := range []string{"path", "n", "builtin", "at", "status", "args", "result", "started", "ended"} {
		if _, ok := s[key]; !ok {
			t.Errorf("the step lacks %q", key)
		}
	}
	if result, _ := s["result"].(map[string]any); result["online"] != false {
		t.Errorf("got the result %v, want plain values", s["result"])
	}
	c.Get("/api/v1/runs/r0-99").Want(404)
	c.Get("/api/v1/runs?status=sleeping").Want(400)
}

func TestQuestionIsAnswered(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	if got := read[list](t, c.Get("/api/v1/questions?status=open")); len(got.Items) != 2 {
		t.Errorf("got %d open questions, want 2", len(got.Items))
	}
	post := func(body string) uitest.Page {
		return c.Do("POST", "/api/v1/questions/q0-9/answer", "application/json", body)
	}
	post(`{"fields": {"reason": "x", "who": "me", "days": [1]}}`).Want(400, "fields.days: got a list of other things")
	post(`{"fields": {"reason": "x", "who": {"a": 1}}}`).Want(400, "fields.who: got an object")
	post(`{"fields": {"reason": "x", "who": "me", "bogus": "1"}}`).Want(422, "field.bogus: is not asked for")
	post(`{"fields": {"reason": "x", "who": "me", "days": ["Sunday"], "people": 3, "how_long": "2h", "site": null}}`).Want(200)
	want := `answer q0-9 "" by admin-token how api token reason "" fields {"days":["Sunday"],"from":null,"how_long":{"$":"duration","v":7200000000000},"mail":null,"people":3,"reason":"x","site":null,"who":"me"}`
	if got := w.Logged(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	q := read[engine.Question](t, c.Get("/api/v1/questions/q0-9").Want(200))
	if q.Answer == nil || !strings.Contains(string(q.Answer.Fields), `"how_long":"2h"`) {
		t.Errorf("got %+v, want the answer in plain values", q.Answer)
	}
	post(`{}`).Want(409, "the question is answered")
	c.Do("POST", "/api/v1/questions/q0-7/answer", "application/json", `{"choice": "Maybe"}`).Want(422, `want Allow, Block or Ask why`)
}

func TestChanges(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	if got := read[list](t, c.Get("/api/v1/changes?status=in_force")); len(got.Items) != 1 || got.Items[0]["id"] != "c0-3" {
		t.Errorf("got %v, want the block", got)
	}
	c.Get("/api/v1/changes/c0-3").Want(200, `"inverse_args":{"mac":"02:00:00:00:00:07"}`)
	c.Do("POST", "/api/v1/changes/c0-3/undo", "", "").Want(200)
	c.Do("POST", "/api/v1/changes/c0-3/undo", "", `{"script": "same", "reason": "done"}`).Want(200)
	c.Do("POST", "/api/v1/changes/c0-3/undo", "", `{"script": "other"}`).Want(400, "want same or current")
	if got, want := w.Logged(), `undo c0-3 by admin-token ""; undo c0-3 by admin-token "done"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRulesAndAudit(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	w.Has.Live.Problems = []engine.Problem{{File: "a.star", Line: 1, Col: 2, Severity: "error", Message: "no"}}
	c.Get("/api/v1/rules").Want(200, `"name":"netflix-while-away"`, `"hits":12`, `"last_error":"where:`, `"bundle":"9f86`, `"message":"no"`, `"name":"server-check"`)
	if got := read[list](t, c.Get("/api/v1/audit?since=2026-11-21")); len(got.Items) != 1 {
		t.Errorf("got %d records, want 1", len(got.Items))
	}
	p := c.Get("/api/v1/audit?format=jsonl&incident=i0-42").Want(200)
	if lines := strings.Count(p.Body, "\n"); lines != 2 || p.Header.Get("Content-Type") != "application/jsonl; charset=utf-8" {
		t.Errorf("got %d lines of %q, want 2 of JSONL", lines, p.Header.Get("Content-Type"))
	}
	if got := w.Logged(); got != "export i0-42 by admin-token" {
		t.Errorf("got %q, want the export recorded", got)
	}
	c.Do("HEAD", "/api/v1/audit?format=jsonl", "", "").Want(200)
	if got := strings.Count(w.Logged(), "export"); got != 1 {
		t.Error("HEAD made an export")
	}
	c.Get("/api/v1/audit/checkpoint").Want(200, "soar.example.org/ledger\n42\n", "\n\n— soar.example.org")
	w.Trouble = engine.Errorf(engine.Unavailable, "the disk is full")
	c.Get("/api/v1/audit?format=jsonl").Want(503, "the disk is full")
}

func TestSignInLinks(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	link := read[struct{ URL, Expires string }](t, c.Do("POST", "/api/v1/login", "", `{"person": "dave"}`).Want(201))
	if !strings.HasPrefix(link.URL, address+"setup/") || link.Expires != "2026-11-22T09:00:00Z" {
		t.Errorf("got %+v, want a link for an hour", link)
	}
	c.Do("POST", "/api/v1/login", "", `{"person": "eve"}`).Want(404, "nobody in people is called")
}

func TestAccess(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "")
	p := v.Get("/api/v1/incidents").Want(401, `"kind":"denied"`, "web.tokens")
	if got := p.Header.Get("WWW-Authenticate"); got != `Bearer realm="larkspur"` {
		t.Errorf("got %q, want a challenge", got)
	}
	v.Header["Authorization"] = "Bearer wrong"
	v.Get("/api/v1/incidents").Want(401, "the token is not known")
	v.Get("/healthz").Want(401)
	v.Header["Authorization"] = "Bearer a-viewer-of-the-tests"
	v.Get("/api/v1/incidents").Want(200)
	v.Do("POST", "/api/v1/incidents/i0-42/close", "", `{"reason": "x"}`).Want(403, "the role viewer may not do this")
	v.Get("/api/v1/audit").Want(403)
	v.Do("POST", "/api/v1/login", "", `{"person": "dave"}`).Want(403)
	v.Get("/api/v1/incidents/" + uitest.TeamID).Want(404)
	v.Get("/api/v1/nothing").Want(404, `"kind":"not_found"`)
	v.Do("DELETE", "/api/v1/incidents", "", "").Want(405)

	dave := w.Visit(t, "dave") // a browser's session reads, and writes nothing
	dave.Get("/larkspur/api/v1/incidents").Want(200)
	dave.Do("POST", "/larkspur/api/v1/incidents/i0-42/close", "application/json", `{"reason": "x"}`).Want(403, "takes a token, not a browser's session")

	for range login.BadPerWindow {
		v.Header["Authorization"] = "Bearer wrong"
		v.Get("/api/v1/incidents")
	}
	v.Header["Authorization"] = "Bearer a-viewer-of-the-tests"
	v.Get("/api/v1/incidents").Want(429, "too many wrong tokens")
}

func TestHealth(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "")
	v.Get("/healthz").Want(200, `{"name":"Larkspur","status":"warn"}`).Lacks("unifi")
	client(t, w).Get("/healthz").Want(200, "unifi home", "answers slowly")
	v.Get("/readyz").Want(200, `{"ready":true}`)
	w.Has.Health.Status = "fail"
	v.Get("/healthz").Want(503, `"status":"fail"`)
	w.Trouble = engine.Errorf(engine.Unavailable, "starting")
	v.Get("/readyz").Want(503, `{"ready":false}`)
}

func TestErrorsKeepCausesInside(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Panic = true
	p := client(t, w).Get("/api/v1/incidents").Want(http.StatusInternalServerError, `"kind":"internal"`, "It is in the log under the id")
	p.Lacks("the world ends")
}

// What people do to incidents by the interface: with roles, and as the token.
func TestActsOnIncidents(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	post := func(path, body string, want int) uitest.Page {
		t.Helper()
		return c.Do("POST", "/api/v1/incidents/"+path, "application/json", body).Want(want)
	}
	post("i0-42/assign", `{"to": "ana"}`, 200)
	post("i0-42/assign", `{"to": "family", "pick": "less-busy"}`, 200)
	post("i0-42/escalate", `{"severity": "critical"}`, 200)
	post("i0-42/set", `{"fields": {"ticket": "T-1", "n": 3}}`, 200)
	for _, tt := range []struct {
		path, body string
		status     int
	}{{"i0-42/assign", `{"to": "nobody"}`, 422}, {"i0-42/set", `{}`, 422}, {"i0-42/escalate", `{"severty": "low"}`, 400}} {
		if got := read[failure](t, post(tt.path, tt.body, tt.status)); got.Error.Kind != "invalid" {
			t.Errorf("%s: got %+v", tt.path, got.Error)
		}
	}
	post("i0-999/assign", `{"to": "ana"}`, 404)
	want := `assign i0-42 to ana pick "" by admin-token; assign i0-42 to family pick "less-busy" by admin-token; escalate i0-42 to critical by admin-token; ` +
		`set i0-42 [n ticket] {"n":3,"ticket":"T-1"} by admin-token`
	if got := w.Logged(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	viewer := w.Visit(t, "")
	viewer.Header["Authorization"] = "Bearer a-viewer-of-the-tests"
	viewer.Do("POST", "/api/v1/incidents/i0-42/assign", "application/json", `{"to": "ana"}`).Want(403)
}

// TestAJobIsStarted by hand, by those who may steer.
func TestAJobIsStarted(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	got := read[engine.JobStart](t, c.Do("POST", "/api/v1/jobs/server-check/run", "application/json", `{}`).Want(200))
	if !got.Applied || got.Run != "r0-9" {
		t.Errorf("got %+v", got)
	}
	c.Do("POST", "/api/v1/jobs/none/run", "application/json", `{}`).Want(404)
	jobs := read[api.Rules](t, c.Get("/api/v1/rules").Want(200)).Jobs
	if len(jobs) != 2 || jobs[1].Zone != "Europe/London" || len(jobs[1].Next) != 2 {
		t.Errorf("got jobs %+v", jobs)
	}
	viewer := w.Visit(t, "")
	viewer.Header["Authorization"] = "Bearer a-viewer-of-the-tests"
	viewer.Do("POST", "/api/v1/jobs/server-check/run", "application/json", `{}`).Want(403)
}

// Calls that the language names and this version has not are told from those
// that are misspelt.
func TestCallsToCome(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	for _, path := range []string{"rules/blog/mode", "forms/x"} {
		got := read[failure](t, c.Do("POST", "/api/v1/"+path, "application/json", `{"step": 1}`).Want(501))
		if got.Error.Kind != "invalid" || !strings.Contains(got.Error.Message, "does not have this call yet") || got.Error.Hint == "" {
			t.Errorf("%s: got %+v", path, got.Error)
		}
	}
	c.Do("POST", "/api/v1/runs/r0-17/restrat", "application/json", `{}`).Want(404)
	w.Visit(t, "").Do("POST", "/api/v1/pause", "application/json", `{}`).Want(401)
}
