package state

import (
	"cmp"
	"crypto/sha256"
	"slices"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// Evidence of an incident: its attachments and indicators, each under a key of its
// own, so that a record writes one of them alone.

// Parts of classEvidence.
const (
	attachmentPart = 'a'
	indicatorPart  = 'i'
)

// attachWord is the builtin whose blob is what it attaches, not its result.
const attachWord = "incident.attach"

// maxSources bounds the sources of one indicator; later ones are not kept.
const maxSources = 20

func evidencePrefix(incident string, part byte) []byte {
	k, _ := idKey(classEvidence, 'i', incident)
	return append(k, part)
}

func evidenceKey(incident string, part byte, names ...string) []byte {
	h := sha256.New()
	for _, n := range names {
		h.Write([]byte(n))
		h.Write([]byte{0})
	}
	return append(evidencePrefix(incident, part), h.Sum(nil)[:16]...)
}

// attach puts a file on an incident; the same under the same name is there once.
func (t *tx) attach(i engine.Incident, a record.IncidentAct) {
	if a.Attachment == nil {
		return // it is erased
	}
	k := evidenceKey(i.ID, attachmentPart, a.Attachment.Name, a.Attachment.SHA256)
	if _, there := t.Get(k); !there {
		one := *a.Attachment
		one.At, one.By = t.now, a.By
		t.put(k, one)
	}
	t.putIncident(i, i)
}

// indicate puts an indicator on an incident. Of one that is there, the verdict is
// the newest, and its sources are joined.
func (t *tx) indicate(i engine.Incident, a record.IncidentAct) {
	if a.Indicator == nil {
		return
	}
	k := evidenceKey(i.ID, indicatorPart, a.Indicator.Value)
	one := *a.Indicator
	one.First, one.At, one.By = t.now, t.now, a.By
	if before, there := get[engine.Indicator](t, k); there {
		one.First = before.First
		one.Sources = slices.Clone(before.Sources)
		for _, s := range a.Indicator.Sources {
			if !slices.Contains(one.Sources, s) && len(one.Sources) < maxSources {
				one.Sources = append(one.Sources, s)
			}
		}
	} else {
		_, n, _ := engine.ParseID('i', i.ID)
		for _, w := range indicatorWords(one) {
			t.putWord(w, n, t.wordAt(w, n)|inIndicator)
		}
	}
	t.put(k, one)
	t.putIncident(i, i)
}

// maxIndicatorWords bounds what search finds an incident by of one indicator.
const maxIndicatorWords = 16

func indicatorWords(i engine.Indicator) []string {
	l := &wordList{limit: maxIndicatorWords}
	l.text(i.Value)
	return l.words
}

// evidence lists one part of it, as it came.
func evidence[T any](r store.Reader, incident string, part byte, before func(a, b T) int) []T {
	list := []T{}
	if _, _, ok := engine.ParseID('i', incident); !ok {
		return list
	}
	r.Scan(evidencePrefix(incident, part), nil, false, func(k, _ []byte) bool {
		if one, ok := get[T](r, k); ok {
			list = append(list, one)
		}
		return true
	})
	slices.SortStableFunc(list, before)
	return list
}

// Attachments lists the files on an incident, the oldest first.
func (s *State) Attachments(incident string) (list []engine.Attachment, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	return evidence(view, incident, attachmentPart, func(a, b engine.Attachment) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Name, b.Name)) }), nil
}

// Attachment reads the content of a file on an incident; not_found for one that is
// not there, or not any more.
func (s *State) Attachment(incident, sum string) (a engine.Attachment, content []byte, err error) {
	list, err := s.Attachments(incident)
	if err != nil {
		return a, nil, err
	}
	for _, a := range list {
		if a.SHA256 == sum {
			content, err := s.blobs.Get(sum)
			return a, content, err
		}
	}
	return a, nil, engine.Errorf(engine.NotFound, "incident %s has no such attachment", incident)
}

// Indicators lists those of an incident, the oldest first.
func (s *State) Indicators(incident string) (list []engine.Indicator, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	return evidence(view, incident, indicatorPart, func(a, b engine.Indicator) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.Value, b.Value))
	}), nil
}
