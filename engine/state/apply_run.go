package state

import (
	"encoding/hex"
	"strings"

	"larkspur/engine"
	"larkspur/engine/record"
)

// Purposes of runs.
const (
	PurposePlaybook = "playbook"
	PurposeJob      = "job"
	PurposeUndo     = "undo"
	PurposeOutbox   = "outbox"
	PurposeAttach   = "attach"
	PurposeLimit    = "limit"
	PurposeButton   = "button"
	PurposeBreach   = "breach"
)

// Handlers of the shipped library that the engine itself starts.
var (
	quarantineHandler = engine.Handler{File: "@larkspur//outbox.star", Name: "quarantined"}
	questionHandler   = engine.Handler{File: "@larkspur//outbox.star", Name: "question"}
	codeHandler       = engine.Handler{File: "@larkspur//outbox.star", Name: "code"}
	limitHandler      = engine.Handler{File: "@larkspur//limit.star", Name: "ask_first"}
	undoHandler       = engine.Handler{File: "@larkspur//undo.star", Name: "take_back"}
	undoAllHandler    = engine.Handler{File: "@larkspur//undo.star", Name: "take_all_back"}
)

// tellsOfQuarantine tells the runs of people's own scripts: those who mind the box
// are mailed when one is quarantined.
func tellsOfQuarantine(r engine.Run) bool { return respondsTo(r.Purpose) || r.Purpose == PurposeJob }

// respondsTo tells the purposes of runs that work on an incident itself: closing it
// ends what they wait for.
func respondsTo(purpose string) bool {
	return purpose == PurposePlaybook || purpose == PurposeAttach || purpose == PurposeButton || purpose == PurposeBreach
}

// maxDeaths: so many workers may die on a run before it is quarantined.
const maxDeaths = 3

func (t *tx) startRun(r engine.Run) {
	t.took(r.ID)
	version, _ := t.Get(key(classEngine, t.shard))
	r.Status, r.Generation, r.Started, r.Engine = engine.RunRunning, 1, t.now, string(version)
	t.putRun(r, "")
	_, n, _ := engine.ParseID('r', r.ID)
	if _, i, ok := engine.ParseID('i', r.Incident); ok {
		t.mark(pairKey(classRunOf, t.shard, i, n))
	}
}

func applyEpoch(t *tx, p record.EpochOpened, _ record.Outcome) {
	t.Set(key(classEngine, t.shard), []byte(p.Engine))
}

// live returns the run if it may write records of this generation.
func (t *tx) live(run string, generation int) (engine.Run, string) {
	r, ok := t.run(run)
	switch {
	case !ok:
		return r, "there is no run " + run
	case r.Status != engine.RunRunning:
		return r, "the run is " + r.Status
	case r.Generation != generation:
		return r, "the run was restarted"
	}
	return r, ""
}

func decideStarted(t *tx, p record.StepStarted) record.Outcome {
	r, why := t.live(p.Run, p.Generation)
	if why != "" {
		return refuse(why)
	}
	e, ok := t.place(r, p.Path, p.Number)
	by := t.heldBy(r, p, e.stepEntry)
	switch {
	case ok && e.Done == 0 && !e.mayStart() && p.Effect && by == "":
		return refuse(LetGo)
	case ok && (e.Done != 0 || !e.mayStart()) && by == "":
		return refuse("the step was started before")
	case by != "":
		o := record.Outcome{Applied: true, Run: p.Run, Action: by}
		if by == engine.HeldByLimit && t.pace(r.Rule).Asked == "" {
			o.Runs = t.ids('r', 1)
		}
		return o
	}
	o := record.Outcome{Applied: true, Run: p.Run}
	if t.isThere(r, p) {
		o.Action, o.Woken = atOnce, []string{p.Run}
		return o
	}
	if p.Expect != nil {
		if o.Action = t.isExpected(p); o.Action != "" {
			o.Woken = []string{p.Run}
			return o
		}
	}
	if waits(p) && t.closedOutside(r) {
		o.Action, o.Woken = endedByClose, []string{p.Run}
		return o
	}
	if p.Question != nil {
		o.Question, o.Counts = t.nextID('q'), p.Question.SLA > 0
		o.Runs = t.ids('r', len(reachable(p.Question)))
	}
	timers := t.ids('t', 2)
	if !p.Until.IsZero() || p.Question != nil && !p.Question.Due.IsZero() {
		o.Timer, timers = timers[0], timers[1:]
	}
	if !remindsFirst(p.Question, t.now).IsZero() {
		o.Reminder = timers[0]
	}
	return o
}

