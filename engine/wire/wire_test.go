package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"larkspur/engine"
)

func TestMessagesComeBack(t *testing.T) {
	var b bytes.Buffer
	long := strings.Repeat("x", 3*firstChunkBytes+7)
	sent := Step{Builtin: "http.get", Number: 7, Args: engine.MustEncode(map[string]engine.Value{"url": long})}
	if err := Write(&b, KindStep, 42, sent); err != nil {
		t.Fatal(err)
	}
	e, err := Read(&b)
	if err != nil || e.Kind != KindStep || e.Call != 42 {
		t.Fatalf("got %s %d, %v, want step 42", e.Kind, e.Call, err)
	}
	var got Step
	if err := json.Unmarshal(e.Body, &got); err != nil || string(got.Args) != string(sent.Args) {
		t.Errorf("got %d bytes of arguments, %v, want %d", len(got.Args), err, len(sent.Args))
	}
	if _, err := Read(&b); err != io.EOF {
		t.Errorf("at the end: got %v, want io.EOF", err)
	}
}

func TestReadRefuses(t *testing.T) {
	frame := func(n uint32, text string) []byte { return append(binary.BigEndian.AppendUint32(nil, n), text...) }
	tests := []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"too long", frame(MaxMessageBytes+1, ""), "at most"},
		{"a length alone", frame(MaxMessageBytes, "{}"), "unexpected EOF"},
		{"cut length", []byte{0, 0}, "unexpected EOF"},
		{"no JSON", frame(3, "xyz"), "wire: decoding"},
	}
	for _, tt := range tests {
		if _, err := Read(bytes.NewReader(tt.bytes)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	_ = Write(&b, KindEnded, 1, Ended{Status: "done"})
	f.Add(b.Bytes())
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			if _, err := Read(r); err != nil {
				return
			}
		}
	})
}
