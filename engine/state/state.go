package state

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
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

// MaxPage bounds one page of a list.
const MaxPage = 500

// maxScanned bounds what one page of a filtered list looks at; the cursor goes
// on behind it.
const maxScanned = 20_000

func (s *State) view() *store.View { return s.store.View() }

// list pages through the nouns of a class.
func list[T any](s *State, class byte, cursor string, limit int, keep func(T) bool) ([]T, string, error) {
	return listBy(s, class, class, cursor, limit, keep)
}

func formatCursor(shard int, n uint64) string {
	return strconv.Itoa(shard) + "." + strconv.FormatUint(n, 36)
}

// parseCursor returns where a list goes on; the class is put in by the caller's
// scan, so that only the number matters.
func parseCursor(cursor string, shards int) (shard int, before []byte, err error) {
	if cursor == "" {
		return shards - 1, nil, nil
	}
	a, b, _ := strings.Cut(cursor, ".")
	shard, err1 := strconv.Atoi(a)
	n, err2 := strconv.ParseUint(b, 36, 64)
	if err1 != nil || err2 != nil || shard < 0 || shard >= shards {
		return 0, nil, engine.Errorf(engine.Invalid, "cursor: got %.40q, want one that a list returned as next", cursor)
	}
	return shard, binary.BigEndian.AppendUint64(nil, n), nil
}

// Incidents lists incidents.
func (s *State) Incidents(f engine.IncidentFilter, cursor string, limit int) ([]engine.Incident, string, error) {
	text := strings.ToLower(f.Text)
	keep := func(i engine.Incident) bool {
		return match(f.Status, i.Status) && match(f.Rule, i.Rule) && match(f.Type, i.Type) && match(f.Severity, i.Severity) &&
			match(f.Owner, i.Owner) && (text == "" || strings.Contains(strings.ToLower(i.Title), text) || i.ID == f.Text)
	}
	if f.Status == engine.IncidentOpen {
		return listBy(s, classOpen, classIncident, cursor, limit, keep)
	}
	return list(s, classIncident, cursor, limit, keep)
}

func match(want, got string) bool { return want == "" || want == got }

// listBy pages through an index whose entries name nouns of another class.
func listBy[T any](s *State, index, class byte, cursor string, limit int, keep func(T) bool) ([]T, string, error) {
	var out []T
	view := s.view()
	defer view.Close()
	next, err := pageIndex(s, view, index, cursor, limit, func(shard uint16, n uint64) bool {
		item, ok := get[T](view, nounKey(class, shard, n))
		if ok && keep(item) {
			out = append(out, item)
			return true
		}
		return false
	})
	return out, next, err
}

// pageIndex calls take for index entries, newest first, until limit were taken.
func pageIndex(s *State, r store.Reader, index byte, cursor string, limit int, take func(shard uint16, n uint64) bool) (next string, err error) {
	defer guard(&err)
	shard, before, err := parseCursor(cursor, s.shards)
	if err != nil {
		return "", err
	}
	limit = min(max(limit, 1), MaxPage)
	taken, scanned := 0, 0
	for ; shard >= 0 && next == ""; shard-- {
		prefix := key(index, uint16(shard))
		start := append([]byte(nil), prefix...)
		start = append(start, before...)
		if before == nil {
			start = nil
		}
		r.Scan(prefix, start, true, func(k, _ []byte) bool {
			n := binary.BigEndian.Uint64(k[3:])
			if taken == limit || scanned == maxScanned {
				next = formatCursor(shard, n)
				return false
			}
			scanned++
			if take(uint16(shard), n) {
				taken++
			}
			return true
		})
		before = nil
	}
	return next, nil
}

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
func (s *State) Run(id string) (engine.Run, error) {
	return lookup[engine.Run](s, classRun, 'r', id, "run")
}

// Question returns one question.
func (s *State) Question(id string) (engine.Question, error) {
	return lookup[engine.Question](s, classQuestion, 'q', id, "question")
}

