package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// Questions serves GET questions.
func (a *API) Questions(c echo.Context) error {
	q := params(c, "status", "incident", "limit", "cursor")
	f := engine.QuestionFilter{
		Status: q.oneOf("status", engine.QuestionOpen, engine.QuestionAnswered,
			engine.QuestionTimedOut, engine.QuestionWithdrawn),
		Incident: q.text("incident"),
	}
	limit := q.limit()
	if q.err != nil {
		return q.err
	}
	items, next, err := a.Desk.Questions(who(c), f, q.text("cursor"), limit)
	for i := range items {
		items[i] = question(items[i])
	}
	return page(c, items, next, err)
}

func question(q engine.Question) engine.Question {
	if q.Answer != nil {
		answer := *q.Answer
		answer.Fields = desk.Plain(answer.Fields)
		q.Answer = &answer
	}
	q.Answers = slices.Clone(q.Answers)
	for i := range q.Answers {
		q.Answers[i].Fields = desk.Plain(q.Answers[i].Fields)
	}
	return q
}

// Question serves GET questions/:id.
func (a *API) Question(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	q, err := a.Desk.Question(who(c), c.Param("id"))
	if err != nil {
		return err
	}
	return write(c, http.StatusOK, question(q))
}

// AnswerBody is what answering takes. Values of fields are strings, numbers,
// or lists of strings for fields of the kind "many".
type AnswerBody struct {
	Choice string                     `json:"choice"`
	Fields map[string]json.RawMessage `json:"fields"`
	Reason string                     `json:"reason"`
	// Typed repeats the choice, for a question whose proof is "typed".
	Typed string `json:"typed"`
}

// AnswerQuestion serves POST questions/:id/answer.
func (a *API) AnswerQuestion(c echo.Context) error {
	in, err := answerInput(c)
	if err != nil {
		return err
	}
	id := c.Param("id")
	d, err := a.Desk.Answer(c.Request().Context(), who(c), id, in)
	if err == nil && !d.Applied {
		return a.tooLate(c, id, d)
	}
	return decided(c, d, err)
}

// tooLate says of an answer that has no effect why: gone, when its question's time
// is over or it was withdrawn, else conflict.
func (a *API) tooLate(c echo.Context, id string, d engine.Decision) error {
	err := desk.NotApplied(d)
	q, failed := a.Desk.Question(who(c), id)
	if failed != nil || q.Status != engine.QuestionTimedOut && q.Status != engine.QuestionWithdrawn {
		return err
	}
	return engine.Errorf(engine.Closed, "%s", engine.AsError(err).Message).
		WithHint("Nobody needs to answer it any more. GET questions/%s tells what became of it.", id)
}

// answerInput reads an answer as JSON, or as a form with files.
func answerInput(c echo.Context) (desk.Input, error) {
	if desk.IsMultipart(c.Request()) {
		if err := desk.ParseForm(c.Request()); err != nil {
			if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
				return desk.Input{}, tooBig
			}
			return desk.Input{}, engine.Errorf(engine.Invalid, "body: it is not a form with parts").WithHint("Send multipart/form-data with choice, reason and field.NAME, or a JSON object.")
		}
		return desk.FormInput(c.Request())
	}
	var b AnswerBody
	if err := body(c, &b); err != nil {
		return desk.Input{}, err
	}
	in := desk.Input{Choice: b.Choice, Reason: b.Reason, Typed: b.Typed, Fields: map[string][]string{}}
	for _, name := range sortedKeys(b.Fields) {
		values, err := fieldValues(b.Fields[name])
		if err != nil {
			return in, engine.Errorf(engine.Invalid, "fields.%s: %s", clip(name), err.Error())
		}
		in.Fields[name] = values
	}
	return in, nil
}

// fieldValues reads one field of an answer as the texts that a form would send.
func fieldValues(raw json.RawMessage) ([]string, error) {
	v, err := engine.DecodeJSON(raw)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case bool:
		return []string{strconv.FormatBool(v)}, nil
	case map[string]engine.Value:
		return nil, engine.Errorf(engine.Invalid, "got an object, want a string, a number or a list")
	case []engine.Value:
		values := make([]string, len(v))
		for i, e := range v {
			text, ok := e.(string)
			if !ok {
				return nil, engine.Errorf(engine.Invalid, "got a list of other things, want a list of strings")
			}
			values[i] = text
		}
		return values, nil
	}
	return []string{string(raw)}, nil // a number, as it was written
}
