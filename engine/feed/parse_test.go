package feed

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine/capture"
)

var update = flag.Bool("update", false, "write what the parsers say to testdata/*.want")

// moment is the time at which logs are read.
func moment() time.Time { return time.Date(2026, 11, 22, 21, 0, 0, 0, time.UTC) }

// told writes a message as one line.
func told(m *capture.Message) string {
	f := m.Fields()
	what := "asks"
	if m.Response() {
		what = "hears " + m.Rcode()
	}
	text := fmt.Sprintf("%s %v:%v %s %v:%v %s %d %s %s %s %v", m.Time.Format("2006-01-02T15:04:05.000000"), f["client"], f["client_port"], what,
		f["server"], f["server_port"], m.Proto, m.ID, m.Name, m.ClassName(), m.TypeName(), m.FlagNames())
	records, err := m.Records()
	for _, r := range records {
		text += fmt.Sprintf(" | %s %d %s %s", r.Name, r.TTL, r.Type, r.Data)
	}
	if err != nil {
		text += " | " + err.Error()
	}
	return text
}

// listed writes all messages and counters of a file.
func listed(t *testing.T, name string, in []byte, f Format, messages ...string) string {
	t.Helper()
	x, err := Read(name, bufio.NewReader(bytes.NewReader(in)), f, messages...)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for {
		m, err := x.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(told(m) + "\n")
	}
	s := x.Stats()
	fmt.Fprintf(&b, "%d lines, %d messages: %d queries, %d responses\n", s.Source.Frames, s.Messages, s.Queries, s.Responses)
	for _, counters := range []map[string]uint64{s.Ignored, s.Undecodable, s.Lost} {
		for _, reason := range slices.Sorted(maps.Keys(counters)) {
			fmt.Fprintf(&b, "%s: %d\n", reason, counters[reason])
		}
	}
	return b.String()
}

// What real programs wrote is read as it was meant: unbound, dnsmasq and named of
// Debian 12 wrote the files that bear their names, asked by dig; those of
// passivedns, Pi-hole and AdGuard Home are of their documentation and source.
func TestLogs(t *testing.T) {
	for file, kind := range map[string]string{
		"unbound.log": Unbound, "dnsmasq-extra.log": Dnsmasq, "dnsmasq-plain.log": Dnsmasq, "pihole.log": Dnsmasq,
		"bind.log": Bind, "bind-iso.log": Bind, "bind-bare.log": Bind, "passivedns.log": Passivedns, "passivedns.json": Passivedns,
		"adguard.json": Adguard, "unbound.fstrm": Dnstap, "named.fstrm": Dnstap,
	} {
		t.Run(file, func(t *testing.T) {
			in, err := os.ReadFile(filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			if got := Recognise(in[:min(len(in), headBytes)]); got != kind {
				t.Errorf("recognised as %q, want %q", got, kind)
			}
			got := listed(t, file, in, Format{Kind: kind, Now: moment})
			path := filepath.Join("testdata", file+".want")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, _ := os.ReadFile(path)
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}
