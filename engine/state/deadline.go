package state

import (
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// A deadline lies with its incident, or with the question of a run without one.
// Here it begins, pauses and ends, in the order of the log. When it is over is said
// by calendars, which the projector does not know: a deadline that runs and has no
// such moment stands in an index, the runner computes it of what stands there, and
// offers it; it counts as long as nothing changed meanwhile. The moment is a timer
// like others, and the record that fires it is the breach.

// DeadlineTimer is what the timer of a deadline is for.
const DeadlineTimer = "deadline"

// maxDeadlines bounds those of an incident: what is known of all of them is
// gathered whenever one changes.
const maxDeadlines = 100

// Why something was not done to a deadline.
const (
	DeadlineChanged  = "the deadline was changed meanwhile"
	DeadlineUnknown  = "it was never started"
	DeadlineClosed   = "the incident is closed"
	DeadlineTooMany  = "the incident has all the deadlines that it may have"
	deadlineNotThere = "it is not running"
	deadlineIsOver   = "its time is over"
)

// Parts of classCounting.
const (
	wantsDue    = 'w' // running, and nobody has said when it is over
	countsHours = 'h' // running, in hours of a calendar
)

func countingKey(shard uint16, part byte, id string) []byte {
	return append(append(key(classCounting, shard), part), id...)
}

// deadlinesOf is where the deadlines of an incident, or of a question without one,
// are listed.
func deadlinesOf(owner string) []byte {
	if owner == "" {
		return nil
	}
	shard, n, ok := engine.ParseID(owner[0], owner)
	if !ok {
		return nil
	}
	return append(append(key(classDeadline, shard), owner[0]), nounKey(0, 0, n)[3:]...)
}

// deadlineKey is where a deadline lies. That of a question lies with its incident.
func deadlineKey(r store.Reader, id string) []byte {
	of, owner, _ := engine.ParseDeadlineID(id)
	if of == engine.DeadlineOfQuestion {
		k, _ := idKey(classQuestion, 'q', owner)
		if q, _ := get[engine.Question](r, k); q.Incident != "" {
			owner = q.Incident
		}
	}
	k := deadlinesOf(owner)
	if k == nil {
		return nil
	}
	return append(k, id...)
}

func deadlineOf(r store.Reader, id string) (engine.Deadline, bool) {
	k := deadlineKey(r, id)
	if k == nil {
		return engine.Deadline{}, false
	}
	return get[engine.Deadline](r, k)
}

// listDeadlines lists those of an incident.
func listDeadlines(r store.Reader, incident string) (list []engine.Deadline) {
	prefix := deadlinesOf(incident)
	if prefix == nil {
		return nil
	}
	r.Scan(prefix, nil, false, func(k, _ []byte) bool {
		if d, ok := get[engine.Deadline](r, k); ok {
			list = append(list, d)
		}
		return true
	})
	return list
}

// putDeadline stores a deadline and keeps what it is found by. Its timer is that of
// its Due, which whoever sets it sets.
func (t *tx) putDeadline(d engine.Deadline) {
	if d.Due.IsZero() {
		t.clearTimer(d.ID, "")
	}
	t.put(deadlineKey(t, d.ID), d)
	running := d.Status == engine.DeadlineRunning
	t.keepCounting(wantsDue, d.ID, running && d.Due.IsZero())
	t.keepCounting(countsHours, d.ID, running && d.Hours != "")
	t.sumDeadlines(d.Incident)
}

func (t *tx) keepCounting(part byte, id string, in bool) {
	k := countingKey(t.shard, part, id)
	if _, is := t.Get(k); is == in {
		return
	}
	if in {
		t.mark(k)
	} else {
		t.Delete(k)
	}
}

// sumDeadlines keeps on the incident what lists show: the next moment, and how many
// are breached.
func (t *tx) sumDeadlines(incident string) {
	i, ok := t.incident(incident)
	if !ok {
		return
	}
	due, breached := time.Time{}, 0
	for _, d := range listDeadlines(t, incident) {
		if d.Status == engine.DeadlineBreached {
			breached++
		}
		if !d.Due.IsZero() && (due.IsZero() || d.Due.Before(due)) {
			due = d.Due
		}
	}
	if due.Equal(i.Due) && breached == i.Breached {
		return
	}
	before := i
	i.Due, i.Breached = due, breached
	t.putIncident(i, before)
	if is := breached > 0; is != (before.Breached > 0) {
		t.countFor(i, func(c *engine.Counts) { c.Overdue += sign(is) })
	}
}

// begin starts a deadline, anew if there is one of its name.
func (t *tx) begin(d engine.Deadline) {
	t.clearTimer(d.ID, "")
	d.Status, d.Left, d.Started, d.Since, d.Revision, d.Erased = engine.DeadlineRunning, d.Limit, t.now, t.now, t.rec+1, t.erased
	d.Due, d.Ended, d.Breached, d.BreachRun = time.Time{}, time.Time{}, time.Time{}, ""
	t.putDeadline(d)
}

// end ends a deadline that runs, is paused or was breached.
func (t *tx) end(d engine.Deadline, status string) {
	if !d.Ends() {
		return
	}
	d.Status, d.Ended, d.Due, d.Revision = status, t.now, time.Time{}, t.rec+1
	t.putDeadline(d)
}

// limitsOf begins the deadlines that a rule gives an incident.
func (t *tx) limitsOf(i engine.Incident, p record.EventMatched) {
	for _, l := range p.SLA {
		t.begin(engine.Deadline{
			ID: engine.DeadlineID(engine.DeadlineOfIncident, i.ID, l.Name), Of: engine.DeadlineOfIncident, Name: l.Name, Incident: i.ID,
			Limit: l.Limit, Hours: p.Hours, Handler: p.OnBreach, Args: p.Args, Bundle: p.Bundle, Commit: p.Commit, Rule: p.Rule, Mode: p.Mode,
		})
	}
}

// limitOf begins the deadline of a question, which counts as those of its incident.
func (t *tx) limitOf(q engine.Question, r engine.Run, p *record.Question) {
	if p.SLA <= 0 {
		return
	}
	i, _ := t.incident(q.Incident)
	t.begin(engine.Deadline{
		ID: engine.DeadlineID(engine.DeadlineOfQuestion, q.ID, ""), Of: engine.DeadlineOfQuestion, Incident: q.Incident, Question: q.ID,
		Run: r.ID, Step: q.Step, Limit: p.SLA, Hours: i.Hours, Handler: p.OnBreach, Bundle: r.Bundle, Commit: r.Commit, Rule: r.Rule, Mode: r.Mode,
	})
}

// endLimitOf ends the deadline of a question that is open no more.
func (t *tx) endLimitOf(q engine.Question) {
	d, ok := deadlineOf(t, engine.DeadlineID(engine.DeadlineOfQuestion, q.ID, ""))
	if !ok {
		return
	}
	status := engine.DeadlineStopped
	if q.Status == engine.QuestionAnswered {
		status = engine.DeadlineMet
	}
	t.end(d, status)
}

// responds tells in an outcome that a person touched an incident whose deadline
// waits for that: whether it was one is in what an erasure takes.
func (t *tx) responds(o *record.Outcome, incident string, person bool) {
	if !person {
		return
	}
	d, ok := deadlineOf(t, engine.DeadlineID(engine.DeadlineOfIncident, incident, engine.DeadlineRespond))
	o.Touched = ok && d.Ends()
}

// responded ends the deadline that waited for a person.
func (t *tx) responded(incident string, o record.Outcome) {
	if d, ok := deadlineOf(t, engine.DeadlineID(engine.DeadlineOfIncident, incident, engine.DeadlineRespond)); ok && o.Touched {
		t.end(d, engine.DeadlineMet)
	}
}

// endDeadlines ends those of an incident that is closed. Those of its questions end
// with them.
func (t *tx) endDeadlines(incident string) {
	for _, d := range listDeadlines(t, incident) {
		status := engine.DeadlineStopped
		if d.Of == engine.DeadlineOfIncident && d.Name == engine.DeadlineClose {
			status = engine.DeadlineMet
		}
		if d.Of != engine.DeadlineOfQuestion {
			t.end(d, status)
		}
	}
}

// beginsAnew tells in an outcome that deadlines of an incident begin with its being
// opened again.
func (t *tx) beginsAnew(o *record.Outcome, incident string, person bool) {
	for _, d := range listDeadlines(t, incident) {
		if d.Of == engine.DeadlineOfIncident {
			o.Counts, o.Touched = true, person
		}
	}
}

// mayReopen does so for what may open an incident again by itself: somebody must
// look.
func (t *tx) mayReopen(o *record.Outcome, incident string) {
	if i, ok := t.incident(incident); ok && i.Status == engine.IncidentClosed {
		t.beginsAnew(o, incident, false)
	}
}

// beginAnew begins the deadlines of an incident that is opened again: that to close
// it, and, unless a person did it, that to respond.
func (t *tx) beginAnew(incident string, touched bool) {
	for _, d := range listDeadlines(t, incident) {
		if d.Of == engine.DeadlineOfIncident && (d.Name == engine.DeadlineClose || !touched) {
			t.begin(d)
		}
	}
}

// dropSections stops what a run began at a step or later that a restart leaves.
func (t *tx) dropSections(r engine.Run, since uint64) {
	for _, d := range listDeadlines(t, r.Incident) {
		if d.Of != engine.DeadlineOfSection || d.Run != r.ID {
			continue
		}
		path, n, _ := engine.ParseStepID(d.Step)
		if at, found := t.place(r, path, n); !found || at.began() >= since {
			t.end(d, engine.DeadlineStopped)
		}
	}
}

func decideDeadline(t *tx, p record.DeadlineSet) record.Outcome {
	if _, again := t.offered(p.Offer); again {
		return refuse("it was done already")
	}
	if shard, _, ours := engine.ParseID('r', p.Run); ours && shard == t.shard {
		if _, why := t.live(p.Run, p.Generation); why != "" {
			return refuse(why)
		}
	}
	d, known := deadlineOf(t, p.Deadline)
	o := record.Outcome{Applied: true, Incident: d.Incident}
	why := ""
	switch {
	case p.Act == record.DeadlineStart:
		o.Incident, o.Counts = p.Incident, true
		why = t.whyNotBegin(p, known)
	case !known:
		why = DeadlineUnknown
	case p.Act == record.DeadlineStop && !d.Ends(), p.Act == record.DeadlineResume && d.Status != engine.DeadlinePaused:
		why = deadlineNotThere
	case p.Act == record.DeadlineResume:
		o.Counts = true
	case p.Act == record.DeadlinePause || p.Act == record.DeadlineDue:
		why = t.whyNotCount(p, d)
	}
	if why != "" {
		return refuse(why)
	}
	if p.Act == record.DeadlineDue {
		o.Timer = t.nextID('t')
	}
	return o
}

func (t *tx) whyNotBegin(p record.DeadlineSet, known bool) string {
	i, ok := t.incident(p.Incident)
	switch {
	case !ok:
		return "there is no incident " + p.Incident
	case i.Status == engine.IncidentClosed:
		return DeadlineClosed
	case !known && len(listDeadlines(t, p.Incident)) >= maxDeadlines:
		return DeadlineTooMany
	}
	return ""
}

// whyNotCount holds what was computed against what the deadline is now.
func (t *tx) whyNotCount(p record.DeadlineSet, d engine.Deadline) string {
	switch {
	case d.Status != engine.DeadlineRunning:
		return deadlineNotThere
	case d.Revision != p.Revision:
		return DeadlineChanged
	case p.Act == record.DeadlinePause && !d.Due.IsZero() && !t.now.Before(d.Due):
		return deadlineIsOver
	}
	return ""
}

func applyDeadline(t *tx, p record.DeadlineSet, o record.Outcome) {
	t.remember(p.Offer, "")
	d, _ := deadlineOf(t, p.Deadline)
	switch p.Act {
	case record.DeadlineStart:
		of, _, name := engine.ParseDeadlineID(p.Deadline)
		t.begin(engine.Deadline{
			ID: p.Deadline, Of: of, Name: name, Incident: p.Incident, Run: p.Run, Step: p.Step, Limit: p.Limit, Hours: p.Hours,
			Handler: p.Handler, Bundle: p.Bundle, Commit: p.Commit, Rule: p.Rule, Mode: p.Mode,
		})
	case record.DeadlinePause:
		d.Status, d.Left, d.Due, d.Revision = engine.DeadlinePaused, p.Left, time.Time{}, t.rec+1
		t.putDeadline(d)
	case record.DeadlineResume:
		d.Status, d.Since, d.Revision = engine.DeadlineRunning, t.now, t.rec+1
		t.putDeadline(d)
	case record.DeadlineStop:
		t.end(d, engine.DeadlineStopped)
	case record.DeadlineDue:
		t.clearTimer(d.ID, "")
		t.setTimer(engine.Timer{ID: o.Timer, Due: p.Due, For: DeadlineTimer, Target: d.ID})
		d.Due = p.Due
		t.putDeadline(d)
		return // it says what follows from the record before
	}
	t.tell(o.Incident)
}

func decideBreached(t *tx, p record.DeadlineBreached) record.Outcome {
	k, _ := idKey(classTimer, 't', p.Timer)
	switch tm, ok := get[engine.Timer](t, k); {
	case !ok || tm.Target != p.Deadline:
		return refuse("the timer is gone")
	case t.clockHold().On:
		return refuse(ClockIsHeld)
	}
	d, _ := deadlineOf(t, p.Deadline)
	o := record.Outcome{Applied: true, Incident: d.Incident, Question: d.Question, Timer: p.Timer}
	if d.Handler != nil && d.Status == engine.DeadlineRunning {
		o.Run = t.nextID('r')
	}
	return o
}

func applyBreached(t *tx, p record.DeadlineBreached, o record.Outcome) {
	t.dropTimer(p.Timer)
	d, ok := deadlineOf(t, p.Deadline)
	if !ok || d.Status != engine.DeadlineRunning {
		return // putDeadline cleared its timer; an act that is no more is none to breach
	}
	d.Status, d.Breached, d.Due, d.BreachRun, d.Revision = engine.DeadlineBreached, t.now, time.Time{}, o.Run, t.rec+1
	t.putDeadline(d)
	if i, ok := t.incident(d.Incident); ok {
		t.tally(aspectOf(i), func(c *engine.Tally) { c.Breached++ })
	}
	if o.Run != "" {
		t.startRun(engine.Run{
			ID: o.Run, Incident: d.Incident, Rule: d.Rule, Handler: *d.Handler, Args: d.Args, Bundle: d.Bundle, Commit: d.Commit,
			Purpose: PurposeBreach, Parent: d.Run, Mode: d.Mode, Erased: d.Erased,
		})
	}
	t.tell(d.Incident)
}

// Deadline returns one deadline; not_found for one that never was.
func (s *State) Deadline(id string) (d engine.Deadline, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	d, ok := deadlineOf(view, id)
	if !ok {
		return d, engine.Errorf(engine.NotFound, "deadline %q: %s", id, DeadlineUnknown)
	}
	return d, nil
}

// Deadlines lists those of an incident, the next one first, then those that are
// over.
func (s *State) Deadlines(incident string) (list []engine.Deadline, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	list = listDeadlines(view, incident)
	slices.SortStableFunc(list, func(a, b engine.Deadline) int {
		if a.Ends() != b.Ends() {
			return sign(b.Ends())
		}
		return a.Started.Compare(b.Started)
	})
	return list, nil
}

// Uncounted lists the deadlines of a shard whose moment is to be computed; with
// hours also those that a change of calendars may move.
func (s *State) Uncounted(shard uint16, hours bool) (list []engine.Deadline, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	part := byte(wantsDue)
	if hours {
		part = countsHours
	}
	prefix := countingKey(shard, part, "")
	var ids []string
	view.Scan(prefix, nil, false, func(k, _ []byte) bool {
		ids = append(ids, string(k[len(prefix):]))
		return true
	})
	for _, id := range ids {
		if d, ok := deadlineOf(view, id); ok {
			list = append(list, d)
		}
	}
	return list, nil
}

// SayDeadline says in words what a deadline is for.
func SayDeadline(id string) string {
	switch of, owner, name := engine.ParseDeadlineID(id); {
	case of == engine.DeadlineOfQuestion:
		return "an answer to " + owner
	case of == engine.DeadlineOfSection:
		return name
	case name == engine.DeadlineRespond:
		return "to respond"
	}
	return "to close it"
}

// tellDeadline says what a step did to a deadline.
func tellDeadline(p record.DeadlineSet, e *engine.TimelineEntry) {
	e.By, e.Run, e.Step = "run "+p.Run, p.Run, p.Step
	name := SayDeadline(p.Deadline)
	switch p.Act {
	case record.DeadlineStart:
		e.Text = "starts the timer " + name + ": " + calendar.FormatDuration(p.Limit)
		if p.Hours != "" {
			e.Text += " in the hours of " + p.Hours
		}
	case record.DeadlinePause:
		e.Text = "pauses the timer " + name + ", " + calendar.FormatDuration(p.Left.Round(time.Second)) + " left"
	case record.DeadlineResume:
		e.Text = "resumes the timer " + name
	default:
		e.Text = "stops the timer " + name
	}
}
