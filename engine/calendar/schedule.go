package calendar

import (
	"strings"
	"time"

	"github.com/netresearch/go-cron"

	"larkspur/engine"
)

// Schedule says when a job fires. A firing is an instant: the same schedule
// gives the same instants, whenever and wherever it is asked.
//
// A cron expression speaks of the clock on the wall. A time that the wall never
// shows, because clocks are put forward, fires when they have been, once for all
// such times; one that it shows twice, because they are put back, fires the first
// time, unless the hour is *: then every hour that passes counts.
type Schedule struct {
	every time.Duration
	cron  cron.Schedule
	zone  *time.Location
	twice bool // what the wall shows twice fires twice
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
	return Schedule{cron: parsed, zone: zone, twice: strings.Fields(expression)[1] == "*"}, nil
}

// Next returns the first instant after t, in UTC; zero when there is none.
func (s Schedule) Next(t time.Time) time.Time {
	if s.cron == nil {
		return t.UTC().Truncate(s.every).Add(s.every)
	}
	t = t.In(s.zone)
	best := time.Time{}
	for w := s.cron.Next(shown(t).Add(-lookBack(t))); !w.IsZero(); w = s.cron.Next(w) {
		when := s.instants(w)
		if len(when) > 0 && !best.IsZero() && !when[0].Before(best) {
			break
		}
		for _, at := range when {
			if at.After(t) && (best.IsZero() || at.Before(best)) {
				best = at
			}
		}
	}
	if best.IsZero() {
		return best
	}
	return best.UTC()
}

// shown is what the clock on the wall shows at an instant, as if in UTC.
func shown(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// putBack is longer than clocks are put back at once.
const putBack = 3 * time.Hour

// lookBack is how far what the wall shows may go back soon.
func lookBack(t time.Time) time.Duration {
	if _, end := t.ZoneBounds(); !end.IsZero() && end.Sub(t) < putBack {
		return putBack
	}
	return 0
}

// around is a time in which a zone's clocks are put once at most, and on each side
// of it, whatever they show.
const around = 2 * Day

// instants are those at which a time of the wall fires, in order.
func (s Schedule) instants(wall time.Time) (list []time.Time) {
	before, after := offsetAt(wall.Add(-around), s.zone), offsetAt(wall.Add(around), s.zone)
	for _, offset := range []time.Duration{before, after} {
		at := wall.Add(-offset).In(s.zone)
		if shown(at).Equal(wall) && (len(list) == 0 || s.twice && !at.Equal(list[0])) {
			list = append(list, at)
		}
	}
	if len(list) == 0 && !s.twice { // clocks pass it
		change, _ := wall.Add(-before).In(s.zone).ZoneBounds()
		list = append(list, change)
	}
	return list
}

// offsetAt is how far a zone's clocks are ahead of UTC.
func offsetAt(t time.Time, zone *time.Location) time.Duration {
	_, offset := t.In(zone).Zone()
	return time.Duration(offset) * time.Second
}
