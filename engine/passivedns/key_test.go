package passivedns

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"larkspur/engine/capture"
)

// CheckLines holds that what is read of lines is written so that it reads as the
// same.
func CheckLines(t *testing.T, text []byte) {
	t.Helper()
	for l := range bytes.Lines(text) {
		records, v, _, err := parseLine(l)
		if err != nil {
			continue
		}
		for _, r := range records {
			out, err := lineOf(found{key: string(r.appendKey(nil)), v: v}, "")
			if err != nil {
				t.Fatalf("%q: %+v: %v", l, r, err)
			}
			again, err := json.Marshal(out)
			if err != nil {
				t.Fatal(err)
			}
			back, w, _, err := parseLine(again)
			if err != nil || len(back) != 1 || !bytes.Equal(back[0].appendKey(nil), r.appendKey(nil)) || v != w {
				t.Errorf("%q: %+v %+v became %s, which is %+v %+v, %v", l, r, v, again, back, w, err)
			}
		}
	}
}

func TestNamesInKeysKeepTheirOrder(t *testing.T) {
	names := []string{".", "org", "example.org", "a.example.org", "b.a.example.org", "aa.example.org", "example-b.org", "examplea.org"}
	for i, name := range names {
		key := appendName(nil, []byte(name))
		if back, rest, err := cutName(append(key, "rest"...)); back != name || string(rest) != "rest" || err != nil {
			t.Errorf("%s: got %q, %q, %v", name, back, rest, err)
		}
		for _, other := range names[i+1:] {
			within := name == "." || strings.HasSuffix(other, "."+name)
			if got := bytes.HasPrefix(appendName(nil, []byte(other)), below(nil, []byte(name))); got != within {
				t.Errorf("%s below %s: got %v", other, name, got)
			}
			if within && bytes.Compare(key, appendName(nil, []byte(other))) >= 0 {
				t.Errorf("%s does not come before %s", name, other)
			}
		}
	}
}

// Names of any bytes: a key holds the very name, and those below a name are those
// that begin like it.
func FuzzKeys(f *testing.F) {
	f.Add([]byte("\x03www\x07example\x03org\x00"), []byte("\x07example\x03org\x00"), uint16(1), byte(2), []byte{192, 0, 2, 1})
	f.Add([]byte("\x01.\x02a\x00\x00"), []byte("\x00"), uint16(16), byte(3), []byte("x y"))
	f.Fuzz(func(t *testing.T, a, b []byte, kind uint16, form byte, data []byte) {
		name, err1 := capture.NameOf(a)
		other, err2 := capture.NameOf(b)
		if err1 != nil || err2 != nil {
			return
		}
		r := recordOf{name, kind, form % (formText + 1), data}
		if back, err := parseRecord(r.appendKey(nil)); err != nil || back.Name != name || back.Type != kind || back.Form != r.Form || !bytes.Equal(back.Data, data) {
			t.Errorf("%+v: got %+v, %v", r, back, err)
		}
		within := other == "." || name == other || strings.HasSuffix(name, "."+other)
		if got := bytes.HasPrefix(appendName(nil, []byte(name)), below(nil, []byte(other))); got != within {
			t.Errorf("%q below %q: got %v", name, other, got)
		}
		q := askedOf{7, name, kind}
		if back, err := parseAsked(q.appendKey(nil)); err != nil || !reflect.DeepEqual(back, q) {
			t.Errorf("%+v: got %+v, %v", q, back, err)
		}
		if _, err := parseRecord(data); err == nil && len(data) < 6 {
			t.Errorf("%x was taken for a key", data)
		}
	})
}

func FuzzValue(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeValue(b)
		if err != nil {
			return
		}
		if back, err := decodeValue(v.encode()); err != nil || back != v {
			t.Errorf("%x: got %+v, %v, want %+v", b, back, err, v)
		}
	})
}
