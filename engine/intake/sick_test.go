package intake_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/intake"
)

// TestAWhereThatDiedIsToldOf: one incident a rule says which function, where and
// why; the next ones find it, and only one a minute looks.
func TestAWhereThatDiedIsToldOf(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		b := open(t, shards, func(items []intake.Item) ([]intake.Verdict, error) {
			out := make([]intake.Verdict, len(items))
			for i, item := range items {
				out[i] = intake.Verdict{Died: true, Err: errors.New("the worker died (memory)")}
				if item.Rule == "located" {
					out[i].At = "scripts/a.star:9:1"
				}
			}
			return out, nil
		}, engine.Rule{Name: "r", Mode: "live", When: []engine.Trigger{hookAt(3)}}, engine.Rule{Name: "located", Mode: "live", When: []engine.Trigger{hookAt(5)}})
		for n := range 5 {
			b.take(fmt.Sprint(n), nil)
		}
		b.clock.advance(2 * time.Minute)
		b.take("later", nil)
		list, _, err := b.state.Incidents(engine.IncidentFilter{Type: intake.SickType}, "", 100)
		must(t, err)
		places := ""
		for _, i := range list {
			v, err := i.Fields.Value()
			must(t, err)
			facts := v.(map[string]engine.Value)
			places += fmt.Sprintln(i.Rule, facts["function"], facts["at"], facts["why"])
			story, _, err := b.state.Timeline(i.ID, "", 10)
			must(t, err)
			if len(story) != 1 || story[0].By != "Larkspur" || i.Status != engine.IncidentOpen || !strings.Contains(i.Title, i.Rule) {
				t.Errorf("got %+v, %+v", i, story)
			}
		}
		for _, want := range []string{"r where scripts/a.star:3:7 the worker died (memory)", "located where scripts/a.star:9:1 the worker died (memory)"} {
			if len(list) != 2 || !strings.Contains(places, want) {
				t.Errorf("%d shards: got\n%swant %s", shards, places, want)
			}
		}
	}
}

func hookAt(line int) engine.Trigger {
	h := hook(true)
	h.At = engine.Position{File: "scripts/a.star", Line: line, Col: 7}
	return h
}
