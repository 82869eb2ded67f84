package state

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// A lock is held by one run, and lies in the shard of its name with the queue of
// those who wait for it. What a run holds and waits for stands in the run, too. In
// one shard both change with the same record. Of several, each decides its part:
// the runner tells the one what the other decided (LocksAfar), as often as need be,
// because a hold is named by its token and nothing is done twice.

// Actions of a record that takes a lock.
const (
	LockGranted = "granted"
	lockQueued  = "queued"
	lockCycle   = "cycle" // two runs would wait for each other
	lockOver    = "over"  // nobody waits for it any more
)

// lock is a lock that is held. One that is not has no entry.
type lock struct {
	Name  string    `json:"name"`
	Run   string    `json:"run"`
	Since time.Time `json:"since"`
	Token string    `json:"token"`
}

// waiter is an entry of a lock's queue.
type waiter struct {
	Run   string `json:"run"`
	Token string `json:"token"`
}

// held is what the journal of a run knows of a lock that one of its steps got.
type held struct {
	Generation int    `json:"generation"` // of the run, that made the step
	Name       string `json:"name"`
	// Released is where in the ledger it was given up, 0 while it is held.
	Released uint64 `json:"released,omitempty"`
	Shard    uint16 `json:"shard,omitempty"`
}

func lockKey(shard uint16, name string) []byte { return hashKey(classLock, shard, name) }

func queueKey(shard uint16, name string, place uint64) []byte {
	return binary.BigEndian.AppendUint64(hashKey(classLockQueue, shard, name), place)
}

func heldKey(run, step string) []byte {
	shard, n, _ := engine.ParseID('r', run)
	return append(nounKey(classHeld, shard, n), step...)
}

// token names the hold of a step.
func lockToken(run string, generation int, step string) string {
	return fmt.Sprint(run, "/", generation, "/", step)
}

// lockOf finds what a step of a run has to do with a lock.
func lockOf(r engine.Run, step string) (engine.RunLock, bool) {
	for _, l := range r.Locks {
		if l.Step == step {
			return l, true
		}
	}
	return engine.RunLock{}, false
}

// setLock stores what a step has to do with a lock; r.Locks is never changed in
// place.
func setLock(r *engine.Run, l engine.RunLock) {
	list := slices.DeleteFunc(slices.Clone(r.Locks), func(other engine.RunLock) bool { return other.Step == l.Step })
	r.Locks = append(list, l)
}

func dropLock(r *engine.Run, step string) {
	r.Locks = slices.DeleteFunc(slices.Clone(r.Locks), func(l engine.RunLock) bool { return l.Step == step })
	if len(r.Locks) == 0 {
		r.Locks = nil
	}
}

// holding is how a run holds a lock: its branches share it.
func holding(r engine.Run, name string) (engine.RunLock, bool) {
	for _, l := range r.Locks {
		if l.Name == name && !l.Waits {
			return l, true
		}
	}
	return engine.RunLock{}, false
}

// wantLock notes that a step waits for a lock, or has it at once because its run
// holds it.
func (t *tx) wantLock(r *engine.Run, p record.StepStarted, atOnce bool) {
	step := engine.StepID(p.Path, p.Number)
	l := engine.RunLock{Name: p.Lock.Name, Shard: p.Lock.Shard, Step: step, Token: lockToken(r.ID, p.Generation, step), Waits: true}
	if has, ok := holding(*r, l.Name); ok && atOnce {
		l.Token, l.Waits = has.Token, false
		t.put(heldKey(r.ID, step), held{Generation: p.Generation, Name: l.Name, Shard: l.Shard})
	}
	setLock(r, l)
}

func decideLock(t *tx, p record.LockChanged) record.Outcome {
	switch p.Act {
	case record.LockTake:
		return t.decideTake(p)
	case record.LockFree:
		o := record.Outcome{Applied: true}
		if l, ok := get[lock](t, lockKey(t.shard, p.Name)); !ok || l.Run != p.Run || l.Token != p.Token {
			return refuse("it is not held so")
		}
		t.decideFree(&o, p.Name, "")
		return o
	case record.LockGrant:
		r, _ := t.run(p.Run)
		if !slices.ContainsFunc(r.Locks, func(l engine.RunLock) bool { return l.Waits && l.Name == p.Name && l.Token == p.Token }) {
			return refuse("nobody waits for it")
		}
		return record.Outcome{Applied: true, Woken: []string{p.Run}}
	}
	r, why := t.live(p.Run, p.Generation)
	if why != "" {
		return refuse(why)
	}
	o := record.Outcome{Applied: true, Run: p.Run}
	if p.Act == record.LockAwaited {
		if !slices.ContainsFunc(r.Locks, again) {
			return refuse("it is held again")
		}
		return o
	}
	l, ok := lockOf(r, p.Step)
	if !ok || l.Waits { // it was released before: twice is once
		o.Action = lockOver
		return o
	}
	if dropLock(&r, p.Step); !holds(r, l.Name) {
		t.decideGivenUp(&o, l, r.ID)
	}
	return o
}

