package state

import (
	"time"

	"larkspur/engine"
	"larkspur/engine/store"
)

// want is a filter with the value that it asks for.
type want struct {
	filter byte
	value  string
}

// wanted returns the seekers of the filters that ask for something.
func wanted(r store.Reader, class byte, shard uint16, wants ...want) []seeker {
	var list []seeker
	for _, w := range wants {
		if w.value != "" {
			list = append(list, listed(r, termPrefix(class, shard, w.filter, w.value)))
		}
	}
	return list
}

// orAll returns the seeker of a whole class where there is none yet.
func orAll(r store.Reader, class byte, shard uint16, list []seeker) []seeker {
	if len(list) == 0 {
		list = []seeker{listed(r, key(class, shard))}
	}
	return list
}

// byState narrows by a status: by its own index where it has one.
func byState(r store.Reader, class, index byte, shard uint16, status, indexed string, list []seeker) []seeker {
	switch status {
	case "":
		return list
	case indexed:
		return append(list, listed(r, key(index, shard)))
	}
	return append(list, listed(r, termPrefix(class, shard, byStatus, status)))
}

// loaded reads nouns of a class.
func loaded[T any](class byte, at func(T) time.Time, keep func(T) bool) func(store.Reader, uint16, uint64) (T, time.Time, bool) {
	return func(r store.Reader, shard uint16, n uint64) (T, time.Time, bool) {
		item, ok := get[T](r, nounKey(class, shard, n))
		return item, at(item), ok && keep(item)
	}
}

func match(want, got string) bool { return want == "" || want == got }

// Incidents lists incidents. f.Text is a search.
func (s *State) Incidents(f engine.IncidentFilter, cursor string, limit int) ([]engine.Incident, string, error) {
	q, err := parseSearch(f.Text)
	if err != nil || q.hopeless {
		return nil, "", err
	}
	for _, w := range append(q.wants, want{byStatus, f.Status}, want{byRule, f.Rule}, want{byType, f.Type}, want{bySeverity, f.Severity}, want{byOwner, f.Owner},
		want{byDeadline, f.Deadline}) {
		if w.value != "" {
			q.filters = append(q.filters, w)
		}
	}
	keep := func(i engine.Incident) bool {
		if i.Opened.Before(f.Since) || f.Dedup != "" && i.Dedup != f.Dedup {
			return false
		}
		for _, w := range q.filters {
			if w.value != attribute(i, w.filter) {
				return false
			}
		}
		return true
	}
	l := listing[engine.Incident]{load: loaded(classIncident, func(i engine.Incident) time.Time { return i.Opened }, keep)}
	l.over = func(i engine.Incident) bool { return i.Updated.Before(f.Since) } // and so were all before it opened earlier
	l.load = q.sift(l.load)
	if len(q.found)+len(q.texts) > 0 || q.prefix != "" {
		l.cost = 3 // the event is read, too
	}
	if shard, _, ok := engine.ParseID('i', q.id); ok {
		l.only = &shard
	}
	l.seekers = func(r store.Reader, shard uint16) []seeker {
		var list []seeker
		for _, w := range q.filters {
			if w.filter == byStatus {
				list = byState(r, classIncident, classOpen, shard, w.value, engine.IncidentOpen, list)
			} else {
				list = append(list, wanted(r, classIncident, shard, w)...)
			}
		}
		return orAll(r, classIncident, shard, q.seekers(r, shard, list))
	}
	return paged(s, cursor, limit, l)
}

// attribute is what a filter looks at.
func attribute(i engine.Incident, filter byte) string {
	switch filter {
	case byStatus:
		return i.Status
	case byRule:
		return i.Rule
	case byType:
		return i.Type
	case bySeverity:
		return i.Severity
	case byDeadline:
		return i.Deadline()
	}
	return i.Owner
}

// ofIncident lists an incident's runs, questions or changes.
func ofIncident[T any](l listing[T], index byte, incident string) (listing[T], error) {
	shard, i, ok := engine.ParseID('i', incident)
	if !ok {
		return l, engine.Errorf(engine.NotFound, "incident %q: there is none", incident)
	}
	l.only = &shard
	l.seekers = func(r store.Reader, _ uint16) []seeker { return []seeker{listed(r, nounKey(index, shard, i))} }
	return l, nil
}

// Runs lists runs.
func (s *State) Runs(f engine.RunFilter, cursor string, limit int) (_ []engine.Run, _ string, err error) {
	of := loaded(classRun, func(r engine.Run) time.Time { return r.Started }, func(r engine.Run) bool {
		return match(f.Status, r.Status) && match(f.Rule, r.Rule)
	})
	l := listing[engine.Run]{
		load: func(view store.Reader, shard uint16, n uint64) (engine.Run, time.Time, bool) {
			r, at, ok := of(view, shard, n)
			if ok {
				sayHolders(view, &r)
			}
			return r, at, ok
		},
		seekers: func(r store.Reader, shard uint16) []seeker {
			list := wanted(r, classRun, shard, want{byRule, f.Rule})
			return orAll(r, classRun, shard, byState(r, classRun, classReady, shard, f.Status, engine.RunRunning, list))
		},
	}
	if f.Incident != "" {
		if l, err = ofIncident(l, classRunOf, f.Incident); err != nil {
			return nil, "", err
		}
	}
	return paged(s, cursor, limit, l)
}

// Questions lists questions.
func (s *State) Questions(f engine.QuestionFilter, cursor string, limit int) (_ []engine.Question, _ string, err error) {
	l := listing[engine.Question]{
		load: loaded(classQuestion, func(q engine.Question) time.Time { return q.Asked }, func(q engine.Question) bool { return match(f.Status, q.Status) }),
		seekers: func(r store.Reader, shard uint16) []seeker {
			return orAll(r, classQuestion, shard, byState(r, classQuestion, classAsked, shard, f.Status, engine.QuestionOpen, nil))
		},
	}
	if f.Incident != "" {
		if l, err = ofIncident(l, classQuestionOf, f.Incident); err != nil {
			return nil, "", err
		}
	}
	return paged(s, cursor, limit, l)
}

// Changes lists changes.
func (s *State) Changes(f engine.ChangeFilter, cursor string, limit int) (_ []engine.Change, _ string, err error) {
	l := listing[engine.Change]{
		load: loaded(classChange, func(c engine.Change) time.Time { return c.Made }, func(c engine.Change) bool { return match(f.Status, c.Status) }),
		seekers: func(r store.Reader, shard uint16) []seeker {
			return orAll(r, classChange, shard, byState(r, classChange, classInForce, shard, f.Status, engine.ChangeInForce, nil))
		},
	}
	if f.Incident != "" {
		if l, err = ofIncident(l, classChangeOf, f.Incident); err != nil {
			return nil, "", err
		}
	}
	return paged(s, cursor, limit, l)
}

func startAt(prefix, number []byte) []byte {
	if number == nil {
		return nil
	}
	return append(append([]byte(nil), prefix...), number...)
}
