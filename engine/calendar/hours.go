package calendar

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"larkspur/engine"
)

// Hours are the hours at which somebody works: times of a week in a zone, without
// holidays. An instant lies in them when the clock on the wall, whatever a zone
// does to it, shows one of these times on a day that is no holiday; a span is the
// time that really passes. A nil *Hours is all the time. It is immutable.
type Hours struct {
	zone     *time.Location
	week     [7][]shift // by time.Weekday, in order, none over another
	holidays Holidays
}

// shift is a time of work, as time since the midnight at which its day begins. It
// may end on the next day.
type shift struct{ from, to time.Duration }

// maxHoursText bounds what is parsed.
const maxHoursText = 1000

const wantHours = `want days and times, as in "mon-fri 09:00-17:30" or "mon-thu 08:00-12:00 13:00-17:00, fri 08:00-14:00"`

// ParseHours reads hours as people write them: days, or ranges of them, and times,
// in parts that a comma ends. A time that ends before it begins ends on the next
// day. Errors are of kind invalid.
func ParseHours(text string, zone *time.Location, holidays Holidays) (*Hours, error) {
	if strings.TrimSpace(text) == "" || len(text) > maxHoursText {
		return nil, badHours(text, "nothing there")
	}
	h := &Hours{zone: zone, holidays: holidays}
	for part := range strings.SplitSeq(strings.ToLower(text), ",") {
		if err := h.parsePart(part); err != nil {
			return nil, err
		}
	}
	for day := range h.week {
		slices.SortFunc(h.week[day], func(a, b shift) int { return int(a.from - b.from) })
	}
	return h, h.apart()
}

func badHours(part, what string) error {
	return engine.Errorf(engine.Invalid, "hours: %.60q: %s", strings.TrimSpace(part), what).WithHint(wantHours)
}

// parsePart reads "mon-fri 09:00-12:00 13:00-17:00".
func (h *Hours) parsePart(part string) error {
	words := strings.Fields(part)
	if len(words) < 2 {
		return badHours(part, "want days and at least one time")
	}
	days, ok := parseDays(words[0])
	if !ok {
		return badHours(part, "no days: "+strconv.Quote(words[0]))
	}
	for _, word := range words[1:] {
		s, ok := parseShift(word)
		if !ok {
			return badHours(part, "no time: "+strconv.Quote(word))
		}
		for _, day := range days {
			h.week[day] = append(h.week[day], s)
		}
	}
	return nil
}

var dayNames = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// parseDays reads a day, a range ("fri-mon" goes over the week's end), or "daily".
func parseDays(text string) ([]time.Weekday, bool) {
	if text == "daily" {
		text = "mon-sun"
	}
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		last = first
	}
	from, to := slices.Index(dayNames[:], first), slices.Index(dayNames[:], last)
	if from < 0 || to < 0 {
		return nil, false
	}
	days := []time.Weekday{time.Weekday(from)}
	for day := from; day != to; {
		day = (day + 1) % len(dayNames)
		days = append(days, time.Weekday(day))
	}
	return days, true
}

// parseShift reads "09:00-17:30".
func parseShift(text string) (s shift, ok bool) {
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		return s, false
	}
	var okFrom, okTo bool
	s.from, okFrom = parseClock(first)
	s.to, okTo = parseClock(last)
	if s.to <= s.from {
		s.to += Day
	}
	return s, okFrom && okTo && s.from < Day
}

// parseClock reads "09:00"; "24:00" is the end of a day.
func parseClock(text string) (time.Duration, bool) {
	hour, minute, ok := strings.Cut(text, ":")
	h, errHour := strconv.ParseUint(hour, 10, 8)
	m, errMinute := strconv.ParseUint(minute, 10, 8)
	if !ok || errHour != nil || errMinute != nil || len(minute) != 2 || h > 24 || m > 59 || h == 24 && m > 0 {
		return 0, false
	}
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute, true
}

// apart makes sure that no shift lies over another, or hours would count twice.
func (h *Hours) apart() error {
	for day, shifts := range h.week {
		for i, s := range shifts {
			next := time.Duration(1<<63 - 1)
			if i+1 < len(shifts) {
				next = shifts[i+1].from
			} else if after := h.week[(day+1)%7]; len(after) > 0 {
				next = after[0].from + Day
			}
			if s.to > next {
				return badHours(dayNames[day], "times that lie over one another")
			}
		}
	}
	return nil
}

// reach bounds a search: hours that have no end in so long never come.
const reach = 10 * Year

