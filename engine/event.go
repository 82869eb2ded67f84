package engine

import "time"

// Event is one immutable observation: a lookup, a webhook's call, a mail. Fields
// are what `e.x` reads in scripts; a form's answers and a webhook's JSON body
// are fields.
type Event struct {
	// ID is set once the event stands in the ledger ("e0-42").
	ID     string           `json:"id,omitempty"`
	Kind   string           `json:"kind"`   // dns, webhook, email, …
	Source string           `json:"source"` // the interface, the hook's name, …
	Time   time.Time        `json:"time"`
	Fields map[string]Value `json:"-"`
	// Logsource is what a Sigma rule's logsource is held against; empty parts are
	// not stated.
	Logsource Logsource `json:"logsource"`
	// Key is the source's own name for the event: the same key from the same
	// source is the same event. Empty: every arrival is one.
	Key string `json:"-"`
	// Erased says that its fields are gone.
	Erased *Erased `json:"erased,omitempty"`
}

// Logsource is Sigma's (specification 2.1.0, "Logsource").
type Logsource struct {
	Category string `json:"category,omitempty"`
	Product  string `json:"product,omitempty"`
	Service  string `json:"service,omitempty"`
}

// Limits of events, LANGUAGE section 3.
const (
	MaxEventBytes        = 16 << 10
	MaxEventsPerIncident = 1000
)

// Severities, mildest first.
var Severities = []string{"info", "low", "medium", "high", "critical"}
