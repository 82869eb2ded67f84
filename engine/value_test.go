package engine_test

import (
	"math"
	"math/big"
	"reflect"
	"testing"
	"time"

	"larkspur/engine"
)

func TestValuesComeBackEqual(t *testing.T) {
	big1, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	for _, v := range []engine.Value{
		nil, true, int64(-5), big1, 3.0, 1e300, math.Inf(-1), "tab\there \x00 <&> \u2028", "\xff not UTF-8",
		[]engine.Value{}, engine.Tuple{int64(1), "a"}, engine.Set{"x"}, map[string]engine.Value{"b": nil, "a": int64(1)},
		map[string]engine.Value{"$": "secret", "v": "x"}, engine.Dict{{Key: int64(1), Value: "one"}}, engine.Bytes{0, 255},
		time.Date(2026, 11, 22, 1, 2, 3, 4, time.UTC), 90 * time.Second, engine.Secret{Name: "unifi"},
		engine.PersonRef{Name: "dave", Email: "dave@example.org"}, engine.IncidentRef{ID: "i0-1"},
		engine.Struct{Type: "answer", Fields: map[string]engine.Value{"choice": "Block"}},
		engine.Struct{Fields: map[string]engine.Value{}},
	} {
		d, err := engine.Encode(v)
		if err != nil {
			t.Errorf("%#v: %v", v, err)
			continue
		}
		got, err := d.Value()
		if err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("%s: got %#v, %v, want %#v", d, got, err, v)
		}
	}
}

func TestOutsideJSONCannotNameASecret(t *testing.T) {
	v, err := engine.DecodeJSON([]byte(`{"a":{"$":"secret","v":"unifi"}}`))
	if err != nil {
		t.Fatal(err)
	}
	d := engine.MustEncode(v)
	again, err := d.Value()
	if err != nil || !reflect.DeepEqual(again, v) {
		t.Errorf("got %#v, %v, want the plain object %#v", again, err, v)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"$":"dict","v":[[1,2]]}`))
	f.Add([]byte(`[1e9,"\ud800",{"$":"time","v":"2026-01-01T00:00:00Z"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := engine.Decode(b)
		if err != nil {
			return
		}
		d, err := engine.Encode(v)
		if err != nil {
			t.Fatalf("%q decodes and does not encode: %v", b, err)
		}
		again, err := d.Value()
		if err != nil {
			t.Fatalf("%q does not come back: %v", d, err)
		}
		if d2 := engine.MustEncode(again); string(d2) != string(d) {
			t.Errorf("got %s, want %s", d2, d)
		}
	})
}

func TestIDs(t *testing.T) {
	if id := engine.FormatID('i', 0, 42); id != "i0-42" {
		t.Errorf("got %q, want i0-42", id)
	}
	for _, bad := range []string{"", "i", "i0", "i0-", "r0-1", "i00-1", "i0-01", "i0-+1", "i70000-1", "i0-1x"} {
		if _, _, ok := engine.ParseID('i', bad); ok {
			t.Errorf("%q was read as an id", bad)
		}
	}
}
