package story

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/store"
)

// closedBox is the ledger of an appliance that has ended.
type closedBox struct {
	dir    string
	store  *store.Store
	ledger *ledger.Ledger
	state  *state.State
	size   uint64 // of the ledger before it was opened here
}

// reopen opens the store of a workspace that nobody serves.
func reopen(t *testing.T, workspace string) *closedBox {
	t.Helper()
	b := &closedBox{dir: filepath.Join(workspace, "state")}
	var err error
	b.store, err = store.OpenLedger(filepath.Join(b.dir, "ledger"))
	must(t, err)
	blobs, err := store.OpenBlobs(filepath.Join(b.dir, "blobs"))
	must(t, err)
	b.ledger, err = ledger.Open(ledger.Config{Store: b.store, Projector: state.NewProjector(nil), Clock: engine.SystemClock{}, Node: "test"})
	must(t, err)
	b.state = state.Open(b.store, blobs, b.ledger)
	b.size = b.ledger.Size(0) - 1 // without the epoch that opening it began
	t.Cleanup(func() {
		b.ledger.Close()
		if err := b.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// ended wants the whole story over, and each thing done once.
func (b *closedBox) ended(t *testing.T) {
	t.Helper()
	incidents, _, err := b.state.Incidents(engine.IncidentFilter{}, "", 10)
	must(t, err)
	if len(incidents) != 1 || incidents[0].Status != engine.IncidentClosed || incidents[0].Reason != "Block by dave" {
		t.Errorf("got incidents %+v, want one that Dave's answer closed", incidents)
	}
	runs, _, err := b.state.Runs(engine.RunFilter{}, "", 10)
	must(t, err)
	purposes := map[string]int{}
	for _, r := range runs {
		if r.Purpose == state.PurposeOutbox && r.Question == "" {
			continue // a sign-in code
		}
		purposes[r.Purpose]++
		if r.Status != engine.RunDone {
			t.Errorf("run %s, %s: got %s (%v), want done", r.ID, r.Purpose, r.Status, r.Error)
		}
	}
	if len(purposes) != 3 || purposes["playbook"] != 1 || purposes["outbox"] != 1 || purposes["undo"] != 1 {
		t.Errorf("got runs %v, want one each of playbook, outbox and undo", purposes)
	}
	changes, _, err := b.state.Changes(engine.ChangeFilter{}, "", 10)
	must(t, err)
	if len(changes) != 1 || changes[0].Status != engine.ChangeUndone {
		t.Errorf("got changes %+v, want one that is undone", changes)
	}
	questions, _, err := b.state.Questions(engine.QuestionFilter{}, "", 10)
	must(t, err)
	if len(questions) != 1 || questions[0].Status != engine.QuestionAnswered {
		t.Errorf("got questions %+v, want one that is answered", questions)
	}
	closes := 0
	for _, done := range b.steps(t) {
		if done.Incident != nil && done.Incident.Act == record.ActClose {
			closes++
		}
	}
	if closes != 1 {
		t.Errorf("the incident was closed %d times, want once", closes)
	}
}

// steps returns every step_done that had an effect.
func (b *closedBox) steps(t *testing.T) (list []record.StepDone) {
	t.Helper()
	must(t, b.ledger.Records(0, 0, func(r ledger.Record) bool {
		if r.Header.Kind != record.StepDoneKind {
			return true
		}
		o, err := record.Unmarshal[record.Outcome](r.Outcome)
		must(t, err)
		done, err := record.Unmarshal[record.StepDone](r.Payload)
		must(t, err)
		if o.Applied {
			list = append(list, done)
		}
		return true
	}))
	return list
}

// verify checks the newest checkpoint as an auditor does who has the public key
// and all leaves: the signature, and the root over every record.
func (b *closedBox) verify(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "checkpoint"))
	must(t, err)
	key, err := os.ReadFile(filepath.Join(b.dir, "keys", "checkpoint"))
	must(t, err)
	_, public, _ := strings.Cut(strings.TrimSpace(string(key)), "\n")
	verifier, err := note.NewVerifier(public)
	must(t, err)
	signed, err := note.Open(text, note.VerifierList(verifier))
	must(t, err)
	_, body, _ := strings.Cut(signed.Text, "\n") // the origin
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + strings.Join(strings.SplitAfter(body, "\n")[:2], "")))
	must(t, err)
	if uint64(tree.N) != b.size {
		t.Errorf("the last checkpoint is of %d records, want all %d", tree.N, b.size)
	}
	if root := b.root(t, tree.N); root != tree.Hash {
		t.Errorf("the records have the root %v, the checkpoint says %v", root, tree.Hash)
	}
}

// root computes the root over the first n records.
func (b *closedBox) root(t *testing.T, n int64) tlog.Hash {
	t.Helper()
	var hashes []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			out[i] = hashes[at]
		}
		return out, nil
	})
	for i := range n {
		text, err := b.ledger.LeafOf(0, uint64(i))
		must(t, err)
		leaf, err := tlog.ParseHash(text)
		must(t, err)
		stored, err := tlog.StoredHashesForRecordHash(i, leaf, read)
		must(t, err)
		hashes = append(hashes, stored...)
	}
	root, err := tlog.TreeHash(n, read)
	must(t, err)
	return root
}

// rebuild makes the projections anew and wants them equal.
func (b *closedBox) rebuild(t *testing.T) {
	t.Helper()
	before := b.dump()
	must(t, b.ledger.Rebuild())
	after := b.dump()
	if len(before) != len(after) {
		t.Errorf("got %d keys after a rebuild, %d before", len(after), len(before))
	}
	for k, v := range before {
		if after[k] != v {
			t.Errorf("key %q: got %q after a rebuild, %q before", k, after[k], v)
		}
	}
}

func (b *closedBox) dump() map[string]string {
	all := map[string]string{}
	view := b.store.View()
	defer view.Close()
	for _, prefix := range state.NewProjector(nil).Prefixes() {
		view.Scan(prefix, nil, false, func(k, v []byte) bool {
			all[string(k)] = string(v)
			return true
		})
	}
	return all
}
