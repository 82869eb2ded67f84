package runner

import (
	"context"
	"strconv"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/field"
	"larkspur/engine/record"
	"larkspur/engine/wire"
)

func performAsk(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	q, err := c.question(args)
	if err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	if s.Limit > 0 { // an attempt's timeout bounds the wait
		if due := c.r.cfg.Clock.Now().Add(time.Duration(s.Limit)); q.Due.IsZero() || due.Before(q.Due) {
			q.Due, q.HasDefault, q.Default = due, false, ""
		}
	}
	if c.run.Mode == modeShadow {
		return c.answer(c.describe(s), shadowAnswer(q, c.r.cfg.Clock.Now()), nil)
	}
	q.Unmailed = c.r.cfg.Mails != nil && !c.r.cfg.Mails()
	start := c.startOf(s)
	start.Question = q
	what := "an answer of "
	if q.Quorum > 0 {
		what = itoa(q.Quorum) + " equal answers of "
	}
	return c.wait(ctx, s, start, what+addressees(q.To))
}

func addressees(to []engine.Addressee) string {
	list := make([]string, len(to))
	for i, a := range to {
		list[i] = a.String()
	}
	return strings.Join(list, ", ")
}

// maxQuestionBytes bounds a question's text (LANGUAGE section 3).
const maxQuestionBytes = 4 << 10

func (c *carrier) question(args map[string]engine.Value) (*record.Question, error) {
	q := &record.Question{}
	q.Text, _ = args["question"].(string)
	if q.Text == "" || len(q.Text) > maxQuestionBytes {
		return nil, engine.Errorf(engine.Invalid, "ask: a question of %d bytes, want 1 to %d", len(q.Text), maxQuestionBytes)
	}
	var err error
	if q.To, err = c.r.cfg.People().Resolve(args["to"]); err != nil {
		return nil, err
	}
	if q.Choices, err = choices(args["choices"]); err != nil {
		return nil, err
	}
	if q.Fields, err = fields(args["fields"]); err != nil {
		return nil, err
	}
	for _, d := range listOf(args["details"]) {
		q.Details = append(q.Details, display(d))
	}
	if d, ok := args["timeout"].(time.Duration); ok && d > 0 {
		q.Due = c.r.cfg.Clock.Now().Add(d)
	}
	q.Default, q.HasDefault = args["default"].(string)
	q.Why, _ = args["why"].(bool)
	if q.Proof, err = proof(args["proof"], q.Choices); err != nil {
		return nil, err
	}
	q.SLA, _ = args["sla"].(time.Duration)
	q.OnBreach = handlerOf(args["on_breach"])
	if q.Quorum, err = quorum(args["quorum"], q.To); err != nil {
		return nil, err
	}
	if q.Remind, err = reminders(args["remind"]); err != nil {
		return nil, err
	}
	if err := checkSize(q); err != nil {
		return nil, err
	}
	return q, checkDefault(q)
}

func checkDefault(q *record.Question) error {
	if !q.HasDefault || len(q.Choices) == 0 {
		return nil
	}
	names := make([]string, len(q.Choices))
	for i, c := range q.Choices {
		if names[i] = c.Name; c.Name == q.Default {
			return nil
		}
	}
	return engine.Errorf(engine.Invalid, "ask: default: got %q, want one of the choices: %s", q.Default, strings.Join(names, ", "))
}

// quorum is how many people have to say the same; 0 for one alone.
func quorum(v engine.Value, to []engine.Addressee) (int, error) {
	n, ok := v.(int64)
	switch {
	case v == nil || n == 1:
		return 0, nil
	case !ok || n < 1:
		return 0, engine.Errorf(engine.Invalid, "ask: quorum: got %s, want 1 or more people", display(v))
	case n > int64(len(to)):
		return 0, engine.Errorf(engine.Invalid, "ask: quorum: got %d, but only %d people are asked: %s", n, len(to), addressees(to)).
			WithHint("somebody with two addresses is one person; ask more people, or fewer to agree")
	}
	return int(n), nil
}

// minRemind bounds how often people are reminded.
const minRemind = time.Minute

