// Package settings reads one entry of `connections` strictly: every key must be
// known, every value is checked, and each mistake is a sentence that begins with
// the key's path ("connections.unifi.home.url: …"). All mistakes are reported,
// not only the first.
package settings

import (
	"errors"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"larkspur/builtins/reach"
	"larkspur/engine"
	"larkspur/engine/calendar"
)

// Section is one entry under way of being read. Read its keys, then call Done.
type Section struct {
	path     string
	values   map[string]any
	known    []string
	problems []error
}

// Read begins to read the entry at a path such as "connections.unifi.home".
func Read(path string, values map[string]any) *Section {
	return &Section{path: path, values: values}
}

// Key returns the full path of a key.
func (s *Section) Key(key string) string { return s.path + "." + key }

// Problem notes a mistake in a key and returns it, so that a hint can be added.
func (s *Section) Problem(key, format string, args ...any) *engine.Error {
	e := engine.Errorf(engine.Invalid, s.Key(key)+": "+format, args...)
	s.problems = append(s.problems, e)
	return e
}

// value returns what stands at a key, and counts the key as known.
func (s *Section) value(key string) (any, bool) {
	if !slices.Contains(s.known, key) {
		s.known = append(s.known, key)
	}
	v, ok := s.values[key]
	return v, ok && v != nil
}

// Has reports whether a key is set.
func (s *Section) Has(key string) bool {
	_, ok := s.value(key)
	return ok
}

// Text returns a text, or fallback where there is none.
func (s *Section) Text(key, fallback string) string {
	v, ok := s.value(key)
	if !ok {
		return fallback
	}
	text, ok := v.(string)
	if !ok || strings.TrimSpace(text) == "" {
		s.Problem(key, "got %s, want a text", show(v))
		return fallback
	}
	return text
}

// Required is Text without a fallback. example shows what it looks like.
func (s *Section) Required(key, example string) string {
	if !s.Has(key) {
		s.Problem(key, "missing").Hint = "for example " + key + ": " + example
		return ""
	}
	return s.Text(key, "")
}

// secretPrefix marks a secret's name in the configuration.
const secretPrefix = "secret:"

// Secret returns the name of a secret, "" where there is none. A value that
// stands in the configuration itself is a mistake: it would be in git.
func (s *Section) Secret(key string) string {
	v, ok := s.value(key)
	if !ok {
		return ""
	}
	text, _ := v.(string)
	name, ok := strings.CutPrefix(text, secretPrefix)
	if !ok || name == "" {
		s.Problem(key, "want secret:NAME, not the value itself").
			Hint = "put the value into ./secrets/NAME, or into the environment as LARKSPUR_SECRET_NAME"
		return ""
	}
	return name
}

// Int returns a whole number from min to max.
func (s *Section) Int(key string, fallback, min, max int) int {
	v, ok := s.value(key)
	if !ok {
		return fallback
	}
	n, ok := whole(v)
	if !ok || n < min || n > max {
		s.Problem(key, "got %s, want a whole number from %d to %d", show(v), min, max)
		return fallback
	}
	return n
}

// whole reads the number types that decoders of YAML and JSON make.
func whole(v any) (int, bool) {
	switch n := v.(type) {
	case int:
		return n, true
	case int64:
		return int(n), true
	case uint64:
		return int(n), n <= math.MaxInt32
	case float64:
		return int(n), n == math.Trunc(n) && math.Abs(n) <= math.MaxInt32
	}
	return 0, false
}

// Duration returns a span from just over zero to max.
func (s *Section) Duration(key string, fallback, max time.Duration) time.Duration {
	v, ok := s.value(key)
	if !ok {
		return fallback
	}
	text, _ := v.(string)
	d, err := calendar.ParseDuration(text)
	if err != nil || d <= 0 || d > max {
		s.Problem(key, "got %s, want a duration up to %s, such as 30s", show(v), calendar.FormatDuration(max))
		return fallback
	}
	return d
}

// Choice returns one of the choices; the first is the fallback.
func (s *Section) Choice(key string, choices ...string) string {
	v, ok := s.value(key)
	if !ok {
		return choices[0]
	}
	text, _ := v.(string)
	if !slices.Contains(choices, text) {
		s.Problem(key, "got %s, want %s", show(v), orList(choices))
		return choices[0]
	}
	return text
}

func orList(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// URL returns a URL of one of the schemes with a host and without user, query
// and fragment; nil after a mistake.
func (s *Section) URL(key, example string, schemes ...string) *url.URL {
	text := s.Required(key, example)
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme):
		s.Problem(key, "got %q, want %s://HOST", text, orList(schemes))
	case u.User != nil:
		s.Problem(key, "has a user in it").Hint = "use the keys for user and password"
	case u.RawQuery != "" || u.Fragment != "":
		s.Problem(key, "has a query or fragment in it, want a plain URL")
	default:
		return u
	}
	return nil
}

// Host returns a host name or address, without port.
func (s *Section) Host(key, example string) string {
	text := s.Required(key, example)
	if text == "" {
		return ""
	}
	bare := strings.Trim(text, "[]")
	if net.ParseIP(bare) == nil && strings.ContainsAny(bare, ":/@ \t\r\n") {
		s.Problem(key, "got %q, want a host name or an address alone", text)
		return ""
	}
	return bare
}

// Trust returns the pin of a fingerprint, none where there is none.
func (s *Section) Trust(key string) reach.Trust {
	t := reach.Trust{Key: s.Key(key)}
	text := s.Text(key, "")
	if text == "" {
		return t
	}
	pin, err := reach.ParsePin(text)
	if err != nil {
		s.Problem(key, "%s", err.Error())
		return t
	}
	t.Pin = &pin
	return t
}

// Map returns a map of texts.
func (s *Section) Map(key string) map[string]string {
	v, ok := s.value(key)
	if !ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		s.Problem(key, "got %s, want keys and values", show(v))
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		text, ok := v.(string)
		if !ok {
			s.Problem(key+"."+k, "got %s, want a text", show(v))
			continue
		}
		out[k] = text
	}
	return out
}

// Done returns all mistakes joined, each an *engine.Error of kind invalid, those
// of unknown keys among them.
func (s *Section) Done() error {
	var unknown []string
	for k := range s.values {
		if !slices.Contains(s.known, k) {
			unknown = append(unknown, k)
		}
	}
	slices.Sort(unknown)
	for _, k := range unknown {
		s.Problem(k, "unknown key").Hint = Suggest(k, s.known)
	}
	return errors.Join(s.problems...)
}

// Suggest says which of the words was meant, or lists them.
func Suggest(got string, words []string) string {
	sorted := slices.Sorted(slices.Values(words))
	best, distance := "", 3
	for _, w := range sorted {
		if d := editDistance(got, w); d < distance {
			best, distance = w, d
		}
	}
	if best != "" {
		return "did you mean " + strconv.Quote(best) + "?"
	}
	switch len(sorted) {
	case 0:
		return ""
	case 1:
		return "there is only " + sorted[0]
	}
	return "there are " + strings.Join(sorted, ", ")
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// show writes a wrong value for a person; it never grows long.
func show(v any) string {
	switch v := v.(type) {
	case string:
		if len(v) > 60 {
			v = v[:60] + "…"
		}
		return strconv.Quote(v)
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	case bool:
		return strconv.FormatBool(v)
	}
	if n, ok := whole(v); ok {
		return strconv.Itoa(n)
	}
	return "something else"
}
