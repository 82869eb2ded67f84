package trial

import (
	"context"
	"maps"
	"slices"
	"strings"

	"larkspur/appliance/config"
	"larkspur/engine"
	"larkspur/engine/sandbox"
	"larkspur/engine/wire"
)

// A replay without an answers file takes the world and its people from the
// workspace's tests: of each rule the first test whose first event is that rule's
// t.trigger. The test is executed up to there and stands still meanwhile; what it
// prepared answers every run of the rule, and its functions are called as in a
// test. Lists of results and answers begin anew with each run.

// scenes are the tests that answer a replay, by rule.
type scenes struct {
	player  *player
	byRule  map[string]*trialTest
	answers map[string]*answers // by run
}

// openScenes executes the tests up to their first trigger.
func openScenes(ctx context.Context, b *Bench, at *stand, tests []engine.Test) (*scenes, error) {
	s := &scenes{byRule: map[string]*trialTest{}, answers: map[string]*answers{}}
	for _, test := range tests {
		t := newTest(b, at)
		t.scene = &test
		rule, err := t.prepare(ctx)
		switch {
		case err != nil:
			s.close()
			return nil, err
		case rule != "" && s.byRule[rule] == nil:
			s.byRule[rule] = t
		default:
			t.call.Close()
		}
	}
	return s, nil
}

// Scene says which test answers for a rule.
type Scene struct {
	Rule string
	Test engine.Test
}

// Scenes returns the tests that answer the replay, by rule.
func (x *Replay) Scenes() (list []Scene) {
	if x.scenes == nil {
		return nil
	}
	for _, rule := range slices.Sorted(maps.Keys(x.scenes.byRule)) {
		list = append(list, Scene{rule, *x.scenes.byRule[rule].scene})
	}
	return list
}

func (s *scenes) close() {
	for _, t := range s.byRule {
		t.call.Close()
	}
}

// prepare executes the test up to its first event and returns the rule that it
// triggers; "" when it triggers none, or fails before.
func (t *trialTest) prepare(ctx context.Context) (rule string, err error) {
	if err := t.open(ctx, *t.scene); err != nil {
		return "", err
	}
	for {
		event, err := t.call.Next(ctx)
		if err != nil {
			return "", ifOurs(err)
		}
		step, ok := event.(*wire.Step)
		if !ok {
			return "", nil // it ended
		}
		t.at = step.At
		switch strings.TrimPrefix(step.Builtin, "t.") {
		case "trigger":
			v, err := step.Args.Value()
			m, _ := v.(map[string]engine.Value)
			return text(m["rule"]), err
		case "event", "job", "advance", "look":
			return "", nil
		case "at", "crash": // time and workers are the replay's
			err = t.call.Answer(step, wire.Answer{})
		default:
			var a wire.Answer
			if a, err = t.step(ctx, step); err == nil {
				err = t.call.Answer(step, a)
			}
		}
		if err != nil {
			return "", ifOurs(err)
		}
	}
}

// ifOurs leaves out what a test did to its worker: such a test is no scene.
func ifOurs(err error) error {
	if death := (*sandbox.Death)(nil); asDeath(err, &death) {
		return nil
	}
	return err
}

// answersOf returns what people answer to the questions of a run.
func (s *scenes) answersOf(run string) (*answers, error) {
	if list := s.answers[run]; list != nil {
		return list, nil
	}
	r, err := s.player.state.Run(run)
	if err != nil {
		return nil, err
	}
	list := &answers{}
	if t := s.byRule[r.Rule]; t != nil {
		list.left = append(list.left, t.player.people.left...)
	}
	s.answers[run] = list
	return list, nil
}

// result implements results.
func (s *scenes) result(ctx context.Context, sig engine.Signature, c *engine.Call, n int) (*config.Fake, error) {
	r, err := s.player.state.Run(c.Run)
	if err != nil {
		return nil, err
	}
	t := s.byRule[r.Rule]
	if t == nil {
		if c.Class != engine.Read {
			return nil, nil
		}
		return nil, engine.Errorf(engine.Invalid, "%s: a replay does not ask the world, and no test triggers the rule %q", sig.Name, r.Rule).
			WithHint("write a test that fakes it and calls t.trigger(%q, …), or give --answers FILE", r.Rule)
	}
	fake, err := t.result(ctx, sig, c, n)
	t.broken = nil // it is this step's error, not the end of the replay
	return fake, err
}
