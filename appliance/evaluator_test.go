package appliance_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"larkspur/appliance"
	"larkspur/engine"
	"larkspur/engine/intake"
	"larkspur/engine/sandbox"
	"larkspur/engine/sandbox/sandboxtest"
	"larkspur/engine/wire"
)

// dial is a clock that stands still.
type dial struct{ atomic.Int64 }

func (d *dial) Now() time.Time { return time.Unix(d.Load(), 0).UTC() }

func (d *dial) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

const deadlyRules = `
def f(i):
    pass

def hungry(e):
    return e.level > 7 and len([0] * (e.level * 100000000)) > 0

rule(name = "calm", when = on.webhook("hook", where = lambda e: e.level > 3), do = f, dedup = lambda e: [e.level])
rule(name = "deadly", when = on.webhook("hook", where = hungry), do = f)
def endless(e):
    while e.level > 3:
        pass

rule(name = "endless", when = on.webhook("hook", where = endless), do = f)
rule(name = "broken", when = on.webhook("hook", where = lambda e: e.level + "x"), do = f)
`

// TestWhereThatEndsItsWorker: of many questions asked at once, the one that ends
// the worker counts as matched, the others are answered; its function is let
// alone for a minute.
func TestWhereThatEndsItsWorker(t *testing.T) {
	pool, err := sandbox.Open(sandbox.Config{Binary: sandboxtest.Binary(t), Hello: appliance.Hello()})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := errors.Join(pool.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	loaded, err := pool.Load(t.Context(), wire.Load{Bundle: engine.Bundle{Hash: "b", Files: map[string]string{"scripts/a.star": deadlyRules}}})
	if err != nil || len(loaded.Declarations.Problems) > 0 {
		t.Fatalf("loading: %v %v", err, loaded.Declarations.Problems)
	}
	clock := &dial{}
	ask := appliance.Evaluator(pool, clock)
	deaths := func() int { return pool.Status()[0].Deaths }

	items := questions(300)
	got, err := ask.Where(t.Context(), "b", items)
	if err != nil || len(got) != len(items) {
		t.Fatalf("got %d verdicts, %v", len(got), err)
	}
	for i, v := range got {
		judge(t, items[i], v)
	}
	before := deaths()
	if before < 1 {
		t.Error("no worker died")
	}
	again, err := ask.Where(t.Context(), "b", items[:30])
	if err != nil || deaths() != before {
		t.Errorf("within the minute: %v, %d more deaths", err, deaths()-before)
	}
	for i, v := range again {
		if died := items[i].Rule == "deadly"; v.Died != died {
			t.Errorf("within the minute, %s: got %+v", items[i].Rule, v)
		}
	}
	if got, err := ask.Where(t.Context(), "b", []intake.Item{question("endless", 4), question("endless", 2)}); err != nil || !got[0].Died || !strings.HasPrefix(got[0].At, "scripts/a.star:") || got[1].Died {
		t.Errorf("one that overruns: got %+v, %v", got, err)
	}
	clock.Add(61)
	if got, err = ask.Where(t.Context(), "b", []intake.Item{question("deadly", 2)}); err != nil || got[0].Died || got[0].Match {
		t.Errorf("after the minute: got %+v, %v, want an answer", got, err)
	}
}

func question(rule string, level int64) intake.Item {
	return intake.Item{Rule: rule, Event: engine.Event{Kind: "webhook", Source: "hook", Fields: map[string]engine.Value{"level": level}}}
}

// questions go round the rules; one of the deadly ones is.
func questions(n int) []intake.Item {
	list := make([]intake.Item, n)
	for i := range list {
		list[i] = question([]string{"calm", "deadly", "broken"}[i%3], int64(i%5))
	}
	list[151] = question("deadly", 10)
	return list
}

// judge holds a verdict of the first round against what it should be. What the
// deadly function is asked after its death is not known beforehand.
func judge(t *testing.T, item intake.Item, v intake.Verdict) {
	level := item.Event.Fields["level"].(int64)
	ok := false
	switch item.Rule {
	case "calm":
		ok = v.Err == nil && !v.Died && v.Match == (level > 3)
	case "deadly":
		ok = v.Died && strings.Contains(v.Err.Error(), "worker") || level < 10 && v.Err == nil && !v.Match
	case "broken":
		ok = v.Err != nil && !v.Died && !v.Match
	}
	if !ok {
		t.Errorf("%s at level %d: got %+v", item.Rule, level, v)
	}
}
