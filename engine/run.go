package engine

import "time"

// Statuses of a run, DESIGN section 4.
const (
	RunRunning     = "running"
	RunWaiting     = "waiting"
	RunInDoubt     = "in_doubt"
	RunHeld        = "held"
	RunDiverged    = "diverged"
	RunDone        = "done"
	RunFailed      = "failed"
	RunQuarantined = "quarantined"
	RunUndone      = "undone"
)

// Run is one execution of one playbook function with the bundle of its start.
type Run struct {
	ID         string  `json:"id"`
	Status     string  `json:"status"`
	Generation int     `json:"generation"`
	Incident   string  `json:"incident,omitempty"`
	Event      string  `json:"event,omitempty"`
	Rule       string  `json:"rule,omitempty"` // or the job's name
	Handler    Handler `json:"handler"`
	Args       Data    `json:"args,omitempty"` // a dict
	Bundle     string  `json:"bundle"`
	Commit     string  `json:"commit,omitempty"`
	// Purpose: playbook, undo, outbox, attach, breach, button, job.
	Purpose string `json:"purpose"`
	// Change is what an undo run takes back; Question what an outbox run delivers.
	Change   string `json:"change,omitempty"`
	Question string `json:"question,omitempty"`
	Parent   string `json:"parent,omitempty"` // the run that started it
	// Unsent says why the mail of an outbox run is not wanted any more.
	Unsent  string    `json:"unsent,omitempty"`
	Mode    string    `json:"mode"` // live or shadow
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	// Waits says for what, while waiting: "question q0-7", "until 2026-…".
	Waits string `json:"waits,omitempty"`
	// Sleeps are the steps that it waits in besides questions, separated by
	// spaces: closing its incident ends them.
	Sleeps string `json:"sleeps,omitempty"`
	// Expects: it expects events.
	Expects bool `json:"expects,omitempty"`
	// Locks are those that it holds or waits for.
	Locks []RunLock `json:"locks,omitempty"`
	// Held are the steps that are held before they have begun.
	Held  string `json:"held,omitempty"`
	Error *Error `json:"error,omitempty"`
	// Engine is the version of Larkspur that the run began with.
	Engine string `json:"engine,omitempty"`
	// Saves is the hand work that it saves, as its rule states it.
	Saves time.Duration `json:"saves,omitempty"`
	// MaxChanges is how many effects its rule may make in MaxChangesIn before
	// people are asked; 0 is no limit.
	MaxChanges   int           `json:"max_changes,omitempty"`
	MaxChangesIn time.Duration `json:"max_changes_in,omitempty"`
	// Deaths counts workers that died on it; three quarantine it.
	Deaths int `json:"deaths,omitempty"`
	// Doubts counts its steps in doubt: while there is one, the run is.
	Doubts int `json:"doubts,omitempty"`
	// Skipped is the step that a person skipped of an undo.
	Skipped string `json:"skipped,omitempty"`
	// OnFailure is what its rule wants when it fails: keep or undo.
	OnFailure string `json:"on_failure,omitempty"`
	// Changes are what an undo run takes back of a whole part of a run, the newest
	// first.
	Changes []string `json:"changes,omitempty"`
	// Branches are the generations that restarts left, the oldest first: that of
	// generation g is Branches[g-1]. What is not left of them counts on.
	Branches []Branch `json:"branches,omitempty"`
	// Restart is what was asked for, until its changes are taken back.
	Restart *Restart `json:"restart,omitempty"`
	// Erased says that its arguments are gone.
	Erased *Erased `json:"erased,omitempty"`
}

// RunLock is a lock that a step of a run got, or waits for.
type RunLock struct {
	Name  string `json:"name"`
	Shard uint16 `json:"shard,omitempty"` // that it belongs to
	Step  string `json:"step"`            // PATH/N
	Token string `json:"token"`           // names the hold
	Waits bool   `json:"waits,omitempty"` // it does not hold it yet
	// Again: the run was restarted behind the step, and takes it before it goes on.
	Again bool `json:"again,omitempty"`
	// Place is where it stands in a queue of its own shard.
	Place uint64 `json:"place,omitempty"`
}

