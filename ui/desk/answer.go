package desk

import (
	"maps"
	"math/big"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"larkspur/engine"
	"larkspur/engine/calendar"
)

// Proofs that a question may ask for.
const (
	ProofDevice = "device"
	ProofLink   = "link"
	ProofTyped  = "typed"
	ProofLogin  = "login"
)

// MaxFields bounds all fields of an answer together.
const MaxFields = 64 << 10

// Input is what a person gave, before it is checked.
type Input struct {
	Choice, Reason string
	// Typed is the choice's name, written out, where the proof is "typed".
	Typed string
	// Fields by name; several values only for the kind "many".
	Fields map[string][]string
}

// CheckAnswer checks an input against its question and makes the answer of it:
// choice, fields, reason. Every mistake is found, not the first alone. Dates
// are read in zone.
func CheckAnswer(q engine.Question, in Input, zone *time.Location) (engine.Answer, Problems) {
	problems := Problems{}
	checkChoice(q, in, problems)
	reason := strings.TrimSpace(in.Reason)
	switch {
	case q.Why && reason == "":
		problems["reason"] = "must be filled in: a reason is asked for"
	case len(reason) > MaxText:
		problems["reason"] = "is too long: at most 4,096 characters"
	case !utf8.ValidString(reason):
		problems["reason"] = "is not valid text"
	}
	a := engine.Answer{Choice: in.Choice, Reason: reason}
	if fields := checkFields(q, in, zone, problems); len(problems) == 0 && len(q.Fields) > 0 {
		data, err := engine.Encode(fields)
		if err != nil {
			problems["choice"] = err.Error()
		}
		a.Fields = data
	}
	return a, problems
}

func checkChoice(q engine.Question, in Input, problems Problems) {
	names := make([]string, len(q.Choices))
	for i, c := range q.Choices {
		names[i] = c.Name
	}
	switch {
	case len(names) == 0 && in.Choice != "":
		problems["choice"] = "there is nothing to choose in this question"
	case len(names) == 0:
	case in.Choice == "":
		problems["choice"] = "choose one: " + list(names, "or")
	case !slices.Contains(names, in.Choice):
		problems["choice"] = "got " + quoted(in.Choice) + ", want " + list(names, "or")
	case q.Proof == ProofTyped && !strings.EqualFold(strings.TrimSpace(in.Typed), in.Choice):
		problems["typed"] = "type " + quoted(in.Choice) + " here to confirm this choice"
	}
}

func quoted(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return strconv.Quote(s)
}

func checkFields(q engine.Question, in Input, zone *time.Location, problems Problems) map[string]engine.Value {
	total := 0
	known := map[string]bool{}
	fields := map[string]engine.Value{}
	for _, f := range q.Fields {
		known[f.Name] = true
		values := slices.DeleteFunc(slices.Clone(in.Fields[f.Name]), func(s string) bool { return strings.TrimSpace(s) == "" })
		for _, v := range values {
			total += len(v)
		}
		v, problem := checkField(f, values, zone)
		if problem != "" {
			problems["field."+f.Name] = problem
		}
		fields[f.Name] = v
	}
	for _, name := range sortedKeys(in.Fields) {
		if !known[name] {
			problems["field."+name] = "is not asked for"
		}
	}
	if total > MaxFields && len(q.Fields) > 0 {
		problems["field."+q.Fields[0].Name] = "all fields together are too long: at most 64 KB"
	}
	return fields
}

