package settings

import (
	"errors"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
)

func TestAllMistakesAreReported(t *testing.T) {
	s := Read("connections.x.y", map[string]any{
		"text": 7, "secret": "hunter2", "number": "three", "span": "forever", "choice": "c", "host": "a/b", "url": "ftp://example.org",
		"map": []any{}, "hots": "x", "pin": "md5:0", "blank": " ",
	})
	s.Text("text", "")
	s.Text("blank", "")
	s.Secret("secret")
	s.Int("number", 1, 1, 9)
	s.Duration("span", time.Second, time.Minute)
	s.Choice("choice", "a", "b")
	s.Host("host", "192.0.2.1")
	s.URL("url", "https://example.org", "https")
	s.Map("map")
	s.Trust("pin")
	s.Required("needed", "example")
	err := s.Done()
	want := []string{
		`connections.x.y.text: got 7, want a text`,
		`connections.x.y.blank: got " ", want a text`,
		`connections.x.y.secret: want secret:NAME, not the value itself`,
		`connections.x.y.number: got "three", want a whole number from 1 to 9`,
		`connections.x.y.span: got "forever", want a duration up to 1m, such as 30s`,
		`connections.x.y.choice: got "c", want a or b`,
		`connections.x.y.host: got "a/b", want a host name or an address alone`,
		`connections.x.y.url: got "ftp://example.org", want https://HOST`,
		`connections.x.y.map: got a list, want keys and values`,
		`connections.x.y.pin: got "md5:0", want sha256: and 64 hex digits or base64`,
		`connections.x.y.needed: missing`,
		`connections.x.y.hots: unknown key`,
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("a secret is in the error")
	}
	joined := err.(interface{ Unwrap() []error }).Unwrap()
	var last *engine.Error
	if !errors.As(joined[len(joined)-1], &last) || last.Hint != `did you mean "host"?` || last.Kind != engine.Invalid {
		t.Errorf("got hint %+v", last)
	}
}

func TestGoodValues(t *testing.T) {
	s := Read("x", map[string]any{"n": uint64(7), "d": "1m30s", "s": "secret:pass", "h": "[2001:db8::1]", "u": "https://example.org/a", "m": map[string]any{"a": "b"}, "f": 3.0})
	if got := s.Int("n", 1, 1, 9); got != 7 {
		t.Errorf("got %d", got)
	}
	if got := s.Int("f", 1, 1, 9); got != 3 {
		t.Errorf("got %d", got)
	}
	if got := s.Duration("d", 0, time.Hour); got != 90*time.Second {
		t.Errorf("got %s", got)
	}
	if got := s.Secret("s"); got != "pass" {
		t.Errorf("got %s", got)
	}
	if got := s.Host("h", ""); got != "2001:db8::1" {
		t.Errorf("got %s", got)
	}
	if got := s.URL("u", "", "https"); got == nil || got.Path != "/a" {
		t.Errorf("got %v", got)
	}
	if got := s.Map("m"); got["a"] != "b" {
		t.Errorf("got %v", got)
	}
	if s.Text("absent", "fallback") != "fallback" || s.Choice("absent", "first", "second") != "first" || s.Secret("absent") != "" {
		t.Error("fallbacks do not count")
	}
	if err := s.Done(); err != nil {
		t.Error(err)
	}
}

func TestSuggest(t *testing.T) {
	for got, want := range map[string]string{
		"fingerprnt": `did you mean "fingerprint"?`, "ulr": `did you mean "url"?`, "completely": "there are fingerprint, url",
	} {
		if hint := Suggest(got, []string{"url", "fingerprint"}); hint != want {
			t.Errorf("%s: got %s, want %s", got, hint, want)
		}
	}
}
