package store_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"larkspur/engine/store"
)

// journal is what the records of the test name.
type journal struct {
	mu    sync.Mutex // guards named
	named map[string]bool
}

func (j *journal) write(sum string, named bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.named[sum] = named
}

func (j *journal) read() map[string]bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	used := map[string]bool{}
	for sum, named := range j.named {
		if named {
			used[sum] = true
		}
	}
	return used
}

// TestASweepLosesNothingThatIsNamed: contents come back again and again while
// others stop naming them and sweeps go on. What is named is there, always.
func TestASweepLosesNothingThatIsNamed(t *testing.T) {
	t.Parallel()
	b, err := store.OpenBlobs(t.TempDir())
	must(t, err)
	j := &journal{named: map[string]bool{}}
	var writers, sweeper sync.WaitGroup
	stop := make(chan struct{})
	removed := 0
	sweeper.Go(func() {
		for {
			w := b.Sweep()
			held, err := w.Collect(j.read())
			w.End()
			if removed += held.Removed; err != nil {
				t.Error(err)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for n := range 4 {
		writers.Go(func() { // each has contents of its own: nobody else stops naming them
			for round := range 40 {
				content := fmt.Appendf(nil, "content %d of %d", round%3, n)
				sum, err := b.Put(content)
				if err != nil {
					t.Error(err)
					return
				}
				j.write(sum, true)
				b.Release(sum)
				if got, err := b.Get(sum); err != nil || string(got) != string(content) {
					t.Errorf("round %d: got %q, %v, want what is named", round, got, err)
					return
				}
				j.write(sum, round%2 == 0)
			}
		})
	}
	writers.Wait()
	close(stop)
	sweeper.Wait()
	if removed == 0 {
		t.Error("no sweep removed anything")
	}
}

// TestWhoMeetsASweep holds every order in which a blob can meet one.
func TestWhoMeetsASweep(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, meanwhile func(*store.Blobs)
		stays             bool
	}{
		"nobody names it":                      {before: released},
		"its record is on its way":             {before: keep, stays: true},
		"its record came after the reading":    {before: keep, meanwhile: release, stays: true},
		"put again after the reading":          {before: released, meanwhile: keep, stays: true},
		"put again and named since":            {before: released, meanwhile: released, stays: true},
		"two records are on their way, one is": {before: func(b *store.Blobs) { keep(b); released(b) }, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b, err := store.OpenBlobs(dir)
			must(t, err)
			c.before(b)
			w := b.Sweep()
			if c.meanwhile != nil {
				c.meanwhile(b)
			}
			_, err = w.Collect(nil)
			must(t, err)
			w.End()
			files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
			if err != nil || (len(files) == 1) != c.stays {
				t.Errorf("got %v, %v, want it there: %v", files, err, c.stays)
			}
			w = b.Sweep() // the next one knows of it
			defer w.End()
			if held, err := w.Collect(map[string]bool{}); err != nil || c.stays && c.meanwhile == nil && held.Files != 1 {
				t.Errorf("the next: got %+v, %v", held, err)
			}
		})
	}
}

const swept = "a result"

func keep(b *store.Blobs) { _, _ = b.Put([]byte(swept)) }

func release(b *store.Blobs) {
	sum, _ := b.Put([]byte(swept))
	b.Release(sum)
	b.Release(sum)
}

func released(b *store.Blobs) {
	sum, _ := b.Put([]byte(swept))
	b.Release(sum)
}
