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

// ownIncident is the incident that a step speaks of, where it is the run's own
// alone.
func (c *carrier) ownIncident(args map[string]engine.Value) (string, *engine.Error) {
	id := text(args["incident"])
	if id != c.run.Incident {
		return "", engine.Errorf(engine.Denied, "incident %q: a run does this with its own incident, %q", id, c.run.Incident)
	}
	return id, nil
}

// exists refuses to speak of an incident that there is not.
func (c *carrier) exists(id string) error {
	if id == c.run.Incident {
		return nil
	}
	_, err := c.r.cfg.State.Incident(id)
	return err
}

func performGet(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	id := text(args["incident"])
	if id == "" { // what shadow mode did not open
		v, err := c.r.plainAttribute(engine.Incident{}, text(args["name"]))
		return c.answer(c.describe(s), v, asStepError(err, s))
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

func performIncident(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	id := text(args["incident"])
	if c.run.Mode == modeShadow && id != c.run.Incident { // other incidents are the world's
		return c.answer(c.describe(s), nil, nil)
	}
	act, err := c.actOf(s, id, args)
	if err != nil {
		if engine.KindOf(err) == engine.Unavailable {
			return wire.Answer{}, parked, err
		}
		return c.refuse(s, asStepError(err, s))
	}
	return c.actOn(ctx, s, c.describe(s), act)
}

// actOn does something to an incident in the frame of the step's result, or, where
// it belongs to another shard, there, once.
func (c *carrier) actOn(ctx context.Context, s *wire.Step, done record.StepDone, act record.IncidentAct) (wire.Answer, verdict, error) {
	own, _, _ := engine.ParseID('r', c.run.ID)
	if shard, _, _ := engine.ParseID('i', act.Incident); shard != own {
		if ok, err := c.flush(ctx); !ok || err != nil {
			return wire.Answer{}, parked, err
		}
		act.Offer = "act " + c.key(s)
		if err := c.offer(ctx, shard, newRecord(record.IncidentChangedKind, act)); err != nil {
			return wire.Answer{}, parked, err
		}
		return c.answer(done, nil, nil)
	}
	done.Incident = &act
	return c.answer(done, nil, nil)
}

// actOf reads what a step does to an incident.
func (c *carrier) actOf(s *wire.Step, id string, args map[string]engine.Value) (act record.IncidentAct, err error) {
	if err := c.exists(id); err != nil {
		return act, err
	}
	act = record.IncidentAct{Act: strings.TrimPrefix(s.Builtin, "incident."), Incident: id}
	switch act.Act {
	case record.ActSet:
		if err = setFields(&act, args["fields"]); err == nil {
			err = c.roomForFacts(&act)
		}
	case record.ActNote:
		act.Text = text(args["text"])
	case record.ActAssign:
		act, err = c.r.assignment(id, args["person_or_team"], text(args["pick"]))
	case record.ActEscalate:
		act.Severity = text(args["severity"])
		err = checkSeverity(s.Builtin, act.Severity)
	default:
		act.Text, act.Code = text(args["reason"]), text(args["code"])
		act.Quiet, _ = args["quiet"].(time.Duration)
	}
	act.By = "run " + c.run.ID
	return act, err
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
	if err := roomForFacts(len(i.Fields)+c.facts, len(act.Fields)); err != nil {
		return err
	}
	c.facts += len(act.Fields)
	return nil
}

func roomForFacts(have, more int) error {
	if have+more <= maxFactsBytes {
		return nil
	}
	return engine.Errorf(engine.Invalid, "incident.set: the incident has %d bytes of facts, and %d more are too many; at most %d", have, more, maxFactsBytes).
		WithHint("keep a summary there; notes and steps hold the rest")
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
