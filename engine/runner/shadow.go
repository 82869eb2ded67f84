package runner

import (
	"time"

	"larkspur/engine"
	"larkspur/engine/field"
	"larkspur/engine/record"
	"larkspur/engine/wire"
)

// modeShadow is the mode of a run that must not touch the world: reads run,
// effects return an empty result of their shape, questions are not sent and take
// their default, else the first choice.
const modeShadow = "shadow"

// shadowResult is what a step returns that was not performed. A change that was
// not made can be taken back: nothing happens then, either.
func (c *carrier) shadowResult(s *wire.Step, sig engine.Signature) engine.Value {
	v := sig.EmptyResult()
	if !sig.Change {
		return v
	}
	shape, _ := v.(engine.Struct)
	return c.undoable(shape, s)
}

// shadowAnswer is what nobody was asked for.
func shadowAnswer(q *record.Question, now time.Time) engine.Value {
	choice := q.Default
	if !q.HasDefault && len(q.Choices) > 0 {
		choice = q.Choices[0].Name
	}
	fields := map[string]engine.Value{}
	for _, f := range q.Fields {
		fields[f.Name] = field.Empty(f)
	}
	given := map[string]engine.Value{
		"choice": choice, "by": engine.PersonRef{Name: "nobody"}, "at": now, "fields": fields, "reason": "", "timed_out": q.HasDefault,
	}
	if q.Quorum > 0 {
		given["answers"] = []engine.Value{}
	}
	return engine.Struct{Type: "answer", Fields: given}
}
