package record

import (
	"bytes"

	"larkspur/engine"
)

// What stays of a payload after an erasure is its residue: a payload of the same
// kind that keeps what the structure of the ledger needs (ids, numbers, kinds,
// statuses, times, the names of rules, scripts and builtins), and nothing of
// what the world or a person said (titles, fields, arguments, results, texts,
// names, addresses). The functions of this file name what stays; what they do
// not name is gone, so that a new field is, too.

// residue is the decision about one kind: what stays of its payload, and what is
// said in place of the rest. Neither is set for kinds that are never erased.
type residue struct {
	left func(payload []byte) ([]byte, error)
	said func(left []byte, sentence string) ([]byte, error)
}

// of makes a decision from two functions of the payload's type. said may be nil.
func of[P any](left func(P) P, said func(*P, string)) residue {
	return residue{
		left: func(payload []byte) ([]byte, error) {
			p, err := Unmarshal[P](payload)
			if err != nil {
				return nil, err
			}
			return Marshal(left(p)), nil
		},
		said: func(rest []byte, sentence string) ([]byte, error) {
			p, err := Unmarshal[P](rest)
			if err != nil {
				return nil, err
			}
			if said != nil {
				said(&p, sentence)
			}
			return Marshal(p), nil
		},
	}
}

// residues is the one list: a kind that is not here was not thought about, and a
// test fails.
func residues(k Kind) (r residue, known bool) {
	switch k {
	case EpochOpenedKind, BundleActivatedKind, ErasedKind, EventRoutedKind, TimerFiredKind, LockChangedKind, DeadlineSetKind, DeadlineBreachedKind:
		return residue{}, true // they hold nothing of anybody, or are the proof of others
	case LoggedInKind:
		return of(func(p LoggedIn) LoggedIn { return LoggedIn{How: p.How} }, func(p *LoggedIn, s string) { p.Who = s }), true
	case LoggedOutKind:
		return of(func(LoggedOut) LoggedOut { return LoggedOut{} }, func(p *LoggedOut, s string) { p.Who = s }), true
	case ExportedKind:
		return of(leftOfExported, func(p *Exported, s string) { p.By = s }), true
	case KeyRotatedKind:
		return of(func(p KeyRotated) KeyRotated { return KeyRotated{New: p.New, Old: p.Old} }, func(p *KeyRotated, s string) { p.By = s }), true
	case RebuiltKind:
		return of(func(p Rebuilt) Rebuilt { p.By = ""; return p }, func(p *Rebuilt, s string) { p.By = s }), true
	case EventSeenKind:
		return of(leftOfEvent, nil), true
	case EventMatchedKind:
		return of(leftOfMatch, func(p *EventMatched, s string) { p.Title = s }), true
	case JobFiredKind:
		return of(leftOfJob, nil), true
	case JobStartedKind:
		return of(leftOfJobStarted, func(p *JobStarted, s string) { p.By = s }), true
	case StepStartedKind:
		return of(leftOfStarted, sayStarted), true
	case StepDoneKind:
		return of(leftOfDone, sayDone), true
	case RunParkedKind:
		return of(leftOfParked, func(p *RunParked, s string) { p.Waits = s }), true
	case RunEndedKind:
		return of(leftOfEnded, func(p *RunEnded, s string) { sayError(p.Error, s) }), true
	case WorkerDiedKind:
		return of(leftOfDied, func(p *WorkerDied, s string) { p.Why = s }), true
	case StepDoubtedKind:
		return of(leftOfDoubted, func(p *StepDoubted, s string) { sayError(p.Error, s) }), true
	case StepResolvedKind:
		return of(leftOfResolved, func(p *StepResolved, s string) { p.By = s }), true
	case RunRestartedKind:
		return of(leftOfRestarted, func(p *RunRestarted, s string) { p.By = s }), true
	case QuestionAnsweredKind:
		return of(leftOfAnswer, func(p *QuestionAnswered, s string) { p.By = s }), true
	case ButtonPressedKind:
		return of(func(p ButtonPressed) ButtonPressed { return ButtonPressed{Button: p.Button, How: p.How} }, func(p *ButtonPressed, s string) { p.By = s }), true
	case UndoRequestedKind:
		return of(leftOfUndo, nil), true
	case ExpectSetKind:
		return of(leftOfExpect, nil), true
	case EventExpectedKind:
		return of(leftOfExpected, nil), true
	case StateSetKind:
		return of(leftOfSet, nil), true
	case MetricSetKind:
		return of(leftOfMetric, nil), true
	case BrakeSetKind:
		return of(func(p BrakeSet) BrakeSet { return BrakeSet{On: p.On} }, func(p *BrakeSet, s string) { p.By = s }), true
	case ClockHeldKind:
		return of(leftOfClock, func(p *ClockHeld, s string) { p.Why = s }), true
	case DevicePairedKind: // without its key it is nobody's
		return of(func(p DevicePaired) DevicePaired { return DevicePaired{Expires: p.Expires, How: p.How} }, func(p *DevicePaired, s string) { p.Person = s }), true
	case DeviceRevokedKind:
		return of(func(p DeviceRevoked) DeviceRevoked { return DeviceRevoked{Device: p.Device, How: p.How} }, func(p *DeviceRevoked, s string) { p.By = s }), true
	case SignInOfferedKind:
		return of(leftOfSignIn, func(p *SignInOffered, s string) { p.Person = s }), true
	case IncidentOpenedKind:
		return of(leftOfOpened, func(p *IncidentOpened, s string) { p.Title = s }), true
	case IncidentChangedKind:
		return of(leftOfAct, func(p *IncidentAct, s string) { sayAct(p, s) }), true
	}
	return residue{}, false
}

