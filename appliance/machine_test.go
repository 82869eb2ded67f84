package appliance

import (
	"testing"
	"time"

	"larkspur/engine"
)

// TestTheMachinesClock asks this machine: its uptime goes on with its time.
func TestTheMachinesClock(t *testing.T) {
	var m engine.Machine = machine{}
	up, now := m.Up(), m.Now()
	for m.Up() <= up {
	}
	if up <= 0 || m.Now().Before(now.Add(-time.Minute)) {
		t.Errorf("got an uptime of %v at %v", up, now)
	}
	if s := m.Sync(); s != engine.Synced && s != engine.SyncAwaited && s != engine.SyncUnknown {
		t.Errorf("got %v", s)
	}
	t.Logf("up %v, sync %d", up, m.Sync())
}
