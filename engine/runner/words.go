package runner

import (
	"context"
	"strconv"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// word is a control word: a step that the runner performs itself, because it
// touches nothing but the ledger.
type word struct {
	engine.Signature
	perform func(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error)
}

// Signatures returns the signatures of the control words, for the worker.
func Signatures() []engine.Signature {
	list := make([]engine.Signature, 0, len(wordList()))
	for _, w := range wordList() {
		list = append(list, w.Signature)
	}
	return list
}

var words = func() map[string]word {
	m := map[string]word{}
	for _, w := range wordList() {
		m[w.Name] = w
	}
	return m
}()

func p(name, kind string) engine.Param { return engine.Param{Name: name, Kind: kind} }

func required(name, kind string) engine.Param {
	return engine.Param{Name: name, Kind: kind, Required: true}
}

func fallback(name, kind string, v engine.Value) engine.Param {
	return engine.Param{Name: name, Kind: kind, Default: engine.MustEncode(v)}
}

// wordList is the one list of control words.
func wordList() []word {
	return []word{
		{sign("now", engine.Read, "The time, recorded; it never goes back."), performNow},
		{sign("print", engine.Read, "Writes a line to the run's log.", required("text", "text")), performPrint},
		{sign("ask", engine.Repeatable, "Asks people and waits for an answer.",
			required("to", "person|list"), required("question", "text"), p("choices", "pairs"), p("fields", "list"), p("details", "list"),
			p("timeout", "duration"), p("default", "text"), fallback("why", "bool", false), p("proof", "text")), performAsk},
		{sign("sleep", engine.Repeatable, "Waits, without memory.", p("duration", "duration"), p("until", "time")), performSleep},
		{internal(sign("change.made", engine.Repeatable, "Puts a change in force.",
			required("title", "text"), required("undo", "any"), required("args", "dict"), p("done", "any"), p("expires", "duration|time"), p("why", "text"))), performChange},
		{internal(sign("change.undo", engine.Repeatable, "Takes back the change that a step made.", required("change", "text"))), performUndo},
		{internal(sign("incident.get", engine.Read, "Reads what may change about an incident.", required("incident", "text"), required("name", "text"))), performGet},
		{sign("incident.set", engine.Repeatable, "Sets summary facts.", required("incident", "text"), required("fields", "pairs")), performIncident},
		{sign("incident.note", engine.Repeatable, "Adds a note.", required("incident", "text"), required("text", "text")), performIncident},
		{sign("incident.close", engine.Repeatable, "Closes the incident.", required("incident", "text"), required("reason", "text"),
			fallback("code", "text", "resolved"), p("quiet", "duration")), performIncident},
		{sign("incident.reopen", engine.Repeatable, "Opens the incident again.", required("incident", "text"), fallback("reason", "text", "")), performIncident},
		{internal(sign("question.link", engine.Read, "Makes a person's link to a question.", required("question", "text"), required("person", "text"), required("revision", "int"))), performLink},
	}
}

func sign(name string, class engine.Class, doc string, params ...engine.Param) engine.Signature {
	return engine.Signature{Name: name, Doc: doc, Class: class, Params: params, Positional: len(params), Version: 1}
}

func internal(s engine.Signature) engine.Signature {
	s.Internal = true
	return s
}

func performNow(_ context.Context, c *carrier, s *wire.Step, _ map[string]engine.Value) (wire.Answer, verdict, error) {
	now := c.r.cfg.Clock.Now()
	if now.Before(c.last) {
		now = c.last
	}
	c.last = now
	return c.answer(c.describe(s), now, nil)
}

func performPrint(_ context.Context, c *carrier, s *wire.Step, _ map[string]engine.Value) (wire.Answer, verdict, error) {
	return c.answer(c.describe(s), nil, nil) // the arguments are the line
}

// closedOutside reports whether somebody else closed the run's incident: what a
// run would wait for then is over before it begins.
func (c *carrier) closedOutside() (bool, error) {
	if c.run.Incident == "" || c.run.Purpose != state.PurposePlaybook {
		return false, nil
	}
	i, err := c.r.cfg.State.Incident(c.run.Incident)
	return i.Status == engine.IncidentClosed && i.ClosedBy != by(c), err
}

func by(c *carrier) string { return "run " + c.run.ID }

var errClosed = &engine.Error{Kind: engine.Closed, Message: "the incident was closed"}

func performSleep(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	until, ok := args["until"].(time.Time)
	if d, isSpan := args["duration"].(time.Duration); isSpan {
		until, ok = c.r.cfg.Clock.Now().Add(d), true
	}
	if !ok {
		return c.refuse(s, engine.Errorf(engine.Invalid, `sleep: got neither a duration nor until, want sleep("180s") or sleep(until = t)`))
	}
	start := c.startOf(s)
	if limit := c.r.cfg.Clock.Now().Add(time.Duration(s.Limit)); s.Limit > 0 && limit.Before(until) {
		until, start.Limited = limit, true
	}
	start.Until = until.UTC()
	return c.wait(ctx, s, start, "until "+start.Until.Format(time.RFC3339))
}

// wait starts a step that ends from outside, and parks the run in it.
func (c *carrier) wait(ctx context.Context, s *wire.Step, start record.StepStarted, what string) (wire.Answer, verdict, error) {
	park := newRecord(record.RunParkedKind, record.RunParked{
		Run: c.run.ID, Generation: c.run.Generation, Path: s.Path, Number: s.Number, Waits: what,
	})
	if _, again := c.started[engine.StepID(s.Path, s.Number)]; again {
		o, err := c.write(ctx, park)
		return wire.Answer{}, afterPark(o), err
	}
	if _, err := c.flush(ctx); err != nil { // our own close, if any, counts
		return wire.Answer{}, parked, err
	}
	closed, err := c.closedOutside()
	if err != nil {
		return wire.Answer{}, parked, err
	}
	if closed {
		return c.refuse(s, errClosed)
	}
	o, err := c.write(ctx, newRecord(record.StepStartedKind, start), park)
	return wire.Answer{}, afterPark(o), err
}

func afterPark(o record.Outcome) verdict {
	if o.Applied {
		return parked
	}
	return turnAgain
}

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
	start := c.startOf(s)
	start.Question = q
	return c.wait(ctx, s, start, "an answer of "+addressees(q.To))
}

