package engine_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"larkspur/engine"
)

// coded has a field of each kind that a codec knows, and some that it does not.
type coded struct {
	Bool    bool             `json:"bool,omitempty"`
	Bytes   []byte           `json:"bytes,omitempty"`
	Count   int              `json:"count"`
	Data    engine.Data      `json:"data,omitempty"`
	Deep    *part            `json:"deep,omitempty"`
	Float   float64          `json:"float,omitempty"`
	List    []string         `json:"list,omitempty"`
	Map     map[string]int   `json:"map,omitempty"`
	Names   []string         `json:"names"`
	Parts   []part           `json:"parts,omitempty"`
	Plain   part             `json:"plain"`
	Raw     []engine.Data    `json:"raw,omitempty"`
	Small   int8             `json:"small,omitempty"`
	Span    time.Duration    `json:"span,omitempty"`
	Text    string           `json:"text"`
	Ticks   uint64           `json:"ticks,omitempty"`
	Time    time.Time        `json:"time"`
	Until   time.Time        `json:"until,omitzero"`
	Class   engine.Class     `json:"class,omitempty"`
	Failure *engine.Error    `json:"failure,omitempty"`
	Spans   []*time.Duration `json:"spans,omitempty"`
	Zero    part             `json:"zero,omitzero"`
	Message json.RawMessage  `json:"message,omitempty"`
}

type part struct {
	Name string      `json:"name"`
	Data engine.Data `json:"data"`
}

var codec = engine.NewCodec(coded{})

func TestCodecWritesAsEncodingJSON(t *testing.T) {
	east := time.FixedZone("east", 2*3600+1800)
	span := time.Second
	cases := map[string]coded{
		"zero":        {},
		"full":        {true, []byte{1, 2}, -7, engine.Data(`{"a":[1,2.5e+3]}`), &part{"x", nil}, 1.5, []string{"a", ""}, map[string]int{"b": 2, "a": 1}, []string{}, []part{{"p", engine.Data(`null`)}, {}}, part{"q", engine.Data(`"r"`)}, []engine.Data{nil, engine.Data("1")}, -128, time.Hour, "text", 1 << 63, time.Date(2026, 11, 22, 8, 0, 0, 120, time.UTC), time.Date(1970, 1, 1, 0, 0, 0, 0, east), "once", &engine.Error{Kind: "invalid", Message: "m", Maybe: true}, []*time.Duration{&span}, part{Name: "z"}, json.RawMessage("null")},
		"escapes":     {Text: "\"\\\n\t\x00\x1f\x7f<>&", List: []string{"\b\f\r"}},
		"not ASCII":   {Text: "Zoë 世界 \U0001f600", Names: []string{"\u2028\u2029"}},
		"not UTF-8":   {Text: "a\xffb", Names: []string{"\xc3"}, Parts: []part{{Name: "\xed\xa0\x80"}}},
		"replacement": {Text: "\ufffd"},
		"spaces":      {Data: engine.Data(" { \"a\" : 1 } ")},
		"in Data":     {Data: engine.Data("{\"a\":\"\u2028<\xff\\u0041\\/\"}")},
	}
	for name, v := range cases {
		want, err := engine.MarshalJSON(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.Marshal(v)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, want)
		}
		var back, wanted coded
		if err := json.Unmarshal(want, &wanted); err != nil {
			t.Fatal(err)
		}
		if err := codec.Unmarshal(want, &back); err != nil || !reflect.DeepEqual(back, wanted) {
			t.Errorf("%s: got %+v, %v, want %+v", name, back, err, wanted)
		}
	}
}

func TestCodecRefusesWhatEncodingJSONRefuses(t *testing.T) {
	for name, v := range map[string]coded{
		"year":    {Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"no JSON": {Data: engine.Data(`{"a":}`)},
		"two":     {Raw: []engine.Data{engine.Data(`1 2`)}},
	} {
		_, err := codec.Marshal(v)
		_, want := engine.MarshalJSON(v)
		if err == nil || want == nil {
			t.Errorf("%s: got %v and %v, want errors", name, err, want)
		}
	}
}

// FuzzCodec reads what encoding/json reads, as it does, and writes it as it does.
func FuzzCodec(f *testing.F) {
	for _, text := range []string{
		`{"bool":true,"count":1,"data":{"a":[1,"x"]},"deep":{"name":"n","data":null},"text":"t","time":"2026-11-22T08:00:00.5Z"}`,
		`{"count":-0,"list":null,"names":[],"parts":[{"name":"a"},null],"small":200,"ticks":18446744073709551615}`,
		`{"Count":1,"count":2,"count":3,"x":[]}`, `{"text":"\u00e9\ud800","time":null,"raw":[null,1.5e3,{"$":"x"}]}`,
		` {"count" : 1}`, `{"count":01}`, `{"count":1.0}`, `{"data":nul}`, `{"data":{"a":"` + "\x01" + `"}}`, `[]`, `null`, `{}{}`, `{"data":-}`,
		`{"span":-9223372036854775808,"until":"0001-01-01T00:00:00Z","class":"read","float":1e400}`, `{"text":"` + "\xff" + `","data":"` + "\xff" + `"}`,
		`{"deep":{},"deep":null,"spans":[1,null],"bytes":"AQI=","map":{"a":1},"zero":{"name":"a"},"message":null}`, `{"message": [1 ]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want coded
		err, wantErr := codec.Unmarshal(text, &got), json.Unmarshal(text, &want)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: got %v, want %v", text, err, wantErr)
		}
		if wantErr != nil {
			return
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %+v, want %+v", text, got, want)
		}
		written, err := codec.Marshal(got)
		again, wantErr := engine.MarshalJSON(got)
		if string(written) != string(again) || (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: got %s, %v, want %s, %v", text, written, err, again, wantErr)
		}
	})
}