// endedByClose is what becomes of a step that would wait, when somebody else closed
// the run's incident: it ends with its start.
const endedByClose = "closed"

// waits tells the steps that end from outside.
func waits(p record.StepStarted) bool {
	return p.Question != nil || !p.Until.IsZero() || p.Await != "" || p.Lock != nil || p.Expect != nil
}

// closedOutside reports whether somebody else than the run closed its incident.
func (t *tx) closedOutside(r engine.Run) bool {
	if !respondsTo(r.Purpose) || r.Incident == "" {
		return false
	}
	i, _ := t.incident(r.Incident)
	return i.Status == engine.IncidentClosed && i.ClosedBy != "run "+r.ID
}

// reachable returns the addressees whom the outbox can write to.
func reachable(q *record.Question) []engine.Addressee {
	var list []engine.Addressee
	if q.Unmailed {
		return nil
	}
	for _, a := range q.To {
		if a.Email != "" {
			list = append(list, a)
		}
	}
	return list
}

func applyStarted(t *tx, p record.StepStarted, o record.Outcome) {
	r, _ := t.run(p.Run)
	if via := endedWithIts(o.Action); via != viaNothing {
		e := stepEntry{Started: t.rec + 1, Done: t.rec + 1, Via: via}
		if via == viaEvent {
			came, _ := t.expectation(p.Run, p.Expect.Step)
			e.Note = came.Record
		}
		t.putStep(p.Run, p.Generation, p.Path, p.Number, e)
		if p.Lock != nil && via == viaCame {
			t.wantLock(&r, p, true)
			t.putRun(r, r.Status)
		}
		return
	}
	if o.Action != "" {
		t.hold(r, p, o.Action)
		if len(o.Runs) > 0 {
			t.askFirst(r, p, o.Runs[0])
		}
		return
	}
	if p.Effect {
		t.notePace(r)
	}
	before, _ := t.place(r, p.Path, p.Number)
	t.putStep(p.Run, p.Generation, p.Path, p.Number, stepEntry{Started: t.rec + 1, Note: before.Note})
	step := engine.StepID(p.Path, p.Number)
	if before.held() != "" { // the brake was let go
		r.Held = without(r.Held, step)
		t.putRun(r, r.Status)
	}
	if p.Await != "" {
		t.Set(awaitKey(t.shard, r, step), []byte(p.Await))
	}
	if !p.Until.IsZero() {
		t.setTimer(engine.Timer{ID: o.Timer, Due: p.Until, For: timerFor(p), Target: p.Run, Step: step})
	}
	if p.Lock != nil {
		t.wantLock(&r, p, false)
	}
	if p.Expect != nil {
		t.waitFor(p)
	}
	if waits(p) && p.Question == nil {
		r.Sleeps = with(r.Sleeps, step)
		t.putRun(r, r.Status)
	}
	if p.Question != nil {
		t.openQuestion(r, step, p.Question, o)
	}
	if (o.Timer != "" || p.Question != nil || p.Await != "" || p.Expect != nil) && p.Lock == nil { // of a lock its queue tells
		t.tell(r.Incident) // others are told by their results
	}
}

