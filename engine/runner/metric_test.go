package runner_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

func (b *box) series(name string) []engine.Series {
	b.t.Helper()
	list, _, err := b.state.Series(name, "", 500)
	must(b.t, err)
	return list
}

// TestMetrics: a series for each name and set of labels, with points of five
// minutes and of hours; those that are too old go.
func TestMetrics(t *testing.T) {
	for _, shards := range []int{1, 8} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			t.Parallel()
			b := playbookWith(t, boxConfig{shards: shards}, `
def f(i):
    for v in [3, 1.5, 2]:
        metric("load", v, host = "web1", core = 2)
    metric("up", True)
    metric("took", "90s")
    sleep("1h")
    metric("load", 7, core = "2", host = "web1")
    sleep(until = now() + time.duration("91d"))
    metric("load", 8, host = "web1", core = 2)
`)
			_, run := b.start()
			b.status(run, engine.RunWaiting)
			for _, want := range []string{"load 2 map[core:2 host:web1] 3", "took 90 map[] 1", "up 1 map[] 1"} {
				name, _, _ := strings.Cut(want, " ")
				if got := b.series(name); len(got) != 1 || fmt.Sprint(got[0].Name, " ", got[0].Value, " ", got[0].Labels, " ", got[0].Count) != want {
					t.Errorf("got %+v, want %s", got, want)
				}
			}
			b.advance(time.Hour)
			b.bell.until(t, "it sleeps again", func() bool { return b.series("load")[0].Count == 4 && b.run(run).Status == engine.RunWaiting })
			load := b.series("load")[0]
			points, err := b.state.Points(load, engine.PointsFine)
			must(t, err)
			if len(points) != 2 || points[0] != (engine.Point{Time: points[0].Time, Count: 3, Sum: 6.5, Min: 1.5, Max: 3, Last: 2}) || !points[1].Time.Equal(points[0].Time.Add(time.Hour)) {
				t.Errorf("got %+v", points)
			}
			b.advance(91 * 24 * time.Hour)
			b.status(run, engine.RunDone)
			for _, by := range []string{engine.PointsFine, engine.PointsHour} {
				if points, err := b.state.Points(load, by); err != nil || len(points) != 1 || points[0].Last != 8 {
					t.Errorf("%s: got %+v, %v, want the newest alone", by, points, err)
				}
			}
			b.rebuilds()
		})
	}
}

func TestWrongMetrics(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    for n, fn in enumerate([
        lambda: metric("", 1), lambda: metric("x", float("inf")), lambda: metric("x", 1, **{"a b": 1}),
        lambda: metric("x", 1, who = [1]), lambda: metric("x", 1, **{"a%d" % k: k for k in range(9)}),
    ]):
        r = attempt(fn)
        i.set(**{"e%d" % n: r.error.message if r.error else "none"})
`)
	incident, _ := b.play()
	for n, want := range []string{
		"metric: name: got 0 bytes", "want a finite number", `metric: label "a b"`,
		"metric: label who: got", "got 9 labels, at most 8",
	} {
		contains(t, fmt.Sprint(n), fmt.Sprint(b.fact(incident, fmt.Sprint("e", n))), want)
	}
	if got := b.series(""); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestShadowRunsRecordNoMetrics(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    metric('up', 1)\n")
	_, run := b.startWith(record.EventMatched{Mode: "shadow"})
	b.status(run, engine.RunDone)
	if got := b.series(""); len(got) != 0 || len(b.steps(run)) != 1 {
		t.Errorf("got %+v", got)
	}
}

// TestSeriesAreBounded: one more than fit is an error, until one was silent for so
// long that nothing of it is kept.
func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    r = attempt(lambda: metric("new", 1, k = "x"))
    i.set(error = r.error.message if r.error else "none")
    metric("n", 2, k = 7)
    sleep("91d")
    metric("n", 3, k = 7)
    metric("new", 1, k = "x")
`)
	var full []ledger.New
	for n := range 500 { // of a run of another shard
		p := record.MetricSet{Name: "n", Labels: map[string]string{"k": fmt.Sprint(n)}, Run: "r9-1", Value: 1, Offer: fmt.Sprint("m", n)}
		full = append(full, ledger.New{Kind: record.MetricSetKind, Payload: record.Marshal(p)})
	}
	_, err := b.ledger.Append(t.Context(), 0, full...)
	must(t, err)
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	contains(t, "error", fmt.Sprint(b.fact(incident, "error")), `metric: there is no room for another series: "new" with these labels would be one more than 500`)
	if got := b.series(""); len(got) != 500 {
		t.Errorf("got %d series", len(got))
	}
	b.advance(91 * 24 * time.Hour)
	b.status(run, engine.RunDone)
	if got := b.series("new"); len(got) != 1 || len(b.series("")) != 500 {
		t.Errorf("got %+v of %d series, want it in the place of a silent one", got, len(b.series("")))
	}
	b.rebuilds()
}

// TestACrashRecordsAValueOnce: whichever commit fails because the power went out
// before it.
func TestACrashRecordsAValueOnce(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		for n := range 12 {
			t.Run(fmt.Sprint(shards, " ", n), func(t *testing.T) {
				t.Parallel()
				b := playbookWith(t, boxConfig{shards: shards}, "def f(i):\n    metric('up', 1)\n    sim.put('x')\n    metric('up', 2)\n    metric('down', 3)\n")
				b.power.after(n+1, true)
				_, _ = b.offer(0, record.EventSeenKind, record.EventSeen{Kind: "dns", Source: "eth1", Time: b.clock.Now()})
				_, _ = b.offer(0, record.EventMatchedKind, record.EventMatched{
					Rule: "r", Event: "e0-1", Offer: "o", Bundle: b.bundle, Mode: "live", Severity: "low", Type: "t", Title: "T",
					Do: engine.Handler{File: "a.star", Name: "f"},
				})
				over := func() bool {
					r, err := b.state.Run("r0-1")
					return b.power.isOut() || err != nil || !r.Ended.IsZero() || r.Status == engine.RunInDoubt
				}
				b.bell.until(t, "the power is out", over)
				b.reopen()
				b.bell.until(t, "it is over", over)
				if r, err := b.state.Run("r0-1"); err != nil || r.Status == engine.RunInDoubt {
					return // it never began, or its effect is in doubt
				}
				if up, down := b.series("up"), b.series("down"); len(up) != 1 || up[0].Count != 2 || len(down) != 1 || down[0].Count != 1 {
					t.Errorf("got %+v and %+v", up, down)
				}
			})
		}
	}
}
