package page

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

type runsView struct {
	frame
	Items    []RunView
	Tabs     []Tab
	Filter   engine.RunFilter
	Filtered bool
	Next     string
	Later    bool
}

// Runs serves GET /runs.
func (p *Pages) Runs(c echo.Context) error {
	v := runsView{frame: p.frame(c, "runs")}
	q := c.QueryParams()
	statuses := []string{
		"all", engine.RunRunning, engine.RunWaiting, engine.RunInDoubt, engine.RunFailed, engine.RunDone,
		engine.RunHeld, engine.RunDiverged, engine.RunQuarantined, engine.RunUndone,
	}
	status := oneOf(q.Get("status"), statuses...)
	v.Filter = engine.RunFilter{Status: status, Incident: q.Get("incident"), Rule: q.Get("rule")}
	if status == "all" {
		v.Filter.Status = ""
	}
	v.Filtered = v.Filter != engine.RunFilter{}
	items, next, err := p.Desk.Runs(v.Who, v.Filter, q.Get("cursor"), desk.DefaultLimit)
	if err != nil {
		return err
	}
	for _, r := range items {
		v.Items = append(v.Items, p.runView(v.frame, r, nil, 0, 0))
	}
	v.Tabs = tabs(q, "status", status, statuses...)
	v.Next, v.Later = nextPage(q, next), q.Get("cursor") != ""
	return p.render(c, http.StatusOK, "runs", v)
}
