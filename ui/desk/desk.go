// Package desk is what pages and the API share: what may be read, what may be
// done and by whom. It declares the interfaces that state, runner and appliance
// implement, checks every act against the identity's role and what the incident
// shows to whom, and turns records into what people read.
//
// Begin with Desk. Its reading methods return only what the identity may see;
// its acting methods refuse with an error of kind denied.
package desk

import (
	"context"
	"io"
	"time"

	"larkspur/engine"
	"larkspur/ui/login"
)

// Reader answers queries from the projections. Lists are paged: an empty cursor
// asks for the first page, an empty cursor in the answer says that it was the
// last. Errors: not_found for an unknown id, invalid for a cursor that is none.
// Safe for concurrent use.
type Reader interface {
	// Incidents, newest first.
	Incidents(f engine.IncidentFilter, cursor string, limit int) ([]engine.Incident, string, error)
	Incident(id string) (engine.Incident, error)
	// Timeline, oldest first.
	Timeline(incident, cursor string, limit int) ([]engine.TimelineEntry, string, error)
	Event(id string) (engine.Event, error)
	// IncidentEvents, oldest first.
	IncidentEvents(incident, cursor string, limit int) ([]engine.Event, string, error)
	// Runs, newest first.
	Runs(f engine.RunFilter, cursor string, limit int) ([]engine.Run, string, error)
	Run(id string) (engine.Run, error)
	// Steps returns the current generation's steps in the order of their records.
	Steps(run string) ([]engine.Step, error)
	// StepsOf returns them as one of the run's generations saw them.
	StepsOf(run string, generation int) ([]engine.Step, error)
	// Questions and Changes, newest first.
	Questions(f engine.QuestionFilter, cursor string, limit int) ([]engine.Question, string, error)
	Question(id string) (engine.Question, error)
	// QuestionByToken finds the question of a link, and whose link it is.
	QuestionByToken(token string) (engine.Question, engine.Addressee, error)
	Changes(f engine.ChangeFilter, cursor string, limit int) ([]engine.Change, string, error)
	Change(id string) (engine.Change, error)
	// Device, and Devices of a person or address, newest first; of all, for "".
	login.Reader
	Device(id string) (engine.Device, error)
	Devices(of, cursor string, limit int) ([]engine.Device, string, error)
	Counts() (engine.Counts, error)
	// Brake is what holds every effect while it is on.
	Brake() (engine.Brake, error)
	// Clock says of a shard whether its timers wait, because the clock jumped.
	Clock(shard uint16) (engine.ClockHold, error)
	// Hidden is the part of Counts that only teams may see.
	Hidden() ([]engine.Hidden, error)
	// Tallies: by engine.TallyHours, TallySums, TallyDays or TallyAll, oldest first.
	Tallies(by string, since, until time.Time) ([]engine.TallyRow, error)
	// Attachments and Indicators of an incident, the oldest first; Attachment reads
	// one of the former by the SHA-256 of its content.
	Attachments(incident string) ([]engine.Attachment, error)
	Attachment(incident, sum string) (engine.Attachment, []byte, error)
	Indicators(incident string) ([]engine.Indicator, error)
	// WaitingMails are those that the mail server did not take yet, the oldest first.
	WaitingMails(cursor string, limit int) ([]engine.Mail, string, error)
	// Deadlines of an incident, those first that go on.
	Deadlines(incident string) ([]engine.Deadline, error)
	// Buttons are those of an incident, the oldest first; ButtonByToken finds the one
	// that a link presses.
	Buttons(incident string) ([]engine.Button, error)
	ButtonByToken(token string) (engine.Button, error)
	// Series are what scripts recorded, by name and labels; of one name alone, if it
	// is given. Points are those of one, the oldest first, by engine.PointsFine or
	// PointsHour.
	Series(name, cursor string, limit int) ([]engine.Series, string, error)
	Points(of engine.Series, by string) ([]engine.Point, error)
	// RuleMatches are what a rule matched, newest first.
	RuleMatches(rule, cursor string, limit int) ([]engine.Hit, string, error)
	// Audit, newest first.
	Audit(f engine.AuditFilter, cursor string, limit int) ([]engine.AuditRecord, string, error)
	// BundleFile returns one file of a bundle, "scripts/x.star".
	BundleFile(bundle, path string) (string, error)
}

