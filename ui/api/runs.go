package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// Run is a run with its steps.
type Run struct {
	engine.Run
	Steps []engine.Step `json:"steps"`
}

// Runs serves GET runs.
func (a *API) Runs(c echo.Context) error {
	q := params(c, "status", "incident", "rule", "limit", "cursor")
	f := engine.RunFilter{
		Status: q.oneOf("status", engine.RunRunning, engine.RunWaiting, engine.RunInDoubt, engine.RunHeld, engine.RunDiverged,
			engine.RunDone, engine.RunFailed, engine.RunQuarantined, engine.RunUndone),
		Incident: q.text("incident"), Rule: q.text("rule"),
	}
	limit := q.limit()
	if q.err != nil {
		return q.err
	}
	items, next, err := a.Desk.Runs(who(c), f, q.text("cursor"), limit)
	for i := range items {
		items[i] = run(items[i])
	}
	return page(c, items, next, err)
}

func run(r engine.Run) engine.Run {
	r.Args = desk.Plain(r.Args)
	return r
}

// Run serves GET runs/:id.
func (a *API) Run(c echo.Context) error {
	q := params(c, "generation")
	generation := q.number("generation")
	if q.err != nil {
		return q.err
	}
	r, err := a.Desk.Run(who(c), c.Param("id"))
	if err != nil {
		return err
	}
	steps, err := a.Desk.Steps(r.ID, generation)
	if err != nil {
		return err
	}
	out := Run{Run: run(r), Steps: make([]engine.Step, len(steps))}
	for i, s := range steps {
		s.Args, s.Result = desk.Plain(s.Args), desk.Plain(s.Result)
		out.Steps[i] = s
	}
	return write(c, http.StatusOK, out)
}
