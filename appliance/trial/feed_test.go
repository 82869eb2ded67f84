package trial

import (
	"bytes"
	"compress/gzip"
	"os"
	"testing"

	"larkspur/engine"
)

// A rule matches the lookups that logs and dnstap tell of, each of them once, also
// where the file is compressed.
func TestReplayFeeds(t *testing.T) {
	set := watching(t, "", map[string]engine.Value{"domains": "www.example.org", "types": "AAAA"})
	for file, want := range map[string]int{"passivedns.log": 1, "bind.log": 1, "unbound.fstrm": 3, "named.fstrm": 1} {
		plain, err := os.ReadFile("../../engine/feed/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(plain)
		z.Close()
		for _, content := range [][]byte{plain, packed.Bytes()} {
			matches := 0
			x, err := Open(t.Context(), Rules{Set: set}, nil, func(m Match) error { matches++; return nil }, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Read(t.Context(), file, bytes.NewReader(content), nil); err != nil {
				t.Error(err)
			}
			if counts, err := x.Close(); err != nil || matches != want || counts.Events == 0 {
				t.Errorf("%s: got %d matches of %d messages, %v; want %d", file, matches, counts.Events, err, want)
			}
		}
	}
}