// Residue returns what stays of a payload after an erasure. Nil means that it is
// never erased: it holds nothing that could go.
func Residue(k Kind, payload []byte) ([]byte, error) {
	r, known := residues(k)
	if !known {
		return nil, engine.Errorf(engine.Internal, "record: nobody decided what stays of an erased %s", k)
	}
	if r.left == nil {
		return nil, nil
	}
	left, err := r.left(payload)
	if err != nil || bytes.Equal(left, payload) {
		return nil, err
	}
	return left, nil
}

// Say returns a residue with a sentence in place of the texts that are gone, so
// that nobody meets an empty one.
func Say(k Kind, left []byte, sentence string) ([]byte, error) {
	r, _ := residues(k)
	if r.said == nil {
		return nil, engine.Errorf(engine.Internal, "record: a %s is never erased", k)
	}
	return r.said(left, sentence)
}

func leftOfClock(p ClockHeld) ClockHeld {
	return ClockHeld{From: p.From, How: p.How, On: p.On, To: p.To}
}

// leftOfSignIn keeps what the run that mails its code began with.
func leftOfSignIn(p SignInOffered) SignInOffered {
	return SignInOffered{Bundle: p.Bundle, Commit: p.Commit, Expires: p.Expires, How: p.How}
}

func leftOfExported(p Exported) Exported {
	return Exported{Incident: p.Incident, Since: p.Since, Until: p.Until, What: p.What}
}

// leftOfEvent keeps the cursor: without it a source would be read again.
func leftOfEvent(p EventSeen) EventSeen {
	return EventSeen{Cursor: p.Cursor, Kind: p.Kind, Logsource: p.Logsource, Source: p.Source, Time: p.Time}
}

// leftOfMatch keeps who may see the incident. The key by which later matches
// find it is made of what the world said, and goes: they open a new one.
func leftOfMatch(p EventMatched) EventMatched {
	return EventMatched{
		Bundle: p.Bundle, Commit: p.Commit, Do: p.Do, Event: p.Event, EventKind: p.EventKind, EventTime: p.EventTime, Hours: p.Hours,
		MaxChanges: p.MaxChanges, MaxChangesIn: p.MaxChangesIn, Mode: p.Mode, OnAttach: p.OnAttach, OnBreach: p.OnBreach, OnFailure: p.OnFailure, Quiet: p.Quiet, Rule: p.Rule, Saves: p.Saves, Severity: p.Severity, SLA: p.SLA, Source: p.Source, Team: p.Team,
		Throttle: p.Throttle, ThrottleIn: p.ThrottleIn, Type: p.Type, Visible: p.Visible,
	}
}

