package runner_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state/statetest"
)

// waitingEnv says how many runs wait in BenchmarkWaitingRuns: "10000 100000" by
// default.
const waitingEnv = "LARKSPUR_BENCH_WAITING"

// childEnv makes this program a child of BenchmarkWaitingRuns, in "make DIR N" or
// "open DIR": what memory it takes is measured in a process that did nothing else.
const childEnv = "LARKSPUR_BENCH_CHILD"

func TestMain(m *testing.M) {
	words := strings.Fields(os.Getenv(childEnv))
	switch {
	case len(words) == 0:
		os.Exit(m.Run())
	case words[0] == "make":
		n, err := strconv.Atoi(words[2])
		give(err)
		makeWaiting(words[1], n)
	default:
		openWaiting(words[1])
	}
}

// give ends a child.
func give(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// standing is a clock that stands still.
type standing struct{ engine.SystemClock }

func (standing) Now() time.Time { return time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC) }

// dueAfter is when the first of the many timers is due: others go before.
const dueAfter = 10_000 * time.Hour

// makeWaiting fills a box with runs that sleep, and prints what memory that took at
// most: its own, and with pages of files.
func makeWaiting(dir string, n int) {
	debug.SetMemoryLimit(200 << 20) // as serve does
	x, err := statetest.Open(dir, standing{})
	give(err)
	add := func(list ...ledger.New) []record.Outcome {
		written, err := x.Ledger.Append(context.Background(), 0, list...)
		give(err)
		outcomes := make([]record.Outcome, len(written))
		for i, r := range written {
			outcomes[i], err = record.Unmarshal[record.Outcome](r.Outcome)
			give(err)
		}
		return outcomes
	}
	most := 0
	for first := 0; first < n; first += 50 {
		statetest.Wait(add, standing{}.Now(), dueAfter, first, min(50, n-first))
		own, _, _, err := statetest.Memory()
		give(err)
		most = max(most, own)
	}
	_, _, with, err := statetest.Memory()
	give(err)
	fmt.Println(most, with)
	give(x.Close())
}

// openWaiting opens a box as the appliance does, and prints how long that took and
// what memory the process then holds.
func openWaiting(dir string) {
	begun := time.Now()
	x, err := statetest.Open(dir, standing{})
	give(err)
	ready, err := x.State.Ready(0)
	give(err)
	if _, ok, err := x.State.NextTimer(0); err != nil || !ok || len(ready) > 0 {
		give(fmt.Errorf("got a timer %v, %d runs that want a worker: %v", ok, len(ready), err))
	}
	opened := time.Since(begun)
	own, files, _, err := statetest.Memory()
	give(err)
	fmt.Println(opened.Seconds()*1000, own, files)
	give(x.Close())
}

// child runs this program as a child, and reads the figures that it prints.
func child(b *testing.B, words string, figures ...any) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), childEnv+"="+words), os.Stderr
	out, err := cmd.Output()
	must(b, err)
	_, err = fmt.Sscan(string(out), figures...)
	must(b, err)
}

// BenchmarkWaitingRuns fills boxes with runs that sleep: what each takes on the
// disk with its incident, its records, its part of the tree and its projections;
// the memory that making them takes; the time and the memory that a start with
// them takes; how long one that is due takes until its next effect begins, durably;
// how long it takes to find the next timer, with all of them there, after half and
// after nearly all have fired.
func BenchmarkWaitingRuns(b *testing.B) {
	sizes := strings.Fields(os.Getenv(waitingEnv))
	if len(sizes) == 0 {
		sizes = []string{"10000", "100000"}
	}
	for _, size := range sizes {
		n, err := strconv.Atoi(size)
		must(b, err)
		b.Run(size, func(b *testing.B) {
			m := map[string]float64{}
			for b.Loop() {
				benchmarkWaiting(b, n, m)
			}
			b.ReportMetric(0, "ns/op")
			for unit, figure := range m {
				b.ReportMetric(figure, unit)
			}
		})
	}
}

func benchmarkWaiting(b *testing.B, n int, m map[string]float64) {
	dir := b.TempDir()
	var peak, with, opened, own, files float64
	begun := time.Now()
	child(b, fmt.Sprint("make ", dir, " ", n), &peak, &with)
	m["make-s"], m["make-peak-MB"], m["make-peak-with-files-MB"] = time.Since(begun).Seconds(), peak, with
	bytes, err := statetest.TableBytes(dir + "/ledger")
	must(b, err)
	m["B/run"] = bytes / float64(n)
	child(b, "open "+dir, &opened, &own, &files)
	m["open-ms"], m["RSS-MB"], m["RSS-files-MB"] = opened, own, files
	x := playbookWith(b, boxConfig{dir: dir}, "def f(i):\n    sleep('1h')\n    sim.put('x')\n")
	m["wake-p50-µs"], m["wake-p99-µs"] = x.wakes(b, 200)
	x.close()

	x.idle = true
	x.open()
	defer x.close()
	m["next-timer-µs"] = x.nextTimer()
	begun = time.Now()
	x.fireTimers(n / 2)
	m["next-timer-half-fired-µs"] = x.nextTimer()
	x.fireTimers(n - n/2 - 1)
	m["fire-s"] = time.Since(begun).Seconds()
	m["next-timer-last-µs"] = x.nextTimer()
}

// wakes puts runs to sleep, one after the other, and measures how long each takes
// from the moment that it is due to the beginning of its effect, which is durable
// by then.
func (b *box) wakes(t *testing.B, times int) (p50, p99 float64) {
	woken := make(chan time.Time, 1)
	b.world.on("sim.put", func(context.Context, *engine.Call) (engine.Result, error) {
		woken <- time.Now()
		return engine.Result{}, nil
	})
	b.world.quiet = true
	var took []float64
	for range times {
		_, run := b.start()
		b.status(run, engine.RunWaiting)
		due := b.clock.Now().Add(time.Hour)
		b.bell.until(t, "the timer is waited for", func() bool { return b.clock.sleeps(due) })
		begun := time.Now()
		b.clock.set(due)
		took = append(took, micros((<-woken).Sub(begun)))
		b.status(run, engine.RunDone)
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100]
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
	return micros(time.Since(begun)) / times
}

// fireTimers fires the next n timers.
func (b *box) fireTimers(n int) {
	b.t.Helper()
	for n > 0 {
		due, err := b.state.DueTimers(0, b.clock.Now().Add(100*dueAfter), min(n, 500))
		must(b.t, err)
		list := make([]ledger.New, len(due))
		for i, tm := range due {
			list[i] = ledger.New{Kind: record.TimerFiredKind, Payload: record.Marshal(record.TimerFired{Timer: tm.ID})}
		}
		_, err = b.ledger.Append(context.Background(), 0, list...)
		must(b.t, err)
		n -= len(due)
	}
}