// Branch is a generation of a run that a restart left.
type Branch struct {
	Generation int    `json:"generation"`
	Bundle     string `json:"bundle"`
	Commit     string `json:"commit,omitempty"`
	Status     string `json:"status"` // of the run when it was restarted
	Error      *Error `json:"error,omitempty"`
	// Until: what began there in the run's journal, or later, does not count on.
	Until uint64 `json:"until"`
	// Step is the one from which the run was restarted, by whom, when and why.
	Step string    `json:"step"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Why  string    `json:"why,omitempty"`
}

// Restart is a restart, or the undo of a whole run, that goes on.
type Restart struct {
	Step     string    `json:"step,omitempty"` // none: everything is taken back, and the run ends
	Until    uint64    `json:"until"`
	Bundle   string    `json:"bundle"` // that the run goes on with
	Commit   string    `json:"commit,omitempty"`
	Answered bool      `json:"answered,omitempty"` // the step's result is in the record
	Record   uint64    `json:"record"`             // that asked for it
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	Why      string    `json:"why,omitempty"`
	// Was and Error are what the run was before.
	Was   string `json:"was"`
	Error *Error `json:"error,omitempty"`
	// UndoRun takes back what is not Left for the next: changes whose undo is a
	// function of another bundle.
	UndoRun string   `json:"undo_run,omitempty"`
	Left    []string `json:"left,omitempty"`
}

// BundleOf returns the bundle of one of the run's generations.
func (r Run) BundleOf(generation int) string {
	if generation > 0 && generation <= len(r.Branches) {
		return r.Branches[generation-1].Bundle
	}
	return r.Bundle
}

// Statuses of a step.
const (
	StepStarted    = "started"
	StepDone       = "done"
	StepFailed     = "failed"
	StepInDoubt    = "in_doubt"
	StepNotStarted = "not_started"
	StepSkipped    = "skipped"
)

// Step is one journaled call. Key: run, generation, path, number.
type Step struct {
	Path    string `json:"path"` // "" is the root path
	Number  int    `json:"n"`
	Builtin string `json:"builtin"`
	Version int    `json:"version,omitempty"`
	Class   Class  `json:"class,omitempty"`
	At      string `json:"at"` // file:line:col
	Args    Data   `json:"args,omitempty"`
	// Before is what the builtin read, before the step began, for its probe.
	Before Data `json:"before,omitempty"`
	// Hash is "KEYNAME:HEX", the keyed hash of the arguments; Ticks the
	// interpreter's step count. Both detect divergence.
	Hash    string    `json:"hash,omitempty"`
	Ticks   uint64    `json:"ticks,omitempty"`
	Status  string    `json:"status"`
	Result  Data      `json:"result,omitempty"`
	Error   *Error    `json:"error,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	// Generation is the one that made it, where that is not the run's.
	Generation int `json:"generation,omitempty"`
	// Given says that a person gave its result at a restart.
	Given bool `json:"given,omitempty"`
	// Order is the place of its result in the run's journal, or, without one, of
	// its start: a number of the ledger. Branches of a parallel go on in this order.
	Order uint64 `json:"order,omitempty"`
	// Held says what holds it before it has begun: brake or limit.
	Held string `json:"held,omitempty"`
	// Resolved says what a person said of it when it was in doubt.
	Resolved *Resolution `json:"resolved,omitempty"`
	// Erased says that arguments or result are gone, when and why.
	Erased string `json:"erased,omitempty"`
}

// Outcomes of a step in doubt, as a person says them.
const (
	OutcomeHappened = "happened" // with a value
	OutcomeAgain    = "again"    // do it once more
	OutcomeSkip     = "skip"     // go on without it

	// Of a step that is held, see Brake.
	OutcomeRelease = "release" // let it go on, whatever holds it
	OutcomeDrop    = "drop"    // do not do it: an error of kind denied
)

// SayOutcome says one of them in words.
func SayOutcome(outcome string) string {
	switch outcome {
	case OutcomeHappened:
		return "it happened"
	case OutcomeAgain:
		return "do it again"
	case OutcomeRelease:
		return "let it go on"
	case OutcomeDrop:
		return "drop it"
	}
	return "skip it"
}

// Resolution is what a person said of a step in doubt, or of one that is held.
type Resolution struct {
	Step    string    `json:"step"` // PATH/N
	Outcome string    `json:"outcome"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Why     string    `json:"why,omitempty"`
	How     string    `json:"how,omitempty"` // page, api, command
	// Value is what a step that happened returned.
	Value Data `json:"value,omitempty"`
}

// Statuses of a question.
const (
	QuestionOpen      = "open"
	QuestionAnswered  = "answered"
	QuestionTimedOut  = "timed_out"
	QuestionWithdrawn = "withdrawn"
)

// Choice is one answer of a question, and what it does.
type Choice struct {
	Name        string `json:"name"`
	Consequence string `json:"consequence,omitempty"`
}

// Field is one input of a question or form.
type Field struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"` // text, choice, many, number, date, duration, domain, address, file
	Label     string   `json:"label,omitempty"`
	Multiline bool     `json:"multiline,omitempty"`
	Required  bool     `json:"required,omitempty"`
	Choices   []string `json:"choices,omitempty"`
	Max       string   `json:"max,omitempty"`
}

