package calendar_test

import (
	"strings"
	"testing"
	"time"

	"larkspur/engine/calendar"
)

func TestScheduleNext(t *testing.T) {
	london, err := calendar.Zone("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		every      time.Duration
		cron       string
		after, got string
	}{
		{5 * time.Minute, "", "2026-11-22T08:01:00Z", "2026-11-22T08:05:00Z"},
		{5 * time.Minute, "", "2026-11-22T08:05:00Z", "2026-11-22T08:10:00Z"},
		{0, "0 8 * * mon-fri", "2026-11-20T09:00:00Z", "2026-11-23T08:00:00Z"}, // over a weekend
		{0, "0 8 * * *", "2026-03-28T09:00:00Z", "2026-03-29T07:00:00Z"},       // summer time begins
		{0, "0 8 * * *", "2026-10-24T09:00:00Z", "2026-10-25T08:00:00Z"},       // and ends
	} {
		s, err := calendar.NewSchedule(c.every, c.cron, london)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Next(at(c.after)); !got.Equal(at(c.got)) {
			t.Errorf("%v %q after %s: got %s, want %s", c.every, c.cron, c.after, got, c.got)
		}
	}
}

func TestWrongSchedules(t *testing.T) {
	for _, c := range []struct {
		every      time.Duration
		cron, want string
	}{
		{0, "", "got neither every nor cron"},
		{time.Hour, "0 8 * * *", "got both every and cron"},
		{time.Millisecond, "", "every: got 1ms, want at least 1s"},
		{0, "0 25 * * *", `cron: got "0 25 * * *"`},
	} {
		_, err := calendar.NewSchedule(c.every, c.cron, time.UTC)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want %s…", err, c.want)
		}
	}
}

// TestScheduleWhenClocksArePut: what the wall never shows fires once, when clocks
// have passed it; what it shows twice fires once, unless every hour counts.
func TestScheduleWhenClocksArePut(t *testing.T) {
	for _, c := range []struct {
		zone, cron, after string
		want              []string
	}{
		{"Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", []string{"03-29 03:00 CEST", "03-30 02:30 CEST"}},
		{"Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", []string{"10-25 02:30 CEST", "10-26 02:30 CET"}},
		{"Europe/Berlin", "*/15 2 * * *", "2026-03-28T12:00:00Z", []string{"03-29 03:00 CEST", "03-30 02:00 CEST"}},
		{"Europe/Berlin", "*/30 2 * * *", "2026-10-24T12:00:00Z", []string{"10-25 02:00 CEST", "10-25 02:30 CEST", "10-26 02:00 CET"}},
		{"Europe/Berlin", "0 * * * *", "2026-03-29T00:10:00Z", []string{"03-29 03:00 CEST", "03-29 04:00 CEST"}},
		{"Europe/Berlin", "0 * * * *", "2026-10-24T23:50:00Z", []string{"10-25 02:00 CEST", "10-25 02:00 CET", "10-25 03:00 CET"}},
		{"America/Santiago", "30 0 * * *", "2026-09-05T12:00:00Z", []string{"09-06 01:00 -03", "09-07 00:30 -03"}},
		{"Pacific/Apia", "0 12 * * *", "2011-12-29T00:00:00Z", []string{"12-29 12:00 -10", "12-31 00:00 +14", "12-31 12:00 +14"}},
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-04T00:00:00Z", []string{"04-05 01:45 +11", "04-06 01:45 +1030"}},
	} {
		in := zone(t, c.zone)
		s, err := calendar.NewSchedule(0, c.cron, in)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			at = s.Next(at)
			if got := at.In(in).Format("01-02 15:04 MST"); got != want {
				t.Errorf("%s, %q after %s: got %s, want %s", c.zone, c.cron, c.after, got, want)
			}
		}
	}
}

// TestSchedulesAgainstCountingMinutes: a fixed time fires each day that the wall
// shows it, once, and never between; every hour fires whenever the wall shows it.
func TestSchedulesAgainstCountingMinutes(t *testing.T) {
	for _, in := range []string{"Europe/London", "America/St_Johns", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu", "UTC"} {
		z := zone(t, in)
		for _, month := range []time.Month{3, 4, 9, 10, 11} {
			begin := time.Date(2026, month, 1, 0, 0, 0, 0, z)
			for hour, cron := range map[int]string{-1: "17 * * * *", 0: "17 0 * * *", 2: "17 2 * * *"} {
				s, err := calendar.NewSchedule(0, cron, z)
				if err != nil {
					t.Fatal(err)
				}
				next, days := s.Next(begin.Add(-1)), map[int]bool{}
				for at := begin; at.Before(begin.AddDate(0, 0, 30)); at = at.Add(time.Minute) {
					day := at.YearDay()
					due := at.Minute() == 17 && (hour < 0 || at.Hour() == hour && !days[day])
					switch {
					case due && !next.Equal(at):
						t.Fatalf("%s, %s: got %s, want %s", in, cron, next.In(z), at)
					case !due && next.Equal(at) && (hour < 0 || !passes(at, hour)):
						t.Fatalf("%s, %s: got %s, when it is not due", in, cron, at)
					}
					if next.Equal(at) {
						days[day], next = true, s.Next(at)
					}
				}
				if len(days) != 30 {
					t.Errorf("%s, %s: got %d days of month %d, want 30", in, cron, len(days), month)
				}
			}
		}
	}
}

// passes tells the instant at which clocks are put from before an hour to after its
// minute 17.
func passes(at time.Time, hour int) bool {
	before := at.Add(-time.Nanosecond)
	wall := func(t time.Time) int { return t.Hour()*60 + t.Minute() }
	from := wall(before)
	if before.Day() != at.Day() {
		from = -1
	}
	return from < hour*60+17 && hour*60+17 <= wall(at)
}
