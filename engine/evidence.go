package engine

import "time"

// Attachment is a file that a run put on an incident. Its content is a blob.
type Attachment struct {
	Name   string `json:"name"`
	Type   string `json:"type"` // as whoever made it says; nothing is shown by it
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// At and By are when and by whom it was put there.
	At time.Time `json:"at,omitzero"`
	By string    `json:"by,omitempty"`
}

// Kinds of values of an indicator.
const (
	IndicatorIP     = "ip"
	IndicatorDomain = "domain"
	IndicatorURL    = "url"
	IndicatorHash   = "hash"
	IndicatorEmail  = "email"
)

// Verdicts are what an indicator may be, the worst first.
var Verdicts = []string{"malicious", "suspicious", "clean", "unknown"}

// Indicator is a value that was seen, with what somebody says of it.
type Indicator struct {
	Value   string    `json:"value"`
	Kind    string    `json:"kind"` // ip, domain, url, hash or email
	Verdict string    `json:"verdict"`
	Sources []string  `json:"sources"` // who says so
	First   time.Time `json:"first,omitzero"`
	At      time.Time `json:"at,omitzero"` // of the newest verdict
	By      string    `json:"by,omitempty"`
}
