package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/store"
)

func put(t testing.TB, s *store.Store, k, v string) {
	t.Helper()
	view := s.View()
	defer view.Close()
	b := store.NewBatch(view)
	b.Set([]byte(k), []byte(v))
	must(t, s.Commit(b))
}

func get(s *store.Store, k string) string {
	view := s.View()
	defer view.Close()
	v, ok := view.Get([]byte(k))
	if !ok {
		return "nothing"
	}
	return string(v)
}

// TestEmptyFilesOfACrashAreRemoved: Badger does not open beside them (#2207).
func TestEmptyFilesOfACrashAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := store.OpenLedger(dir)
	must(t, err)
	put(t, s, "k", "v")
	must(t, s.Close())
	empty := []string{"00042.mem", "000042.vlog"}
	for _, name := range empty {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	must(t, os.WriteFile(filepath.Join(dir, "000001.note"), nil, 0o600)) // not ours to remove
	if s, err = store.OpenLedger(dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := get(s, "k"); got != "v" {
		t.Errorf("got %q, want what was stored", got)
	}
	for _, name := range empty {
		if fi, err := os.Stat(filepath.Join(dir, name)); err == nil && fi.Size() == 0 {
			t.Errorf("%s is still there", name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "000001.note")); err != nil {
		t.Errorf("a file of somebody else is gone: %v", err)
	}
}

func TestTwoCannotOpenOneStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := store.OpenLedger(dir)
	must(t, err)
	defer s.Close()
	_, err = store.OpenLedger(dir)
	if e := engine.AsError(err); e == nil || e.Kind != engine.Unavailable || !strings.Contains(e.Hint, "another larkspur") {
		t.Errorf("got %v, want it refused with a hint", err)
	}
}

func TestViewsShowOneMoment(t *testing.T) {
	t.Parallel()
	s, err := store.OpenLedger(t.TempDir())
	must(t, err)
	defer s.Close()
	put(t, s, "a", "1")
	view := s.View()
	defer view.Close()
	put(t, s, "a", "2")
	put(t, s, "b", "1")
	if v, _ := view.Get([]byte("a")); string(v) != "1" {
		t.Errorf("got %q, want what was there before", v)
	}
	if got := scan(view, "", nil, false, 0); !slices.Equal(got, []string{"a=1"}) {
		t.Errorf("got %q", got)
	}
	if got := get(s, "a"); got != "2" {
		t.Errorf("got %q, want 2", got)
	}
}

func TestBlobs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, err := store.OpenBlobs(dir)
	must(t, err)
	content := bytes.Repeat([]byte("larkspur "), 10_000)
	sum, err := b.Put(content)
	must(t, err)
	again, err := b.Put(slices.Clone(content))
	if err != nil || again != sum {
		t.Errorf("put twice: got %s, %v, want %s", again, err, sum)
	}
	got, err := b.Get(sum)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	path := filepath.Join(dir, sum[:2], sum)
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || !slices.Equal(files, []string{path}) {
		t.Errorf("got files %v, %v, want the blob alone", files, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "incoming-*")); len(left) > 0 {
		t.Errorf("unfinished files are left: %v", left)
	}
	content[5] ^= 1
	must(t, os.WriteFile(path, content, 0o600))
	if _, err := b.Get(sum); engine.KindOf(err) != engine.Internal || !strings.Contains(err.Error(), "was changed on the disk") {
		t.Errorf("tampered: got %v", err)
	}
	must(t, os.Truncate(path, 10))
	if _, err := b.Get(sum); engine.KindOf(err) != engine.Internal {
		t.Errorf("cut: got %v", err)
	}
	for sum, kind := range map[string]engine.Kind{
		strings.Repeat("0", 64): engine.NotFound, "": engine.Invalid, "../../../etc/passwd": engine.Invalid, strings.Repeat("z", 64): engine.Invalid,
	} {
		if _, err := b.Get(sum); engine.KindOf(err) != kind {
			t.Errorf("%q: got %v, want %s", sum, err, kind)
		}
	}
	if _, err := b.Put(make([]byte, store.MaxBlobBytes+1)); engine.KindOf(err) != engine.Invalid {
		t.Errorf("too large: got %v", err)
	}
}

func TestBlobsAtOnce(t *testing.T) {
	t.Parallel()
	b, err := store.OpenBlobs(t.TempDir())
	must(t, err)
	var callers sync.WaitGroup
	for n := range 16 {
		callers.Go(func() {
			content := []byte(strings.Repeat("x", n%4+1))
			sum, err := b.Put(content)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := b.Get(sum); err != nil || !bytes.Equal(got, content) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	callers.Wait()
}

func TestCache(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, err := store.OpenCache(dir)
	must(t, err)
	want := func(key, value string, there bool) {
		t.Helper()
		if v, ok, err := c.Get(key); err != nil || ok != there || string(v) != value {
			t.Errorf("%s: got %q, %v, %v, want %q, %v", key, v, ok, err, value, there)
		}
	}
	want("a", "", false)
	must(t, c.Set("a", []byte("1"), time.Hour))
	must(t, c.Set("over", []byte("2"), -time.Hour)) // its time is over
	want("a", "1", true)
	want("over", "", false)
	must(t, c.Set("a", []byte("3"), time.Hour))
	want("a", "3", true)
	must(t, c.Delete("absent"))
	must(t, c.Close())
	c, err = store.OpenCache(dir)
	must(t, err)
	want("a", "3", true)
	must(t, c.Delete("a"))
	want("a", "", false)
	must(t, c.Close())
	must(t, os.RemoveAll(dir)) // it may be deleted at any time
	c, err = store.OpenCache(dir)
	must(t, err)
	want("a", "", false)
	must(t, c.Close())
}
