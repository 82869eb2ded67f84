package worker

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"larkspur/engine"
	"larkspur/engine/wire"
)

// stepKey names a step of one run and generation.
type stepKey struct {
	path   string
	number int
}

// journal answers recorded steps, and notices when the script is not the one
// that was recorded.
type journal struct {
	env   *environment
	ticks bool // tick counts compare: the interpreter is the same
	steps map[stepKey]*engine.Step
	order []stepKey // as their results stand in the ledger
	seen  map[stepKey]bool
	taken int // of order: these answered, or have no result
}

func newJournal(env *environment, run wire.Run) *journal {
	j := &journal{env: env, ticks: run.Interpreter == env.interpreter, steps: make(map[stepKey]*engine.Step, len(run.Journal)), seen: map[stepKey]bool{}}
	for i := range run.Journal {
		s := &run.Journal[i]
		key := stepKey{s.Path, s.Number}
		j.steps[key] = s
		j.order = append(j.order, key)
	}
	return j
}

// hash is the keyed hash of arguments, "KEYNAME:HEX", under the newest key.
func (j *journal) hash(args engine.Data) string { return j.hashWith(j.env.hello.HashKey, args) }

func (j *journal) hashWith(name string, args engine.Data) string {
	m := hmac.New(sha256.New, j.env.hello.HashKeys[name])
	m.Write(args)
	return name + ":" + hex.EncodeToString(m.Sum(nil))
}

// look holds a step against the recorded one. known is false for one that the
// supervisor must perform: it is new, or was started and has no result.
func (j *journal) look(s *wire.Step) (known bool, err error) {
	key := stepKey{s.Path, s.Number}
	old := j.steps[key]
	if old == nil {
		return false, nil
	}
	j.seen[key] = true
	if why := j.differs(old, s); why != "" {
		return false, &stop{endedDiverged, divergence(old, s, why), engine.StepID(s.Path, s.Number)}
	}
	return hasResult(old), nil
}

func hasResult(s *engine.Step) bool {
	return s.Status == engine.StepDone || s.Status == engine.StepSkipped || s.Status == engine.StepFailed
}

// next is the recorded result that stands next in the ledger's order; nil after
// the last one.
func (j *journal) next() *engine.Step {
	for ; j.taken < len(j.order); j.taken++ {
		if s := j.steps[j.order[j.taken]]; hasResult(s) {
			return s
		}
	}
	return nil
}

// differs says in what a step is not the recorded one, or "".
func (j *journal) differs(old *engine.Step, s *wire.Step) string {
	switch {
	case old.Builtin != s.Builtin:
		return "another builtin"
	case !j.sameArgs(old, s):
		return "other arguments"
	case old.At != "" && old.At != s.At: // without a place it was made by another version
		return "another line"
	case j.ticks && old.Ticks != 0 && old.Ticks != s.Ticks:
		return "another way to the same line"
	}
	return ""
}

// sameArgs compares under the key that the journal names. One that is gone
// leaves the recorded arguments to compare, unless they are erased.
func (j *journal) sameArgs(old *engine.Step, s *wire.Step) bool {
	if old.Hash == "" || old.Hash == s.Hash {
		return true
	}
	name, _, _ := strings.Cut(old.Hash, ":")
	_, known := j.env.hello.HashKeys[name]
	if !known && len(old.Args) == 0 {
		return true
	}
	for _, args := range j.forms(old, s) {
		if known && old.Hash == j.hashWith(name, args) || !known && string(old.Args) == string(args) {
			return true
		}
	}
	return false
}

// forms are the arguments of a step as programs hashed and recorded them: with all
// defaults, as earlier ones did; without any; and without those of parameters that
// the builtin had not yet when the step was recorded.
func (j *journal) forms(old *engine.Step, s *wire.Step) []engine.Data {
	list := []engine.Data{s.Args}
	w := j.env.words[s.Builtin]
	v, err := s.Args.Value()
	args, ok := v.(map[string]engine.Value)
	if w == nil || err != nil || !ok {
		return list
	}
	list = append(list, w.spoken(args, s.Args))
	if v, err = old.Args.Value(); err != nil || len(old.Args) == 0 {
		return list
	}
	recorded, _ := v.(map[string]engine.Value)
	return append(list, w.leaveOut(args, s.Args, func(name string, v engine.Value) bool {
		_, had := recorded[name]
		return !had && w.isDefault(name, v)
	}))
}

// divergence shows both sides.
func divergence(old *engine.Step, s *wire.Step, why string) *engine.Error {
	e := engine.Errorf(engine.Script, "step %s is not the recorded one: %s\n  recorded: %s\n  now:      %s",
		engine.StepID(s.Path, s.Number), why,
		side(old.Builtin, old.At, old.Args, old.Ticks), side(s.Builtin, s.At, s.Args, s.Ticks))
	e.At = s.At
	return e.WithHint("the script must do the same again up to where it waited: look for what differs from run to run; or restart the run from this step")
}

// maxSideBytes is how much of the arguments a divergence shows.
const maxSideBytes = 400

func side(builtin, at string, args engine.Data, ticks uint64) string {
	text := string(args)
	if text == "" {
		text = "(arguments erased)"
	}
	return fmt.Sprintf("%s %s at %s after %d interpreter steps", builtin, cut(text, maxSideBytes), at, ticks)
}

// leftOver is the first step, and a divergence, when the script ended before a recorded step.
func (j *journal) leftOver() (step string, diverged *engine.Error) {
	for _, key := range j.order {
		if !j.seen[key] {
			return engine.StepID(key.path, key.number), notReached(j.steps[key], "the script ended before", "the end")
		}
	}
	return "", nil
}

// notReached is the divergence of a script that leaves out a recorded step.
func notReached(old *engine.Step, did, now string) *engine.Error {
	e := engine.Errorf(engine.Script, "%s step %s, which is recorded\n  recorded: %s\n  now:      %s",
		did, engine.StepID(old.Path, old.Number), side(old.Builtin, old.At, old.Args, old.Ticks), now)
	e.At = old.At
	return e.WithHint("the script must do the same again up to where it waited; or restart the run from this step")
}
