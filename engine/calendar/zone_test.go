package calendar

import (
	"testing"
	"time"

	"larkspur/engine"
)

func TestZone(t *testing.T) {
	for name, want := range map[string]string{"Europe/London": "BST", "UTC": "UTC", "America/New_York": "EDT"} {
		zone, err := Zone(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC).In(zone).Format("MST"); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"", "Local", "Europe/Londn", "../etc/passwd", "GMT+25"} {
		if _, err := Zone(name); engine.KindOf(err) != engine.Invalid || err == nil {
			t.Errorf("%q: got %v, want an error of kind invalid", name, err)
		}
	}
}
