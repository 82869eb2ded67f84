package appliance

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"larkspur/engine"
	"larkspur/engine/store"
	"larkspur/ui"
	"larkspur/ui/desk"
)

// keep tells how long closed incidents are kept: retention.incidents.
func (a *Appliance) keep(now time.Time) (span string, before time.Time) {
	r := a.current().Retention
	if r.Incidents == 0 {
		return "", now
	}
	return r.Written, now.Add(-r.Incidents)
}

// elsewhere tells what an erasure does not reach.
func (a *Appliance) elsewhere() (notes []string) {
	list, err := store.Snapshots(filepath.Join(a.current().Box.Store, "ledger"))
	if err != nil {
		return []string{"the snapshots of upgrades could not be read: " + err.Error()}
	}
	for _, s := range list {
		notes = append(notes, fmt.Sprintf("snapshot %s, from before an upgrade, still holds what was there then, until %s; an erasure that is asked to (--snapshots) deletes it, and with it the way back to the former version",
			s.Name, s.Made.Add(SnapshotsKept).UTC().Format("2006-01-02 15:04 UTC")))
	}
	return notes
}

// removeSnapshots deletes the snapshots of upgrades, which hold what is erased.
func (a *Appliance) removeSnapshots() error {
	dir := filepath.Join(a.current().Box.Store, "ledger")
	list, err := store.Snapshots(dir)
	if err != nil {
		return err
	}
	for _, s := range list {
		if err := store.RemoveSnapshot(dir, s.Name); err != nil && engine.KindOf(err) != engine.NotFound { // its time was over
			return err
		}
		slog.Info("a snapshot is removed with what an erasure erased", "snapshot", s.Name, "freed_bytes", s.Bytes)
	}
	return nil
}

// blobsHealth tells what lies in the folder of blobs since the last collection.
func (a *Appliance) blobsHealth() ui.Check {
	h := a.eraser.Held()
	c := ui.Check{Name: "blobs", Status: desk.HealthOK, Message: "not counted yet: the first look comes within an hour"}
	if h.Files > 0 || h.Removed > 0 {
		c.Message = fmt.Sprintf("%d files, %d MB; %d that no record named are removed since the start", h.Files, h.Bytes>>20, h.Removed)
	}
	return c
}
