package page

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

// restartPage shows what a restart would do, and the press that does it.
type restartPage struct {
	frame
	Run     engine.Run
	Preview engine.RestartPreview
	Step    StepView // from which it goes on
	Cannot  []StepView
	Unknown []StepView
	Choices []string // of a step that asks
	Current bool     // with the live scripts
	Other   string   // the address of the same with the other scripts
}

// Whole tells the undo of a whole run from a restart.
func (r restartPage) Whole() bool { return r.Preview.Step == "" }

// May tells whether it can be done.
func (r restartPage) May() bool {
	return r.Preview.Differs == nil || !r.Preview.Differs.Before
}

// BundleStart is the part of the hash that people compare.
func (r restartPage) BundleStart() string { return short(r.Preview.Bundle) }

// PreviewRestart serves GET /runs/:id/restart?step=N: it shows what a restart
// would do, and does nothing. Without a step it shows the undo of the whole run.
func (p *Pages) PreviewRestart(c echo.Context) error {
	f := p.frame(c, "runs")
	r, err := p.Desk.Run(f.Who, c.Param("id"))
	if err != nil {
		return err
	}
	in := engine.RestartRequest{Step: c.QueryParam("step"), Current: c.QueryParam("script") == "current"}
	v := restartPage{frame: f, Run: r, Current: in.Current}
	if v.Preview, err = p.Desk.PreviewRestart(c.Request().Context(), f.Who, r.ID, in); err != nil {
		return err
	}
	sources := p.Desk.Sources(r.Bundle)
	for _, s := range v.Preview.Cannot {
		v.Cannot = append(v.Cannot, stepView(f, s, sources))
	}
	for _, s := range v.Preview.Unknown {
		v.Unknown = append(v.Unknown, stepView(f, s, sources))
	}
	if v.Whole() {
		return p.render(c, http.StatusOK, "restart", v)
	}
	steps, err := p.Desk.Reader.Steps(r.ID)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(steps, func(s engine.Step) bool { return engine.StepID(s.Path, s.Number) == v.Preview.Step })
	if at >= 0 {
		v.Step = stepView(f, steps[at], sources)
		v.Choices = choicesOf(steps[at])
	}
	if v.Other = "?step=" + v.Preview.Step; !in.Current {
		v.Other += "&script=current"
	}
	return p.render(c, http.StatusOK, "restart", v)
}

// choicesOf are the choices of a step that asks.
func choicesOf(s engine.Step) (names []string) {
	v, _ := s.Args.Value()
	args, _ := v.(map[string]engine.Value)
	if s.Builtin != "ask" {
		return nil
	}
	switch list := args["choices"].(type) {
	case []engine.Value:
		for _, each := range list {
			if pair, ok := each.([]engine.Value); ok && len(pair) > 0 {
				each = pair[0]
			}
			if name, ok := each.(string); ok {
				names = append(names, name)
			}
		}
	case map[string]engine.Value:
		names = sorted(list)
	}
	return names
}

// Restart serves POST /runs/:id/restart.
func (p *Pages) Restart(c echo.Context) error {
	why, err := formValue(c, "reason")
	if err != nil {
		return err
	}
	form := c.Request().PostForm
	in := engine.RestartRequest{Step: form.Get("step"), Current: form.Get("script") == "current", Why: why}
	if choice := form.Get("choice"); choice != "" {
		in.Answer = engine.MustEncode(choice)
	} else if text := strings.TrimSpace(form.Get("answer")); text != "" {
		in.Answer = engine.Data(text)
	}
	d, err := p.Desk.Restart(c.Request().Context(), login.From(c.Request().Context()).Identity, c.Param("id"), in)
	if err != nil {
		return err
	}
	if !d.Applied {
		return desk.NotApplied(d)
	}
	if in.Step == "" {
		return p.back(c, "/runs/"+c.Param("id"), "undone")
	}
	return p.back(c, "/runs/"+c.Param("id"), "restarted")
}