func leftOfJob(p JobFired) JobFired {
	return JobFired{
		Bundle: p.Bundle, Commit: p.Commit, Do: p.Do, Instant: p.Instant, Job: p.Job, Mode: p.Mode, Offer: p.Offer, Overlap: p.Overlap,
	}
}

func leftOfJobStarted(p JobStarted) JobStarted {
	return JobStarted{Bundle: p.Bundle, Commit: p.Commit, Do: p.Do, How: p.How, Job: p.Job, Mode: p.Mode, Overlap: p.Overlap}
}

func leftOfStarted(p StepStarted) StepStarted {
	return StepStarted{
		At: p.At, Await: p.Await, Builtin: p.Builtin, Class: p.Class, Effect: p.Effect, Expect: p.Expect, Generation: p.Generation, Limited: p.Limited, Lock: p.Lock, Number: p.Number,
		Path: p.Path, Question: leftOfQuestion(p.Question), Run: p.Run, Until: p.Until, Version: p.Version,
	}
}

func leftOfQuestion(p *Question) *Question {
	if p == nil {
		return nil
	}
	return &Question{
		Due: p.Due, HasDefault: p.HasDefault, OnBreach: p.OnBreach, Proof: p.Proof, Quorum: p.Quorum, Remind: p.Remind,
		SLA: p.SLA, To: []engine.Addressee{}, Why: p.Why,
	}
}

func sayStarted(p *StepStarted, sentence string) {
	if p.Question != nil {
		p.Question.Text = sentence
	}
}

func leftOfDone(p StepDone) StepDone {
	left := StepDone{
		At: p.At, Builtin: p.Builtin, Class: p.Class, Error: leftOfError(p.Error), Generation: p.Generation, Number: p.Number,
		Path: p.Path, Probed: p.Probed, Run: p.Run, Undo: p.Undo, Version: p.Version,
	}
	if b := p.Button; b != nil { // its hash says nothing, and finds the button's page
		left.Button = &Button{Do: b.Do, Token: b.Token}
	}
	if c := p.Change; c != nil {
		left.Change = &Change{Expires: c.Expires, From: c.From, Inverse: c.Inverse, Undo: c.Undo}
	}
	if p.Incident != nil {
		act := leftOfAct(*p.Incident)
		left.Incident = &act
	}
	if l := p.Link; l != nil { // its hash says nothing, and finds the question's page
		left.Link = &Link{Question: l.Question, Revision: l.Revision, Token: l.Token}
	}
	if m := p.Mail; m != nil {
		left.Mail = &Mail{Next: m.Next, Tries: m.Tries}
		if m.Unsent != "" {
			left.Mail.Unsent = erasedText
		}
	}
	if s := p.Settled; s != nil {
		left.Settled = &Settled{Change: s.Change}
		if s.Error != "" {
			left.Settled.Error = erasedText
		}
	}
	for _, s := range p.Starts {
		left.Starts = append(left.Starts, Start{Handler: s.Handler, Purpose: s.Purpose})
	}
	return left
}

// erasedText keeps that there was a text, until a sentence stands there.
const erasedText = "erased"

func sayDone(p *StepDone, sentence string) {
	sayError(p.Error, sentence)
	if p.Button != nil {
		p.Button.Label = sentence
	}
	if p.Change != nil {
		p.Change.Title = sentence
	}
	if p.Settled != nil && p.Settled.Error != "" {
		p.Settled.Error = sentence
	}
	if p.Mail != nil && p.Mail.Unsent != "" {
		p.Mail.Unsent = sentence
	}
	if p.Incident != nil {
		sayAct(p.Incident, sentence)
	}
}

