package calendar

import (
	"time"

	"github.com/netresearch/go-cron"

	"larkspur/engine"
)

// Schedule says when a job fires. A firing is an instant: the same schedule
// gives the same instants, whenever and wherever it is asked.
type Schedule struct {
	every time.Duration
	cron  cron.Schedule
	zone  *time.Location
}

// minEvery bounds how often a job may fire.
const minEvery = time.Second

// NewSchedule makes a schedule: every span (at multiples of it since 1970, UTC),
// or a cron expression of five fields in a zone. Errors are of kind invalid.
func NewSchedule(every time.Duration, expression string, zone *time.Location) (Schedule, error) {
	switch {
	case every != 0 && expression != "":
		return Schedule{}, engine.Errorf(engine.Invalid, "got both every and cron, want one of them")
	case every == 0 && expression == "":
		return Schedule{}, engine.Errorf(engine.Invalid, `got neither every nor cron, want every = "5m" or cron = "0 8 * * mon-fri"`)
	case every != 0 && every < minEvery:
		return Schedule{}, engine.Errorf(engine.Invalid, "every: got %s, want at least %s", FormatDuration(every), FormatDuration(minEvery))
	case every != 0:
		return Schedule{every: every}, nil
	}
	parsed, err := cron.ParseStandard(expression)
	if err != nil {
		return Schedule{}, engine.Errorf(engine.Invalid, "cron: got %.60q: %w", expression, err).
			WithHint(`want five fields: minute, hour, day, month, weekday, as in "0 8 * * mon-fri"`)
	}
	return Schedule{cron: parsed, zone: zone}, nil
}

// Next returns the first instant after t, in UTC; zero when there is none.
func (s Schedule) Next(t time.Time) time.Time {
	if s.cron == nil {
		return t.UTC().Truncate(s.every).Add(s.every)
	}
	next := s.cron.Next(t.In(s.zone))
	if next.IsZero() {
		return next
	}
	return next.UTC()
}
