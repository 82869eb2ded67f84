package appliance

import (
	"testing"

	"larkspur/engine"
	"larkspur/engine/store"
	"larkspur/ui"
	"larkspur/ui/desk"
)

func TestDiskCheck(t *testing.T) {
	full := engine.Errorf(engine.Unavailable, "no room").WithHint("free some")
	for _, c := range []struct {
		disk store.Disk
		want ui.Check
	}{
		{store.Disk{Free: 900 << 20, Need: 96 << 20, Ballast: true},
			ui.Check{Status: desk.HealthOK, Message: "900 MB free"}},
		{store.Disk{Dir: "/state", Free: 200 << 20, Need: 96 << 20, Low: true, Ballast: true},
			ui.Check{Status: desk.HealthWarn, Message: "200 MB free; below 96 MB nothing is written", Hint: `free space on the disk of "/state"`}},
		{store.Disk{Free: 90 << 20, Need: 128 << 20, Low: true, Full: true, Err: full},
			ui.Check{Status: desk.HealthFail, Message: "90 MB free; nothing is written, reading goes on; the ballast is given up", Hint: "free some"}},
	} {
		got := diskCheck(c.disk)
		if got.Name != "disk" || got.Status != c.want.Status || got.Message != c.want.Message || got.Hint != c.want.Hint {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
	}
}

func TestMailCheck(t *testing.T) {
	if got := mailHealth(true); got.Status != desk.HealthOK {
		t.Errorf("got %+v", got)
	}
	if got := mailHealth(false); got.Status != desk.HealthWarn || got.Message == "" || got.Hint == "" {
		t.Errorf("got %+v", got)
	}
}