func holds(r engine.Run, name string) bool {
	_, ok := holding(r, name)
	return ok
}

// again tells a lock that a run has to take again before it goes on.
func again(l engine.RunLock) bool { return l.Again && l.Waits }

func applyLock(t *tx, p record.LockChanged, o record.Outcome) {
	switch p.Act {
	case record.LockTake:
		t.applyTake(p, o)
	case record.LockFree:
		t.free(p.Name)
	case record.LockRelease:
		r, _ := t.run(p.Run)
		l, ok := lockOf(r, p.Step)
		if !ok || o.Action == lockOver {
			return
		}
		dropLock(&r, p.Step)
		t.letGo(r.ID, l)
		t.putRun(r, r.Status)
		if !holds(r, l.Name) && l.Shard == t.shard {
			t.free(l.Name)
		}
	case record.LockGrant:
		t.granted(p.Run, p.Name, p.Token)
	case record.LockAwaited:
		r, _ := t.run(p.Run)
		r.Status, r.Waits = engine.RunWaiting, ""
		for _, l := range r.Locks {
			if again(l) {
				r.Waits = strings.TrimPrefix(r.Waits+"; "+sayLock(l.Name), "; ")
			}
		}
		t.putRun(r, engine.RunRunning)
	}
}

// letGo notes in the journal's knowledge that a step's lock is given up.
func (t *tx) letGo(run string, l engine.RunLock) {
	k := heldKey(run, l.Step)
	if h, ok := get[held](t, k); ok {
		h.Released = t.rec + 1
		t.put(k, h)
	}
}

// decideTake decides of the lock's shard; of a run of this shard, also whether it
// still waits for it.
func (t *tx) decideTake(p record.LockChanged) record.Outcome {
	o := record.Outcome{Applied: true, Action: LockGranted}
	var r engine.Run
	mayFail := false
	if shard, _, _ := engine.ParseID('r', p.Run); shard == t.shard {
		var why string
		if r, why = t.live(p.Run, p.Generation); why != "" {
			return refuse(why)
		}
		l, ok := lockOf(r, p.Step)
		if !ok || !l.Waits || l.Place != 0 {
			o.Action = lockOver
			return o
		}
		mayFail = !l.Again
	}
	l, taken := get[lock](t, lockKey(t.shard, p.Name))
	if !taken || l.Token == p.Token {
		return o
	}
	o.Action = lockQueued
	if mayFail {
		if o.Why = t.cycle(r, p.Step, l); o.Why != "" {
			o.Action = lockCycle
		}
	}
	return o
}

// cycle says how a run that would wait for a lock would wait for itself; "" when
// it would not, or when that cannot be seen from this shard. Of branches only the
// root is looked at: another branch may release what one waits for.
func (t *tx) cycle(r engine.Run, step string, l lock) string {
	if path, _, _ := engine.ParseStepID(step); path != "" {
		return ""
	}
	said := fmt.Sprintf("run %s holds it", l.Run)
	for range maxCycle {
		holder, ok := t.run(l.Run)
		if !ok || shardOf(holder) != t.shard {
			return ""
		}
		wants, waits := rootWait(holder)
		next, taken := get[lock](t, lockKey(t.shard, wants.Name))
		if !waits || wants.Shard != t.shard || !taken {
			return ""
		}
		said += fmt.Sprintf(" and waits for lock %q, which run %s holds", wants.Name, next.Run)
		if next.Run == r.ID {
			return said
		}
		l = next
	}
	return ""
}

// maxCycle bounds how far waits are followed.
const maxCycle = 100

// rootWait is the lock for which all of a run waits.
func rootWait(r engine.Run) (engine.RunLock, bool) {
	for _, l := range r.Locks {
		if path, _, _ := engine.ParseStepID(l.Step); l.Waits && path == "" {
			return l, true
		}
	}
	return engine.RunLock{}, false
}

