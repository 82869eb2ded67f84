package engine

import "time"

// Statuses of an incident.
const (
	IncidentOpen   = "open"
	IncidentClosed = "closed"
)

// Incident is what people handle.
type Incident struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Title    string `json:"title"`
	Type     string `json:"type"`
	Rule     string `json:"rule,omitempty"`
	Severity string `json:"severity"`
	Owner    string `json:"owner,omitempty"`
	Team     string `json:"team,omitempty"`
	Visible  string `json:"visible,omitempty"`
	// Dedup is the key by which later matches find this incident.
	Dedup    string    `json:"dedup,omitempty"`
	Opened   time.Time `json:"opened"`
	Updated  time.Time `json:"updated"`
	Closed   time.Time `json:"closed,omitzero"`
	Reason   string    `json:"reason,omitempty"`
	Code     string    `json:"code,omitempty"`
	ClosedBy string    `json:"closed_by,omitempty"`
	// QuietUntil: matches attach to the closed incident until then.
	QuietUntil time.Time `json:"quiet_until,omitzero"`
	// Due is the next moment at which one of its deadlines is over; Breached counts
	// those that are.
	Due      time.Time `json:"due,omitzero"`
	Breached int       `json:"breached,omitempty"`
	// Hours is the calendar in which its deadlines count, as its rule says.
	Hours string `json:"hours,omitempty"`
	// Fields are the summary facts (a dict), in Order of first setting.
	Fields Data     `json:"fields,omitempty"`
	Order  []string `json:"order,omitempty"`
	// Reporter is who reported it; nil: nobody, it came from a sensor or a hook.
	Reporter *Reporter `json:"reporter,omitempty"`
	// OpenedBy is the run that opened it, where no event did.
	OpenedBy string `json:"opened_by,omitempty"`
	// Event is the id of the event that opened it; Events counts all.
	Event  string `json:"event,omitempty"`
	Events int    `json:"events"`
	// Erased says that what it held, or some of it, is gone.
	Erased *Erased `json:"erased,omitempty"`
}

// Overdue is Incident.Deadline of one that has a breached deadline.
const Overdue = "overdue"

// Deadline says how an incident stands to its deadlines: overdue, or nothing.
func (i Incident) Deadline() string {
	if i.Breached > 0 {
		return Overdue
	}
	return ""
}

// Reporter is who reported an incident.
type Reporter struct {
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
	// Verified: it is proved that the address is theirs.
	Verified bool `json:"verified,omitempty"`
}

// Person is an entry of `people`.
type Person struct {
	Name   string   `json:"name"`
	Email  string   `json:"email"`
	Role   string   `json:"role"`
	Notify []string `json:"notify,omitempty"`
}

// Roles, LANGUAGE section 6.
const (
	RoleViewer    = "viewer"
	RoleApprover  = "approver"
	RoleResponder = "responder"
	RoleEngineer  = "engineer"
	RoleAuditor   = "auditor"
	RoleAdmin     = "admin"
)

// UntilLayout is how TimelineEntry.Until stands in its text.
const UntilLayout = "2006-01-02 15:04:05 MST"

// TimelineEntry is one line of an incident's story, made from one record.
type TimelineEntry struct {
	Record uint64    `json:"record"` // position in its shard's ledger
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"`         // the record's kind: event_seen, step_done, question_asked, …
	By     string    `json:"by,omitempty"` // a person, "run r0-1", "timer"
	Text   string    `json:"text"`
	Run    string    `json:"run,omitempty"`
	Step   string    `json:"step,omitempty"`
	// Until is the moment that ends Text, there in UTC: pages show it in their
	// own zone.
	Until time.Time `json:"until,omitzero"`
	// Erased says that Text stands for what is gone.
	Erased *Erased `json:"erased,omitempty"`
}

// AuditRecord is one record of the ledger as auditors read it.
type AuditRecord struct {
	Shard   uint16    `json:"shard"`
	Record  uint64    `json:"record"`
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`
	Payload Data      `json:"payload,omitempty"`
	Outcome Data      `json:"outcome,omitempty"`
	Leaf    string    `json:"leaf"` // base64, as tlog writes hashes
	Erased  bool      `json:"erased,omitempty"`
	// Erasure says of an erased one why; Payload is what is left of it.
	Erasure *Erased `json:"erasure,omitempty"`
}
