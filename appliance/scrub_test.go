package appliance

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"larkspur/engine"
	"larkspur/engine/store"
	"larkspur/ui/desk"
)

// TestScrubberScrubsEveryWeek holds that a scrub begins by itself, that its last
// result is kept over a start, and what the health tree says of it.
func TestScrubberScrubsEveryWeek(t *testing.T) {
	dir := t.TempDir()
	s, err := store.OpenScratch(filepath.Join(dir, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	blob := filepath.Join(dir, "blobs", "9f", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
	if err := os.MkdirAll(filepath.Dir(blob), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blob, []byte("test"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		x := newScrubber(dir, s, engine.SystemClock{})
		if _, tell := x.health(); tell {
			t.Error("it tells of a scrub before the first")
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- x.Run(ctx) }()
		time.Sleep(scrubFirst + time.Minute)
		synctest.Wait()
		c, _ := x.health()
		if c.Status != desk.HealthOK || !strings.Contains(c.Message, "all files are whole") {
			t.Errorf("got %+v, want that all is whole", c)
		}
		if err := os.WriteFile(blob, []byte("toast"), 0o600); err != nil {
			t.Error(err)
		}
		time.Sleep(scrubEvery + time.Minute)
		synctest.Wait()
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Errorf("got %v", err)
		}
		c, _ = newScrubber(dir, s, engine.SystemClock{}).health()
		if c.Status != desk.HealthFail || !strings.HasPrefix(c.Message, "1 findings; blobs/9f/9f86d081") {
			t.Errorf("after a start: got %+v, want the finding", c)
		}
	})
}
