package page_test

import (
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

func TestRules(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "dave")
	dave.Get("/larkspur/rules").Want(200,
		"netflix-while-away", "12 hits", "live", "shadow", "on.dns", "scripts/netflix.star:13:1",
		"one open incident a client", "quiet for 6h", "at most 10 incidents in 1h",
		"Last error: where: e has no attribute hots", "server-check", "every 5m", "9f86d081884c").Lacks("error that", "They are not live")
}

func TestRulesShowLoadErrors(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Has.Live.Problems = []engine.Problem{
		{File: "scripts/netflix.star", Line: 6, Col: 9, Severity: "error", Message: "undefined: aks", Hint: "Did you mean ask?"},
		{File: "scripts/netflix.star", Line: 7, Col: 1, Severity: "warning", Message: "url hides a module"},
	}
	w.Visit(t, "dave").Get("/larkspur/rules").Want(200,
		"The newest files have 1 error", "scripts/netflix.star:6:9", "undefined: aks", "Did you mean ask?",
		"They are not live. The version of", "22 Nov, 04:00 CET", "keeps running", "1 warning", "url hides a module")
}

func TestRulesWhenThereIsNone(t *testing.T) {
	w := uitest.New(t, address)
	w.Visit(t, "vic").Get("/larkspur/rules").Want(200, "No rules yet", `on.webhook("hello")`)
}

// TestJobsAreShownAndStarted: when they fire next, in their own zone, and a run by
// hand.
func TestJobsAreShownAndStarted(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Visit(t, "eng").Get("/larkspur/rules").Want(200, "every 5m", "spread over 30s", "Next, in Europe/Berlin:", "22 Nov, 09:05 CET", "cron 0 8 * * mon-fri", "catches up", "Next, in Europe/London:", "08:00 GMT", "no run yet", "Run now")
	eng := w.Visit(t, "eng")
	form := eng.Get("/larkspur/rules").Form()
	if to := eng.Post("/larkspur/jobs/server-check/run", form).Want(303).Header.Get("Location"); to != "/larkspur/runs/r0-9?done=started" {
		t.Errorf("got a redirect to %q, want the run", to)
	}
	eng.Post("/larkspur/jobs/none/run", form).Want(404)
	w.Visit(t, "vic").Get("/larkspur/rules").Want(200, "Next, in Europe/London:").Lacks("Run now")
	if !strings.Contains(w.Logged(), "run job server-check by eng how page") {
		t.Errorf("got %s", w.Logged())
	}
}