func (t *tx) openQuestion(r engine.Run, step string, p *record.Question, o record.Outcome) {
	t.took(o.Question)
	q := engine.Question{
		ID: o.Question, Status: engine.QuestionOpen, Run: r.ID, Incident: r.Incident, Step: step,
		To: p.To, Text: p.Text, Choices: p.Choices, Fields: p.Fields, Details: p.Details, Default: p.Default,
		HasDefault: p.HasDefault, Why: p.Why, Proof: p.Proof, Quorum: p.Quorum, Remind: p.Remind, Revision: r.Generation, Asked: t.now, Due: p.Due, Erased: t.erased,
	}
	t.putQuestion(q, "")
	_, n, _ := engine.ParseID('q', q.ID)
	if _, i, ok := engine.ParseID('i', r.Incident); ok {
		t.mark(pairKey(classQuestionOf, t.shard, i, n))
	}
	if !q.Due.IsZero() {
		t.setTimer(engine.Timer{ID: o.Timer, Due: q.Due, For: "question", Target: q.ID})
	}
	t.limitOf(q, r, p)
	if o.Reminder != "" {
		t.setTimer(engine.Timer{ID: o.Reminder, Due: t.now.Add(q.Remind), For: remindTimer, Target: q.ID, Step: remindTimer})
	}
	t.mailQuestion(r, q, reachable(p), o.Runs, questionHandler)
}

// questionValue is what the outbox playbook gets of a question.
func questionValue(q engine.Question) engine.Value {
	choices := make([]engine.Value, len(q.Choices))
	for i, c := range q.Choices {
		choices[i] = map[string]engine.Value{"name": c.Name, "consequence": c.Consequence}
	}
	details := make([]engine.Value, len(q.Details))
	for i, d := range q.Details {
		details[i] = d
	}
	v := map[string]engine.Value{
		"id": q.ID, "question": q.Text, "choices": choices, "details": details, "revision": int64(q.Revision),
		"due": nil, "default": nil,
	}
	if !q.Due.IsZero() {
		v["due"] = q.Due
	}
	if q.HasDefault {
		v["default"] = q.Default
	}
	return v
}

func decideDone(t *tx, p record.StepDone) record.Outcome {
	r, why := t.live(p.Run, p.Generation)
	if why != "" {
		return t.decideLate(r, p, why)
	}
	if e, _ := t.place(r, p.Path, p.Number); e.ended() {
		return refuse("the step has a result already")
	}
	o := record.Outcome{Applied: true, Run: p.Run}
	if p.Button != nil {
		o.Button = t.nextID('b')
	}
	if p.Change != nil {
		o.Change = t.nextID('c')
		if !p.Change.Expires.IsZero() {
			o.Timer = t.nextID('t')
		}
	}
	starts := len(p.Starts)
	if p.Undo != "" {
		if _, why := t.undoable(p.Undo); why == "" {
			starts++
		}
	}
	o.Runs = t.ids('r', starts)
	if p.Settled != nil {
		t.mayReopen(&o, t.incidentOfChange(p.Settled.Change))
	}
	if a := p.Incident; a != nil {
		o.Picked = t.pick(*a)
		t.comesTrue(&o, a.Incident, broughtBy(*a, false)...)
		if a.Act == record.ActClose {
			t.endsByClose(&o, a.Incident, r.ID)
		}
		if a.Act == record.ActReopen {
			t.beginsAnew(&o, a.Incident, false)
		}
	}
	return o
}

