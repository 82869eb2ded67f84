package state

import (
	"encoding/binary"
	"strings"

	"larkspur/engine"
	"larkspur/engine/record"
)

// A step of i.wait waits until something happens to its run's incident. What
// happens is decided here, in the order of the log; the outcome of the record that
// brings it names the steps that waited for it.

// What i.wait waits for.
const (
	AwaitAssigned = "assigned" // the incident has an owner; also when it begins
	AwaitTouched  = "touched"  // a person did something to it, or answered; from now on
	AwaitClosed   = "closed"   // it is closed; also when it begins
	AwaitAnswered = "answered" // a person answered one of its questions; from now on
)

// atOnce is the action of a step_started whose step ended with it: what it would
// wait for is there.
const atOnce = "at_once"

// endedWithIts says how a step ended with its beginning, viaNothing of one that
// did not: by the outcome's action.
func endedWithIts(action string) (via byte) {
	switch action {
	case endedByClose:
		return viaClosed
	case atOnce:
		return viaCame
	case expectedCame:
		return viaEvent
	case expectedLate:
		return viaTimer
	}
	return viaNothing
}

// waitTimer is what a timer is for that ends the wait for something. The wait of
// a sleep is for the timer itself.
const waitTimer = "wait"

// timerFor is what the timer of a step is for.
func timerFor(p record.StepStarted) string {
	if p.Await != "" || p.Lock != nil || p.Expect != nil {
		return waitTimer
	}
	return "sleep"
}

// isThere says whether what a step waits for is there when it begins.
func (t *tx) isThere(r engine.Run, p record.StepStarted) bool {
	if p.Lock != nil {
		return holds(r, p.Lock.Name)
	}
	i, ok := t.incident(r.Incident)
	switch p.Await {
	case AwaitAssigned:
		return ok && i.Owner != ""
	case AwaitClosed:
		return ok && i.Status == engine.IncidentClosed
	}
	return false
}

// awaitKey is where a wait stands: by incident, run and step.
func awaitKey(shard uint16, r engine.Run, step string) []byte {
	_, i, _ := engine.ParseID('i', r.Incident)
	_, n, _ := engine.ParseID('r', r.ID)
	return append(pairKey(classAwait, shard, i, n), step...)
}

// awaited is what a step of i.wait waits for, "" for other steps.
func (t *tx) awaited(r engine.Run, step string) string {
	if r.Incident == "" {
		return ""
	}
	until, _ := t.Get(awaitKey(t.shard, r, step))
	return string(until)
}

// stopAwaiting forgets the wait of a step, if there is one.
func (t *tx) stopAwaiting(r engine.Run, step string) {
	if t.awaited(r, step) != "" {
		t.Delete(awaitKey(t.shard, r, step))
	}
}

// comesTrue says in the outcome of a record that brings some of these about which
// steps waited for it. It forgets waits of steps that are over.
func (t *tx) comesTrue(o *record.Outcome, incident string, what ...string) {
	_, i, ok := engine.ParseID('i', incident)
	if !ok {
		return
	}
	prefix := nounKey(classAwait, t.shard, i)
	t.Scan(prefix, nil, false, func(k, v []byte) bool {
		for _, w := range what {
			if w == string(v) {
				run := engine.FormatID('r', t.shard, binary.BigEndian.Uint64(k[len(prefix):]))
				o.Waited = append(o.Waited, run+" "+string(k[len(prefix)+8:]))
				o.Woken = append(o.Woken, run)
				break
			}
		}
		return true
	})
}

// cameTrue ends the steps that waited.
func (t *tx) cameTrue(waited []string) {
	for _, w := range waited {
		run, step, _ := strings.Cut(w, " ")
		t.clearTimer(run, step)
		t.endStep(run, step, viaCame)
	}
}

// broughtBy says what an act on an incident brings about for those who wait.
func broughtBy(a record.IncidentAct, person bool) (what []string) {
	if person && a.Act != record.ActClose { // whose end is the end of all that is waited for
		what = append(what, AwaitTouched)
	}
	switch {
	case a.Act == record.ActClose:
		what = append(what, AwaitClosed)
	case a.Act == record.ActAssign && (a.Owner != "" || len(a.Among) > 0):
		what = append(what, AwaitAssigned)
	}
	return what
}

// byPerson tells the acts of people from those of runs and rules.
func byPerson(by string) bool {
	for _, prefix := range []string{"run ", "rule ", "job "} {
		if strings.HasPrefix(by, prefix) {
			return false
		}
	}
	return true
}
