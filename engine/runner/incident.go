package runner

import (
	"context"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

func performChange(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	undo, ok := args["undo"].(engine.Struct)
	if !ok {
		return c.refuse(s, engine.Errorf(engine.Invalid, "change: undo: want a top-level function"))
	}
	ch := &record.Change{Expires: c.expiry(args["expires"]), From: s.From}
	ch.Title, _ = args["title"].(string)
	ch.Why, _ = args["why"].(string)
	ch.Undo = &engine.Handler{File: text(undo.Fields["file"]), Name: text(undo.Fields["name"])}
	var err1, err2 error
	ch.Args, err1 = engine.Encode(args["args"])
	ch.Done, err2 = engine.Encode(args["done"])
	if err1 != nil || err2 != nil {
		return c.refuse(s, engine.Errorf(engine.Invalid, "change: args and what do returns must be plain data"))
	}
	done := c.describe(s)
	if c.run.Mode != modeShadow {
		done.Change = ch
	}
	a, v, err := c.answer(done, engine.Struct{Type: "change", Fields: map[string]engine.Value{"id": c.changeName(s), "title": ch.Title}}, nil)
	return c.now(ctx, a, v, err)
}

// changeName names the change of a step before the ledger has given it an id.
func (c *carrier) changeName(s *wire.Step) string {
	return changeName(c.run.ID, s.Path, s.Number)
}

func changeName(run, path string, n int) string { return run + "/" + engine.StepID(path, n) }

// now writes what is pending at once: others should see it.
func (c *carrier) now(ctx context.Context, a wire.Answer, v verdict, err error) (wire.Answer, verdict, error) {
	if err != nil {
		return a, v, err
	}
	if ok, err := c.flush(ctx); !ok || err != nil {
		return a, parked, err
	}
	return a, v, nil
}

func text(v engine.Value) string {
	s, _ := v.(string)
	return s
}

func performUndo(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	if _, err := c.flush(ctx); err != nil {
		return wire.Answer{}, parked, err
	}
	done := c.describe(s)
	change, err := c.changeNamed(text(args["change"]))
	if err == nil {
		done.Undo = change.ID
	} else if engine.KindOf(err) != engine.NotFound { // the call changed nothing: nothing to take back
		return wire.Answer{}, parked, err
	}
	a, v, err := c.answer(done, nil, nil)
	return c.now(ctx, a, v, err)
}

// changeNamed finds a change by its id, or by the run and step that made it.
func (c *carrier) changeNamed(name string) (engine.Change, error) {
	if step, ok := strings.CutPrefix(name, c.run.ID+"/"); ok {
		return c.r.cfg.State.ChangeOfStep(c.run, step)
	}
	return c.r.cfg.State.Change(name)
}

// ownIncident is the incident that a step speaks of. Runs act on their own.
func (c *carrier) ownIncident(args map[string]engine.Value) (string, *engine.Error) {
	id := text(args["incident"])
	if id != c.run.Incident {
		return "", engine.Errorf(engine.Denied, "incident %q: a run acts on its own incident, %q", id, c.run.Incident)
	}
	return id, nil
}

func performGet(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	id, refused := c.ownIncident(args)
	if refused != nil {
		return c.refuse(s, refused)
	}
	if ok, err := c.flush(ctx); !ok || err != nil { // it sees what the run itself did
		return wire.Answer{}, parked, err
	}
	v, err := c.r.attribute(id, text(args["name"]))
	if err != nil && engine.KindOf(err) == engine.Unavailable {
		return wire.Answer{}, parked, err
	}
	return c.answer(c.describe(s), v, asStepError(err, s))
}

func performIncident(_ context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	id, refused := c.ownIncident(args)
	if refused != nil {
		return c.refuse(s, refused)
	}
	act := &record.IncidentAct{Act: strings.TrimPrefix(s.Builtin, "incident."), Incident: id, By: "run " + c.run.ID}
	switch act.Act {
	case record.ActSet:
		if err := setFields(act, args["fields"]); err != nil {
			return c.refuse(s, asStepError(err, s))
		}
		if err := c.roomForFacts(act); err != nil {
			return c.refuse(s, asStepError(err, s))
		}
	case record.ActNote:
		act.Text = text(args["text"])
	default:
		act.Text, act.Code = text(args["reason"]), text(args["code"])
		act.Quiet, _ = args["quiet"].(time.Duration)
	}
	done := c.describe(s)
	done.Incident = act
	return c.answer(done, nil, nil)
}

// maxFactsBytes bounds the facts of an incident: every record about it writes
// them again.
const maxFactsBytes = 128 << 10

// roomForFacts refuses facts that an incident has no room for. Those of two runs
// at once may pass together: the bound is far from what a record holds.
func (c *carrier) roomForFacts(act *record.IncidentAct) error {
	i, err := c.r.cfg.State.Incident(act.Incident)
	if err != nil {
		return err
	}
	if have := len(i.Fields) + c.facts; have+len(act.Fields) > maxFactsBytes {
		return engine.Errorf(engine.Invalid, "incident.set: the incident has %d bytes of facts, and %d more are too many; at most %d", have, len(act.Fields), maxFactsBytes).
			WithHint("keep a summary there; notes and steps hold the rest")
	}
	c.facts += len(act.Fields)
	return nil
}

func setFields(act *record.IncidentAct, v engine.Value) (err error) {
	facts := map[string]engine.Value{}
	for _, e := range pairs(v) {
		name := text(e.Key)
		facts[name] = e.Value
		act.Order = append(act.Order, name)
	}
	act.Fields, err = engine.Encode(facts)
	return err
}

func performLink(_ context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	revision, _ := args["revision"].(int64)
	question, person := text(args["question"]), text(args["person"])
	token := engine.LinkToken(c.r.cfg.LinkKey, question, person, int(revision))
	done := c.describe(s)
	done.Link = &record.Link{Question: question, Person: person, Revision: int(revision), Token: state.TokenSum(token)}
	return c.answer(done, engine.LinkSecret(question, person, int(revision)), nil)
}
