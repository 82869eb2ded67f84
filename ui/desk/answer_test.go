package desk_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/ui/desk"
)

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func values() map[string]engine.Value {
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	return map[string]engine.Value{
		"text": "a\"b", "none": nil, "yes": true, "no": false, "n": int64(3), "f": 2.0, "huge": huge,
		"list": []engine.Value{"a", int64(1)}, "tuple": engine.Tuple{int64(1)}, "pair": engine.Tuple{int64(1), "x"}, "set": engine.Set{"s"},
		"span": 90 * time.Minute, "time": time.Date(2026, 7, 1, 8, 0, 0, 0, time.UTC), "bytes": engine.Bytes("\x00a"),
		"secret": engine.Secret{Name: "unifi"}, "person": engine.PersonRef{Name: "dave", Email: "dave@example.org"},
		"stranger": engine.PersonRef{Email: "x@example.org"}, "incident": engine.IncidentRef{ID: "i0-1"},
		"struct": engine.Struct{Type: "client", Fields: map[string]engine.Value{"online": true}},
		"dict":   engine.Dict{{Key: int64(1), Value: "one"}}, "map": map[string]engine.Value{"k": int64(1)},
	}
}

func TestLiteral(t *testing.T) {
	want := map[string]string{
		"text": `"a\"b"`, "none": "None", "yes": "True", "no": "False", "n": "3", "huge": "123456789012345678901234567890",
		"list": `["a", 1]`, "tuple": "(1,)", "pair": `(1, "x")`, "set": `set(["s"])`, "span": "1h30m", "time": "2026-07-01 10:00:00 CEST",
		"bytes": `b"\x00a"`, "secret": `secret("unifi")`, "person": "dave", "stranger": "x@example.org", "incident": "i0-1",
		"struct": "client(online = True)", "dict": `{1: "one"}`, "map": `{"k": 1}`, "f": "2",
	}
	for name, v := range values() {
		if got := desk.Literal(v, berlin(t)); got != want[name] {
			t.Errorf("%s: got %s, want %s", name, got, want[name])
		}
	}
}

func TestPlain(t *testing.T) {
	got := string(desk.Plain(engine.MustEncode(values())))
	want := `{"bytes":"AGE=","dict":{"1":"one"},"f":2,"huge":123456789012345678901234567890,"incident":"i0-1","list":["a",1],"map":{"k":1},"n":3,"no":false,` +
		`"none":null,"pair":[1,"x"],"person":"dave","secret":"secret:unifi","set":["s"],"span":"1h30m","stranger":"x@example.org","struct":{"online":true},` +
		`"text":"a\"b","time":"2026-07-01T08:00:00Z","tuple":[1],"yes":true}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := desk.Plain(nil); got != nil {
		t.Errorf("nothing: got %q", got)
	}
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte(engine.MustEncode(values())))
	f.Add([]byte(`{"$":"float","v":"nan"}`))
	f.Add([]byte(`{"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p := desk.Plain(data); p != nil {
			if _, err := engine.DecodeJSON(p); err != nil {
				t.Errorf("%q became %q, which is no JSON: %v", data, p, err)
			}
		}
		if text, _ := desk.Show(data, time.UTC, 100); len(text) > 200 {
			t.Errorf("got %d bytes, want about 100", len(text))
		}
	})
}

func TestShowShortens(t *testing.T) {
	text, rest := desk.Show(engine.MustEncode(strings.Repeat("ä", 1000)), time.UTC, 100)
	if len(text) > 100 || rest != 2002-100 {
		t.Errorf("got %d bytes and %d more, want 100 and 1902", len(text), rest)
	}
}
