package api_test

import (
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

func TestADoubtIsResolved(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	post := func(body string) uitest.Page {
		return c.Do("POST", "/api/v1/runs/r0-16/resolve", "application/json", body)
	}
	post(`{"step": 2, "outcome": "happened", "value": {"exit": 0}, "reason": "the log says so"}`).Want(200, `"applied":true`)
	post(`{"step": "1.0/2", "outcome": "again", "value": null}`).Want(200)
	want := `resolve r0-16 2 happened {"exit": 0} by admin-token "the log says so"; resolve r0-16 1.0/2 again  by admin-token ""`
	if got := w.Logged(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	post(`{"step": true, "outcome": "again"}`).Want(400, "want the number of a step")
	post(`{"step": 2, "outcom": "again"}`).Want(400, "outcome")
	c.Do("POST", "/api/v1/runs/r0-99/resolve", "application/json", `{"step": 2, "outcome": "again"}`).Want(404)
	w.Late = "it was resolved by dave: skip it"
	post(`{"step": 2, "outcome": "again"}`).Want(409, "it was resolved by dave: skip it")
	w.Visit(t, "").Do("POST", "/api/v1/runs/r0-16/resolve", "application/json", `{}`).Want(401)
}

func TestARunIsRestarted(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Has.Preview = engine.RestartPreview{
		Generation: 1, Bundle: uitest.BundleHash, Undone: w.Has.Changes[:1], Questions: []engine.Question{},
		Cannot:  []engine.Step{{Number: 4, Builtin: "http.post", Args: engine.MustEncode(strings.Repeat("x", 1000))}},
		Unknown: []engine.Step{}, Differs: &engine.Difference{Step: "3", Message: "another line"},
	}
	c := client(t, w)
	post := func(what, body string) uitest.Page {
		return c.Do("POST", "/api/v1/runs/r0-17/"+what, "application/json", body)
	}
	p := post("restart", `{"step": 2, "dry": true, "script": "current"}`).Want(200, `"step":"2"`, `"undone":[{`, `"differs":{"step":"3"`, "xxx…")
	p.Lacks(strings.Repeat("x", 500))
	post("restart", `{"step": 2, "answer": {"choice": "Allow"}, "reason": "he rang"}`).Want(200, `"applied":true`)
	post("restart", `{"step": 2, "answer": null, "script": "current"}`).Want(200)
	post("undo", `{"dry": true}`).Want(200, `"undone"`)
	post("undo", `{"reason": "all wrong"}`).Want(200)
	want := `restart r0-17 "2" answer {"choice": "Allow"} current false by admin-token "he rang"; ` +
		`restart r0-17 "2" answer  current true by admin-token ""; restart r0-17 "" answer  current false by admin-token "all wrong"`
	if got := w.Logged(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	post("restart", `{}`).Want(400, "step: it is missing")
	post("restart", `{"step": 2, "script": "newest"}`).Want(400, "want same or current")
	c.Do("POST", "/api/v1/runs/r0-99/restart", "application/json", `{"step": 2}`).Want(404)
	w.Late = "it was restarted from step 2 already, by dave"
	post("restart", `{"step": 2}`).Want(409, "already, by dave")
	c.Get("/api/v1/runs/r0-17?generation=1").Want(200, `"n":1`).Lacks(`"n":2`)
	c.Get("/api/v1/runs/r0-17?generation=x").Want(400, "want a number")
}
