package trial

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"larkspur/builtins/settings"
	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/runner"
	"larkspur/engine/state"
	"larkspur/ui/desk"
)

// viewType is the Type of the struct by which a live view travels.
const viewType = "t.view"

// started is what one word of t started.
type started struct {
	id        string
	rules     []string // that matched, and the incidents of their matches
	incidents []string
	runs      []string // of a job
}

// first puts what a rule opened before the rest.
func (s *started) first(rule string) {
	i := slices.Index(s.rules, rule)
	s.rules[0], s.rules[i] = s.rules[i], s.rules[0]
	s.incidents[0], s.incidents[i] = s.incidents[i], s.incidents[0]
}

// look reads one attribute of a live view.
func (t *trialTest) look(args map[string]engine.Value) (engine.Value, error) {
	id, name := text(args["id"]), text(args["name"])
	if text(args["kind"]) == "incident" {
		return t.incidentLook(id, name)
	}
	for _, s := range t.started {
		if s.id == id {
			return t.resultLook(s, name, args["of"])
		}
	}
	return nil, engine.Errorf(engine.NotFound, "result %q: there is none", id)
}

func (t *trialTest) resultLook(s *started, name string, of engine.Value) (engine.Value, error) {
	runs, err := t.runsOf(s)
	if err != nil {
		return nil, err
	}
	switch name {
	case "incident":
		list, err := t.incidentsOf(s, runs)
		if len(list) == 0 {
			return nil, err
		}
		return list[0], err
	case "incidents":
		return t.incidentsOf(s, runs)
	case "run":
		return orNothing(mainRun(runs), func(r engine.Run) engine.Value { return r.ID }), nil
	case "status":
		return orNothing(mainRun(runs), func(r engine.Run) engine.Value { return r.Status }), nil
	case "error":
		return orNothing(mainRun(runs), func(r engine.Run) engine.Value { return errorView(r.Error) }), nil
	case "steps":
		main := mainRun(runs)
		if main == nil {
			return []engine.Value{}, nil
		}
		return t.stepViews([]engine.Run{*main}, func(engine.Step) bool { return true })
	case "calls":
		wanted, err := t.wireName(of)
		if err != nil {
			return nil, err
		}
		return t.stepViews(runs, func(s engine.Step) bool { return wanted == "" || s.Builtin == wanted })
	case "log":
		return t.log(runs)
	case "mails":
		return t.mails(runs)
	case "questions":
		return t.questions(func(q engine.Question) bool { return hasRun(runs, q.Run) })
	case "changes":
		return t.changes(func(c engine.Change) bool { return hasRun(runs, c.Run) })
	}
	return nil, engine.Errorf(engine.Invalid, "a result has no %s", name)
}

// wireName is the name of steps that scripts write as unifi.block, i.close or
// change; "" for any.
func (t *trialTest) wireName(of engine.Value) (string, error) {
	given := text(of)
	name := given
	if method, ok := strings.CutPrefix(name, "i."); ok {
		name = "incident." + method
	}
	if name == "change" {
		name = "change.made"
	}
	if _, known := t.signature(name); known || name == "" {
		return name, nil
	}
	names := slices.Collect(maps.Keys(t.builtins.signatures))
	for _, s := range runner.Signatures() {
		names = append(names, s.Name)
	}
	return "", engine.Errorf(engine.NotFound, "calls: there is no builtin %q", given).WithHint("%s", settings.Suggest(name, names))
}

func orNothing(r *engine.Run, of func(engine.Run) engine.Value) engine.Value {
	if r == nil {
		return nil
	}
	return of(*r)
}

// runsOf are the runs of what was started: those on its incidents, and what they
// started in turn.
func (t *trialTest) runsOf(s *started) (runs []engine.Run, err error) {
	all, err := t.allRuns()
	for _, r := range all { // a run comes after the one that started it
		if slices.Contains(s.runs, r.ID) || r.Incident != "" && slices.Contains(s.incidents, r.Incident) || hasRun(runs, r.Parent) {
			runs = append(runs, r)
		}
	}
	return runs, err
}

func hasRun(runs []engine.Run, id string) bool {
	return slices.ContainsFunc(runs, func(r engine.Run) bool { return r.ID == id })
}

