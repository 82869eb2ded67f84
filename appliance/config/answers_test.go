package config

import (
	"testing"

	"larkspur/engine"
)

// Whatever an answers file holds, it is read or refused with a place.
func FuzzAnswers(f *testing.F) {
	for _, text := range []string{
		"", "fakes: {x.y: 1}", "fakes:\n  x.y:\n    - {a: [1, {$time: \"2026-11-22T08:00:00Z\"}]}\n    - error: {kind: timeout}\n",
		"answers:\n  - {who: a, choice: b, fields: {c: d, e: [f]}, after: 5m}\n", "fakes: {x.y: {$duration: 5m}}", "answers: [null]",
	} {
		f.Add([]byte(text))
	}
	builtins := []engine.Signature{{Name: "x.y"}}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, problems := parseAnswers("a.yaml", text, builtins)
		for _, p := range problems {
			if p.Line < 1 || p.Message == "" {
				t.Errorf("got the problem %+v, want a place and what is wrong", p)
			}
		}
		for name, fakes := range a.Fakes {
			for _, fake := range append(fakes.InOrder, Fake{}) {
				if _, err := engine.Encode(fake.Result); err != nil && len(problems) == 0 {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	})
}
