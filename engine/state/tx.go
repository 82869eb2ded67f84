package state

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/store"
)

// tx is one record's view of the keys: it reads and writes nouns. shard and now
// are the record's; nothing here asks the machine for the time.
type tx struct {
	*store.Batch
	shard uint16
	rec   uint64
	now   time.Time
	runs  memo
	// erased is set while an erased record is applied: what it makes is marked.
	erased *engine.Erased
}

// memo remembers runs by their key and the bytes that they were decoded from:
// each record of a step reads its run, and rarely changes it. What is read is
// always the store's; a run whose bytes are other is decoded again. Runs hold
// nothing that is changed in place.
type memo map[string]remembered

type remembered struct {
	encoded []byte
	run     engine.Run
}

// maxRemembered bounds a memo: about the runs that are carried at once.
const maxRemembered = 1024

func (m memo) keep(k, encoded []byte, r engine.Run) {
	if len(m) >= maxRemembered {
		clear(m)
	}
	m[string(k)] = remembered{encoded, r}
}

// nouns are the values that are written and read most.
var nouns = engine.NewCodec(
	engine.Incident{}, engine.Run{}, engine.Question{}, engine.Change{}, engine.Timer{}, engine.Counts{},
	offered{}, RuleHits{}, link{}, activated{}, engine.Deadline{},
)

// encode encodes a noun; it panics on a type that JSON cannot hold, which none is.
func encode(v any) []byte {
	b, err := nouns.Marshal(v)
	if err != nil {
		panic("state: " + err.Error())
	}
	return b
}

func get[T any](r store.Reader, k []byte) (v T, ok bool) {
	b, ok := r.Get(k)
	if !ok {
		return v, false
	}
	if err := nouns.Unmarshal(b, &v); err != nil {
		panic(corrupt{k, err})
	}
	return v, true
}

// corrupt is a projection that cannot be read; guard turns it into an error.
type corrupt struct {
	key []byte
	err error
}

// guard turns faults of the disk and of projections into errors.
func guard(err *error) {
	switch r := recover().(type) {
	case nil:
	case corrupt:
		*err = engine.WrapError(engine.Internal, r.err, "state: a projection is damaged").
			WithHint("stop the appliance and run: larkspur rebuild")
	default:
		func() {
			defer store.Guard(err)
			panic(r)
		}()
	}
}

func (t *tx) put(k []byte, v any) { t.Set(k, encode(v)) }
func (t *tx) mark(k []byte)       { t.Set(k, nil) }

// ids hands out ids of one record in the order of asking; took makes them
// count, when the record is applied.
func (t *tx) nextID(letter byte) string { return t.ids(letter, 1)[0] }

func (t *tx) ids(letter byte, n int) []string {
	last := uint64(0)
	if b, ok := t.Get(append(key(classCounter, t.shard), letter)); ok {
		last = binary.BigEndian.Uint64(b)
	}
	list := make([]string, n)
	for i := range list {
		list[i] = engine.FormatID(letter, t.shard, last+uint64(i)+1)
	}
	return list
}

// took records that an id was given, so that a rebuild counts alike.
func (t *tx) took(id string) {
	_, n, _ := engine.ParseID(id[0], id)
	t.Set(append(key(classCounter, t.shard), id[0]), binary.BigEndian.AppendUint64(nil, n))
}

func (t *tx) count(change func(*engine.Counts)) {
	k := key(classCounts, t.shard)
	c, _ := get[engine.Counts](t, k)
	change(&c)
	t.put(k, c)
}

func (t *tx) incident(id string) (engine.Incident, bool) {
	k, ok := idKey(classIncident, 'i', id)
	if !ok {
		return engine.Incident{}, false
	}
	return get[engine.Incident](t, k)
}

// putIncident stores an incident and keeps what lists and search find it by;
// before is what it was, zero for a new one.
func (t *tx) putIncident(i, before engine.Incident) {
	_, n, _ := engine.ParseID('i', i.ID)
	i.Updated = t.now
	t.put(nounKey(classIncident, t.shard, n), i)
	t.indexIncident(n, before, i)
	t.countBusy(before, i)
	t.moveCounts(before, i)
}

// tell puts the record into the incident's timeline.
func (t *tx) tell(incident string) {
	if _, n, ok := engine.ParseID('i', incident); ok {
		t.mark(pairKey(classTimeline, t.shard, n, t.rec))
	}
}

func (t *tx) run(id string) (engine.Run, bool) {
	k, ok := idKey(classRun, 'r', id)
	if !ok {
		return engine.Run{}, false
	}
	b, ok := t.Get(k)
	if known, hit := t.runs[string(k)]; ok && hit && bytes.Equal(known.encoded, b) {
		return known.run, true
	}
	r, ok := get[engine.Run](t, k)
	if ok {
		t.runs.keep(k, b, r)
	}
	return r, ok
}

