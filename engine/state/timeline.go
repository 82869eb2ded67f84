package state

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// Timeline returns an incident's story, oldest first, made from its records.
func (s *State) Timeline(incident, cursor string, limit int) (entries []engine.TimelineEntry, next string, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	limit = min(max(limit, 1), MaxPage)
	err = s.timeline(incident, cursor, func(shard uint16, rec ledger.Record) (bool, error) {
		if len(entries) == limit {
			next = formatCursor(int(shard), rec.Header.Record)
			return false, nil
		}
		e, err := entryOf(view, rec)
		entries = append(entries, e)
		return true, err
	})
	return entries, next, err
}

func entryOf(r store.Reader, rec ledger.Record) (engine.TimelineEntry, error) {
	e := engine.TimelineEntry{Record: rec.Header.Record, Time: rec.Header.Time, Kind: rec.Header.Kind.String()}
	if rec.Erased {
		tellErased(rec, &e)
		return e, nil
	}
	return e, describe(r, rec, &e)
}

// describe writes the sentence of a record that stands in a timeline.
func describe(r store.Reader, rec ledger.Record, e *engine.TimelineEntry) error {
	o, err := record.Unmarshal[record.Outcome](rec.Outcome)
	if err != nil {
		return err
	}
	switch rec.Header.Kind {
	case record.EventMatchedKind:
		return tell(rec, e, func(p record.EventMatched) { tellMatch(p, o, e) })
	case record.StepStartedKind:
		return tell(rec, e, func(p record.StepStarted) {
			switch tellStarted(p, e); o.Action {
			case "", endedByClose, atOnce, expectedCame, expectedLate:
			default:
				tellHeld(p, o.Action, e)
			}
		})
	case record.StepDoneKind:
		return tell(rec, e, func(p record.StepDone) { tellDone(r, p, o, e) })
	case record.RunEndedKind:
		return tell(rec, e, func(p record.RunEnded) { tellEnded(r, p, o, e) })
	case record.WorkerDiedKind:
		return tell(rec, e, func(p record.WorkerDied) { e.Run, e.Text = p.Run, "the worker that carried the run died: "+p.Why })
	case record.StepDoubtedKind:
		return tell(rec, e, func(p record.StepDoubted) { tellDoubted(p, e) })
	case record.RunRestartedKind:
		return tell(rec, e, func(p record.RunRestarted) { tellRestarted(p, o, e) })
	case record.StepResolvedKind:
		return tell(rec, e, func(p record.StepResolved) { tellResolved(p, e) })
	case record.QuestionAnsweredKind:
		return tell(rec, e, func(p record.QuestionAnswered) { tellAnswer(p, o, e) })
	case record.ButtonPressedKind:
		return tell(rec, e, func(p record.ButtonPressed) { tellPressed(r, p, o, e) })
	case record.TimerFiredKind:
		tellTimer(r, o, e)
	case record.UndoRequestedKind:
		return tell(rec, e, func(p record.UndoRequested) {
			e.By, e.Run, e.Text = p.By, o.Run, "takes back "+changeTitle(r, p.Change)+because(p.Why)
		})
	case record.LockChangedKind:
		return tell(rec, e, func(p record.LockChanged) {
			e.By, e.Run, e.Step, e.Text = "run "+p.Run, p.Run, p.Step, "waits for "+sayLock(p.Name)
		})
	case record.DeadlineSetKind:
		return tell(rec, e, func(p record.DeadlineSet) { tellDeadline(p, e) })
	case record.DeadlineBreachedKind:
		return tell(rec, e, func(p record.DeadlineBreached) {
			e.By, e.Run, e.Text = "timer", o.Run, "time is over: "+SayDeadline(p.Deadline)
		})
	case record.IncidentChangedKind:
		return tell(rec, e, func(p record.IncidentAct) { tellAct(p, o, e) })
	case record.IncidentOpenedKind:
		return tell(rec, e, func(p record.IncidentOpened) { tellOpened(p, o, e) })
	}
	return nil
}

// tellErased says of an erased record what it was, and that it is gone.
func tellErased(rec ledger.Record, e *engine.TimelineEntry) {
	e.Erased = erasedBy(rec)
	left, err := unmarshalIf[struct {
		Act, Builtin, Path, Run string
		N                       int
	}](remaining(rec))
	if err != nil {
		e.Text = e.Erased.String()
		return
	}
	e.Run = left.Run
	if left.N > 0 {
		e.Step = engine.StepID(left.Path, left.N)
	}
	what := left.Builtin
	switch {
	case left.Act != "":
		what = left.Act
	case what == "":
		what = strings.ReplaceAll(e.Kind, "_", " ")
	}
	e.Text = what + ": " + e.Erased.String()
}

