package intake

import (
	"context"
	"hash/fnv"
	"log/slog"
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// Jobs are what is scheduled at a moment.
type Jobs struct {
	Bundle string
	Commit string
	Zone   *time.Location // of jobs without their own
	Jobs   []engine.Job
}

// Schedule fires jobs. A firing is (job, instant): offered twice, it has one
// effect; while the run before still goes on, a job without overlap is skipped,
// and the ledger says so.
type Schedule struct {
	cfg  Config
	jobs func() *Jobs
}

// NewSchedule returns a schedule of what jobs returns; nil before the first
// bundle is live.
func NewSchedule(cfg Config, jobs func() *Jobs) *Schedule { return &Schedule{cfg, jobs} }

// lookEvery bounds how late a schedule that was just saved is noticed.
const lookEvery = time.Second

// Run fires jobs until ctx ends. What fell due while nothing ran is skipped, but
// for the last firing of jobs with catch_up.
func (s *Schedule) Run(ctx context.Context) error {
	from := map[string]time.Time{} // when each job was looked at last
	for ctx.Err() == nil {
		next := s.cfg.Clock.Now().Add(lookEvery)
		if jobs := s.jobs(); jobs != nil && s.mayFire(from) {
			for _, job := range jobs.Jobs {
				due, err := s.look(ctx, jobs, job, from)
				if err != nil && ctx.Err() == nil && !engine.NoRoom(err) {
					slog.Error("job could not be fired; trying again", "job", job.Name, "error", err)
				}
				if !due.IsZero() && due.Before(next) {
					next = due
				}
			}
		}
		_ = s.cfg.Clock.Sleep(ctx, max(next.Sub(s.cfg.Clock.Now()), time.Millisecond)) // ends with ctx
	}
	return nil
}

// mayFire says whether jobs may fire: not while the clock is held. What falls due
// meanwhile is as if nothing ran.
func (s *Schedule) mayFire(from map[string]time.Time) bool {
	h, err := s.cfg.State.Clock(0)
	if err != nil {
		slog.Error("whether the clock is held could not be read; trying again", "error", err)
	}
	if h.On || err != nil {
		clear(from)
		return false
	}
	return true
}

// look fires a job if it is due, and returns when it is next.
func (s *Schedule) look(ctx context.Context, jobs *Jobs, job engine.Job, from map[string]time.Time) (time.Time, error) {
	if job.Mode == "off" {
		return time.Time{}, nil
	}
	schedule, err := scheduleOf(job, jobs.Zone)
	if err != nil {
		return time.Time{}, err
	}
	now := s.cfg.Clock.Now()
	last, known := from[job.Name]
	if !known {
		if last, err = s.begin(job, now); err != nil {
			return time.Time{}, err
		}
	}
	instant := schedule.Next(last)
	due := instant.Add(jitter(job, instant))
	if instant.IsZero() || due.After(now) {
		from[job.Name] = last
		return due, nil
	}
	instant = latest(job, schedule, instant, now)
	if err := s.fire(ctx, jobs, job, instant); err != nil {
		return time.Time{}, err
	}
	from[job.Name] = instant
	instant = schedule.Next(instant)
	return instant.Add(jitter(job, instant)), nil
}

func scheduleOf(job engine.Job, zone *time.Location) (calendar.Schedule, error) {
	if job.Zone != "" {
		own, err := calendar.Zone(job.Zone)
		if err != nil {
			return calendar.Schedule{}, err
		}
		zone = own
	}
	return calendar.NewSchedule(job.Every, job.Cron, zone)
}

// begin is the moment after which the instants of a job fire that was not looked at
// before: those are that were put off by its jitter, and with catch_up all since the
// last one.
func (s *Schedule) begin(job engine.Job, now time.Time) (time.Time, error) {
	fired, _, err := s.cfg.State.LastFiring(job.Name, s.cfg.Ledger.ShardOf("job", job.Name))
	switch {
	case err != nil || fired.IsZero():
		return now, err
	case job.CatchUp:
		return fired, nil
	}
	if put := now.Add(-job.Jitter); put.After(fired) {
		return put, nil
	}
	return fired, nil
}

// latest is the last of the instants that fell due since one: they are fired once,
// not one after the other.
func latest(job engine.Job, s calendar.Schedule, instant, now time.Time) time.Time {
	for {
		next := s.Next(instant)
		if next.IsZero() || next.Add(jitter(job, next)).After(now) {
			return instant
		}
		instant = next
	}
}

// jitter spreads the firings of a job by up to its jitter, always alike.
func jitter(job engine.Job, instant time.Time) time.Duration {
	if job.Jitter <= 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(job.Name + instant.Format(time.RFC3339)))
	return time.Duration(h.Sum64() % uint64(job.Jitter))
}

func (s *Schedule) fire(ctx context.Context, jobs *Jobs, job engine.Job, instant time.Time) error {
	_, err := s.cfg.Ledger.Offer(ctx, s.cfg.Ledger.ShardOf("job", job.Name), ledger.New{Kind: record.JobFiredKind, Payload: record.Marshal(record.JobFired{
		Args: job.Args, Bundle: jobs.Bundle, Commit: jobs.Commit, Do: job.Do, Instant: instant, Job: job.Name, Mode: job.Mode,
		Offer: "job/" + job.Name + "/" + instant.Format(time.RFC3339), Overlap: job.Overlap,
	})})
	return err
}
