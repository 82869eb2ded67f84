package trial

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"larkspur/appliance/config"
	"larkspur/builtins/settings"
	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

// word performs a word of t. Its errors are the test's.
func (t *trialTest) word(ctx context.Context, name string, args map[string]engine.Value) (engine.Value, error) {
	if t.faking != nil && slices.Contains([]string{"trigger", "event", "job", "playbook", "press", "at", "advance"}, name) {
		return nil, engine.Errorf(engine.Invalid, "t.%s: not within a fake: the playbook waits for its result", name)
	}
	switch name {
	case "fake":
		return t.fake(args)
	case "delay":
		return t.delay(args)
	case "answer":
		return t.answer(ctx, args)
	case "trigger":
		return t.trigger(ctx, args)
	case "event":
		return t.event(ctx, args)
	case "job":
		return t.job(ctx, args)
	case "playbook":
		return nil, t.playbook(ctx, args)
	case "incident":
		return t.seed(ctx, args)
	case "press":
		return nil, t.press(ctx, text(args["label"]))
	case "at":
		return nil, t.goTo(ctx, args["time"])
	case "advance":
		span, _ := args["duration"].(time.Duration)
		return nil, t.advance(ctx, t.clock.now.Add(span))
	case "crash":
		t.crash()
		return nil, nil
	case "print":
		t.printed = append(t.printed, text(args["text"]))
		return nil, nil
	case "look":
		return t.look(args)
	}
	return nil, engine.Errorf(engine.Invalid, "there is no t.%s", name)
}

// advance lets time pass up to a moment: timers fire and people answer on the way.
func (t *trialTest) advance(ctx context.Context, to time.Time) error {
	if err := t.player.until(ctx, to); err != nil {
		return err
	}
	return t.settle(ctx)
}

// maxTurns bounds how often time passes by itself in one word of t.
const maxTurns = 500

// settle carries the runs as far as they go by themselves: time passes while they
// sleep, or until an answer that was prepared comes. It stands still where they
// wait for what nobody was told to do: a question, the end of a change.
func (t *trialTest) settle(ctx context.Context) error {
	for turn := 0; ; turn++ {
		if err := t.player.until(ctx, t.clock.now); err != nil {
			return err
		}
		next, err := t.nextByItself()
		if err != nil || next.IsZero() || t.broken != nil {
			return err
		}
		if turn == maxTurns {
			return engine.Errorf(engine.Script, "the playbook sleeps for ever: after %d turns it is %s", maxTurns, t.clock.now.Format(time.RFC3339)).
				WithHint("does its loop end?")
		}
		if err := t.player.until(ctx, next); err != nil {
			return err
		}
	}
}

// nextByItself is when a run goes on without anybody doing anything; zero for
// never.
func (t *trialTest) nextByItself() (next time.Time, err error) {
	reply, err := t.player.nextReply()
	if err != nil {
		return next, err
	}
	if reply != nil {
		next = reply.at
	}
	for _, own := range t.ledger.Owned() {
		timers, err := t.state.DueTimers(own.Shard, endOfTime, maxTimers)
		if err != nil {
			return next, err
		}
		for _, timer := range timers {
			if timer.For != "sleep" || !next.IsZero() && !timer.Due.Before(next) {
				continue
			}
			run, err := t.state.Run(timer.Target)
			if err != nil {
				return next, err
			}
			if run.Purpose != state.PurposeOutbox && run.Purpose != state.PurposeUndo { // their new tries are nobody's wait
				next = timer.Due
			}
		}
	}
	return next, nil
}

// maxTimers is how many timers of a shard are looked through for one of a sleep.
const maxTimers = 10_000

var endOfTime = time.Date(2250, 1, 1, 0, 0, 0, 0, time.UTC)

// moments are the forms of t.at.
var moments = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"}

