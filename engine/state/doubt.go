package state

import (
	"fmt"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// A step of class once that was started and has no result is in doubt, unless
// the world can be asked. While one of its steps is, a run is in doubt and stands
// still; it goes on when a person has resolved the last.

func decideDoubted(t *tx, p record.StepDoubted) record.Outcome {
	r, ok := t.run(p.Run)
	switch e, found := t.place(r, p.Path, p.Number); {
	case !ok:
		return refuse("there is no run " + p.Run)
	case r.Generation != p.Generation:
		return refuse("the run was restarted")
	case r.Status != engine.RunRunning && r.Doubts == 0:
		return refuse("the run is " + r.Status)
	case !found || e.Started == 0 || e.ended():
		return refuse("the step is not one that was started and has no result")
	case e.Via == viaDoubt:
		return refuse("the step is in doubt already")
	}
	o := record.Outcome{Applied: true, Run: p.Run}
	t.mayReopen(&o, r.Incident)
	return o
}

func applyDoubted(t *tx, p record.StepDoubted, _ record.Outcome) {
	r, _ := t.run(p.Run)
	e, _ := t.place(r, p.Path, p.Number)
	e.Via, e.Note = viaDoubt, t.rec+1
	t.keep(p.Run, e)
	before := r.Status
	r.Doubts++
	r.Status, r.Error = engine.RunInDoubt, doubts(r.Doubts, p.Error)
	t.putRun(r, before)
	if before != engine.RunInDoubt {
		t.tallyRun(r)
	}
	t.reopen(r.Incident, false) // somebody must look
	t.tell(r.Incident)
}

// doubts is what a run in doubt says: of one step what is known of it.
func doubts(n int, of *engine.Error) *engine.Error {
	if n == 1 && of != nil {
		return of
	}
	e := &engine.Error{Kind: engine.Internal, Maybe: true, Hint: "look at the systems that they change, then say of each: it happened, do it again, or skip"}
	if e.Message = fmt.Sprintf("%d steps were started, and nothing says whether they happened", n); n == 1 {
		e.Message = "a step was started, and nothing says whether it happened"
	}
	return e
}

const alreadyResolved = "it was resolved already"

func decideResolved(t *tx, p record.StepResolved) record.Outcome {
	if p.Outcome == engine.OutcomeRelease || p.Outcome == engine.OutcomeDrop {
		return decideRelease(t, p)
	}
	r, ok := t.run(p.Run)
	if !ok {
		return refuse("there is no run " + p.Run)
	}
	e, found := t.place(r, p.Path, p.Number)
	switch {
	case r.Generation != p.Generation:
		return refuse("the run was restarted")
	case found && e.Note != 0 && e.Via != viaDoubt:
		return refuse(alreadyResolved)
	case !found || r.Status != engine.RunInDoubt || !inDoubt(r, e.stepEntry):
		return refuse("step " + engine.StepID(p.Path, p.Number) + " is not in doubt")
	}
	o := record.Outcome{Applied: true, Run: p.Run}
	if r.Doubts <= 1 {
		o.Woken = []string{p.Run}
	}
	return o
}

// inDoubt tells the step that stopped a run in doubt. Runs that an earlier
// version stopped count no doubts, and have one step without a result.
func inDoubt(r engine.Run, e stepEntry) bool {
	return e.Via == viaDoubt || r.Doubts == 0 && e.Started != 0 && !e.ended()
}

func applyResolved(t *tx, p record.StepResolved, _ record.Outcome) {
	if p.Outcome == engine.OutcomeRelease || p.Outcome == engine.OutcomeDrop {
		applyRelease(t, p)
		return
	}
	r, _ := t.run(p.Run)
	e, _ := t.place(r, p.Path, p.Number)
	e.Note = t.rec + 1
	switch p.Outcome {
	case engine.OutcomeAgain:
		e.Via = viaAgain
	case engine.OutcomeSkip:
		e.Via, e.Done = viaSkipped, t.rec+1
		if r.Purpose == PurposeUndo {
			r.Skipped = engine.StepID(p.Path, p.Number)
		}
	default:
		e.Via, e.Done = viaHappened, t.rec+1
	}
	t.keep(p.Run, e)
	r.Doubts = max(0, r.Doubts-1)
	if r.Error = nil; r.Doubts > 0 {
		r.Error = doubts(r.Doubts, nil)
	} else {
		r.Status = engine.RunRunning
	}
	t.putRun(r, engine.RunInDoubt)
	t.tell(r.Incident)
}

// fillResolved gives a step the result that a person gave it.
func fillResolved(rec ledger.Record, e stepEntry, step *engine.Step) error {
	if e.Via == viaSkipped {
		step.Status = engine.StepSkipped
	}
	if rec.Erased {
		step.Erased = erasedBy(rec).String()
		if e.Via == viaDropped {
			step.Status, step.Error = engine.StepFailed, dropped(step.Erased, "")
		}
		return nil
	}
	p, err := record.Unmarshal[record.StepResolved](rec.Payload)
	if p.Version != 0 {
		step.Version = p.Version
	}
	if step.Result = p.Result; e.Via == viaDropped {
		step.Status, step.Error = engine.StepFailed, dropped(p.By, p.Why)
	}
	return err
}

// fillNote says of a step what makes it doubtful, or who resolved it.
func fillNote(r store.Reader, shard uint16, e stepEntry, step *engine.Step) error {
	if e.Note == 0 || e.Via == viaEvent {
		return nil
	}
	rec, err := ledger.ReadRecord(r, shard, e.Note-1)
	if err != nil {
		return err
	}
	payload := remaining(rec)
	if rec.Header.Kind == record.StepDoubtedKind {
		p, err := unmarshalIf[record.StepDoubted](payload)
		step.Error = p.Error
		return err
	}
	p, err := unmarshalIf[record.StepResolved](payload)
	if rec.Erased {
		p.By = erasedBy(rec).String()
	}
	step.Resolved = &engine.Resolution{
		Step: engine.StepID(step.Path, step.Number), Outcome: p.Outcome, By: p.By, At: rec.Header.Time, Why: p.Why, How: p.How,
	}
	return err
}

// LateResolution says to a person why a resolution had no effect: why is the
// outcome's, which names nobody; here it is told who was first.
func (s *State) LateResolution(why, run, step string) string {
	if why != alreadyResolved {
		return why
	}
	steps, err := s.Steps(run)
	if err != nil {
		return why
	}
	for _, st := range steps {
		if r := st.Resolved; r != nil && r.Step == step && st.Erased == "" {
			return "it was resolved by " + r.By + ": " + engine.SayOutcome(r.Outcome)
		}
	}
	return why
}

func tellDoubted(p record.StepDoubted, e *engine.TimelineEntry) {
	e.By, e.Run, e.Step = "run "+p.Run, p.Run, engine.StepID(p.Path, p.Number)
	e.Text = "the run is in doubt"
	if p.Error != nil {
		e.Text += ": " + p.Error.Message
		if p.Error.At != "" {
			e.Text += " (" + p.Error.At + ")"
		}
	}
}

func tellResolved(p record.StepResolved, e *engine.TimelineEntry) {
	e.By, e.Run, e.Step = p.By, p.Run, engine.StepID(p.Path, p.Number)
	was := "in doubt"
	if p.Outcome == engine.OutcomeRelease || p.Outcome == engine.OutcomeDrop {
		was = "held"
	}
	e.Text = "says of step " + e.Step + ", which was " + was + ": " + engine.SayOutcome(p.Outcome) + because(p.Why)
}
