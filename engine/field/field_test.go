package field_test

import (
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/field"
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
		{"address", "", "::ffff:192.0.2.7", `"192.0.2.7"`},
		{"address", "", "192.0.2.0/24", `got "192.0.2.0/24", want an IP address like 192.0.2.7 or 2001:db8::7`},
		{"address", "", "fe80::1%eth0", `got "fe80::1%eth0", want an IP address like 192.0.2.7 or 2001:db8::7`},
		{"address", "", "nobody", `got "nobody", want an IP address like 192.0.2.7 or 2001:db8::7`},
		{"choice", "", "b", `"b"`},
		{"choice", "", "c", `got "c", want a or b`},
		{"many", "", "b", `["b"]`},
		{"many", "", "c", `got "c", want any of a and b`},
		{"file", "", "x", "takes a file, not a text"},
	} {
		q := engine.Question{Fields: []engine.Field{{Name: "x", Kind: tt.kind, Max: tt.max, Choices: []string{"a", "b"}}}}
		a, _, problems := field.Answer(q, engine.Reply{Fields: map[string][]string{"x": {tt.value}}}, berlin(t))
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
	_, _, problems := field.Answer(q, engine.Reply{
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
	_, _, problems := field.Answer(q, engine.Reply{Fields: map[string][]string{"a": {half}, "b": {half}}}, time.UTC)
	if problems["field.a"] == "" {
		t.Errorf("got %v, want the fields to be too long", problems)
	}
	_, _, problems = field.Answer(engine.Question{}, engine.Reply{Choice: "x"}, time.UTC)
	if problems["choice"] == "" {
		t.Errorf("a choice where there is none: got %v", problems)
	}
	a, _, problems := field.Answer(q, engine.Reply{}, time.UTC)
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
		in := engine.Reply{Choice: choice, Reason: reason, Fields: map[string][]string{"x": {value}}}
		a, _, problems := field.Answer(q, in, time.UTC)
		if len(problems) > 0 {
			return
		}
		if a.Choice != "Block" || len(a.Fields) > field.MaxBytes*2 || len(a.Reason) > field.MaxReason {
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
