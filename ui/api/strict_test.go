package api

import (
	"testing"

	"larkspur/engine"
)

func TestNearest(t *testing.T) {
	known := []string{"status", "severity", "owner", "q"}
	for name, want := range map[string]string{
		"state": "status", "Status": "status", "severty": "severity", "owners": "owner", "x": "", "colour": "", "": "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func FuzzStrict(f *testing.F) {
	f.Add([]byte(`{"choice": "Block", "fields": {"a": [1]}}`))
	f.Add([]byte(`{"choice": "Block", "Choice": 1}`))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var b AnswerBody
		if err := strict(text, &b); err != nil {
			if engine.KindOf(err) != engine.Invalid {
				t.Errorf("got %v, want an error of kind invalid", err)
			}
			return
		}
		for _, raw := range b.Fields {
			if values, err := fieldValues(raw); err == nil && len(values) > len(text) {
				t.Errorf("got %d values of %q", len(values), raw)
			}
		}
	})
}
