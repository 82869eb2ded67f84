package store

import (
	"os"
	"path/filepath"
	"testing"
)

// A process that is killed while it writes a table leaves part of it, which the
// manifest does not name: the store opens, and a scrub has nothing to say.
func TestHalfATableIsNoDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := OpenScratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "000042.sst")
	if err := os.WriteFile(half, []byte("half a table"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := CheckFolder(dir, false, func(int64) error { return nil }); err != nil || len(found) > 0 {
		t.Errorf("got %v, %v; want nothing", found, err)
	}
	if s, err = OpenScratch(dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("got %v, want the table removed", err)
	}
}