func tell[P any](rec ledger.Record, e *engine.TimelineEntry, fn func(P)) error {
	p, err := record.Unmarshal[P](rec.Payload)
	if err == nil {
		fn(p)
	}
	return err
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func tellMatch(p record.EventMatched, o record.Outcome, e *engine.TimelineEntry) {
	e.By, e.Run = "rule "+p.Rule, o.Run
	what := p.EventKind + " event " + p.Event + " from " + p.Source
	switch o.Action {
	case Opened:
		e.Text = "opened by " + what
	case Quiet:
		e.Text = what + " matched while the rule is quiet: attached, nothing started"
	case Throttled:
		e.Text = what + " matched beyond the rule's throttle: attached, nothing started"
	default:
		e.Text = what + " matched again: attached"
	}
}

func tellStarted(p record.StepStarted, e *engine.TimelineEntry) {
	e.By, e.Run, e.Step = "run "+p.Run, p.Run, engine.StepID(p.Path, p.Number)
	switch {
	case p.Question != nil:
		e.Text = "asks " + names(p.Question.To) + ": " + p.Question.Text
	case p.Expect != nil:
		e.Text = "waits for an event that it expects"
	case p.Await != "":
		e.Text = "waits until the incident is " + p.Await
	case !p.Until.IsZero():
		e.Until = p.Until.UTC()
		e.Text = "sleeps until " + e.Until.Format(engine.UntilLayout)
	default:
		e.Text = p.Builtin + " begins"
	}
}

func names(to []engine.Addressee) string {
	list := make([]string, len(to))
	for i, a := range to {
		if list[i] = a.Name; a.Name == "" {
			list[i] = a.Email
		}
	}
	return strings.Join(list, ", ")
}

func tellDone(r store.Reader, p record.StepDone, o record.Outcome, e *engine.TimelineEntry) {
	e.By, e.Run, e.Step = "run "+p.Run, p.Run, engine.StepID(p.Path, p.Number)
	name := p.Builtin
	if name == "" {
		name = startedBuiltin(r, p.Generation, e)
	}
	switch {
	case p.Error != nil:
		e.Text = name + " did not work: " + p.Error.Message
	case p.Mail != nil:
		e.Until = p.Mail.Next.UTC()
		e.Text = "mail for " + strings.Join(p.Mail.To, ", ") + " waits, " + p.Mail.Error + "; next try " + e.Until.Format(engine.UntilLayout)
	case p.Settled != nil && p.Settled.Error != "":
		e.Text = p.Settled.Error
	case p.Settled != nil:
		e.Text = "taken back: " + changeTitle(r, p.Settled.Change)
	case p.Incident != nil:
		e.Text = actText(p.Incident, o)
		if run, _ := get[engine.Run](r, mustKey(classRun, 'r', p.Run)); run.Incident != "" && run.Incident != p.Incident.Incident {
			e.Text = "of " + p.Incident.Incident + ": " + e.Text
		}
	case p.Button != nil:
		e.Text = fmt.Sprintf("offers a button: %s", p.Button.Label)
	case p.Builtin == openBuiltin:
		e.Text = openedText(p.Result)
	case p.Change != nil:
		e.Text = "changed: " + p.Change.Title + because(p.Change.Why)
		if !p.Change.Expires.IsZero() {
			e.Until = p.Change.Expires.UTC()
			e.Text += ", until " + e.Until.Format(engine.UntilLayout)
		}
	case name == "incident.reply":
		e.Text = "answers who reported it"
	case name == "email.send":
		e.Text = "sends a mail"
	default:
		e.Text = name
	}
}

// startedBuiltin finds the name of a step whose description stands in its start.
func startedBuiltin(r store.Reader, generation int, e *engine.TimelineEntry) string {
	shard, _, _ := engine.ParseID('r', e.Run)
	run, ok := get[engine.Run](r, mustKey(classRun, 'r', e.Run))
	path, n, _ := engine.ParseStepID(e.Step)
	at, found := placeOf(r, run, generation, path, n)
	if !ok || !found || at.Started == 0 {
		return "a step"
	}
	payload, err := stepPayload(r, shard, at.Started-1, &engine.Step{})
	if err != nil {
		return "a step"
	}
	p, err := unmarshalIf[record.StepStarted](payload)
	if err != nil || p.Builtin == "" {
		return "a step"
	}
	return p.Builtin
}

func mustKey(class, letter byte, id string) []byte {
	k, _ := idKey(class, letter, id)
	return k
}

func tellEnded(r store.Reader, p record.RunEnded, o record.Outcome, e *engine.TimelineEntry) {
	e.By, e.Run = "run "+p.Run, p.Run
	run, _ := get[engine.Run](r, mustKey(classRun, 'r', p.Run))
	switch {
	case run.Purpose == PurposeUndo && p.Status == engine.RunDone:
		e.Text = "taken back: " + changeTitle(r, run.Change)
	case run.Unsent != "" && p.Status == engine.RunDone:
		e.Text = "mail" + mailedTo(run) + " is not sent any more: " + run.Unsent
	case run.Purpose == PurposeOutbox && p.Status == engine.RunDone:
		e.Text = "mail handed to the mail server" + mailedTo(run)
	case run.Purpose == PurposeOutbox && p.Error != nil:
		e.Text = p.Error.Message
		return
	default:
		e.Text = endedAs(p.Status)
	}
	if p.Error != nil {
		e.Text += ": " + p.Error.Message
		if p.Error.At != "" {
			e.Text += " (" + p.Error.At + ")"
		}
	}
	if len(o.Questions) > 0 {
		e.Text += "; what it still asked is withdrawn"
	}
}

// endedAs says in words how a run ended.
func endedAs(status string) string {
	switch status {
	case engine.RunFailed, engine.RunDiverged:
		return "the run " + status
	case engine.RunInDoubt:
		return "the run is in doubt"
	}
	return "the run is " + status
}

func mailedTo(run engine.Run) string {
	args, _ := decoded(run.Args).(map[string]engine.Value)
	if p, ok := args["person"].(map[string]engine.Value); ok {
		return fmt.Sprintf(" for %v", p["email"])
	}
	m, _ := args["mail"].(map[string]engine.Value)
	to, _ := m["to"].([]engine.Value)
	if len(to) == 0 {
		return ""
	}
	return fmt.Sprintf(" for %v", to[0])
}

func tellAnswer(p record.QuestionAnswered, o record.Outcome, e *engine.TimelineEntry) {
	e.By = p.By
	e.Text = "answers"
	if p.Choice != "" {
		e.Text += ": " + p.Choice
	}
	if fields, _ := decoded(p.Fields).(map[string]engine.Value); len(fields) > 0 {
		keys := make([]string, 0, len(fields))
		for k := range fields {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			if said := sayGiven(fields[k]); said != "" {
				e.Text += "; " + k + ": " + said
			}
		}
	}
	if p.Reason != "" {
		e.Text += " (" + p.Reason + ")"
	}
	if how := engine.SayProof(p.Proof); how != "" {
		e.Text += ", " + how
	}
	switch o.Action {
	case Counted:
		e.Text += "; others have to say the same"
	case split:
		e.Text += "; all have answered, and they do not agree"
	}
}

// sayGiven writes what was given for a field.
func sayGiven(v engine.Value) string {
	switch v := v.(type) {
	case nil:
		return ""
	case engine.Struct: // a file
		return fmt.Sprint(v.Fields["name"])
	case []engine.Value:
		words := make([]string, len(v))
		for n, one := range v {
			words[n] = fmt.Sprint(one)
		}
		return strings.Join(words, ", ")
	}
	return fmt.Sprint(v)
}

func tellTimer(r store.Reader, o record.Outcome, e *engine.TimelineEntry) {
	e.By = "timer"
	q, ok := get[engine.Question](r, mustKey(classQuestion, 'q', o.Question))
	switch {
	case ok && len(o.Runs) > 0:
		e.Text = "reminds " + remindedOf(r, o.Runs)
	case ok && (o.Reminder != "" || len(o.Woken) == 0):
		e.Text = "reminds nobody: all have answered"
	case ok && q.HasDefault:
		e.Text = "nobody answered in time: " + q.Default
	case ok:
		e.Text = "nobody answered in time"
	case o.Change != "":
		e.Run, e.Text = o.Run, "time is over: "+changeTitle(r, o.Change)
	}
}

// remindedOf names whom runs of the outbox write to.
func remindedOf(r store.Reader, runs []string) string {
	var to []string
	for _, id := range runs {
		run, _ := get[engine.Run](r, mustKey(classRun, 'r', id))
		args, _ := decoded(run.Args).(map[string]engine.Value)
		person, _ := args["person"].(map[string]engine.Value)
		if name, _ := person["name"].(string); name != "" {
			to = append(to, name)
		}
	}
	return strings.Join(to, ", ")
}

func changeTitle(r store.Reader, id string) string {
	if c, ok := get[engine.Change](r, mustKey(classChange, 'c', id)); ok {
		return c.Title
	}
	return "change " + id
}

// saidOf says of an indicator what it is, and on whose word.
func saidOf(i *engine.Indicator) string {
	if i == nil {
		return "notes an indicator"
	}
	text := i.Kind + " " + i.Value + " is " + i.Verdict
	if len(i.Sources) > 0 {
		text += ", says " + strings.Join(i.Sources, ", ")
	}
	return text
}

// tellAct tells of what a person did to an incident, or a run of another shard.
func tellAct(p record.IncidentAct, o record.Outcome, e *engine.TimelineEntry) {
	e.By, e.Text = p.By, actText(&p, o)
	if run, ok := strings.CutPrefix(p.By, "run "); ok {
		e.Run = run
	}
}

// openedText says which incident a step opened, or found.
func openedText(result engine.Data) string {
	v, _ := decoded(result).(engine.Struct)
	opened, _ := v.Fields["incident"].(engine.IncidentRef)
	if is, _ := v.Fields["new"].(bool); !is {
		return "finds incident " + opened.ID + " open already"
	}
	return "opens incident " + opened.ID
}

func actText(a *record.IncidentAct, o record.Outcome) string {
	switch a.Act {
	case record.ActAssign:
		return assignText(a, o)
	case record.ActEscalate:
		return "sets the severity to " + a.Severity
	case record.ActSet:
		return "sets " + strings.Join(a.Order, ", ")
	case record.ActNote:
		return a.Text
	case record.ActAttach:
		if a.Attachment == nil {
			return "attaches a file"
		}
		return "attaches " + a.Attachment.Name
	case record.ActIndicator:
		return saidOf(a.Indicator)
	case record.ActClose:
		return "closes" + because(a.Text)
	}
	return "reopens" + because(a.Text)
}

func assignText(a *record.IncidentAct, o record.Outcome) string {
	owner := a.Owner
	if o.Picked > 0 && o.Picked <= len(a.Among) {
		owner = a.Among[o.Picked-1]
	}
	switch {
	case owner == "":
		return "assigns it to the team " + a.Team
	case a.Team != "":
		return "assigns it to " + owner + " of the team " + a.Team
	}
	return "assigns it to " + owner
}

// IncidentEvents returns the events of an incident, oldest first. The events of
// other shards are what their matches carried.
func (s *State) IncidentEvents(incident, cursor string, limit int) (events []engine.Event, next string, err error) {
	defer guard(&err)
	limit = min(max(limit, 1), MaxPage)
	err = s.timeline(incident, cursor, func(shard uint16, rec ledger.Record) (bool, error) {
		if rec.Header.Kind != record.EventMatchedKind {
			return true, nil
		}
		if len(events) == limit {
			next = formatCursor(int(shard), rec.Header.Record)
			return false, nil
		}
		p, err := unmarshalIf[record.EventMatched](remaining(rec))
		if err != nil {
			return false, err
		}
		fields, _ := decoded(p.Fields).(map[string]engine.Value)
		events = append(events, engine.Event{ID: p.Event, Kind: p.EventKind, Source: p.Source, Time: p.EventTime, Fields: fields, Erased: erasedBy(rec)})
		return true, nil
	})
	return events, next, err
}

// timeline calls fn for the records of an incident's story, oldest first, from a
// cursor on.
func (s *State) timeline(incident, cursor string, fn func(shard uint16, rec ledger.Record) (more bool, err error)) error {
	shard, n, ok := engine.ParseID('i', incident)
	if !ok || int(shard) >= s.shards {
		return engine.Errorf(engine.NotFound, "incident %q: there is none", incident)
	}
	_, from, err := parseCursor(cursor, int(shard)+1)
	if err != nil {
		return err
	}
	view := s.view()
	defer view.Close()
	prefix := nounKey(classTimeline, shard, n)
	view.Scan(prefix, startAt(prefix, from), false, func(k, _ []byte) (more bool) {
		var rec ledger.Record
		if rec, err = ledger.ReadRecord(view, shard, binary.BigEndian.Uint64(k[len(prefix):])); err == nil {
			more, err = fn(shard, rec)
		}
		return more && err == nil
	})
	return err
}
