package page_test

import (
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

// recorded is a world in which scripts recorded something.
func recorded(t *testing.T) *uitest.World {
	w := uitest.Sample(t, address)
	now := w.Now()
	for _, host := range []string{"web1", "web2"} {
		w.Has.Series = append(w.Has.Series, engine.Series{Name: "load.five", Labels: map[string]string{"host": host}, Value: 1.25, At: now, Count: 3})
	}
	w.Has.Points = map[string][]engine.Point{}
	for n := range 40 {
		p := engine.Point{Time: now.Add(time.Duration(n-40) * time.Hour)}
		p.Add(float64(n % 7))
		w.Has.Points["load.five hour"] = append(w.Has.Points["load.five hour"], p)
	}
	w.Has.Points["load.five 5m"] = w.Has.Points["load.five hour"][38:]
	return w
}

func TestCharts(t *testing.T) {
	w := recorded(t)
	c := w.Visit(t, "vic")
	p := c.Get("/larkspur/charts").Want(200, "load.five", "host web1", "host web2", "1.25", "<polyline class=\"line\"", "2 days", "90 days", `aria-label="load.five host web1, the last 2 days"`)
	p.Want(200, `<dt>24 hours</dt><dd>mean`, `<dt>30 days</dt>`)
	if strings.Contains(p.Body, "style=") || strings.Contains(p.Body, "<script") {
		t.Error("the page has styles or scripts of its own, which the policy forbids")
	}
	c.Get("/larkspur/charts?by=week&name=load.five").Want(200, "load.five alone", "the last 7 days")
	c.Get("/larkspur/charts?by=hour&name=none").Want(200, "Nothing is recorded").Lacks("<svg class")
	c.Get("/larkspur/overview").Want(200, "Recorded by scripts", "load.five host web1", "/larkspur/charts?name=load.five")
}

// TestClosedByType: how long what was closed had been open, and what nobody looked
// at.
func TestClosedByType(t *testing.T) {
	w := uitest.New(t, address)
	row := engine.TallyRow{TallyGroup: engine.TallyGroup{Time: uitest.Start().Truncate(24 * time.Hour), Type: "oddities"}}
	row.Closed, row.ClosedWithin, row.ClosedAs = 5, []int64{0, 2, 0, 0, 0, 3}, map[string]int64{"untouched": 3, "resolved": 2}
	w.Has.Tallies = map[string][]engine.TallyRow{engine.TallyDays: {row}}
	w.Visit(t, "dave").Get("/larkspur/charts").Want(200, "Closed in 30 days", "to 3d", `type=oddities">oddities</a></th><td>5</td><td>–</td><td>2</td><td>–</td><td>–</td><td>–</td><td>3</td><td>–</td><td>–</td><td>3</td>`)
	w.Visit(t, "dave").Get("/larkspur/charts?name=up").Want(200).Lacks("Closed in 30 days")
}
