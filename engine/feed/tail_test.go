package feed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"larkspur/engine/capture"
)

// line is a line of a BIND log about a name.
func line(name string) string {
	return "22-Nov-2026 20:14:30.792 client 192.0.2.7#4000 (" + name + "): query: " + name + " IN A + (192.0.2.53)\n"
}

// kept are cursors in memory.
type kept map[string]string

func (k kept) Get(key string) ([]byte, bool, error) {
	v, found := k[key]
	return []byte(v), found, nil
}

func (k kept) Set(key string, value []byte, _ time.Duration) error {
	k[key] = string(value)
	return nil
}

// scene is a log that is followed, without the system telling of changes.
type scene struct {
	*testing.T
	path    string
	cursors kept
	log     *Log
}

func newScene(t *testing.T) *scene {
	s := &scene{T: t, path: filepath.Join(t.TempDir(), "query.log"), cursors: kept{}}
	t.Cleanup(func() { s.log.Close() })
	return s
}

func (s *scene) open() {
	s.Helper()
	log, err := Follow(s.path, Format{Kind: Bind}, s.cursors)
	if err != nil {
		s.Fatal(err)
	}
	if log.tail.notify != nil { // virtual time waits for no system
		log.tail.notify.Close()
		log.tail.notify = nil
	}
	s.log = log
}

func (s *scene) append(path, text string) {
	s.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		s.Fatal(err)
	}
}

// want reads as many messages as names are given, and holds that no more come in
// the ten seconds after.
func (s *scene) want(names ...string) {
	s.Helper()
	for _, name := range names {
		if got := s.next(); got != name {
			s.Fatalf("got %q, want %q", got, name)
		}
	}
	if got := s.next(); got != "" {
		s.Fatalf("got %q, want nothing more", got)
	}
}

// next returns the next name, "" when none comes in ten seconds.
func (s *scene) next() string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	m, err := s.log.Next(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return ""
	}
	if err != nil {
		s.Fatal(err)
	}
	return string(m.Name)
}

func (s *scene) lost(want map[string]uint64) {
	s.Helper()
	if got := s.log.Stats().Lost; len(got)+len(want) > 0 && !maps.Equal(got, want) {
		s.Errorf("lost: got %v, want %v", got, want)
	}
}

func (s *scene) rename(to string) {
	s.Helper()
	if err := os.Rename(s.path, to); err != nil {
		s.Fatal(err)
	}
}

func virtually(t *testing.T, run func(s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { run(newScene(t)) })
}

func TestFollowBeginsAtTheEnd(t *testing.T) {
	virtually(t, func(s *scene) {
		s.append(s.path, line("old.example"))
		s.open()
		s.want()
		s.append(s.path, line("new.example"))
		s.want("new.example")
	})
}

func TestFollowWaitsForTheFileAndForTheRestOfALine(t *testing.T) {
	virtually(t, func(s *scene) {
		s.open()
		s.want()
		whole := line("a.example")
		s.append(s.path, whole[:30])
		s.want()
		s.append(s.path, whole[30:]+line("b.example"))
		s.want("a.example", "b.example")
		s.lost(nil)
	})
}

func TestFollowThroughARename(t *testing.T) {
	virtually(t, func(s *scene) {
		s.append(s.path, "")
		s.open()
		s.append(s.path, line("a.example"))
		s.want("a.example")
		s.rename(s.path + ".1")
		s.append(s.path, line("c.example")) // a new file, while the writer still has the old one
		s.append(s.path+".1", line("b.example"))
		s.want("b.example", "c.example")
		s.lost(nil)
	})
}

// What is rotated twice while the first file is still read loses nothing.
func TestFollowThroughTwoRenamesAtOnce(t *testing.T) {
	virtually(t, func(s *scene) {
		s.append(s.path, "")
		s.open()
		s.append(s.path, line("a.example"))
		s.want("a.example")
		s.rename(s.path + ".1")
		s.append(s.path, line("b.example"))
		s.rename(s.path + ".2")
		s.append(s.path, line("c.example"))
		now := time.Now()
		for i, suffix := range []string{".1", ".2", ""} {
			at := now.Add(time.Duration(i) * time.Second)
			if err := os.Chtimes(s.path+suffix, at, at); err != nil {
				s.Fatal(err)
			}
		}
		s.want("b.example", "c.example")
		s.lost(nil)
	})
}

