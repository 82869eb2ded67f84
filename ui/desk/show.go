package desk

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
)

// Show writes data as a script would, times in zone, at most limit bytes of it.
// rest is how many bytes were left out.
func Show(d engine.Data, zone *time.Location, limit int) (text string, rest int) {
	v, err := engine.Decode(d)
	if err != nil {
		return "(cannot be read: " + err.Error() + ")", 0
	}
	text = strings.ToValidUTF8(Literal(v, zone), "\uFFFD")
	if len(text) <= limit {
		return text, 0
	}
	return strings.ToValidUTF8(text[:limit], ""), len(text) - limit
}

// Text writes a value as a sentence holds it: strings without quotes.
func Text(v engine.Value, zone *time.Location) string {
	switch v := v.(type) {
	case nil:
		return "–"
	case string:
		return v
	case []engine.Value:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = Text(e, zone)
		}
		return strings.Join(parts, ", ")
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case engine.Struct:
		if name, ok := v.Fields["name"].(string); ok && v.Type == "file" {
			return name
		}
	}
	return Literal(v, zone)
}

// Literal writes a value as a script would.
func Literal(v engine.Value, zone *time.Location) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		return strconv.Quote(v)
	case engine.Bytes:
		return "b" + strconv.Quote(string(v))
	case time.Time:
		return v.In(zone).Format("2006-01-02 15:04:05 MST")
	case time.Duration:
		return calendar.FormatDuration(v)
	case engine.Secret:
		return "secret(" + strconv.Quote(v.Name) + ")"
	case engine.PersonRef:
		if v.Name == "" {
			return v.Email
		}
		return v.Name
	case engine.IncidentRef:
		return v.ID
	case []engine.Value:
		return "[" + sequence(v, zone) + "]"
	case engine.Set:
		return "set([" + sequence(v, zone) + "])"
	case engine.Tuple:
		if len(v) == 1 {
			return "(" + Literal(v[0], zone) + ",)"
		}
		return "(" + sequence(v, zone) + ")"
	}
	return literalKeyed(v, zone)
}

func sequence(list []engine.Value, zone *time.Location) string {
	parts := make([]string, len(list))
	for i, e := range list {
		parts[i] = Literal(e, zone)
	}
	return strings.Join(parts, ", ")
}

func literalKeyed(v engine.Value, zone *time.Location) string {
	switch v := v.(type) {
	case map[string]engine.Value:
		parts := make([]string, 0, len(v))
		for _, k := range sortedKeys(v) {
			parts = append(parts, strconv.Quote(k)+": "+Literal(v[k], zone))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case engine.Dict:
		parts := make([]string, len(v))
		for i, p := range v {
			parts[i] = Literal(p.Key, zone) + ": " + Literal(p.Value, zone)
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case engine.Struct:
		parts := make([]string, 0, len(v.Fields))
		for _, k := range sortedKeys(v.Fields) {
			parts = append(parts, k+" = "+Literal(v.Fields[k], zone))
		}
		name := v.Type
		if name == "" {
			name = "struct"
		}
		return name + "(" + strings.Join(parts, ", ") + ")"
	}
	return fmt.Sprint(v)
}

// Plain is data as plain JSON, for the API: structs are objects, tuples and sets
// are lists, times RFC 3339, durations like "5m", secrets "secret:NAME", people
// and incidents their names. It is valid JSON whatever d holds.
func Plain(d engine.Data) engine.Data {
	if len(d) == 0 {
		return nil
	}
	v, err := engine.Decode(d)
	if err != nil {
		return engine.MustEncode("(cannot be read: " + err.Error() + ")")
	}
	b, err := engine.MarshalJSON(plain(v))
	if err != nil {
		return engine.MustEncode("(cannot be shown: " + err.Error() + ")")
	}
	return b
}

func plain(v engine.Value) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
		return json.RawMessage(strconv.FormatFloat(v, 'g', -1, 64))
	case *big.Int:
		return json.RawMessage(v.String())
	case engine.Bytes:
		return base64.StdEncoding.EncodeToString(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case time.Duration:
		return calendar.FormatDuration(v)
	case engine.Secret:
		return "secret:" + v.Name
	case engine.PersonRef:
		if v.Name == "" {
			return v.Email
		}
		return v.Name
	case engine.IncidentRef:
		return v.ID
	case []engine.Value:
		return plainList(v)
	case engine.Tuple:
		return plainList(v)
	case engine.Set:
		return plainList(v)
	case map[string]engine.Value:
		return plainMap(v)
	case engine.Struct:
		return plainMap(v.Fields)
	case engine.Dict:
		m := make(map[string]any, len(v))
		for _, p := range v {
			m[Text(p.Key, time.UTC)] = plain(p.Value)
		}
		return m
	}
	return v // nil, bool, int64, string
}

func plainList(list []engine.Value) []any {
	out := make([]any, len(list))
	for i, e := range list {
		out[i] = plain(e)
	}
	return out
}

func plainMap(m map[string]engine.Value) map[string]any {
	out := make(map[string]any, len(m))
	for k, e := range m {
		out[k] = plain(e)
	}
	return out
}
