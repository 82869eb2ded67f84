package state

import (
	"slices"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

func decideIncident(t *tx, a record.IncidentAct) record.Outcome {
	if _, again := t.offered(a.Offer); again {
		return refuse("it was done already")
	}
	i, ok := t.incident(a.Incident)
	switch {
	case !ok:
		return refuse("there is no incident " + a.Incident)
	case a.Act == record.ActEscalate && a.Severity == i.Severity:
		return refuse("its severity is " + i.Severity + " already")
	case a.Act == record.ActAssign && len(a.Among) == 0 && a.Owner == i.Owner && (a.Team == "" || a.Team == i.Team):
		return refuse("it is assigned so already")
	case a.Act == record.ActClose && i.Status == engine.IncidentClosed:
		return refuse(alreadyClosed) // an outcome names nobody: it is never erased
	case a.Act == record.ActReopen && i.Status == engine.IncidentOpen:
		return refuse("it is open")
	case a.Act == record.ActReopen && i.Erased != nil:
		return refuse("it was " + i.Erased.String() + "; what happens now belongs in a new incident")
	}
	o := record.Outcome{Applied: true, Incident: i.ID, Picked: t.pick(a)}
	t.comesTrue(&o, i.ID, broughtBy(a, byPerson(a.By))...)
	switch a.Act {
	case record.ActClose:
		t.endsByClose(&o, i.ID, "")
	case record.ActReopen:
		t.beginsAnew(&o, i.ID, byPerson(a.By))
		return o
	}
	t.responds(&o, i.ID, byPerson(a.By))
	return o
}

func applyIncident(t *tx, a record.IncidentAct, o record.Outcome) {
	t.remember(a.Offer, a.Incident)
	t.actOn(a, o, "")
	t.tell(a.Incident)
}

// actOn does to an incident what a person (run == "") or a run asked for.
func (t *tx) actOn(a record.IncidentAct, o record.Outcome, run string) {
	i, ok := t.incident(a.Incident)
	if !ok {
		return
	}
	if a.Act != record.ActReopen && o.Touched {
		t.responded(i.ID, o)
		i, _ = t.incident(a.Incident)
	}
	switch a.Act {
	case record.ActSet:
		t.setFacts(i, a)
	case record.ActNote:
		t.putIncident(i, i)
	case record.ActAttach:
		t.attach(i, a)
	case record.ActIndicator:
		t.indicate(i, a)
	case record.ActReopen:
		t.reopen(i.ID, o.Touched)
	case record.ActClose:
		t.closeIncident(i, a, o)
	case record.ActAssign:
		t.assign(i, a, o)
	case record.ActEscalate:
		before := i
		i.Severity = a.Severity
		t.putIncident(i, before)
	}
	t.cameTrue(o.Waited)
}

func (t *tx) setFacts(i engine.Incident, a record.IncidentAct) {
	have, _ := decoded(i.Fields).(map[string]engine.Value)
	if have == nil {
		have = map[string]engine.Value{}
	}
	set, _ := decoded(a.Fields).(map[string]engine.Value)
	before := i
	i.Order = slices.Clone(i.Order)
	for _, name := range a.Order {
		if !slices.Contains(i.Order, name) {
			i.Order = append(i.Order, name)
		}
	}
	for name, v := range set {
		have[name] = v
	}
	i.Fields = engine.MustEncode(have)
	if t.erased != nil {
		i.Erased = t.erased
	}
	t.putIncident(i, before)
}

// reopen opens an incident again; touched: a person did.
func (t *tx) reopen(id string, touched bool) {
	i, ok := t.incident(id)
	if !ok || i.Status == engine.IncidentOpen {
		return
	}
	before := i
	i.Status, i.Closed, i.Reason, i.Code, i.ClosedBy = engine.IncidentOpen, time.Time{}, "", "", ""
	t.putIncident(i, before)
	_, n, _ := engine.ParseID('i', id)
	t.mark(nounKey(classOpen, t.shard, n))
	t.countFor(i, func(c *engine.Counts) { c.OpenIncidents++ })
	t.tally(aspectOf(i), func(c *engine.Tally) { c.Reopened++ })
	t.beginAnew(id, touched)
}

func (t *tx) closeIncident(i engine.Incident, a record.IncidentAct, o record.Outcome) {
	if i.Status == engine.IncidentOpen {
		_, n, _ := engine.ParseID('i', i.ID)
		t.Delete(nounKey(classOpen, t.shard, n))
		t.countFor(i, func(c *engine.Counts) { c.OpenIncidents-- })
		t.tallyClosed(i, a.Code)
	}
	before := i
	i.Status, i.Closed, i.Reason, i.Code, i.ClosedBy = engine.IncidentClosed, t.now, a.Text, a.Code, a.By
	if a.Quiet > 0 {
		i.QuietUntil = t.now.Add(a.Quiet)
	}
	t.putIncident(i, before)
	for _, id := range o.Questions {
		q, _ := t.question(id)
		q.Status = engine.QuestionWithdrawn
		t.endQuestion(q, viaClosed)
		t.unasked(q.Run)
	}
	t.endDeadlines(i.ID)
	for _, id := range o.Woken {
		t.wakeClosed(id)
	}
}

// endsByClose says in an outcome what closing an incident ends: the open questions
// of its runs, and the runs that wait, for these or asleep. The run that closes it
// itself goes on.
func (t *tx) endsByClose(o *record.Outcome, incident, except string) {
	t.parts(classQuestionOf, incident, func(n uint64) {
		q, ok := get[engine.Question](t, nounKey(classQuestion, t.shard, n))
		if ok && q.Status == engine.QuestionOpen && q.Run != except {
			o.Questions = append(o.Questions, q.ID)
			o.Woken = append(o.Woken, q.Run)
		}
	})
	t.parts(classRunOf, incident, func(n uint64) {
		r, ok := get[engine.Run](t, nounKey(classRun, t.shard, n))
		if ok && (r.Sleeps != "" || r.Held != "") && respondsTo(r.Purpose) && r.ID != except {
			o.Woken = append(o.Woken, r.ID)
		}
	})
}

// wakeClosed ends the sleeps of a run whose incident was closed, and what was
// held of it.
func (t *tx) wakeClosed(id string) {
	r, _ := t.run(id)
	for _, step := range strings.Fields(r.Held) {
		t.endStep(r.ID, step, viaClosed)
	}
	for _, step := range strings.Fields(r.Sleeps) {
		if t.awaited(r, step) != AwaitClosed { // which has come
			t.clearTimer(r.ID, step)
			t.endStep(r.ID, step, viaClosed)
		}
	}
}

// parts calls fn with the numbers of an incident's runs, questions or changes.
func (t *tx) parts(class byte, incident string, fn func(n uint64)) {
	if _, i, ok := engine.ParseID('i', incident); ok {
		eachPart(t, class, t.shard, i, func(n uint64) bool {
			fn(n)
			return true
		})
	}
}
