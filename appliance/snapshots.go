package appliance

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"larkspur/appliance/config"
	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/store"
	"larkspur/scripts"
	"larkspur/ui"
	"larkspur/ui/desk"
)

// SnapshotsKept is how long the store as it was before an upgrade is kept.
const SnapshotsKept = 14 * 24 * time.Hour

// keeper removes snapshots whose time is over.
type keeper struct {
	dir   string // of the ledger store
	clock engine.Clock
}

// keepEvery is how often it looks.
const keepEvery = time.Hour

// Run looks now and then until ctx ends.
func (k *keeper) Run(ctx context.Context) error {
	for {
		if err := k.removeOld(); err != nil {
			slog.Error("snapshots whose time is over", "error", err)
		}
		if err := k.clock.Sleep(ctx, keepEvery); err != nil {
			return err
		}
	}
}

func (k *keeper) removeOld() error {
	list, err := store.Snapshots(k.dir)
	if err != nil {
		return err
	}
	for _, s := range list {
		if k.clock.Now().Before(s.Made.Add(SnapshotsKept)) {
			continue
		}
		if err := store.RemoveSnapshot(k.dir, s.Name); err != nil {
			return err
		}
		slog.Info("a snapshot is removed, its time is over", "snapshot", s.Name, "freed_bytes", s.Bytes)
	}
	return nil
}

// health lists the snapshots, if there are some.
func (k *keeper) health() (c ui.Check, tell bool) {
	c = ui.Check{Name: "snapshots", Status: desk.HealthOK, Message: "the store as it was; larkspur rollback puts it back or removes it"}
	list, err := store.Snapshots(k.dir)
	if err != nil {
		return ui.Check{Name: "snapshots", Status: desk.HealthWarn, Message: err.Error()}, true
	}
	for _, s := range list {
		c.Children = append(c.Children, ui.Check{Name: s.Name, Status: desk.HealthOK, Message: DescribeSnapshot(s)})
	}
	return c, len(list) > 0
}

// DescribeSnapshot says what a snapshot is, in one line.
func DescribeSnapshot(s store.Snapshot) string {
	return fmt.Sprintf("schema %d, %s; %d MB of its own; removed after %s",
		s.Schema, s.Why, (s.Bytes+1<<20-1)>>20, s.Made.Add(SnapshotsKept).UTC().Format("2006-01-02 15:04 UTC"))
}

// LedgerDir returns the folder of a workspace's ledger store.
func LedgerDir(dir string) (string, error) {
	settings, problems := config.Load(dir)
	if settings.Box.Store == "" && scripts.HasError(problems) {
		return "", &Problems{problems}
	}
	return filepath.Join(settings.Box.Store, "ledger"), nil
}

// Lost is what a rollback takes out of force.
type Lost struct {
	Known   bool
	Records uint64    // appended since the upgrade
	Last    time.Time // of the newest
}

// LostBy tells what rolling a store back to a snapshot of before an upgrade takes
// out of force. It is not known when the store cannot be read, or does not tell
// of the upgrade.
func LostBy(dir string, s store.Snapshot) (lost Lost, err error) {
	now, err := store.OpenScratch(dir)
	if err != nil {
		return lost, err
	}
	sum, err := ledger.Summarize(now)
	if closed := now.Close(); err == nil {
		err = closed
	}
	for _, u := range sum.Upgrades {
		if u.From == s.Schema && sum.Records >= u.Records {
			lost = Lost{true, sum.Records - u.Records, sum.Last}
		}
	}
	return lost, err
}