// stretch is a time without a break in which the hours are on or off.
type stretch struct {
	from, to time.Time
	on       bool
}

// at returns the stretch, or the part of it up to the next midnight or change of
// the clocks, in which an instant lies.
func (h *Hours) at(t time.Time) stretch {
	_, offset := t.Zone()
	_, bound := t.ZoneBounds()
	shown := t.UTC().Add(time.Duration(offset) * time.Second) // what the wall clock shows, as if in UTC
	midnight := shown.Truncate(Day)
	on, until := h.shows(midnight, shown.Sub(midnight))
	s := stretch{from: t, to: t.Add(until - shown.Sub(midnight)), on: on}
	if !bound.IsZero() && bound.Before(s.to) {
		s.to = bound
	}
	return s
}

// shows tells whether a time of a day is on, and until which time of the day that
// holds. midnight is the day's, as if in UTC.
func (h *Hours) shows(midnight time.Time, clock time.Duration) (on bool, until time.Duration) {
	until = Day
	for back := range time.Duration(2) { // the day, and the night from the day before
		day := midnight.Add(-back * Day)
		if h.holidays.has(day) {
			continue
		}
		for _, s := range h.week[day.Weekday()] {
			from, to := s.from-back*Day, s.to-back*Day
			switch {
			case from <= clock && clock < to:
				return true, min(to, Day)
			case clock < from && from < until:
				until = from
			}
		}
	}
	return false, until
}

// Open reports whether an instant lies in the hours.
func (h *Hours) Open(t time.Time) bool { return h == nil || h.at(t.In(h.zone)).on }

// Add returns the instant at which so much of the hours has passed since t, in
// UTC; false when that is never, or not in ten years. A span of zero or less ends
// at once.
func (h *Hours) Add(t time.Time, d time.Duration) (time.Time, bool) {
	if h == nil || d <= 0 {
		return t.Add(max(d, 0)).UTC(), true
	}
	end := t.Add(reach)
	for t = t.In(h.zone); t.Before(end); {
		s := h.at(t)
		if long := s.to.Sub(s.from); s.on && long >= d {
			return t.Add(d).UTC(), true
		} else if s.on {
			d -= long
		}
		t = s.to.In(h.zone)
	}
	return time.Time{}, false
}

// Between returns how much of the hours lies between two instants; 0 when the
// second is not after the first.
func (h *Hours) Between(from, to time.Time) (sum time.Duration) {
	if h == nil {
		return max(to.Sub(from), 0)
	}
	for from = from.In(h.zone); from.Before(to); {
		s := h.at(from)
		if s.to.After(to) {
			s.to = to
		}
		if s.on {
			sum += s.to.Sub(s.from)
		}
		from = s.to.In(h.zone)
	}
	return sum
}

// Holidays are days without work. The zero value is none; it is not changed once
// hours have it.
type Holidays struct {
	days   map[time.Time]bool // midnights, as if in UTC
	yearly map[yearly]bool
}

type yearly struct {
	month time.Month
	day   int
}

func (h Holidays) has(midnight time.Time) bool {
	return h.days[midnight] || h.yearly[yearly{midnight.Month(), midnight.Day()}]
}

// maxHolidayRange bounds one range of days.
const maxHolidayRange = 366

// ParseHoliday adds what a line of a list of holidays says: a date, a range of
// dates, or a day of every year: 2026-12-25, 2026-12-24..2027-01-01, 12-25. Errors
// are of kind invalid.
func (h *Holidays) ParseHoliday(text string) error {
	if day, err := time.Parse("01-02", text); err == nil {
		if h.yearly == nil {
			h.yearly = map[yearly]bool{}
		}
		h.yearly[yearly{day.Month(), day.Day()}] = true
		return nil
	}
	first, last, ranged := strings.Cut(text, "..")
	if !ranged {
		last = first
	}
	from, errFrom := time.Parse(time.DateOnly, strings.TrimSpace(first))
	to, errTo := time.Parse(time.DateOnly, strings.TrimSpace(last))
	if errFrom != nil || errTo != nil || to.Before(from) || to.Sub(from) > maxHolidayRange*Day {
		return engine.Errorf(engine.Invalid, "holiday: got %.60q", text).
			WithHint("want a date, a range of up to a year, or a day of every year: 2026-12-25, 2026-12-24..2027-01-01, 12-25")
	}
	if h.days == nil {
		h.days = map[time.Time]bool{}
	}
	for day := from; !day.After(to); day = day.Add(Day) {
		h.days[day] = true
	}
	return nil
}
