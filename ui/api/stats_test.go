package api_test

import (
	"strings"
	"testing"

	"larkspur/ui/uitest"
)

func TestStats(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	sum := func(l list, name string) (n float64) {
		for _, item := range l.Items {
			n += item[name].(float64)
		}
		return n
	}
	days := read[list](t, c.Get("/api/v1/stats").Want(200))
	if sum(days, "opened") == 0 || days.Items[0]["time"] == nil || days.Items[0]["rule"] != nil {
		t.Errorf("got %v", days.Items)
	}
	byRule := read[list](t, c.Get("/api/v1/stats?by=hour&group=rule&since=2026-11-01").Want(200))
	if len(byRule.Items) != 18 || byRule.Items[0]["rule"] != "blog" {
		t.Errorf("got %d rows, %v first", len(byRule.Items), byRule.Items[0])
	}
	one := read[list](t, c.Get("/api/v1/stats?by=all&rule=netflix-while-away").Want(200))
	if len(one.Items) != 1 || one.Items[0]["opened"] != 12.0 || one.Items[0]["rule"] != "netflix-while-away" {
		t.Errorf("got %v", one.Items)
	}
	c.Get("/api/v1/stats?by=week").Want(400, `by: got \"week\", want hour, day or all`)
	viewer := w.Visit(t, "")
	viewer.Header["Authorization"] = "Bearer a-viewer-of-the-tests"
	if all := viewer.Get("/api/v1/stats?by=all&group=rule").Want(200); strings.Contains(all.Body, "blog") {
		t.Errorf("a viewer sees a team's numbers: %s", all.Body)
	}
}

func TestRuleHits(t *testing.T) {
	c := client(t, uitest.Sample(t, address))
	first := read[list](t, c.Get("/api/v1/rules/netflix-while-away/hits?limit=2").Want(200))
	if len(first.Items) != 2 || first.Next == "" || first.Items[0]["action"] != "attached" {
		t.Errorf("got %v", first)
	}
	if none := read[list](t, c.Get("/api/v1/rules/nothing/hits").Want(200)); len(none.Items) != 0 {
		t.Errorf("got %v", none)
	}
}

func TestMetrics(t *testing.T) {
	w := uitest.Sample(t, address)
	p := client(t, w).Get("/metrics").Want(200,
		"# TYPE larkspur_incidents_opened_total counter",
		`larkspur_incidents_opened_total{rule="netflix-while-away",type="streaming",severity="low"} 12`,
		"larkspur_events_total 4321", "larkspur_incidents_open 3", "# TYPE larkspur_runs_waiting gauge")
	if got := p.Header.Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("got the type %q", got)
	}
	w.Visit(t, "").Get("/metrics").Want(401, `"kind":"denied"`)
	viewer := w.Visit(t, "")
	viewer.Header["Authorization"] = "Bearer a-viewer-of-the-tests"
	viewer.Get("/metrics").Want(200, "larkspur_incidents_open 2").Lacks("blog")
}
