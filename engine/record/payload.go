package record

import (
	"time"

	"larkspur/engine"
)

// Payloads are JSON objects with sorted keys: the fields of each struct below
// stand in the order of their keys (a test holds that), and Data inside is
// canonical already.

// EpochOpened begins a new epoch of a shard: a process took the ledger.
type EpochOpened struct {
	Engine string `json:"engine"` // Larkspur's version
	Node   string `json:"node"`
}

// BundleActivated makes a bundle the live one.
type BundleActivated struct {
	Blob   string   `json:"blob"` // where its content lies
	Bundle string   `json:"bundle"`
	Commit string   `json:"commit,omitempty"`
	Files  []string `json:"files"` // "path sha256", sorted
	Rules  []string `json:"rules"` // names of what it declares
}

// LoggedIn is a person's sign-in.
type LoggedIn struct {
	How string `json:"how"` // setup link, login link
	Who string `json:"who"`
}

// LoggedOut is a person's sign-out.
type LoggedOut struct {
	Who string `json:"who"`
}

// Exported says that the audit log was exported; or, where What says so, something
// else.
type Exported struct {
	By       string    `json:"by"`
	Incident string    `json:"incident,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	What     string    `json:"what,omitempty"`
}

// Erased says that payloads of other records of its shard are gone, since the
// transaction that wrote it: who wanted that, and why. One erasure may take
// several of these, all with the same Erasure. The last one of a shard, when
// nothing of them is in any file any more, has Done set.
type Erased struct {
	Because string `json:"because"`
	By      string `json:"by"`
	Done    bool   `json:"done,omitempty"`
	Erasure string `json:"erasure"`
	How     string `json:"how"` // page, api, command, schedule
	// Incidents whose records these are: it has no effect if one of them was
	// opened again.
	Incidents []string `json:"incidents,omitempty"`
	// Sizes, of the first one, are how many records each shard had: later ones are
	// not meant.
	Sizes []uint64 `json:"sizes,omitempty"`
	// Snapshots, of the first one: those of upgrades go, too.
	Snapshots bool      `json:"snapshots,omitempty"`
	Spans     []Span    `json:"spans,omitempty"`
	Waits     []Waiting `json:"waits,omitempty"`
	What      Selection `json:"what"`
}

// Span is records whose payloads are erased: First, First+1, … as many as Left
// has entries. Left is what stays of each.
type Span struct {
	First uint64        `json:"first"`
	Left  []engine.Data `json:"left"`
}

// Last is the number of its last record.
func (s Span) Last() uint64 { return s.First + uint64(len(s.Left)) - 1 }

// Selection says what an erasure is about: one of its parts is set.
type Selection struct {
	Before   time.Time `json:"before,omitzero"` // incidents closed before it
	Incident string    `json:"incident,omitempty"`
	// Person is the keyed hash of an address or user name, KEYNAME:HEX.
	Person string `json:"person,omitempty"`
}

// Waiting is what an erasure leaves for later: it is in use.
type Waiting struct {
	On  string `json:"on"` // the incident, run or event whose records these are
	Why string `json:"why"`
}

// KeyRotated says that the keys that sign checkpoints changed: noted at the first
// start with the new ones. While keys overlap there are several, the newest first.
type KeyRotated struct {
	By  string   `json:"by"`
	New []string `json:"new"` // public keys that sign from now on
	Old []string `json:"old"` // that signed before
}

// Rebuilt says that the projections were made anew from the records, and whether
// the former ones were equal to them.
type Rebuilt struct {
	By       string   `json:"by"`
	Compared uint64   `json:"compared"`         // entries of the former ones
	Differ   uint64   `json:"differ,omitempty"` // of them, or of the new ones: not equal, or in one alone
	Differs  []string `json:"differs,omitempty"`
	Equal    bool     `json:"equal"`
	Records  uint64   `json:"records"` // they were made of
}

// EventSeen is an event that entered. Offer makes it idempotent.
type EventSeen struct {
	Cursor    string           `json:"cursor,omitempty"`
	Fields    engine.Data      `json:"fields,omitempty"` // a dict
	Kind      string           `json:"kind"`
	Logsource engine.Logsource `json:"logsource"`
	Offer     string           `json:"offer,omitempty"`
	Source    string           `json:"source"`
	Time      time.Time        `json:"time"`
}

// EventMatched offers an event to a rule's shard: it opens an incident with a
// run, or attaches. It carries all that this takes, so that the rule may change
// or vanish.
type EventMatched struct {
	Args      engine.Data    `json:"args,omitempty"` // a dict
	Bundle    string         `json:"bundle"`
	Commit    string         `json:"commit,omitempty"`
	Dedup     string         `json:"dedup,omitempty"`
	DedupSet  bool           `json:"dedup_set,omitempty"`
	Do        engine.Handler `json:"do"`
	Event     string         `json:"event"`
	EventKind string         `json:"event_kind"`
	EventTime time.Time      `json:"event_time"`
	Fields    engine.Data    `json:"fields,omitempty"` // of the event
	Hours     string         `json:"hours,omitempty"`  // the calendar in which deadlines count
	// MaxChanges is how many effects the rule may make in MaxChangesIn; 0 is no limit.
	MaxChanges   int           `json:"max_changes,omitempty"`
	MaxChangesIn time.Duration `json:"max_changes_in,omitempty"`
	Mode         string        `json:"mode"`
	Offer        string        `json:"offer"`
	// OnAttach handles the event if the incident is open already.
	OnAttach  *engine.Handler `json:"on_attach,omitempty"`
	OnBreach  *engine.Handler `json:"on_breach,omitempty"` // of a deadline of SLA
	OnFailure string          `json:"on_failure,omitempty"`
	Quiet     time.Duration   `json:"quiet,omitempty"`
	// Reporter is whom the event names as such.
	Reporter   *engine.Reporter `json:"reporter,omitempty"`
	Rule       string           `json:"rule"`
	Saves      time.Duration    `json:"saves,omitempty"`
	Severity   string           `json:"severity"`
	SLA        []Limit          `json:"sla,omitempty"`
	Source     string           `json:"source"`
	Team       string           `json:"team,omitempty"`
	Throttle   int              `json:"throttle,omitempty"`
	ThrottleIn time.Duration    `json:"throttle_in,omitempty"`
	Title      string           `json:"title"`
	Type       string           `json:"type"`
	Visible    string           `json:"visible,omitempty"`
}

// Limit is a deadline of an incident, close or respond.
type Limit struct {
	Limit time.Duration `json:"limit"`
	Name  string        `json:"name"`
}

// EventRouted closes the inbox entry of an event: all its matches were offered.
type EventRouted struct {
	Event string   `json:"event"`
	Rules []string `json:"rules,omitempty"`
}

// JobFired offers one firing of a schedule: (job, instant).
type JobFired struct {
	Args    engine.Data    `json:"args,omitempty"` // a dict
	Bundle  string         `json:"bundle"`
	Commit  string         `json:"commit,omitempty"`
	Do      engine.Handler `json:"do"`
	Instant time.Time      `json:"instant"`
	Job     string         `json:"job"`
	Mode    string         `json:"mode"`
	Offer   string         `json:"offer"`
	Overlap bool           `json:"overlap,omitempty"`
}

// JobStarted offers a person's wish that a job runs now, whatever its schedule.
type JobStarted struct {
	Args    engine.Data    `json:"args,omitempty"` // a dict
	Bundle  string         `json:"bundle"`
	By      string         `json:"by"`
	Commit  string         `json:"commit,omitempty"`
	Do      engine.Handler `json:"do"`
	How     string         `json:"how"` // page, api, command
	Job     string         `json:"job"`
	Mode    string         `json:"mode"`
	Overlap bool           `json:"overlap,omitempty"`
}

// StepStarted says that a step is about to touch the world, or waits.
type StepStarted struct {
	Args engine.Data `json:"args,omitempty"`
	At   string      `json:"at"`
	// Await is what an i.wait waits for: assigned, touched, closed or answered.
	Await string `json:"await,omitempty"`
	// Before is what the builtin read for its probe to compare with.
	Before  engine.Data  `json:"before,omitempty"`
	Builtin string       `json:"builtin"`
	Class   engine.Class `json:"class"`
	// Effect: the step changes the world, so that a brake holds it.
	Effect bool `json:"effect,omitempty"`
	// Expect is what a wait for an event waits for.
	Expect     *Expected `json:"expect,omitempty"`
	Generation int       `json:"generation"`
	Hash       string    `json:"hash"`
	// Limited: Until is the end of an attempt's timeout, not of the sleep.
	Limited bool `json:"limited,omitempty"`
	// Lock is the lock that it waits for.
	Lock   *Lock  `json:"lock,omitempty"`
	Number int    `json:"n"`
	Path   string `json:"path,omitempty"`
	// Question is what an ask asks; it opens with the step.
	Question *Question `json:"question,omitempty"`
	Run      string    `json:"run"`
	Ticks    uint64    `json:"ticks,omitempty"`
	// Until wakes a sleep.
	Until   time.Time `json:"until,omitzero"`
	Version int       `json:"version,omitempty"`
}

// StepDone is a step's result. A step that had no StepStarted (a read, or a
// word of our own) carries its description here.
type StepDone struct {
	Args       engine.Data   `json:"args,omitempty"`
	At         string        `json:"at,omitempty"`
	Blob       string        `json:"blob,omitempty"` // where a large result lies, or what it attaches
	Builtin    string        `json:"builtin,omitempty"`
	Button     *Button       `json:"button,omitempty"` // is put on the run's incident
	Change     *Change       `json:"change,omitempty"` // comes into force
	Class      engine.Class  `json:"class,omitempty"`
	Error      *engine.Error `json:"error,omitempty"`
	Generation int           `json:"generation"`
	Hash       string        `json:"hash,omitempty"`
	Incident   *IncidentAct  `json:"incident,omitempty"` // what it does to an incident
	Link       *Link         `json:"link,omitempty"`
	Mail       *Mail         `json:"mail,omitempty"` // what becomes of the run's mail
	Number     int           `json:"n"`
	Path       string        `json:"path,omitempty"`
	// Probed is true when the result came from asking the world after a crash.
	Probed  bool        `json:"probed,omitempty"`
	Result  engine.Data `json:"result,omitempty"`
	Run     string      `json:"run"`
	Settled *Settled    `json:"settled,omitempty"`
	Starts  []Start     `json:"starts,omitempty"`
	Ticks   uint64      `json:"ticks,omitempty"`
	Undo    string      `json:"undo,omitempty"` // the change that it takes back
	Version int         `json:"version,omitempty"`
}

// Start asks for a run in the frame of a step's result.
type Start struct {
	Args    engine.Data    `json:"args,omitempty"`
	Handler engine.Handler `json:"handler"`
	Purpose string         `json:"purpose"`
}

// RunParked says that a run waits and holds no memory.
type RunParked struct {
	Generation int    `json:"generation"`
	Number     int    `json:"n"` // the step that it waits in
	Path       string `json:"path,omitempty"`
	Run        string `json:"run"`
	// Steps are those that other branches wait in.
	Steps []string `json:"steps,omitempty"`
	Waits string   `json:"waits"`
}

// RunEnded ends a run, or stops it: done, failed, diverged, in_doubt,
// quarantined.
type RunEnded struct {
	Backtrace  string        `json:"backtrace,omitempty"`
	Error      *engine.Error `json:"error,omitempty"`
	Generation int           `json:"generation"`
	Run        string        `json:"run"`
	Status     string        `json:"status"`
}

// WorkerDied counts a worker's death against the run that it carried.
type WorkerDied struct {
	At         string `json:"at,omitempty"`    // where the script was, if that is known
	Cause      string `json:"cause,omitempty"` // memory, time, killed, exit, protocol
	Generation int    `json:"generation"`
	Run        string `json:"run"`
	Why        string `json:"why"`
}

// BrakeSet presses the brake of a shard, or lets it go.
type BrakeSet struct {
	By  string `json:"by"`
	On  bool   `json:"on"`
	Why string `json:"why,omitempty"`
}

// ClockHeld holds the timers of a shard, because the clock cannot be trusted, or
// lets them go.
type ClockHeld struct {
	By   string    `json:"by,omitempty"` // who accepted what the clock says
	From time.Time `json:"from,omitzero"`
	How  string    `json:"how,omitempty"` // what ends it: engine.ClockAccepted, engine.ClockRight
	On   bool      `json:"on"`
	To   time.Time `json:"to,omitzero"`
	Why  string    `json:"why,omitempty"`
}

// StepDoubted says that nobody knows whether a step of class once happened: it
// was started, and has no result.
type StepDoubted struct {
	Error      *engine.Error `json:"error"`
	Generation int           `json:"generation"`
	Number     int           `json:"n"`
	Path       string        `json:"path,omitempty"`
	Run        string        `json:"run"`
}

// StepResolved offers what a person says of a step in doubt, or of one that is
// held. Result is the step's, unless it is to be done.
type StepResolved struct {
	By         string      `json:"by"`
	Generation int         `json:"generation"`
	How        string      `json:"how"`
	Number     int         `json:"n"`
	Outcome    string      `json:"outcome"`
	Path       string      `json:"path,omitempty"`
	Result     engine.Data `json:"result,omitempty"`
	Run        string      `json:"run"`
	Version    int         `json:"version,omitempty"` // of the builtin, whose form Result has
	Why        string      `json:"why,omitempty"`
}

// RunRestarted offers a person's wish that a run goes on from one of its steps
// again, or, without a step, that all it changed is taken back and it ends.
type RunRestarted struct {
	Answered   bool        `json:"answered,omitempty"` // Result is the step's
	Bundle     string      `json:"bundle"`             // that it goes on with
	By         string      `json:"by"`
	Commit     string      `json:"commit,omitempty"`
	Generation int         `json:"generation"` // that is left
	How        string      `json:"how"`
	Number     int         `json:"n,omitempty"`
	Path       string      `json:"path,omitempty"`
	Result     engine.Data `json:"result,omitempty"`
	Run        string      `json:"run"`
	Version    int         `json:"version,omitempty"` // of the builtin, whose form Result has
	Why        string      `json:"why,omitempty"`
}

// Settled says of a change what a step of its undo came to.
type Settled struct {
	Change string `json:"change"`
	Error  string `json:"error,omitempty"` // why it could not be taken back
}

// Question is what an ask asks.
type Question struct {
	Choices    []engine.Choice    `json:"choices,omitempty"`
	Default    string             `json:"default,omitempty"`
	Details    []string           `json:"details,omitempty"`
	Due        time.Time          `json:"due,omitzero"`
	Fields     []engine.Field     `json:"fields,omitempty"`
	HasDefault bool               `json:"has_default,omitempty"`
	OnBreach   *engine.Handler    `json:"on_breach,omitempty"` // of SLA
	Proof      string             `json:"proof,omitempty"`
	Quorum     int                `json:"quorum,omitempty"`
	Remind     time.Duration      `json:"remind,omitempty"`
	SLA        time.Duration      `json:"sla,omitempty"` // in which it should be answered
	Text       string             `json:"text"`
	To         []engine.Addressee `json:"to"`
	// Unmailed: no mail server was configured, so that nobody is written to.
	Unmailed bool `json:"unmailed,omitempty"`
	Why      bool `json:"why,omitempty"`
}

// Mail says of an outbox run's mail that it waits for its next try, or, if Unsent
// is set, that it is not wanted any more.
type Mail struct {
	Error   string    `json:"error,omitempty"`
	Next    time.Time `json:"next,omitzero"`
	Subject string    `json:"subject,omitempty"`
	To      []string  `json:"to,omitempty"`
	Tries   int       `json:"tries,omitempty"`
	Unsent  string    `json:"unsent,omitempty"`
}

// Link remembers, hashed, the token of a link to a question.
type Link struct {
	Person   string `json:"person"`
	Question string `json:"question"`
	Revision int    `json:"revision"`
	Token    string `json:"token"` // hex SHA-256
}

// QuestionAnswered offers a person's answer.
type QuestionAnswered struct {
	By     string      `json:"by"`
	Choice string      `json:"choice,omitempty"`
	Device string      `json:"device,omitempty"` // that it came from
	Email  string      `json:"email,omitempty"`  // of who gave it
	Fields engine.Data `json:"fields,omitempty"`
	// Files were handed in with it: their contents are blobs.
	Files    []engine.Attachment `json:"files,omitempty"`
	How      string              `json:"how"`
	Proof    string              `json:"proof,omitempty"` // that was given
	Question string              `json:"question"`
	Reason   string              `json:"reason,omitempty"`
}

// TimerFired offers that a timer's moment has come.
type TimerFired struct {
	Timer string `json:"timer"`
}

// Acts on a deadline.
const (
	DeadlineStart  = "start" // by i.timer, as those that follow
	DeadlinePause  = "pause"
	DeadlineResume = "resume"
	DeadlineStop   = "stop"
	// DeadlineDue says when a running one is over: what calendars make of its
	// beginning and what was left then.
	DeadlineDue = "due"
)

// DeadlineSet is a step of a deadline's life. What calendars were asked for (Due of
// a due, Left of a pause) counts as long as the deadline has the Revision of which
// it was computed.
type DeadlineSet struct {
	Act        string          `json:"act"`
	Bundle     string          `json:"bundle,omitempty"` // of Handler
	Commit     string          `json:"commit,omitempty"`
	Deadline   string          `json:"deadline"` // engine.DeadlineID
	Due        time.Time       `json:"due,omitzero"`
	Generation int             `json:"generation,omitempty"`
	Handler    *engine.Handler `json:"handler,omitempty"`
	Hours      string          `json:"hours,omitempty"`
	Incident   string          `json:"incident,omitempty"`
	Left       time.Duration   `json:"left,omitempty"`
	Limit      time.Duration   `json:"limit,omitempty"`
	Mode       string          `json:"mode,omitempty"`
	Offer      string          `json:"offer,omitempty"`
	Revision   uint64          `json:"revision,omitempty"`
	Rule       string          `json:"rule,omitempty"`
	Run        string          `json:"run,omitempty"`
	Step       string          `json:"step,omitempty"` // PATH/N
}

// DeadlineBreached offers that a deadline's time is over. Names of deadlines are
// words of scripts: there is nothing in it to erase.
type DeadlineBreached struct {
	Deadline string `json:"deadline"`
	Timer    string `json:"timer"`
}

// Change is how a step's change is taken back.
type Change struct {
	Args        engine.Data     `json:"args,omitempty"`
	Done        engine.Data     `json:"done,omitempty"`
	Expires     time.Time       `json:"expires,omitzero"`
	From        int             `json:"from,omitempty"` // the first of the steps of do, in its path
	Inverse     string          `json:"inverse,omitempty"`
	InverseArgs engine.Data     `json:"inverse_args,omitempty"`
	Title       string          `json:"title"`
	Undo        *engine.Handler `json:"undo,omitempty"`
	Why         string          `json:"why,omitempty"`
}

// Button is what a step puts on the incident of its run.
type Button struct {
	Args  engine.Data    `json:"args,omitempty"` // of Do: a dict
	Do    engine.Handler `json:"do"`
	Label string         `json:"label"`
	Token string         `json:"token"` // hex SHA-256
}

// ButtonPressed offers that somebody pressed a button.
type ButtonPressed struct {
	Button string `json:"button"`
	By     string `json:"by"`
	How    string `json:"how"`
}

// UndoRequested asks that a change be taken back: by the bundle that made it,
// unless another is named.
type UndoRequested struct {
	Bundle string `json:"bundle,omitempty"`
	By     string `json:"by"`
	Change string `json:"change"`
	Commit string `json:"commit,omitempty"`
	Why    string `json:"why,omitempty"`
}

// IncidentOpened offers an incident that no event opens: a run does, by
// incidents.open, or, without a Run, Larkspur itself. An open one of the same type
// and dedup values is found instead.
type IncidentOpened struct {
	Args       engine.Data     `json:"args,omitempty"` // of Do: a dict
	Bundle     string          `json:"bundle,omitempty"`
	Commit     string          `json:"commit,omitempty"`
	Dedup      string          `json:"dedup,omitempty"`
	DedupSet   bool            `json:"dedup_set,omitempty"`
	Do         *engine.Handler `json:"do,omitempty"`     // a run of its own on the new incident
	Fields     engine.Data     `json:"fields,omitempty"` // its first facts: a dict
	Generation int             `json:"generation,omitempty"`
	// MaxChanges and MaxChangesIn bound the effects of Do's run, as they do those of Run.
	MaxChanges   int           `json:"max_changes,omitempty"`
	MaxChangesIn time.Duration `json:"max_changes_in,omitempty"`
	Mode         string        `json:"mode,omitempty"`
	Offer        string        `json:"offer,omitempty"`
	// Opened is when it was opened, where that was before the record: of what a test
	// begins with.
	Opened   time.Time        `json:"opened,omitzero"`
	Order    []string         `json:"order,omitempty"` // the keys of Fields as they were written
	Reporter *engine.Reporter `json:"reporter,omitempty"`
	Rule     string           `json:"rule,omitempty"` // or job, of Run
	Run      string           `json:"run,omitempty"`
	Severity string           `json:"severity"`
	Team     string           `json:"team,omitempty"`
	Title    string           `json:"title"`
	Type     string           `json:"type"`
	Visible  string           `json:"visible,omitempty"`
}

// Acts on an incident.
const (
	ActSet      = "set"
	ActNote     = "note"
	ActClose    = "close"
	ActReopen   = "reopen"
	ActAssign   = "assign"
	ActEscalate = "escalate"
	// ActAttach and ActIndicator are of steps, too.
	ActAttach    = "attach"
	ActIndicator = "indicator"
)

// IncidentAct is something done to an incident: by a step, or, as a record of
// its own, by a person or by a run of another shard.
type IncidentAct struct {
	Act string `json:"act"`
	// Among, of an assign, are the people of whom the one with the fewest open
	// incidents becomes the owner; Busy are how many each has in other shards.
	Among []string `json:"among,omitempty"`
	// Attachment's content is the blob of the step that attaches it.
	Attachment *engine.Attachment `json:"attachment,omitempty"`
	Busy       []int              `json:"busy,omitempty"`
	By         string             `json:"by"`
	Code       string             `json:"code,omitempty"`
	Fields     engine.Data        `json:"fields,omitempty"` // set: a dict
	Incident   string             `json:"incident"`
	Indicator  *engine.Indicator  `json:"indicator,omitempty"`
	Offer      string             `json:"offer,omitempty"` // of a run of another shard
	Order      []string           `json:"order,omitempty"` // set: the keys as they were written
	Owner      string             `json:"owner,omitempty"` // assign; none: it is the team's
	Quiet      time.Duration      `json:"quiet,omitempty"`
	Severity   string             `json:"severity,omitempty"` // escalate
	Team       string             `json:"team,omitempty"`     // assign; none: it stays
	Text       string             `json:"text,omitempty"`     // the note, or the reason
}

// StateSet keeps a value for later runs, or, without one, removes it. In a run's
// own shard it has effect as long as the run may write; in another one the offer
// makes that it does so once.
type StateSet struct {
	Expires    time.Time   `json:"expires,omitzero"`
	Generation int         `json:"generation"`
	Key        string      `json:"key"`
	Offer      string      `json:"offer,omitempty"`
	Run        string      `json:"run"`
	Value      engine.Data `json:"value,omitempty"`
}

// Expected names the step that expects an event, and since when it does.
type Expected struct {
	Since time.Time `json:"since"`
	Step  string    `json:"step"` // PATH/N
}

// ExpectSet has a run expect an event, from now on.
type ExpectSet struct {
	Args       engine.Data       `json:"args,omitempty"` // of its trigger, a dict
	Due        time.Time         `json:"due,omitzero"`
	Generation int               `json:"generation"`
	Kind       string            `json:"kind"`
	Match      map[string]string `json:"match,omitempty"`
	Run        string            `json:"run"`
	Step       string            `json:"step"`           // PATH/N
	Take       bool              `json:"take,omitempty"` // no rule sees the event
}

// EventExpected offers an event to the shard of a run that expects it.
type EventExpected struct {
	Event     string      `json:"event"`
	EventKind string      `json:"event_kind"`
	EventTime time.Time   `json:"event_time"`
	Fields    engine.Data `json:"fields,omitempty"` // of the event
	Offer     string      `json:"offer,omitempty"`
	Run       string      `json:"run"`
	Seen      time.Time   `json:"seen"` // when it became durable
	Source    string      `json:"source"`
	Step      string      `json:"step"` // PATH/N, that expects it
}

// Lock names a lock, and the shard that it belongs to.
type Lock struct {
	Name  string `json:"name"`
	Shard uint16 `json:"shard,omitempty"`
}

// Acts on a lock.
const (
	LockTake    = "take"    // in the lock's shard: a run wants it
	LockFree    = "free"    // in the lock's shard: a run of another one gave it up
	LockGrant   = "grant"   // in the run's shard: it has what it waited for in another one
	LockRelease = "release" // in the run's shard: a step gives it up
	LockAwaited = "awaited" // in the run's shard: what was held before a restart is not to be had yet
)

// LockChanged is a step of a lock's life. Locks and runs know each other by ids and
// tokens alone: there is nothing in it to erase.
type LockChanged struct {
	Act        string `json:"act"`
	Generation int    `json:"generation,omitempty"`
	Name       string `json:"name,omitempty"`
	Run        string `json:"run"`
	Step       string `json:"step,omitempty"` // PATH/N, that took it
	Token      string `json:"token,omitempty"`
}

// MetricSet records a value of a series, once an Offer. In a run's own shard it has
// effect as long as the run may write.
type MetricSet struct {
	Generation int               `json:"generation"`
	Labels     map[string]string `json:"labels,omitempty"`
	Name       string            `json:"name"`
	Offer      string            `json:"offer,omitempty"`
	Run        string            `json:"run"`
	Value      float64           `json:"value"`
}

// SignInOffered offers somebody a way to sign in: a code, which a run mails to their
// address, or a link, for which By asked.
type SignInOffered struct {
	Bundle  string    `json:"bundle,omitempty"` // of the run that mails the code
	By      string    `json:"by,omitempty"`
	Code    string    `json:"code,omitempty"` // its keyed hash
	Commit  string    `json:"commit,omitempty"`
	Email   string    `json:"email,omitempty"`
	Expires time.Time `json:"expires"`
	How     string    `json:"how"`
	Person  string    `json:"person,omitempty"`
	Token   string    `json:"token,omitempty"` // hex SHA-256
}

// DevicePaired offers to pair a browser with the person to whom a sign-in was
// offered. A wrong code has an effect, too: it counts.
type DevicePaired struct {
	Code     string    `json:"code,omitempty"` // the keyed hash of what was typed
	Email    string    `json:"email,omitempty"`
	Expires  time.Time `json:"expires"`
	How      string    `json:"how"`
	Key      string    `json:"key,omitempty"` // hex SHA-256 of the device's token
	Name     string    `json:"name,omitempty"`
	Person   string    `json:"person,omitempty"`
	Replaces string    `json:"replaces,omitempty"`
	Token    string    `json:"token,omitempty"` // of the sign-in
}

// DeviceRevoked offers to end a pairing before its time.
type DeviceRevoked struct {
	By     string `json:"by"`
	Device string `json:"device"`
	How    string `json:"how"`
	Why    string `json:"why,omitempty"`
}

// Outcome is what became of a record: applied, or no effect and why, and what
// it made. It is computed once and recorded.
type Outcome struct {
	Action    string   `json:"action,omitempty"` // of a match or an opening: opened, attached, throttled, quiet
	Applied   bool     `json:"applied"`
	Button    string   `json:"button,omitempty"`
	Change    string   `json:"change,omitempty"`
	Changes   []string `json:"changes,omitempty"` // to be taken back, the newest first
	Counts    bool     `json:"counts,omitempty"`  // a deadline runs, and wants to be told when it is over
	Device    string   `json:"device,omitempty"`
	Event     string   `json:"event,omitempty"`
	Incident  string   `json:"incident,omitempty"`
	Locks     []string `json:"locks,omitempty"`  // of which another shard is to be told
	Picked    int      `json:"picked,omitempty"` // of an assign: whom of Among, from 1
	Question  string   `json:"question,omitempty"`
	Questions []string `json:"questions,omitempty"` // withdrawn by it
	Reminder  string   `json:"reminder,omitempty"`  // the timer of a question's next one
	Run       string   `json:"run,omitempty"`
	Runs      []string `json:"runs,omitempty"`  // started by it, besides Run
	Steps     []string `json:"steps,omitempty"` // that waited, and do not any more
	Timer     string   `json:"timer,omitempty"`
	Touched   bool     `json:"touched,omitempty"` // by a person, and a deadline waited for that
	Until     uint64   `json:"until,omitempty"`   // where a restart cuts the journal
	Waited    []string `json:"waited,omitempty"`  // "RUN STEP": what they wait for came with it
	Why       string   `json:"why,omitempty"`
	Woken     []string `json:"woken,omitempty"` // runs whose waiting it ended
}

// coded are the payloads and outcomes that are written and read most.
var coded = engine.NewCodec(
	Outcome{}, EventSeen{}, EventMatched{}, EventRouted{}, StepStarted{}, StepDone{}, RunParked{}, RunEnded{}, TimerFired{},
	QuestionAnswered{}, IncidentAct{}, IncidentOpened{}, JobFired{}, UndoRequested{},
)

// Marshal encodes a payload or outcome canonically. It panics on a type that
// JSON cannot hold, which no payload is.
func Marshal(v any) []byte {
	b, err := coded.Marshal(v)
	if err != nil {
		panic("record: " + err.Error())
	}
	return b
}

// Unmarshal decodes a payload or outcome.
func Unmarshal[T any](b []byte) (T, error) {
	var v T
	if err := coded.Unmarshal(b, &v); err != nil {
		return v, engine.WrapError(engine.Internal, err, "record: decoding")
	}
	return v, nil
}
