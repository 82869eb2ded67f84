package state

import (
	"slices"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// An effect is held before it begins while the brake is on, or when its rule made
// as many as it may. A held step has not started: let go, it begins; dropped, it
// ends with an error. The brake is of a shard, so that the order of its log says
// which effects came before the press.

// LetGo is why a step that had begun before the brake was on, and was to be held,
// is not: the brake was let go.
const LetGo = "the step was started before, and nothing holds it"

func (t *tx) brake() engine.Brake {
	b, _ := get[engine.Brake](t, key(classBrake, t.shard))
	return b
}

func decideBrake(t *tx, p record.BrakeSet) record.Outcome {
	switch on := t.brake().On; {
	case on && p.On:
		return refuse("the brake is on already")
	case !on && !p.On:
		return refuse("the brake is not on")
	}
	return record.Outcome{Applied: true}
}

func applyBrake(t *tx, p record.BrakeSet, _ record.Outcome) {
	t.put(key(classBrake, t.shard), engine.Brake{On: p.On, Since: t.now, By: p.By, Why: p.Why})
}

// heldBy says what holds a step that wants to begin, "" for nothing. What carries
// a question to people goes on, and what they sign in with: the brake holds machines.
func (t *tx) heldBy(r engine.Run, p record.StepStarted, e stepEntry) string {
	switch {
	case !p.Effect || e.Via == viaReleased || r.Purpose == PurposeOutbox && (r.Question != "" || r.Handler == codeHandler):
		return ""
	case t.brake().On:
		return engine.HeldByBrake
	case t.overPace(r):
		return engine.HeldByLimit
	}
	return ""
}

// pace is how many effects a rule made: the times of the last ones, as many as it
// may make, and the run that asks people whether it may go on.
type pace struct {
	Times []time.Time `json:"times,omitempty"`
	Asked string      `json:"asked,omitempty"`
}

func (t *tx) pace(rule string) pace {
	p, _ := get[pace](t, hashKey(classPace, t.shard, rule))
	return p
}

// limited tells the runs whose effects count against max_changes.
func limited(r engine.Run) bool { return r.MaxChanges > 0 && respondsTo(r.Purpose) }

func (t *tx) overPace(r engine.Run) bool {
	if !limited(r) {
		return false
	}
	times := t.pace(r.Rule).Times
	return len(times) >= r.MaxChanges && t.now.Sub(times[len(times)-r.MaxChanges]) < r.MaxChangesIn
}

func (t *tx) notePace(r engine.Run) {
	if !limited(r) {
		return
	}
	p := t.pace(r.Rule)
	p.Times = append(p.Times, t.now)
	p.Times = p.Times[max(0, len(p.Times)-r.MaxChanges):]
	t.put(hashKey(classPace, t.shard, r.Rule), p)
}

// askFirst starts the run that asks people, once for all that a rule wants
// besides.
func (t *tx) askFirst(r engine.Run, p record.StepStarted, id string) {
	pace := t.pace(r.Rule)
	pace.Asked = id
	t.put(hashKey(classPace, t.shard, r.Rule), pace)
	t.startRun(engine.Run{
		ID: id, Incident: r.Incident, Rule: r.Rule, Handler: limitHandler, Bundle: r.Bundle, Commit: r.Commit,
		Purpose: PurposeLimit, Parent: r.ID, Mode: r.Mode, Erased: t.erased,
		Args: engine.MustEncode(map[string]engine.Value{
			"rule": r.Rule, "most": int64(r.MaxChanges), "span": r.MaxChangesIn, "what": p.Builtin + " at " + p.At,
		}),
	})
}

// settlePace lets a rule begin to count anew once people have decided.
func (t *tx) settlePace(rule string, goOn bool) {
	p := t.pace(rule)
	if p.Asked = ""; goOn {
		p.Times = nil
	}
	t.put(hashKey(classPace, t.shard, rule), p)
}

// unasked has the next effect that a limit holds ask anew: the question of a run
// that asked was withdrawn.
func (t *tx) unasked(run string) {
	if r, ok := t.run(run); ok && r.Purpose == PurposeLimit && t.pace(r.Rule).Asked == r.ID {
		t.settlePace(r.Rule, false)
	}
}

// held says what holds a step, "" for nothing.
func (e stepEntry) held() string {
	switch e.Via {
	case viaBraked:
		return engine.HeldByBrake
	case viaLimited:
		return engine.HeldByLimit
	}
	return ""
}

// hold keeps a step from beginning.
func (t *tx) hold(r engine.Run, p record.StepStarted, by string) {
	e := stepEntry{Started: t.rec + 1, Via: viaBraked}
	if by == engine.HeldByLimit {
		e.Via = viaLimited
	}
	t.putStep(p.Run, p.Generation, p.Path, p.Number, e)
	step := engine.StepID(p.Path, p.Number)
	if !slices.Contains(strings.Fields(r.Held), step) {
		r.Held = with(r.Held, step)
		t.putRun(r, r.Status)
		t.tell(r.Incident)
	}
}

// stillHeld says whether what holds a step of a run still does: the brake may have
// been let go since, or people may have settled what its rule's limit held before
// the run stood among those that it holds.
func (t *tx) stillHeld(r engine.Run, e stepEntry) bool {
	return e.Via == viaLimited && t.pace(r.Rule).Asked != "" || e.Via == viaBraked && t.brake().On
}

// decideRelease decides of a person's word on a step that is held.
func decideRelease(t *tx, p record.StepResolved) record.Outcome {
	r, ok := t.run(p.Run)
	e, _ := t.place(r, p.Path, p.Number)
	switch {
	case !ok:
		return refuse("there is no run " + p.Run)
	case r.Generation != p.Generation:
		return refuse("the run was restarted")
	case e.Via == viaReleased || e.Via == viaDropped:
		return refuse(alreadyResolved)
	case e.held() == "":
		return refuse("step " + engine.StepID(p.Path, p.Number) + " is not held")
	}
	o := record.Outcome{Applied: true, Run: p.Run}
	if r.Status == engine.RunHeld || r.Status == engine.RunWaiting {
		o.Woken = []string{p.Run}
	}
	return o
}

func applyRelease(t *tx, p record.StepResolved) {
	r, _ := t.run(p.Run)
	e, _ := t.place(r, p.Path, p.Number)
	byLimit := e.Via == viaLimited
	e.Note, e.Via = t.rec+1, viaReleased
	if p.Outcome == engine.OutcomeDrop {
		e.Via, e.Done = viaDropped, t.rec+1
	}
	if byLimit {
		t.settlePace(r.Rule, p.Outcome == engine.OutcomeRelease)
	}
	t.keep(p.Run, e)
	before := r.Status
	r.Held = without(r.Held, engine.StepID(p.Path, p.Number))
	wake(&r)
	t.putRun(r, before)
	t.tell(r.Incident)
}

// dropped is what a step says that a person dropped.
func dropped(by, why string) *engine.Error {
	return &engine.Error{Kind: engine.Denied, Message: "it was held, and dropped by " + by + because(why)}
}

// Brake returns the brake of the first shard; all are pressed together.
func (s *State) Brake() (b engine.Brake, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	b, _ = get[engine.Brake](view, key(classBrake, 0))
	return b, nil
}

func tellHeld(p record.StepStarted, by string, e *engine.TimelineEntry) {
	e.By, e.Run, e.Step = "run "+p.Run, p.Run, engine.StepID(p.Path, p.Number)
	e.Text = p.Builtin + " is held by the brake"
	if by == engine.HeldByLimit {
		e.Text = p.Builtin + " is held: the rule made as many changes as it may"
	}
}