func TestFollowThroughATruncation(t *testing.T) {
	virtually(t, func(s *scene) {
		s.append(s.path, "")
		s.open()
		s.append(s.path, line("a.example")+line("b.example"))
		s.want("a.example", "b.example")
		if err := os.Truncate(s.path, 0); err != nil { // copytruncate
			s.Fatal(err)
		}
		s.append(s.path, line("c.example"))
		s.want("c.example")
		s.lost(nil)
		// What grows past the old end before it is looked at is told from the beginning.
		if err := os.WriteFile(s.path, []byte(line("d.example")+line("e.example")), 0o600); err != nil {
			s.Fatal(err)
		}
		s.want("d.example", "e.example")
		s.lost(map[string]uint64{MissedRotation: 1})
	})
}

func TestFollowGoesOnAfterARestart(t *testing.T) {
	virtually(t, func(s *scene) {
		s.append(s.path, "")
		s.open()
		s.append(s.path, line("a.example"))
		s.want("a.example")
		s.log.Close()
		s.append(s.path, line("b.example"))
		s.open()
		s.want("b.example")
	})
}

func TestFollowFindsARotatedFileAfterARestart(t *testing.T) {
	virtually(t, func(s *scene) {
		s.append(s.path, "")
		s.open()
		s.append(s.path, line("a.example"))
		s.want("a.example")
		s.log.Close()
		s.append(s.path, line("b.example"))
		s.rename(s.path + ".2")
		s.append(s.path, line("c.example"))
		s.rename(s.path + ".1")
		s.append(s.path+".3.gz", "what was rotated long ago")
		s.append(s.path, line("d.example"))
		age := func(path string, days int) {
			at := time.Now().Add(-time.Duration(days) * 24 * time.Hour)
			if err := os.Chtimes(path, at, at); err != nil {
				s.Fatal(err)
			}
		}
		age(s.path+".2", 2)
		age(s.path+".1", 1)
		s.open()
		s.want("b.example", "c.example", "d.example")
		s.lost(nil)
	})
}

func TestFollowTellsOfAFileThatWasLost(t *testing.T) {
	virtually(t, func(s *scene) {
		s.append(s.path, line("x.example"))
		s.open()
		s.append(s.path, line("a.example"))
		s.want("a.example")
		s.log.Close()
		if err := os.WriteFile(s.path, []byte(line("b.example")), 0o600); err != nil {
			s.Fatal(err)
		}
		s.open()
		s.want("b.example")
		s.lost(map[string]uint64{MissedRotation: 1})
	})
}

// The cursor is saved while the log is read, too.
func TestCursorIsSavedEveryFewSeconds(t *testing.T) {
	virtually(t, func(s *scene) {
		s.append(s.path, "")
		s.open()
		s.append(s.path, line("a.example"))
		s.want("a.example") // and ten seconds
		if len(s.cursors) != 1 {
			t.Errorf("got %v, want a cursor", s.cursors)
		}
	})
}

func TestFollowCountsLinesThatAreTooLong(t *testing.T) {
	virtually(t, func(s *scene) {
		s.append(s.path, "")
		s.open()
		s.append(s.path, line("a.example")+strings.Repeat("x", 3*maxLine)+"\n"+line("b.example")+strings.Repeat("y", maxLine+1))
		s.want("a.example", "b.example")
		s.append(s.path, "\n"+line("c.example"))
		s.want("c.example")
		s.lost(map[string]uint64{TooLong: 2})
	})
}

func TestHalfALineIsCountedWhenItsFileEnds(t *testing.T) {
	virtually(t, func(s *scene) {
		s.append(s.path, "")
		s.open()
		s.append(s.path, line("a.example")[:30])
		s.want()
		s.rename(s.path + ".1")
		s.append(s.path, line("b.example"))
		s.want("b.example")
		s.lost(map[string]uint64{HalfLine: 1})
	})
}