func applyDone(t *tx, p record.StepDone, o record.Outcome) {
	r, _ := t.run(p.Run)
	e, _ := placeOf(t, r, p.Generation, p.Path, p.Number)
	e.Done, e.Via = t.rec+1, viaDone
	if p.Error != nil {
		e.Via = viaFailed
		t.tally(t.aspectOfRun(r), func(c *engine.Tally) { c.StepsFailed++ })
	}
	t.keep(p.Run, e)
	if o.Action == late {
		t.applyLate(r, p, o)
		return
	}
	runs := o.Runs
	for _, s := range p.Starts {
		started := engine.Run{
			ID: runs[0], Incident: r.Incident, Handler: s.Handler, Args: s.Args, Bundle: r.Bundle, Commit: r.Commit,
			Purpose: s.Purpose, Parent: r.ID, Rule: r.Rule, Mode: r.Mode, Erased: t.erased,
		}
		if s.Purpose == r.Purpose {
			t.succeed(&started, r)
		}
		t.startRun(started)
		runs = runs[1:]
	}
	if p.Button != nil {
		t.openButton(r, engine.StepID(p.Path, p.Number), p.Button, o)
	}
	if p.Change != nil {
		t.openChange(r, engine.StepID(p.Path, p.Number), p.Change, o)
	}
	if p.Undo != "" && len(runs) > 0 {
		t.startUndo(p.Undo, runs[0], "run "+r.ID, "", "")
	}
	if p.Settled != nil {
		t.settleOne(r, *p.Settled)
	}
	if p.Link != nil {
		t.keepLink(p.Link.Token, link{Question: p.Link.Question, Person: p.Link.Person, Revision: p.Link.Revision})
	}
	if p.Mail != nil {
		t.noteMail(r, *p.Mail)
	}
	if p.Incident != nil {
		t.actOn(*p.Incident, o, r.ID)
		if p.Incident.Incident != r.Incident {
			t.tell(p.Incident.Incident)
		}
	}
	if worthTelling(r, e.stepEntry, p) {
		t.tell(r.Incident)
	}
}

// succeed makes a run the one that goes on in another's place.
func (t *tx) succeed(next *engine.Run, r engine.Run) {
	next.Event = r.Event
	k := hashKey(classJob, t.shard, r.Rule)
	if last, ok := get[firing](t, k); ok && last.Run == r.ID {
		last.Run = next.ID
		t.put(k, last)
	}
}

// worthTelling keeps an incident's story short: what was changed, decided or
// went wrong. Reads and deliveries are on the run's page.
func worthTelling(r engine.Run, e stepEntry, p record.StepDone) bool {
	if p.Mail != nil {
		return p.Mail.Tries == 1
	}
	effect := e.Started != 0 && respondsTo(r.Purpose)
	failed := p.Error != nil && r.Purpose != PurposeOutbox // its end says so
	return effect || failed || p.Settled != nil || p.Change != nil || p.Button != nil || p.Incident != nil || p.Builtin == openBuiltin
}

// link is what a token's hash leads to.
type link struct {
	Question string `json:"question"`
	Person   string `json:"person"`
	Revision int    `json:"revision"`
	Button   string `json:"button,omitempty"` // then nothing else
}

func (t *tx) keepLink(token string, to link) {
	sum, err := hex.DecodeString(token)
	if err != nil {
		return
	}
	t.put(append(key(classToken, t.shard), sum...), to)
}

func (t *tx) openChange(r engine.Run, step string, p *record.Change, o record.Outcome) {
	t.took(o.Change)
	c := engine.Change{
		ID: o.Change, Status: engine.ChangeInForce, Title: p.Title, Why: p.Why, Run: r.ID, Incident: r.Incident,
		Rule: r.Rule, Step: step, Bundle: r.Bundle, Made: t.now, Expires: p.Expires, Inverse: p.Inverse,
		InverseArgs: p.InverseArgs, Undo: p.Undo, Args: p.Args, Done: p.Done, Erased: t.erased,
	}
	if r.Generation > 1 {
		c.Generation = r.Generation
	}
	t.putChange(c, "")
	t.tally(t.aspectOfRun(r), func(x *engine.Tally) { x.Changes++ })
	_, n, _ := engine.ParseID('c', c.ID)
	if _, i, ok := engine.ParseID('i', r.Incident); ok {
		t.mark(pairKey(classChangeOf, t.shard, i, n))
	} else {
		_, i, _ := engine.ParseID('r', r.ID)
		t.mark(pairKey(classMade, t.shard, i, n))
	}
	if !c.Expires.IsZero() {
		t.setTimer(engine.Timer{ID: o.Timer, Due: c.Expires, For: "change", Target: c.ID})
	}
}

func decideParked(t *tx, p record.RunParked) record.Outcome {
	r, why := t.live(p.Run, p.Generation)
	if why != "" {
		return refuse(why)
	}
	for _, id := range append(p.Steps, engine.StepID(p.Path, p.Number)) {
		path, n, _ := engine.ParseStepID(id)
		e, _ := t.place(r, path, n)
		if e.Done != 0 || e.Via == viaReleased || e.held() != "" && !t.stillHeld(r, e.stepEntry) {
			return refuse("what it waits for has come")
		}
	}
	return record.Outcome{Applied: true, Run: p.Run}
}

