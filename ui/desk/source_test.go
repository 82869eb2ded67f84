package desk_test

import (
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// script is a Reader of one file.
type script struct {
	desk.Reader
	path, text string
	reads      int
}

func (s *script) BundleFile(_, path string) (string, error) {
	s.reads++
	if path != s.path {
		return "", engine.Errorf(engine.NotFound, "no file %q", path)
	}
	return s.text, nil
}

const text = `def f(i):
	x = ask("dave", "what (now)?",  # a ) comment
	        choices = ["a",
	                   "b"])
	y = g(x)

	open("
`

func TestSource(t *testing.T) {
	for _, tt := range []struct {
		at      string
		context int
		want    string // the lines, the marked ones with a star
	}{
		{"scripts/a.star:2:9", 0, `2*x = ask("dave", "what (now)?",  # a ) comment|3*        choices = ["a",|4*                   "b"])`},
		{"a.star:2:9", 0, `2*x = ask("dave", "what (now)?",  # a ) comment|3*        choices = ["a",|4*                   "b"])`},
		{"a.star:5:10", 1, `4                    "b"])|5*y = g(x)|6 `},
		{"a.star:5", 0, "5*y = g(x)"},
		{"a.star:7:9", 0, `7*open("`},
		{"a.star:99:1", 0, ""},
		{"b.star:1:1", 0, ""},
		{"@larkspur//a.star:1:1", 0, ""},
		{"rubbish", 0, ""}, {":1:1", 0, ""}, {"", 0, ""}, {"a:b:c", 0, ""},
	} {
		d := &desk.Desk{Reader: &script{path: "scripts/a.star", text: text}}
		var lines []string
		for _, l := range d.Sources("b").At(tt.at, tt.context) {
			mark := map[bool]string{true: "*", false: " "}[l.Marked]
			lines = append(lines, string(rune('0'+l.Number))+mark+l.Text)
		}
		if got := strings.Join(lines, "|"); got != tt.want {
			t.Errorf("%s: got  %s\nwant %s", tt.at, got, tt.want)
		}
	}
}

func TestSourceReadsAFileOnce(t *testing.T) {
	s := &script{path: "scripts/a.star", text: text}
	sources := (&desk.Desk{Reader: s}).Sources("b")
	for range 5 {
		sources.At("scripts/a.star:5:9", 0)
		sources.At("missing.star:1:1", 0)
	}
	if s.reads != 3 {
		t.Errorf("got %d reads, want 3", s.reads)
	}
}

func FuzzSource(f *testing.F) {
	f.Add("scripts/a.star:2:9", text)
	f.Add("scripts/a.star:1:99999999999999999999", "((((\n\n")
	f.Fuzz(func(t *testing.T, at, text string) {
		d := &desk.Desk{Reader: &script{path: "scripts/a.star", text: text}}
		if lines := d.Sources("b").At(at, 3); len(lines) > 20 {
			t.Errorf("got %d lines", len(lines))
		}
	})
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 59 * time.Second: "59 s", -90 * time.Second: "1 min", 59 * time.Minute: "59 min", time.Hour: "1 hour",
		47 * time.Hour: "47 hours", 49 * time.Hour: "2 days", 70 * 24 * time.Hour: "2 months", 800 * 24 * time.Hour: "2 years",
	} {
		if got := desk.Age(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestWorst(t *testing.T) {
	c := desk.Check{Status: "ok", Children: []desk.Check{{Status: "warn"}, {Status: "ok", Children: []desk.Check{{Status: "fail"}}}, {Status: "warn"}}}
	if got := c.Worst(); got != desk.HealthFail {
		t.Errorf("got %q, want fail", got)
	}
}
