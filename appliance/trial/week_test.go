package trial_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"larkspur/appliance"
	"larkspur/appliance/config"
	"larkspur/appliance/trial"
	"larkspur/engine"
	"larkspur/engine/sandbox"
	"larkspur/engine/sandbox/sandboxtest"
	"larkspur/scripts/library"
)

// A week in which clocks are put forward in London (on 29 March 2026) and back in
// Sydney (on 5 April), with something to do on each day.
var week = map[string]string{
	config.WorkspaceFile: `
name: week
timezone: UTC
people: {dave: {email: dave@example.org}}
calendars:
  london: {hours: "daily 22:00-06:00", timezone: Europe/London}
  sydney: {hours: "daily 22:00-06:00", timezone: Australia/Sydney}
`,
	"scripts/week.star": `
def late(i):
    i.note("late at " + time.format(now(), "%m-%d %H:%M"))

def nights(i):
    i.timer("short night").start("7h", on_breach = late, hours = "london")
    for day in range(6):
        a = ask("dave", "Day %d?" % day, choices = ["yes", "no"], timeout = "1d", default = "no", sla = "1h", on_breach = late)
        i.set(answer = a.choice)
    i.wait("touched", timeout = "13h")
    i.timer("long night").start("9h", on_breach = late, hours = "sydney")
    i.wait("touched", timeout = "1d")

rule(name = "week", when = on.webhook("week"), do = nights, sla = {"close": "40h"}, hours = "london", on_breach = late)
`,
	"scripts/week_test.star": `
def test_week(t):
    t.at("2026-03-28T22:00")
    r = t.trigger("week")
    t.at("2026-04-05T12:00")
    t.eq(r.incident.notes, ["late at " + when for when in [
        "03-28 23:00",    # the first question, after an hour of the night
        "03-29 05:00",    # the night of London had seven hours
        "03-29 23:00", "03-30 23:00", "03-31 23:00", "04-01 23:00",
        "04-02 22:00",    # 40 hours of nights: 7, 8, 8, 8, 8, and 1
        "04-02 23:00",
        "04-04 20:00",    # the night of Sydney had nine
    ]])
    t.eq([q.status for q in r.questions], ["timed_out"] * 6)
    t.advance("1d")
    t.eq(r.status, "done")
`,
}

// openWeek opens a bench that lives through the week.
func openWeek(t testing.TB) (*trial.Bench, engine.Test) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range week {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings, _ := config.Load(dir)
	b, live, err := trial.OpenBench(t.Context(), trial.Workspace{
		Dir: dir, Library: library.Files(), Config: settings, Evaluator: appliance.Evaluator,
	}, pool(t), pool(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range live.Snapshot.Problems {
		if p.Severity == "error" {
			t.Fatalf("%s:%d:%d: %s (%s)", p.File, p.Line, p.Col, p.Message, p.Hint)
		}
	}
	if len(live.Tests) != 1 {
		t.Fatalf("got tests %+v, want one", live.Tests)
	}
	return b, live.Tests[0]
}

func pool(t testing.TB) *sandbox.Pool {
	t.Helper()
	p, err := sandbox.Open(sandbox.Config{Binary: sandboxtest.Binary(t), Hello: appliance.Hello()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return p.Run(ctx) })
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		_ = running.Wait() // ended by Close
	})
	return p
}

// TestAWeekWithBothChangesOfClocks: every deadline is breached at its minute, the
// same each time.
func TestAWeekWithBothChangesOfClocks(t *testing.T) {
	b, test := openWeek(t)
	for range 2 {
		if r, err := b.Run(t.Context(), test); err != nil || r.Status != trial.Passed {
			t.Fatalf("%v, %s: %s\n%s", err, r.At, r.Message, r.Hint)
		}
	}
}

// BenchmarkWeek lives through it. The goal is 100 ms.
func BenchmarkWeek(b *testing.B) {
	bench, test := openWeek(b)
	for b.Loop() {
		if r, err := bench.Run(b.Context(), test); err != nil || r.Status != trial.Passed {
			b.Fatalf("%v, %s: %s", err, r.At, r.Message)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms/week")
}