// Decider hands people's decisions to the ledger. Every act is conditional: a
// Decision that was not applied says why, and is no error. When a method
// returns, Reader sees what it did.
type Decider interface {
	login.Decider
	// Answer gives somebody's answer to a question. It checks it whole: mistakes of
	// the input are engine.Problems. That it counts towards a quorum and decides
	// nothing yet is said in Why of a Decision that was applied.
	Answer(ctx context.Context, question string, r engine.Reply) (engine.Decision, error)
	CloseIncident(ctx context.Context, id, reason, code, by string) (engine.Decision, error)
	ReopenIncident(ctx context.Context, id, reason, by string) (engine.Decision, error)
	Note(ctx context.Context, id, text, by string) (engine.Decision, error)
	// Assign gives an incident to a person or a team, or to somebody of a team whom
	// pick chooses; invalid, with what there is, for anybody else.
	Assign(ctx context.Context, id, to, pick, by string) (engine.Decision, error)
	Escalate(ctx context.Context, id, severity, by string) (engine.Decision, error)
	// SetFacts sets summary facts in an order; invalid for more than there is room for.
	SetFacts(ctx context.Context, id string, facts map[string]engine.Value, order []string, by string) (engine.Decision, error)
	// Press presses a button, once: by is a person, or engine.ByLink.
	Press(ctx context.Context, button, by, how string) (engine.Decision, error)
	// UndoChange takes a change back: with the scripts that made it, or the live ones.
	UndoChange(ctx context.Context, id, by, why string, current bool) (engine.Decision, error)
	// Restart lets a run go on from one of its steps again, or, without a step,
	// takes back all it changed. PreviewRestart says what that would do.
	Restart(ctx context.Context, run string, in engine.RestartRequest) (engine.Decision, error)
	PreviewRestart(ctx context.Context, run string, in engine.RestartRequest) (engine.RestartPreview, error)
	// ResolveStep says of a step in doubt what became of it.
	ResolveStep(ctx context.Context, run string, in engine.Resolution) (engine.Decision, error)
	// SetBrake presses the brake, or lets it go.
	SetBrake(ctx context.Context, on bool, by, why string) (engine.Decision, error)
	// AcceptClock takes what the clock says for the time, after it jumped.
	AcceptClock(ctx context.Context, by, why string) (engine.Decision, error)
}

// Exporter writes the audit log for auditors.
type Exporter interface {
	// Export writes JSONL and records that it did.
	Export(ctx context.Context, w io.Writer, f engine.AuditFilter, by string) error
	// Checkpoint returns the newest signed checkpoint, a C2SP note.
	Checkpoint() (string, error)
}

// Rules tells what is live.
type Rules interface {
	Snapshot() engine.Snapshot
	RuleStatuses() []engine.RuleStatus
}

// Jobs are what the schedule starts.
type Jobs interface {
	// Statuses tells of each when it fires next.
	Statuses() []engine.JobStatus
	// StartJob has one run now; not_found where there is none.
	StartJob(ctx context.Context, name, by, how string) (engine.JobStart, error)
}

// Statuses of a Check.
const (
	HealthOK   = "ok"
	HealthWarn = "warn"
	HealthFail = "fail"
)

// Check is one node of the health tree: a failed parent explains its children.
type Check struct {
	Name     string  `json:"name"`
	Status   string  `json:"status"` // ok, warn, fail
	Message  string  `json:"message,omitempty"`
	Hint     string  `json:"hint,omitempty"`
	Children []Check `json:"children,omitempty"`
}