func addressees(to []engine.Addressee) string {
	list := make([]string, len(to))
	for i, a := range to {
		if list[i] = a.Name; a.Name == "" {
			list[i] = a.Email
		}
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

func performChange(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	undo, ok := args["undo"].(engine.Struct)
	if !ok {
		return c.refuse(s, engine.Errorf(engine.Invalid, "change: undo: want a top-level function"))
	}
	ch := &record.Change{Expires: c.expiry(args["expires"])}
	ch.Title, _ = args["title"].(string)
	ch.Why, _ = args["why"].(string)
	ch.Undo = &engine.Handler{File: text(undo.Fields["file"]), Name: text(undo.Fields["name"])}
	var err1, err2 error
	ch.Args, err1 = engine.Encode(args["args"])
	ch.Done, err2 = engine.Encode(args["done"])
	if err1 != nil || err2 != nil {
		return c.refuse(s, engine.Errorf(engine.Invalid, "change: args and what do returns must be plain data"))
	}
	done := c.describe(s)
	if c.run.Mode != modeShadow {
		done.Change = ch
	}
	a, v, err := c.answer(done, engine.Struct{Type: "change", Fields: map[string]engine.Value{"id": c.changeName(s), "title": ch.Title}}, nil)
	return c.now(ctx, a, v, err)
}

// changeName names the change of a step before the ledger has given it an id.
func (c *carrier) changeName(s *wire.Step) string {
	return c.run.ID + "/" + engine.StepID(s.Path, s.Number)
}

// now writes what is pending at once: others should see it.
func (c *carrier) now(ctx context.Context, a wire.Answer, v verdict, err error) (wire.Answer, verdict, error) {
	if err != nil {
		return a, v, err
	}
	if ok, err := c.flush(ctx); !ok || err != nil {
		return a, parked, err
	}
	return a, v, nil
}

func text(v engine.Value) string {
	s, _ := v.(string)
	return s
}

func performUndo(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	if _, err := c.flush(ctx); err != nil {
		return wire.Answer{}, parked, err
	}
	done := c.describe(s)
	change, err := c.changeNamed(text(args["change"]))
	if err == nil {
		done.Undo = change.ID
	} else if engine.KindOf(err) != engine.NotFound { // the call changed nothing: nothing to take back
		return wire.Answer{}, parked, err
	}
	a, v, err := c.answer(done, nil, nil)
	return c.now(ctx, a, v, err)
}

// changeNamed finds a change by its id, or by the run and step that made it.
func (c *carrier) changeNamed(name string) (engine.Change, error) {
	if step, ok := strings.CutPrefix(name, c.run.ID+"/"); ok {
		return c.r.cfg.State.ChangeOfStep(c.run, step)
	}
	return c.r.cfg.State.Change(name)
}

// ownIncident is the incident that a step speaks of. Runs act on their own.
func (c *carrier) ownIncident(args map[string]engine.Value) (string, *engine.Error) {
	id := text(args["incident"])
	if id != c.run.Incident {
		return "", engine.Errorf(engine.Denied, "incident %q: a run acts on its own incident, %q", id, c.run.Incident)
	}
	return id, nil
}

func performGet(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	id, refused := c.ownIncident(args)
	if refused != nil {
		return c.refuse(s, refused)
	}
	if ok, err := c.flush(ctx); !ok || err != nil { // it sees what the run itself did
		return wire.Answer{}, parked, err
	}
	v, err := c.r.attribute(id, text(args["name"]))
	if err != nil && engine.KindOf(err) == engine.Unavailable {
		return wire.Answer{}, parked, err
	}
	return c.answer(c.describe(s), v, asStepError(err, s))
}

func performIncident(_ context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	id, refused := c.ownIncident(args)
	if refused != nil {
		return c.refuse(s, refused)
	}
	act := &record.IncidentAct{Act: strings.TrimPrefix(s.Builtin, "incident."), Incident: id, By: by(c)}
	switch act.Act {
	case record.ActSet:
		if err := setFields(act, args["fields"]); err != nil {
			return c.refuse(s, asStepError(err, s))
		}
	case record.ActNote:
		act.Text = text(args["text"])
	default:
		act.Text, act.Code = text(args["reason"]), text(args["code"])
		act.Quiet, _ = args["quiet"].(time.Duration)
	}
	done := c.describe(s)
	done.Incident = act
	return c.answer(done, nil, nil)
}

func setFields(act *record.IncidentAct, v engine.Value) (err error) {
	facts := map[string]engine.Value{}
	for _, e := range pairs(v) {
		name := text(e.Key)
		facts[name] = e.Value
		act.Order = append(act.Order, name)
	}
	act.Fields, err = engine.Encode(facts)
	return err
}

func performLink(_ context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	revision, _ := args["revision"].(int64)
	question, person := text(args["question"]), text(args["person"])
	token := engine.LinkToken(c.r.cfg.LinkKey, question, person, int(revision))
	done := c.describe(s)
	done.Link = &record.Link{Question: question, Person: person, Revision: int(revision), Token: state.TokenSum(token)}
	return c.answer(done, engine.LinkSecret(question, person, int(revision)), nil)
}
