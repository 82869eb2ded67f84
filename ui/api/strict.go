package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
)

// body reads a request's JSON object into v, a pointer to a struct. A key that v
// does not have is an error that names the nearest one; so are values of the
// wrong type, a second value and anything that is not an object. An empty body
// is an empty object.
func body(c echo.Context, v any) error {
	text, err := io.ReadAll(c.Request().Body)
	if err != nil {
		if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
			return tooBig
		}
		return engine.Errorf(engine.Invalid, "body: could not be read")
	}
	return strict(text, v)
}

func strict(text []byte, v any) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	var keys map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&keys); err != nil || keys == nil {
		return engine.Errorf(engine.Invalid, "body: got %q, want a JSON object", clip(string(text))).
			WithHint("Known here: %s.", strings.Join(keysOf(v), ", "))
	}
	if _, err := dec.Token(); err != io.EOF {
		return engine.Errorf(engine.Invalid, "body: there is text after the JSON object, at byte %d", dec.InputOffset())
	}
	known := keysOf(v)
	for _, key := range sortedKeys(keys) {
		if !slices.Contains(known, key) {
			return unknown("key", key, known)
		}
	}
	var wrong *json.UnmarshalTypeError
	err := json.Unmarshal(text, v)
	switch {
	case errors.As(err, &wrong):
		return engine.Errorf(engine.Invalid, "%s: got %s, want %s", wrong.Field, wrong.Value, typeName(wrong.Type))
	case err != nil:
		return engine.Errorf(engine.Invalid, "body: %s", err.Error())
	}
	return nil
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Slice:
		return "a list"
	}
	return "another type"
}

// keysOf lists the JSON keys of a pointer to a struct.
func keysOf(v any) []string {
	t := reflect.TypeOf(v).Elem()
	keys := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		keys = append(keys, name)
	}
	return keys
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// maxNear bounds the names that are compared; longer ones are near to nothing.
const maxNear = 60

// nearest is the known name with the fewest edits from name, "" when none is
// near.
func nearest(name string, known []string) string {
	if len(name) > maxNear {
		return ""
	}
	best, least := "", 3
	for _, k := range known {
		if n := edits(strings.ToLower(name), k); n < least && n < len(k) {
			best, least = k, n
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			here := row[j+1]
			cost := before
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(cost, here+1, row[j]+1)
			before = here
		}
	}
	return row[len(b)]
}
