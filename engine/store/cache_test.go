package store_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"larkspur/engine/store"
)

func TestADeletedCacheBeginsAnew(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	c, err := store.OpenCache(dir)
	must(t, err)
	defer func() { must(t, c.Close()) }()
	large := bytes.Repeat([]byte("x"), 64<<10)
	for n := range 5 {
		for k := range 200 { // memtables are flushed, too
			must(t, c.Set(fmt.Sprint("session-", k), large, time.Hour))
		}
		if _, found, err := c.Get("session-7"); !found || err != nil {
			t.Fatalf("round %d: got %v, %v, want the session", n, found, err)
		}
		if _, renewed := c.Renewed(); renewed != (n > 0) {
			t.Errorf("round %d: got renewed %v", n, renewed)
		}
		for os.RemoveAll(dir) != nil { // a table was written meanwhile
		}
		switch n {
		case 0:
			if _, found, err := c.Get("session-7"); found || err != nil {
				t.Errorf("got %v, %v, want that it is gone", found, err)
			}
		case 1:
			must(t, c.Delete("session-7"))
		case 2:
			must(t, c.Forget(func(string, []byte) bool { return true }))
		}
	}
}

// TestTheCacheIsDeletedAgainAndAgain deletes it while many use it.
func TestTheCacheIsDeletedAgainAndAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	c, err := store.OpenCache(dir)
	must(t, err)
	stop := make(chan struct{})
	var users, all sync.WaitGroup
	for u := range 4 {
		users.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprint(u, "-", n%50)
				_ = c.Set(key, []byte(key), time.Hour) // may fail while it vanishes
				if value, found, err := c.Get(key); err == nil && found && string(value) != key {
					t.Errorf("got %q, want %q", value, key)
				}
			}
		})
	}
	all.Go(func() {
		for range 10 {
			_ = os.RemoveAll(dir) // races with who makes it anew
		}
		close(stop)
	})
	all.Wait()
	users.Wait()
	must(t, c.Set("after", []byte("all"), time.Hour))
	if value, found, err := c.Get("after"); string(value) != "all" || !found || err != nil {
		t.Errorf("got %q, %v, %v", value, found, err)
	}
	must(t, os.RemoveAll(dir))
	must(t, c.Close())
}

func TestACacheThatCannotBeReadBeginsAnew(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	c, err := store.OpenCache(dir)
	must(t, err)
	must(t, c.Set("a", []byte("1"), time.Hour))
	must(t, c.Close())
	must(t, os.WriteFile(filepath.Join(dir, "MANIFEST"), []byte("not one of Badger's"), 0o600))
	c, err = store.OpenCache(dir)
	must(t, err)
	defer func() { must(t, c.Close()) }()
	if _, renewed := c.Renewed(); !renewed {
		t.Error("it does not say that it began anew")
	}
	must(t, c.Set("a", []byte("1"), time.Hour))
	if _, err := store.OpenCache(dir); err == nil {
		t.Error("it was opened twice")
	}
}
