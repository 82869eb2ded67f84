package engine

import (
	"context"
	"testing"
	"time"
)

// fakeMachine is a machine whose clock a test sets.
type fakeMachine struct {
	wall time.Time
	up   time.Duration
	sync Sync
}

func (m *fakeMachine) Now() time.Time                             { return m.wall }
func (m *fakeMachine) Up() time.Duration                          { return m.up }
func (m *fakeMachine) Sync() Sync                                 { return m.sync }
func (m *fakeMachine) Sleep(context.Context, time.Duration) error { return nil }

// pass lets time go by.
func (m *fakeMachine) pass(d time.Duration) { m.wall, m.up = m.wall.Add(d), m.up+d }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestAClockJumps(t *testing.T) {
	year1970, year2036 := time.Unix(60, 0).UTC(), time.Date(2036, 2, 7, 6, 28, 16, 0, time.UTC)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		before, then Sync
		at, set      time.Time
		why          string
	}{
		"ahead by eleven minutes":            {at: noon, set: noon.Add(11 * time.Minute), why: "the clock was set ahead by 11 minutes"},
		"back by eleven minutes":             {at: noon, set: noon.Add(-11 * time.Minute), why: "the clock was set back by 11 minutes"},
		"ahead by nine minutes":              {at: noon, set: noon.Add(9 * time.Minute)},
		"back by nine minutes":               {at: noon, set: noon.Add(-9 * time.Minute)},
		"1970":                               {at: noon, set: year1970, why: "the clock was set back by 20779 days"},
		"2036":                               {at: noon, set: year2036, why: "the clock was set ahead by 3363 days"},
		"2036, by a service that was right":  {before: Synced, then: Synced, at: noon, set: year2036, why: "the clock was set ahead by 3363 days"},
		"2036, by a service from the start":  {before: SyncAwaited, then: Synced, at: noon, set: year2036, why: "the clock was set ahead by 3363 days"},
		"days, by a service at last":         {before: SyncAwaited, then: Synced, at: noon, set: noon.Add(72 * time.Hour)},
		"days, with a service that waits":    {before: SyncAwaited, then: SyncAwaited, at: noon, set: noon.Add(72 * time.Hour), why: "the clock was set ahead by 3 days"},
		"an hour, by a service that kept it": {before: Synced, then: Synced, at: noon, set: noon.Add(time.Hour), why: "the clock was set ahead by 60 minutes"},
		"summer time ends":                   {at: time.Date(2026, 10, 25, 2, 59, 59, 0, berlin).UTC(), set: time.Date(2026, 10, 25, 2, 59, 59, 0, berlin).UTC()},
	} {
		t.Run(name, func(t *testing.T) {
			m := &fakeMachine{wall: c.at, sync: c.before}
			s := NewSteady(m)
			m.pass(time.Minute)
			if jump, off := s.Jump(); off {
				t.Fatalf("got the jump %+v before there was one", jump)
			}
			m.sync, m.wall = c.then, c.set.Add(time.Minute)
			jump, off := s.Jump()
			if jump.Why != c.why || off != (c.why != "") {
				t.Fatalf("got %+v, %v, want %q", jump, off, c.why)
			}
			want := m.wall
			if off {
				want = c.at.Add(time.Minute)
			}
			if got := s.Now(); !got.Equal(want) {
				t.Errorf("got the time %v, want %v", got, want)
			}
		})
	}
}

func TestAJumpIsUndoneOrAccepted(t *testing.T) {
	m := &fakeMachine{wall: noon}
	s := NewSteady(m)
	m.wall = noon.AddDate(10, 0, 0)
	m.pass(time.Hour)
	if got, want := s.Now(), noon.Add(time.Hour); !got.Equal(want) {
		t.Errorf("got %v while it has jumped, want %v", got, want)
	}
	m.wall = noon.Add(time.Hour)
	if jump, off := s.Jump(); off || !s.Now().Equal(m.wall) {
		t.Errorf("got %+v at %v, want none when the jump is undone", jump, s.Now())
	}
	m.wall = noon.Add(50 * time.Hour)
	if _, off := s.Jump(); !off {
		t.Fatal("got no jump")
	}
	s.Accept()
	m.pass(time.Minute)
	if _, off := s.Jump(); off || !s.Now().Equal(m.wall) {
		t.Errorf("got %v, want %v once it is accepted", s.Now(), m.wall)
	}
}

// TestSuspending: who sleeps has not jumped.
func TestSuspending(t *testing.T) {
	m := &fakeMachine{wall: noon}
	s := NewSteady(m)
	m.pass(14 * time.Hour)
	if jump, off := s.Jump(); off || !s.Now().Equal(m.wall) {
		t.Errorf("got %+v after a night", jump)
	}
}

func TestAClockAfterARest(t *testing.T) {
	for name, c := range map[string]struct {
		last, wall time.Time
		sync       Sync
		why        string
	}{
		"a new box":                         {wall: noon},
		"a new box in 1970":                 {wall: time.Unix(5, 0).UTC(), why: "the clock says 1970-01-01 00:00 UTC, which cannot be"},
		"a moment":                          {last: noon, wall: noon.Add(time.Minute)},
		"days without power":                {last: noon, wall: noon.AddDate(0, 0, 9)},
		"days without power, kept":          {last: noon, wall: noon.AddDate(0, 0, 9), sync: Synced},
		"days without power, not set yet":   {last: noon, wall: noon.AddDate(0, 0, 9), sync: SyncAwaited, why: "the clock is 9 days ahead of the newest record, and the time service has not set it yet"},
		"a little back":                     {last: noon, wall: noon.Add(-9 * time.Minute)},
		"back":                              {last: noon, wall: noon.Add(-11 * time.Minute), why: "the clock is 11 minutes behind the newest record"},
		"back, and kept":                    {last: noon, wall: noon.Add(-11 * time.Minute), sync: Synced},
		"1970":                              {last: noon, wall: time.Unix(5, 0).UTC(), sync: Synced, why: "the clock says 1970-01-01 00:00 UTC, which cannot be"},
		"2036, whatever the service says":   {last: noon, wall: noon.AddDate(10, 0, 0), sync: Synced, why: "the clock says 2036-11-22 12:00 UTC, which cannot be"},
		"behind, as the last time it saved": {last: noon, wall: noon.Add(-5 * time.Minute), sync: SyncAwaited},
	} {
		t.Run(name, func(t *testing.T) {
			m := &fakeMachine{wall: c.wall, up: time.Minute, sync: c.sync}
			s := NewSteady(m)
			s.Resume(c.last)
			m.pass(time.Second)
			jump, off := s.Jump()
			if jump.Why != c.why || off != (c.why != "") {
				t.Fatalf("got %+v, %v, want %q", jump, off, c.why)
			}
			want := m.wall
			if off && !c.last.IsZero() {
				want = c.last.Add(time.Second)
			}
			if got := s.Now(); !got.Equal(want) {
				t.Errorf("got the time %v, want %v", got, want)
			}
			m.wall, m.sync = noon.AddDate(0, 0, 20), Synced
			if jump, off := s.Jump(); off && c.why != "" {
				t.Errorf("got %+v once a service has set the clock", jump)
			}
			s.Accept()
			if _, off := s.Jump(); off || !s.Now().Equal(m.wall) {
				t.Errorf("got %v, want %v once it is accepted", s.Now(), m.wall)
			}
		})
	}
}
