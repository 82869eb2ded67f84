package state_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/store"
)

// waiting is how many runs wait in BenchmarkWaitingRuns.
const waiting = 100_000

// BenchmarkWaitingRuns opens incidents whose runs sleep: what each takes on the
// disk, with its records, its part of the tree and its projections; how long
// such a box takes to open; and how long it takes to find what is due next.
func BenchmarkWaitingRuns(b *testing.B) {
	var each, opened, found, behind float64
	for b.Loop() {
		dir := b.TempDir()
		x := open(b, dir, 1)
		for first := 0; first < waiting; first += 50 {
			x.wait(first, 50)
		}
		x.ledger.Close()
		must(b, x.store.Close())
		each = tableBytes(b, dir+"/ledger") / waiting
		begun := time.Now()
		x = open(b, dir, 0)
		if ready, err := x.state.Ready(0); err != nil || len(ready) != 0 {
			b.Fatalf("got %d runs that want a worker, %v", len(ready), err)
		}
		opened = time.Since(begun).Seconds() * 1000
		found = x.nextTimer()
		for range waiting / 2 / 500 {
			x.fire(500)
		}
		behind = x.nextTimer()
		x.ledger.Close()
		must(b, x.store.Close())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(each, "B/run")
	b.ReportMetric(opened, "open-ms")
	b.ReportMetric(found, "next-timer-µs")
	b.ReportMetric(behind, "next-timer-behind-50k-fired-µs")
}

// nextTimer is how long it takes to find what is due next, in microseconds.
func (b *box) nextTimer() float64 {
	b.t.Helper()
	const times = 50
	begun := time.Now()
	for range times {
		if _, ok, err := b.state.NextTimer(0); !ok || err != nil {
			b.t.Fatal("no timer", err)
		}
	}
	return time.Since(begun).Seconds() * 1e6 / times
}

// fire fires the next n timers.
func (b *box) fire(n int) {
	b.t.Helper()
	due, err := b.state.DueTimers(0, b.clock.now.Add(1000*time.Hour), n)
	must(b.t, err)
	var list []ledger.New
	for _, tm := range due {
		list = append(list, rec(record.TimerFiredKind, record.TimerFired{Timer: tm.ID}))
	}
	b.append(0, list...)
}

// wait starts n runs and puts them to sleep.
func (b *box) wait(first, n int) {
	b.t.Helper()
	var list []ledger.New
	for k := first; k < first+n; k++ {
		fields := engine.MustEncode(map[string]engine.Value{"client": fmt.Sprintf("192.0.2.%d", k%250), "query": "www.netflix.com"})
		list = append(list, rec(record.EventMatchedKind, record.EventMatched{
			Rule: "netflix", Event: fmt.Sprint("e0-", k), Offer: fmt.Sprint("e0-", k, "/netflix"), EventKind: "dns", Source: "eth1", EventTime: b.clock.now,
			Fields: fields, Severity: "low", Type: "streaming", Title: "Netflix from 192.0.2.7", Mode: "live",
			Do: engine.Handler{File: "netflix.star", Name: "respond"}, Bundle: strings.Repeat("0123456789abcdef", 4),
		}))
	}
	outcomes := b.append(0, list...)
	list = nil
	hash := "k1:" + strings.Repeat("0123456789abcdef", 4)
	for k, o := range outcomes {
		list = append(list,
			rec(record.StepDoneKind, record.StepDone{
				Run: o.Run, Generation: 1, Number: 1, Builtin: "unifi.client", Class: engine.Read, At: "scripts/netflix.star:3:8", Hash: hash, Ticks: 40,
				Args: engine.MustEncode(map[string]engine.Value{"mac": "02:00:00:00:00:07"}), Result: engine.MustEncode(map[string]engine.Value{"online": false}),
			}),
			rec(record.StepStartedKind, record.StepStarted{
				Run: o.Run, Generation: 1, Number: 2, Builtin: "sleep", Class: engine.Repeatable, At: "scripts/netflix.star:5:8", Hash: hash, Ticks: 80,
				Args: engine.MustEncode(map[string]engine.Value{"duration": time.Hour}), Until: b.clock.now.Add(time.Duration(first+k) * time.Second),
			}),
			rec(record.RunParkedKind, record.RunParked{Run: o.Run, Generation: 1, Number: 2, Waits: "until 2026-11-22T09:00:00Z"}))
	}
	b.append(0, list...)
	b.clock.now = b.clock.now.Add(time.Second)
}

// tableBytes is what the tables of a store take.
func tableBytes(b *testing.B, dir string) (sum float64) {
	b.Helper()
	must(b, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".sst") {
			info, err := d.Info()
			if err != nil {
				return err
			}
			sum += float64(info.Size())
		}
		return err
	}))
	return sum
}

