package intake

import (
	"context"
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// firingsShown is how many of a job's next firings are told.
const firingsShown = 3

// Statuses tells of each job when it fires next, and of its last run.
func (s *Schedule) Statuses() []engine.JobStatus {
	jobs := s.jobs()
	if jobs == nil {
		return nil
	}
	list := make([]engine.JobStatus, len(jobs.Jobs))
	for n, job := range jobs.Jobs {
		list[n] = s.status(job, jobs.Zone)
	}
	return list
}

func (s *Schedule) status(job engine.Job, zone *time.Location) engine.JobStatus {
	status := engine.JobStatus{Job: job, Zone: job.Zone, Next: []time.Time{}}
	if status.Zone == "" {
		status.Zone = zone.String()
	}
	var err error
	if status.LastFired, status.LastRun, err = s.cfg.State.LastFiring(job.Name, s.cfg.Ledger.ShardOf("job", job.Name)); err != nil {
		status.LastError = err.Error()
	}
	schedule, err := scheduleOf(job, zone)
	if err != nil {
		status.LastError = err.Error()
		return status
	}
	if job.Mode != "off" {
		status.Next = next(job, schedule, s.cfg.Clock.Now())
	}
	return status
}

// next lists the firings of a job after a moment. One whose instant has passed may
// be due yet, by its jitter.
func next(job engine.Job, schedule calendar.Schedule, now time.Time) []time.Time {
	list := []time.Time{}
	for at := schedule.Next(now.Add(-job.Jitter)); !at.IsZero() && len(list) < firingsShown; at = schedule.Next(at) {
		if due := at.Add(jitter(job, at)); due.After(now) {
			list = append(list, due)
		}
	}
	return list
}

// StartJob has a job run now, by hand; not_found where there is none.
func (s *Schedule) StartJob(ctx context.Context, name, by, how string) (engine.JobStart, error) {
	jobs := s.jobs()
	if jobs == nil {
		return engine.JobStart{}, engine.Errorf(engine.Unavailable, "no scripts are live yet")
	}
	for _, job := range jobs.Jobs {
		if job.Name != name {
			continue
		}
		rec, err := s.cfg.Ledger.Offer(ctx, s.cfg.Ledger.ShardOf("job", name), ledger.New{Kind: record.JobStartedKind, Payload: record.Marshal(record.JobStarted{
			Args: job.Args, Bundle: jobs.Bundle, By: by, Commit: jobs.Commit, Do: job.Do, How: how, Job: name, Mode: job.Mode, Overlap: job.Overlap,
		})})
		if err != nil {
			return engine.JobStart{}, err
		}
		o, err := record.Unmarshal[record.Outcome](rec.Outcome)
		return engine.JobStart{Decision: engine.Decision{Applied: o.Applied, Why: o.Why}, Run: o.Run}, err
	}
	return engine.JobStart{}, engine.Errorf(engine.NotFound, "job %q: there is none", name)
}
