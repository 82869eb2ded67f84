package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// StepName names a step: its number, or "PATH/N".
type StepName string

// UnmarshalJSON reads a number or a string.
func (s *StepName) UnmarshalJSON(b []byte) error {
	if b[0] != '"' {
		*s = StepName(b)
	} else if err := json.Unmarshal(b, (*string)(s)); err != nil {
		return err
	}
	if _, _, ok := engine.ParseStepID(string(*s)); !ok {
		return engine.Errorf(engine.Invalid, "step: got %q, want the number of a step, or PATH/N", clip(string(b)))
	}
	return nil
}

// ResolveBody is what resolving a doubt takes.
type ResolveBody struct {
	Step StepName `json:"step"`
	// Outcome: happened, again or skip.
	Outcome string `json:"outcome"`
	// Value is what a step that happened returned.
	Value  json.RawMessage `json:"value"`
	Reason string          `json:"reason"`
}

// ResolveStep serves POST runs/:id/resolve.
func (a *API) ResolveStep(c echo.Context) error {
	var b ResolveBody
	if err := body(c, &b); err != nil {
		return err
	}
	d, err := a.Desk.Resolve(c.Request().Context(), who(c), c.Param("id"), engine.Resolution{
		Step: string(b.Step), Outcome: b.Outcome, Value: given(b.Value), Why: b.Reason,
	})
	return decided(c, d, err)
}

// given is JSON that was sent; null is nothing.
func given(text json.RawMessage) engine.Data {
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return nil
	}
	return engine.Data(text)
}

// RestartBody is what a restart takes.
type RestartBody struct {
	Step StepName `json:"step"`
	// Answer is the step's result from now on; left out, it is done again.
	Answer json.RawMessage `json:"answer"`
	// Script: same, the run's own, or current, the live one.
	Script string `json:"script"`
	// Dry only tells what would be done.
	Dry    bool   `json:"dry"`
	Reason string `json:"reason"`
}

// Restart serves POST runs/:id/restart.
func (a *API) Restart(c echo.Context) error {
	var b RestartBody
	if err := body(c, &b); err != nil {
		return err
	}
	if b.Step == "" {
		return engine.Errorf(engine.Invalid, "step: it is missing").WithHint("POST runs/ID/undo takes all of a run back.")
	}
	current, err := script(b.Script)
	if err != nil {
		return err
	}
	return a.restart(c, b.Dry, engine.RestartRequest{Step: string(b.Step), Answer: given(b.Answer), Current: current, Why: b.Reason})
}

// UndoRunBody is what taking back a whole run takes.
type UndoRunBody struct {
	Dry    bool   `json:"dry"`
	Reason string `json:"reason"`
}

// UndoRun serves POST runs/:id/undo.
func (a *API) UndoRun(c echo.Context) error {
	var b UndoRunBody
	if err := body(c, &b); err != nil {
		return err
	}
	return a.restart(c, b.Dry, engine.RestartRequest{Why: b.Reason})
}

func (a *API) restart(c echo.Context, dry bool, in engine.RestartRequest) error {
	if !dry {
		d, err := a.Desk.Restart(c.Request().Context(), who(c), c.Param("id"), in)
		return decided(c, d, err)
	}
	p, err := a.Desk.PreviewRestart(c.Request().Context(), who(c), c.Param("id"), in)
	if err != nil {
		return err
	}
	for n := range p.Undone {
		p.Undone[n] = change(p.Undone[n])
	}
	brief(p.Cannot)
	brief(p.Unknown)
	return write(c, http.StatusOK, p)
}

// maxBrief is how much of a value a preview shows.
const maxBrief = 400

// brief makes the values of steps plain and short.
func brief(steps []engine.Step) {
	for n := range steps {
		for _, d := range []*engine.Data{&steps[n].Args, &steps[n].Result} {
			if *d = desk.Plain(*d); len(*d) > maxBrief {
				*d = engine.MustEncode(strings.ToValidUTF8(string((*d)[:maxBrief]), "") + "…")
			}
		}
	}
}

// script reads which version is meant: true for the live one.
func script(text string) (current bool, err error) {
	switch text {
	case "", "same":
		return false, nil
	case "current":
		return true, nil
	}
	return false, engine.Errorf(engine.Invalid, "script: got %q, want same or current", clip(text))
}
