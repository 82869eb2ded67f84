package state

import (
	"slices"
	"strconv"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// A restart leaves what began at a step or later: its questions are withdrawn,
// its changes taken back, the newest first, by runs of the shipped undo playbook;
// then the journal is cut there and the run goes on in a new generation. Without
// a step all is left, and the run is undone.

// onFailureUndo is what a rule says that wants the changes of a failed run taken
// back.
const onFailureUndo = "undo"

const alreadyRestarted = "it was restarted already"

func decideRestarted(t *tx, p record.RunRestarted) record.Outcome {
	r, ok := t.run(p.Run)
	switch {
	case !ok:
		return refuse("there is no run " + p.Run)
	case r.Generation != p.Generation || r.Restart != nil:
		return refuse(alreadyRestarted)
	case r.Purpose == PurposeUndo:
		return refuse("it takes changes back: ask for the undo again instead")
	case r.Erased != nil:
		return refuse("what it was given was " + r.Erased.String())
	case r.Status == engine.RunUndone && p.Number == 0:
		return refuse("it was undone already")
	}
	o := record.Outcome{Applied: true, Run: p.Run}
	if p.Number > 0 {
		at, found := t.place(r, p.Path, p.Number)
		if !found {
			return refuse("the run has no step " + engine.StepID(p.Path, p.Number))
		}
		o.Until = cutAt(t, r, at.began())
		if by := takenBackBy(t, r, o.Until); by != "" {
			return refuse(beingTakenBack(by))
		}
	}
	if p.Number == 0 {
		o.Questions, o.Steps = waitingOf(t, r)
	} else {
		for _, q := range questionsSince(t, r, o.Until) {
			o.Questions = append(o.Questions, q.ID)
		}
	}
	t.givesUp(&o, r, o.Until)
	if o.Changes = changesSince(t, r, o.Until); len(o.Changes) > 0 {
		o.Runs = t.ids('r', 1)
	} else {
		o.Woken = append(o.Woken, t.wokenBy(p.Run, p.Number == 0)...)
	}
	return o
}

// wokenBy lists the runs that go on when a restart is over: the run itself, or,
// when it was undone as a whole, the one that waited for its end.
func (t *tx) wokenBy(run string, whole bool) []string {
	if whole {
		return t.after(run, engine.RunUndone)
	}
	return []string{run}
}

func applyRestarted(t *tx, p record.RunRestarted, o record.Outcome) {
	r, _ := t.run(p.Run)
	rs := engine.Restart{
		Until: o.Until, Bundle: p.Bundle, Commit: p.Commit, Answered: p.Answered, Record: t.rec, By: p.By, At: t.now, Why: p.Why,
		Was: r.Status, Error: r.Error,
	}
	if p.Number > 0 {
		rs.Step = engine.StepID(p.Path, p.Number)
	}
	r = t.stopExpecting(t.giveUp(t.stopWaiting(r, o), o.Until))
	for _, s := range chainOf(t, r, r.Generation) {
		if s.began() >= o.Until && !s.ended() {
			t.clearTimer(r.ID, s.id())
			t.stopAwaiting(r, s.id())
			r.Sleeps, r.Held = without(r.Sleeps, s.id()), without(r.Held, s.id())
		}
	}
	t.dropSections(r, o.Until)
	t.takeBack(r, rs, o)
	t.tell(r.Incident)
}

// undoFailed takes back what a run changed that failed, as its rule wants.
func (t *tx) undoFailed(run string, o record.Outcome) {
	r, _ := t.run(run)
	t.takeBack(r, engine.Restart{
		Bundle: r.Bundle, Commit: r.Commit, Record: t.rec, By: "rule " + r.Rule, At: t.now, Why: "the run failed", Was: r.Status, Error: r.Error,
	}, o)
}

// takeBack begins a restart: the run waits until its changes are taken back.
func (t *tx) takeBack(r engine.Run, rs engine.Restart, o record.Outcome) {
	before := r.Status
	if len(o.Changes) == 0 {
		t.cut(r, rs, before)
		return
	}
	now, left := together(t, o.Changes)
	rs.UndoRun, rs.Left = o.Runs[0], left
	r.Restart, r.Status, r.Ended, r.Waits = &rs, engine.RunWaiting, time.Time{}, "what it changed to be taken back by run "+rs.UndoRun
	t.putRun(r, before)
	t.startUndoOf(r, rs, now)
	for _, id := range left {
		t.claim(id, rs.UndoRun, rs.By) // so that nothing else takes it back meanwhile
	}
}

// together splits changes into those that one run can take back, and the rest:
// functions come from one bundle; builtins from any.
func together(t *tx, changes []string) (now, left []string) {
	bundle := ""
	for n, id := range changes {
		c, _ := t.change(id)
		if c.Undo != nil {
			if bundle != "" && c.Bundle != bundle {
				return changes[:n], changes[n:]
			}
			bundle = c.Bundle
		}
	}
	return changes, nil
}

// startUndoOf begins the run that takes changes back, the newest first.
func (t *tx) startUndoOf(r engine.Run, rs engine.Restart, changes []string) {
	bundle := r.Bundle
	values := make([]engine.Value, len(changes))
	for n, id := range changes {
		c := t.claim(id, rs.UndoRun, rs.By)
		values[n] = changeValue(c)
		if c.Undo != nil {
			bundle = c.Bundle
		}
	}
	t.startRun(engine.Run{
		ID: rs.UndoRun, Incident: r.Incident, Handler: undoAllHandler, Bundle: bundle, Commit: commitOf(r, bundle), Rule: r.Rule,
		Purpose: PurposeUndo, Changes: changes, Parent: r.ID, Mode: r.Mode,
		Args: engine.MustEncode(map[string]engine.Value{"changes": values}),
	})
}

// claim says of a change that a run takes it back.
func (t *tx) claim(change, run, by string) engine.Change {
	c, _ := t.change(change)
	before := c.Status
	c.Status, c.UndoRun, c.UndoneBy, c.Error = engine.ChangeInForce, run, by, ""
	t.putChange(c, before)
	t.clearTimer(c.ID, "")
	return c
}

// commitOf is the commit of a bundle that the run had.
func commitOf(r engine.Run, bundle string) string {
	for _, b := range r.Branches {
		if b.Bundle == bundle {
			return b.Commit
		}
	}
	return r.Commit
}

// cut leaves the branch, or ends a run that is undone as a whole.
func (t *tx) cut(r engine.Run, rs engine.Restart, before string) {
	r.Restart, r.Waits, r.Deaths, r.Skipped = nil, "", 0, ""
	if rs.Step == "" {
		r.Status, r.Error, r.Ended, r.Sleeps, r.Held, r.Doubts = engine.RunUndone, rs.Error, t.now, "", "", 0
		t.putRun(r, before)
		t.follow(r)
		return
	}
	r.Branches = append(slices.Clone(r.Branches), engine.Branch{
		Generation: r.Generation, Bundle: r.Bundle, Commit: r.Commit, Status: rs.Was, Error: rs.Error, Until: rs.Until,
		Step: rs.Step, By: rs.By, At: rs.At, Why: rs.Why,
	})
	if rs.Answered {
		path, n, _ := engine.ParseStepID(rs.Step)
		at, _ := t.place(r, path, n)
		t.putStep(r.ID, r.Generation+1, path, n, stepEntry{Started: at.began(), Done: rs.Record + 1, Via: viaGiven})
	}
	r.Generation++
	r.Bundle, r.Commit, r.Error, r.Ended = rs.Bundle, rs.Commit, nil, time.Time{}
	t.retake(&r, rs.Until)
	t.expectAnew(&r, rs.Until)
	r.Status, r.Doubts = engine.RunRunning, t.doubtsOf(r)
	if r.Doubts > 0 {
		r.Status, r.Error = engine.RunInDoubt, doubts(r.Doubts, nil)
	}
	version, _ := t.Get(key(classEngine, t.shard))
	r.Engine = string(version)
	t.putRun(r, before)
}

func (t *tx) doubtsOf(r engine.Run) (n int) {
	for _, s := range chainOf(t, r, r.Generation) {
		if s.Via == viaDoubt {
			n++
		}
	}
	return n
}

// decideTakenBack says how it goes on when an undo run is done: with the next,
// or with the run that was restarted.
func (t *tx) decideTakenBack(r engine.Run, status string, o *record.Outcome) {
	parent, ok := t.run(r.Parent)
	switch {
	case !ok || parent.Restart == nil || parent.Restart.UndoRun != r.ID:
	case status != engine.RunDone:
		o.Woken = append(o.Woken, t.after(parent.ID, engine.RunFailed)...)
		t.givesUp(o, parent, 0)
	case len(parent.Restart.Left) > 0:
		o.Changes, o.Runs = parent.Restart.Left, t.ids('r', 1)
	default:
		o.Woken = append(o.Woken, t.wokenBy(parent.ID, parent.Restart.Step == "")...)
	}
}

// goOn goes on with a restart when an undo run has ended. One that did not do its
// work ends the restart: what it left stays as it is.
func (t *tx) goOn(r engine.Run, o record.Outcome) {
	parent, ok := t.run(r.Parent)
	if !ok || parent.Restart == nil || parent.Restart.UndoRun != r.ID || r.Status == engine.RunInDoubt {
		return
	}
	rs := *parent.Restart
	switch {
	case r.Status == engine.RunDone && len(o.Changes) > 0:
		now, left := together(t, o.Changes)
		rs.UndoRun, rs.Left = o.Runs[0], left
		parent.Restart, parent.Waits = &rs, "what it changed to be taken back by run "+rs.UndoRun
		t.putRun(parent, parent.Status)
		t.startUndoOf(parent, rs, now)
	case r.Status == engine.RunDone:
		t.cut(parent, rs, parent.Status)
	default:
		for _, id := range rs.Left {
			t.release(id, rs.UndoRun, "what was changed after it could not be taken back")
		}
		parent = t.stopExpecting(t.giveUp(parent, 0))
		before := parent.Status
		parent.Restart, parent.Status, parent.Waits, parent.Ended = nil, engine.RunFailed, "", t.now
		parent.Error = stoppedBy(rs, r)
		t.putRun(parent, before)
		t.follow(parent)
	}
}

// stoppedBy says that a restart stopped at a change that could not be taken back.
func stoppedBy(rs engine.Restart, r engine.Run) *engine.Error {
	what := "the restart from step " + rs.Step
	if rs.Step == "" {
		what = "taking it back"
	}
	e := &engine.Error{Kind: engine.Conflict, Message: what + " stopped: run " + r.ID + " is " + r.Status, Hint: "mend what stands in the way, then restart the run again"}
	if r.Error != nil {
		e.Message = what + " stopped: " + r.Error.Message
	}
	if rs.Step == "" && rs.Error != nil {
		e.Message = rs.Error.Message + "; " + e.Message
	}
	return e
}

// settleOne says of a change what a step of its undo came to. One that failed
// opens the incident again: somebody must look.
func (t *tx) settleOne(r engine.Run, s record.Settled) {
	c, ok := t.change(s.Change)
	if !ok || c.UndoRun != r.ID {
		return
	}
	if r.Skipped != "" && s.Error == "" {
		s.Error = "step " + r.Skipped + " of the undo was skipped"
	}
	if r.Skipped != "" {
		r.Skipped = ""
		t.putRun(r, r.Status)
	}
	before := c.Status
	if s.Error == "" {
		c.Status, c.Undone, c.Error = engine.ChangeUndone, t.now, ""
		t.putChange(c, before)
		t.tally(t.aspectOfRun(r), func(x *engine.Tally) { x.Undone++ })
		return
	}
	c.Status, c.Error = engine.ChangeUndoFailed, s.Error
	t.putChange(c, before)
	t.tally(t.aspectOfRun(r), func(x *engine.Tally) { x.UndoFailed++ })
	t.reopen(c.Incident, false)
}

// incidentOfChange is the incident on which a change was made; "" for none.
func (t *tx) incidentOfChange(id string) string {
	c, _ := t.change(id)
	return c.Incident
}

// release gives a change free that a run took and did not take back.
func (t *tx) release(change, run, why string) {
	if c, ok := t.change(change); ok && c.UndoRun == run && c.Status == engine.ChangeInForce {
		c.Status, c.Error = engine.ChangeUndoFailed, why
		t.putChange(c, engine.ChangeInForce)
	}
}

// settleChanges says of changes what their undo run came to, as far as its steps
// did not.
func (t *tx) settleChanges(r engine.Run) {
	why := ""
	if r.Status != engine.RunDone {
		if why = "the undo is " + r.Status; r.Error != nil {
			why = r.Error.Message
		}
	}
	for _, id := range undoes(r) {
		if c, ok := t.change(id); ok && c.Status == engine.ChangeInForce {
			t.settleOne(r, record.Settled{Change: id, Error: why})
		}
	}
}

// late is the action of a step's result that came when its run had been restarted.
const late = "late"

// decideLate takes the result of an effect that went on while its run was
// restarted or undone: what it changed is taken back at once, if its step is
// left.
func (t *tx) decideLate(r engine.Run, p record.StepDone, why string) record.Outcome {
	restarted := r.Restart != nil || r.Generation > p.Generation || r.Status == engine.RunUndone
	e, found := placeOf(t, r, p.Generation, p.Path, p.Number)
	if !restarted || !found || e.Started == 0 || e.ended() {
		return refuse(why)
	}
	o := record.Outcome{Applied: true, Run: p.Run, Action: late}
	if p.Change == nil {
		return o
	}
	o.Change = t.nextID('c')
	if t.isLeft(r, e) {
		o.Runs = t.ids('r', 1)
	} else if !p.Change.Expires.IsZero() {
		o.Timer = t.nextID('t')
	}
	return o
}

// isLeft tells a step that a restart leaves or has left.
func (t *tx) isLeft(r engine.Run, e placed) bool {
	if r.Status == engine.RunUndone || r.Restart != nil && e.began() >= r.Restart.Until {
		return true
	}
	now, found := t.place(r, e.path, e.number)
	return !found || now.generation != e.generation
}

func (t *tx) applyLate(r engine.Run, p record.StepDone, o record.Outcome) {
	if o.Change == "" {
		return
	}
	change := *p.Change
	if len(o.Runs) > 0 {
		change.Expires = time.Time{}
	}
	r.Bundle, r.Generation = r.BundleOf(p.Generation), p.Generation
	t.openChange(r, engine.StepID(p.Path, p.Number), &change, o)
	if len(o.Runs) > 0 {
		t.startUndo(o.Change, o.Runs[0], "the restart of run "+r.ID, "", "")
	}
	t.tell(r.Incident)
}

// changesSince lists the changes of a run that are in force, or could not be taken
// back, and were made by steps that began at a place or later; the newest first.
// It reads projections alone: records of this very frame are not there yet.
func changesSince(r store.Reader, run engine.Run, since uint64) (ids []string) {
	eachMade(r, run, func(c engine.Change, at placed) {
		inForce := c.Status == engine.ChangeUndoFailed || c.Status == engine.ChangeInForce && c.UndoRun == ""
		if inForce && c.Erased == nil && at.began() >= since {
			ids = append(ids, c.ID)
		}
	})
	slices.Reverse(ids)
	return ids
}

// takenBackBy is a run that takes back, at this moment, a change that was made at a
// place or later; "" for none. What is made anew meanwhile, it might take back in
// place of the old.
func takenBackBy(r store.Reader, run engine.Run, since uint64) (by string) {
	eachMade(r, run, func(c engine.Change, at placed) {
		if c.Status == engine.ChangeUndone || c.UndoRun == "" || at.began() < since {
			return
		}
		if undo, ok := get[engine.Run](r, mustKey(classRun, 'r', c.UndoRun)); ok && !ended(undo.Status) { // it may ask whether to try again
			by = c.UndoRun
		}
	})
	return by
}

func beingTakenBack(by string) string {
	return "a change that it made is being taken back by run " + by + ": restart it when that has ended, or answer what that asks"
}

// eachMade calls fn with the changes of a run whose steps its present generation
// sees, the oldest first.
func eachMade(r store.Reader, run engine.Run, fn func(c engine.Change, at placed)) {
	each := func(n uint64) bool {
		c, ok := get[engine.Change](r, nounKey(classChange, shardOf(run), n))
		if !ok || c.Run != run.ID {
			return true
		}
		path, step, _ := engine.ParseStepID(c.Step)
		if at, found := placeOf(r, run, run.Generation, path, step); found && at.generation == max(c.Generation, 1) {
			fn(c, at)
		}
		return true
	}
	_, n, _ := engine.ParseID('r', run.ID)
	if _, i, ok := engine.ParseID('i', run.Incident); ok {
		eachPart(r, classChangeOf, shardOf(run), i, each)
	} else {
		eachPart(r, classMade, shardOf(run), n, each)
	}
}

// cutAt is where a restart cuts the journal that was asked for at a place: there,
// or, if that is behind the first step of the do of a change that is left, at this
// one. What do did is taken back with the change, or was already: it must be done
// again, or the change would be in force in name alone.
func cutAt(r store.Reader, run engine.Run, since uint64) uint64 {
	type span struct{ first, made uint64 }
	var spans []span
	eachMade(r, run, func(c engine.Change, at placed) {
		if from := doneFrom(r, run, c, at); from > 0 {
			if first, found := placeOf(r, run, run.Generation, at.path, from); found {
				spans = append(spans, span{first.began(), at.began()})
			}
		}
	})
	for again := true; again; { // cut earlier, it may leave others
		again = false
		for _, s := range spans {
			if s.made >= since && s.first < since {
				since, again = s.first, true
			}
		}
	}
	return since
}

// doneFrom is the number of the first step of the do of a change; 0 for one that a
// builtin made, in one step.
func doneFrom(r store.Reader, run engine.Run, c engine.Change, at placed) int {
	if c.Undo == nil || at.Via != viaDone {
		return 0
	}
	payload, err := stepPayload(r, shardOf(run), at.Done-1, &engine.Step{})
	if err != nil {
		panic(corrupt{stepKey(run.ID, at.generation, at.path, at.number), err})
	}
	p, err := unmarshalIf[record.StepDone](payload)
	if err != nil {
		panic(corrupt{stepKey(run.ID, at.generation, at.path, at.number), err})
	}
	if p.Change == nil {
		return 0
	}
	return p.Change.From
}

func shardOf(r engine.Run) uint16 {
	shard, _, _ := engine.ParseID('r', r.ID)
	return shard
}

// questionsSince lists the open questions of a run whose steps began at a place
// or later.
func questionsSince(r store.Reader, run engine.Run, since uint64) (list []engine.Question) {
	each := func(n uint64) bool {
		q, ok := get[engine.Question](r, nounKey(classQuestion, shardOf(run), n))
		if !ok || q.Run != run.ID || q.Status != engine.QuestionOpen {
			return true
		}
		path, step, _ := engine.ParseStepID(q.Step)
		if at, found := placeOf(r, run, run.Generation, path, step); found && at.began() >= since {
			list = append(list, q)
		}
		return true
	}
	if _, i, ok := engine.ParseID('i', run.Incident); ok {
		eachPart(r, classQuestionOf, shardOf(run), i, each)
		return list
	}
	for _, n := range numbersOf(r, key(classAsked, shardOf(run))) {
		each(n)
	}
	return list
}

// outcomeAt reads the outcome of one of a step's records.
func outcomeAt(r store.Reader, run engine.Run, s placed, n uint64) record.Outcome {
	rec, err := ledger.ReadRecord(r, shardOf(run), n-1)
	if err != nil {
		panic(corrupt{stepKey(run.ID, s.generation, s.path, s.number), err})
	}
	o, err := record.Unmarshal[record.Outcome](rec.Outcome)
	if err != nil {
		panic(corrupt{stepKey(run.ID, s.generation, s.path, s.number), err})
	}
	return o
}

// fillGiven gives a step the result that a person gave it at a restart.
func fillGiven(rec ledger.Record, step *engine.Step) error {
	step.Given = true
	if rec.Erased {
		step.Erased = erasedBy(rec).String()
		return nil
	}
	p, err := record.Unmarshal[record.RunRestarted](rec.Payload)
	if step.Result = p.Result; p.Version != 0 {
		step.Version = p.Version
	}
	return err
}

func tellRestarted(p record.RunRestarted, o record.Outcome, e *engine.TimelineEntry) {
	e.By, e.Run = p.By, p.Run
	if p.Number == 0 {
		e.Text = "takes back what the run changed" + because(p.Why)
		return
	}
	e.Step = engine.StepID(p.Path, p.Number)
	e.Text = "restarts the run from step " + e.Step
	if p.Answered {
		e.Text += " with another answer"
	}
	switch len(o.Changes) {
	case 0:
	case 1:
		e.Text += ", and takes one change back first"
	default:
		e.Text += ", and takes " + strconv.Itoa(len(o.Changes)) + " changes back first"
	}
	e.Text += because(p.Why)
}

// hasTaken tells the end of an undo run whose steps have told what it did.
func (t *tx) hasTaken(r engine.Run) bool {
	if r.Purpose != PurposeUndo || r.Status != engine.RunDone {
		return false
	}
	for _, id := range undoes(r) {
		if c, ok := t.change(id); ok && c.UndoRun == r.ID && c.Status == engine.ChangeInForce {
			return false
		}
	}
	return true
}

// undoes lists the changes that an undo run takes back.
func undoes(r engine.Run) []string {
	if r.Change != "" {
		return []string{r.Change}
	}
	return r.Changes
}

// LateRestart says to a person why a restart had no effect, with who was first.
func (s *State) LateRestart(why, run string) string {
	r, err := s.Run(run)
	if why != alreadyRestarted || err != nil || r.Erased != nil {
		return why
	}
	if rs := r.Restart; rs != nil && rs.Step == "" {
		return "all of it is being taken back already, by " + rs.By
	} else if rs != nil {
		return "it is being restarted from step " + rs.Step + " already, by " + rs.By
	}
	if n := len(r.Branches); n > 0 {
		return "it was restarted from step " + r.Branches[n-1].Step + " already, by " + r.Branches[n-1].By
	}
	return why
}
