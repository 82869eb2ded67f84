package engine

import "time"

// Erased says of a noun that what it held, or some of it, is gone for ever.
type Erased struct {
	At      time.Time `json:"at"`
	Because string    `json:"because"`
	Erasure string    `json:"erasure"` // the id of the Erasure
}

// String is the sentence that stands in place of what is gone.
func (e *Erased) String() string {
	return "erased on " + e.At.UTC().Format(time.DateOnly) + " because " + e.Because
}

// Statuses of an erasure.
const (
	ErasureRunning = "running"
	ErasureWaits   = "waiting" // some of it is in use, and is erased once it is not
	ErasureDone    = "done"
)

// ErasureRequest asks for one: Incident, Person or Before is set.
type ErasureRequest struct {
	Incident string `json:"incident,omitempty"`
	// Person is an address or user name. It is never stored in clear.
	Person string `json:"person,omitempty"`
	// Before selects incidents that were closed before it.
	Before  time.Time `json:"before,omitzero"`
	Because string    `json:"because"`
	// Snapshots deletes those of upgrades, too: they hold what was there then.
	Snapshots bool   `json:"snapshots,omitempty"`
	By        string `json:"-"`
	How       string `json:"-"` // page, api, command, schedule
}

// Erasure is what became of a request, or, in a dry run, what would.
type Erasure struct {
	ID      string    `json:"id,omitempty"`
	Status  string    `json:"status,omitempty"`
	Asked   time.Time `json:"asked,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	By      string    `json:"by,omitempty"`
	How     string    `json:"how,omitempty"`
	Because string    `json:"because"`
	// What was selected; a person is the keyed hash of the address.
	Incident string    `json:"incident,omitempty"`
	Person   string    `json:"person,omitempty"`
	Before   time.Time `json:"before,omitzero"`
	// Sizes are how many records each shard had when it was asked for: later ones
	// are not meant, whatever the clock said.
	Sizes []uint64 `json:"sizes,omitempty"`
	// Snapshots says that those of upgrades are deleted with it.
	Snapshots bool `json:"snapshots,omitempty"`
	// Records whose payloads are gone, and how many incidents they belonged to.
	Records   int `json:"records"`
	Incidents int `json:"incidents"`
	// Blobs are the files that go with them; only of a dry run and while it runs.
	Blobs int       `json:"blobs,omitempty"`
	Waits []Waiting `json:"waits,omitempty"`
	// Step says what is being done while it runs.
	Step string `json:"step,omitempty"`
	// Notes are what a person should know besides.
	Notes []string `json:"notes,omitempty"`
}

// Waiting is what an erasure leaves for later.
type Waiting struct {
	On  string `json:"on"`
	Why string `json:"why"`
}
