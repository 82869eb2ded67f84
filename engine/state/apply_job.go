package state

import (
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// firing is the last firing of a job.
type firing struct {
	Instant time.Time `json:"instant"`
	Run     string    `json:"run"`
}

func decideJob(t *tx, p record.JobFired) record.Outcome {
	if _, ok := t.offered(p.Offer); ok {
		return refuse("this firing is here already")
	}
	if t.clockHold().On {
		return refuse(ClockIsHeld)
	}
	last, fired := get[firing](t, hashKey(classJob, t.shard, p.Job))
	if fired && !last.Instant.Before(p.Instant) {
		return refuse("a later firing is here already")
	}
	return t.mayRun(last, p.Overlap)
}

// mayRun lets a job have a run, unless the one before goes on.
func (t *tx) mayRun(last firing, overlap bool) record.Outcome {
	if r, ok := t.run(last.Run); ok && !overlap && !ended(r.Status) {
		return refuse("the run before, " + r.ID + ", is " + r.Status)
	}
	return record.Outcome{Applied: true, Run: t.nextID('r')}
}

func decideJobStarted(t *tx, p record.JobStarted) record.Outcome {
	last, _ := get[firing](t, hashKey(classJob, t.shard, p.Job))
	return t.mayRun(last, p.Overlap)
}

// applyJobStarted leaves the schedule as it is: the next firing is no other.
func applyJobStarted(t *tx, p record.JobStarted, o record.Outcome) {
	k := hashKey(classJob, t.shard, p.Job)
	last, _ := get[firing](t, k)
	t.put(k, firing{last.Instant, o.Run})
	t.startRun(engine.Run{
		ID: o.Run, Rule: p.Job, Handler: p.Do, Args: p.Args, Bundle: p.Bundle, Commit: p.Commit,
		Purpose: PurposeJob, Mode: p.Mode, Erased: t.erased,
	})
}

func ended(status string) bool {
	switch status {
	case engine.RunRunning, engine.RunWaiting, engine.RunInDoubt, engine.RunHeld:
		return false
	}
	return true
}

func applyJob(t *tx, p record.JobFired, o record.Outcome) {
	t.remember(p.Offer, o.Run)
	t.put(hashKey(classJob, t.shard, p.Job), firing{p.Instant, o.Run})
	t.startRun(engine.Run{
		ID: o.Run, Rule: p.Job, Handler: p.Do, Args: p.Args, Bundle: p.Bundle, Commit: p.Commit,
		Purpose: PurposeJob, Mode: p.Mode, Erased: t.erased,
	})
}

// LastFiring returns the instant of a job's last firing, zero for none, and its
// last run, whoever started it.
func (s *State) LastFiring(job string, shard uint16) (_ time.Time, run string, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	f, _ := get[firing](view, hashKey(classJob, shard, job))
	return f.Instant, f.Run, nil
}
