package api

import (
	"bytes"
	"encoding/json"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
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
