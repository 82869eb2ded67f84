package record_test

import (
	"encoding/json"
	"maps"
	"testing"

	"larkspur/engine/record"
)

func TestSkipValue(t *testing.T) {
	cases := map[string]int{
		`{"a":[1,{"b":"}"}]},"next"`: 19,
		`"a\\\"b",`:                  8,
		`"a\\",`:                     5,
		`-1.5e+3}`:                   7,
		`null,`:                      4,
		`[]`:                         2,
		`{"a":1`:                     0,
		`"open`:                      0,
		`"\`:                         0,
		"{\n}":                       0,
		``:                           0,
		`,`:                          0,
	}
	for text, want := range cases {
		if got := record.SkipValue([]byte(text)); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
}

// FuzzFields compares with encoding/json on every object that it accepts.
func FuzzFields(f *testing.F) {
	f.Add(`{"a":{"b":[1,2]},"run":"r0-1","x":"\"}"}`)
	f.Add(`{"a":"\\","b":null}`)
	f.Add(`{"`)
	f.Fuzz(func(t *testing.T, text string) {
		record.SkipValue([]byte(text))
		got := map[string]string{}
		record.Fields([]byte(text), func(key, value []byte) bool {
			var name string
			if json.Unmarshal(key, &name) == nil {
				got[name] = string(value)
			}
			return true
		})
		var raw map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &raw) != nil {
			return
		}
		if compact, err := json.Marshal(raw); err != nil || string(compact) != text {
			return // not as payloads are written
		}
		want := map[string]string{}
		for key, value := range raw {
			want[key] = string(value)
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	})
}