func (t *tx) applyTake(p record.LockChanged, o record.Outcome) {
	shard, _, _ := engine.ParseID('r', p.Run)
	switch o.Action {
	case LockGranted:
		t.put(lockKey(t.shard, p.Name), lock{p.Name, p.Run, t.now, p.Token})
		if shard == t.shard {
			t.granted(p.Run, p.Name, p.Token)
		}
	case lockQueued:
		t.put(queueKey(t.shard, p.Name, t.rec+1), waiter{p.Run, p.Token})
		if shard == t.shard {
			r, _ := t.run(p.Run)
			l, _ := lockOf(r, p.Step)
			l.Place = t.rec + 1
			setLock(&r, l)
			t.putRun(r, r.Status)
			t.tell(r.Incident)
		}
	case lockCycle:
		t.clearTimer(p.Run, p.Step)
		t.endStep(p.Run, p.Step, viaCycle)
	}
}

// decideGivenUp says in an outcome who gets a lock that a run of this shard gives
// up.
func (t *tx) decideGivenUp(o *record.Outcome, l engine.RunLock, run string) {
	if l.Shard != t.shard {
		o.Locks = append(o.Locks, l.Name)
		return
	}
	t.decideFree(o, l.Name, run)
}

// decideFree says in an outcome who gets a lock next: a run of this shard goes on,
// one of another shard is to be told. except is a run that waits no more.
func (t *tx) decideFree(o *record.Outcome, name, except string) {
	next, _, ok := t.nextFor(name, except)
	if shard, _, _ := engine.ParseID('r', next.Run); ok && shard == t.shard {
		o.Woken = append(o.Woken, next.Run)
	} else if ok {
		o.Locks = append(o.Locks, name)
	}
}

// nextFor finds who waits longest for a lock; entries of runs that do not wait any
// more are passed over.
func (t *tx) nextFor(name, except string) (next waiter, place uint64, found bool) {
	prefix := hashKey(classLockQueue, t.shard, name)
	t.Scan(prefix, nil, false, func(k, v []byte) bool {
		if err := nouns.Unmarshal(v, &next); err != nil {
			panic(corrupt{slices.Clone(k), err})
		}
		place = binary.BigEndian.Uint64(k[len(prefix):])
		found = next.Run != except && t.stillWaits(next)
		return !found
	})
	return next, place, found
}

// stillWaits tells a run that waits for a lock from one that is over; of another
// shard it is not known here.
func (t *tx) stillWaits(w waiter) bool {
	if shard, _, _ := engine.ParseID('r', w.Run); shard != t.shard {
		return true
	}
	r, _ := t.run(w.Run)
	return slices.ContainsFunc(r.Locks, func(l engine.RunLock) bool { return l.Waits && l.Token == w.Token })
}

// free gives a lock to who waits longest for it.
func (t *tx) free(name string) {
	next, place, ok := t.nextFor(name, "")
	if !ok {
		t.Delete(lockKey(t.shard, name))
		return
	}
	t.Delete(queueKey(t.shard, name, place))
	t.put(lockKey(t.shard, name), lock{name, next.Run, t.now, next.Token})
	if shard, _, _ := engine.ParseID('r', next.Run); shard == t.shard {
		t.granted(next.Run, name, next.Token)
	}
}

// granted gives a lock to all steps of a run of this shard that wait for it.
func (t *tx) granted(run, name, token string) {
	r, _ := t.run(run)
	for _, l := range r.Locks {
		if l.Name != name || !l.Waits {
			continue
		}
		t.leaveQueue(l)
		path, n, _ := engine.ParseStepID(l.Step)
		at, _ := t.place(r, path, n)
		l.Waits, l.Token, l.Place = false, token, 0
		r, _ = t.run(run)
		setLock(&r, l)
		before := r.Status
		t.put(heldKey(run, l.Step), held{Generation: at.generation, Name: name, Shard: l.Shard})
		if l.Again {
			if !slices.ContainsFunc(r.Locks, again) {
				wake(&r)
			}
			t.putRun(r, before)
			continue
		}
		t.putRun(r, before)
		t.clearTimer(run, l.Step)
		t.endStep(run, l.Step, viaCame)
	}
}

func (t *tx) leaveQueue(l engine.RunLock) {
	if l.Place != 0 && l.Shard == t.shard {
		t.Delete(queueKey(t.shard, l.Name, l.Place))
	}
}

