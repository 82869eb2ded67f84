package runner

import (
	"context"

	"larkspur/engine"
	"larkspur/engine/record"
)

// decide offers a person's act to the ledger, whose order decides races.
func (r *Runner) decide(ctx context.Context, letter byte, id string, kind record.Kind, payload any) (engine.Decision, error) {
	shard, _, ok := engine.ParseID(letter, id)
	if !ok || int(shard) >= r.cfg.Ledger.Shards() {
		return engine.Decision{}, engine.Errorf(engine.NotFound, "%q: there is none", id)
	}
	rec, err := r.cfg.Ledger.Offer(ctx, shard, newRecord(kind, payload))
	if err != nil {
		return engine.Decision{}, err
	}
	o, err := outcomeOf(rec)
	return engine.Decision{Applied: o.Applied, Why: r.cfg.State.Late(o.Why, id)}, err
}

// Answer answers a question. The caller has checked who answers and what.
func (r *Runner) Answer(ctx context.Context, question string, a engine.Answer) (engine.Decision, error) {
	return r.decide(ctx, 'q', question, record.QuestionAnsweredKind, record.QuestionAnswered{
		Question: question, By: a.By, Choice: a.Choice, Fields: a.Fields, Reason: a.Reason, How: a.How,
	})
}

// CloseIncident closes an incident from outside: its open questions are
// withdrawn, and what its runs wait for ends.
func (r *Runner) CloseIncident(ctx context.Context, id, reason, code, by string) (engine.Decision, error) {
	return r.act(ctx, record.IncidentAct{Act: record.ActClose, Incident: id, Text: reason, Code: code, By: by})
}

// ReopenIncident opens a closed incident again.
func (r *Runner) ReopenIncident(ctx context.Context, id, reason, by string) (engine.Decision, error) {
	return r.act(ctx, record.IncidentAct{Act: record.ActReopen, Incident: id, Text: reason, By: by})
}

// Note adds a note to an incident.
func (r *Runner) Note(ctx context.Context, id, text, by string) (engine.Decision, error) {
	return r.act(ctx, record.IncidentAct{Act: record.ActNote, Incident: id, Text: text, By: by})
}

func (r *Runner) act(ctx context.Context, a record.IncidentAct) (engine.Decision, error) {
	return r.decide(ctx, 'i', a.Incident, record.IncidentChangedKind, a)
}

// UndoChange takes a change back by a run of its own: with the scripts that made
// it, or the live ones.
func (r *Runner) UndoChange(ctx context.Context, id, by, why string, current bool) (engine.Decision, error) {
	p := record.UndoRequested{Change: id, By: by, Why: why}
	if current {
		var err error
		if p.Bundle, p.Commit, err = r.live(); err != nil {
			return engine.Decision{}, err
		}
	}
	return r.decide(ctx, 'c', id, record.UndoRequestedKind, p)
}

// live returns the bundle that is live now.
func (r *Runner) live() (bundle, commit string, err error) {
	if r.cfg.Live != nil {
		bundle, commit = r.cfg.Live()
	}
	if bundle == "" {
		err = engine.Errorf(engine.Unavailable, "no scripts are live").WithHint(`take those of then: script "same"`)
	}
	return bundle, commit, err
}