func applyParked(t *tx, p record.RunParked, _ record.Outcome) {
	r, _ := t.run(p.Run)
	if r.Status, r.Waits = engine.RunWaiting, p.Waits; r.Held != "" {
		r.Status = engine.RunHeld
	}
	t.putRun(r, engine.RunRunning)
}

func decideEnded(t *tx, p record.RunEnded) record.Outcome {
	r, why := t.live(p.Run, p.Generation)
	if why != "" {
		return refuse(why)
	}
	o := record.Outcome{Applied: true, Run: p.Run, Woken: t.after(p.Run, p.Status)}
	if p.Status != engine.RunInDoubt && (p.Status != engine.RunDone || r.Sleeps != "" || r.Held != "") { // one that is done has no branches left
		stopsWaiting(t, r, &o)
	}
	if p.Status != engine.RunInDoubt {
		t.givesUp(&o, r, 0)
	}
	switch {
	case r.Purpose == PurposeUndo:
		t.decideTakenBack(r, p.Status, &o)
		t.mayReopen(&o, r.Incident)
	case p.Status == engine.RunFailed && r.OnFailure == onFailureUndo:
		if o.Changes = changesSince(t, r, 0); len(o.Changes) > 0 {
			o.Runs = t.ids('r', 1)
		}
	}
	return o
}

func applyEnded(t *tx, p record.RunEnded, o record.Outcome) {
	r, _ := t.run(p.Run)
	if r = t.stopWaiting(r, o); p.Status != engine.RunInDoubt {
		r = t.stopExpecting(t.giveUp(r, 0))
	}
	t.endRun(r, p.Status, p.Error, o)
	if len(o.Changes) > 0 && r.Purpose != PurposeUndo {
		t.undoFailed(p.Run, o)
	}
}

func (t *tx) endRun(r engine.Run, status string, failure *engine.Error, o record.Outcome) {
	before := r.Status
	r.Status, r.Error = status, failure
	if status != engine.RunInDoubt {
		r.Ended = t.now
	}
	t.putRun(r, before)
	t.dropMail(r)
	t.tallyRun(r)
	t.follow(r)
	if (!respondsTo(r.Purpose) || status != engine.RunDone) && !t.hasTaken(r) {
		t.tell(r.Incident)
	}
	if r.Purpose == PurposeUndo {
		t.settleChanges(r)
		t.goOn(r, o)
	}
}

func decideDied(t *tx, p record.WorkerDied) record.Outcome {
	r, why := t.live(p.Run, p.Generation)
	if why != "" {
		return refuse(why)
	}
	o := record.Outcome{Applied: true, Run: p.Run}
	if r.Deaths+1 >= maxDeaths {
		o.Action, o.Woken = engine.RunQuarantined, t.after(p.Run, engine.RunQuarantined)
		stopsWaiting(t, r, &o)
		t.givesUp(&o, r, 0)
		if tellsOfQuarantine(r) {
			o.Runs = t.ids('r', 1)
		}
	}
	return o
}

func applyDied(t *tx, p record.WorkerDied, o record.Outcome) {
	r, _ := t.run(p.Run)
	r.Deaths++
	if o.Action != engine.RunQuarantined {
		t.putRun(r, r.Status)
		return
	}
	t.endRun(t.stopExpecting(t.giveUp(t.stopWaiting(r, o), 0)), engine.RunQuarantined, &engine.Error{
		Kind: engine.Script, Cause: p.Cause, At: p.At, Message: "the run ended three workers and is stopped: " + p.Why,
		Hint: "look for a value that grows without bound at the place shown; save the script, then restart the run",
	}, o)
	for _, id := range o.Runs {
		t.startRun(engine.Run{
			ID: id, Incident: r.Incident, Rule: r.Rule, Handler: quarantineHandler, Bundle: r.Bundle, Commit: r.Commit,
			Purpose: PurposeOutbox, Parent: r.ID, Mode: r.Mode, Erased: t.erased,
			Args: engine.MustEncode(map[string]engine.Value{"run": r.ID, "rule": r.Rule, "why": p.Why, "at": p.At}),
		})
	}
}

