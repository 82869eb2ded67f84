package engine

import "time"

// IncidentFilter selects incidents; empty parts select all.
type IncidentFilter struct {
	Status, Rule, Type, Severity, Owner string
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
	// Logins counts sign-ins since the ledger was made.
	Logins int `json:"logins"`
}

// Decision is what became of a person's act: applied, or why it had no effect.
type Decision struct {
	Applied bool   `json:"applied"`
	Why     string `json:"why,omitempty"`
}

// RuleStatus is a declared rule and how it fares.
type RuleStatus struct {
	Rule
	Hits      int       `json:"hits"`
	LastHit   time.Time `json:"last_hit,omitzero"`
	LastError string    `json:"last_error,omitempty"`
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
