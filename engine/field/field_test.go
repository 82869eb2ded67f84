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

func TestFiles(t *testing.T) {
	fields := []engine.Field{{Name: "a", Kind: engine.FieldFile}, {Name: "b", Kind: engine.FieldFile, Required: true}, {Name: "c", Kind: engine.FieldText}}
	file := func(name, kind, content string) []engine.Upload {
		return []engine.Upload{{Name: name, Type: kind, Content: []byte(content)}}
	}
	for want, files := range map[string]map[string][]engine.Upload{
		"field.b: must be filled in":                               {"a": file("x", "", "1")},
		"field.b: takes one file":                                  {"b": append(file("x", "", "1"), file("y", "", "2")...)},
		`field.b: got "../..", want a file with a name`:            {"b": file("../..", "", "1")},
		"field.c: takes no file":                                   {"b": file("x", "", "1"), "c": file("x", "", "1")},
		"field.d: is not asked for":                                {"b": file("x", "", "1"), "d": file("x", "", "1")},
		"field.b: is too large: at most 25 MB":                     {"b": file("x", "", strings.Repeat("x", engine.MaxUploadBytes+1))},
		"field.a: all files together are too large: at most 25 MB": {"a": file("x", "", strings.Repeat("x", 20<<20)), "b": file("y", "", strings.Repeat("y", 6<<20))},
	} {
		if _, _, problems := field.Values(fields, nil, files, time.UTC); problems.Error() != want {
			t.Errorf("got %s, want %s", problems.Error(), want)
		}
	}
	values, keep, problems := field.Values(fields, nil, map[string][]engine.Upload{"b": file(`C:\tmp\log.txt`, "text/html; x", "hello")}, time.UTC)
	if len(problems) > 0 || len(keep) != 1 || keep[0].Name != "log.txt" || keep[0].Type != "application/octet-stream" || keep[0].Size != 5 || values["a"] != nil {
		t.Errorf("got %v, %+v, %v", values, keep, problems)
	}
}

func TestDeclarations(t *testing.T) {
	for want, list := range map[string][]engine.Field{
		`name: got "A", want small letters, digits and _`:        {{Name: "A", Kind: "text"}},
		`field "a": there is no kind "colour"`:                   {{Name: "a", Kind: "colour"}},
		`field "a" is there twice`:                               {{Name: "a", Kind: "text"}, {Name: "a", Kind: "date"}},
		`choices: got an empty list`:                             {{Name: "a", Kind: "many"}},
		`choices: got "x", want different strings`:               {{Name: "a", Kind: "choice", Choices: []string{"x", "x"}}},
		`field "a": only the kinds choice and many have choices`: {{Name: "a", Kind: "date", Choices: []string{"x"}}},
		`max: got "0", want how many characters: 1 to 65536`:     {{Name: "a", Kind: "text", Max: "0"}},
		`max: got "soon", want a time span like 30d`:             {{Name: "a", Kind: "duration", Max: "soon"}},
		`max: got "x", want a number`:                            {{Name: "a", Kind: "number", Max: "x"}},
		`max: got "3", want no max`:                              {{Name: "a", Kind: "file", Max: "3"}},
		`got 51 fields, at most 50`:                              make([]engine.Field, 51),
	} {
		if err := field.Declared(list); err == nil || err.Error() != want || engine.KindOf(err) != engine.Invalid {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add("log.txt", "text/plain", []byte("hello"))
	f.Add("..\\..\x00/\u202e", "a/b\r\nX: y", []byte{0xff})
	f.Fuzz(func(t *testing.T, name, kind string, content []byte) {
		fields := []engine.Field{{Name: "x", Kind: engine.FieldFile}}
		values, keep, problems := field.Values(fields, nil, map[string][]engine.Upload{"x": {{Name: name, Type: kind, Content: content}}}, time.UTC)
		if len(problems) > 0 {
			return
		}
		if len(keep) != 1 || keep[0].Name == "" || len(keep[0].Name) > 200 || strings.ContainsAny(keep[0].Name, "/\\\r\n\x00") || strings.ContainsAny(keep[0].Type, "\r\n;") {
			t.Errorf("took %+v", keep)
		}
		if _, err := engine.Decode(engine.MustEncode(values)); err != nil {
			t.Error(err)
		}
	})
}