func decideAnswer(t *tx, p record.QuestionAnswered) record.Outcome {
	q, ok := t.question(p.Question)
	if !ok {
		return refuse("there is no question " + p.Question)
	}
	if q.Status != engine.QuestionOpen {
		return refuse(NotOpen(q)) // an outcome names nobody: it is never erased
	}
	if why := t.unproven(q, p); why != "" {
		return refuse(why)
	}
	if q.Quorum > 0 {
		return t.decideVote(q, p)
	}
	o := record.Outcome{Applied: true, Question: q.ID, Woken: []string{q.Run}}
	t.comesTrue(&o, q.Incident, AwaitTouched, AwaitAnswered)
	t.responds(&o, q.Incident, true)
	return o
}

// NotOpen says what became of a question, without naming anybody.
func NotOpen(q engine.Question) string {
	switch q.Status {
	case engine.QuestionAnswered:
		return alreadyAnswered
	case engine.QuestionTimedOut:
		return "its time is over"
	}
	return "it is " + strings.ReplaceAll(q.Status, "_", " ")
}

const (
	alreadyAnswered = "it was answered already"
	alreadyClosed   = "it is closed already"
)

// Late says to a person why an act on a question or incident had no effect: why is the outcome's, which
// names nobody; here it is told who was first, as long as that is known.
func (s *State) Late(why, id string) string {
	switch why {
	case alreadyAnswered:
		q, err := s.Question(id)
		if err != nil || q.Answer == nil || q.Erased != nil {
			return why
		}
		if q.Answer.Choice == "" {
			return "it was answered by " + q.Answer.By
		}
		return "it was answered by " + q.Answer.By + ": " + q.Answer.Choice
	case alreadyClosed:
		if i, err := s.Incident(id); err == nil && i.ClosedBy != "" {
			return why + ", by " + i.ClosedBy
		}
	}
	return why
}

func applyAnswer(t *tx, p record.QuestionAnswered, o record.Outcome) {
	q, _ := t.question(p.Question)
	if q.Quorum > 0 {
		t.applyVote(q, p, o)
		return
	}
	a := answerOf(p, t.now)
	q.Status, q.Answer = engine.QuestionAnswered, &a
	if t.erased != nil {
		q.Erased = t.erased
	}
	t.keepFiles(q, p)
	t.endQuestion(q, viaAnswer)
	t.responded(q.Incident, o)
	t.cameTrue(o.Waited)
}

// keepFiles puts what was handed in with an answer on the question's incident.
func (t *tx) keepFiles(q engine.Question, p record.QuestionAnswered) {
	i, ok := t.incident(q.Incident)
	if !ok {
		return
	}
	for _, f := range p.Files {
		t.attach(i, record.IncidentAct{Attachment: &f, By: p.By})
	}
}

func (t *tx) endQuestion(q engine.Question, via byte) {
	t.putQuestion(q, engine.QuestionOpen)
	t.clearTimer(q.ID, "")
	t.endLimitOf(q)
	t.clearTimer(q.ID, remindTimer)
	t.endStep(q.Run, q.Step, via)
	t.tell(q.Incident)
}

func decideTimer(t *tx, p record.TimerFired) record.Outcome {
	k, _ := idKey(classTimer, 't', p.Timer)
	tm, ok := get[engine.Timer](t, k)
	switch {
	case !ok:
		return refuse("the timer is gone")
	case tm.For == DeadlineTimer:
		return refuse("it is a deadline's")
	case t.clockHold().On:
		return refuse(ClockIsHeld)
	}
	o := record.Outcome{Applied: true, Timer: tm.ID}
	switch tm.For {
	case "question":
		q, _ := t.question(tm.Target)
		o.Question, o.Woken = q.ID, []string{q.Run}
	case "sleep", waitTimer:
		o.Woken = []string{tm.Target}
	case remindTimer:
		t.decideRemind(tm, &o)
	case keptTimer:
		return o // its time is over
	case "change":
		o.Change = tm.Target
		if _, why := t.undoable(tm.Target); why == "" {
			o.Run = t.nextID('r')
		}
	}
	return o
}