// mainRun is the one of the playbook that a rule or job names; nil for none.
func mainRun(runs []engine.Run) *engine.Run {
	for i := range runs {
		if p := runs[i].Purpose; p == state.PurposePlaybook || p == state.PurposeJob {
			return &runs[i]
		}
	}
	return nil
}

// incidentsOf are those that were started with, those of the runs, and those that
// the runs opened, the oldest first.
func (t *trialTest) incidentsOf(s *started, runs []engine.Run) ([]engine.Value, error) {
	all, err := state.All(func(cursor string) ([]engine.Incident, string, error) {
		return t.state.Incidents(engine.IncidentFilter{}, cursor, pageSize)
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(all)
	ids := slices.Clone(s.incidents)
	for _, r := range runs {
		if r.Incident != "" {
			ids = append(ids, r.Incident)
		}
	}
	for _, i := range all {
		if i.OpenedBy != "" && hasRun(runs, i.OpenedBy) {
			ids = append(ids, i.ID)
		}
	}
	list := []engine.Value{}
	for i, id := range ids {
		if slices.Index(ids, id) == i {
			list = append(list, engine.IncidentRef{ID: id})
		}
	}
	return list, nil
}

func errorView(e *engine.Error) engine.Value {
	if e == nil {
		return nil
	}
	return fields("kind", string(e.Kind), "message", e.Message, "cause", e.Cause, "hint", e.Hint, "at", e.At, "maybe", e.Maybe)
}

// fields makes a struct of names and values.
func fields(pairs ...engine.Value) engine.Struct {
	m := make(map[string]engine.Value, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return engine.Struct{Fields: m}
}

// stepViews lists steps of runs in the order in which they ended.
func (t *trialTest) stepViews(runs []engine.Run, want func(engine.Step) bool) (engine.Value, error) {
	steps, err := t.steps(runs, want)
	if err != nil {
		return nil, err
	}
	list := make([]engine.Value, 0, len(steps))
	for _, s := range steps {
		v, err := t.stepView(s)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func (t *trialTest) steps(runs []engine.Run, want func(engine.Step) bool) (all []engine.Step, err error) {
	for _, r := range runs {
		steps, err := t.state.Steps(r.ID)
		if err != nil {
			return nil, err
		}
		for _, s := range steps {
			if want(s) {
				all = append(all, s)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b engine.Step) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Order, b.Order)) })
	return all, nil
}

// argsView is a step's arguments as a script gave them: what a word takes as any
// keywords is keywords again.
func (t *trialTest) argsView(s engine.Step) (engine.Value, error) {
	args, err := s.Args.Value()
	given, ok := args.(map[string]engine.Value)
	sig, known := t.signature(s.Builtin)
	if err != nil || !ok || !known {
		return args, err
	}
	for _, p := range sig.Params {
		if p.Kind != engine.KindKeywords {
			continue
		}
		rest, _ := given[p.Name].(map[string]engine.Value)
		delete(given, p.Name)
		for name, v := range rest {
			given[name] = v
		}
	}
	return given, nil
}

func (t *trialTest) stepView(s engine.Step) (engine.Value, error) {
	args, err := t.argsView(s)
	if err != nil {
		return nil, err
	}
	result, err := s.Result.Value()
	if err != nil {
		return nil, err
	}
	given, _ := args.(map[string]engine.Value)
	placed := []engine.Value{}
	if sig, ok := t.signature(s.Builtin); ok {
		order, positional := places(sig)
		for _, name := range order[:min(positional, len(order))] {
			v, ok := given[name]
			if !ok {
				break
			}
			placed = append(placed, v)
		}
	}
	return fields("name", s.Builtin, "builtin", s.Builtin, "args", engine.Tuple(placed), "kwargs", given, "path", s.Path, "n", int64(s.Number),
		"at", s.At, "status", s.Status, "result", result, "error", errorView(s.Error), "started", moment(s.Started), "ended", moment(s.Ended)), nil
}

// signature finds a builtin or a word of the runner.
func (t *trialTest) signature(name string) (engine.Signature, bool) {
	if s, ok := t.builtins.signatures[name]; ok {
		return s, true
	}
	for _, s := range runner.Signatures() {
		if s.Name == name {
			return s, true
		}
	}
	return engine.Signature{}, false
}

// moment is a time, or None.
func moment(t time.Time) engine.Value {
	if t.IsZero() {
		return nil
	}
	return t
}

func (t *trialTest) log(runs []engine.Run) (engine.Value, error) {
	steps, err := t.steps(runs, func(s engine.Step) bool { return s.Builtin == "print" })
	list := []engine.Value{}
	for _, s := range steps {
		v, err := s.Args.Value()
		if err != nil {
			return nil, err
		}
		args, _ := v.(map[string]engine.Value)
		list = append(list, args["text"])
	}
	return list, err
}

// mails lists what would have been mailed: by email.send, and questions.
func (t *trialTest) mails(runs []engine.Run) (engine.Value, error) {
	steps, err := t.steps(runs, func(s engine.Step) bool {
		return s.Builtin == "email.send" || s.Builtin == replyBuiltin || s.Builtin == "smtp.deliver"
	})
	list := []engine.Value{}
	for _, s := range steps {
		v, err := s.Args.Value()
		if err != nil {
			return nil, err
		}
		args, _ := v.(map[string]engine.Value)
		if mail, ok := args["mail"].(map[string]engine.Value); ok {
			list = append(list, mailView(mail, mail["to"], mail["text"], s))
			continue
		}
		if s.Builtin == replyBuiltin {
			list = append(list, t.replyView(args, s))
			continue
		}
		list = append(list, mailView(args, t.addresses(args["to"]), args["body"], s))
	}
	return list, err
}

// replyBuiltin mails who reported an incident.
const replyBuiltin = "incident.reply"

func (t *trialTest) replyView(args map[string]engine.Value, s engine.Step) engine.Value {
	to := []engine.Value{}
	i, err := t.state.Incident(text(args["incident"]))
	if err == nil && i.Reporter != nil {
		to = append(to, i.Reporter.Email)
	}
	args["subject"] = "Re: " + i.Title
	return mailView(args, to, args["text"], s)
}

func mailView(m map[string]engine.Value, to, body engine.Value, s engine.Step) engine.Value {
	return fields("to", to, "subject", m["subject"], "body", body, "text", body, "html", m["html"], "sections", m["sections"],
		"details", m["details"], "buttons", m["buttons"], "attachments", m["attachments"], "question", s.Builtin == "smtp.deliver", "at", moment(s.Started))
}

// addresses are those of people, as a mail would go to them.
func (t *trialTest) addresses(to engine.Value) engine.Value {
	people, err := runner.People{ByName: t.Config.People, Teams: t.Config.Teams}.Resolve(to)
	if err != nil {
		return to
	}
	list := make([]engine.Value, len(people))
	for i, p := range people {
		list[i] = p.Email
	}
	return list
}

func (t *trialTest) questions(want func(engine.Question) bool) (engine.Value, error) {
	list := []engine.Value{}
	err := state.Each(func(cursor string) ([]engine.Question, string, error) {
		return t.state.Questions(engine.QuestionFilter{}, cursor, pageSize)
	}, func(q engine.Question) error {
		if !want(q) {
			return nil
		}
		v, err := questionView(q)
		list = append(list, v)
		return err
	})
	slices.Reverse(list) // the oldest first
	return list, err
}

func questionView(q engine.Question) (engine.Value, error) {
	var to, choices, inputs, details []engine.Value
	for _, a := range q.To {
		name := a.Name
		if name == "" {
			name = a.Email
		}
		to = append(to, name)
	}
	for _, c := range q.Choices {
		choices = append(choices, c.Name)
	}
	for _, f := range q.Fields {
		inputs = append(inputs, f.Name)
	}
	for _, d := range q.Details {
		details = append(details, d)
	}
	var fallback, answer engine.Value
	if q.HasDefault {
		fallback = q.Default
	}
	if a := q.Answer; a != nil {
		given, err := a.Fields.Value()
		if err != nil {
			return nil, err
		}
		answer = fields("choice", a.Choice, "by", a.By, "at", moment(a.At), "fields", given, "reason", a.Reason, "timed_out", a.TimedOut)
	}
	return fields("id", q.ID, "to", listed(to), "question", q.Text, "text", q.Text, "choices", listed(choices), "fields", listed(inputs), "details", listed(details),
		"default", fallback, "status", q.Status, "asked", moment(q.Asked), "due", moment(q.Due), "answer", answer), nil
}

func listed(list []engine.Value) []engine.Value {
	if list == nil {
		return []engine.Value{}
	}
	return list
}

func (t *trialTest) changes(want func(engine.Change) bool) (engine.Value, error) {
	list := []engine.Value{}
	err := state.Each(func(cursor string) ([]engine.Change, string, error) {
		return t.state.Changes(engine.ChangeFilter{}, cursor, pageSize)
	}, func(c engine.Change) error {
		if want(c) {
			list = append(list, fields("id", c.ID, "title", c.Title, "status", c.Status, "why", c.Why, "made", moment(c.Made), "expires", moment(c.Expires),
				"undone", moment(c.Undone), "undone_by", c.UndoneBy, "error", c.Error, "inverse", c.Inverse))
		}
		return nil
	})
	slices.Reverse(list)
	return list, err
}

// incidentLook reads an incident as it is now.
func (t *trialTest) incidentLook(id, name string) (engine.Value, error) {
	i, err := t.state.Incident(id)
	if err != nil {
		return nil, err
	}
	switch name {
	case "id", "rule", "type", "title", "severity", "status", "owner", "team", "reason", "code":
		return map[string]engine.Value{
			"id": i.ID, "rule": i.Rule, "type": i.Type, "title": i.Title, "severity": i.Severity, "status": i.Status,
			"owner": orNone(i.Owner), "team": orNone(i.Team), "reason": i.Reason, "code": i.Code,
		}[name], nil
	case "opened", "closed", "quiet_until":
		return moment(map[string]time.Time{"opened": i.Opened, "closed": i.Closed, "quiet_until": i.QuietUntil}[name]), nil
	case "fields":
		v, err := i.Fields.Value()
		if v == nil {
			v = map[string]engine.Value{}
		}
		return v, err
	case "reporter":
		if i.Reporter == nil {
			return nil, nil
		}
		return fields("name", i.Reporter.Name, "email", i.Reporter.Email, "verified", i.Reporter.Verified), nil
	case "event":
		if i.Event == "" {
			return nil, nil
		}
		e, err := t.state.Event(i.Event)
		return eventView(e), err
	case "events":
		return t.events(id)
	case "notes":
		return t.notes(id)
	case "questions":
		return t.questions(func(q engine.Question) bool { return q.Incident == id })
	case "changes":
		return t.changes(func(c engine.Change) bool { return c.Incident == id })
	case "indicators":
		list, err := t.state.Indicators(id)
		return runner.IndicatorValues(list), err
	case "link":
		return t.Config.Box.URL + "/incidents/" + id, nil
	}
	return nil, nil // nobody reported it
}

func orNone(s string) engine.Value {
	if s == "" {
		return nil
	}
	return s
}

func eventView(e engine.Event) engine.Value {
	return engine.Struct{Type: "event", Fields: map[string]engine.Value{"id": e.ID, "time": e.Time, "kind": e.Kind, "source": e.Source, "fields": e.Fields}}
}

func (t *trialTest) events(id string) (engine.Value, error) {
	events, _, err := t.state.IncidentEvents(id, "", pageSize)
	list := make([]engine.Value, len(events))
	for i, e := range events {
		list[i] = eventView(e)
	}
	return list, err
}

// notes lists the texts of i.note.
func (t *trialTest) notes(id string) (engine.Value, error) {
	runs, err := t.allRuns()
	if err != nil {
		return nil, err
	}
	runs = slices.DeleteFunc(runs, func(r engine.Run) bool { return r.Incident != id })
	steps, err := t.steps(runs, func(s engine.Step) bool { return s.Builtin == "incident."+record.ActNote })
	list := []engine.Value{}
	for _, s := range steps {
		v, err := s.Args.Value()
		if err != nil {
			return nil, err
		}
		args, _ := v.(map[string]engine.Value)
		list = append(list, args["text"])
	}
	return list, err
}

func literal(v engine.Value) string { return desk.Literal(v, time.UTC) }
