package state

import (
	"encoding/binary"

	"larkspur/engine"
	"larkspur/engine/record"
)

// openBuiltin is the word whose step opens incidents.
const openBuiltin = "incidents.open"

// openedNames are those under which an incident of incidents.open is found again;
// rules have two.
func openedNames(p record.IncidentOpened) []string { return []string{openBuiltin, p.Type, p.Dedup} }

func decideOpened(t *tx, p record.IncidentOpened) record.Outcome {
	if o, again := t.offered(p.Offer); again {
		return record.Outcome{Action: openedAs(o.Found), Incident: o.ID, Why: "it was done already"}
	}
	if shard, _, ours := engine.ParseID('r', p.Run); ours && shard == t.shard {
		if _, why := t.live(p.Run, p.Generation); why != "" {
			return refuse(why)
		}
	}
	if p.DedupSet {
		if i, ok := t.deduped(openedNames(p)...); ok && i.Status == engine.IncidentOpen {
			return record.Outcome{Applied: true, Action: Attached, Incident: i.ID}
		}
	}
	o := record.Outcome{Applied: true, Action: Opened, Incident: t.nextID('i')}
	if p.Do != nil {
		o.Run = t.nextID('r')
	}
	return o
}

func openedAs(found bool) string {
	if found {
		return Attached
	}
	return Opened
}

func applyOpened(t *tx, p record.IncidentOpened, o record.Outcome) {
	t.rememberAs(p.Offer, offered{ID: o.Incident, Found: o.Action != Opened})
	if o.Action != Opened {
		return
	}
	i := engine.Incident{
		ID: o.Incident, Status: engine.IncidentOpen, Title: p.Title, Type: p.Type, Rule: p.Rule, Severity: p.Severity, Team: p.Team,
		Visible: p.Visible, Dedup: p.Dedup, Opened: t.now, Fields: p.Fields, Order: p.Order, Reporter: p.Reporter, OpenedBy: p.Run, Erased: t.erased,
	}
	if !p.Opened.IsZero() && p.Opened.Before(t.now) {
		i.Opened = p.Opened
	}
	t.newIncident(i, nil)
	if p.DedupSet {
		t.Set(hashKey(classDedup, t.shard, openedNames(p)...), []byte(i.ID))
	}
	t.tally(aspectOf(i), func(c *engine.Tally) { c.Opened++ })
	if o.Run != "" {
		t.startRun(engine.Run{
			ID: o.Run, Incident: i.ID, Rule: p.Rule, Handler: *p.Do, Args: p.Args, Bundle: p.Bundle, Commit: p.Commit, Purpose: PurposePlaybook,
			Mode: p.Mode, Parent: p.Run, MaxChanges: p.MaxChanges, MaxChangesIn: p.MaxChangesIn, Erased: t.erased,
		})
	}
	t.tell(i.ID)
}

func tellOpened(p record.IncidentOpened, o record.Outcome, e *engine.TimelineEntry) {
	e.By, e.Run, e.Text = "Larkspur", o.Run, "opened by Larkspur itself"
	if p.Run != "" {
		e.By, e.Text = "run "+p.Run, "opened by a run of "+p.Rule
	}
	if e.Run == "" {
		e.Run = p.Run
	}
}

// pick chooses, of the people among whom an act assigns, the one who owns the
// fewest open incidents, of equal ones the first: their place, from 1; 0 for
// other acts. An outcome names nobody.
func (t *tx) pick(a record.IncidentAct) (place int) {
	if a.Act != record.ActAssign {
		return 0
	}
	i, _ := t.incident(a.Incident)
	fewest := int64(0)
	for n, name := range a.Among {
		busy := countAt(t, busyKey(t.shard, name))
		if n < len(a.Busy) {
			busy += int64(a.Busy[n])
		}
		if busyOwner(i) == name {
			busy-- // this very incident is no reason against them
		}
		if place == 0 || busy < fewest {
			place, fewest = n+1, busy
		}
	}
	return place
}