// goTo moves the clock to a moment: back only as long as nothing happened.
func (t *trialTest) goTo(ctx context.Context, v engine.Value) error {
	to, ok := v.(time.Time)
	for i := 0; !ok && i < len(moments); i++ {
		at, err := time.ParseInLocation(moments[i], text(v), t.Config.Zone)
		to, ok = at, err == nil
	}
	if !ok {
		return engine.Errorf(engine.Invalid, "t.at: got %q, want a time", text(v)).WithHint(`such as "2026-11-22T08:00", in the workspace's zone`)
	}
	switch {
	case len(t.started) == 0:
		t.clock.now = to.UTC()
		return nil
	case to.Before(t.clock.now):
		return engine.Errorf(engine.Invalid, "t.at: time does not go back: it is %s already", t.clock.now.In(t.Config.Zone).Format("2006-01-02T15:04:05")).
			WithHint("write t.at before the first t.trigger")
	}
	return t.advance(ctx, to)
}

// crash kills the worker of the playbooks; what was under way in it is replayed.
// Within a fake it does so once: the step is then performed again.
func (t *trialTest) crash() {
	if t.scene != nil {
		return // it is the replay's
	}
	if t.faking != nil {
		if t.crashed[t.faking.Key] {
			return
		}
		t.crashed[t.faking.Key] = true
	}
	t.Runs.Kill()
}

// answer prepares what a person answers to the next question that is theirs.
func (t *trialTest) answer(ctx context.Context, args map[string]engine.Value) (engine.Value, error) {
	who, err := t.someone(args["who"])
	if err != nil {
		return nil, err
	}
	a := config.PersonAnswer{Who: who, Choice: text(args["choice"]), Reason: text(args["reason"]), At: position(t.at)}
	a.After, _ = args["after"].(time.Duration)
	fields, _ := args["fields"].(map[string]engine.Value)
	if len(fields) > 0 {
		a.Fields = make(map[string][]string, len(fields))
	}
	for name, v := range fields {
		if up, ok := handedIn(v); ok {
			if a.Files == nil {
				a.Files = map[string][]engine.Upload{}
			}
			a.Files[name] = []engine.Upload{up}
			continue
		}
		a.Fields[name] = filledIn(v)
	}
	t.player.people.left = append(t.player.people.left, a)
	if t.faking != nil || t.scene != nil {
		return nil, nil
	}
	return nil, t.settle(ctx) // a question may be open already
}

// someone is who a test speaks of: a person of the workspace, or an address.
func (t *trialTest) someone(v engine.Value) (string, error) {
	name := text(v)
	if p, ok := v.(engine.PersonRef); ok {
		if name = p.Name; name == "" {
			name = p.Email
		}
	}
	if _, known := t.Config.People[name]; known || strings.Contains(name, "@") {
		return name, nil
	}
	if members, team := t.Config.Teams[name]; team {
		return "", engine.Errorf(engine.Invalid, "t.answer: a team does not answer, somebody of it does: %s", strings.Join(members, ", "))
	}
	return "", engine.Errorf(engine.NotFound, "t.answer: there is no person %q", name).
		WithHint("%s", settings.Suggest(name, slices.Sorted(maps.Keys(t.Config.People))))
}

// handedIn is a file that somebody would have chosen: struct(name, data, type).
func handedIn(v engine.Value) (up engine.Upload, ok bool) {
	s, _ := v.(engine.Struct)
	switch data := s.Fields["data"].(type) {
	case string:
		up.Content = []byte(data)
	case engine.Bytes:
		up.Content = data
	default:
		return up, false
	}
	up.Name, up.Type = text(s.Fields["name"]), text(s.Fields["type"])
	return up, true
}

// filledIn is what a person would have typed.
func filledIn(v engine.Value) []string {
	switch v := v.(type) {
	case []engine.Value:
		var all []string
		for _, item := range v {
			all = append(all, filledIn(item)...)
		}
		return all
	case string:
		return []string{v}
	case int64:
		return []string{strconv.FormatInt(v, 10)}
	case time.Duration:
		return []string{calendar.FormatDuration(v)}
	case time.Time:
		return []string{v.Format(time.DateOnly)}
	}
	return []string{fmt.Sprint(v)}
}