// putRun stores a run and keeps the index of runs that want a worker.
func (t *tx) putRun(r engine.Run, before string) {
	_, n, _ := engine.ParseID('r', r.ID)
	k, encoded := nounKey(classRun, t.shard, n), encode(r)
	t.Set(k, encoded)
	t.runs.keep(k, encoded, r)
	if before == "" {
		t.moveTerm(classRun, n, byRule, "", r.Rule)
	}
	t.moveTerm(classRun, n, byStatus, listedAs(before, engine.RunRunning), listedAs(r.Status, engine.RunRunning))
	ready := nounKey(classReady, t.shard, n)
	switch {
	case r.Status == engine.RunRunning && before != engine.RunRunning:
		t.mark(ready)
	case r.Status != engine.RunRunning && before == engine.RunRunning:
		t.Delete(ready)
	}
	if waits, waited := r.Status == engine.RunWaiting, before == engine.RunWaiting; waits != waited {
		t.count(func(c *engine.Counts) { c.WaitingRuns += sign(waits) })
	}
}

func sign(up bool) int {
	if up {
		return 1
	}
	return -1
}

func (t *tx) question(id string) (engine.Question, bool) {
	k, ok := idKey(classQuestion, 'q', id)
	if !ok {
		return engine.Question{}, false
	}
	return get[engine.Question](t, k)
}

func (t *tx) putQuestion(q engine.Question, before string) {
	_, n, _ := engine.ParseID('q', q.ID)
	t.put(nounKey(classQuestion, t.shard, n), q)
	if q.Status != before {
		t.tallyQuestion(q)
	}
	t.moveTerm(classQuestion, n, byStatus, listedAs(before, engine.QuestionOpen), listedAs(q.Status, engine.QuestionOpen))
	if open, was := q.Status == engine.QuestionOpen, before == engine.QuestionOpen; open != was {
		asked := nounKey(classAsked, t.shard, n)
		if open {
			t.mark(asked)
		} else {
			t.Delete(asked)
		}
		i, _ := t.incident(q.Incident)
		t.countFor(i, func(c *engine.Counts) { c.OpenQuestions += sign(open) })
	}
}

func (t *tx) change(id string) (engine.Change, bool) {
	k, ok := idKey(classChange, 'c', id)
	if !ok {
		return engine.Change{}, false
	}
	return get[engine.Change](t, k)
}

func (t *tx) putChange(c engine.Change, before string) {
	_, n, _ := engine.ParseID('c', c.ID)
	t.put(nounKey(classChange, t.shard, n), c)
	t.moveTerm(classChange, n, byStatus, listedAs(before, engine.ChangeInForce), listedAs(c.Status, engine.ChangeInForce))
	if in, was := c.Status == engine.ChangeInForce, before == engine.ChangeInForce; in != was {
		k := nounKey(classInForce, t.shard, n)
		if in {
			t.mark(k)
		} else {
			t.Delete(k)
		}
		i, _ := t.incident(c.Incident)
		t.countFor(i, func(x *engine.Counts) { x.ChangesInForce += sign(in) })
	}
}

// setTimer puts a timer into the sorted index; clearTimer takes it out.
func (t *tx) setTimer(tm engine.Timer) {
	_, n, _ := engine.ParseID('t', tm.ID)
	t.took(tm.ID)
	t.put(nounKey(classTimer, t.shard, n), tm)
	t.mark(dueKey(t.shard, tm.Due, n))
	if from, ok := moment(t, classDueFrom, t.shard); ok && tm.Due.UnixNano() < from {
		t.setMoment(classDueFrom, tm.Due.UnixNano())
	}
	t.Set(hashKey(classTimerOf, t.shard, tm.Target, tm.Step), []byte(tm.ID))
}

func (t *tx) clearTimer(target, step string) {
	k := hashKey(classTimerOf, t.shard, target, step)
	id, ok := t.Get(k)
	if !ok {
		return
	}
	t.dropTimer(string(id))
}

func (t *tx) dropTimer(id string) {
	_, n, _ := engine.ParseID('t', id)
	tm, ok := get[engine.Timer](t, nounKey(classTimer, t.shard, n))
	if !ok {
		return
	}
	t.Delete(nounKey(classTimer, t.shard, n))
	t.Delete(dueKey(t.shard, tm.Due, n))
	t.Delete(hashKey(classTimerOf, t.shard, tm.Target, tm.Step))
	t.skipDue(tm.Due)
}

// skipDue moves the beginning of the sorted index to its first timer, when one
// that was due there is gone. What was deleted stays in the store's tables for a
// long time: without the beginning every look would pass all of it.
func (t *tx) skipDue(gone time.Time) {
	from, ok := moment(t, classDueFrom, t.shard)
	if ok && gone.UnixNano() > from {
		return
	}
	next := gone.UnixNano()
	t.Scan(key(classDue, t.shard), momentKey(classDue, t.shard, from), false, func(k, _ []byte) bool {
		next = int64(binary.BigEndian.Uint64(k[3:]))
		return false
	})
	t.setMoment(classDueFrom, next)
}

