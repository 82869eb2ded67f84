package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"larkspur/engine"
	"larkspur/engine/store"
)

// readAll reads keys one by one and by a scan; each must be there, or an error.
func readAll(t *testing.T, s *store.Store, keys int) (failed int) {
	t.Helper()
	get := func(n int) (ok bool, err error) {
		defer store.Guard(&err)
		view := s.View()
		defer view.Close()
		_, ok = view.Get(fmt.Appendf(nil, "\x10k%06d", n))
		return ok, nil
	}
	for n := range keys {
		ok, err := get(n)
		if err == nil && !ok {
			t.Fatalf("key %d reads as if it was never there", n)
		}
		if err != nil && engine.KindOf(err) != engine.Unavailable {
			t.Fatalf("key %d: got %v, want kind unavailable", n, err)
		}
		if err != nil {
			failed++
		}
	}
	count := 0
	err := func() (err error) {
		defer store.Guard(&err)
		view := s.View()
		defer view.Close()
		view.Scan([]byte("\x10k"), nil, false, func(_, _ []byte) bool { count++; return true })
		return nil
	}()
	if err == nil && count < keys {
		t.Fatalf("a scan shows %d of %d keys, and no error", count, keys)
	}
	return failed
}

// TestDamagedBlocksAreNeverPassedOver: Badger as published reads a damaged block
// as keys that are not there, and a compaction drops them.
func TestDamagedBlocksAreNeverPassedOver(t *testing.T) {
	const keys = 3000
	dir := t.TempDir()
	fill := func() {
		s, err := store.OpenScratch(dir)
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < keys; n += 500 {
			view := s.View()
			b := store.NewBatch(view)
			for i := range 500 {
				b.Set(fmt.Appendf(nil, "\x10k%06d", n+i), fmt.Appendf(nil, "value %d", (n+i)*7919))
			}
			if err := s.Commit(b); err != nil {
				t.Fatal(err)
			}
			view.Close()
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	fill()
	fill() // two tables of the same keys: a compaction has something to do
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) != 2 {
		t.Fatalf("got %v, %v, want two tables", tables, err)
	}
	b, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/3] ^= 4
	if err := os.WriteFile(tables[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	damage, err := store.CheckFolder(dir, false, func(int64) error { return nil })
	if err != nil || len(damage) != 1 || damage[0].Fatal || len(damage[0].From) == 0 {
		t.Fatalf("got %+v, %v, want one damaged block", damage, err)
	}
	s, err := store.OpenScratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := readAll(t, s, keys)
	if before == 0 || before == keys {
		t.Errorf("got %d keys that cannot be read of %d, want those of a block", before, keys)
	}
	if err := s.Purge([][]byte{[]byte("\x10k000000x")}, nil); err == nil { // compacts the tables around it
		t.Error("a damaged table was compacted")
	}
	if after := readAll(t, s, keys); after != before {
		t.Errorf("got %d keys that cannot be read after compacting, want %d", after, before)
	}
}
