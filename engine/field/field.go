// Package field knows the inputs of questions and forms: what may be declared
// (Declared), and what the text that a person gives for one is worth as a value
// of scripts (Values). Answer checks a whole answer to a question by it.
//
// All reads what people send: every reader is bounded, finds every mistake, and
// says it in a sentence for the person at the input.
package field

import (
	"math/big"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"larkspur/engine"
	"larkspur/engine/calendar"
)

// Kinds are those that a field can have.
func Kinds() []string {
	return []string{
		engine.FieldText, engine.FieldChoice, engine.FieldMany, engine.FieldNumber, engine.FieldDate,
		engine.FieldDuration, engine.FieldDomain, engine.FieldAddress, engine.FieldFile,
	}
}

// Bounds of what may be declared and given.
const (
	MaxFields     = 50       // of one question or form
	MaxBytes      = 64 << 10 // of all texts of an answer
	maxTextRunes  = 64 << 10
	maxShownBytes = 60
)

// names are keys of an answer's fields.
var names = regexp.MustCompile(`^[a-z][a-z0-9_]{0,59}$`)

// Declared says what is wrong with the declaration of fields, of kind invalid;
// nil where nothing is.
func Declared(fields []engine.Field) error {
	if len(fields) > MaxFields {
		return engine.Errorf(engine.Invalid, "got %d fields, at most %d", len(fields), MaxFields)
	}
	seen := map[string]bool{}
	for _, f := range fields {
		if err := declared(f); err != nil {
			return err
		}
		if seen[f.Name] {
			return engine.Errorf(engine.Invalid, "field %q is there twice", f.Name).WithHint("a.fields has one value for each name")
		}
		seen[f.Name] = true
	}
	return nil
}

// declared says so of one field.
func declared(f engine.Field) error {
	choices := f.Kind == engine.FieldChoice || f.Kind == engine.FieldMany
	switch {
	case !names.MatchString(f.Name):
		return engine.Errorf(engine.Invalid, "name: got %.60q, want small letters, digits and _", f.Name)
	case !slices.Contains(Kinds(), f.Kind):
		return engine.Errorf(engine.Invalid, "field %q: there is no kind %.60q", f.Name, f.Kind).WithHint("kinds are: %s", strings.Join(Kinds(), ", "))
	case choices && len(f.Choices) == 0:
		return engine.Errorf(engine.Invalid, "choices: got an empty list")
	case !choices && len(f.Choices) > 0:
		return engine.Errorf(engine.Invalid, "field %q: only the kinds choice and many have choices", f.Name)
	}
	for n, c := range f.Choices {
		if strings.TrimSpace(c) != c || c == "" || slices.Contains(f.Choices[:n], c) {
			return engine.Errorf(engine.Invalid, "choices: got %s, want different strings", quoted(c))
		}
	}
	return checkMax(f)
}

func checkMax(f engine.Field) error {
	if f.Max == "" {
		return nil
	}
	ok, want := false, "no max"
	switch f.Kind {
	case engine.FieldText:
		n, err := strconv.Atoi(f.Max)
		ok, want = err == nil && n >= 1 && n <= maxTextRunes, "how many characters: 1 to "+strconv.Itoa(maxTextRunes)
	case engine.FieldNumber:
		_, err := strconv.ParseFloat(f.Max, 64)
		ok, want = err == nil, "a number"
	case engine.FieldDuration:
		d, err := calendar.ParseDuration(f.Max)
		ok, want = err == nil && d > 0, "a time span like 30d"
	}
	if ok {
		return nil
	}
	return engine.Errorf(engine.Invalid, "max: got %s, want %s", quoted(f.Max), want)
}

// Values are the values of scripts that a person's texts and files are worth, by
// field: every one that was asked for is there, None or an empty list where
// nothing was given. Files are to be kept. Dates are read in zone.
func Values(fields []engine.Field, given map[string][]string, files map[string][]engine.Upload, zone *time.Location) (values map[string]engine.Value, keep []File, problems engine.Problems) {
	values, problems = map[string]engine.Value{}, engine.Problems{}
	known := map[string]bool{}
	total := 0
	for _, f := range fields {
		known[f.Name] = true
		texts := slices.DeleteFunc(slices.Clone(given[f.Name]), func(s string) bool { return strings.TrimSpace(s) == "" })
		for _, t := range texts {
			total += len(t)
		}
		var problem string
		if f.Kind == engine.FieldFile {
			var one *File
			if one, problem = readFile(f, texts, files[f.Name]); one != nil {
				keep = append(keep, *one)
				values[f.Name] = one.value()
			} else {
				values[f.Name] = nil
			}
		} else if values[f.Name], problem = value(f, texts, zone); problem == "" && len(files[f.Name]) > 0 {
			problem = "takes no file"
		}
		if problem != "" {
			problems["field."+f.Name] = problem
		}
	}
	for name := range given {
		unasked(known, name, problems)
	}
	for name := range files {
		unasked(known, name, problems)
	}
	if total > MaxBytes && len(fields) > 0 {
		problems["field."+fields[0].Name] = "all fields together are too long: at most 64 KB"
	}
	if tooLarge(keep) {
		problems["field."+keep[0].field] = "all files together are too large: at most 25 MB"
	}
	return values, keep, problems
}

func unasked(known map[string]bool, name string, problems engine.Problems) {
	if !known[name] {
		problems["field."+shortened(name)] = "is not asked for"
	}
}

