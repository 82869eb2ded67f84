package intake

import (
	"context"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// A where or dedup function that ends its worker, or overruns, is told of by an
// incident: its rule opens more than it should. There is one for each rule, as
// long as it is open.

// SickType is the type of these incidents.
const SickType = "rule-trouble"

// tellEvery is how often a rule is told of at most: each event may end a worker.
const tellEvery = time.Minute

// noteSick remembers what an incident shall say of a rule.
func (in *Intake) noteSick(item Item, v Verdict) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.cfg.Clock.Now()
	if last, told := in.told[item.Rule]; told && now.Sub(last) < tellEvery {
		return
	}
	in.told[item.Rule] = now
	function, at, why := "where", v.At, "the worker died"
	if item.Trigger < 0 {
		function = "dedup"
	}
	if at == "" {
		at = item.At
	}
	if v.Err != nil {
		why = v.Err.Error()
	}
	facts := map[string]engine.Value{"rule": item.Rule, "function": function, "at": at, "why": why, "event": item.Event.ID}
	in.sick[item.Rule] = record.IncidentOpened{
		Dedup: string(engine.MustEncode([]engine.Value{item.Rule})), DedupSet: true, Fields: engine.MustEncode(facts), Offer: "sick/" + item.Rule + "/" + item.Event.ID,
		Order: []string{"rule", "function", "at", "why", "event"}, Rule: item.Rule, Severity: "medium", Type: SickType,
		Title: "The " + function + " of " + item.Rule + " had to be ended: events that it cannot judge count as matched",
	}
}

// tellSick opens what noteSick remembers. Told again after a fault, it is the same
// incident.
func (in *Intake) tellSick(ctx context.Context) error {
	in.mu.Lock()
	var list []record.IncidentOpened
	for _, p := range in.sick {
		list = append(list, p)
	}
	in.mu.Unlock()
	for _, p := range list {
		shard := in.cfg.Ledger.ShardOf(p.Type, p.Dedup)
		if _, err := in.cfg.Ledger.Offer(ctx, shard, ledger.New{Kind: record.IncidentOpenedKind, Payload: record.Marshal(p)}); err != nil {
			return err
		}
		in.mu.Lock()
		delete(in.sick, p.Rule)
		in.mu.Unlock()
	}
	return nil
}
