package runner

import (
	"larkspur/engine"
)

// A journal may hold results of older versions of a builtin: the worker gets them
// as today's version returns them, so that scripts and their replays see one form.

// causeVersion marks the error of a journal that this program cannot read.
const causeVersion = "version"

// readJournal makes the results of a journal those of today's versions. What the ledger
// holds stays as it is.
func (r *Runner) readJournal(journal []engine.Step) error {
	for n := range journal {
		if err := r.readStep(&journal[n]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) readStep(s *engine.Step) error {
	b, known := r.described(s.Builtin)
	if !known || s.Version == 0 || s.Version == b.Version {
		return nil
	}
	if s.Version > b.Version {
		return unreadable(s, engine.Errorf(engine.Script, "%s is of version %d in the journal, and this program knows version %d", s.Builtin, s.Version, b.Version).
			WithHint("a later Larkspur recorded it: start that one again; or restart the run from a step before"))
	}
	if len(s.Result) == 0 {
		return nil // it failed, has none yet, or it is erased
	}
	decode := b.Decode[s.Version]
	if decode == nil {
		return unreadable(s, engine.Errorf(engine.Script, "%s is of version %d in the journal, and this program, which has version %d, cannot read that", s.Builtin, s.Version, b.Version).
			WithHint("restart the run from this step: it is done again"))
	}
	old, err := s.Result.Value()
	if err == nil {
		old, err = decode(old)
	}
	if err == nil {
		s.Result, err = engine.Encode(old)
	}
	if err != nil {
		return unreadable(s, engine.Errorf(engine.Script, "%s: reading the result of version %d as one of version %d: %w", s.Builtin, s.Version, b.Version, err).
			WithHint("restart the run from this step: it is done again"))
	}
	return nil
}

func unreadable(s *engine.Step, e *engine.Error) *engine.Error {
	e.Message = "step " + engine.StepID(s.Path, s.Number) + ": " + e.Message
	e.At, e.Cause = s.At, causeVersion
	return e
}

// described finds a builtin of the world, or a control word.
func (r *Runner) described(name string) (engine.Builtin, bool) {
	if w, ok := words[name]; ok {
		return engine.Builtin{Signature: w.Signature}, true
	}
	return r.cfg.Builtins.Lookup(name)
}

// versionOf is the version that a builtin has now, 0 for one that is not known.
func (r *Runner) versionOf(name string) int {
	b, _ := r.described(name)
	return b.Version
}