// million is how many records BenchmarkMillion begins with, about:
// recordsEnv may name fewer, to look for where the time goes.
func million(b *testing.B) uint64 {
	text := os.Getenv(recordsEnv)
	if text == "" {
		return 1_000_000
	}
	n, err := strconv.ParseUint(text, 10, 64)
	must(b, err)
	return n
}

const recordsEnv = "LARKSPUR_BENCH_RECORDS"

// openEnv names the folder that a child of BenchmarkMillion opens: what a start
// takes is measured in a process that did nothing else.
const openEnv = "LARKSPUR_BENCH_OPEN"

func TestMain(m *testing.M) {
	if dir := os.Getenv(openEnv); dir != "" {
		started(dir)
		return
	}
	os.Exit(m.Run())
}

// started opens a box as the appliance does, and prints how long that took and
// what the process holds in memory then.
func started(dir string) {
	begun := time.Now()
	s, err := store.OpenLedger(dir + "/ledger")
	if err != nil {
		panic(err)
	}
	blobs, err := store.OpenBlobs(dir + "/blobs")
	if err != nil {
		panic(err)
	}
	l, err := ledger.Open(ledger.Config{Store: s, Projector: state.NewProjector(nil), Clock: engine.SystemClock{}, Node: "bench"})
	if err != nil {
		panic(err)
	}
	x := state.Open(s, blobs, l)
	if _, err := x.Ready(0); err != nil {
		panic(err)
	}
	if _, _, err := x.NextTimer(0); err != nil {
		panic(err)
	}
	opened := time.Since(begun)
	if _, _, err := x.Incidents(engine.IncidentFilter{}, "", 50); err != nil {
		panic(err)
	}
	var anonymous, file int
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "RssAnon: %d kB", &anonymous)
		fmt.Sscanf(line, "RssFile: %d kB", &file)
	}
	fmt.Println(opened.Seconds()*1000, anonymous>>10, file>>10)
	l.Close()
	if err := s.Close(); err != nil {
		panic(err)
	}
}

// BenchmarkMillion makes a box of a million records: what each takes on the disk
// with proof and projections; how long it takes to open, and what memory it then
// has (its own, and pages of files, which the kernel takes back when it wants);
// how long a rebuild takes, and how long single appends take beside it.
func BenchmarkMillion(b *testing.B) {
	m := map[string]float64{}
	for b.Loop() {
		dir := b.TempDir()
		x := openOn(b, dir, 1, store.OpenScratch)
		for first, want := 0, million(b); x.ledger.Size(0) < want; first += 50 {
			x.wait(first, 50)
		}
		records := float64(x.ledger.Size(0))
		x.close()
		m["B/record"] = tableBytes(b, dir+"/ledger") / records
		m["start-ms"], m["RSS-MB"], m["RSS-files-MB"] = start(b, dir)

		x = open(b, dir, 0)
		begun, used := time.Now(), cpu(b)
		must(b, x.ledger.Reproject(b.Context(), nil))
		m["rebuild-s"], m["rebuild-cpu-s"] = time.Since(begun).Seconds(), cpu(b)-used
		m["idle-append-µs"], _ = x.appendsUntil(func(n int) bool { return n == 200 })
		done := make(chan struct{})
		begun = time.Now()
		go func() {
			defer close(done)
			if err := x.ledger.Reproject(b.Context(), nil); err != nil {
				b.Error(err)
			}
		}()
		m["append-beside-rebuild-µs"], m["slowest-1%-µs"] = x.appendsUntil(func(int) bool {
			select {
			case <-done:
				return true
			default:
				return false
			}
		})
		m["busy-rebuild-s"] = time.Since(begun).Seconds()
		x.close()
		m["B/record-after-rebuilds"] = tableBytes(b, dir+"/ledger") / records
	}
	b.ReportMetric(0, "ns/op")
	for unit, n := range m {
		b.ReportMetric(n, unit)
	}
}

// cpu is how many seconds the process has computed: on a machine that others use
// it says more than the time that went by.
func cpu(b *testing.B) float64 {
	b.Helper()
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func (b *box) close() {
	b.t.Helper()
	b.ledger.Close()
	must(b.t, b.store.Close())
}

// appendsUntil appends single records, one after the other with a pause between,
// and returns the median of what one takes and what the slowest hundredth takes
// at least.
func (b *box) appendsUntil(enough func(n int) bool) (median, slow float64) {
	b.t.Helper()
	var took []float64
	for n := 0; !enough(n); n++ {
		begun := time.Now()
		b.append(0, rec(record.LoggedOutKind, record.LoggedOut{Who: "dave"}))
		took = append(took, time.Since(begun).Seconds()*1e6)
		time.Sleep(2 * time.Millisecond)
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100]
}

// start opens a box in a process of its own.
func start(b *testing.B, dir string) (ms, anonymousMB, fileMB float64) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), openEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	must(b, err)
	_, err = fmt.Sscan(string(out), &ms, &anonymousMB, &fileMB)
	must(b, err)
	return ms, anonymousMB, fileMB
}
