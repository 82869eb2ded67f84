package state

import (
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// A question with remind has a timer that goes off each interval until it ends.
// Who has not answered then is mailed by a run of the outbox, begun in the
// transaction of the timer's record.

// remindTimer is what such a timer is for, and its step.
const remindTimer = "remind"

var reminderHandler = engine.Handler{File: "@larkspur//outbox.star", Name: "reminder"}

// remindsFirst is when a question reminds for the first time; zero for never.
func remindsFirst(p *record.Question, asked time.Time) time.Time {
	if p == nil || p.Remind == 0 || len(reachable(p)) == 0 {
		return time.Time{}
	}
	return unlessOver(asked.Add(p.Remind), p.Due)
}

// remindsNext is when it does so again: at the next of its intervals that is to
// come, however long the box was off.
func remindsNext(q engine.Question, last, now time.Time) time.Time {
	missed := max(now.Sub(last)/q.Remind, 0)
	return unlessOver(last.Add((missed+1)*q.Remind), q.Due)
}

func unlessOver(at, due time.Time) time.Time {
	if !due.IsZero() && !at.Before(due) {
		return time.Time{}
	}
	return at
}

// owing are those who are asked, have not answered, and can be written to.
func owing(q engine.Question) (list []engine.Addressee) {
	for n, to := range q.To {
		given := slices.ContainsFunc(q.Answers, func(a engine.Answer) bool { return a.Seat == n+1 })
		if to.Email != "" && !given {
			list = append(list, to)
		}
	}
	return list
}

// decideRemind says whom a timer reminds, and when the next one goes off.
func (t *tx) decideRemind(tm engine.Timer, o *record.Outcome) {
	q, ok := t.question(tm.Target)
	if !ok || q.Status != engine.QuestionOpen {
		return
	}
	o.Question = q.ID
	if n := len(owing(q)); n > 0 {
		o.Runs = t.ids('r', n)
	}
	if !remindsNext(q, tm.Due, t.now).IsZero() {
		o.Reminder = t.nextID('t')
	}
}

func (t *tx) applyRemind(tm engine.Timer, o record.Outcome) {
	q, ok := t.question(o.Question)
	if !ok {
		return
	}
	q.Reminders++
	t.putQuestion(q, q.Status)
	if o.Reminder != "" {
		t.setTimer(engine.Timer{ID: o.Reminder, Due: remindsNext(q, tm.Due, t.now), For: remindTimer, Target: q.ID, Step: remindTimer})
	}
	r, _ := t.run(q.Run)
	t.mailQuestion(r, q, owing(q), o.Runs, reminderHandler)
	t.tell(q.Incident)
}

// mailQuestion starts the runs that mail a question to people.
func (t *tx) mailQuestion(r engine.Run, q engine.Question, to []engine.Addressee, runs []string, by engine.Handler) {
	for k, id := range runs {
		var args engine.Data
		if k < len(to) { // an erased question knows not whom it was put to
			args = engine.MustEncode(map[string]engine.Value{
				"person": map[string]engine.Value{"name": to[k].Name, "email": to[k].Email}, "question": questionValue(q),
			})
		}
		t.startRun(engine.Run{
			ID: id, Incident: r.Incident, Handler: by, Args: args, Bundle: r.Bundle,
			Commit: r.Commit, Purpose: PurposeOutbox, Question: q.ID, Parent: r.ID, Rule: r.Rule, Mode: r.Mode, Erased: q.Erased,
		})
	}
}
