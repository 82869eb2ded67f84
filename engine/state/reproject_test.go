package state_test

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// busyBox is a box with a random history in each shard.
func busyBox(t *testing.T, shards, steps int) (*box, []*workload) {
	t.Helper()
	b := openOn(t, t.TempDir(), shards, store.OpenScratch)
	var loads []*workload
	for shard := range shards {
		w := &workload{b: b, rnd: rand.New(rand.NewPCG(7, uint64(shard))), shard: uint16(shard), ids: map[byte][]string{}, seen: map[record.Kind]int{}}
		for range steps {
			w.step()
		}
		loads = append(loads, w)
	}
	return b, loads
}

func (b *box) reproject(progress func(done, total uint64)) {
	b.t.Helper()
	must(b.t, b.ledger.Reproject(b.t.Context(), progress))
}

func TestReprojectingWhileOthersAppend(t *testing.T) {
	b, loads := busyBox(t, 3, 120)
	for _, w := range loads { // each appends whenever the rebuild is a piece further
		w.b.clock = &clock{b.clock.now}
	}
	turn := make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		// One goroutine appends; the clock and the workloads are its alone.
		all.Go(func() {
			for n := 0; ; n++ {
				if _, more := <-turn; !more {
					return
				}
				loads[n%len(loads)].step()
			}
		})
		seen := uint64(0)
		b.reproject(func(done, total uint64) {
			if done > total || done < seen {
				t.Errorf("got %d of %d records after %d", done, total, seen)
			}
			seen = done
			select {
			case turn <- struct{}{}:
			default:
			}
		})
		close(turn)
		all.Wait()
		turn = make(chan struct{})
		b.checkCounts()
		online := b.dump()
		b.reproject(nil)
		compareDumps(t, online, b.dump())
		b.othersAreGone()
	}
}

// othersAreGone wants the keys of one generation alone.
func (b *box) othersAreGone() {
	b.t.Helper()
	in := b.store.InForce()
	for g := range in + 3 {
		if g == in {
			continue
		}
		view := b.store.ViewOf(g)
		for class := byte(0x21); class < 0x7f; class++ {
			view.Scan([]byte{class}, nil, false, func(k, _ []byte) bool {
				b.t.Errorf("generation %d still has %q", g, k)
				return false
			})
		}
		view.Close()
	}
}

func TestReprojectingIsEqualByteForByte(t *testing.T) {
	for _, shards := range []int{1, 8} {
		b, _ := busyBox(t, shards, 100)
		before := b.dump()
		b.reproject(nil)
		compareDumps(t, before, b.dump())
		b.othersAreGone()
	}
}

func TestViewsKeepTheirGeneration(t *testing.T) {
	b, _ := busyBox(t, 1, 200)
	old := b.store.View()
	before, switched := b.dump(), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { b.reproject(nil) }) // it waits for whoever reads the former one
	all.Go(func() {
		defer close(switched)
		for b.store.InForce() == old.Generation() {
			runtime.Gosched()
		}
	})
	<-switched
	b.append(0, matched("e0-999", "192.0.2.99")) // the former knows nothing of it
	compareDumps(t, before, dumpOf(old))
	old.Close()
	all.Wait()
	b.othersAreGone()
}

func TestACancelledRebuildLeavesNothing(t *testing.T) {
	b, _ := busyBox(t, 2, 150)
	before, in := b.dump(), b.store.InForce()
	ctx, cancel := context.WithCancel(t.Context())
	err := b.ledger.Reproject(ctx, func(done, _ uint64) { cancel() })
	if !errors.Is(err, context.Canceled) || engine.KindOf(err) != engine.Timeout {
		t.Fatalf("got %v, want cancelled", err)
	}
	if got := b.store.InForce(); got != in {
		t.Errorf("generation %d is in force, want %d as before", got, in)
	}
	compareDumps(t, before, b.dump())
	b.othersAreGone()
	b.reproject(nil)
	compareDumps(t, before, b.dump())
}

func TestOneRebuildAtATime(t *testing.T) {
	b, _ := busyBox(t, 1, 50)
	once := sync.OnceFunc(func() {
		if err := b.ledger.Reproject(t.Context(), nil); engine.KindOf(err) != engine.Conflict {
			t.Errorf("a second rebuild: got %v, want a conflict", err)
		}
	})
	b.reproject(func(uint64, uint64) { once() })
}

func TestClosingEndsARebuild(t *testing.T) {
	b, _ := busyBox(t, 1, 300)
	dir := filepath.Join(t.TempDir(), "copy")
	in := b.store.InForce()
	var closed sync.WaitGroup
	closing := sync.OnceFunc(func() { closed.Go(b.ledger.Close) })
	err := b.ledger.Reproject(t.Context(), func(done, total uint64) {
		closing()
		for !isClosed(b) {
		}
	})
	closed.Wait()
	if engine.KindOf(err) != engine.Unavailable {
		t.Fatalf("got %v, want that the ledger is closed", err)
	}
	must(t, b.store.Close())
	must(t, copyBox(dir, b.dir))
	again := openOn(t, dir, 0, store.OpenScratch)
	if got := again.store.InForce(); got != in {
		t.Errorf("generation %d is in force, want %d as before", got, in)
	}
	again.othersAreGone()
}

func isClosed(b *box) bool {
	_, err := b.ledger.Append(context.Background(), 0, matched("", ""))
	return err != nil
}

// copyBox copies the files of a box, without the ballast.
func copyBox(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "ballast" {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), content, 0o600)
	})
}

// TestACrashInARebuild opens what is on the disk after each piece of a rebuild,
// and after it.
func TestACrashInARebuild(t *testing.T) {
	b, _ := busyBox(t, 2, 200)
	before := b.dump()
	var copies []string
	keep := func() {
		dir := filepath.Join(t.TempDir(), "copy")
		must(t, copyBox(dir, b.dir))
		copies = append(copies, dir)
	}
	b.reproject(func(uint64, uint64) { keep() })
	keep()
	for _, dir := range copies {
		again := openOn(t, dir, 0, store.OpenScratch)
		now := again.dump()
		for k := range now { // opening began an epoch
			if k[0] == 'p' || k[0] == 'g' {
				now[k] = before[k]
			}
		}
		compareDumps(t, before, now)
		again.othersAreGone()
		again.ledger.Close()
		must(t, again.store.Close())
	}
}

func dumpOf(view *store.View) map[string]string {
	all := map[string]string{}
	for class := byte(0x21); class < 0x7f; class++ {
		view.Scan([]byte{class}, nil, false, func(k, v []byte) bool {
			all[string(k)] = string(v)
			return true
		})
	}
	return all
}
