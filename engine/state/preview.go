package state

import (
	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// RestartPreview says what a restart from a step would do, or, with n 0, the undo
// of the whole run; not_found for a step that the run has not.
func (s *State) RestartPreview(run, path string, n int) (p engine.RestartPreview, err error) {
	defer guard(&err)
	r, err := s.Run(run)
	if err != nil {
		return p, err
	}
	view := s.view()
	defer view.Close()
	p = engine.RestartPreview{
		Run: r.ID, Generation: r.Generation, Bundle: r.Bundle, Commit: r.Commit,
		Undone: []engine.Change{}, Cannot: []engine.Step{}, Unknown: []engine.Step{}, Questions: []engine.Question{},
	}
	since := uint64(0)
	if n > 0 {
		at, found := placeOf(view, r, r.Generation, path, n)
		if !found {
			return p, engine.Errorf(engine.NotFound, "run %s has no step %s", run, engine.StepID(path, n)).
				WithHint("larkspur runs show %s lists its steps", run)
		}
		since, p.Step = cutAt(view, r, at.began()), engine.StepID(path, n)
		if by := takenBackBy(view, r, since); by != "" && r.Restart == nil {
			return p, engine.Errorf(engine.Conflict, "run %s: %s", run, beingTakenBack(by))
		}
	}
	for _, id := range changesSince(view, r, since) {
		c, _ := get[engine.Change](view, mustKey(classChange, 'c', id))
		p.Undone = append(p.Undone, c)
	}
	p.Questions = append(p.Questions, questionsSince(view, r, since)...)
	if i, ok := get[engine.Incident](view, mustKey(classIncident, 'i', r.Incident)); ok {
		p.Closed = i.Status == engine.IncidentClosed && i.ClosedBy != "run "+r.ID
	}
	return p, s.stay(view, r, since, &p)
}

// stay lists the effects of a part of the journal that no undo takes back.
func (s *State) stay(view store.Reader, r engine.Run, since uint64, p *engine.RestartPreview) error {
	chain := chainOf(view, r, r.Generation)
	covered, err := changing(view, r, chain)
	if err != nil {
		return err
	}
	for _, at := range chain {
		if at.began() < since || covered[at.id()] {
			continue
		}
		step := engine.Step{Path: at.path, Number: at.number}
		if err := fillStep(view, s.blobs, shardOf(r), at.stepEntry, true, &step); err != nil {
			return err
		}
		switch {
		case ours(step.Builtin) || step.Class != engine.Once && step.Class != engine.Repeatable:
		case step.Held != "":
		case step.Status == engine.StepDone:
			p.Cannot = append(p.Cannot, step)
		case step.Status == engine.StepStarted || step.Status == engine.StepInDoubt || step.Status == engine.StepFailed && step.Error != nil && step.Error.Maybe:
			p.Unknown = append(p.Unknown, step)
		}
	}
	return nil
}

// changing finds the steps by which changes were made: those of builtins, and all
// that the do of a change did.
func changing(view store.Reader, r engine.Run, chain []placed) (map[string]bool, error) {
	covered := map[string]bool{}
	for _, at := range chain {
		if at.Via != viaDone || outcomeAt(view, r, at, at.Done).Change == "" {
			continue
		}
		covered[at.id()] = true
		payload, err := stepPayload(view, shardOf(r), at.Done-1, &engine.Step{})
		if err != nil {
			return nil, err
		}
		p, err := unmarshalIf[record.StepDone](payload)
		if err != nil {
			return nil, err
		}
		for n := at.number; p.Change != nil && p.Change.From > 0 && n >= p.Change.From; n-- {
			covered[engine.StepID(at.path, n)] = true
		}
	}
	return covered, nil
}

// ours tells the words that touch nothing but the ledger, or whose effect goes
// with the part of the journal that is left.
func ours(builtin string) bool {
	switch builtin {
	case "ask", "sleep", "lock", "lock.release", "expect", "expect.wait", "now", "print", "change.made", "change.undo", "change.settled",
		"incident.get", "incident.set", "incident.note", "incident.close", "incident.reopen", "incident.assign", "incident.escalate", "incident.wait", "question.link", "people.minders":
		return true
	}
	return false
}
