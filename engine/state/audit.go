package state

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"sort"
	"time"

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
// returns the sum under which it lies. Release it like any blob.
func (s *State) KeepBundle(b engine.Bundle) (string, error) {
	return s.blobs.Put(record.Marshal(bundleFile{b.Commit, b.Files}))
}

// KeepBlob stores what is too large for a record, before the record that names
// it by the sum returned. It stays until ReleaseBlob, named or not.
func (s *State) KeepBlob(content []byte) (string, error) { return s.blobs.Put(content) }

// ReleaseBlob says that the record for which a blob was kept is written, or will
// never be: from now on it stays as long as a record names it.
func (s *State) ReleaseBlob(sum string) { s.blobs.Release(sum) }

// Blob reads what was kept by its sum; not_found for one that is not there.
func (s *State) Blob(sum string) ([]byte, error) { return s.blobs.Get(sum) }

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
	from, err := parsePlaces(cursor, s.shards)
	if err != nil {
		return nil, "", err
	}
	about, err := s.about(f.Incident)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), MaxPage)
	var lanes []lane[engine.AuditRecord]
	for shard := range uint16(s.shards) {
		last, ok := from[shard]
		if !ok {
			continue
		}
		l, err := s.auditLane(shard, last, limit, f, about)
		if err != nil {
			return nil, "", err
		}
		lanes = append(lanes, l)
	}
	out, next = merge(lanes, limit)
	return out, next, nil
}

// auditLane reads what one shard gives to a page of the audit log.
func (s *State) auditLane(shard uint16, last uint64, limit int, f engine.AuditFilter, about subject) (lane[engine.AuditRecord], error) {
	l := lane[engine.AuditRecord]{shard: shard}
	last, err := s.lastBefore(shard, last, f.Until)
	if err != nil {
		return l, err
	}
	looks := maxAuditLooks / s.shards
	err = s.ledger.RecordsBackward(shard, last, func(r ledger.Record) bool {
		if !f.Since.IsZero() && r.Header.Time.Before(f.Since) {
			return false
		}
		if l.cut = looks == 0; l.cut || len(l.found) == limit {
			l.rest, l.more = r.Header.Record, true
			return false
		}
		looks--
		l.reached = r.Header.Time
		if about.covers(f, r) {
			l.found = append(l.found, found[engine.AuditRecord]{auditRecord(r), r.Header.Time, r.Header.Record})
		}
		return true
	})
	return l, err
}

// maxAuditLooks bounds how many records one page of the audit log looks at.
const maxAuditLooks = 4_000

// lastBefore returns the number of the last record before a moment, if it is
// below last: the times of a shard's records never go back.
func (s *State) lastBefore(shard uint16, last uint64, until time.Time) (uint64, error) {
	if until.IsZero() {
		return last, nil
	}
	view := s.view()
	defer view.Close()
	b, _ := view.Get(key(classPosition, shard))
	if len(b) < 8 {
		return last, nil
	}
	size := binary.BigEndian.Uint64(b)
	var failed error
	n := sort.Search(int(size), func(n int) bool {
		rec, err := ledger.ReadRecord(view, shard, uint64(n))
		if err != nil {
			failed = err
		}
		return err != nil || !rec.Header.Time.Before(until)
	})
	return min(last, uint64(max(n, 1)-1)), failed
}

// Export writes the records that a filter selects, with all that verifies them:
// see ledger.Export.
func (s *State) Export(ctx context.Context, w io.Writer, f engine.AuditFilter) (err error) {
	defer guard(&err)
	what := ledger.Selection{Since: f.Since, Until: f.Until, Incident: f.Incident}
	about, err := s.about(f.Incident)
	if err != nil {
		return err
	}
	if about != nil {
		what.Covers = about.holds
	}
	return s.ledger.Export(ctx, w, what)
}

func auditRecord(r ledger.Record) engine.AuditRecord {
	return engine.AuditRecord{
		Shard: r.Header.Shard, Record: r.Header.Record, Time: r.Header.Time, Kind: r.Header.Kind.String(),
		Payload: remaining(r), Outcome: r.Outcome, Leaf: r.Leaf().String(), Erased: r.Erased, Erasure: erasedBy(r),
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
	delete(ids, "")
	err1 := eachPage(ids, func(r engine.Run) string { return r.ID }, func(cursor string) ([]engine.Run, string, error) {
		return s.Runs(engine.RunFilter{Incident: incident}, cursor, MaxPage)
	})
	err2 := eachPage(ids, func(q engine.Question) string { return q.ID }, func(cursor string) ([]engine.Question, string, error) {
		return s.Questions(engine.QuestionFilter{Incident: incident}, cursor, MaxPage)
	})
	err3 := eachPage(ids, func(c engine.Change) string { return c.ID }, func(cursor string) ([]engine.Change, string, error) {
		return s.Changes(engine.ChangeFilter{Incident: incident}, cursor, MaxPage)
	})
	return ids, errors.Join(err1, err2, err3)
}

// eachPage adds the ids of all pages of a list.
func eachPage[T any](ids subject, id func(T) string, list func(cursor string) ([]T, string, error)) error {
	for cursor := ""; ; {
		items, next, err := list(cursor)
		if err != nil {
			return err
		}
		for _, item := range items {
			ids[id(item)] = true
		}
		if cursor = next; next == "" {
			return nil
		}
	}
}

func (about subject) covers(f engine.AuditFilter, r ledger.Record) bool {
	if !f.Since.IsZero() && r.Header.Time.Before(f.Since) || !f.Until.IsZero() && !r.Header.Time.Before(f.Until) {
		return false
	}
	return about == nil || about.holds(r)
}

// holds reports whether a record names one of the ids.
func (about subject) holds(r ledger.Record) bool {
	for _, part := range [][]byte{remaining(r), r.Outcome} {
		found := false
		record.Fields(part, func(key, value []byte) bool {
			switch string(key) {
			case `"run"`, `"incident"`, `"question"`, `"change"`, `"event"`:
				// Ids hold nothing that JSON escapes.
				found = len(value) > 2 && value[0] == '"' && about[string(value[1:len(value)-1])]
			}
			return !found
		})
		if found {
			return true
		}
	}
	return false
}
