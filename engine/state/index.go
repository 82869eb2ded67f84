package state

import (
	"encoding/binary"
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// Terms are what lists are filtered by: a filter and its value. Statuses that
// have an index of their own (open, in force, ready) have no term.
const (
	byStatus   = 's'
	byRule     = 'r'
	byType     = 't'
	bySeverity = 'v'
	byOwner    = 'o'
	byDeadline = 'd' // engine.Overdue
)

// maxTermBytes bounds a value in a key; lists compare whole values.
const maxTermBytes = 64

// termPrefix is where the nouns of a class with a filter's value are listed.
func termPrefix(class byte, shard uint16, filter byte, value string) []byte {
	k := append(key(classTerm, shard), class, filter)
	return append(append(k, cutText(value, maxTermBytes)...), 0)
}

// wordPrefix is where the incidents with a word are listed.
func wordPrefix(shard uint16, word string) []byte {
	return append(append(key(classWord, shard), word...), 0)
}

func numbered(prefix []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(prefix[:len(prefix):len(prefix)], n)
}

// moveTerm keeps the index of one filter when a noun's value changes; "" has no
// entry.
func (t *tx) moveTerm(class byte, n uint64, filter byte, before, after string) {
	if before == after {
		return
	}
	if before != "" {
		t.Delete(numbered(termPrefix(class, t.shard, filter, before), n))
	}
	if after != "" {
		t.mark(numbered(termPrefix(class, t.shard, filter, after), n))
	}
}

// listedAs is a status as its term, "" for the one with an index of its own.
func listedAs(status, indexed string) string {
	if status == indexed {
		return ""
	}
	return status
}

// indexIncident keeps the terms and words of an incident that changed.
func (t *tx) indexIncident(n uint64, before, after engine.Incident) {
	t.moveTerm(classIncident, n, byStatus, listedAs(before.Status, engine.IncidentOpen), listedAs(after.Status, engine.IncidentOpen))
	t.moveTerm(classIncident, n, byRule, before.Rule, after.Rule)
	t.moveTerm(classIncident, n, byType, before.Type, after.Type)
	t.moveTerm(classIncident, n, bySeverity, before.Severity, after.Severity)
	t.moveTerm(classIncident, n, byOwner, before.Owner, after.Owner)
	t.moveTerm(classIncident, n, byDeadline, before.Deadline(), after.Deadline())
	if before.ID == "" {
		return // openIncident knows its event's words too
	}
	if before.Title != after.Title || string(before.Fields) != string(after.Fields) {
		t.moveWords(n, incidentWords(before), incidentWords(after))
	}
}

// An entry of a word says where it stands. Most stand in the noun: those are
// empty.
const (
	inNoun      = 1
	inEvent     = 2
	inIndicator = 4
)

func (t *tx) putWord(word string, n uint64, where byte) {
	k := numbered(wordPrefix(t.shard, word), n)
	switch where {
	case 0:
		t.Delete(k)
	case inNoun:
		t.mark(k)
	default:
		t.Set(k, []byte{where})
	}
}

// firstWords indexes a new incident by its noun and its event.
func (t *tx) firstWords(n uint64, noun, event []string) {
	for _, w := range noun {
		where := byte(inNoun)
		if slices.Contains(event, w) {
			where |= inEvent
		}
		t.putWord(w, n, where)
	}
	for _, w := range event {
		if !slices.Contains(noun, w) {
			t.putWord(w, n, inEvent)
		}
	}
}

// moveWords takes words of the noun out of the index and puts others in. Those
// of the event stay.
func (t *tx) moveWords(n uint64, before, after []string) {
	for _, w := range before {
		if !slices.Contains(after, w) {
			t.putWord(w, n, t.wordAt(w, n)&^inNoun)
		}
	}
	for _, w := range after {
		if !slices.Contains(before, w) {
			t.putWord(w, n, t.wordAt(w, n)|inNoun)
		}
	}
}

func (t *tx) wordAt(word string, n uint64) byte {
	v, ok := t.Get(numbered(wordPrefix(t.shard, word), n))
	switch {
	case !ok:
		return 0
	case len(v) == 0:
		return inNoun
	}
	return v[0]
}

// hitPrefix is where the matches of a rule are listed, by record.
func hitPrefix(shard uint16, rule string) []byte { return hashKey(classHit, shard, rule) }

// RuleMatches lists what a rule matched, newest first.
func (s *State) RuleMatches(rule, cursor string, limit int) ([]engine.Hit, string, error) {
	return paged(s, cursor, limit, listing[engine.Hit]{
		seekers: func(r store.Reader, shard uint16) []seeker { return []seeker{listed(r, hitPrefix(shard, rule))} },
		load: func(r store.Reader, shard uint16, n uint64) (engine.Hit, time.Time, bool) {
			rec, err := ledger.ReadRecord(r, shard, n)
			if err != nil {
				panic(corrupt{hitPrefix(shard, rule), err})
			}
			return hitOf(rec), rec.Header.Time, true
		},
	})
}

func hitOf(rec ledger.Record) engine.Hit {
	o, _ := record.Unmarshal[record.Outcome](rec.Outcome)
	h := engine.Hit{Time: rec.Header.Time, Action: o.Action, Incident: o.Incident, Run: o.Run, Erased: rec.Erased}
	if p, err := unmarshalIf[record.EventMatched](rec.Payload); err == nil {
		h.Event, h.Kind, h.Source, h.Title = p.Event, p.EventKind, p.Source, p.Title
	}
	return h
}
