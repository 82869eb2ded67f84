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
