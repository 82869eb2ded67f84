package engine

import "time"

// IncidentFilter selects incidents; empty parts select all.
type IncidentFilter struct {
	Status, Rule, Type, Severity, Owner string
	// Deadline: Overdue selects those with a breached deadline.
	Deadline string
	// Since: only those that were opened then or later.
	Since time.Time
	// Dedup is the key, as canonical JSON, by which it is found again.
	Dedup string
	// Text is a search over titles, fields and the events that opened them: see
	// package state.
	Text string
}

// RunFilter selects runs; empty parts select all.
type RunFilter struct{ Status, Incident, Rule string }

// QuestionFilter selects questions; empty parts select all.
type QuestionFilter struct{ Status, Incident string }

// ChangeFilter selects changes; empty parts select all.
type ChangeFilter struct{ Status, Incident string }

// AuditFilter selects records of the ledger; zero parts select all.
type AuditFilter struct {
	Since, Until time.Time
	Incident     string
}

// Counts are what the top of every page shows. They are maintained, not scanned.
type Counts struct {
	OpenIncidents  int `json:"open_incidents"`
	OpenQuestions  int `json:"open_questions"`
	ChangesInForce int `json:"changes_in_force"`
	WaitingRuns    int `json:"waiting_runs"`
	// Overdue counts the open incidents of which a deadline is breached.
	Overdue int `json:"overdue,omitempty"`
	// Logins counts sign-ins since the ledger was made.
	Logins int `json:"logins"`
}

// Decision is what became of a person's act: applied, or why it had no effect.
type Decision struct {
	Applied bool   `json:"applied"`
	Why     string `json:"why,omitempty"`
}

// RestartRequest asks that a run goes on from one of its steps again, or, without
// a step, that all it changed is taken back and it ends.
type RestartRequest struct {
	Step string // PATH/N
	// Answer is plain JSON: the step's result from now on. nil: it is done again.
	Answer  Data
	Current bool // with the live bundle, not the run's own
	By      string
	How     string // page, api, command
	Why     string
}

// RestartPreview is what a restart would do, and what it cannot.
type RestartPreview struct {
	Run        string `json:"run"`
	Generation int    `json:"generation"` // that it would leave
	Step       string `json:"step,omitempty"`
	Bundle     string `json:"bundle"` // that it would go on with
	Commit     string `json:"commit,omitempty"`
	// Undone are the changes that it takes back, in that order: the newest first.
	Undone []Change `json:"undone"`
	// Cannot are effects that stay; Unknown those of which nobody knows whether
	// they happened.
	Cannot    []Step     `json:"cannot"`
	Unknown   []Step     `json:"unknown"`
	Questions []Question `json:"questions"` // that it withdraws
	// Differs is the first step at which the live scripts take another way than
	// what is recorded; nil when they do not, or the run's own go on.
	Differs *Difference `json:"differs,omitempty"`
	// Closed says that the run's incident is closed: what it would wait for ends at once.
	Closed bool `json:"closed,omitempty"`
}

// Difference is where a script is not the one that was recorded.
type Difference struct {
	Step    string `json:"step"`
	Message string `json:"message"`
	// Before says that it stands before the step of the restart: the run cannot go
	// on from there with these scripts.
	Before bool `json:"before,omitempty"`
}

// RuleStatus is a declared rule and how it fares.
type RuleStatus struct {
	Rule
	Hits      int       `json:"hits"`
	LastHit   time.Time `json:"last_hit,omitzero"`
	LastError string    `json:"last_error,omitempty"`
}

// JobStatus is a job with what it did, and what it will do.
type JobStatus struct {
	Job
	// Zone is that of its schedule, and Next are its next firings, in UTC.
	Zone string      `json:"zone"`
	Next []time.Time `json:"next"`
	// LastFired is the last instant of its schedule, LastRun the last run, whoever
	// started it.
	LastFired time.Time `json:"last_fired,omitzero"`
	LastRun   string    `json:"last_run,omitempty"`
	LastError string    `json:"last_error,omitempty"`
}

// JobStart is what became of the wish that a job runs now.
type JobStart struct {
	Decision
	Run string `json:"run,omitempty"`
}

// Snapshot is what the box runs at this moment: the live bundle, what it
// declares, and the problems of the newest files on disk. Problems with errors
// mean that the live bundle is an older one. Immutable.
type Snapshot struct {
	Bundle       Bundle       `json:"-"`
	Hash         string       `json:"hash"`
	Commit       string       `json:"commit,omitempty"`
	Since        time.Time    `json:"since"`
	Declarations Declarations `json:"declarations"`
	Problems     []Problem    `json:"problems,omitempty"`
}
