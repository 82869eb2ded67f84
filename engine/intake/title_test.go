package intake

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"larkspur/engine"
)

func TestTitle(t *testing.T) {
	e := engine.Event{
		Kind: "webhook", Source: "siem", Time: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC),
		Fields: map[string]engine.Value{
			"client": "192.0.2.7", "n": int64(3), "f": 1.5, "yes": true, "list": []engine.Value{"a", int64(1)}, "kind": "its own",
			"nested": map[string]engine.Value{"deep": map[string]engine.Value{"name": "x"}}, "a.b": "dotted",
			"bad": "line\nbreak\x1b[31m\x00\x7f", "broken": "\xff\xfe", "braces": "{client}", "none": nil,
		},
	}
	tests := []struct{ pattern, want string }{
		{"", ""},
		{"plain", "plain"},
		{"Netflix from {client}", "Netflix from 192.0.2.7"},
		{"{client}{client}", "192.0.2.7192.0.2.7"},
		{"{absent}|{none}|{nested.absent}|{client.deep}", "|||"},
		{"{nested.deep.name} {a.b}", "x dotted"},
		{"{n} {f} {yes} {list}", `3 1.5 true ["a",1]`},
		{"{kind} {source} {time}", "webhook siem 2026-11-22T08:00:00Z"},
		{"{{client}} {{{client}}}", "{client} {192.0.2.7}"},
		{"{ } {", " {"},
		{"} {client", "} {client"},
		{"{braces}", "{client}"},
		{"{bad}", "line break [31m  "},
		{"{broken}", "  "},
		{"a\tb", "a b"},
	}
	for _, tt := range tests {
		if got := title(tt.pattern, e); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.pattern, got, tt.want)
		}
	}
}

func TestTitlesAreShort(t *testing.T) {
	for _, filler := range []string{"x", "é", "😀"} {
		got := title("{f}", engine.Event{Fields: map[string]engine.Value{"f": strings.Repeat(filler, 1000)}})
		if len(got) > maxTitleBytes+len("…") || !strings.HasSuffix(got, "…") || !utf8.ValidString(got) {
			t.Errorf("%s: got %d bytes: %q", filler, len(got), got)
		}
	}
}

func FuzzTitle(f *testing.F) {
	f.Add("{a}{{", "\xff{a}")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		got := title(pattern, engine.Event{Fields: map[string]engine.Value{"a": value}})
		if len(got) > maxTitleBytes+len("…") || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\x00") {
			t.Errorf("got %q", got)
		}
	})
}
