package desk_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/ui/desk"
)

func TestFields(t *testing.T) {
	for _, tt := range []struct {
		kind, max, value string
		want             string // the encoded value, or the problem
	}{
		{"text", "", " kept ", `" kept "`},
		{"text", "3", "abcd", "is too long: at most 3 characters"},
		{"text", "", "a\nb", "takes one line"},
		{"text", "", "\xff", "is not valid text"},
		{"number", "", "42", "42"},
		{"number", "", "-1.5e3", "-1500.0"},
		{"number", "", "100000000000000000000", `{"$":"int","v":"100000000000000000000"}`},
		{"number", "9", "100000000000000000000", "is more than 9"},
		{"number", "", "NaN", `got "NaN", want a number`},
		{"number", "", `"5"`, `got "\"5\"", want a number`},
		{"number", "", "5 6", `got "5 6", want a number`},
		{"duration", "", "1d 12h", `{"$":"duration","v":129600000000000}`},
		{"duration", "", "2H", `{"$":"duration","v":7200000000000}`},
		{"duration", "", "-2h", `got "-2h", want a time span like 2h, 3d or 1w`},
		{"duration", "1h", "61m", "is more than 1h"},
		{"date", "", "2026-07-01", `{"$":"time","v":"2026-06-30T22:00:00Z"}`},
		{"date", "", "2026-02-30", `got "2026-02-30", want a date like 2026-11-22`},
		{"domain", "", "Example.ORG.", `"example.org"`},
		{"domain", "", "https://www.example.org:8080/path", `"www.example.org"`},
		{"domain", "", "bücher.example", `"xn--bcher-kva.example"`},
		{"domain", "", "localhost", `got "localhost", want a domain like example.org`},
		{"domain", "", "192.0.2.1", `got the address "192.0.2.1", want a domain like example.org`},
		{"domain", "", "a@example.org", `got "a@example.org", want a domain like example.org`},
		{"address", "", "192.0.2.7", `"192.0.2.7"`},
		{"address", "", "2001:db8::0001", `"2001:db8::1"`},
		{"address", "", "192.0.2.0/24", `"192.0.2.0/24"`},
		{"address", "", "Ana <ana@example.org>", `"ana@example.org"`},
		{"address", "", "nobody", `got "nobody", want an address like 192.0.2.7 or ana@example.org`},
		{"choice", "", "b", `"b"`},
		{"choice", "", "c", `got "c", want a or b`},
		{"many", "", "b", `["b"]`},
		{"many", "", "c", `got "c", want any of a and b`},
		{"file", "", "x", "a file cannot be handed in here; describe it in words in another field"},
	} {
		q := engine.Question{Fields: []engine.Field{{Name: "x", Kind: tt.kind, Max: tt.max, Choices: []string{"a", "b"}}}}
		a, problems := desk.CheckAnswer(q, desk.Input{Fields: map[string][]string{"x": {tt.value}}}, berlin(t))
		got := problems["field.x"]
		if len(problems) == 0 {
			got = strings.TrimSuffix(strings.TrimPrefix(string(a.Fields), `{"x":`), "}")
		}
		if got != tt.want {
			t.Errorf("%s %q: got %s, want %s", tt.kind, tt.value, got, tt.want)
		}
	}
}

func TestAnswerFindsEveryMistake(t *testing.T) {
	q := engine.Question{
		Why: true, Choices: []engine.Choice{{Name: "Yes"}, {Name: "No"}},
		Fields: []engine.Field{{Name: "a", Required: true}, {Name: "b", Kind: "number"}},
	}
	_, problems := desk.CheckAnswer(q, desk.Input{
		Choice: strings.Repeat("Maybe", 30), Fields: map[string][]string{"b": {"x"}, "c": {"1"}},
	}, time.UTC)
	want := `choice: got "` + strings.Repeat("Maybe", 12) + `…", want Yes or No; field.a: must be filled in; ` +
		`field.b: got "x", want a number; field.c: is not asked for; reason: must be filled in: a reason is asked for`
	if got := problems.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAnswerLimits(t *testing.T) {
	q := engine.Question{Fields: []engine.Field{{Name: "a", Multiline: true}, {Name: "b", Multiline: true}}}
	half := strings.Repeat("x", 33<<10)
	_, problems := desk.CheckAnswer(q, desk.Input{Fields: map[string][]string{"a": {half}, "b": {half}}}, time.UTC)
	if problems["field.a"] == "" {
		t.Errorf("got %v, want the fields to be too long", problems)
	}
	_, problems = desk.CheckAnswer(engine.Question{}, desk.Input{Choice: "x"}, time.UTC)
	if problems["choice"] == "" {
		t.Errorf("a choice where there is none: got %v", problems)
	}
	a, problems := desk.CheckAnswer(q, desk.Input{}, time.UTC)
	if len(problems) > 0 || string(a.Fields) != `{"a":null,"b":null}` {
		t.Errorf("got %s, %v, want both fields empty", a.Fields, problems)
	}
}

func FuzzCheckAnswer(f *testing.F) {
	kinds := []string{"text", "choice", "many", "number", "date", "duration", "domain", "address", "file"}
	f.Add("Block", "a reason", "https://example.org/", uint8(6), true)
	f.Add("", "", "1e400000000", uint8(3), false)
	f.Fuzz(func(t *testing.T, choice, reason, value string, kind uint8, why bool) {
		q := engine.Question{
			Why: why, Choices: []engine.Choice{{Name: "Block"}},
			Fields: []engine.Field{{Name: "x", Kind: kinds[int(kind)%len(kinds)], Choices: []string{"a"}, Max: "9"}},
		}
		in := desk.Input{Choice: choice, Reason: reason, Fields: map[string][]string{"x": {value}}}
		a, problems := desk.CheckAnswer(q, in, time.UTC)
		if len(problems) > 0 {
			return
		}
		if a.Choice != "Block" || len(a.Fields) > desk.MaxFields*2 || len(a.Reason) > desk.MaxText {
			t.Errorf("took %+v", a)
		}
		if _, err := engine.Decode(a.Fields); err != nil {
			t.Errorf("fields %q cannot be read back: %v", a.Fields, err)
		}
	})
}

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