// press presses a button that was not pressed yet, the newest of that label, as
// whoever holds its link does.
func (t *trialTest) press(ctx context.Context, label string) error {
	incidents, err := state.All(func(cursor string) ([]engine.Incident, string, error) {
		return t.state.Incidents(engine.IncidentFilter{}, cursor, pageSize)
	})
	if err != nil {
		return err
	}
	var labels []string
	for _, i := range incidents { // the newest first
		buttons, err := t.state.Buttons(i.ID)
		if err != nil {
			return err
		}
		for _, b := range slices.Backward(buttons) {
			if labels = append(labels, b.Label); b.Label == label && b.Pressed.IsZero() {
				if _, err := t.player.runner.Press(ctx, b.ID, engine.ByLink, "test"); err != nil {
					return err
				}
				return t.settle(ctx)
			}
		}
	}
	if slices.Contains(labels, label) {
		return engine.Errorf(engine.Conflict, "t.press: %q was pressed already", label).WithHint("twice is once: nothing would happen")
	}
	return engine.Errorf(engine.NotFound, "t.press: there is no button %q", label).WithHint("%s", settings.Suggest(label, labels))
}

// position reads file:line:col.
func position(at string) (p engine.Position) {
	rest, col, _ := cutLast(at)
	p.File, p.Line, _ = cutLast(rest)
	p.Col = col
	return p
}

func cutLast(s string) (before string, n int, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, 0, false
	}
	n, err := strconv.Atoi(s[i+1:])
	return s[:i], n, err == nil
}

// trigger sends an event that a rule takes, made of the fields and what its
// trigger asks for.
func (t *trialTest) trigger(ctx context.Context, args map[string]engine.Value) (engine.Value, error) {
	name := text(args["rule"])
	rule := t.rule(name)
	if rule == nil {
		var names []string
		for _, r := range t.Declarations.Rules {
			names = append(names, r.Name)
		}
		return nil, engine.Errorf(engine.NotFound, "t.trigger: there is no rule %q", name).WithHint("%s", settings.Suggest(name, names))
	}
	if rule.Mode == "off" {
		return nil, engine.Errorf(engine.Invalid, `t.trigger: the rule %q is off`, name).WithHint(`its mode is "off" at %s`, rule.At)
	}
	fields, _ := args["fields"].(map[string]engine.Value)
	for _, when := range rule.When {
		e := eventFor(when, fields)
		e.Time = t.clock.now
		s, err := t.send(ctx, e)
		if err != nil {
			return nil, err
		}
		if s != nil && slices.Contains(s.rules, name) {
			s.first(name)
			return t.view(ctx, s)
		}
	}
	return nil, t.noMatch(rule, fields)
}

func (t *trialTest) rule(name string) *engine.Rule {
	for i := range t.Declarations.Rules {
		if t.Declarations.Rules[i].Name == name {
			return &t.Declarations.Rules[i]
		}
	}
	return nil
}

// eventFor is an event of a trigger's kind.
func eventFor(when engine.Trigger, fields map[string]engine.Value) engine.Event {
	e := engine.Event{Kind: when.Kind, Source: "test", Fields: maps.Clone(fields)}
	if e.Fields == nil {
		e.Fields = map[string]engine.Value{}
	}
	v, _ := when.Args.Value()
	args, _ := v.(map[string]engine.Value)
	switch when.Kind {
	case "webhook":
		e.Source = text(args["name"])
	case "dns":
		_, rcodes := args["rcodes"]
		_, answers := args["answers"]
		usually := map[string]engine.Value{"type": "A", "class": "IN", "proto": "udp", "response": rcodes || answers, "client_name": e.Fields["client"]}
		for name, usual := range usually {
			if _, given := e.Fields[name]; !given && usual != nil {
				e.Fields[name] = usual
			}
		}
	}
	return e
}

// noMatch says what the event lacks.
func (t *trialTest) noMatch(rule *engine.Rule, fields map[string]engine.Value) error {
	var wants []string
	for _, w := range rule.When {
		text := "on." + w.Kind + "(" + shownArgs(w.Args) + ")"
		if len(w.Match) > 0 {
			text += fmt.Sprintf(" with match %v", w.Match)
		}
		if w.Where {
			text += " with a where"
		}
		wants = append(wants, text)
	}
	e := engine.Errorf(engine.Invalid, "t.trigger: the rule %q does not take an event with %s\n  it wants %s", rule.Name, shownFields(fields), strings.Join(wants, ", or "))
	if why := t.intake.LastError(rule.Name); why != "" {
		e.Message += "\n  its where failed: " + why
	}
	return e
}

