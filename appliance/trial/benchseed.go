package trial

import (
	"context"
	"slices"
	"strconv"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// seed begins a test with an incident, as if it had been opened a while ago.
func (t *trialTest) seed(ctx context.Context, args map[string]engine.Value) (engine.Value, error) {
	p := record.IncidentOpened{Title: text(args["type"]), Type: text(args["type"]), Severity: "medium"}
	if severity := text(args["severity"]); severity != "" {
		p.Severity = severity
	}
	if !slices.Contains(engine.Severities, p.Severity) {
		return nil, engine.Errorf(engine.Invalid, "t.incident: severity: got %q, want info, low, medium, high or critical", p.Severity)
	}
	status := text(args["status"])
	if status != "" && status != engine.IncidentOpen && status != engine.IncidentClosed {
		return nil, engine.Errorf(engine.Invalid, "t.incident: status: got %q, want open or closed", status)
	}
	if age, ok := args["age"].(time.Duration); ok && age > 0 {
		p.Opened = t.clock.now.Add(-age)
	}
	if err := seedFacts(&p, args["fields"]); err != nil {
		return nil, err
	}
	t.sent++
	p.Offer = "seed/" + strconv.Itoa(t.sent)
	o, err := t.offered(ctx, t.ledger.ShardOf(p.Type, p.Offer), record.IncidentOpenedKind, p)
	if err != nil {
		return nil, err
	}
	if status == engine.IncidentClosed {
		shard, _, _ := engine.ParseID('i', o.Incident)
		act := record.IncidentAct{Act: record.ActClose, Incident: o.Incident, By: "the test", Code: "resolved", Text: "closed before the test"}
		if _, err := t.offered(ctx, shard, record.IncidentChangedKind, act); err != nil {
			return nil, err
		}
	}
	return engine.IncidentRef{ID: o.Incident}, nil
}

// seedFacts takes what a dict was written as: pairs, in their order.
func seedFacts(p *record.IncidentOpened, v engine.Value) (err error) {
	list, _ := v.([]engine.Value)
	facts := map[string]engine.Value{}
	for _, item := range list {
		pair, _ := item.([]engine.Value)
		if len(pair) != 2 {
			return engine.Errorf(engine.Invalid, "t.incident: fields: want a dict")
		}
		name := text(pair[0])
		facts[name] = pair[1]
		p.Order = append(p.Order, name)
	}
	if len(facts) > 0 {
		p.Fields, err = engine.Encode(facts)
	}
	return err
}

func (t *trialTest) offered(ctx context.Context, shard uint16, kind record.Kind, payload any) (record.Outcome, error) {
	rec, err := t.ledger.Offer(ctx, shard, ledger.New{Kind: kind, Payload: record.Marshal(payload)})
	if err != nil {
		return record.Outcome{}, err
	}
	return record.Unmarshal[record.Outcome](rec.Outcome)
}
