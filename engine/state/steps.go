package state

import (
	"cmp"
	"fmt"
	"slices"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// Steps returns the steps of a run's present generation as they began, with
// times, for people.
func (s *State) Steps(run string) ([]engine.Step, error) {
	return s.steps(run, 0, true, stepEntry.began)
}

// StepsOf returns the steps as one of the run's generations saw them; not_found
// for one that never was.
func (s *State) StepsOf(run string, generation int) ([]engine.Step, error) {
	return s.steps(run, generation, true, stepEntry.began)
}

// Journal returns the same as their results stand in the ledger and without
// times, as a worker replays them: cheaper.
func (s *State) Journal(run string) ([]engine.Step, error) {
	return s.steps(run, 0, false, stepEntry.order)
}

// Results returns those of some steps of a run's present generation that have a
// result, as the results stand in the ledger.
func (s *State) Results(run engine.Run, ids []string) (steps []engine.Step, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	shard, _, _ := engine.ParseID('r', run.ID)
	for _, id := range ids {
		path, n, _ := engine.ParseStepID(id)
		p, ok := placeOf(view, run, run.Generation, path, n)
		if !ok || !p.ended() {
			continue
		}
		step := engine.Step{Path: path, Number: n}
		if err := fillStep(view, s.blobs, shard, p.stepEntry, false, &step); err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	slices.SortFunc(steps, func(a, b engine.Step) int { return cmp.Compare(a.Order, b.Order) })
	return steps, nil
}

// steps reads one generation, 0 for the present one.
func (s *State) steps(id string, generation int, times bool, by func(stepEntry) uint64) (steps []engine.Step, err error) {
	defer guard(&err)
	r, err := s.Run(id)
	if err != nil {
		return nil, err
	}
	if generation == 0 {
		generation = r.Generation
	}
	if generation < 1 || generation > r.Generation {
		return nil, engine.Errorf(engine.NotFound, "run %s has no generation %d, only 1 to %d", id, generation, r.Generation)
	}
	view := s.view()
	defer view.Close()
	shard, _, _ := engine.ParseID('r', id)
	chain := chainOf(view, r, generation)
	slices.SortFunc(chain, func(a, b placed) int { return cmp.Compare(by(a.stepEntry), by(b.stepEntry)) })
	steps = make([]engine.Step, len(chain))
	for i, p := range chain {
		steps[i] = engine.Step{Path: p.path, Number: p.number}
		if p.generation != generation {
			steps[i].Generation = p.generation
		}
		if err := fillStep(view, s.blobs, shard, p.stepEntry, times, &steps[i]); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// fillStep reads a step's records.
func fillStep(r store.Reader, blobs *store.Blobs, shard uint16, e stepEntry, times bool, step *engine.Step) error {
	step.Status, step.Order = engine.StepStarted, e.order()
	var started record.StepStarted
	if e.Started != 0 {
		payload, err := stepPayload(r, shard, e.Started-1, step)
		if err != nil {
			return err
		}
		if started, err = unmarshalIf[record.StepStarted](payload); err != nil {
			return err
		}
		step.Builtin, step.Version, step.Class, step.At = started.Builtin, started.Version, started.Class, started.At
		step.Args, step.Hash, step.Ticks = started.Args, started.Hash, started.Ticks
		step.Before = started.Before
	}
	step.Order = e.order()
	switch {
	case e.Via == viaDoubt:
		step.Status = engine.StepInDoubt
	case e.Via == viaAgain || e.Via == viaReleased || e.Via == viaStopped:
		step.Status = engine.StepNotStarted
	case e.held() != "":
		step.Status, step.Held = engine.StepNotStarted, e.held()
	case e.ended():
		if err := fillResult(r, blobs, shard, e, &started, step); err != nil {
			return err
		}
	}
	if times {
		return fillTimes(r, shard, e, step)
	}
	return nil
}

// stepPayload reads the payload of a step's record; of an erased one what is
// left, and the step says so.
func stepPayload(r store.Reader, shard uint16, n uint64, step *engine.Step) ([]byte, error) {
	payload, erased, err := readPayload(r, shard, n)
	if erased != nil {
		step.Erased = erased.String()
	}
	return payload, err
}

// readPayload reads the payload of a record; of an erased one what is left, and
// what became of it.
func readPayload(r store.Reader, shard uint16, n uint64) ([]byte, *engine.Erased, error) {
	if payload, ok := ledger.ReadPayload(r, shard, n); ok {
		return payload, nil, nil
	}
	rec, err := ledger.ReadRecord(r, shard, n)
	if err != nil {
		return nil, nil, err
	}
	return remaining(rec), erasedBy(rec), nil
}

func unmarshalIf[T any](payload []byte) (v T, err error) {
	if payload == nil {
		return v, nil
	}
	return record.Unmarshal[T](payload)
}

func fillResult(r store.Reader, blobs *store.Blobs, shard uint16, e stepEntry, started *record.StepStarted, step *engine.Step) error {
	step.Status = engine.StepDone
	if e.Via == viaDone || e.Via == viaFailed {
		return fillDone(r, blobs, shard, e, step)
	}
	rec, err := ledger.ReadRecord(r, shard, e.Done-1)
	if err != nil {
		return err
	}
	step.Ended = rec.Header.Time // a replay counts what a step waited against attempts around it
	switch e.Via {
	case viaClosed:
		step.Status = engine.StepFailed
		step.Error = &engine.Error{Kind: engine.Closed, Message: "the incident was closed"}
	case viaTimer:
		all, err := votes(r, rec, started)
		if err != nil {
			return err
		}
		return fillTimeout(started, step, all)
	case viaCame:
		return fillCame(started, step)
	case viaEvent:
		return fillEvent(r, shard, e, started, step)
	case viaCycle:
		return fillCycle(rec, started, step)
	case viaHappened, viaSkipped, viaDropped:
		return fillResolved(rec, e, step)
	case viaGiven:
		return fillGiven(rec, step)
	case viaAnswer:
		if rec.Erased {
			step.Erased = erasedBy(rec).String()
			return nil
		}
		p, err := record.Unmarshal[record.QuestionAnswered](rec.Payload)
		if err != nil {
			return err
		}
		all, err := votes(r, rec, started)
		if err != nil {
			return err
		}
		step.Result, err = answerResult(answerOf(p, rec.Header.Time), all)
		return err
	}
	return nil
}

func fillDone(r store.Reader, blobs *store.Blobs, shard uint16, e stepEntry, step *engine.Step) error {
	payload, err := stepPayload(r, shard, e.Done-1, step)
	if err != nil {
		return err
	}
	p, err := unmarshalIf[record.StepDone](payload)
	if err != nil {
		return err
	}
	if e.Started == 0 {
		step.Builtin, step.Version, step.Class, step.At = p.Builtin, p.Version, p.Class, p.At
		step.Args, step.Hash, step.Ticks = p.Args, p.Hash, p.Ticks
	}
	if p.Version != 0 {
		step.Version = p.Version
	}
	step.Result, step.Error = p.Result, p.Error
	if p.Blob != "" && step.Builtin != attachWord {
		content, err := blobs.Get(p.Blob)
		if err != nil {
			return err
		}
		step.Result = content
	}
	if p.Error != nil {
		step.Status = engine.StepFailed
		if p.Error.Message == "" {
			p.Error.Message = step.Erased
		}
	}
	return nil
}

// fillTimeout gives a sleep its end, and a question its default or its error.
func fillTimeout(started *record.StepStarted, step *engine.Step, all []engine.Answer) (err error) {
	q := started.Question
	if q == nil && started.Limited {
		step.Status = engine.StepFailed
		step.Error = &engine.Error{Kind: engine.Timeout, Message: started.Builtin + ": the attempt's time is over"}
		return nil
	}
	if q == nil {
		return fillLate(started, step)
	}
	if !q.HasDefault {
		step.Status = engine.StepFailed
		step.Error = &engine.Error{Kind: engine.Timeout, Message: "ask: nobody answered in time"}
		if q.Quorum > 0 {
			step.Error.Message = fmt.Sprintf("ask: no answer had %d people behind it", q.Quorum)
		}
		return nil
	}
	step.Result, err = answerResult(engine.Answer{Choice: q.Default, By: "nobody", At: step.Ended, TimedOut: true}, all)
	return err
}

// fillLate gives a step what it returns when its time is over.
func fillLate(started *record.StepStarted, step *engine.Step) (err error) {
	switch {
	case started.Await != "":
		step.Result, err = engine.Encode(false)
	case started.Expect != nil:
		step.Result, err = expectedValue(nil, started.Until.Sub(started.Expect.Since))
	case started.Lock != nil:
		step.Status = engine.StepFailed
		step.Error = &engine.Error{Kind: engine.Timeout, Message: sayLock(started.Lock.Name) + ": it was not free in time"}
	}
	return err
}

// fillCame gives a step what it returns when what it waited for came.
func fillCame(started *record.StepStarted, step *engine.Step) (err error) {
	if started.Lock == nil {
		step.Result, err = engine.Encode(true)
		return err
	}
	step.Result, err = engine.Encode(LockValue(started.Lock.Name, engine.StepID(step.Path, step.Number)))
	return err
}

// LockValue is what lock returns: the step that took it names it.
func LockValue(name, step string) engine.Value {
	return engine.Struct{Type: "lock", Fields: map[string]engine.Value{"name": name, "step": step}}
}

// fillCycle says how the run would wait for itself.
func fillCycle(rec ledger.Record, started *record.StepStarted, step *engine.Step) error {
	o, err := record.Unmarshal[record.Outcome](rec.Outcome)
	step.Status = engine.StepFailed
	step.Error = &engine.Error{
		Kind: engine.Conflict, Message: sayLock(started.Lock.Name) + ": " + o.Why + ": neither would go on",
		Hint: "take locks in the same order everywhere, or release one before you ask for the next",
	}
	return err
}

// answerResult is what ask returns. all are the answers of a question with a
// quorum, nil for others.
func answerResult(a engine.Answer, all []engine.Answer) (engine.Data, error) {
	v, err := answerValue(a)
	if err != nil {
		return nil, err
	}
	if all != nil {
		list := make([]engine.Value, len(all))
		for n, one := range all {
			if list[n], err = answerValue(one); err != nil {
				return nil, err
			}
		}
		v.Fields["answers"] = list
	}
	return engine.Encode(v)
}

func answerValue(a engine.Answer) (v engine.Struct, err error) {
	fields, err := a.Fields.Value()
	if fields == nil {
		fields = map[string]engine.Value{}
	}
	return engine.Struct{Type: "answer", Fields: map[string]engine.Value{
		"choice": a.Choice, "by": engine.PersonRef{Name: a.By, Email: a.Email}, "at": a.At, "fields": fields,
		"reason": a.Reason, "timed_out": a.TimedOut,
	}}, err
}

func fillTimes(r store.Reader, shard uint16, e stepEntry, step *engine.Step) error {
	for _, part := range []struct {
		record uint64
		into   func(ledger.Record)
	}{
		{e.Done, func(rec ledger.Record) { step.Started, step.Ended = rec.Header.Time, rec.Header.Time }},
		{e.Started, func(rec ledger.Record) { step.Started = rec.Header.Time }},
	} {
		if part.record == 0 {
			continue
		}
		rec, err := ledger.ReadRecord(r, shard, part.record-1)
		if err != nil {
			return err
		}
		part.into(rec)
	}
	return fillNote(r, shard, e, step)
}
