package page

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
)

type runPage struct {
	frame
	RunView
	Input   Shown
	Earlier string // the address of the steps before, and of those after
	After   string
}

// Run serves GET /runs/:id. Long journals are paged; the last steps, where the
// run is or went wrong, come first.
func (p *Pages) Run(c echo.Context) error {
	f := p.frame(c, "runs")
	r, err := p.Desk.Run(f.Who, c.Param("id"))
	if err != nil {
		return err
	}
	steps, err := p.Desk.Reader.Steps(r.ID)
	if err != nil {
		return err
	}
	first := -1
	if from, err := strconv.Atoi(c.QueryParam("from")); err == nil && from > 0 {
		first = from - 1
	}
	v := runPage{frame: f, RunView: p.runView(f, r, steps, first, stepsPerPage), Input: shown(r.Args, f.Zone)}
	if v.First > 1 {
		v.Earlier = "?from=" + strconv.Itoa(max(1, v.First-stepsPerPage))
	}
	if last := v.First + len(v.Steps) - 1; last < v.Total {
		v.After = "?from=" + strconv.Itoa(last+1)
	}
	return p.render(c, http.StatusOK, "run", v)
}
