package appliance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"larkspur/engine/store"
)

// still is a clock that stands where a test puts it, and never sleeps.
type still struct{ now time.Time }

func (s *still) Now() time.Time                                   { return s.now }
func (s *still) Sleep(ctx context.Context, _ time.Duration) error { return context.Canceled }

func TestSnapshotsAreKeptForTwoWeeks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ledger")
	for range 2 {
		s, err := store.OpenLedger(dir)
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(filepath.Join(dir, "schema")) // now it is one of schema 1
	}
	clock := &still{time.Now()}
	k := &keeper{dir: dir, clock: clock}
	if err := k.Run(t.Context()); err != context.Canceled {
		t.Errorf("got %v", err)
	}
	c, tell := k.health()
	if !tell || len(c.Children) != 1 || !strings.Contains(c.Children[0].Message, fmt.Sprintf("schema 1, before the upgrade to schema %d; ", store.Schema)) {
		t.Errorf("got %+v, want one snapshot", c)
	}
	clock.now = clock.now.Add(SnapshotsKept)
	if err := k.removeOld(); err != nil {
		t.Fatal(err)
	}
	if c, tell := k.health(); tell {
		t.Errorf("two weeks later: got %+v, want none", c)
	}
}
