package appliance

import (
	"fmt"
	"path/filepath"
	"time"

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
		notes = append(notes, fmt.Sprintf("snapshot %s, from before an upgrade, still holds what was there then; larkspur rollback remove %s removes it", s.Name, s.Name))
	}
	return notes
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
