package engine

import (
	"reflect"
	"strings"
	"testing"
)

// FuzzDecodeQuickly decodes whatever text as the slower way does.
func FuzzDecodeQuickly(f *testing.F) {
	for _, text := range []string{
		`{"a":[1,-2.5e3,"x",null,true,false,{}],"b":{"$":"time","v":"2026-11-22T08:00:00Z"}}`, `{"$":"tuple","v":[1,2]}`, `{"$":"str","v":"/w=="}`,
		`{"$":"dict","v":[[1,2]]}`, `{"$":"int","v":"123456789012345678901234567890"}`, `{"$":"secret","v":1}`, `{"$":"bytes","v":"!"}`, ` [1 ,2]`,
		`{"a":1,"a":2}`, `"\u00e9\ud800"`, `[01]`, `[1,]`, `{"a":1,}`, `-`, `1e999`, `[]]`, `{"$":"x"}`, "\"\xff\"", strings.Repeat("[", 210) + strings.Repeat("]", 210),
	} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, tagged bool) {
		if text == "" {
			return
		}
		got, err := decode([]byte(text), tagged)
		want, wantErr := decodeAny([]byte(text), tagged)
		if (err == nil) != (wantErr == nil) || !equalValues(got, want) {
			t.Errorf("%q: got %#v, %v, want %#v, %v", text, got, err, want, wantErr)
		}
	})
}

// equalValues knows that a number which is none equals itself.
func equalValues(a, b Value) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	x, err1 := Encode(a)
	y, err2 := Encode(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}
