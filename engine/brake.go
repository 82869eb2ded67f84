package engine

import "time"

// Brake holds every effect of every run while it is on; reads and questions go
// on.
type Brake struct {
	On    bool      `json:"on"`
	Since time.Time `json:"since,omitzero"`
	By    string    `json:"by,omitempty"`
	Why   string    `json:"why,omitempty"`
}

// What holds a step, Step.Held.
const (
	HeldByBrake = "brake" // somebody pressed it
	HeldByLimit = "limit" // the rule's max_changes
)
