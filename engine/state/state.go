package state

import (
	"encoding/binary"
	"encoding/hex"
	"time"

	"crypto/sha256"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// State answers questions about what the ledger made. Every call reads one
// consistent moment. Safe for concurrent use.
//
// Lists are newest first. A cursor is opaque: pass back what the page before
// returned; empty begins, and an empty next is the end.
type State struct {
	store  *store.Store
	blobs  *store.Blobs
	ledger *ledger.Ledger
	shards int
}

// Open returns the state of a ledger.
func Open(s *store.Store, blobs *store.Blobs, l *ledger.Ledger) *State {
	return &State{store: s, blobs: blobs, ledger: l, shards: l.Shards()}
}

// maxInbox bounds how many waiting events are handed out at once.
const maxInbox = 20_000

func (s *State) view() *store.View { return s.store.View() }

func lookup[T any](s *State, class, letter byte, id, noun string) (item T, err error) {
	defer guard(&err)
	k, ok := idKey(class, letter, id)
	if ok {
		view := s.view()
		defer view.Close()
		item, ok = get[T](view, k)
	}
	if !ok {
		return item, engine.Errorf(engine.NotFound, "%s %q: there is none", noun, id)
	}
	return item, nil
}

// Incident returns one incident; not_found for an unknown id.
func (s *State) Incident(id string) (engine.Incident, error) {
	return lookup[engine.Incident](s, classIncident, 'i', id, "incident")
}

// Run returns one run.
func (s *State) Run(id string) (r engine.Run, err error) {
	defer guard(&err)
	if r, err = lookup[engine.Run](s, classRun, 'r', id, "run"); err == nil && len(r.Locks) > 0 {
		view := s.view()
		defer view.Close()
		sayHolders(view, &r)
	}
	return r, err
}

// Question returns one question.
func (s *State) Question(id string) (engine.Question, error) {
	return lookup[engine.Question](s, classQuestion, 'q', id, "question")
}

// Change returns one change.
func (s *State) Change(id string) (engine.Change, error) {
	return lookup[engine.Change](s, classChange, 'c', id, "change")
}

// Counts returns the maintained counters, summed over the shards.
func (s *State) Counts() (sum engine.Counts, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	for shard := range s.shards {
		c, _ := get[engine.Counts](view, key(classCounts, uint16(shard)))
		sum.OpenIncidents += c.OpenIncidents
		sum.OpenQuestions += c.OpenQuestions
		sum.ChangesInForce += c.ChangesInForce
		sum.WaitingRuns += c.WaitingRuns
		sum.Logins += c.Logins
		sum.Overdue += c.Overdue
	}
	return sum, nil
}

// Hits returns how often a rule matched.
func (s *State) Hits(rule string) (sum RuleHits, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	for shard := range s.shards {
		h, _ := get[RuleHits](view, hashKey(classRule, uint16(shard), rule))
		sum.Hits += h.Hits
		if h.Last.After(sum.Last) {
			sum.Last = h.Last
		}
	}
	return sum, nil
}

// QuestionByToken returns the question that a link's token leads to, and whom
// the link was made for; not_found for an unknown token.
func (s *State) QuestionByToken(token string) (q engine.Question, who engine.Addressee, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	sum := sha256.Sum256([]byte(token))
	for shard := range s.shards {
		l, ok := get[link](view, append(key(classToken, uint16(shard)), sum[:]...))
		if !ok || l.Button != "" {
			continue
		}
		k, _ := idKey(classQuestion, 'q', l.Question)
		if q, ok = get[engine.Question](view, k); !ok {
			break
		}
		return q, addressee(q, l.Person), nil
	}
	return q, who, engine.Errorf(engine.NotFound, "link: it leads to no question").
		WithHint("open the link as it stands in the mail; if it was cut, ask for the question to be sent again")
}

func addressee(q engine.Question, person string) engine.Addressee {
	for _, a := range q.To {
		if a.Name == person || a.Name == "" && a.Email == person {
			return a
		}
	}
	return engine.Addressee{Name: person}
}

// TokenSum is how a token is stored.
func TokenSum(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Event returns one event.
func (s *State) Event(id string) (e engine.Event, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	return readEvent(view, id)
}

func readEvent(r store.Reader, id string) (engine.Event, error) {
	shard, n, ok := engine.ParseID('e', id)
	b, found := r.Get(nounKey(classEvent, shard, n))
	if !ok || !found {
		return engine.Event{}, engine.Errorf(engine.NotFound, "event %q: there is none", id)
	}
	payload, erased, err := readPayload(r, shard, binary.BigEndian.Uint64(b))
	if err != nil {
		return engine.Event{}, err
	}
	p, err := unmarshalIf[record.EventSeen](payload)
	if err != nil {
		return engine.Event{}, err
	}
	fields, err := p.Fields.Value()
	if err != nil {
		return engine.Event{}, err
	}
	m, _ := fields.(map[string]engine.Value)
	return engine.Event{ID: id, Kind: p.Kind, Source: p.Source, Time: p.Time, Logsource: p.Logsource, Fields: m, Erased: erased}, nil
}

// Inbox calls fn for each event of a shard that waits to be routed.
func (s *State) Inbox(shard uint16, fn func(engine.Event)) (err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	var ids []string
	view.Scan(key(classInbox, shard), nil, false, func(k, _ []byte) bool {
		ids = append(ids, engine.FormatID('e', shard, binary.BigEndian.Uint64(k[3:])))
		return len(ids) < maxInbox
	})
	for _, id := range ids {
		e, err := readEvent(view, id)
		if err != nil {
			return err
		}
		fn(e)
	}
	return nil
}

// Ready lists the runs of a shard that want a worker.
func (s *State) Ready(shard uint16) (ids []string, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	view.Scan(key(classReady, shard), nil, false, func(k, _ []byte) bool {
		ids = append(ids, engine.FormatID('r', shard, binary.BigEndian.Uint64(k[3:])))
		return true
	})
	return ids, nil
}

// NextTimer returns the timer of a shard that is due first; false for none.
func (s *State) NextTimer(shard uint16) (tm engine.Timer, ok bool, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	from, _ := moment(view, classDueFrom, shard)
	view.Scan(key(classDue, shard), momentKey(classDue, shard, from), false, func(k, _ []byte) bool {
		tm, ok = get[engine.Timer](view, nounKey(classTimer, shard, binary.BigEndian.Uint64(k[11:])))
		return !ok
	})
	return tm, ok, nil
}

// DueTimers returns the timers of a shard that are due at a moment, at most
// limit.
func (s *State) DueTimers(shard uint16, at time.Time, limit int) (due []engine.Timer, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	from, _ := moment(view, classDueFrom, shard)
	view.Scan(key(classDue, shard), momentKey(classDue, shard, from), false, func(k, _ []byte) bool {
		if int64(binary.BigEndian.Uint64(k[3:])) > at.UnixNano() || len(due) == limit {
			return false
		}
		if tm, ok := get[engine.Timer](view, nounKey(classTimer, shard, binary.BigEndian.Uint64(k[11:]))); ok {
			due = append(due, tm)
		}
		return true
	})
	return due, nil
}

// ChangeOfStep returns the change that a step of a run made.
func (s *State) ChangeOfStep(run engine.Run, step string) (engine.Change, error) {
	changes, _, err := s.Changes(engine.ChangeFilter{Incident: run.Incident}, "", MaxPage)
	for _, c := range changes {
		if c.Run == run.ID && c.Step == step {
			return c, nil
		}
	}
	if err == nil {
		err = engine.Errorf(engine.NotFound, "step %s of run %s made no change", step, run.ID)
	}
	return engine.Change{}, err
}
