package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// Rules is what is live: rules and jobs, with the bundle that declares them and
// the problems of the newest files.
type Rules struct {
	Items    []engine.RuleStatus `json:"items"`
	Next     string              `json:"next"` // always "": the list is whole
	Jobs     []engine.JobStatus  `json:"jobs"`
	Bundle   string              `json:"bundle"`
	Commit   string              `json:"commit"`
	Since    string              `json:"since"`
	Problems []engine.Problem    `json:"problems"`
}

// Rules serves GET rules.
func (a *API) Rules(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	s := a.Desk.Rules.Snapshot()
	out := Rules{
		Items: orEmpty(a.Desk.Rules.RuleStatuses()), Jobs: append([]engine.JobStatus{}, a.Desk.Jobs.Statuses()...),
		Bundle: s.Hash, Commit: s.Commit, Problems: orEmpty(s.Problems),
	}
	if !s.Since.IsZero() {
		out.Since = s.Since.UTC().Format("2006-01-02T15:04:05Z07:00")
	}
	for i := range out.Jobs {
		out.Jobs[i].Args = desk.Plain(out.Jobs[i].Args)
	}
	out.Items = append([]engine.RuleStatus{}, out.Items...)
	for i := range out.Items {
		out.Items[i].Rule = plainRule(out.Items[i].Rule)
	}
	return write(c, http.StatusOK, out)
}

// RunJob serves POST jobs/:name/run.
func (a *API) RunJob(c echo.Context) error {
	if err := body(c, &struct{}{}); err != nil {
		return err
	}
	started, err := a.Desk.StartJob(c.Request().Context(), who(c), c.Param("name"))
	switch {
	case err != nil:
		return err
	case !started.Applied:
		return desk.NotApplied(started.Decision)
	}
	return write(c, http.StatusOK, started)
}

func plainRule(r engine.Rule) engine.Rule {
	r.Args = desk.Plain(r.Args)
	r.When = append([]engine.Trigger{}, r.When...)
	for i := range r.When {
		r.When[i].Args = desk.Plain(r.When[i].Args)
	}
	return r
}
