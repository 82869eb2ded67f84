package runner_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/runner"
	"larkspur/engine/sandbox"
	"larkspur/engine/store"
)

// newer is a world in which sim.read has a later version: its result was a text,
// now it is a dict.
func newer(version int) func(*sandbox.Config) {
	return func(c *sandbox.Config) {
		for n := range c.Hello.Signatures {
			if c.Hello.Signatures[n].Name == "sim.read" {
				c.Hello.Signatures[n].Version = version
			}
		}
	}
}

// upgrade goes on with a program in which sim.read has another version.
func (b *box) upgrade(version int, decode map[int]func(engine.Value) (engine.Value, error)) {
	b.t.Helper()
	b.close()
	b.cfg.pool = ownPool(b.t, newer(version))
	b.world.mu.Lock()
	s := b.world.signatures["sim.read"]
	s.Version = version
	b.world.signatures["sim.read"], b.world.decoders = s, decode
	b.world.mu.Unlock()
	b.world.on("sim.read", func(_ context.Context, c *engine.Call) (engine.Result, error) {
		return engine.Result{Value: map[string]engine.Value{"text": c.Text("what"), "version": int64(version)}}, nil
	})
	b.open()
}

func textToDict(old engine.Value) (engine.Value, error) {
	text, ok := old.(string)
	if !ok {
		return nil, engine.Errorf(engine.Internal, "want a text")
	}
	return map[string]engine.Value{"text": text, "version": int64(1)}, nil
}

const readsTwice = `
def f(i):
    a = sim.read("one")
    sleep("1h")
    b = sim.read("two")
    if type(a) == "dict":
        i.set(got = "%s %d, %s %d" % (a["text"], a["version"], b["text"], b["version"]))
    sleep("1h")
`

// TestResultsOfOlderVersions: a journal that version 1 of a builtin began is
// replayed by version 2, which reads its result; the ledger keeps what was said.
func TestResultsOfOlderVersions(t *testing.T) {
	t.Parallel()
	b := playbook(t, readsTwice)
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.upgrade(2, map[int]func(engine.Value) (engine.Value, error){1: textToDict})
	b.advance(time.Hour)
	b.bell.until(t, "it read twice", func() bool { return len(b.steps(run)) == 5 && b.run(run).Status == engine.RunWaiting })
	b.facts(incident, map[string]engine.Value{"got": "one 1, two 2"})
	steps := b.steps(run)
	if steps[0].Version != 1 || string(steps[0].Result) != `"one"` || steps[2].Version != 2 {
		t.Errorf("got the steps %+v and %+v", steps[0], steps[2])
	}
	b.advance(time.Hour)
	b.status(run, engine.RunDone)
	equal(t, "calls", b.world.did(), []string{"sim.read one", "sim.read two"})
	b.rebuilds()
}

// TestAJournalThatCannotBeRead: of a later version, of an older one that nothing
// reads, or one whose result is not what it was: the run stops, and says why. A
// person's answer has today's form.
func TestAJournalThatCannotBeRead(t *testing.T) {
	wrong := func(engine.Value) (engine.Value, error) {
		return nil, engine.Errorf(engine.Internal, "want a text")
	}
	tests := map[string]struct {
		recorded, known int
		decode          map[int]func(engine.Value) (engine.Value, error)
		want            string
	}{
		"later":     {3, 2, map[int]func(engine.Value) (engine.Value, error){1: textToDict}, "step 1: sim.read is of version 3 in the journal, and this program knows version 2"},
		"forgotten": {1, 2, nil, "step 1: sim.read is of version 1 in the journal, and this program, which has version 2, cannot read that"},
		"wrong":     {1, 2, map[int]func(engine.Value) (engine.Value, error){1: wrong}, "reading the result of version 1 as one of version 2: want a text"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, strings.Replace(readsTwice, "i.set", `print("x"); i.set`, 1))
			if tt.recorded != 1 {
				b.upgrade(tt.recorded, map[int]func(engine.Value) (engine.Value, error){1: textToDict})
			}
			incident, run := b.start()
			b.status(run, engine.RunWaiting)
			b.upgrade(tt.known, tt.decode)
			b.advance(time.Hour)
			r := b.status(run, engine.RunDiverged)
			if r.Error == nil || !strings.Contains(r.Error.Message, tt.want) || r.Error.Hint == "" || r.Error.At != "scripts/a.star:3:17" {
				t.Fatalf("got %s, want %q", describe(r.Error), tt.want)
			}
			contains(t, "story", b.story(incident), "the run diverged: step 1: ")
			if d := b.restart(run, engine.RestartRequest{Step: "1", Answer: engine.Data(`{"text": "given", "version": 9}`)}); !d.Applied {
				t.Fatalf("got %+v", d)
			}
			b.bell.until(t, "it sleeps", func() bool { return strings.HasPrefix(b.run(run).Waits, "until") })
			b.advance(time.Hour)
			b.bell.until(t, "it read", func() bool { return b.fact(incident, "got") != nil })
			b.facts(incident, map[string]engine.Value{"got": "given 9, two 2"})
			b.rebuilds()
		})
	}
}

// TestWordsHaveOneVersion: control words have no decoders yet.
func TestWordsHaveOneVersion(t *testing.T) {
	for _, s := range runner.Signatures() {
		if s.Version != 1 {
			t.Errorf("%s has version %d: give words decoders, as engine.Builtin has them, before one changes what it returns", s.Name, s.Version)
		}
	}
}

// TestGoldenJournalsGoOn: runs that older programs left waiting are replayed by
// this one, through the worker, and come to their end.
func TestGoldenJournalsGoOn(t *testing.T) {
	for schema := 1; schema <= store.Schema; schema++ {
		k := unpackGolden(t, schema)
		t.Run(fmt.Sprintf("schema %d", schema), func(t *testing.T) {
			t.Parallel()
			b := &box{t: t, cfg: boxConfig{pool: pool(t)}, dir: k.dir, bell: newBell(), dave: true}
			b.clock, b.world = newClock(b.bell), newWorld(b.bell)
			b.clock.set(time.Date(2026, 11, 22, 11, 30, 0, 0, time.UTC))
			t.Cleanup(b.close)
			b.open()
			runs, _, err := b.state.Runs(engine.RunFilter{Status: engine.RunWaiting}, "", 100)
			must(t, err)
			if len(runs) < 2 {
				t.Fatalf("got %d runs that wait, want one that asks and one that sleeps", len(runs))
			}
			b.answer(b.question().ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "dave"}})
			b.bell.until(t, "all are over", func() bool {
				if later := b.clock.Now().Add(25 * time.Hour); b.clock.sleeps(later) {
					b.clock.set(later)
				}
				return !slices.ContainsFunc(runs, func(r engine.Run) bool { return b.run(r.ID).Ended.IsZero() })
			})
			for _, r := range runs {
				b.status(r.ID, engine.RunDone)
			}
		})
	}
}