// checkField returns the value of a field, or what is wrong with it.
func checkField(f engine.Field, values []string, zone *time.Location) (engine.Value, string) {
	switch {
	case len(values) == 0 && f.Required:
		return nil, "must be filled in"
	case len(values) == 0:
		return nil, ""
	case f.Kind == "many":
		return checkMany(f, values)
	case len(values) > 1:
		return nil, "takes one value"
	case !utf8.ValidString(values[0]):
		return nil, "is not valid text"
	}
	value := strings.TrimSpace(values[0])
	switch f.Kind {
	case "choice":
		if !slices.Contains(f.Choices, value) {
			return nil, "got " + quoted(value) + ", want " + list(f.Choices, "or")
		}
	case "number":
		return checkNumber(f, value)
	case "date":
		t, err := time.ParseInLocation(time.DateOnly, value, zone)
		if err != nil {
			return nil, "got " + quoted(value) + ", want a date like 2026-11-22"
		}
		return t.UTC(), ""
	case "duration":
		return checkDuration(f, value)
	case "domain":
		return checkDomain(value)
	case "address":
		return checkAddress(value)
	case "file":
		return nil, "a file cannot be handed in here; describe it in words in another field"
	default:
		return checkText(f, strings.ReplaceAll(values[0], "\r\n", "\n"))
	}
	return value, ""
}

func checkText(f engine.Field, value string) (engine.Value, string) {
	if most, err := strconv.Atoi(f.Max); err == nil && utf8.RuneCountInString(value) > most {
		return nil, "is too long: at most " + f.Max + " characters"
	}
	if !f.Multiline && strings.ContainsAny(value, "\r\n") {
		return nil, "takes one line"
	}
	return value, ""
}

func checkMany(f engine.Field, values []string) (engine.Value, string) {
	chosen := make([]engine.Value, 0, len(values))
	for _, c := range f.Choices {
		if slices.Contains(values, c) {
			chosen = append(chosen, c)
		}
	}
	for _, v := range values {
		if !slices.Contains(f.Choices, v) {
			return nil, "got " + quoted(v) + ", want any of " + list(f.Choices, "and")
		}
	}
	return chosen, ""
}

func checkNumber(f engine.Field, value string) (engine.Value, string) {
	v, err := engine.DecodeJSON([]byte(value))
	var n float64
	switch x := v.(type) {
	case int64:
		n = float64(x)
	case float64:
		n = x
	case *big.Int:
		n, _ = new(big.Float).SetInt(x).Float64()
	default:
		return nil, "got " + quoted(value) + ", want a number"
	}
	if most, bad := strconv.ParseFloat(f.Max, 64); bad == nil && n > most {
		return nil, "is more than " + f.Max
	}
	if err != nil {
		return nil, "got " + quoted(value) + ", want a number"
	}
	return v, ""
}

func checkDuration(f engine.Field, value string) (engine.Value, string) {
	d, err := calendar.ParseDuration(strings.ToLower(strings.ReplaceAll(value, " ", "")))
	if err != nil || d < 0 {
		return nil, "got " + quoted(value) + ", want a time span like 2h, 3d or 1w"
	}
	if most, err := calendar.ParseDuration(f.Max); err == nil && d > most {
		return nil, "is more than " + f.Max
	}
	return d, ""
}

// checkDomain takes what people paste: a name, or a whole address of a page.
func checkDomain(value string) (engine.Value, string) {
	name := value
	if strings.Contains(value, "://") {
		if u, err := url.Parse(value); err == nil {
			name = u.Hostname()
		}
	}
	name, _, _ = strings.Cut(name, "/")
	ascii, err := idna.Lookup.ToASCII(strings.ToLower(strings.TrimSuffix(name, ".")))
	if err != nil || !strings.Contains(ascii, ".") || len(ascii) > 253 || strings.ContainsAny(ascii, " :@") {
		return nil, "got " + quoted(value) + ", want a domain like example.org"
	}
	if _, err := netip.ParseAddr(ascii); err == nil {
		return nil, "got the address " + quoted(value) + ", want a domain like example.org"
	}
	return ascii, ""
}

func checkAddress(value string) (engine.Value, string) {
	if a, err := netip.ParseAddr(value); err == nil {
		return a.String(), ""
	}
	if p, err := netip.ParsePrefix(value); err == nil {
		return p.String(), ""
	}
	if a, err := mail.ParseAddress(value); err == nil {
		return a.Address, ""
	}
	return nil, "got " + quoted(value) + ", want an address like 192.0.2.7 or ana@example.org"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
