package trial

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/capture/capturetest"
	"larkspur/engine/trigger"
	"larkspur/rules"
)

// watching are rules of several kinds about the domains of made-up traffic.
func watching(t testing.TB, list string, triggers ...map[string]engine.Value) *rules.Set {
	var when []engine.Trigger
	for _, args := range triggers {
		when = append(when, engine.Trigger{Kind: "dns", Args: engine.MustEncode(args)})
	}
	d := engine.Declarations{Rules: []engine.Rule{{Name: "watch", Mode: "live", When: when}}}
	set := rules.Compile(d, map[string]*rules.List{"big": rules.ParseList("lists/big.txt", list)})
	if p := set.Problems(); len(p) > 0 {
		t.Fatal(p)
	}
	return set
}

// TestReplayByWorkersMatchesWhatOneReaderSees holds the events of a replay against
// those of a Reader that misses nothing.
func TestReplayByWorkersMatchesWhatOneReaderSees(t *testing.T) {
	var file bytes.Buffer
	o := capturetest.TrafficOptions{Packets: 3000, Watched: []string{"netflix.com"}, Watch: 100_000, TCP: 50_000, Large: 50_000}
	if _, err := capturetest.NewTraffic(8, o).Write(&file, capturetest.Format{Link: 1}, nil); err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]*rules.Set{
		"domains": watching(t, "", map[string]engine.Value{"domains": "netflix.com"}),
		"rcodes":  watching(t, "", map[string]engine.Value{"domains": "com", "rcodes": "NXDOMAIN"}),
		"any":     watching(t, "", map[string]engine.Value{"rcodes": "SERVFAIL"}),
	} {
		t.Run(name, func(t *testing.T) {
			want, messages := readerEvents(t, file.Bytes(), set)
			var got []engine.Event
			x, err := Open(t.Context(), Rules{Set: set}, nil, func(m Match) error { got = append(got, m.Event); return nil }, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Read(t.Context(), "test.pcap", bytes.NewReader(file.Bytes()), nil); err != nil {
				t.Fatal(err)
			}
			counts, err := x.Close()
			if err != nil || counts.Events != messages || len(got) != len(want) || len(want) == 0 {
				t.Fatalf("got %d matches of %d messages, %v; want %d of %d", len(got), counts.Events, err, len(want), messages)
			}
			for i := range want {
				got[i].ID = ""
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Fatalf("event %d: got %+v, want %+v", i, got[i], want[i])
				}
			}
		})
	}
}

func readerEvents(t *testing.T, file []byte, set *rules.Set) (events []engine.Event, messages int) {
	src, err := capture.NewFile(t.Context(), "test.pcap", bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	r, lookups := capture.NewReader(src), capture.NewLookups()
	for ; ; messages++ {
		m, err := r.Next(t.Context())
		if err == io.EOF {
			return events, messages
		}
		if err != nil {
			t.Fatal(err)
		}
		if e := trigger.Lookup("test.pcap", m, lookups.Pair(m)); set.Matches(&e) {
			events = append(events, e)
		}
	}
}

// benchmarkFile returns the capture of LARKSPUR_BENCH_FILE, or makes one.
func benchmarkFile(b *testing.B) string {
	if path := os.Getenv("LARKSPUR_BENCH_FILE"); path != "" {
		return path
	}
	path := filepath.Join(b.TempDir(), "dns.pcap")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	o := capturetest.TrafficOptions{Packets: 500_000, Watched: []string{"netflix.com"}}
	if _, err := capturetest.NewTraffic(1, o).Write(out, capturetest.Format{Link: 1}, nil); err != nil {
		b.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		b.Fatal(err)
	}
	return path
}

// millionDomains is a list of a million domains that nobody asks for.
func millionDomains() string {
	var list strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintln(&list, capturetest.Domain(2_000_000+i))
	}
	return list.String()
}

// BenchmarkMatchFile goes from a capture file to the events that rules match, which
// watch a domain and a list of a million. cpu-ns/packet is the processor time of all
// threads in the best of five rounds, for a round lasts a fraction of a second only.
func BenchmarkMatchFile(b *testing.B) {
	path := benchmarkFile(b)
	set := watching(b, millionDomains(), map[string]engine.Value{"domains": "netflix.com"}, map[string]engine.Value{"list": "big"})
	runtime.GC()
	walls := map[int]time.Duration{}
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			best := matched{cpu: math.MaxInt64, wall: math.MaxInt64}
			for b.Loop() {
				for range 5 {
					m := matchFile(b, path, set, workers)
					m.cpu, m.wall = min(m.cpu, best.cpu), min(m.wall, best.wall)
					best = m
				}
			}
			walls[workers] = best.wall
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(best.cpu)/float64(best.packets), "cpu-ns/packet")
			b.ReportMetric(float64(best.wall)/float64(best.packets), "ns/packet")
			b.ReportMetric(float64(best.allocs)/float64(best.packets), "allocs/packet")
			b.ReportMetric(float64(best.events), "events")
			if workers == 2 && walls[1] > 0 {
				b.ReportMetric(float64(walls[1])/float64(best.wall), "two-workers-ratio")
			}
		})
	}
}

// matched is what reading and matching a file cost.
type matched struct {
	cpu, wall               time.Duration
	packets, allocs, events uint64
}

func matchFile(b *testing.B, path string, set *rules.Set, workers int) (m matched) {
	f, err := capture.Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	lookups := capture.NewLookups()
	scan := capture.NewScan(f, workers, func() func(*capture.Message) bool {
		seen := new(engine.Sighting)
		return func(m *capture.Message) bool { m.Sight(seen); return set.WantsDNS(seen) }
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, begun := cpuTime(b), time.Now()
	var seen engine.Sighting
	err = scan.Run(b.Context(), func(msg *capture.Message) error {
		pair := lookups.Pair(msg)
		msg.Sight(&seen)
		if seen.Paired = !pair.Lookup; !set.WantsDNS(&seen) {
			return nil
		}
		if e := trigger.Lookup(path, msg, pair); set.Matches(&e) {
			m.events++
		}
		return nil
	})
	m.wall, m.cpu = time.Since(begun), cpuTime(b)-cpu
	if err != nil {
		b.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	m.allocs, m.packets = after.Mallocs-before.Mallocs, scan.Stats().Source.Frames
	return m
}

// cpuTime is what all threads of the process used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
