package state

import (
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// kept is what state.set keeps between runs.
type kept struct {
	Expires time.Time   `json:"expires,omitzero"`
	Value   engine.Data `json:"value"`
}

// keptTimer is what a timer that ends a memory is for.
const keptTimer = "state"

// keptTarget is the timer's target: keys are free, ids of others are not.
func keptTarget(key string) string { return "state " + key }

func decideSet(t *tx, p record.StateSet) record.Outcome {
	if _, ok := t.offered(p.Offer); ok {
		return refuse("it was set already")
	}
	if shard, _, _ := engine.ParseID('r', p.Run); shard == t.shard {
		if _, why := t.live(p.Run, p.Generation); why != "" {
			return refuse(why)
		}
	}
	o := record.Outcome{Applied: true}
	if !p.Expires.IsZero() && len(p.Value) > 0 {
		o.Timer = t.nextID('t')
	}
	return o
}

func applySet(t *tx, p record.StateSet, o record.Outcome) {
	t.remember(p.Offer, "")
	if p.Key == "" {
		if o.Timer != "" {
			t.took(o.Timer) // of an erased one nothing else is left
		}
		return
	}
	t.clearTimer(keptTarget(p.Key), "")
	k := hashKey(classKept, t.shard, keptTarget(p.Key))
	if len(p.Value) == 0 {
		t.Delete(k)
		return
	}
	t.put(k, kept{p.Expires, p.Value})
	if o.Timer != "" {
		t.setTimer(engine.Timer{ID: o.Timer, Due: p.Expires, For: keptTimer, Target: keptTarget(p.Key)})
	}
}

// Kept returns what state.set keeps under a key in its shard; false for nothing.
func (s *State) Kept(shard uint16, key string, now time.Time) (v engine.Data, ok bool, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	m, ok := get[kept](view, hashKey(classKept, shard, keptTarget(key)))
	if !ok || !m.Expires.IsZero() && !m.Expires.After(now) {
		return nil, false, nil
	}
	return m.Value, true, nil
}
