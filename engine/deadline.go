package engine

import (
	"strings"
	"time"
)

// Statuses of a deadline.
const (
	DeadlineRunning  = "running"
	DeadlinePaused   = "paused"
	DeadlineMet      = "met"      // what it waits for has come
	DeadlineStopped  = "stopped"  // nobody waits for that any more
	DeadlineBreached = "breached" // its time is over, and what it waits for has not come
)

// What a deadline is about.
const (
	DeadlineOfIncident = "incident" // Name: close or respond
	DeadlineOfSection  = "section"  // what i.timer names
	DeadlineOfQuestion = "question"
)

// Deadlines of a whole incident.
const (
	DeadlineClose   = "close"   // met by closing it
	DeadlineRespond = "respond" // met by the first thing that a person does to it
)

// Deadline is a limit of time on an incident, on a section of the work on it, or
// on a question. Time counts in Hours, while it is running.
type Deadline struct {
	ID       string `json:"id"` // see DeadlineID
	Of       string `json:"of"`
	Name     string `json:"name"`
	Status   string `json:"status"`
	Incident string `json:"incident,omitempty"`
	Question string `json:"question,omitempty"`
	// Run and Step began it, where that was not its rule.
	Run  string `json:"run,omitempty"`
	Step string `json:"step,omitempty"`
	// Limit is the whole time, Left what was left of it at Since.
	Limit time.Duration `json:"limit"`
	Left  time.Duration `json:"left"`
	Hours string        `json:"hours,omitempty"` // a calendar; none: all the time counts
	// Handler is called when it is breached.
	Handler *Handler  `json:"handler,omitempty"`
	Args    Data      `json:"args,omitempty"` // a dict
	Bundle  string    `json:"bundle,omitempty"`
	Commit  string    `json:"commit,omitempty"`
	Rule    string    `json:"rule,omitempty"`
	Mode    string    `json:"mode,omitempty"`
	Started time.Time `json:"started"`
	// Since is when it went on last; Due when its time is over, as long as it is
	// running, and zero until that is computed.
	Since    time.Time `json:"since"`
	Due      time.Time `json:"due,omitzero"`
	Breached time.Time `json:"breached,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	// BreachRun is the run of Handler.
	BreachRun string `json:"breach_run,omitempty"`
	// Revision changes with each beginning, pause and end.
	Revision uint64 `json:"revision"`
	// Erased says that its arguments are gone.
	Erased *Erased `json:"erased,omitempty"`
}

// Ends reports whether it may still be breached, met or stopped.
func (d Deadline) Ends() bool {
	return d.Status == DeadlineRunning || d.Status == DeadlinePaused || d.Status == DeadlineBreached
}

// DeadlineID names a deadline: what it is about, the incident or the question, and
// the name of one of several.
func DeadlineID(of, owner, name string) string {
	return strings.TrimSpace(of + " " + owner + " " + name)
}

// ParseDeadlineID reads what DeadlineID wrote.
func ParseDeadlineID(id string) (of, owner, name string) {
	of, rest, _ := strings.Cut(id, " ")
	owner, name, _ = strings.Cut(rest, " ")
	return of, owner, name
}
