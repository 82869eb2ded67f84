package calendar_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"larkspur/engine/calendar"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := calendar.Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func hours(t testing.TB, text, in string, holidays ...string) *calendar.Hours {
	t.Helper()
	var free calendar.Holidays
	for _, day := range holidays {
		if err := free.ParseHoliday(day); err != nil {
			t.Fatal(err)
		}
	}
	h, err := calendar.ParseHours(text, zone(t, in), free)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const stamp = "2006-01-02 15:04"

// TestAddingHours: times are those of the wall clock in London.
func TestAddingHours(t *testing.T) {
	london := zone(t, "Europe/London")
	at := func(text string) time.Time {
		v, err := time.ParseInLocation(stamp, text, london)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		hours, from string
		add         time.Duration
		want        string
	}{
		{"mon-fri 09:00-17:30", "2026-11-20 17:00", time.Hour, "2026-11-23 09:30"},        // over a weekend
		{"mon-fri 09:00-17:30", "2026-11-20 17:00", 30 * time.Minute, "2026-11-20 17:30"}, // to its very end
		{"mon-fri 09:00-17:30", "2026-11-21 03:00", time.Minute, "2026-11-23 09:01"},      // from outside
		{"mon-fri 09:00-17:30", "2026-12-24 17:00", time.Hour, "2026-12-29 09:30"},        // over two holidays
		{"mon-fri 09:00-12:00 13:00-17:00", "2026-11-23 11:30", time.Hour, "2026-11-23 13:30"},
		{"daily 22:00-06:00", "2026-11-23 23:00", 10 * time.Hour, "2026-11-25 01:00"}, // a night and the next
		{"daily 22:00-06:00", "2026-03-28 22:00", 7 * time.Hour, "2026-03-29 06:00"},  // a night of seven hours
		{"daily 22:00-06:00", "2026-10-24 22:00", 9 * time.Hour, "2026-10-25 06:00"},  // and one of nine
		{"daily 22:00-06:00", "2026-12-24 23:00", 8 * time.Hour, "2026-12-26 23:00"},  // a night off
		{"daily 00:00-24:00", "2026-03-28 12:00", 24 * time.Hour, "2026-03-29 13:00"},
		{"sun 01:00-02:00", "2026-03-28 12:00", time.Hour, "2026-04-05 02:00"},     // an hour that there is not
		{"sun 01:00-02:00", "2026-10-24 12:00", 2 * time.Hour, "2026-10-25 02:00"}, // and one that comes twice
		{"mon 09:00-10:00", "2026-11-23 09:00", 0, "2026-11-23 09:00"},
	} {
		h := hours(t, c.hours, "Europe/London", "2026-12-25", "12-28")
		got, ok := h.Add(at(c.from), c.add)
		if !ok || got.In(london).Format(stamp) != c.want {
			t.Errorf("%s, %s + %s: got %s, want %s", c.hours, c.from, c.add, got.In(london).Format(stamp), c.want)
		}
		if back := h.Between(at(c.from), got); back != c.add {
			t.Errorf("%s, %s to %s: got %s, want %s", c.hours, c.from, c.want, back, c.add)
		}
	}
}

// TestAllTheTime: without hours, all time counts.
func TestAllTheTime(t *testing.T) {
	var h *calendar.Hours
	from := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	got, ok := h.Add(from, time.Hour)
	if !ok || !got.Equal(from.Add(time.Hour)) || h.Between(from, got) != time.Hour || h.Between(got, from) != 0 || !h.Open(from) {
		t.Errorf("got %s, %v", got, ok)
	}
}

// TestHoursThatNeverCome: every day of the year is off.
func TestHoursThatNeverCome(t *testing.T) {
	var days []string
	for day := time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() == 2028; day = day.Add(calendar.Day) {
		days = append(days, day.Format("01-02"))
	}
	h := hours(t, "mon 09:00-10:00", "UTC", days...)
	if got, ok := h.Add(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Minute); ok {
		t.Errorf("got %s, want never", got)
	}
}

// naive says of one instant whether it is open, from what the wall clock shows.
func naive(t time.Time, shifts map[time.Weekday][][2]int, holidays map[string]bool) bool {
	minute := t.Hour()*60 + t.Minute()
	for back := range 2 {
		year, month, day := t.Date()
		date := time.Date(year, month, day-back, 12, 0, 0, 0, time.UTC)
		for _, s := range shifts[date.Weekday()] {
			if m := minute + back*24*60; !holidays[date.Format(time.DateOnly)] && s[0] <= m && m < s[1] {
				return true
			}
		}
	}
	return false
}

// TestHoursAgainstCountingMinutes: random hours and holidays in zones with all
// sorts of clock changes, over weeks that have them.
func TestHoursAgainstCountingMinutes(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	days := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	for _, in := range []struct{ zone, week string }{
		{"Europe/London", "2026-03-26"}, {"Europe/London", "2026-10-22"}, // an hour
		{"Australia/Lord_Howe", "2026-04-02"}, {"Australia/Lord_Howe", "2026-10-01"}, // half an hour
		{"America/Santiago", "2026-04-02"}, {"America/Santiago", "2026-09-03"}, // at midnight
		{"Pacific/Apia", "2011-12-27"},     // a day that there is not
		{"America/St_Johns", "2010-03-12"}, // at a minute past midnight
		{"Asia/Kathmandu", "2026-03-01"},
	} {
		first, _ := time.ParseInLocation(time.DateOnly, in.week, zone(t, in.zone))
		for range 8 {
			shifts, holidays := map[time.Weekday][][2]int{}, map[string]bool{}
			var text, free []string
			for day, name := range days {
				if random.IntN(4) == 0 {
					continue
				}
				from := 1 + random.IntN(20*60)
				to := from + 1 + random.IntN(24*60-1)
				if next := shifts[time.Weekday((day+6)%7)]; len(next) > 0 && next[0][1]-24*60 > from { // no shift over another
					from = next[0][1] - 24*60
					to = max(to, from+1)
				}
				if to >= from+24*60 || day == 6 && to > 24*60 {
					to = min(from+1, 24*60)
				}
				shifts[time.Weekday(day)] = [][2]int{{from, to}}
				text = append(text, fmt.Sprintf("%s %02d:%02d-%02d:%02d", name, from/60, from%60, to%(24*60)/60, to%60))
			}
			if len(text) == 0 {
				continue
			}
			if off := first.AddDate(0, 0, random.IntN(7)).Format(time.DateOnly); random.IntN(2) == 0 {
				holidays[off], free = true, append(free, off)
			}
			h := hours(t, strings.Join(text, ", "), in.zone, free...)
			from := first.Add(time.Duration(random.IntN(24*60)) * time.Minute)
			var sum time.Duration
			for at := from; at.Before(first.Add(calendar.Week)); at = at.Add(time.Minute) {
				open := naive(at, shifts, holidays)
				if h.Open(at) != open {
					t.Fatalf("%s, %s without %s: got open %v at %s", in.zone, text, free, !open, at)
				}
				check := random.IntN(40) == 0
				if check && h.Between(from, at) != sum {
					t.Fatalf("%s, %s without %s, %s to %s: got %s, want %s", in.zone, text, free, from, at, h.Between(from, at), sum)
				}
				if !open {
					continue
				}
				sum += time.Minute
				if !check {
					continue
				}
				if end, ok := h.Add(from, sum); !ok || !end.Equal(at.Add(time.Minute)) {
					t.Fatalf("%s, %s without %s, %s + %s: got %s, want %s", in.zone, text, free, from, sum, end, at.Add(time.Minute))
				}
			}
		}
	}
}

func TestWrongHours(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "nothing there",
		"mon-fri":                          "want days and at least one time",
		"weekdays 09:00-17:00":             `no days: "weekdays"`,
		"mon 9-17":                         `no time: "9-17"`,
		"mon 09:00-25:00":                  `no time: "09:00-25:00"`,
		"mon 24:00-25:00":                  `no time: "24:00-25:00"`,
		"mon 09:00-12:00 11:00-13:00":      "lie over one another",
		"sat 20:00-08:00, sun 07:00-09:00": "lie over one another",
	} {
		_, err := calendar.ParseHours(text, time.UTC, calendar.Holidays{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want …%s", text, err, want)
		}
	}
	var free calendar.Holidays
	for _, text := range []string{"", "Christmas", "2026-13-01", "2026-12-26..2026-12-24", "2026-01-01..2028-01-01"} {
		if err := free.ParseHoliday(text); err == nil || !strings.HasPrefix(err.Error(), "holiday: got ") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func FuzzParseHours(f *testing.F) {
	f.Add("mon-fri 09:00-17:30", "2026-12-25")
	f.Add("fri-mon 22:00-06:00, tue 00:00-24:00", "12-25")
	f.Fuzz(func(t *testing.T, text, holiday string) {
		var free calendar.Holidays
		_ = free.ParseHoliday(holiday)
		h, err := calendar.ParseHours(text, time.UTC, free)
		if err != nil {
			return
		}
		from := time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)
		if end, ok := h.Add(from, 90*time.Minute); ok && h.Between(from, end) != 90*time.Minute {
			t.Errorf("%q: got %s between %s and %s", text, h.Between(from, end), from, end)
		}
	})
}
