package state

import (
	"larkspur/engine"
	"larkspur/engine/record"
)

// The runs of an incident's on_attach go one after the other, in the order of
// their events: each but the first waits until the one before it has ended.

// startAttached starts the run that handles one more event of an open incident.
func (t *tx) startAttached(p record.EventMatched, o record.Outcome) {
	r := matchRun(t, p, o)
	r.Purpose, r.Handler, r.Saves = PurposeAttach, *p.OnAttach, 0
	t.startRun(r)
	_, i, _ := engine.ParseID('i', o.Incident)
	last := nounKey(classAttached, t.shard, i)
	if before, ok := t.Get(last); ok {
		t.queueBehind(string(before), o.Run)
	}
	t.Set(last, []byte(o.Run))
}

// queueBehind has a new run wait for the end of another one.
func (t *tx) queueBehind(before, run string) {
	first, ok := t.run(before)
	if !ok || ended(first.Status) {
		return
	}
	r, _ := t.run(run)
	r.Status, r.Waits = engine.RunWaiting, "the end of run "+before
	t.putRun(r, engine.RunRunning)
	k, _ := idKey(classAfter, 'r', before)
	t.Set(k, []byte(run))
}

// after names the run that begins when another one ends with a status.
func (t *tx) after(run, status string) []string {
	k, _ := idKey(classAfter, 'r', run)
	next, ok := t.Get(k)
	if !ok || !ended(status) {
		return nil
	}
	return []string{string(next)}
}

// follow lets the run begin that waited for the end of another one.
func (t *tx) follow(r engine.Run) {
	for _, id := range t.after(r.ID, r.Status) {
		k, _ := idKey(classAfter, 'r', r.ID)
		t.Delete(k)
		next, _ := t.run(id)
		next.Status, next.Waits = engine.RunRunning, ""
		t.putRun(next, engine.RunWaiting)
	}
}
