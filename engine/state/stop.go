package state

import (
	"slices"
	"strings"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// A run that stops while branches of it wait (it failed, diverged, was
// quarantined, undone, or went on as another) asks nothing any more: its open
// questions are withdrawn and its sleeps end, in the record that stops it. A
// restart that keeps such a step begins it anew.

// waitingOf lists what a run waits for from outside: open questions, and the steps
// that wait: those that ask, sleep, or are held.
func waitingOf(r store.Reader, run engine.Run) (questions, steps []string) {
	if len(run.Sleeps) > 0 || len(run.Held) > 0 {
		steps = append(strings.Fields(run.Sleeps), strings.Fields(run.Held)...)
	}
	for _, q := range questionsSince(r, run, 0) {
		questions, steps = append(questions, q.ID), append(steps, q.Step)
	}
	slices.Sort(steps)
	return questions, steps
}

// mayWait tells runs with branches of their own that may wait beside the one that
// ends: those of people's scripts.
func mayWait(r engine.Run) bool { return respondsTo(r.Purpose) || r.Purpose == PurposeJob }

// stopsWaiting says in the outcome of a record that stops a run what it ends.
func stopsWaiting(t *tx, r engine.Run, o *record.Outcome) {
	if mayWait(r) {
		o.Questions, o.Steps = waitingOf(t, r)
	}
}

// stopWaiting does what stopsWaiting said, and returns the run as it then is.
func (t *tx) stopWaiting(r engine.Run, o record.Outcome) engine.Run {
	for _, id := range o.Questions {
		t.withdraw(id)
	}
	for _, step := range o.Steps {
		t.clearTimer(r.ID, step)
		t.stopAwaiting(r, step)
		t.stopWanting(&r, step)
		r.Sleeps, r.Held = without(r.Sleeps, step), without(r.Held, step)
		path, n, _ := engine.ParseStepID(step)
		if e, found := t.place(r, path, n); found && !e.ended() {
			e.Via = viaStopped
			t.keep(r.ID, e)
		}
	}
	return r
}

// withdraw ends a question that nobody is to answer any more, and its timer.
func (t *tx) withdraw(id string) {
	q, ok := t.question(id)
	if !ok || q.Status != engine.QuestionOpen {
		return
	}
	q.Status = engine.QuestionWithdrawn
	t.putQuestion(q, engine.QuestionOpen)
	t.clearTimer(q.ID, "")
	t.endLimitOf(q)
	t.clearTimer(q.ID, remindTimer)
}
