package eraser

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/state"
	"larkspur/engine/store"
)

// scrub reads every record of a box.
func (b *box) scrub() []ledger.Fault {
	b.t.Helper()
	faults, more, err := ledger.Scrub(b.t.Context(), ledger.Scrubbing{
		Store: b.store, Keys: []string{b.signer.Verifier},
		Blob: func(sum string) bool { _, err := b.blobs.Get(sum); return err == nil },
	})
	if must(b.t, err); more > 0 {
		b.t.Errorf("got %d more", more)
	}
	return faults
}

// TestScrubNamesAMissingBlob, and no longer once the record is erased.
func TestScrubNamesAMissingBlob(t *testing.T) {
	b := open(t, t.TempDir())
	defer b.close()
	incident, run := b.story(marker())
	b.shut(incident, "dave")
	if faults := b.scrub(); len(faults) > 0 {
		t.Fatalf("got %+v before", faults)
	}
	blobs, err := filepath.Glob(filepath.Join(b.dir, "blobs", "*", "*"))
	if err != nil || len(blobs) != 3 {
		t.Fatalf("got %v, %v, want a large result, an attachment and a file of an answer", blobs, err)
	}
	must(t, os.Remove(blobs[0]))
	sum := filepath.Base(blobs[0])
	faults := b.scrub()
	if len(faults) != 1 || !strings.Contains(faults[0].Subject, "(step_done of "+run+")") && !strings.Contains(faults[0].Subject, "(question_answered") || faults[0].What != "the blob that it names is missing: "+sum ||
		faults[0].Do != "copy the file blobs/"+sum[:2]+"/"+sum+" from a backup" {
		t.Errorf("got %+v, want the record that names it", faults)
	}
	if _, err := b.eraser.Erase(t.Context(), engine.ErasureRequest{Incident: incident, Because: because, By: "ana", How: "page"}); err != nil {
		t.Fatal(err)
	}
	b.finish()
	if faults := b.scrub(); len(faults) > 0 {
		t.Errorf("got %+v of a record that is erased", faults)
	}
}

// TestProjectionsAreCompared with what the records give: an entry that is changed,
// one that is missing and one too many are found, and a rebuild mends them.
func TestProjectionsAreCompared(t *testing.T) {
	b := open(t, t.TempDir())
	defer b.close()
	incident, _ := b.story(marker())
	b.shut(incident, "dave")
	d, err := b.ledger.Compare(t.Context(), nil)
	if err != nil || d.Differ > 0 || d.Compared < 50 {
		t.Fatalf("got %+v, %v, want nothing that differs", d, err)
	}
	entry := []byte("i\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")
	for name, change := range map[string]func(*store.Batch){
		"incident i0-1": func(tx *store.Batch) { tx.Set(entry, []byte("{}")) },
		"incident i0-2": func(tx *store.Batch) { tx.Set(append(entry[:10:10], 2), []byte("{}")) },
		"run r0-1":      func(tx *store.Batch) { tx.Delete(append([]byte("r"), entry[1:]...)) },
	} {
		view := b.store.View()
		tx := store.NewBatch(view)
		change(tx)
		must(t, b.store.Commit(tx))
		view.Close()
		d, err := b.ledger.Compare(t.Context(), nil)
		if err != nil || d.Differ != 1 || len(d.First) != 1 || state.Describe(d.First[0]) != name {
			t.Errorf("%s: got %+v, %v", name, d, err)
		}
		if d, err = b.ledger.Renew(t.Context(), nil); err != nil || d.Differ != 1 {
			t.Errorf("%s: rebuilding: got %+v, %v", name, d, err)
		}
		if d, err = b.ledger.Compare(t.Context(), nil); err != nil || d.Differ > 0 {
			t.Errorf("%s: after it: got %+v, %v", name, d, err)
		}
	}
}
