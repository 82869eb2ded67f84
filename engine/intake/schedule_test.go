package intake_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/intake"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// walker is a clock that goes on by itself whenever somebody sleeps, up to an end.
type walker struct {
	now, end time.Time
	stop     context.CancelFunc
}

func (c *walker) Now() time.Time { return c.now }

func (c *walker) Sleep(ctx context.Context, d time.Duration) error {
	if c.now = c.now.Add(d); !c.now.Before(c.end) {
		c.stop()
	}
	return ctx.Err()
}

// timetable is a schedule that a test walks through.
type timetable struct {
	*box
	jobs []engine.Job
	now  time.Time
}

func newTimetable(t *testing.T, jobs ...engine.Job) *timetable {
	for n := range jobs {
		jobs[n].Do, jobs[n].Args, jobs[n].Mode = engine.Handler{File: "a.star", Name: "f"}, engine.MustEncode(dict{}), "live"
	}
	return &timetable{box: open(t, 1, nil), jobs: jobs}
}

// schedule is what an appliance that starts has.
func (b *timetable) schedule(clock engine.Clock) *intake.Schedule {
	london, _ := time.LoadLocation("Europe/London")
	return intake.NewSchedule(intake.Config{Ledger: b.ledger, State: b.state, Clock: clock}, func() *intake.Jobs {
		return &intake.Jobs{Bundle: "b1", Zone: london, Jobs: b.jobs}
	})
}

// walk runs a schedule from one moment to another, as one life of the appliance.
func (b *timetable) walk(from, to string) {
	b.t.Helper()
	c := &walker{}
	var err error
	c.now, err = time.Parse(time.RFC3339, from)
	must(b.t, err)
	c.end, err = time.Parse(time.RFC3339, to)
	must(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	must(b.t, b.schedule(c).Run(ctx))
}

// fired lists the instants of all firings that were offered: those without effect
// in brackets.
func (b *timetable) fired() string {
	b.t.Helper()
	var list []string
	must(b.t, b.ledger.Records(0, 0, func(r ledger.Record) bool {
		if r.Header.Kind != record.JobFiredKind {
			return true
		}
		p, err := record.Unmarshal[record.JobFired](r.Payload)
		must(b.t, err)
		o, err := record.Unmarshal[record.Outcome](r.Outcome)
		must(b.t, err)
		text := p.Instant.Format("02 15:04")
		if !o.Applied {
			text = "(" + text + ")"
		}
		list = append(list, text)
		return true
	}))
	return strings.Join(list, ", ")
}

// TestAScheduleFires: on time, over the changes of clocks, and after a time in which
// nothing ran.
func TestAScheduleFires(t *testing.T) {
	for _, tt := range []struct {
		name  string
		job   engine.Job
		lives [][2]string
		want  string
	}{
		{"every hour", engine.Job{Every: time.Hour, Overlap: true}, [][2]string{{"2026-11-22T08:30:00Z", "2026-11-22T10:30:00Z"}}, "22 09:00, 22 10:00"},
		{"not while the run before goes on", engine.Job{Every: time.Hour}, [][2]string{{"2026-11-22T08:30:00Z", "2026-11-22T10:30:00Z"}}, "22 09:00, (22 10:00)"},
		{"what the wall never shows, once", engine.Job{Cron: "30 1 * * *", Overlap: true}, [][2]string{{"2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z"}}, "29 01:00"},
		{"what the wall shows twice, once", engine.Job{Cron: "30 1 * * *", Overlap: true}, [][2]string{{"2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"}}, "25 00:30"},
		{"in a zone of its own", engine.Job{Cron: "30 2 * * *", Zone: "Australia/Sydney", Overlap: true}, [][2]string{{"2026-04-04T15:00:00Z", "2026-04-04T17:00:00Z"}}, "04 15:30"},
		{"what fell due while nothing ran is left out", engine.Job{Every: 10 * time.Minute, Overlap: true},
			[][2]string{{"2026-11-22T08:05:00Z", "2026-11-22T08:15:00Z"}, {"2026-11-22T08:45:00Z", "2026-11-22T08:55:00Z"}}, "22 08:10, 22 08:50"},
		{"or the last of it is caught up with", engine.Job{Every: 10 * time.Minute, CatchUp: true, Overlap: true},
			[][2]string{{"2026-11-22T08:05:00Z", "2026-11-22T08:15:00Z"}, {"2026-11-22T08:45:00Z", "2026-11-22T08:55:00Z"}}, "22 08:10, 22 08:40, 22 08:50"},
		{"a schedule that never comes", engine.Job{Cron: "0 0 30 2 *", Overlap: true}, [][2]string{{"2026-11-22T08:00:00Z", "2026-11-22T08:01:00Z"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.job.Name = "check"
			b := newTimetable(t, tt.job)
			for _, life := range tt.lives {
				b.walk(life[0], life[1])
			}
			if got := b.fired(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestJitterIsTheSameAfterACrash: whenever the appliance dies, each instant fires
// once, within its jitter.
func TestJitterIsTheSameAfterACrash(t *testing.T) {
	t.Parallel()
	want := ""
	for n := range 4 {
		b := newTimetable(t, engine.Job{Name: "check", Every: 10 * time.Minute, Jitter: 5 * time.Minute, Overlap: true})
		b.walk("2026-11-22T08:05:00Z", "2026-11-22T08:16:00Z")
		for minute := 16; minute < 46; minute += n + 2 { // it lives for a while
			b.walk(fmt.Sprintf("2026-11-22T08:%02d:00Z", minute), fmt.Sprintf("2026-11-22T08:%02d:00Z", min(minute+n+2, 46)))
		}
		if got := b.fired(); want == "" {
			want = got
		} else if got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	if want != "22 08:10, 22 08:20, 22 08:30, 22 08:40" {
		t.Errorf("got %s", want)
	}
}

// TestNextFirings: the next three in the job's zone, and a run by hand, which
// changes nothing about them.
func TestNextFirings(t *testing.T) {
	b := newTimetable(t,
		engine.Job{Name: "daily", Cron: "30 1 * * *"}, engine.Job{Name: "spread", Every: time.Hour, Jitter: time.Minute},
		engine.Job{Name: "sydney", Cron: "0 8 * * mon", Zone: "Australia/Sydney"})
	s := b.schedule(&walker{now: time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC)})
	list := s.Statuses()
	var got []string
	for _, j := range list {
		for _, at := range j.Next {
			got = append(got, j.Zone+" "+at.Truncate(time.Minute).Format("02 15:04"))
		}
	}
	want := []string{
		"Europe/London 25 00:30", "Europe/London 26 01:30", "Europe/London 27 01:30",
		"Europe/London 24 12:00", "Europe/London 24 13:00", "Europe/London 24 14:00",
		"Australia/Sydney 25 21:00", "Australia/Sydney 01 21:00", "Australia/Sydney 08 21:00",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	first, err := s.StartJob(t.Context(), "daily", "dave", "page")
	must(t, err)
	again, err := s.StartJob(t.Context(), "daily", "dave", "page")
	must(t, err)
	if !first.Applied || again.Applied || !strings.Contains(again.Why, first.Run) {
		t.Errorf("got %+v, then %+v, want one run", first, again)
	}
	if after := s.Statuses()[0]; after.LastRun != first.Run || !after.LastFired.IsZero() || !slices.Equal(after.Next, list[0].Next) {
		t.Errorf("got %+v", after)
	}
	if _, err := s.StartJob(t.Context(), "none", "dave", "page"); engine.KindOf(err) != engine.NotFound {
		t.Errorf("got %v, want not_found", err)
	}
}
