package state

import (
	"encoding/binary"
	"slices"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// erasureEntry is an erasure in one shard.
type erasureEntry struct {
	engine.Erasure
	// Parts are the records of the erasure that erased some.
	Parts []uint64 `json:"parts,omitempty"`
	// Last are the incidents of the last of them, which the next may go on with.
	Last []string `json:"last,omitempty"`
}

// standIn returns the payload to apply: of an erased record what is left of it,
// with the sentence in place of its texts. whole is false when nothing is.
func (t *tx) standIn(r ledger.Record) (payload []byte, whole bool, err error) {
	if !r.Erased {
		return r.Payload, true, nil
	}
	t.erased = erasedBy(r)
	if len(r.Erasure.Left) == 0 {
		return nil, false, nil
	}
	payload, err = record.Say(r.Header.Kind, r.Erasure.Left, t.erased.String())
	return payload, true, err
}

// erasedBy says what became of an erased record; nil for others.
func erasedBy(r ledger.Record) *engine.Erased {
	if !r.Erased {
		return nil
	}
	return &engine.Erased{At: r.Erasure.Time, Because: r.Erasure.Because, Erasure: r.Erasure.Name}
}

// remaining is a record's payload, or what is left of it.
func remaining(r ledger.Record) []byte {
	if r.Erased {
		return r.Erasure.Left
	}
	return r.Payload
}

// decideErased refuses to erase what came into use again.
func decideErased(t *tx, p record.Erased) record.Outcome {
	for _, id := range p.Incidents {
		if why := unsettled(t, id); why != "" {
			return refuse(why)
		}
	}
	return record.Outcome{Applied: true}
}

// unsettled says why what belongs to an incident may not be erased now; "" when
// it may.
func unsettled(r store.Reader, id string) (why string) {
	shard, n, ok := engine.ParseID('i', id)
	i, found := get[engine.Incident](r, nounKey(classIncident, shard, n))
	switch {
	case !ok || !found:
		return ""
	case i.Status != engine.IncidentClosed:
		return "incident " + id + " is open: close it first"
	}
	eachPart(r, classRunOf, shard, n, func(part uint64) bool {
		run, _ := get[engine.Run](r, nounKey(classRun, shard, part))
		if !ended(run.Status) {
			why = "run " + run.ID + " of incident " + id + " is " + run.Status + ": let it end first"
		}
		return why == ""
	})
	eachPart(r, classChangeOf, shard, n, func(part uint64) bool {
		c, _ := get[engine.Change](r, nounKey(classChange, shard, part))
		if c.Status == engine.ChangeInForce {
			why = "change " + c.ID + " of incident " + id + " is in force: undo it, or wait until its time is over"
		}
		return why == ""
	})
	return why
}

// eachPart calls fn with the numbers of an incident's runs, questions or changes
// until it returns false.
func eachPart(r store.Reader, class byte, shard uint16, incident uint64, fn func(n uint64) bool) {
	for _, n := range numbersOf(r, nounKey(class, shard, incident)) {
		if !fn(n) {
			return
		}
	}
}

// numbersOf lists the numbers that stand behind a prefix.
func numbersOf(r store.Reader, prefix []byte) (numbers []uint64) {
	r.Scan(prefix, nil, false, func(k, _ []byte) bool {
		numbers = append(numbers, binary.BigEndian.Uint64(k[len(prefix):]))
		return true
	})
	return numbers
}

func applyErased(t *tx, p record.Erased, _ record.Outcome) {
	first := t.rec
	of := hashKey(classErasureOf, t.shard, p.Erasure)
	if b, ok := t.Get(of); ok {
		first = binary.BigEndian.Uint64(b)
	} else {
		t.Set(of, binary.BigEndian.AppendUint64(nil, first))
	}
	k := nounKey(classErasure, t.shard, first)
	e, ok := get[erasureEntry](t, k)
	if !ok {
		e.Erasure = engine.Erasure{
			ID: p.Erasure, Asked: t.now, By: p.By, How: p.How, Because: p.Because,
			Incident: p.What.Incident, Person: p.What.Person, Before: p.What.Before, Sizes: p.Sizes,
			Snapshots: p.Snapshots,
		}
	}
	e.Status, e.Ended, e.Waits = erasureStatus(p), t.now, nil
	for _, w := range p.Waits {
		e.Waits = append(e.Waits, engine.Waiting(w))
	}
	if !slices.Equal(e.Last, p.Incidents) {
		e.Incidents, e.Last = e.Incidents+len(p.Incidents), p.Incidents
	}
	for _, s := range p.Spans {
		e.Records += len(s.Left)
	}
	if len(p.Spans) > 0 {
		e.Parts = append(e.Parts, t.rec)
	}
	t.put(k, e)
}

func erasureStatus(p record.Erased) string {
	switch {
	case !p.Done:
		return engine.ErasureRunning
	case len(p.Waits) > 0:
		return engine.ErasureWaits
	}
	return engine.ErasureDone
}

// Unsettled says why what belongs to an incident may not be erased now, and what
// to do about it; "" when it may.
func (s *State) Unsettled(incident string) (why string, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	return unsettled(view, incident), nil
}

// EventRecord returns the number of an event's record in the shard that its id
// names, and whether the event still waits to be routed.
func (s *State) EventRecord(id string) (n uint64, waits bool, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	shard, number, ok := engine.ParseID('e', id)
	b, found := view.Get(nounKey(classEvent, shard, number))
	if !ok || !found {
		return 0, false, engine.Errorf(engine.NotFound, "event %q: there is none", id)
	}
	_, waits = view.Get(nounKey(classInbox, shard, number))
	return binary.BigEndian.Uint64(b), waits, nil
}

// Part is records of an erasure that erased others, in one shard.
type Part struct {
	Shard   uint16
	Records []uint64
}

// Erasure returns one erasure with all its parts; not_found for an unknown id.
func (s *State) Erasure(id string) (sum engine.Erasure, parts []Part, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	for shard := range s.shards {
		b, ok := view.Get(hashKey(classErasureOf, uint16(shard), id))
		if !ok {
			continue
		}
		e, _ := get[erasureEntry](view, nounKey(classErasure, uint16(shard), binary.BigEndian.Uint64(b)))
		sum = addShard(sum, e.Erasure)
		parts = append(parts, Part{uint16(shard), e.Parts})
	}
	if sum.ID == "" {
		err = engine.Errorf(engine.NotFound, "erasure %q: there is none", id)
	}
	return sum, parts, err
}

// addShard adds what an erasure did in another shard. The first shard it touched
// tells the rest.
func addShard(sum, e engine.Erasure) engine.Erasure {
	if sum.ID == "" {
		return e
	}
	sum.Records += e.Records
	sum.Incidents += e.Incidents
	return sum
}

// Erasures lists erasures, newest first. Every one begins in shard 0.
func (s *State) Erasures(cursor string, limit int) (out []engine.Erasure, next string, err error) {
	view := s.view()
	defer view.Close()
	_, before, err := parseCursor(cursor, 1)
	if err != nil {
		return nil, "", err
	}
	var ids []string
	func() {
		defer guard(&err)
		prefix := key(classErasure, 0)
		view.Scan(prefix, startAt(prefix, before), true, func(k, _ []byte) bool {
			n := binary.BigEndian.Uint64(k[len(prefix):])
			if len(ids) == min(max(limit, 1), MaxPage) {
				next = formatCursor(0, n)
				return false
			}
			e, ok := get[erasureEntry](view, append([]byte(nil), k...))
			if ok {
				ids = append(ids, e.ID)
			}
			return true
		})
	}()
	for _, id := range ids {
		e, _, failed := s.Erasure(id)
		if failed != nil {
			return nil, "", failed
		}
		out = append(out, e)
	}
	return out, next, err
}
