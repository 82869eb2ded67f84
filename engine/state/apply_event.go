package state

import (
	"encoding/binary"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// OfferMemory is how long ids of offered records are remembered (LANGUAGE
// section 7: a webhook's ids are kept 7 days).
const OfferMemory = 7 * 24 * time.Hour

// Old offers are forgotten with one new offer of sweepEvery, by its hash, and
// then more than so many, so that the memory shrinks.
const (
	sweepEvery  = 16
	offersSwept = 3 * sweepEvery
)

type offered struct {
	Found bool      `json:"found,omitempty"` // ID was there before
	ID    string    `json:"id,omitempty"`    // what the first one made
	Time  time.Time `json:"time"`
}

func (t *tx) offered(id string) (offered, bool) {
	if id == "" {
		return offered{}, false
	}
	o, ok := get[offered](t, hashKey(classOffer, t.shard, id))
	return o, ok && t.now.Sub(o.Time) < OfferMemory
}

// remember keeps an offer's id for OfferMemory, and forgets old ones.
func (t *tx) remember(id, made string) { t.rememberAs(id, offered{ID: made}) }

func (t *tx) rememberAs(id string, o offered) {
	if id == "" {
		return
	}
	k := hashKey(classOffer, t.shard, id)
	o.Time = t.now
	t.put(k, o)
	at := binary.BigEndian.AppendUint64(key(classOfferTime, t.shard), uint64(t.now.UnixNano()))
	t.mark(append(at, k[3:]...))
	if k[len(k)-1]%sweepEvery == 0 {
		t.sweepOffers()
	}
}

func (t *tx) sweepOffers() {
	limit := t.now.Add(-OfferMemory).UnixNano()
	from, _ := moment(t, classOfferFrom, t.shard)
	next := from
	var old [][]byte
	t.Scan(key(classOfferTime, t.shard), momentKey(classOfferTime, t.shard, from), false, func(k, _ []byte) bool {
		next = int64(binary.BigEndian.Uint64(k[3:]))
		if next > limit || len(old) == offersSwept {
			return false
		}
		old = append(old, append([]byte(nil), k...))
		return true
	})
	if next != from {
		t.setMoment(classOfferFrom, next)
	}
	for _, k := range old {
		t.Delete(k)
		if o, ok := get[offered](t, append(key(classOffer, t.shard), k[11:]...)); ok && o.Time.UnixNano() <= limit {
			t.Delete(append(key(classOffer, t.shard), k[11:]...))
		}
	}
}

func decideEvent(t *tx, p record.EventSeen) record.Outcome {
	if o, ok := t.offered(p.Offer); ok {
		return record.Outcome{Event: o.ID, Why: "this event is here already, as " + o.ID}
	}
	return record.Outcome{Applied: true, Event: t.nextID('e')}
}

func applyEvent(t *tx, p record.EventSeen, o record.Outcome) {
	t.took(o.Event)
	_, n, _ := engine.ParseID('e', o.Event)
	t.Set(nounKey(classEvent, t.shard, n), binary.BigEndian.AppendUint64(nil, t.rec))
	t.mark(nounKey(classInbox, t.shard, n))
	t.remember(p.Offer, o.Event)
	t.tally(aspect{}, func(c *engine.Tally) { c.Events++ })
	if p.Cursor != "" {
		t.Set(hashKey(classCursor, t.shard, p.Kind, p.Source), []byte(p.Cursor))
	}
}

func decideRouted(t *tx, p record.EventRouted) record.Outcome {
	_, n, ok := engine.ParseID('e', p.Event)
	if _, waiting := t.Get(nounKey(classInbox, t.shard, n)); !ok || !waiting {
		return refuse("the event is routed already")
	}
	return record.Outcome{Applied: true, Event: p.Event}
}

func applyRouted(t *tx, p record.EventRouted, _ record.Outcome) {
	_, n, _ := engine.ParseID('e', p.Event)
	t.Delete(nounKey(classInbox, t.shard, n))
}

// What a match did.
const (
	Opened    = "opened"
	Attached  = "attached"
	Quiet     = "quiet"
	Throttled = "throttled"
)

// overflowKey is the dedup key of a rule's overflow incident; no script can make
// it, because keys of scripts are JSON.
const overflowKey = "\x00overflow"

func decideMatch(t *tx, p record.EventMatched) record.Outcome {
	if o, ok := t.offered(p.Offer); ok {
		return record.Outcome{Incident: o.ID, Why: "this match is here already"}
	}
	if p.DedupSet {
		if i, ok := t.deduped(p.Rule, p.Dedup); ok && i.Status == engine.IncidentOpen {
			o := record.Outcome{Applied: true, Action: Attached, Incident: i.ID}
			if p.OnAttach != nil && i.Events < engine.MaxEventsPerIncident {
				o.Run = t.nextID('r')
			}
			return o
		} else if ok && t.now.Before(quietUntil(i, p)) {
			return record.Outcome{Applied: true, Action: Quiet, Incident: i.ID}
		}
	}
	counts := len(p.SLA) > 0
	if t.throttled(p) {
		if i, ok := t.deduped(p.Rule, overflowKey); ok && i.Status == engine.IncidentOpen {
			return record.Outcome{Applied: true, Action: Throttled, Incident: i.ID}
		}
		return record.Outcome{Applied: true, Action: Throttled, Counts: counts, Incident: t.nextID('i')}
	}
	return record.Outcome{Applied: true, Action: Opened, Counts: counts, Incident: t.nextID('i'), Run: t.nextID('r')}
}

// quietUntil is when matches of a closed incident open a new one again: as its
// close said, else as its rule does.
func quietUntil(i engine.Incident, p record.EventMatched) time.Time {
	if i.QuietUntil.IsZero() {
		return i.Closed.Add(p.Quiet)
	}
	return i.QuietUntil
}

// deduped finds the incident that was opened last under some names.
func (t *tx) deduped(names ...string) (engine.Incident, bool) {
	id, ok := t.Get(hashKey(classDedup, t.shard, names...))
	if !ok {
		return engine.Incident{}, false
	}
	return t.incident(string(id))
}

// throttled reports whether the rule has opened all the incidents that its span
// allows. The times of its last openings are kept, as many as the limit.
func (t *tx) throttled(p record.EventMatched) bool {
	if p.Throttle == 0 {
		return false
	}
	times, _ := get[[]time.Time](t, hashKey(classOpenings, t.shard, p.Rule))
	return len(times) >= p.Throttle && t.now.Sub(times[len(times)-p.Throttle]) < p.ThrottleIn
}

func (t *tx) noteOpening(p record.EventMatched) {
	if p.Throttle == 0 {
		return
	}
	k := hashKey(classOpenings, t.shard, p.Rule)
	times, _ := get[[]time.Time](t, k)
	times = append(times, t.now)
	t.put(k, times[max(0, len(times)-p.Throttle):])
}

func applyMatch(t *tx, p record.EventMatched, o record.Outcome) {
	t.remember(p.Offer, o.Incident)
	t.hit(p.Rule)
	t.mark(numbered(hitPrefix(t.shard, p.Rule), t.rec))
	i, exists := t.incident(o.Incident)
	switch {
	case exists:
		before := i
		i.Events++
		t.putIncident(i, before)
		if o.Run != "" {
			t.startAttached(p, o)
		}
	case o.Action == Throttled:
		t.openIncident(p, o, "Too many: "+p.Rule, overflowKey)
	default:
		t.openIncident(p, o, p.Title, p.Dedup)
		t.noteOpening(p)
		t.startRun(matchRun(t, p, o))
	}
	if exists {
		t.tally(aspectOf(i), func(c *engine.Tally) { c.Matched++ })
	}
	if i.Events <= engine.MaxEventsPerIncident {
		t.tell(o.Incident)
	}
}

func (t *tx) openIncident(p record.EventMatched, o record.Outcome, title, dedup string) {
	i := engine.Incident{
		ID: o.Incident, Status: engine.IncidentOpen, Title: title, Type: p.Type, Rule: p.Rule,
		Severity: p.Severity, Team: p.Team, Visible: p.Visible, Dedup: p.Dedup, Opened: t.now, Event: p.Event, Events: 1,
		Hours: p.Hours, Reporter: p.Reporter, Erased: t.erased,
	}
	t.newIncident(i, eventWords(p.Fields))
	t.limitsOf(i, p)
	if p.DedupSet || dedup == overflowKey {
		t.Set(hashKey(classDedup, t.shard, p.Rule, dedup), []byte(i.ID))
	}
	t.tally(aspectOf(i), func(c *engine.Tally) { c.Matched, c.Opened = c.Matched+1, c.Opened+1 })
}

// newIncident stores an incident that is open from now on; event are the words of
// what opened it.
func (t *tx) newIncident(i engine.Incident, event []string) {
	t.took(i.ID)
	t.putIncident(i, engine.Incident{})
	_, n, _ := engine.ParseID('i', i.ID)
	t.firstWords(n, incidentWords(i), event)
	t.mark(nounKey(classOpen, t.shard, n))
	t.countFor(i, func(c *engine.Counts) { c.OpenIncidents++ })
	t.tallyIn(minutes(), i.Opened, aspect{kind: i.Type}, func(c *engine.Tally) { c.Opened++ })
}

func matchRun(t *tx, p record.EventMatched, o record.Outcome) engine.Run {
	return engine.Run{
		ID: o.Run, Incident: o.Incident, Event: p.Event, Rule: p.Rule, Handler: p.Do, Args: p.Args,
		Bundle: p.Bundle, Commit: p.Commit, Purpose: PurposePlaybook, Mode: p.Mode, Saves: p.Saves, OnFailure: p.OnFailure, Erased: t.erased,
		MaxChanges: p.MaxChanges, MaxChangesIn: p.MaxChangesIn,
	}
}

// RuleHits says how often a rule matched.
type RuleHits struct {
	Hits int       `json:"hits"`
	Last time.Time `json:"last"`
}

func (t *tx) hit(rule string) {
	k := hashKey(classRule, t.shard, rule)
	h, _ := get[RuleHits](t, k)
	h.Hits++
	h.Last = t.now
	t.put(k, h)
}

func applyLogin(t *tx, _ record.LoggedIn, _ record.Outcome) {
	t.count(func(c *engine.Counts) { c.Logins++ })
}

type activated struct {
	Blob   string    `json:"blob"`
	Commit string    `json:"commit,omitempty"`
	Time   time.Time `json:"time"`
}

func applyBundle(t *tx, p record.BundleActivated, _ record.Outcome) {
	t.put(hashKey(classBundle, t.shard, p.Bundle), activated{p.Blob, p.Commit, t.now})
}
