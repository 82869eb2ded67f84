package intake

import (
	"strings"
	"testing"

	"larkspur/engine"
)

func TestWhoReported(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind string
		v    engine.Value
		want string // name and address, "" for nobody
	}{
		{"an address", "webhook", "ana@example.org", "ana@example.org ana@example.org"},
		{"a name and an address", "webhook", "Ana Example <ana@example.org>", "Ana Example ana@example.org"},
		{"an object", "webhook", map[string]engine.Value{"name": "Ana\r\nBcc: x", "email": "ana@example.org"}, "Ana Bcc: x ana@example.org"},
		{"an object without a name", "webhook", map[string]engine.Value{"email": "ana@example.org"}, "ana@example.org ana@example.org"},
		{"no address", "webhook", "Ana", ""},
		{"two addresses", "webhook", "a@example.org, b@example.org", ""},
		{"a number", "webhook", int64(7), ""},
		{"too long", "webhook", strings.Repeat("x", 400) + "@example.org", ""},
		{"another kind", "dns", "ana@example.org", ""},
		{"none", "webhook", nil, ""},
	} {
		got := ""
		if r := reporterOf(engine.Event{Kind: tt.kind, Fields: map[string]engine.Value{"reporter": tt.v}}); r != nil {
			if got = r.Name + " " + r.Email; r.Verified {
				t.Errorf("%s: nothing verified it", tt.name)
			}
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
