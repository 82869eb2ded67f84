package page

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

type brakeView struct {
	frame
	Items []heldRun
	Next  string
	Later bool
}

// heldRun is a run with its steps that are held.
type heldRun struct {
	RunView
	Held []StepView
}

// Brake serves GET /brake: whether it is on, and what is held.
func (p *Pages) Brake(c echo.Context) error {
	v := brakeView{frame: p.frame(c, "brake")}
	q := c.QueryParams()
	runs, next, err := p.Desk.Runs(v.Who, engine.RunFilter{Status: engine.RunHeld}, q.Get("cursor"), desk.DefaultLimit)
	if err != nil {
		return err
	}
	for _, r := range runs {
		held, err := p.heldRun(v.frame, r)
		if err != nil {
			return err
		}
		v.Items = append(v.Items, held)
	}
	v.Next, v.Later = nextPage(q, next), q.Get("cursor") != ""
	return p.render(c, http.StatusOK, "brake", v)
}

func (p *Pages) heldRun(f frame, r engine.Run) (heldRun, error) {
	steps, err := p.Desk.Reader.Steps(r.ID)
	if err != nil {
		return heldRun{}, err
	}
	var held []engine.Step
	for _, s := range steps {
		if s.Held != "" {
			held = append(held, s)
		}
	}
	v := heldRun{RunView: p.runView(f, r, held, 0, stepsPerPage)}
	v.Held = v.Steps
	return v, nil
}

// PressBrake serves POST /brake/on.
func (p *Pages) PressBrake(c echo.Context) error { return p.setBrake(c, true) }

// LetBrakeGo serves POST /brake/off.
func (p *Pages) LetBrakeGo(c echo.Context) error { return p.setBrake(c, false) }

func (p *Pages) setBrake(c echo.Context, on bool) error {
	why, err := formValue(c, "reason")
	if err != nil {
		return err
	}
	d, err := p.Desk.SetBrake(c.Request().Context(), login.From(c.Request().Context()).Identity, on, why)
	if err != nil {
		return err
	}
	if !d.Applied {
		return desk.NotApplied(d)
	}
	return p.back(c, "/brake", map[bool]string{true: "braked", false: "let-go"}[on])
}
