package rules

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
)

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		glob, text string
		want       bool
	}{
		{"", "", true}, {"", "x", false}, {"*", "", true}, {"*", "a\nb/c", true}, {"**", "x", true},
		{"abc", "abc", true}, {"abc", "ABC", false}, {"abc", "abcd", false},
		{"a*c", "abbbc", true}, {"a*c", "abbbcd", false}, {"*.exe", "x.exe.exe", true},
		{"a?c", "abc", true}, {"a?c", "ac", false}, {"a?c", "aéc", true}, {"?", "é", true}, {"*é", "xé", true},
		{`\*`, "*", true}, {`\*`, "x", false}, {`\?`, "?", true}, {`\?`, "x", false}, {`\\`, `\`, true},
		{`\n`, `\n`, true}, {`\`, `\`, true}, {`[a]`, "[a]", true}, {`[a]`, "a", false},
		{"*a*b*c*", "xxaxxbxxcxx", true}, {"*a*b*c*", "xxaxxcxxbxx", false},
		{strings.Repeat("a*", 30) + "b", strings.Repeat("a", 3000), false},
	} {
		if got := Glob(c.glob, c.text); got != c.want {
			t.Errorf("Glob(%.40q, %.40q): got %v, want %v", c.glob, c.text, got, c.want)
		}
	}
}

func TestMatchReachesFields(t *testing.T) {
	e := &engine.Event{
		Kind: "webhook", Source: "siem", Time: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC),
		Fields: dict{
			"kind": "mine", "n": int64(5), "f": 2.5, "yes": true, "none": nil, "empty": "",
			"a":     dict{"b": dict{"c": "deep"}, "b.c": "dotted"},
			"x.y":   "flat",
			"tags":  list{"red", int64(7)},
			"items": list{dict{"id": "one"}, dict{"id": "two"}},
			"s":     engine.Struct{Fields: dict{"k": "in a struct"}},
		},
	}
	for _, c := range []struct {
		path, glob string
		want       bool
	}{
		{"kind", "webhook", true}, {"kind", "mine", false}, {"fields.kind", "mine", true},
		{"source", "si*", true}, {"time", "2026-11-22T08:*", true},
		{"n", "5", true}, {"f", "2.5", true}, {"yes", "true", true}, {"yes", "True", false},
		{"none", "*", false}, {"absent", "*", false}, {"empty", "", true}, {"empty", "*", true},
		{"a.b.c", "deep", true}, {"a.b.c", "dotted", true}, {"a.b", "*", false}, {"a.b.c.d", "*", false},
		{"x.y", "flat", true}, {"tags", "red", true}, {"tags", "7", true}, {"tags", "blue", false},
		{"tags.0", "red", true}, {"tags.1", "red", false}, {"tags.9", "*", false}, {"tags.-1", "*", false},
		{"items.id", "two", true}, {"items.0.id", "two", false}, {"items.1.id", "two", true}, {"s.k", "in*", true},
	} {
		g := fieldGlob{c.path, c.glob}
		if got := g.matches(e); got != c.want {
			t.Errorf("%s = %q: got %v, want %v", c.path, c.glob, got, c.want)
		}
	}
}

// FuzzGlob holds Glob against a regular expression.
func FuzzGlob(f *testing.F) {
	for _, s := range [][2]string{{"a*b?c", "axxbyc"}, {`\*\?\\\`, `*?\\`}, {"*é?", "aéb"}, {"**a**", "bab"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, glob, text string) {
		if len(glob) > 200 || strings.ToValidUTF8(glob, "") != glob || strings.ToValidUTF8(text, "") != text {
			return
		}
		var re strings.Builder
		re.WriteString(`(?s)\A`)
		for i := 0; i < len(glob); i++ {
			switch c := glob[i]; {
			case c == '*':
				re.WriteString(`.*`)
			case c == '?':
				re.WriteString(`.`)
			case c == '\\' && i+1 < len(glob) && strings.ContainsRune(`*?\`, rune(glob[i+1])):
				i++
				re.WriteString(regexp.QuoteMeta(glob[i : i+1]))
			default:
				n := runeLen(glob[i:])
				re.WriteString(regexp.QuoteMeta(glob[i : i+n]))
				i += n - 1
			}
		}
		re.WriteString(`\z`)
		if got, want := Glob(glob, text), regexp.MustCompile(re.String()).MatchString(text); got != want {
			t.Errorf("Glob(%q, %q): got %v, want %v", glob, text, got, want)
		}
	})
}
