package engine

import "time"

// Tally counts what happened in a span of time.
type Tally struct {
	Events   int64 `json:"events"`  // seen, before rules
	Matched  int64 `json:"matched"` // by rules
	Opened   int64 `json:"opened"`
	Closed   int64 `json:"closed"`
	Reopened int64 `json:"reopened"`
	// CloseSeconds sums how long what was closed had been open; ClosedWithin
	// counts by TallyBounds.
	CloseSeconds int64   `json:"close_seconds"`
	ClosedWithin []int64 `json:"closed_within,omitempty"`
	// ClosedAs counts by code: resolved, false_positive, …
	ClosedAs map[string]int64 `json:"closed_as,omitempty"`

	RunsDone        int64 `json:"runs_done"` // of playbooks and jobs
	RunsFailed      int64 `json:"runs_failed"`
	RunsInDoubt     int64 `json:"runs_in_doubt"`
	RunsDiverged    int64 `json:"runs_diverged"`
	RunsQuarantined int64 `json:"runs_quarantined"`
	StepsFailed     int64 `json:"steps_failed"`
	// SavedSeconds is the hand work that runs saved, as their rules state it.
	SavedSeconds int64 `json:"saved_seconds"`

	Asked     int64 `json:"asked"`
	Answered  int64 `json:"answered"`
	TimedOut  int64 `json:"timed_out"`
	Withdrawn int64 `json:"withdrawn"`
	// AnswerSeconds sums how long people took; AnsweredWithin counts by
	// TallyBounds.
	AnswerSeconds  int64   `json:"answer_seconds"`
	AnsweredWithin []int64 `json:"answered_within,omitempty"`

	Changes    int64 `json:"changes"` // made
	Undone     int64 `json:"undone"`
	UndoFailed int64 `json:"undo_failed"`

	MailsSent   int64 `json:"mails_sent"`
	MailsFailed int64 `json:"mails_failed"`

	// MovedIn and MovedOut count open incidents whose severity (or the team that
	// alone sees them) became this one, and was it before: open are Opened +
	// Reopened + MovedIn - Closed - MovedOut.
	MovedIn  int64 `json:"moved_in"`
	MovedOut int64 `json:"moved_out"`
	// Breached counts deadlines.
	Breached int64 `json:"breached"`
}

// Open is how many incidents are open, of a tally of all time.
func (t *Tally) Open() int64 { return t.Opened + t.Reopened + t.MovedIn - t.Closed - t.MovedOut }

// TallyBounds are the upper bounds of ClosedWithin and AnsweredWithin; one more
// count is of what took longer.
func TallyBounds() []time.Duration {
	return []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 8 * time.Hour, 24 * time.Hour, 72 * time.Hour, 168 * time.Hour}
}

// Numbers are the counters in the order in which they are stored: new ones go to
// the end.
func (t *Tally) Numbers() []*int64 {
	return []*int64{
		&t.Events, &t.Matched, &t.Opened, &t.Closed, &t.Reopened, &t.CloseSeconds,
		&t.RunsDone, &t.RunsFailed, &t.RunsInDoubt, &t.RunsDiverged, &t.RunsQuarantined, &t.StepsFailed, &t.SavedSeconds,
		&t.Asked, &t.Answered, &t.TimedOut, &t.Withdrawn, &t.AnswerSeconds,
		&t.Changes, &t.Undone, &t.UndoFailed, &t.MailsSent, &t.MailsFailed, &t.MovedIn, &t.MovedOut, &t.Breached,
	}
}

// Add adds what another tally counted.
func (t *Tally) Add(other Tally) {
	theirs := other.Numbers()
	for i, n := range t.Numbers() {
		*n += *theirs[i]
	}
	t.ClosedWithin = addAll(t.ClosedWithin, other.ClosedWithin)
	t.AnsweredWithin = addAll(t.AnsweredWithin, other.AnsweredWithin)
	for code, n := range other.ClosedAs {
		if t.ClosedAs == nil {
			t.ClosedAs = map[string]int64{}
		}
		t.ClosedAs[code] += n
	}
}

func addAll(to, from []int64) []int64 {
	sum := make([]int64, max(len(to), len(from)))
	copy(sum, to)
	for i, n := range from {
		sum[i] += n
	}
	if len(sum) == 0 {
		return nil
	}
	return sum
}

// TallyGroup is what a tally counts: an empty part is of all, or of what has none.
type TallyGroup struct {
	// Time is when its span begins; zero for all time.
	Time     time.Time `json:"time,omitzero"`
	Rule     string    `json:"rule,omitempty"`
	Type     string    `json:"type,omitempty"`
	Severity string    `json:"severity,omitempty"`
	// Team is set where only that team may see the incidents.
	Team string `json:"-"`
}

// TallyRow is a tally with what it counts.
type TallyRow struct {
	TallyGroup
	Tally
}

// Spans of tallies.
const (
	TallyHours = "hour"
	TallySums  = "sum" // of hours, whatever the rule, type and severity
	TallyDays  = "day" // of UTC
	TallyAll   = "all"
)

// Hidden counts what only a team, or the owner of an incident, may see: the part
// of Counts to take off for others.
type Hidden struct {
	Team   string `json:"team"`
	Owner  string `json:"owner,omitempty"`
	Counts Counts `json:"counts"`
}

// VisibleToTeam is Incident.Visible of what only its team may see.
const VisibleToTeam = "team"

// Hit is one match of a rule.
type Hit struct {
	Time     time.Time `json:"time"`
	Event    string    `json:"event"`
	Kind     string    `json:"kind"`
	Source   string    `json:"source"`
	Title    string    `json:"title"`
	Action   string    `json:"action"` // opened, attached, quiet, throttled
	Incident string    `json:"incident"`
	Run      string    `json:"run,omitempty"`
	Erased   bool      `json:"erased,omitempty"`
}