func leftOfError(e *engine.Error) *engine.Error {
	if e == nil {
		return nil
	}
	return &engine.Error{Kind: e.Kind, Cause: e.Cause, At: e.At, Maybe: e.Maybe}
}

func sayError(e *engine.Error, sentence string) {
	if e != nil {
		e.Message = sentence
	}
}

func leftOfParked(p RunParked) RunParked {
	return RunParked{Generation: p.Generation, Number: p.Number, Path: p.Path, Run: p.Run, Steps: p.Steps}
}

func leftOfEnded(p RunEnded) RunEnded {
	return RunEnded{Error: leftOfError(p.Error), Generation: p.Generation, Run: p.Run, Status: p.Status}
}

func leftOfDied(p WorkerDied) WorkerDied {
	return WorkerDied{At: p.At, Cause: p.Cause, Generation: p.Generation, Run: p.Run}
}

func leftOfDoubted(p StepDoubted) StepDoubted {
	return StepDoubted{Error: leftOfError(p.Error), Generation: p.Generation, Number: p.Number, Path: p.Path, Run: p.Run}
}

func leftOfResolved(p StepResolved) StepResolved {
	return StepResolved{Generation: p.Generation, How: p.How, Number: p.Number, Outcome: p.Outcome, Path: p.Path, Run: p.Run, Version: p.Version}
}

func leftOfRestarted(p RunRestarted) RunRestarted {
	return RunRestarted{
		Answered: p.Answered, Bundle: p.Bundle, Commit: p.Commit, Generation: p.Generation, How: p.How, Number: p.Number, Path: p.Path, Run: p.Run, Version: p.Version,
	}
}

func leftOfAnswer(p QuestionAnswered) QuestionAnswered {
	return QuestionAnswered{Device: p.Device, How: p.How, Proof: p.Proof, Question: p.Question}
}

func leftOfUndo(p UndoRequested) UndoRequested {
	return UndoRequested{Bundle: p.Bundle, Change: p.Change, Commit: p.Commit}
}

// leftOfExpect keeps nothing of what the event was to be.
func leftOfExpect(p ExpectSet) ExpectSet {
	return ExpectSet{Due: p.Due, Generation: p.Generation, Kind: p.Kind, Run: p.Run, Step: p.Step, Take: p.Take}
}

func leftOfExpected(p EventExpected) EventExpected {
	return EventExpected{Event: p.Event, EventKind: p.EventKind, EventTime: p.EventTime, Run: p.Run, Seen: p.Seen, Source: p.Source, Step: p.Step}
}

// leftOfSet keeps nothing: the memory is as if the run had not set it.
func leftOfSet(p StateSet) StateSet { return StateSet{Generation: p.Generation, Run: p.Run} }

// leftOfMetric keeps nothing: the series is as if it had not been recorded.
func leftOfMetric(p MetricSet) MetricSet { return MetricSet{Generation: p.Generation, Run: p.Run} }

func leftOfAct(p IncidentAct) IncidentAct {
	return IncidentAct{Act: p.Act, Incident: p.Incident, Quiet: p.Quiet, Severity: p.Severity, Team: p.Team}
}

// leftOfOpened keeps who may see it and what was started, as of a match.
func leftOfOpened(p IncidentOpened) IncidentOpened {
	return IncidentOpened{
		Bundle: p.Bundle, Commit: p.Commit, Do: p.Do, Generation: p.Generation, MaxChanges: p.MaxChanges, MaxChangesIn: p.MaxChangesIn,
		Mode: p.Mode, Opened: p.Opened, Rule: p.Rule, Run: p.Run, Severity: p.Severity, Team: p.Team, Type: p.Type, Visible: p.Visible,
	}
}

// sayAct gives a closed incident its reason.
func sayAct(p *IncidentAct, sentence string) {
	if p.Act == ActClose {
		p.Text = sentence
	}
}
