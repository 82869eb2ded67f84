package store

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// Tables that compaction cannot write must not be left out: Badger as published
// deletes what it would have made them of (third_party/badger/README.md).

const unwritableDir = "LARKSPUR_TEST_UNWRITABLE"

func TestCompactionThatCannotWriteLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestUnwritableChild$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), unwritableDir+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestUnwritableChild is a process whose tables cannot be written while it
// compacts; its manifest can.
func TestUnwritableChild(t *testing.T) {
	dir := os.Getenv(unwritableDir)
	if dir == "" {
		return // of another test
	}
	const keys = 20_000
	key := func(i int) []byte { return fmt.Appendf(nil, "key-%06d", i*7919%keys) }
	db := openSmall(t, dir)
	for i := 0; i < keys; i += 100 {
		err := db.Update(func(txn *badger.Txn) error {
			for j := i; j < i+100; j++ {
				if err := txn.Set(key(j), make([]byte, 200)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil { // writes every memtable as a table
		t.Fatal(err)
	}
	db = openSmall(t, dir)
	tables := len(db.Tables())
	if tables < 3 {
		t.Fatalf("got %d tables, want some to compact", tables)
	}
	err := withSmallFiles(t, func() error { return db.Flatten(1) })
	if err == nil {
		t.Error("got a compaction without an error, want one that could not write its tables")
	}
	count(t, db, keys)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openSmall(t, dir)
	defer db.Close()
	count(t, db, keys)
	if err := db.Flatten(1); err != nil {
		t.Error(err)
	}
	count(t, db, keys)
}

func openSmall(t *testing.T, dir string) *badger.DB {
	t.Helper()
	db, err := badger.Open(badgerOptions(dir, false).WithMemTableSize(1 << 20).WithValueThreshold(1 << 10).WithBaseTableSize(256 << 10).WithNumLevelZeroTables(2).WithNumCompactors(0).
		WithNumLevelZeroTablesStall(100))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// withSmallFiles calls fn while the process may write no file as long as a table.
func withSmallFiles(t *testing.T, fn func() error) error {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 64 << 10, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	err := fn()
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	return err
}

func count(t *testing.T, db *badger.DB, want int) {
	t.Helper()
	got := 0
	err := db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			got++
		}
		return nil
	})
	if err != nil || got != want {
		t.Errorf("got %d keys, %v; want %d", got, err, want)
	}
}
