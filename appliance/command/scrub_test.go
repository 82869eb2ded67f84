package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestScrub turns a byte of each file that lies beside the ledger's store, whose
// own files have a test in engine/ledger.
func TestScrub(t *testing.T) {
	dir := oldWorkspace(t)
	state := filepath.Join(dir, "state")
	must(t, os.RemoveAll(filepath.Join(state, "ledger")))               // a new one, signed by a key that is there
	if code, _, said := larkspur(t, "rebuild", dir); code != exitFine { // makes the keys
		t.Fatal(said)
	}
	blob := filepath.Join(state, "blobs", "9f", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
	must(t, os.MkdirAll(filepath.Dir(blob), 0o700))
	must(t, os.WriteFile(blob, []byte("test"), 0o600))
	code, out, said := larkspur(t, "scrub", dir)
	if code != exitFine || !strings.HasPrefix(out, "whole: ") {
		t.Fatalf("got %d, %q, %q, want that all is whole", code, out, said)
	}
	for _, c := range []struct {
		file string
		at   int
		want []string
	}{
		{blob, 2, []string{"it is not what its name says", "runs that need it stop", "copy this one file from a backup"}},
		{filepath.Join(state, "keys", "box"), 5, []string{"keys/box: ", "is not the one whose sum lies beside it", "links in mails"}},
		{filepath.Join(state, "keys", "box.sum"), 5, []string{"keys/box: "}},
		{filepath.Join(state, "keys", "checkpoint"), 60, []string{"keys/checkpoint: ", "line 1 is no private key", "cannot be signed"}},
		{filepath.Join(state, "ledger", "MANIFEST"), 9, []string{"ledger/MANIFEST: the part at byte 8", "tables would be deleted"}},
	} {
		content, err := os.ReadFile(c.file)
		must(t, err)
		turned := append([]byte(nil), content...)
		turned[c.at] ^= 1
		must(t, os.WriteFile(c.file, turned, 0o600))
		code, out, said := larkspur(t, "scrub", dir)
		for _, want := range c.want {
			if code != exitProblems || !strings.Contains(out, want) {
				t.Errorf("%s: got %d, %q, %q, want %q", filepath.Base(c.file), code, out, said, want)
			}
		}
		must(t, os.WriteFile(c.file, content, 0o600))
	}
	if code, out, said := larkspur(t, "scrub", dir); code != exitFine {
		t.Errorf("put back: got %d, %q, %q", code, out, said)
	}
}