// moment reads a moment in nanoseconds; 0 when it was never set.
func moment(r store.Reader, class byte, shard uint16) (int64, bool) {
	b, ok := r.Get(key(class, shard))
	if !ok {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(b)), true
}

func (t *tx) setMoment(class byte, at int64) {
	t.Set(key(class, t.shard), binary.BigEndian.AppendUint64(nil, uint64(at)))
}

// momentKey is where the entries of a moment begin in an index by time.
func momentKey(class byte, shard uint16, at int64) []byte {
	return binary.BigEndian.AppendUint64(key(class, shard), uint64(at))
}

func dueKey(shard uint16, due time.Time, n uint64) []byte {
	k := binary.BigEndian.AppendUint64(key(classDue, shard), uint64(due.UnixNano()))
	return binary.BigEndian.AppendUint64(k, n)
}

// stepEntry is where the records of a step are. Via says which kind of record
// ended it, and so how its result is read.
type stepEntry struct {
	Started uint64 // record number + 1; 0 is none
	Done    uint64
	Via     byte
	Note    uint64 // record number + 1 of its doubt, or of what resolved it; 0 is none
}

const (
	viaNothing = 0   // not ended
	viaDone    = 'd' // step_done
	viaFailed  = 'f' // step_done with an error
	viaAnswer  = 'a' // question_answered
	viaTimer   = 't' // timer_fired
	viaClosed  = 'c' // the incident was closed from outside
	viaCame    = 'w' // what it waited for came
	viaEvent   = 'e' // an event that it expected came
	viaCycle   = 'y' // the lock that it wants waits for what its run holds

	// Of a step that was in doubt, see Note.
	viaDoubt    = 'u' // not ended: nobody knows
	viaAgain    = 'g' // not ended: a person wants it done again
	viaHappened = 'h' // step_resolved
	viaSkipped  = 's' // step_resolved
	viaGiven    = 'v' // run_restarted

	// Of a step that was held before it began, see brake.go.
	viaBraked   = 'b' // not started
	viaLimited  = 'l' // not started
	viaReleased = 'r' // not started, and may
	viaDropped  = 'x' // step_resolved

	// Of a step that waited when its run stopped, see stop.go.
	viaStopped = 'o' // not ended: begun anew if the run goes on from a later step
)

// ended says whether the step has a result.
func (e stepEntry) ended() bool { return e.Done != 0 }

// mayStart says whether a step that stands in the journal has not started.
func (e stepEntry) mayStart() bool {
	return e.Via == viaAgain || e.Via == viaReleased || e.Via == viaStopped || e.held() != ""
}

// began and order are where its beginning and its result stand in the ledger; of
// a step that has but one of them, that.
func (e stepEntry) began() uint64 {
	if e.Started != 0 {
		return e.Started
	}
	return e.Done
}

func (e stepEntry) order() uint64 {
	if e.ended() {
		return e.Done
	}
	return e.Started
}

func (t *tx) step(run string, generation int, path string, n int) (stepEntry, bool) {
	b, ok := t.Get(stepKey(run, generation, path, n))
	if !ok {
		return stepEntry{}, false
	}
	return decodeStep(b), true
}

func (t *tx) putStep(run string, generation int, path string, n int, e stepEntry) {
	b := binary.BigEndian.AppendUint64(nil, e.Started)
	b = append(binary.BigEndian.AppendUint64(b, e.Done), e.Via)
	if e.Note != 0 {
		b = binary.BigEndian.AppendUint64(b, e.Note)
	}
	t.Set(stepKey(run, generation, path, n), b)
}

// stepEntryBytes is the length of an entry without a note.
const stepEntryBytes = 17

func decodeStep(b []byte) stepEntry {
	e := stepEntry{Started: binary.BigEndian.Uint64(b), Done: binary.BigEndian.Uint64(b[8:]), Via: b[16]}
	if len(b) > stepEntryBytes {
		e.Note = binary.BigEndian.Uint64(b[stepEntryBytes:])
	}
	return e
}

// wake lets a run go on that waits for something from outside.
func wake(r *engine.Run) {
	if r.Restart == nil && (r.Status == engine.RunWaiting || r.Status == engine.RunHeld) {
		r.Status, r.Waits = engine.RunRunning, ""
	}
}

// endStep ends a step that waits, by a record other than step_done, and wakes
// its run.
func (t *tx) endStep(run, stepID string, via byte) {
	r, ok := t.run(run)
	if !ok {
		return
	}
	path, n, _ := engine.ParseStepID(stepID)
	e, _ := t.place(r, path, n)
	e.Done, e.Via = t.rec+1, via
	t.keep(run, e)
	t.stopAwaiting(r, stepID)
	t.stopWanting(&r, stepID)
	before := r.Status
	wake(&r)
	r.Sleeps, r.Held = without(r.Sleeps, stepID), without(r.Held, stepID)
	t.putRun(r, before)
}

// with and without change a list of steps that are separated by spaces.
func with(list, step string) string { return strings.TrimSpace(list + " " + step) }

func without(list, step string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(list), func(s string) bool { return s == step }), " ")
}
