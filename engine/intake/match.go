package intake

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/rules"
)

// hit is a rule that an event matches, and the key of the two.
type hit struct {
	rules.Hit
	event engine.Event
	dedup string
}

// matching returns for each event the hits whose where agrees, each rule once. All
// wheres of a batch are asked together: a question alone costs more than a where.
func (in *Intake) matching(ctx context.Context, live *Live, batch []engine.Event, taken []bool) ([][]hit, error) {
	hits, asked := make([][]hit, len(batch)), make([][]rules.Hit, len(batch))
	var items []Item
	for i, e := range batch {
		if taken[i] { // by a run that expected it
			continue
		}
		for _, h := range live.Set.Match(&e) {
			if h.Rule.When[h.Trigger].Where {
				asked[i] = append(asked[i], h)
				items = append(items, Item{h.Rule.Name, h.Trigger, e, h.Rule.When[h.Trigger].At.String()})
			} else {
				hits[i] = add(hits[i], h, e)
			}
		}
	}
	verdicts, err := in.ask(ctx, live, items)
	if err != nil {
		return nil, err
	}
	for i, e := range batch {
		for n, h := range asked[i] {
			if v := verdicts[n]; v.Match || v.Died {
				hits[i] = add(hits[i], h, e)
			}
		}
		verdicts = verdicts[len(asked[i]):]
	}
	return hits, nil
}

// add takes a hit unless another trigger of its rule has hit.
func add(hits []hit, h rules.Hit, e engine.Event) []hit {
	for _, other := range hits {
		if other.Rule.Name == h.Rule.Name {
			return hits
		}
	}
	return append(hits, hit{Hit: h, event: e})
}

// ask puts questions to the worker; what failed is its rule's last error.
func (in *Intake) ask(ctx context.Context, live *Live, items []Item) ([]Verdict, error) {
	if len(items) == 0 {
		return nil, nil
	}
	verdicts, err := in.cfg.Evaluator.Where(ctx, live.Bundle, items)
	if err != nil {
		return nil, err
	}
	for i, v := range verdicts {
		if v.Err != nil || v.Died {
			in.fail(items[i].Rule, v)
		}
		if v.Died {
			in.noteSick(items[i], v)
		}
	}
	return verdicts, nil
}

// dedup gives each hit its key: the canonical JSON of the fields' values, or of
// what the rule's function returned. A rule without dedup spreads its incidents
// over the shards by event.
func (in *Intake) dedup(ctx context.Context, live *Live, hits [][]hit) error {
	var items []Item
	var of []*hit
	for i := range hits {
		for n := range hits[i] {
			h := &hits[i][n]
			switch {
			case h.Rule.DedupFunc:
				items, of = append(items, Item{h.Rule.Name, -1, h.event, h.Rule.At.String()}), append(of, h)
			case h.Rule.DedupSet:
				key, err := dedupKey(h.Rule, h.event)
				if err != nil {
					return err
				}
				h.dedup = key
			default:
				h.dedup = h.event.ID
			}
		}
	}
	verdicts, err := in.ask(ctx, live, items)
	if err != nil {
		return err
	}
	for i, v := range verdicts {
		if of[i].dedup = v.Key; v.Err != nil || v.Died {
			of[i].dedup = "failed" // one incident for all events that it fails on
		}
	}
	return nil
}

func dedupKey(rule *engine.Rule, e engine.Event) (string, error) {
	values := make([]engine.Value, len(rule.Dedup))
	for i, name := range rule.Dedup {
		values[i] = Field(e, name)
	}
	d, err := engine.Encode(values)
	return string(d), err
}

// match makes the record of a hit.
func (h *hit) match(live *Live) (record.EventMatched, error) {
	rule, e := h.Rule, h.event
	fields, err := engine.Encode(e.Fields)
	return record.EventMatched{
		Args: rule.Args, Bundle: live.Bundle, Commit: live.Commit, Dedup: h.dedup, DedupSet: rule.DedupSet || rule.DedupFunc,
		Do: rule.Do, Event: e.ID, EventKind: e.Kind, EventTime: e.Time.UTC(), Fields: fields, Mode: rule.Mode,
		MaxChanges: rule.MaxChangesCount, MaxChangesIn: rule.MaxChangesSpan,
		Offer: e.ID + "/" + rule.Name, OnAttach: rule.OnAttach, OnBreach: rule.OnBreach, Hours: rule.Hours, SLA: limits(rule.SLA), Quiet: rule.Quiet, Rule: rule.Name, Reporter: reporterOf(e), Saves: rule.Saves, OnFailure: onFailure(rule), Severity: rule.Severity,
		Source: e.Source, Team: rule.Team, Throttle: rule.ThrottleCount, ThrottleIn: rule.ThrottleSpan,
		Title: title(rule.Title, e), Type: rule.Type, Visible: rule.Visible,
	}, err
}

// limits are a rule's deadlines, always in the same order.
func limits(sla map[string]time.Duration) (list []record.Limit) {
	for _, name := range slices.Sorted(maps.Keys(sla)) {
		list = append(list, record.Limit{Name: name, Limit: sla[name]})
	}
	return list
}

// Field returns what e.NAME is: a word of every event, or one of its fields,
// nested ones by dots; nil when it is absent.
func Field(e engine.Event, name string) engine.Value {
	switch name {
	case "time":
		return e.Time
	case "kind":
		return e.Kind
	case "source":
		return e.Source
	}
	if v, ok := e.Fields[name]; ok {
		return v
	}
	var v engine.Value = e.Fields
	for _, part := range strings.Split(name, ".") {
		m, ok := v.(map[string]engine.Value)
		if !ok {
			return nil
		}
		v = m[part]
	}
	return v
}

// onFailure is what a rule wants when its run fails, "" for the usual: changes
// are kept.
func onFailure(r *engine.Rule) string {
	if r.OnFailure == "keep" {
		return ""
	}
	return r.OnFailure
}
