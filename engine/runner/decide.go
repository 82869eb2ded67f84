package runner

import (
	"context"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
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
	d := engine.Decision{Applied: o.Applied, Why: r.cfg.State.Late(o.Why, id)}
	if o.Action == state.Counted {
		d.Why = othersFollow
	}
	return d, err
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

// Assign gives an incident to a person or a team of larkspur.yaml, or to somebody of
// a team whom pick chooses; invalid for nobody there is.
func (r *Runner) Assign(ctx context.Context, id, to, pick, by string) (engine.Decision, error) {
	a, err := r.assignment(id, to, pick)
	if err != nil {
		return engine.Decision{}, err
	}
	a.By = by
	return r.act(ctx, a)
}

// Escalate sets an incident's severity.
func (r *Runner) Escalate(ctx context.Context, id, severity, by string) (engine.Decision, error) {
	if err := checkSeverity("escalate", severity); err != nil {
		return engine.Decision{}, err
	}
	return r.act(ctx, record.IncidentAct{Act: record.ActEscalate, Incident: id, Severity: severity, By: by})
}

// SetFacts sets summary facts of an incident, in their order; invalid for more
// than it has room for.
func (r *Runner) SetFacts(ctx context.Context, id string, facts map[string]engine.Value, order []string, by string) (engine.Decision, error) {
	fields, err := engine.Encode(facts)
	if err != nil {
		return engine.Decision{}, err
	}
	i, err := r.cfg.State.Incident(id)
	if err != nil {
		return engine.Decision{}, err
	}
	if err := roomForFacts(len(i.Fields), len(fields)); err != nil {
		return engine.Decision{}, err
	}
	return r.act(ctx, record.IncidentAct{Act: record.ActSet, Incident: id, Fields: fields, Order: order, By: by})
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