func shownArgs(d engine.Data) string {
	v, _ := d.Value()
	m, _ := v.(map[string]engine.Value)
	return shownFields(m)
}

func shownFields(m map[string]engine.Value) string {
	parts := make([]string, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, name+" = "+literal(m[name]))
	}
	if len(parts) == 0 {
		return "no fields"
	}
	return strings.Join(parts, ", ")
}

func (t *trialTest) event(ctx context.Context, args map[string]engine.Value) (engine.Value, error) {
	fields, _ := args["fields"].(map[string]engine.Value)
	s, err := t.send(ctx, engine.Event{Kind: text(args["kind"]), Source: text(args["source"]), Time: t.clock.now, Fields: fields})
	if err != nil {
		return nil, err
	}
	if s == nil {
		s = &started{}
	}
	return t.view(ctx, s)
}

// send shows an event to the rules; nil when none takes it.
func (t *trialTest) send(ctx context.Context, e engine.Event) (*started, error) {
	if !t.watched(t.Rules.Set).Matches(&e) {
		return nil, nil
	}
	t.sent++
	e.Key = strconv.Itoa(t.sent) // two events are never the same one
	found, err := t.intake.Take(ctx, e)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	s := &started{}
	for _, m := range found {
		s.rules = append(s.rules, m.Rule)
		s.incidents = append(s.incidents, m.Incident)
	}
	return s, nil
}

// job fires a job now.
func (t *trialTest) job(ctx context.Context, args map[string]engine.Value) (engine.Value, error) {
	name := text(args["name"])
	var names []string
	for _, j := range t.Declarations.Jobs {
		if names = append(names, j.Name); j.Name != name {
			continue
		}
		t.sent++
		instant := t.clock.now.Add(time.Duration(t.sent)) // firings have moments of their own
		fired := record.JobFired{
			Args: j.Args, Bundle: t.Rules.Bundle, Commit: t.Rules.Commit, Do: j.Do, Instant: instant, Job: j.Name, Mode: j.Mode,
			Offer: "job/" + j.Name + "/" + instant.Format(time.RFC3339Nano), Overlap: j.Overlap,
		}
		rec, err := t.ledger.Offer(ctx, t.ledger.ShardOf("job", j.Name), ledger.New{Kind: record.JobFiredKind, Payload: record.Marshal(fired)})
		if err != nil {
			return nil, err
		}
		o, err := record.Unmarshal[record.Outcome](rec.Outcome)
		if err != nil {
			return nil, err
		}
		if !o.Applied {
			return nil, engine.Errorf(engine.Conflict, "t.job: %q is skipped: %s", name, o.Why).WithHint("overlap = True lets two go on at once")
		}
		return t.view(ctx, &started{runs: []string{o.Run}})
	}
	return nil, engine.Errorf(engine.NotFound, "t.job: there is no job %q", name).WithHint("%s", settings.Suggest(name, names))
}

// view carries what was started, and hands out a live view of it.
func (t *trialTest) view(ctx context.Context, s *started) (engine.Value, error) {
	t.started = append(t.started, s)
	s.id = strconv.Itoa(len(t.started))
	if err := t.settle(ctx); err != nil {
		return nil, err
	}
	if t.broken != nil {
		return nil, t.located(t.broken)
	}
	return engine.Struct{Type: viewType, Fields: map[string]engine.Value{"kind": "result", "id": s.id}}, nil
}

// located says where in a script the call stands that has no fake.
func (t *trialTest) located(e *engine.Error) error {
	runs, err := t.allRuns()
	if err != nil {
		return err
	}
	for _, r := range runs {
		steps, err := t.state.Steps(r.ID)
		if err != nil {
			return err
		}
		for _, s := range steps {
			if s.Error != nil && s.Error.Message == e.Message {
				located := *e
				located.Message = s.At + ": " + e.Message
				t.broken = &located
				return &located
			}
		}
	}
	return e
}
