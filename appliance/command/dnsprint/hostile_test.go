package dnsprint

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"larkspur/engine/capture"
	"larkspur/engine/capture/capturetest"
)

// A vector is a hostile message of testdata/hostile. Its file says in a comment what
// is odd about it, then what is to become of it: "we:" is printed or the reason for
// which it is counted, "tshark:" is printed, malformed (printed with a complaint)
// or nothing. The message follows in hexadecimal.
type vector struct {
	name, why, we, tshark string
	raw                   []byte
}

func vectors(t testing.TB) (all []vector) {
	t.Helper()
	paths, err := filepath.Glob("testdata/hostile/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		v := vector{name: strings.TrimSuffix(filepath.Base(path), ".txt")}
		digits := ""
		for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
			key, value, found := strings.Cut(lines.Text(), " ")
			switch {
			case found && key == "#":
				v.why = value
			case found && key == "we:":
				v.we = value
			case found && key == "tshark:":
				v.tshark = value
			default:
				digits += lines.Text()
			}
		}
		if v.raw, err = hex.DecodeString(digits); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, v)
	}
	return all
}

// ends returns who sends the message to whom.
func (v *vector) ends() (from, to capturetest.Endpoint) {
	if len(v.raw) > 2 && v.raw[2]&0x80 != 0 {
		return query.Server, query.Client
	}
	return query.Client, query.Server
}

// file writes a capture of the message alone.
func (v *vector) file(t *testing.T) string {
	l := query
	from, to := v.ends()
	return file(t, func(w *capturetest.Writer) {
		w.Frame(l.Time, capturetest.Datagram(from, to, nil, v.raw))
		w.Frame(l.Time.Add(time.Second), l.QueryFrame()) // which goes on to be read
	})
}

// became says what became of the vector here.
func (v *vector) became(t *testing.T, path string) string {
	t.Helper()
	_, stdout, stderr := run(t, nil, "--stats", path)
	var stats capture.Stats
	if err := json.Unmarshal([]byte(lastLine(stderr)), &stats); err != nil {
		t.Fatal(err)
	}
	became := ""
	for reason := range stats.Undecodable {
		became += reason
	}
	if strings.Count(stdout, "\n") == 2 {
		became += "printed"
	}
	return became
}

// Each hostile message is printed or counted as its file says, and the same
// capture's next message is printed all the same.
func TestHostileMessages(t *testing.T) {
	for _, v := range vectors(t) {
		if got := v.became(t, v.file(t)); got != v.we {
			t.Errorf("%s: got %q, want %q", v.name, got, v.we)
		}
	}
}

// What tshark makes of each hostile message is what its file says, and where tshark
// prints what we do not, or the other way round, docs/GUIDE.md tells of it.
func TestHostileMessagesAndTshark(t *testing.T) {
	all := vectors(t)
	l := query
	tells := tsharkTells(t, file(t, func(w *capturetest.Writer) {
		for i := range all {
			from, to := all[i].ends()
			w.Frame(l.Time.Add(time.Duration(i)*time.Second), capturetest.Datagram(from, to, nil, all[i].raw))
		}
	}))
	became := map[string]string{}
	for _, tell := range tells {
		second, _, _ := strings.Cut(tell.line, ".")
		if became[second] = "printed"; tell.malformed {
			became[second] = "malformed"
		}
	}
	guide, err := os.ReadFile("../../../docs/GUIDE.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range all {
		got := became[strconv.FormatInt(l.Time.Unix()+int64(i), 10)]
		if got == "" {
			got = "nothing"
		}
		if got != v.tshark {
			t.Errorf("%s: got %q, want %q", v.name, got, v.tshark)
		}
		if (v.we == "printed") != (got == "printed") && !strings.Contains(string(guide), "`"+v.name+"`") {
			t.Errorf("%s: we %s, tshark %s: want a word of it in docs/GUIDE.md", v.name, v.we, got)
		}
	}
}
