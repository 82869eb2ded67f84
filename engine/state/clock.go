package state

import (
	"larkspur/engine"
	"larkspur/engine/record"
)

// While the clock of a shard is held no timer and no job fires. What fires, and
// what holds the clock, are records of the same log, so that its order says which
// came first, and no default answers for a person at a time that may be wrong.

// ClockIsHeld is why a timer or a job did not fire.
const ClockIsHeld = "the clock jumped, and nobody has said yet that it is right"

func (t *tx) clockHold() engine.ClockHold {
	h, _ := get[engine.ClockHold](t, key(classClock, t.shard))
	return h
}

func decideClock(t *tx, p record.ClockHeld) record.Outcome {
	switch on := t.clockHold().On; {
	case on && p.On:
		return refuse("the clock is held already")
	case !on && !p.On:
		return refuse("the clock is not held")
	}
	return record.Outcome{Applied: true}
}

func applyClock(t *tx, p record.ClockHeld, _ record.Outcome) {
	t.put(key(classClock, t.shard), engine.ClockHold{On: p.On, Since: t.now, From: p.From, To: p.To, Why: p.Why, By: p.By, How: p.How})
}

// Clock says whether the clock of a shard is held.
func (s *State) Clock(shard uint16) (h engine.ClockHold, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	h, _ = get[engine.ClockHold](view, key(classClock, shard))
	return h, nil
}
