package page

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

type runPage struct {
	frame
	RunView
	Input   Shown
	Earlier string // the address of the steps before, and of those after
	After   string
	Past    int    // the generation that is shown, 0 for the present one
	At      string // of it, in addresses
}

// Run serves GET /runs/:id. Long journals are paged; the last steps, where the
// run is or went wrong, come first.
func (p *Pages) Run(c echo.Context) error {
	f := p.frame(c, "runs")
	r, err := p.Desk.Run(f.Who, c.Param("id"))
	if err != nil {
		return err
	}
	generation, _ := strconv.Atoi(c.QueryParam("generation"))
	steps, err := p.Desk.Steps(r.ID, max(0, generation))
	if err != nil {
		return err
	}
	first := -1
	if from, err := strconv.Atoi(c.QueryParam("from")); err == nil && from > 0 {
		first = from - 1
	}
	v := runPage{frame: f, RunView: p.runView(f, r, steps, first, stepsPerPage), Input: shown(r.Args, f.Zone)}
	if v.Past = generation; v.Past > 0 {
		v.At = "generation=" + strconv.Itoa(generation) + "&"
	}
	v.MayRestart = f.MaySteer() && r.Purpose != "undo" && r.Erased == nil && r.Restart == nil && (v.Past == 0 || v.Past == r.Generation)
	if v.First > 1 {
		v.Earlier = "?" + v.At + "from=" + strconv.Itoa(max(1, v.First-stepsPerPage))
	}
	if last := v.First + len(v.Steps) - 1; last < v.Total {
		v.After = "?" + v.At + "from=" + strconv.Itoa(last+1)
	}
	return p.render(c, http.StatusOK, "run", v)
}

// ResolveStep serves POST /runs/:id/resolve.
func (p *Pages) ResolveStep(c echo.Context) error {
	why, err := formValue(c, "reason")
	if err != nil {
		return err
	}
	form := c.Request().PostForm
	in := engine.Resolution{Step: form.Get("step"), Outcome: form.Get("outcome"), Why: why}
	if in.Outcome == engine.OutcomeHappened {
		in.Value = engine.Data(strings.TrimSpace(form.Get("value")))
	}
	d, err := p.Desk.Resolve(c.Request().Context(), login.From(c.Request().Context()).Identity, c.Param("id"), in)
	if err != nil {
		return err
	}
	if !d.Applied {
		return desk.NotApplied(d)
	}
	return p.back(c, "/runs/"+c.Param("id"), "resolved")
}
