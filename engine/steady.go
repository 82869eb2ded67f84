package engine

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Machine is what a Steady clock asks. Safe for concurrent use.
type Machine interface {
	// Clock may be set by anybody, at any time, to anything.
	Clock
	// Up is how long the machine has been up, suspended or not. Nobody sets it.
	Up() time.Duration
	// Sync says whether somebody keeps the clock right.
	Sync() Sync
}

// Sync is what the machine says of its clock.
type Sync int

// What a machine says of its clock.
const (
	SyncUnknown Sync = iota // no time service: whatever was set
	SyncAwaited             // a time service runs, and has not set it yet
	Synced                  // a time service keeps it
)

// MaxClockStep is how far a clock may be set without a word: further is a jump.
const MaxClockStep = 10 * time.Minute

// A clock that says these cannot be right, whoever set it: no Larkspur ran before
// firstYear, and none rested for longer than longestRest.
const (
	firstYear   = 2026
	longestRest = 5 * 365 * 24 * time.Hour
)

// Steady is the clock of a box: the machine's, as long as that goes on as time
// does. Once the machine's clock jumps, Now goes on from where it was, by the time
// that the machine is up, until the jump is undone, or a time service or a person
// vouches for what the clock says: nothing is done or written at a time that may
// be wrong. Safe for concurrent use.
type Steady struct {
	machine Machine

	mu     sync.Mutex // guards what follows
	at     time.Time  // the time at up
	up     time.Duration
	synced bool // a time service kept it before the jump
	rested bool // the jump is one over a rest of the machine
	fresh  bool // no record says what the time was before that rest
	jump   *ClockJump
}

// ClockJump is a clock that cannot be trusted.
type ClockJump struct {
	From time.Time `json:"from"` // the time, as far as it is known
	To   time.Time `json:"to"`   // what the clock said
	Why  string    `json:"why"`
	// Awaited says that a time service runs, which may set it right any moment.
	Awaited bool `json:"awaited,omitempty"`
}

// NewSteady returns the steady clock of a machine. It trusts what it finds; see
// Resume.
func NewSteady(m Machine) *Steady {
	return &Steady{machine: m, at: m.Now(), up: m.Up(), synced: m.Sync() == Synced}
}

// Resume tells of the newest record, zero for none, before anything is written:
// a clock that is behind it, or far from it, or whose time service has not set it
// yet, has jumped while the machine was off.
func (s *Steady) Resume(last time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wall, sync := s.machine.Now(), s.machine.Sync()
	why := doubtAfterRest(last, wall, sync)
	if why == "" {
		return
	}
	s.rested, s.fresh, s.at, s.up = true, last.IsZero(), last, s.machine.Up()
	if s.fresh {
		s.at = wall
	}
	s.jump = &ClockJump{From: s.at, To: wall, Why: why, Awaited: sync == SyncAwaited}
}

// doubtAfterRest says what is wrong with a clock that a machine found when it was
// started; "" for nothing.
func doubtAfterRest(last, wall time.Time, sync Sync) string {
	ahead := wall.Sub(last)
	switch {
	case absurd(last, wall):
		return "the clock says " + day(wall) + ", which cannot be"
	case sync == Synced || last.IsZero():
		return ""
	case ahead < -MaxClockStep:
		return "the clock is " + span(-ahead) + " behind the newest record"
	case ahead > MaxClockStep && sync == SyncAwaited:
		return "the clock is " + span(ahead) + " ahead of the newest record, and the time service has not set it yet"
	}
	return ""
}

func absurd(before, wall time.Time) bool {
	return wall.Year() < firstYear || !before.IsZero() && wall.Sub(before) > longestRest
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// span writes how long something is, in the largest unit that tells.
func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d minutes", d/time.Minute)
}

// Now implements Clock.
func (s *Steady) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.look()
}

func (s *Steady) look() time.Time {
	wall, up := s.machine.Now(), s.machine.Up()
	now := s.at.Add(up - s.up)
	if !s.believes(now, wall) {
		if s.jump == nil {
			s.jump = &ClockJump{From: now, To: wall, Why: jumped(wall.Sub(now))}
		}
		return now
	}
	s.take(wall, up)
	return wall
}

func (s *Steady) take(wall time.Time, up time.Duration) {
	s.jump, s.rested, s.at, s.up = nil, false, wall, up
}

func jumped(off time.Duration) string {
	if off < 0 {
		return "the clock was set back by " + span(-off)
	}
	return "the clock was set ahead by " + span(off)
}

// believes says whether the machine's clock is right: it is about where it should
// be, or a time service has set it. A service that kept it before the jump, too, is
// no witness: it was wrong before or is now.
func (s *Steady) believes(now, wall time.Time) bool {
	near := wall.Sub(now).Abs() <= MaxClockStep
	switch {
	case s.rested && s.fresh:
		return doubtAfterRest(time.Time{}, wall, SyncUnknown) == ""
	case s.rested && !near:
		return doubtAfterRest(now, wall, s.machine.Sync()) == ""
	}
	return near || !s.synced && !absurd(now, wall) && s.machine.Sync() == Synced
}

// Sleep implements Clock.
func (s *Steady) Sleep(ctx context.Context, d time.Duration) error { return s.machine.Sleep(ctx, d) }

// Jump looks at the machine's clock, and returns how it jumped. It is to be called
// every few seconds: it notes what keeps the clock.
func (s *Steady) Jump() (_ ClockJump, off bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look()
	if s.jump == nil {
		s.synced = s.machine.Sync() == Synced
		return ClockJump{}, false
	}
	return *s.jump, true
}

// Says returns what the machine's clock says, true or not.
func (s *Steady) Says() time.Time { return s.machine.Now() }

// Accept takes what the machine's clock says for the time: a person says so.
func (s *Steady) Accept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take(s.machine.Now(), s.machine.Up())
}

// ClockHold says whether timers wait because the clock cannot be trusted.
type ClockHold struct {
	On    bool      `json:"on"`
	Since time.Time `json:"since,omitzero"`
	From  time.Time `json:"from,omitzero"` // what the time was
	To    time.Time `json:"to,omitzero"`   // what the clock said
	Why   string    `json:"why,omitempty"`
	// By is who accepted the clock, How what ended the last hold.
	By  string `json:"by,omitempty"`
	How string `json:"how,omitempty"`
}

// What ends a hold, ClockHold.How.
const (
	ClockAccepted = "accepted" // a person took what the clock said for the time
	ClockRight    = "right"    // the jump was undone, or a time service vouches for it
)