// stopWanting has a step wait for no lock any more: its time is over, its incident
// was closed, or its run stopped.
func (t *tx) stopWanting(r *engine.Run, step string) {
	if l, ok := lockOf(*r, step); ok && l.Waits {
		t.leaveQueue(l)
		dropLock(r, step)
	}
}

// givesUp says in the outcome of a record that ends a run, or what began at a place
// or later of it, who gets its locks.
func (t *tx) givesUp(o *record.Outcome, r engine.Run, since uint64) {
	gone, rest := t.lost(r, since)
	done := map[string]bool{}
	for _, l := range gone {
		if !l.Waits && !done[l.Name] && !holds(rest, l.Name) {
			done[l.Name] = true
			t.decideGivenUp(o, l, r.ID)
		}
	}
}

// giveUp does what givesUp said, and returns the run as it then is; the caller
// stores it.
func (t *tx) giveUp(r engine.Run, since uint64) engine.Run {
	gone, rest := t.lost(r, since)
	if len(gone) == 0 {
		return r
	}
	for _, l := range gone {
		if l.Waits {
			t.leaveQueue(l)
		} else {
			t.letGo(r.ID, l)
		}
	}
	t.putRun(rest, rest.Status) // whoever gets a lock must not find it waiting
	done := map[string]bool{}
	for _, l := range gone {
		if !l.Waits && !done[l.Name] && !holds(rest, l.Name) && l.Shard == t.shard {
			done[l.Name] = true
			t.free(l.Name)
		}
	}
	return rest
}

// lost splits the locks of a run into those of steps that began at a place or
// later, and the run with the rest.
func (t *tx) lost(r engine.Run, since uint64) (gone []engine.RunLock, rest engine.Run) {
	rest = r
	for _, l := range r.Locks {
		path, n, _ := engine.ParseStepID(l.Step)
		if at, found := t.place(r, path, n); !found || at.began() >= since {
			gone = append(gone, l)
			dropLock(&rest, l.Step)
		}
	}
	return gone, rest
}

// retake has a run that was restarted take the locks again that it held at the
// place where its journal is cut, and that were given up since: by itself, or when
// it ended.
func (t *tx) retake(r *engine.Run, until uint64) {
	prefix := heldKey(r.ID, "")
	var again []engine.RunLock
	t.Scan(prefix, nil, false, func(k, v []byte) bool {
		step := string(k[len(prefix):])
		var h held
		if err := nouns.Unmarshal(v, &h); err != nil {
			panic(corrupt{slices.Clone(k), err})
		}
		path, n, _ := engine.ParseStepID(step)
		at, found := t.place(*r, path, n)
		if _, known := lockOf(*r, step); known {
			return true // it holds it still, or stands in the queue already
		}
		if found && h.Released >= until && at.generation == h.Generation {
			again = append(again, engine.RunLock{
				Name: h.Name, Shard: h.Shard, Step: step, Token: lockToken(r.ID, r.Generation, step), Waits: true, Again: true,
			})
		}
		return true
	})
	for _, l := range again {
		setLock(r, l)
	}
}

// LockAfar is a lock whose holder is a run of another shard.
type LockAfar struct{ Name, Run, Token string }

// LocksAfar lists the locks of a shard that runs of others hold.
func (s *State) LocksAfar(shard uint16) (list []LockAfar, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	view.Scan(key(classLock, shard), nil, false, func(k, v []byte) bool {
		var l lock
		if err := nouns.Unmarshal(v, &l); err != nil {
			panic(corrupt{slices.Clone(k), err})
		}
		if of, _, _ := engine.ParseID('r', l.Run); of != shard {
			list = append(list, LockAfar{l.Name, l.Run, l.Token})
		}
		return true
	})
	return list, nil
}

// sayLock is how a lock stands in what a run waits for.
func sayLock(name string) string { return fmt.Sprintf("lock %q", name) }

// SayLock is what a run waits for that waits for a lock.
func SayLock(name string) string { return sayLock(name) }

// sayHolders adds to what a run waits for who holds the locks.
func sayHolders(r store.Reader, run *engine.Run) {
	for _, l := range run.Locks {
		if held, ok := get[lock](r, lockKey(l.Shard, l.Name)); ok && l.Waits && held.Run != run.ID {
			run.Waits = strings.Replace(run.Waits, sayLock(l.Name), sayLock(l.Name)+" held by run "+held.Run, 1)
		}
	}
}