// value reads what was given for a field, or says what is wrong with it.
func value(f engine.Field, texts []string, zone *time.Location) (engine.Value, string) {
	switch {
	case len(texts) == 0 && f.Required:
		return nil, "must be filled in"
	case len(texts) == 0 && f.Kind == engine.FieldMany:
		return []engine.Value{}, ""
	case len(texts) == 0:
		return nil, ""
	case f.Kind == engine.FieldMany:
		return many(f, texts)
	case len(texts) > 1:
		return nil, "takes one value"
	case !utf8.ValidString(texts[0]):
		return nil, "is not valid text"
	}
	text := strings.TrimSpace(texts[0])
	switch f.Kind {
	case engine.FieldChoice:
		if !slices.Contains(f.Choices, text) {
			return nil, "got " + quoted(text) + ", want " + Listed(f.Choices, "or")
		}
		return text, ""
	case engine.FieldNumber:
		return number(f, text)
	case engine.FieldDate:
		return date(text, zone)
	case engine.FieldDuration:
		return duration(f, text)
	case engine.FieldDomain:
		return domain(text)
	case engine.FieldAddress:
		return address(text)
	}
	return plain(f, strings.ReplaceAll(texts[0], "\r\n", "\n"))
}

func plain(f engine.Field, text string) (engine.Value, string) {
	if most, err := strconv.Atoi(f.Max); err == nil && utf8.RuneCountInString(text) > most {
		return nil, "is too long: at most " + f.Max + " characters"
	}
	if !f.Multiline && strings.ContainsAny(text, "\r\n") {
		return nil, "takes one line"
	}
	return text, ""
}

// many keeps the order of the declaration.
func many(f engine.Field, texts []string) (engine.Value, string) {
	chosen := make([]engine.Value, 0, len(texts))
	for _, c := range f.Choices {
		if slices.Contains(texts, c) {
			chosen = append(chosen, c)
		}
	}
	for _, t := range texts {
		if !slices.Contains(f.Choices, t) {
			return nil, "got " + quoted(t) + ", want any of " + Listed(f.Choices, "and")
		}
	}
	return chosen, ""
}

func number(f engine.Field, text string) (engine.Value, string) {
	v, err := engine.DecodeJSON([]byte(text))
	var n float64
	switch x := v.(type) {
	case int64:
		n = float64(x)
	case float64:
		n = x
	case *big.Int:
		n, _ = new(big.Float).SetInt(x).Float64()
	default:
		err = engine.Errorf(engine.Invalid, "no number")
	}
	if err != nil {
		return nil, "got " + quoted(text) + ", want a number"
	}
	if most, bad := strconv.ParseFloat(f.Max, 64); bad == nil && n > most {
		return nil, "is more than " + f.Max
	}
	return v, ""
}

// date is the beginning of a day.
func date(text string, zone *time.Location) (engine.Value, string) {
	t, err := time.ParseInLocation(time.DateOnly, text, zone)
	if err != nil {
		return nil, "got " + quoted(text) + ", want a date like 2026-11-22"
	}
	return t.UTC(), ""
}

func duration(f engine.Field, text string) (engine.Value, string) {
	d, err := calendar.ParseDuration(strings.ToLower(strings.ReplaceAll(text, " ", "")))
	if err != nil || d < 0 {
		return nil, "got " + quoted(text) + ", want a time span like 2h, 3d or 1w"
	}
	if most, err := calendar.ParseDuration(f.Max); err == nil && d > most {
		return nil, "is more than " + f.Max
	}
	return d, ""
}

// domain takes what people paste, a name or the address of a page, and returns
// the name in A-labels (RFC 5890), in lower case, without a dot at its end.
func domain(text string) (engine.Value, string) {
	name := text
	if strings.Contains(text, "://") {
		if u, err := url.Parse(text); err == nil {
			name = u.Hostname()
		}
	}
	name, _, _ = strings.Cut(name, "/")
	ascii, err := idna.Lookup.ToASCII(strings.ToLower(strings.TrimSuffix(name, ".")))
	if err != nil || !strings.Contains(ascii, ".") || len(ascii) > 253 || strings.ContainsAny(ascii, " :@") {
		return nil, "got " + quoted(text) + ", want a domain like example.org"
	}
	if _, err := netip.ParseAddr(ascii); err == nil {
		return nil, "got the address " + quoted(text) + ", want a domain like example.org"
	}
	return ascii, ""
}

// address is an IP address, in its canonical form (RFC 5952).
func address(text string) (engine.Value, string) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return nil, "got " + quoted(text) + ", want an IP address like 192.0.2.7 or 2001:db8::7"
	}
	return a.Unmap().String(), ""
}

// Empty is what a field is worth that nobody was asked for.
func Empty(f engine.Field) engine.Value {
	switch f.Kind {
	case engine.FieldMany:
		return []engine.Value{}
	case engine.FieldText, engine.FieldChoice:
		return ""
	}
	return nil
}

func quoted(s string) string { return strconv.Quote(shortened(s)) }

func shortened(s string) string {
	if len(s) > maxShownBytes {
		s = strings.ToValidUTF8(s[:maxShownBytes], "") + "…"
	}
	return s
}

// Listed writes "a, b or c".
func Listed(words []string, last string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " " + last + " " + words[n-1]
	}
	return strings.Join(words, "")
}