func reminders(v engine.Value) (time.Duration, error) {
	every, _ := v.(time.Duration)
	if every > 0 && every < minRemind {
		return 0, engine.Errorf(engine.Invalid, "ask: remind: got %s, want at least %s", display(every), display(minRemind))
	}
	return every, nil
}

// maxMailedBytes bounds what a question puts into the mails to all whom it asks:
// their runs begin in one transaction.
const maxMailedBytes = 400 << 10

func checkSize(q *record.Question) error {
	each := len(q.Text) + len(q.Default)
	for _, d := range q.Details {
		each += len(d)
	}
	for _, c := range q.Choices {
		each += len(c.Name) + len(c.Consequence)
	}
	if each*len(q.To) <= maxMailedBytes {
		return nil
	}
	return engine.Errorf(engine.Invalid, "ask: %d bytes to %d people, at most %d KB together", each, len(q.To), maxMailedBytes>>10).
		WithHint("shorten details, or put what is long on the incident: i.attach(…)")
}

func proof(v engine.Value, choices []engine.Choice) (string, error) {
	given, ok := v.(string)
	if !ok && len(choices) > 0 {
		return "device", nil
	}
	switch given {
	case "", "link":
		return "link", nil
	case "device", "typed", "login":
		return given, nil
	}
	return "", engine.Errorf(engine.Invalid, "ask: proof: got %q, want device, link, typed or login", given)
}

func listOf(v engine.Value) []engine.Value {
	switch v := v.(type) {
	case []engine.Value:
		return v
	case engine.Tuple:
		return v
	case engine.Set:
		return v
	}
	return nil
}

// choices reads a list of texts, or pairs of text and consequence.
func choices(v engine.Value) ([]engine.Choice, error) {
	var list []engine.Choice
	seen := map[string]bool{}
	for _, e := range pairs(v) {
		c := engine.Choice{Name: display(e.Key), Consequence: display(e.Value)}
		if c.Name == "" || seen[c.Name] {
			return nil, engine.Errorf(engine.Invalid, "ask: choices: %q is empty or there twice", c.Name).
				WithHint("want a list of texts, or a dict of text and what happens then")
		}
		seen[c.Name] = true
		list = append(list, c)
	}
	return list, nil
}

// pairs reads what a parameter of kind pairs holds: lists of two, in the order in
// which a script wrote a dict; single values count as keys.
func pairs(v engine.Value) []engine.Pair {
	var out []engine.Pair
	for _, e := range listOf(v) {
		pair := listOf(e)
		if len(pair) != 2 {
			out = append(out, engine.Pair{Key: e})
			continue
		}
		out = append(out, engine.Pair{Key: pair[0], Value: pair[1]})
	}
	return out
}

// fields reads what field.text(…) and its like made.
func fields(v engine.Value) ([]engine.Field, error) {
	var list []engine.Field
	for _, e := range listOf(v) {
		s, ok := e.(engine.Struct)
		if !ok || !strings.HasPrefix(s.Type, "field") {
			return nil, engine.Errorf(engine.Invalid, `ask: fields: got %s, want fields as field.text("reason") makes them`, display(e))
		}
		f := engine.Field{Required: true}
		f.Name, _ = s.Fields["name"].(string)
		f.Kind, _ = s.Fields["kind"].(string)
		f.Label, _ = s.Fields["label"].(string)
		f.Multiline, _ = s.Fields["multiline"].(bool)
		if r, ok := s.Fields["required"].(bool); ok {
			f.Required = r
		}
		for _, c := range listOf(s.Fields["choices"]) {
			f.Choices = append(f.Choices, display(c))
		}
		if m := s.Fields["max"]; m != nil {
			f.Max = display(m)
		}
		list = append(list, f)
	}
	if err := field.Declared(list); err != nil {
		return nil, engine.WrapError(engine.Invalid, err, "ask: fields")
	}
	return list, nil
}

// display writes a value as a person reads it.
func display(v engine.Value) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case time.Duration:
		return calendar.FormatDuration(v)
	case time.Time:
		return v.Format("2006-01-02 15:04:05 MST")
	case engine.PersonRef:
		return v.Name
	}
	d, err := engine.Encode(v)
	if err != nil {
		return "?"
	}
	return string(d)
}

func itoa(n int) string { return strconv.Itoa(n) }
