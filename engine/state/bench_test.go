package state_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state/statetest"
	"larkspur/engine/store"
)

// wait starts n runs and puts them to sleep.
func (b *box) wait(first, n int) {
	b.t.Helper()
	statetest.Wait(func(list ...ledger.New) []record.Outcome { return b.append(0, list...) }, b.clock.now, 0, first, n)
	b.clock.now = b.clock.now.Add(time.Second)
}

// tableBytes is what the tables of a store take.
func tableBytes(b *testing.B, dir string) float64 {
	b.Helper()
	sum, err := statetest.TableBytes(dir)
	must(b, err)
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
	x, err := statetest.Open(dir, engine.SystemClock{})
	if err != nil {
		panic(err)
	}
	if _, err := x.State.Ready(0); err != nil {
		panic(err)
	}
	if _, _, err := x.State.NextTimer(0); err != nil {
		panic(err)
	}
	opened := time.Since(begun)
	if _, _, err := x.State.Incidents(engine.IncidentFilter{}, "", 50); err != nil {
		panic(err)
	}
	own, files, _, err := statetest.Memory()
	if err != nil {
		panic(err)
	}
	fmt.Println(opened.Seconds()*1000, own, files)
	if err := x.Close(); err != nil {
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