// An answer of several lines is complete when no more come.
func TestFollowFlushesAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "pihole.log")
		os.WriteFile(path, nil, 0o600)
		log, err := Follow(path, Format{Kind: Dnsmasq}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		log.tail.notify.Close()
		log.tail.notify = nil
		os.WriteFile(path, []byte("dnsmasq[1]: query[A] x.example from 192.0.2.7\ndnsmasq[1]: gravity blocked x.example is 0.0.0.0\n"), 0o600)
		for _, response := range []bool{false, true} {
			m, err := log.Next(t.Context())
			if err != nil || m.Response() != response {
				t.Errorf("got %v, %v", m, err)
			}
		}
		if s := log.Stats(); s.Queries != 1 || s.Responses != 1 || s.Source.Behind != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// The system tells of changes: no poll is waited for.
func TestFollowIsToldOfChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "query.log")
	log, err := Follow(path, Format{Kind: Bind}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if log.tail.notify == nil {
		t.Fatal("the folder is not watched")
	}
	names := make(chan string)
	go func() {
		defer close(names)
		for range 100 {
			m, err := log.Next(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			names <- string(m.Name)
		}
	}()
	for i := range 100 {
		name := fmt.Sprintf("n%d.example", i)
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(line(name))
		f.Close()
		if got := <-names; got != name {
			t.Fatalf("got %q, want %q", got, name)
		}
	}
}

func TestFormats(t *testing.T) {
	for _, c := range []struct {
		format Format
		want   string
	}{
		{Format{Kind: "knot"}, `log of kind "knot": want passivedns, dnsmasq, unbound, bind or adguard`},
		{Format{Kind: Passivedns, Fields: "SMcsCQTAtnz"}, `fields: got the letter 'z', want some of HSMhcwsWpCQLTAltn`},
		{Format{Kind: Passivedns, Fields: "SMsCQTA"}, `fields: "SMsCQTA" lacks the letter 'c': client, query, type and answer (cQTA) must be there`},
	} {
		if _, err := c.format.parser(); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// Fields stand in passivedns' own order, whatever the order of the letters.
func TestFieldsOfPassivedns(t *testing.T) {
	p, err := Format{Kind: Passivedns, Fields: "nAThcQwH", Separator: "\t"}.parser()
	if err != nil {
		t.Fatal(err)
	}
	var out []entry
	if reason := p.line([]byte("2026-11-22 20:14:26.000001\tsensor\t192.0.2.7\t02:00:00:00:00:07\twww.example.org.\tA\t192.0.2.1\t1"), &out); reason != "" {
		t.Fatal(reason)
	}
	m, err := out[0].message(new(capture.Message))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := told(m)+" "+m.ClientMAC.String(), "2026-11-22T20:14:26.000001 192.0.2.7:0 hears NOERROR :0 udp 0 www.example.org IN A [] | www.example.org 0 A 192.0.2.1 02:00:00:00:00:07"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTimes(t *testing.T) {
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	s := stamper{zone, func() time.Time { return now }}
	for _, c := range []struct{ text, want, rest string }{
		{"Dec 31 23:59:59 host x: y", "2025-12-31T23:59:59Z", "host x: y"},
		{"Jan  2 03:00:01 host", "2026-01-02T03:00:01Z", "host"},
		{"Jan  3 02:59:59 host", "2026-01-03T02:59:59Z", "host"}, // a clock that is ahead
		{"Jan  4 03:00:01 host", "2025-01-04T03:00:01Z", "host"},
		{"Feb 29 12:00:00 host", "2024-02-29T12:00:00Z", "host"},
		{"Jul  1 12:00:00 host", "2025-07-01T11:00:00Z", "host"}, // summer time
		{"<134>Jul  1 12:00:00 host", "2025-07-01T11:00:00Z", "host"},
		{"2026-07-01T12:00:00 x", "2026-07-01T11:00:00Z", "x"},
		{"2026-07-01T12:00:00.5Z x", "2026-07-01T12:00:00.5Z", "x"},
		{"2026-07-01T12:00:00,25+02:00 x", "2026-07-01T10:00:00.25Z", "x"},
		{"2026-07-01T12:00:00+0200 x", "2026-07-01T10:00:00Z", "x"},
		{"2026-07-01 12:00:00.123456 x", "2026-07-01T11:00:00.123456Z", "x"},
		{"22-Nov-2026 20:14:30.792 queries: x", "2026-11-22T20:14:30.792Z", "queries: x"},
		{"[1795378464] unbound[1:0] x", "2026-11-22T20:14:24Z", "unbound[1:0] x"},
		{"[1795378464.5] x", "2026-11-22T20:14:24.5Z", "x"},
		{"client x", "2026-01-02T03:00:00Z", "client x"},
		{"Foo 22 20:14:30 x", "bad", "x"},
		{"22-Nov-2026 25:14:30.792 x", "bad", "x"},
	} {
		at, rest, bad := s.cut([]byte(c.text))
		got := at.Format(time.RFC3339Nano)
		if bad {
			got = "bad"
		}
		if got != c.want || string(rest) != c.rest {
			t.Errorf("%q: got %s and %q, want %s and %q", c.text, got, rest, c.want, c.rest)
		}
	}
}
