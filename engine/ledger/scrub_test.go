package ledger_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/store"
)

// aged is the folder of a store as a kill leaves it: some records in tables,
// some in the log of the memtable; and the newest checkpoint.
func aged(t *testing.T) (dir string, checkpoint []byte, signer *ledger.Signer) {
	t.Helper()
	from := t.TempDir()
	for _, records := range []int{700, 300} {
		f := open(t, from, 1, nil)
		for range records / 10 {
			appendAll(t, f.ledger, 0, numbered(10)...)
		}
		var err error
		if checkpoint, err = f.ledger.Sign(); err != nil {
			t.Fatal(err)
		}
		signer = f.signer
		if records == 300 {
			dir = copyOf(t, from+"/ledger")
		}
		f.close(t)
	}
	return dir, checkpoint, signer
}

// copyOf copies a store's folder but for the ballast.
func copyOf(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	names, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if e.Name() == "ballast" {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		writeSparse(t, filepath.Join(dir, e.Name()), b)
	}
	return dir
}

// writeSparse writes a file without the zeros at its end.
func writeSparse(t *testing.T, path string, b []byte) {
	t.Helper()
	err := os.WriteFile(path, withoutZeros(b), 0o600)
	if err == nil {
		err = os.Truncate(path, int64(len(b)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// withoutZeros cuts the zeros off the end of a log, of which most is not written.
func withoutZeros(b []byte) []byte {
	for zeros := make([]byte, 4096); len(b) >= len(zeros) && bytes.Equal(b[len(b)-len(zeros):], zeros); {
		b = b[:len(b)-len(zeros)]
	}
	return bytes.TrimRight(b, "\x00")
}

// everything is what a store holds, as a reader sees it.
func everything(s *store.Store) (all map[string]string, err error) {
	defer store.Guard(&err)
	view := s.View()
	defer view.Close()
	all = map[string]string{}
	for class := range 256 {
		view.Scan([]byte{byte(class)}, nil, false, func(key, value []byte) bool {
			all[string(key)] = string(value)
			return true
		})
	}
	return all, nil
}

// outcome is what became of a folder with a byte turned over.
type outcome struct {
	said    []string // by the scrub of the files and of the ledger
	refused error    // by opening, or by reading everything
	equal   bool     // everything is there as it was
}

func tryFolder(t *testing.T, dir string, checkpoint []byte, signer *ledger.Signer, want map[string]string) (o outcome) {
	t.Helper()
	damage, err := store.CheckFolder(dir, false, func(int64) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range damage {
		o.said = append(o.said, fmt.Sprintf("%s: %s; %s; %s", filepath.Base(d.File), d.What, d.Means, d.Do))
	}
	s, err := store.OpenScratch(dir)
	if err != nil {
		o.refused = err
		return o
	}
	defer s.Close()
	faults, _, err := ledger.Scrub(context.Background(), ledger.Scrubbing{Store: s, Keys: []string{signer.Verifier}, Checkpoint: checkpoint})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		o.said = append(o.said, fmt.Sprintf("%s: %s; %s; %s", f.Subject, f.What, f.Means, f.Do))
	}
	got, err := everything(s)
	o.refused, o.equal = err, err == nil && maps.Equal(got, want)
	return o
}

// offsets are places in a file of so many bytes, of which zeros follow the first
// end ones: some at its beginning, some between, and some at the end.
func offsets(size, end int) []int {
	list := []int{0, 9, 21, end / 2, end * 5 / 6, end - 20, end - 1, size - 1}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(at int) bool { return at < 0 || at >= size })
}

// TestTurnedBytesAreNamed turns over a byte at several places of every file of a
// store. Each is named by a scrub, or means nothing: everything reads as before.
// Opening never dies, and never shows less without an error.
func TestTurnedBytesAreNamed(t *testing.T) {
	t.Parallel()
	dir, checkpoint, signer := aged(t)
	s, err := store.OpenScratch(copyOf(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	want, err := everything(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil || len(want) < 1000 {
		t.Fatalf("got %d keys and %v", len(want), err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]int{}
	for _, e := range names {
		if e.Name() == "LOCK" {
			continue // the number of a process; nobody reads it
		}
		file, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		end := len(withoutZeros(file)) // what follows in a log is nothing
		for _, at := range offsets(len(file), end) {
			turned := copyOf(t, dir)
			changed := bytes.Clone(file)
			changed[at] ^= 0x10
			writeSparse(t, filepath.Join(turned, e.Name()), changed)
			o := tryFolder(t, turned, checkpoint, signer, want)
			what := fmt.Sprintf("%s of %d (%d) bytes, byte %d", e.Name(), len(file), end, at)
			switch {
			case len(o.said) == 0 && o.refused != nil:
				t.Errorf("%s: refused, but not named: %v", what, o.refused)
			case len(o.said) == 0 && !o.equal:
				t.Errorf("%s: less is there, and nobody says so", what)
			case len(o.said) > 0:
				named[filepath.Ext(e.Name())+strings.TrimRight(e.Name(), "0123456789.memsstvlog")]++
				t.Logf("%s: %s; opening: %v", what, o.said[0], o.refused)
			default:
				t.Logf("%s: means nothing", what)
			}
		}
	}
	for _, kind := range []string{".mem", ".sst", "MANIFEST", "KEYREGISTRY"} {
		if named[kind] == 0 {
			t.Errorf("no turned byte of %s was named", kind)
		}
	}
}

// TestRecordsThatWereChangedAreNamed changes what lies in the store, with right
// checksums: what only the tree can show.
func TestRecordsThatWereChangedAreNamed(t *testing.T) {
	t.Parallel()
	change := func(class byte, n uint64, with func([]byte) []byte) func(*fixture) (key, value []byte) {
		return func(f *fixture) ([]byte, []byte) {
			k := fmt.Appendf([]byte{class}, "\x00\x00\x00\x00\x00\x00\x00\x00%c%c", n>>8, n&0xff)
			view := f.store.View()
			defer view.Close()
			v, _ := view.Get(k)
			return k, with(bytes.Clone(v))
		}
	}
	flip := func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
	for name, c := range map[string]struct {
		change func(*fixture) (key, value []byte)
		want   string
	}{
		"a payload":              {change(3, 4, flip), "record 4 of shard 0 (event_seen of r0-4): it no longer matches its proof"},
		"a salt":                 {change(3, 4, func(b []byte) []byte { b[0] ^= 1; return b }), "record 4 of shard 0 (event_seen of r0-4): it no longer matches its proof"},
		"an outcome":             {change(2, 4, func(b []byte) []byte { return bytes.Replace(b, []byte("true"), []byte("TRUE"), 1) }), "record 4 of shard 0 (event_seen of r0-4): it no longer matches"},
		"a payload at the end":   {change(3, 599, flip), "the last 88 of the 600 records of shard 0 that the checkpoint in the store covers: at least one"},
		"a tile":                 {func(f *fixture) ([]byte, []byte) { return tile(f, flip) }, "record 255 of shard 0 (event_seen of r0-3): it no longer matches its proof"},
		"a payload that is gone": {change(3, 4, func([]byte) []byte { return nil }), "record 4 of shard 0: cannot be read"},
		"a frame":                {change(2, 4, func([]byte) []byte { return []byte{9} }), "records 4 to 6 of shard 0: cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			f := house(t, 1, 600)
			if _, err := f.ledger.Sign(); err != nil {
				t.Fatal(err)
			}
			view := f.store.View()
			b := store.NewBatch(view)
			b.Set(c.change(f))
			if err := f.store.Commit(b); err != nil {
				t.Fatal(err)
			}
			view.Close()
			faults, _, err := ledger.Scrub(context.Background(), ledger.Scrubbing{Store: f.store, Keys: []string{f.signer.Verifier}})
			if err != nil || len(faults) == 0 {
				t.Fatalf("got %v, %v, want a fault", faults, err)
			}
			if got := faults[0].Subject + ": " + faults[0].What; !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func tile(f *fixture, with func([]byte) []byte) (key, value []byte) {
	key = append([]byte{5, 0, 0, 0}, make([]byte, 8)...)
	view := f.store.View()
	defer view.Close()
	value, _ = view.Get(key)
	return key, with(bytes.Clone(value))
}

func TestScrubOfAWholeLedger(t *testing.T) {
	t.Parallel()
	f := house(t, 3, 600)
	f.erase(t, 1, 7)
	signed, err := f.ledger.Sign()
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	faults, more, err := ledger.Scrub(context.Background(), ledger.Scrubbing{
		Store: f.store, Keys: []string{f.signer.Verifier}, Checkpoint: signed, Progress: func(done, total uint64) { last = done },
	})
	if err != nil || len(faults) > 0 || more > 0 || last < 1700 {
		t.Errorf("got %v, %d more, %v after %d records, want none", faults, more, err, last)
	}
	stop := func() error { return io.ErrUnexpectedEOF }
	if _, _, err := ledger.Scrub(context.Background(), ledger.Scrubbing{Store: f.store, Keys: []string{f.signer.Verifier}, Rest: stop}); engine.KindOf(err) != engine.Timeout {
		t.Errorf("got %v, want that it was ended", err)
	}
	other := house(t, 1, 5)
	faults, _, _ = ledger.Scrub(context.Background(), ledger.Scrubbing{Store: f.store, Keys: []string{other.signer.Verifier}, Checkpoint: signed})
	if len(faults) != 2 || !strings.Contains(faults[0].What, "none of the given keys") {
		t.Errorf("got %v, want two checkpoints of an unknown key", faults)
	}
}