// Addressee is who is asked: a key of `people` (Name) or only an address.
type Addressee struct {
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
}

// Question is what a run asks people and waits for.
type Question struct {
	ID       string      `json:"id"`
	Status   string      `json:"status"`
	Run      string      `json:"run"`
	Incident string      `json:"incident,omitempty"`
	Step     string      `json:"step"` // PATH/N
	To       []Addressee `json:"to"`
	Text     string      `json:"question"`
	Choices  []Choice    `json:"choices,omitempty"`
	Fields   []Field     `json:"fields,omitempty"`
	Details  []string    `json:"details,omitempty"`
	Default  string      `json:"default,omitempty"`
	// HasDefault tells a default of "" from none.
	HasDefault bool   `json:"has_default,omitempty"`
	Why        bool   `json:"why,omitempty"` // a reason is required
	Proof      string `json:"proof,omitempty"`
	// Quorum is how many different people have to give the same choice; 0 is one,
	// whoever is first.
	Quorum int `json:"quorum,omitempty"`
	// Remind is how often who has not answered is reminded; 0 is never. Reminders
	// counts how often that was.
	Remind    time.Duration `json:"remind,omitempty"`
	Reminders int           `json:"reminders,omitempty"`
	Revision  int           `json:"revision"`
	Asked     time.Time     `json:"asked"`
	Due       time.Time     `json:"due,omitzero"` // zero: waits for ever
	// Answer is what came of it; nil while it is open.
	Answer *Answer `json:"answer,omitempty"`
	// Answers, with a quorum, are what those who are asked said so far, each the
	// newest of theirs, in the order of their first.
	Answers []Answer `json:"answers,omitempty"`
	// Erased says that its text or its answer is gone.
	Erased *Erased `json:"erased,omitempty"`
}

// Answer is what came of a question.
type Answer struct {
	Choice   string    `json:"choice,omitempty"`
	By       string    `json:"by"` // "nobody" after a time-out
	Email    string    `json:"email,omitempty"`
	At       time.Time `json:"at"`
	Fields   Data      `json:"fields,omitempty"` // a dict
	Reason   string    `json:"reason,omitempty"`
	TimedOut bool      `json:"timed_out,omitempty"`
	How      string    `json:"how,omitempty"` // link, page, api, command
	// Seat is the place in To of who gave it, from 1: of an answer that counts
	// towards a quorum.
	Seat int `json:"seat,omitempty"`
	// Proof is what proved who answered, Device the paired browser that it came from.
	Proof  string `json:"proof,omitempty"`
	Device string `json:"device,omitempty"`
}

// Statuses of a change.
const (
	ChangeInForce    = "in_force"
	ChangeUndone     = "undone"
	ChangeUndoFailed = "undo_failed"
)

// Change is something done to the world that can be taken back: by an inverse
// builtin with arguments, or by a named handler.
type Change struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Title    string `json:"title"`
	Why      string `json:"why,omitempty"`
	Run      string `json:"run"`
	Incident string `json:"incident,omitempty"`
	Rule     string `json:"rule,omitempty"`
	Step     string `json:"step"`
	// Generation of the run that made it; 0 is the first.
	Generation int       `json:"generation,omitempty"`
	Bundle     string    `json:"bundle"`
	Made       time.Time `json:"made"`
	Expires    time.Time `json:"expires,omitzero"`
	// Inverse is the builtin that takes it back with InverseArgs (a dict), or,
	// when empty, Undo is called with (done, **Args).
	Inverse     string   `json:"inverse,omitempty"`
	InverseArgs Data     `json:"inverse_args,omitempty"`
	Undo        *Handler `json:"undo,omitempty"`
	Args        Data     `json:"args,omitempty"`
	Done        Data     `json:"done,omitempty"`
	// UndoRun takes it back; UndoneBy says who or what asked for that.
	UndoRun  string    `json:"undo_run,omitempty"`
	UndoneBy string    `json:"undone_by,omitempty"`
	Undone   time.Time `json:"undone,omitzero"`
	Error    string    `json:"error,omitempty"`
	// Erased says that what was done, and how to take it back, is gone.
	Erased *Erased `json:"erased,omitempty"`
}

// Timer is an absolute moment at which something is offered to the ledger.
type Timer struct {
	ID  string    `json:"id"`
	Due time.Time `json:"due"`
	// What it is for: question (time-out), sleep, wait (time-out), change (expiry), state (expiry), deadline (breach).
	For    string `json:"for"`
	Target string `json:"target"` // the question's, run's or change's id
	Step   string `json:"step,omitempty"`
}
