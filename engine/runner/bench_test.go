package runner_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/intake"
	"larkspur/engine/record"
	"larkspur/rules"
)

const fiveEffects = "def f(i):\n    for n in range(5):\n        sim.put('x')\n"

// BenchmarkRuns carries runs of five effects, each effect recorded and synced
// before and after: 128 at once, whose commits share syncs, against one at a
// time, where each commit is synced alone. A round of the benchmark is some
// runs of each; the rates are the rounds' medians, and ratio is theirs.
//
// The disk is this machine's, and one whose sync takes 2 ms longer, as those of
// SD cards and small disks do at least.
func BenchmarkRuns(b *testing.B) {
	for _, slower := range []time.Duration{0, 2 * time.Millisecond} {
		b.Run(fmt.Sprintf("sync+%v", slower), func(b *testing.B) { benchmarkRuns(b, slower) })
	}
}

func benchmarkRuns(b *testing.B, slower time.Duration) {
	together := benchBox(b, boxConfig{atOnce: 128, slower: slower}, fiveEffects)
	alone := benchBox(b, boxConfig{atOnce: 1, slower: slower}, fiveEffects)
	together.carry(b, 300, 128) // warm
	alone.carry(b, 10, 1)
	var grouped, single, ratios, cpu []float64
	for b.Loop() {
		before := cpuTime(b)
		g := together.carry(b, 3000, 128)
		cpu = append(cpu, micros(cpuTime(b)-before)/3000)
		s := alone.carry(b, 100, 1)
		grouped, single, ratios = append(grouped, g), append(single, s), append(ratios, g/s)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(grouped), "runs/s")
	b.ReportMetric(median(single), "sync-each-runs/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(cpu), "cpu-µs/run")
}

// cpuTime is what this process, without its worker, has computed.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// benchBox is a box of a benchmark; its world does nothing at once.
func benchBox(b *testing.B, cfg boxConfig, source string) *benched {
	x := &benched{box: playbookWith(b, cfg, source)}
	x.append(0, record.EventSeenKind, record.EventSeen{Kind: "dns", Source: "eth1", Time: x.clock.Now(), Fields: benchFields})
	x.world.quiet = true
	x.world.on("sim.put", func(context.Context, *engine.Call) (engine.Result, error) {
		x.effects.Add(1)
		return engine.Result{Value: "ok"}, nil
	})
	return x
}

var benchFields = engine.MustEncode(map[string]engine.Value{"client": "192.0.2.7", "query": "www.netflix.com"})

// benched counts the runs that end.
type benched struct {
	*box
	n       int // runs started
	effects atomic.Int64
}

// carry starts n runs, at most so many before the first has ended, waits for all
// to end, and returns how many ended in a second.
func (b *benched) carry(t *testing.B, n, atOnce int) float64 {
	t.Helper()
	room := make(chan struct{}, atOnce)
	var starters sync.WaitGroup
	begun := time.Now()
	b.onEnd.Store(func() { <-room })
	numbers := make(chan int, n)
	for i := range n {
		numbers <- b.n + i
	}
	b.n += n
	close(numbers)
	for range atOnce {
		starters.Go(func() {
			for i := range numbers {
				room <- struct{}{}
				_, err := b.offer(0, record.EventMatchedKind, record.EventMatched{
					Rule: "r", Event: "e0-1", Offer: fmt.Sprint("o", i), Bundle: b.bundle, Mode: "live", Severity: "low", Type: "t", Title: "Netflix from 192.0.2.7",
					EventKind: "dns", Source: "eth1", Fields: benchFields,
					Do: engine.Handler{File: "a.star", Name: "f"},
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	starters.Wait()
	for range atOnce { // the last have ended
		room <- struct{}{}
	}
	took := time.Since(begun)
	if got := b.effects.Swap(0); got != int64(5*n) {
		t.Fatalf("got %d effects of %d runs, want five of each", got, n)
	}
	return float64(n) / took.Seconds()
}

// BenchmarkEventToFirstStep is how long an idle box takes from an event that is
// on the disk to the first effect of its playbook, beside one sync of a file of
// the same folder.
func BenchmarkEventToFirstStep(b *testing.B) {
	x := benchBox(b, boxConfig{}, fiveEffects)
	set := rules.Compile(engine.Declarations{Rules: []engine.Rule{{
		Name: "r", Do: engine.Handler{File: "a.star", Name: "f"}, Title: "Hook {n}", Severity: "low", Type: "t", Mode: "live",
		When: []engine.Trigger{{Kind: "webhook", Args: engine.MustEncode(map[string]engine.Value{"name": "bench"})}},
	}}}, nil)
	if p := set.Problems(); len(p) > 0 {
		b.Fatal(p)
	}
	in := intake.New(intake.Config{
		Ledger: x.ledger, State: x.state, Clock: x.clock, Live: func() *intake.Live { return &intake.Live{Bundle: x.bundle, Set: set} },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = in.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	first, over := make(chan time.Time, 1), make(chan struct{}, 1)
	x.world.on("sim.put", func(_ context.Context, c *engine.Call) (engine.Result, error) {
		if c.Key[len(c.Key)-2:] == "/1" {
			first <- time.Now()
		}
		return engine.Result{}, nil
	})
	x.onEnd.Store(func() { over <- struct{}{} })
	var latencies []time.Duration
	n := 0
	for b.Loop() {
		n++
		_, err := in.Deliver(ctx, engine.Event{Kind: "webhook", Source: "bench", Time: x.clock.Now(), Key: fmt.Sprint(n), Fields: map[string]engine.Value{"n": int64(n)}})
		durable := time.Now()
		if err != nil {
			b.Fatal(err)
		}
		latencies = append(latencies, (<-first).Sub(durable))
		<-over
	}
	slices.Sort(latencies)
	one := syncTime(b, x.dir)
	p50 := latencies[len(latencies)/2]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(micros(p50), "p50-µs")
	b.ReportMetric(micros(latencies[len(latencies)*99/100]), "p99-µs")
	b.ReportMetric(micros(one), "one-sync-µs")
	b.ReportMetric(micros(3*one+time.Millisecond), "goal-µs")
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// syncTime is the median time of one fsync of a file in a folder.
func syncTime(b *testing.B, dir string) time.Duration {
	b.Helper()
	f, err := os.Create(dir + "/sync")
	must(b, err)
	defer f.Close()
	must(b, f.Truncate(4<<20))
	var list []time.Duration
	for n := range 500 {
		_, err := f.WriteAt(make([]byte, 700), int64(n*700))
		must(b, err)
		begun := time.Now()
		must(b, f.Sync())
		list = append(list, time.Since(begun))
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// BenchmarkCommitsOfARun counts the commits that a lone run of five effects
// needs, beside its own start.
func BenchmarkCommitsOfARun(b *testing.B) {
	x := playbook(b, fiveEffects)
	var commits int
	for b.Loop() {
		commits = x.commits()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(commits), "commits")
}
