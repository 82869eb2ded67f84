package fault

import (
	"fmt"
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

// plays are the hooks of plays.star.
var plays = []string{
	"sequential", "branches", "waits", "asks", "for-ever", "changes", "undoes", "expires", "attaches", "chain", "retries", "keeps", "limited", "probed", "burns", "opens", "queues", "expects", "timed", "agrees", "presses", "shadowed",
}

// forEver is the question that nobody answers.
const forEver = "for ever"

// act is something that a person, a machine or the time may do now.
type act struct {
	weight int
	kind   record.Kind // that it makes, beside others
	do     func()
}

// turn looks at the pages and does one thing. It reports whether the process
// lives.
func (l *life) turn() (v view, alive bool) {
	said, alive := l.ask(command{Do: "look"}, &v)
	if !alive {
		return v, false
	}
	l.w.expect("look", said)
	l.w.doubts = len(v.Doubts) > 0
	acts := append(l.machines(v), l.people(v)...)
	sum := 0
	for i := range acts {
		if acts[i].kind != 0 && acts[i].kind == l.plan.Kind {
			acts[i].weight *= 40
		}
		sum += acts[i].weight
	}
	at := l.w.rng.IntN(sum)
	for _, a := range acts {
		if at -= a.weight; at < 0 {
			a.do()
			break
		}
	}
	select {
	case <-l.dead:
		return v, false
	case <-time.After(time.Duration(l.w.rng.IntN(6)) * time.Millisecond): // the process works
		return v, true
	}
}

// expect fails the test when a command that is always right was refused.
func (w *world) expect(what string, said line) {
	if said.Error != "" {
		w.t.Errorf("%s, round %d: %s: %s", w.name, w.round, what, said.Error)
	}
}

// sure asks for what must not be refused.
func (l *life) sure(c command) (alive bool) {
	said, alive := l.ask(c, nil)
	if alive {
		l.w.expect(c.Do+" "+c.What, said)
	}
	return alive
}

// wish asks for what a person may want, and what may be refused.
func (l *life) wish(c command) {
	said, alive := l.ask(c, nil)
	switch {
	case !alive:
	case said.Error != "":
		l.w.tally.add("wishes refused: "+c.Do, 1)
	default:
		l.w.tally.add("wishes: "+c.Do, 1)
	}
}

// maxEvents and maxActs bound what a world has to do in its end.
const (
	maxEvents = 30
	maxActs   = 14
)

// machines is what comes from outside: events, jobs, time, and the death of a
// worker.
func (l *life) machines(v view) []act {
	w := l.w
	running := count(v.Runs, func(r engine.Run) bool { return r.Status == engine.RunRunning })
	acts := []act{{weight: 30, kind: record.TimerFiredKind, do: func() { l.advance(v) }}}
	if len(w.events) < maxEvents && running < 6 {
		for _, k := range []record.Kind{record.EventSeenKind, record.EventMatchedKind, record.EventRoutedKind, record.RunParkedKind, record.RunEndedKind, record.StepStartedKind, record.StepDoneKind} {
			acts = append(acts, act{5, k, func() { l.open(plays[w.rng.IntN(len(plays))]) }})
		}
		acts = append(acts, act{1, record.StateSetKind, func() { l.open("keeps") }}, act{1, record.WorkerDiedKind, func() { l.open("burns") }},
			act{1, record.IncidentOpenedKind, func() { l.open("opens") }}, act{1, record.MetricSetKind, func() { l.open("opens") }},
			act{1, record.LockChangedKind, func() { l.open("queues") }}, act{1, record.ExpectSetKind, func() { l.open("expects") }},
			act{1, record.DeadlineSetKind, func() { l.open("timed") }}, act{1, record.DeadlineBreachedKind, func() { l.open("timed") }},
			act{1, record.ButtonPressedKind, func() { l.open("presses") }})
		expecting := func(r engine.Run) bool {
			return r.Rule == "expects" && (r.Status == engine.RunRunning || r.Status == engine.RunWaiting)
		}
		if slices.ContainsFunc(v.Runs, expecting) {
			acts = append(acts, act{6, record.EventExpectedKind, func() { l.open("sequential") }})
		}
	}
	if w.jobs < 4 {
		acts = append(acts, act{2, record.JobFiredKind, func() {
			w.jobs++
			l.sure(command{Do: "job", N: fmt.Sprint(w.jobs)})
		}})
	}
	burning := slices.ContainsFunc(v.Runs, func(r engine.Run) bool { return r.Rule == "burns" && r.Status == engine.RunRunning })
	if !w.struck && burning {
		acts = append(acts, act{5, record.WorkerDiedKind, func() {
			w.struck = l.sure(command{Do: "strike"})
			w.tally.add("workers killed", 1)
		}})
	}
	if running > 2 {
		acts = append(acts, act{1, 0, func() { l.sure(command{Do: "renew"}) }})
	}
	return acts
}

func count[T any](list []T, is func(T) bool) (n int) {
	for _, v := range list {
		if is(v) {
			n++
		}
	}
	return n
}

// open sends the event of a play, or another one that attaches to its incident.
func (l *life) open(hook string) {
	w := l.w
	e := &event{hook: hook, n: fmt.Sprintf("n%d", len(w.events)), macs: macs(len(w.events))}
	if hook == "attaches" && w.rng.IntN(3) > 0 {
		for _, of := range w.events {
			if of.hook == hook {
				e.n, e.again = of.n, fmt.Sprint("/", len(w.events))
			}
		}
	}
	w.events = append(w.events, e)
	l.send(e)
}

func (l *life) send(e *event) bool {
	alive := l.sure(command{Do: "event", What: e.hook, N: e.n, Step: e.again, MACs: e.macs})
	e.taken = e.taken || alive
	return alive
}

// resend sends what nobody said was taken.
func (l *life) resend() {
	for _, e := range l.w.events {
		if !e.taken && !l.send(e) {
			return
		}
	}
}

// advance lets time pass: to where somebody wakes up, or some minutes.
func (l *life) advance(v view) {
	to := v.Now.Add(time.Duration(1+l.w.rng.IntN(20)) * time.Minute)
	if !v.Next.IsZero() && l.w.rng.IntN(3) > 0 {
		to = v.Next
	}
	l.sure(command{Do: "advance", To: to})
	l.w.plan.Now = to // whether the process heard of it or not
}

// people is what persons may do now.
func (l *life) people(v view) []act {
	w := l.w
	var acts []act
	may := func(weight int, kind record.Kind, c command) {
		acts = append(acts, act{weight, kind, func() { l.wish(c) }})
	}
	for _, d := range v.Doubts {
		may(2, record.StepResolvedKind, w.verdict(d))
	}
	for _, q := range v.Questions {
		if q.Text != forEver {
			may(4, record.QuestionAnsweredKind, w.answer(q))
		}
	}
	for _, b := range v.Buttons {
		may(4, record.ButtonPressedKind, command{Do: "press", What: b})
	}
	if v.Brake {
		may(30, record.BrakeSetKind, command{Do: "brake", With: "off"})
	} else {
		may(1, record.BrakeSetKind, command{Do: "brake", With: "on"})
	}
	if n := len(v.Incidents); n > 0 {
		i := v.Incidents[w.rng.IntN(n)]
		may(2, record.IncidentChangedKind, command{Do: "note", What: i.ID})
		switch {
		case i.Status == engine.IncidentClosed:
			may(1, record.IncidentChangedKind, command{Do: "reopen", What: i.ID})
		case w.rng.IntN(4) == 0:
			may(1, record.IncidentChangedKind, command{Do: "close", What: i.ID})
		}
	}
	return append(acts, l.steering(v)...)
}

// steering is what persons do to runs and changes.
func (l *life) steering(v view) (acts []act) {
	w := l.w
	if w.acts >= maxActs {
		return nil
	}
	steer := func(weight int, kind record.Kind, c command) {
		acts = append(acts, act{weight, kind, func() { w.acts++; l.wish(c) }})
	}
	for _, c := range v.Changes {
		if c.Status == engine.ChangeInForce && c.UndoRun == "" {
			steer(1, record.UndoRequestedKind, command{Do: "undo", What: c.ID, Pick: w.rng.Uint64()})
		}
	}
	for _, r := range v.Runs {
		if r.Purpose == state.PurposePlaybook && r.Mode == "live" && r.Status != engine.RunRunning && r.Restart == nil {
			steer(1, record.RunRestartedKind, command{Do: "restart", What: r.ID, Pick: w.rng.Uint64()})
			if w.rng.IntN(4) == 0 {
				steer(1, record.RunRestartedKind, command{Do: "restart", What: r.ID, With: "undo"})
			}
		}
	}
	return acts
}

// answer is what somebody says, of several who have to agree, one of them.
func (w *world) answer(q engine.Question) command {
	c := command{Do: "answer", What: q.ID, With: w.choice(q), N: "dave"}
	if q.Quorum > 0 && w.rng.IntN(2) == 0 {
		c.N = "ana"
	}
	return c
}

func (w *world) choice(q engine.Question) string {
	if len(q.Choices) == 0 {
		return "as you like"
	}
	return q.Choices[w.rng.IntN(len(q.Choices))].Name
}

// verdict is what a person says of a step in doubt, who looked at the peer: what
// is there happened. With effects that nothing else is built on they are careless
// at times: it is done again though it happened, or left out.
func (w *world) verdict(d doubt) command {
	c := command{Do: "resolve", What: d.Run, Step: d.Step, With: engine.OutcomeAgain}
	careless := d.Path == "/once" && w.rng.IntN(6) == 0
	switch happened := w.peer.count(d.Key) > 0; {
	case happened && !careless:
		c.With = engine.OutcomeHappened
	case !happened && careless:
		c.With = engine.OutcomeSkip
	}
	return c
}