// assign gives an incident to a person, to a team, or to one of the team. Of an
// erased act it is not known to whom.
func (t *tx) assign(i engine.Incident, a record.IncidentAct, o record.Outcome) {
	before := i
	if i.Owner = a.Owner; o.Picked > 0 && o.Picked <= len(a.Among) {
		i.Owner = a.Among[o.Picked-1]
	}
	if a.Team != "" {
		i.Team = a.Team
	}
	if t.erased != nil {
		i.Erased = t.erased
	}
	t.putIncident(i, before)
}

func busyKey(shard uint16, owner string) []byte { return hashKey(classBusy, shard, owner) }

// busyOwner is who has an incident to work on; "" for nobody.
func busyOwner(i engine.Incident) string {
	if i.Status != engine.IncidentOpen {
		return ""
	}
	return i.Owner
}

// countBusy keeps how many open incidents each owner has.
func (t *tx) countBusy(before, after engine.Incident) {
	was, is := busyOwner(before), busyOwner(after)
	if was == is {
		return
	}
	for _, change := range []struct {
		owner string
		by    int64
	}{{was, -1}, {is, 1}} {
		if change.owner == "" {
			continue
		}
		k := busyKey(t.shard, change.owner)
		if n := countAt(t, k) + change.by; n > 0 {
			t.Set(k, binary.AppendVarint(nil, n))
		} else {
			t.Delete(k)
		}
	}
}

// moveCounts keeps the counters by severity, and those of what only teams see,
// when an incident gets another severity, team or owner.
func (t *tx) moveCounts(before, after engine.Incident) {
	if before.ID == "" {
		return
	}
	open := before.Status == engine.IncidentOpen && after.Status == engine.IncidentOpen
	if was, is := aspectOf(before), aspectOf(after); open && was != is {
		t.tally(was, func(c *engine.Tally) { c.MovedOut++ })
		t.tally(is, func(c *engine.Tally) { c.MovedIn++ })
	}
	if after.Visible != engine.VisibleToTeam || before.Team == after.Team && before.Owner == after.Owner {
		return
	}
	has := t.countsOf(before)
	t.hide(before, func(c *engine.Counts) { addCounts(c, has, -1) })
	t.hide(after, func(c *engine.Counts) { addCounts(c, has, 1) })
}

// countsOf is what an incident gives to the counters.
func (t *tx) countsOf(i engine.Incident) (c engine.Counts) {
	if i.Status == engine.IncidentOpen {
		c.OpenIncidents = 1
	}
	if i.Breached > 0 {
		c.Overdue = 1
	}
	t.parts(classQuestionOf, i.ID, func(n uint64) {
		if q, _ := get[engine.Question](t, nounKey(classQuestion, t.shard, n)); q.Status == engine.QuestionOpen {
			c.OpenQuestions++
		}
	})
	t.parts(classChangeOf, i.ID, func(n uint64) {
		if x, _ := get[engine.Change](t, nounKey(classChange, t.shard, n)); x.Status == engine.ChangeInForce {
			c.ChangesInForce++
		}
	})
	return c
}

func addCounts(to *engine.Counts, c engine.Counts, times int) {
	to.OpenIncidents += times * c.OpenIncidents
	to.OpenQuestions += times * c.OpenQuestions
	to.ChangesInForce += times * c.ChangesInForce
	to.Overdue += times * c.Overdue
}

// countAt reads a counter; 0 where there is none.
func countAt(r interface{ Get(k []byte) ([]byte, bool) }, k []byte) int64 {
	b, _ := r.Get(k)
	n, _ := binary.Varint(b)
	return n
}

// Busy counts the open incidents of an owner in all shards but one; an incident
// of that shard is about to be assigned, and there the projector counts.
func (s *State) Busy(owner string, but uint16) (n int, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	for shard := range uint16(s.shards) {
		if shard != but {
			n += int(countAt(view, busyKey(shard, owner)))
		}
	}
	return n, nil
}