// Worst returns the worst status of the node and all below it.
func (c Check) Worst() string {
	worst := c.Status
	for _, child := range c.Children {
		switch s := child.Worst(); {
		case s == HealthFail, s == HealthWarn && worst != HealthFail:
			worst = s
		}
	}
	return worst
}

// Health reports how the box is. Report is called at every status page: it must
// be quick.
type Health interface {
	Report() Check
	// Ready returns nil once requests can be served.
	Ready() error
}

// Rebuild says how a rebuild of the projections fares, or how the last one did.
type Rebuild struct {
	Running bool       `json:"running"`
	Done    uint64     `json:"done"`  // records that are applied
	Total   uint64     `json:"total"` // of so many: it grows while others append
	Began   *time.Time `json:"began,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	// Error says why the last one ended early; the former projections are in force.
	Error string `json:"error,omitempty"`
	// Compared are entries of the former projections that were compared with the
	// new ones, Differ those that were not equal, of which Differs names some.
	Compared uint64   `json:"compared,omitempty"`
	Differ   uint64   `json:"differ,omitempty"`
	Differs  []string `json:"differs,omitempty"`
}

// Rebuilder makes the projections anew while everything goes on.
type Rebuilder interface {
	// Rebuild begins one, and does not wait; conflict while one goes on.
	Rebuild(by string) error
	Rebuilding() Rebuild
}

// Eraser makes what is held of somebody or something go away.
type Eraser interface {
	// Plan tells what a request would erase, and erases nothing. Errors: invalid,
	// not_found, and conflict for what is in use, with what to do.
	Plan(ctx context.Context, req engine.ErasureRequest) (engine.Erasure, error)
	// Erase takes a request and does not wait: Erasure tells how far it is.
	Erase(ctx context.Context, req engine.ErasureRequest) (engine.Erasure, error)
	Erasure(id string) (engine.Erasure, error)
	// Erasures, newest first.
	Erasures(cursor string, limit int) ([]engine.Erasure, string, error)
}

// Scrub says how a scrub of the state folder fares, or how the last one ended.
type Scrub struct {
	Running  bool           `json:"running"`
	Bytes    int64          `json:"bytes"`   // that were read of files
	Records  uint64         `json:"records"` // that were compared with the tree
	Total    uint64         `json:"total"`
	Began    *time.Time     `json:"began,omitempty"`
	Ended    *time.Time     `json:"ended,omitempty"`
	Findings []ScrubFinding `json:"findings,omitempty"`
	More     uint64         `json:"more,omitempty"`  // findings that are not listed
	Error    string         `json:"error,omitempty"` // why it ended early
	// Compared are entries of the projections that were compared with what the
	// records give; NotCompared says why none were.
	Compared    uint64 `json:"compared,omitempty"`
	NotCompared string `json:"not_compared,omitempty"`
}

// ScrubFinding is one thing that is damaged.
type ScrubFinding struct {
	Subject string `json:"subject"` // a file of the state folder, or a record
	What    string `json:"what"`
	Means   string `json:"means"`
	Do      string `json:"do"`
}

// Scrubber looks for damage while everything goes on.
type Scrubber interface {
	// Scrub begins one, and does not wait; conflict while one goes on.
	Scrub(by string) error
	Scrubbing() Scrub
}

// Desk brings the interfaces together.
type Desk struct {
	Reader   Reader
	Decider  Decider
	Exporter Exporter
	Rules    Rules
	Jobs     Jobs
	Health   Health
	Rebuilds Rebuilder
	Eraser   Eraser
	Scrubs   Scrubber
	DNS      DNS
	Clock    engine.Clock
	Devices  *login.Devices
	// Assignees are whom incidents can be assigned to: people and teams, sorted.
	Assignees func() (people, teams []string)
	// Zone is the workspace's time zone of this moment.
	Zone func() *time.Location
	// Meters are numbers of the program that no record holds.
	Meters func() []Meter
}
