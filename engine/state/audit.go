package state

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// bundleFile is how a bundle lies in the store: its files, as JSON.
type bundleFile struct {
	Commit string            `json:"commit,omitempty"`
	Files  map[string]string `json:"files"`
}

// KeepBundle stores a bundle's content, before the record that activates it, and
// returns the sum under which it lies.
func (s *State) KeepBundle(b engine.Bundle) (string, error) {
	return s.blobs.Put(record.Marshal(bundleFile{b.Commit, b.Files}))
}

// KeepBlob stores what is too large for a record, before the record that names
// it by the sum returned.
func (s *State) KeepBlob(content []byte) (string, error) { return s.blobs.Put(content) }

// Bundle reads a bundle that was activated once; not_found for an unknown hash.
func (s *State) Bundle(hash string) (b engine.Bundle, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	known, ok := get[activated](view, hashKey(classBundle, 0, hash))
	if !ok {
		return b, engine.Errorf(engine.NotFound, "bundle %.12s: it was never live here", hash)
	}
	content, err := s.blobs.Get(known.Blob)
	if err != nil {
		return b, err
	}
	var f bundleFile
	if err := json.Unmarshal(content, &f); err != nil {
		return b, engine.WrapError(engine.Internal, err, "bundle "+hash)
	}
	return engine.Bundle{Hash: hash, Commit: known.Commit, Files: f.Files}, nil
}

// BundleFile returns one file of a bundle.
func (s *State) BundleFile(hash, path string) (string, error) {
	b, err := s.Bundle(hash)
	if err != nil {
		return "", err
	}
	text, ok := b.Files[path]
	if !ok {
		return "", engine.Errorf(engine.NotFound, "bundle %.12s has no file %q", hash, path)
	}
	return text, nil
}

// Audit lists records as auditors read them, newest first.
func (s *State) Audit(f engine.AuditFilter, cursor string, limit int) (out []engine.AuditRecord, next string, err error) {
	defer guard(&err)
	shard, before, err := parseCursor(cursor, s.shards)
	if err != nil {
		return nil, "", err
	}
	about, err := s.about(f.Incident)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), MaxPage)
	for ; shard >= 0 && next == ""; shard-- {
		last := ^uint64(0)
		if before != nil {
			last = binary.BigEndian.Uint64(before)
		}
		before = nil
		scanned := 0
		err = s.ledger.RecordsBackward(uint16(shard), last, func(r ledger.Record) bool {
			if len(out) == limit || scanned == maxScanned {
				next = formatCursor(shard, r.Header.Record)
				return false
			}
			scanned++
			if !f.Since.IsZero() && r.Header.Time.Before(f.Since) {
				return false
			}
			if about.covers(f, r) {
				out = append(out, auditRecord(s.ledger, r))
			}
			return true
		})
		if err != nil {
			return nil, "", err
		}
	}
	return out, next, nil
}

// Export calls fn for the records that a filter selects, oldest first, shard
// after shard.
func (s *State) Export(f engine.AuditFilter, fn func(engine.AuditRecord) error) error {
	about, err := s.about(f.Incident)
	if err != nil {
		return err
	}
	for shard := range s.shards {
		var failed error
		err := s.ledger.Records(uint16(shard), 0, func(r ledger.Record) bool {
			if about.covers(f, r) {
				failed = fn(auditRecord(s.ledger, r))
			}
			return failed == nil
		})
		if err = errors.Join(err, failed); err != nil {
			return err
		}
	}
	return nil
}

func auditRecord(l *ledger.Ledger, r ledger.Record) engine.AuditRecord {
	leaf, err := l.LeafOf(r.Header.Shard, r.Header.Record)
	if err != nil {
		leaf = "" // the record was read a moment ago; verify names the fault
	}
	return engine.AuditRecord{
		Shard: r.Header.Shard, Record: r.Header.Record, Time: r.Header.Time, Kind: r.Header.Kind.String(),
		Payload: r.Payload, Outcome: r.Outcome, Leaf: leaf, Erased: r.Erased,
	}
}

// subject holds the ids that belong to one incident; nil is everything.
type subject map[string]bool

// about collects the ids of an incident, its runs, questions and changes.
func (s *State) about(incident string) (subject, error) {
	if incident == "" {
		return nil, nil
	}
	i, err := s.Incident(incident)
	if err != nil {
		return nil, err
	}
	ids := subject{incident: true, i.Event: true}
	runs, _, err1 := s.Runs(engine.RunFilter{Incident: incident}, "", MaxPage)
	questions, _, err2 := s.Questions(engine.QuestionFilter{Incident: incident}, "", MaxPage)
	changes, _, err3 := s.Changes(engine.ChangeFilter{Incident: incident}, "", MaxPage)
	for _, r := range runs {
		ids[r.ID] = true
	}
	for _, q := range questions {
		ids[q.ID] = true
	}
	for _, c := range changes {
		ids[c.ID] = true
	}
	return ids, errors.Join(err1, err2, err3)
}

func (about subject) covers(f engine.AuditFilter, r ledger.Record) bool {
	if !f.Since.IsZero() && r.Header.Time.Before(f.Since) || !f.Until.IsZero() && !r.Header.Time.Before(f.Until) {
		return false
	}
	if about == nil {
		return true
	}
	var names struct{ Run, Incident, Question, Change, Event string }
	for _, part := range [][]byte{r.Payload, r.Outcome} {
		var raw map[string]json.RawMessage
		if json.Unmarshal(part, &raw) != nil {
			continue
		}
		for key, into := range map[string]*string{
			"run": &names.Run, "incident": &names.Incident, "question": &names.Question, "change": &names.Change, "event": &names.Event,
		} {
			var id string
			if json.Unmarshal(raw[key], &id) == nil && id != "" {
				*into = id
			}
			if about[*into] {
				return true
			}
		}
	}
	return false
}