// Change returns one change.
func (s *State) Change(id string) (engine.Change, error) {
	return lookup[engine.Change](s, classChange, 'c', id, "change")
}

// Runs lists runs.
func (s *State) Runs(f engine.RunFilter, cursor string, limit int) ([]engine.Run, string, error) {
	keep := func(r engine.Run) bool { return match(f.Status, r.Status) && match(f.Rule, r.Rule) }
	if f.Incident != "" {
		return listOf(s, classRunOf, classRun, f.Incident, cursor, limit, keep)
	}
	return list(s, classRun, cursor, limit, keep)
}

// Questions lists questions.
func (s *State) Questions(f engine.QuestionFilter, cursor string, limit int) ([]engine.Question, string, error) {
	keep := func(q engine.Question) bool { return match(f.Status, q.Status) }
	switch {
	case f.Incident != "":
		return listOf(s, classQuestionOf, classQuestion, f.Incident, cursor, limit, keep)
	case f.Status == engine.QuestionOpen:
		return listBy(s, classAsked, classQuestion, cursor, limit, keep)
	}
	return list(s, classQuestion, cursor, limit, keep)
}

// Changes lists changes.
func (s *State) Changes(f engine.ChangeFilter, cursor string, limit int) ([]engine.Change, string, error) {
	keep := func(c engine.Change) bool { return match(f.Status, c.Status) }
	switch {
	case f.Incident != "":
		return listOf(s, classChangeOf, classChange, f.Incident, cursor, limit, keep)
	case f.Status == engine.ChangeInForce:
		return listBy(s, classInForce, classChange, cursor, limit, keep)
	}
	return list(s, classChange, cursor, limit, keep)
}

// listOf pages through an incident's runs, questions or changes, newest first.
func listOf[T any](s *State, index, class byte, incident, cursor string, limit int, keep func(T) bool) (items []T, next string, err error) {
	defer guard(&err)
	shard, i, ok := engine.ParseID('i', incident)
	if !ok {
		return nil, "", engine.Errorf(engine.NotFound, "incident %q: there is none", incident)
	}
	view := s.view()
	defer view.Close()
	_, before, err := parseCursor(cursor, int(shard)+1)
	if err != nil {
		return nil, "", err
	}
	prefix := nounKey(index, shard, i)
	limit = min(max(limit, 1), MaxPage)
	view.Scan(prefix, startAt(prefix, before), true, func(k, _ []byte) bool {
		n := binary.BigEndian.Uint64(k[len(prefix):])
		if len(items) == limit {
			next = formatCursor(int(shard), n)
			return false
		}
		if item, ok := get[T](view, nounKey(class, shard, n)); ok && keep(item) {
			items = append(items, item)
		}
		return true
	})
	return items, next, nil
}

func startAt(prefix, number []byte) []byte {
	if number == nil {
		return nil
	}
	return append(append([]byte(nil), prefix...), number...)
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
		if !ok {
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
	payload, ok := ledger.ReadPayload(r, shard, binary.BigEndian.Uint64(b))
	if !ok {
		return engine.Event{ID: id}, nil // erased
	}
	p, err := record.Unmarshal[record.EventSeen](payload)
	if err != nil {
		return engine.Event{}, err
	}
	fields, err := p.Fields.Value()
	if err != nil {
		return engine.Event{}, err
	}
	m, _ := fields.(map[string]engine.Value)
	return engine.Event{ID: id, Kind: p.Kind, Source: p.Source, Time: p.Time, Logsource: p.Logsource, Fields: m}, nil
}

// Inbox calls fn for each event of a shard that waits to be routed.
func (s *State) Inbox(shard uint16, fn func(engine.Event)) (err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	var ids []string
	view.Scan(key(classInbox, shard), nil, false, func(k, _ []byte) bool {
		ids = append(ids, engine.FormatID('e', shard, binary.BigEndian.Uint64(k[3:])))
		return len(ids) < maxScanned
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
