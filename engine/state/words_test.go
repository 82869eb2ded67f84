package state

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"larkspur/engine"
)

func TestWordsOfTexts(t *testing.T) {
	for text, want := range map[string]string{
		"Netflix from 192.0.2.7":                           "netflix from 192.0.2.7 192.0.2 192.0",
		"WWW.Netflix.COM.":                                 "www.netflix.com netflix.com www netflix com",
		"http://login.example.org:8080/a/b?c=d":            "login example org 8080 a b c d",
		"https://login.example.org/reset.php":              "login.example.org example.org login example org reset.php reset php",
		"see https://münchen.example/x":                    "see xn--mnchen-3ya.example münchen example x",
		"xn--mnchen-3ya.example":                           "xn--mnchen-3ya.example münchen example",
		"Ana <ana@example.org>":                            "ana ana@example.org example.org example org",
		"2001:DB8:0:0::7, fe80::1%eth0":                    "2001:db8::7 2001:db8:: fe80::1 fe80:: eth0",
		"[2001:db8::7]:443":                                "2001:db8::7 2001:db8:: 443",
		"192.0.2.7:443 and 198.51.100.0/24":                "192.0.2.7 192.0.2 192.0 443 and 198.51.100.0/24 198.51.100 198.51 198.51.100.0",
		"02-00-00-00-00-07 is 02:00:00:00:00:07":           "02:00:00:00:00:07 is",
		"CVE-2026-1234 (critical!)":                        "cve 2026 1234 critical",
		"d41d8cd98f00b204e9800998ecf8427e":                 "d41d8cd98f00b204e9800998ecf8427e",
		"ﬁle Ｎａｍｅ":                                         "file name",
		"go 1.26.0 1.26 at 12:30":                          "go 1.26.0 1.26 at 12:30",
		"a\xff\xfeb":                                       "a b",
		"… -- ?":                                           "",
		"living-room_TV":                                   "living room tv",
		"日本語":                                              "日本語",
		strings.Repeat("x", 100) + strings.Repeat("é", 40): strings.Repeat("x", 64),
	} {
		l := &wordList{limit: maxWords}
		l.text(text)
		if got := strings.Join(l.words, " "); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestWordsAreBoundedAndHoldNoSecret(t *testing.T) {
	i := engine.Incident{Title: strings.Repeat("word ", 10), Order: []string{"b"}, Fields: engine.MustEncode(map[string]engine.Value{
		"a": engine.Secret{Name: "unifi"}, "b": []engine.Value{int64(42), engine.Struct{Fields: map[string]engine.Value{"x": "deep"}}}, "c": nil, "d": true,
	})}
	if got := strings.Join(incidentWords(i), " "); got != "word 42 deep" {
		t.Errorf("got %q", got)
	}
	var many strings.Builder
	for n := range 1000 {
		many.WriteString(engine.FormatID('x', 0, uint64(n)) + " ")
	}
	if got := len(incidentWords(engine.Incident{Title: many.String()})); got != maxWords {
		t.Errorf("got %d words, want %d", got, maxWords)
	}
}

// FuzzWords: whatever a text holds, its words are short, distinct, whole runes,
// and a search for any of its words asks for what was indexed.
func FuzzWords(f *testing.F) {
	for _, text := range []string{"Netflix from 192.0.2.7", "a@b.c", "::1/64", "x.y.z.", "\xff://", "%41/..//", "İ.example"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := &wordList{limit: maxWords}
		l.text(text)
		for i, w := range l.words {
			if len(w) > maxWordBytes || !utf8.ValidString(w) || w == "" || slices.Contains(l.words[:i], w) {
				t.Errorf("%q: got the word %q", text, w)
			}
		}
		if q, err := parseSearch(text); err == nil {
			for _, w := range append(q.words, q.prefix) {
				if strings.ContainsRune(w, 0) {
					t.Errorf("%q: asks for %q", text, w)
				}
			}
		}
	})
}

func TestPartsOfSearches(t *testing.T) {
	for text, want := range map[string]searchPart{
		"client:192.0.2.7":    {"client", "192.0.2.7", false},
		`client:"a b" c`:      {"client", "a b", true},
		"02:00:00:00:00:07":   {"", "02:00:00:00:00:07", false},
		"aa:bb:cc:dd:ee:ff":   {"", "aa:bb:cc:dd:ee:ff", false},
		"fe80::1":             {"", "fe80::1", false},
		"https://example.org": {"", "https://example.org", false},
		"12:30":               {"", "12:30", false},
		"how_long:8h":         {"how_long", "8h", false},
		"x: y":                {"", "x:", false},
		`"unfinished`:         {"", "unfinished", true},
	} {
		if got := searchParts(text); len(got) == 0 || got[0] != want {
			t.Errorf("%q: got %+v, want %+v first", text, got, want)
		}
	}
}