func applyTimer(t *tx, p record.TimerFired, o record.Outcome) {
	k, _ := idKey(classTimer, 't', p.Timer)
	tm, _ := get[engine.Timer](t, k)
	t.dropTimer(tm.ID)
	switch tm.For {
	case "question":
		q, _ := t.question(tm.Target)
		q.Status, q.Answer = engine.QuestionTimedOut, lateAnswer(q, t.now)
		t.endQuestion(q, viaTimer)
	case remindTimer:
		t.applyRemind(tm, o)
	case "sleep", waitTimer:
		t.endStep(tm.Target, tm.Step, viaTimer)
	case keptTimer:
		t.Delete(hashKey(classKept, t.shard, tm.Target))
	case "change":
		if o.Run != "" {
			t.startUndo(tm.Target, o.Run, "its time is over", "", "")
		}
	}
}

func decideUndo(t *tx, p record.UndoRequested) record.Outcome {
	if _, why := t.undoable(p.Change); why != "" {
		return refuse(why)
	}
	return record.Outcome{Applied: true, Change: p.Change, Run: t.nextID('r')}
}

func applyUndo(t *tx, p record.UndoRequested, o record.Outcome) {
	t.startUndo(p.Change, o.Run, p.By, p.Bundle, p.Commit)
}

// undoable says why a change cannot be taken back now; "" when it can.
func (t *tx) undoable(id string) (engine.Change, string) {
	c, ok := t.change(id)
	switch {
	case !ok:
		return c, "there is no change " + id
	case c.Status == engine.ChangeUndone:
		return c, "it was taken back already"
	case c.Erased != nil:
		return c, "how to take it back was " + c.Erased.String()
	case c.Status == engine.ChangeInForce && c.UndoRun != "":
		return c, "it is being taken back"
	}
	return c, ""
}

// startUndo takes a change back by the bundle that made it, unless another is
// named.
func (t *tx) startUndo(change, run, by, bundle, commit string) {
	c, _ := t.change(change)
	r, _ := t.run(c.Run)
	if bundle == "" {
		bundle, commit = c.Bundle, commitOf(r, c.Bundle)
	}
	before := c.Status
	c.Status, c.UndoRun, c.UndoneBy, c.Error = engine.ChangeInForce, run, by, ""
	t.putChange(c, before)
	t.clearTimer(c.ID, "")
	t.startRun(engine.Run{
		ID: run, Incident: c.Incident, Handler: undoHandler, Bundle: bundle, Commit: commit, Rule: c.Rule,
		Purpose: PurposeUndo, Change: c.ID, Parent: c.Run, Mode: r.Mode, Erased: c.Erased,
		Args: engine.MustEncode(map[string]engine.Value{"change": changeValue(c)}),
	})
	t.tell(c.Incident)
}

// changeValue is what the undo playbook gets of a change.
func changeValue(c engine.Change) engine.Value {
	v := map[string]engine.Value{
		"id": c.ID, "title": c.Title, "builtin": nil, "args": nil, "handler": nil, "handler_args": nil, "done": nil,
	}
	if c.Inverse != "" {
		v["builtin"], v["args"] = c.Inverse, decoded(c.InverseArgs)
	}
	if c.Undo != nil {
		v["handler"] = engine.Struct{Fields: map[string]engine.Value{"file": c.Undo.File, "name": c.Undo.Name}}
		v["handler_args"], v["done"] = decoded(c.Args), decoded(c.Done)
	}
	return v
}

// decoded decodes what we encoded.
func decoded(d engine.Data) engine.Value {
	v, err := d.Value()
	if err != nil {
		panic(corrupt{nil, err})
	}
	return v
}
