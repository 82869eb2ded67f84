package trial

import (
	"bufio"
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/rules"
)

// replayed replays an events file against no rules.
func replayed(t *testing.T, content string, bare *Bare) (Counts, error) {
	t.Helper()
	set := rules.Compile(engine.Declarations{}, nil)
	x, err := Open(t.Context(), Rules{Set: set}, nil, func(Match) error { return nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	failed := x.Read(t.Context(), "e.jsonl", strings.NewReader(content), bare)
	counts, err := x.Close()
	if err != nil {
		t.Fatal(err)
	}
	return counts, failed
}

// A line that is no event is counted with its place, and the others count.
func TestBadLinesDoNotEndAReplay(t *testing.T) {
	const good = `{"kind": "webhook", "source": "wazuh", "fields": {"a": 1}}` + "\n"
	long := `{"kind": "` + strings.Repeat("x", maxLineBytes) + `"}` + "\n"
	content := "oops\n" + good + "\n" + "[1]\n" + good + `{"kind": 7}` + "\n" + `{"source": "wazuh"}` + "\n" + long + good +
		`{"kind": "a", "source": "b", "time": "yesterday"}` + "\n" + `{"kind": "a", "source": "b", "fields": [1]}` + "\n" + strings.TrimSpace(good)
	counts, err := replayed(t, content, nil)
	if err != nil || counts.Events != 4 {
		t.Errorf("got %d events, %v, want 4", counts.Events, err)
	}
	want := map[string]Skipped{
		notJSON:   {2, "e.jsonl:1", "not an event: invalid character 'o' looking for beginning of value"},
		notOurs:   {3, "e.jsonl:6", "kind: got number"},
		tooLong:   {1, "e.jsonl:8", errTooLong.Error()},
		notFields: {1, "e.jsonl:11", "fields: want an object"},
	}
	for _, reason := range slices.Sorted(maps.Keys(want)) {
		if got := counts.Skipped[reason]; got != want[reason] {
			t.Errorf("%s: got %+v, want %+v", reason, got, want[reason])
		}
	}
	if len(counts.Skipped) != len(want) {
		t.Errorf("got %d reasons, want %d: %+v", len(counts.Skipped), len(want), counts.Skipped)
	}
}

func TestFilesWithoutOneEventAreRefused(t *testing.T) {
	for content, want := range map[string]string{
		"{}\n{}\n":           "e.jsonl:1:1: no line of the file is an event: an event wants a kind and a source",
		"{\n":                "e.jsonl:1:1: no line of the file is an event: not an event: unexpected end of JSON input",
		"\n\n[\"x\"]\n":      "e.jsonl:3:1: no line of the file is an event: not an event: got array, want a JSON object",
		"hello":              "not a capture file",
		"":                   "the file is empty",
		"\n\r\r\n\x1c\x00{}": "e.jsonl", // a pcapng file that ends too early
	} {
		_, err := replayed(t, content, nil)
		if engine.KindOf(err) != engine.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", content, err, want)
		}
		if strings.HasPrefix(content, "\n\r") && !strings.Contains(err.Error(), "capture") {
			t.Errorf("%q: got %v, want it read as a capture", content, err)
		}
	}
}

func TestBareLines(t *testing.T) {
	counts, err := replayed(t, "{\"Image\": \"cmd.exe\"}\nx\n[1]\n", &Bare{Source: "sysmon"})
	if err != nil || counts.Events != 1 || counts.Skipped[notJSON].Lines != 1 || counts.Skipped[notFields].Lines != 1 {
		t.Errorf("got %+v, %v", counts, err)
	}
}

func FuzzReadLine(f *testing.F) {
	f.Add([]byte("a\n\nb"))
	f.Add([]byte(strings.Repeat("x", 200) + "\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		in := bufio.NewReaderSize(bytes.NewReader(content), 16)
		var got []byte
		for {
			line, err := readLine(in)
			if err != nil {
				break
			}
			got = append(got, line...)
		}
		if !bytes.Equal(got, content) {
			t.Errorf("got %q, want %q", got, content)
		}
	})
}
