package engine

import "time"

// Mail is a mail that waits: the mail server did not take it yet, and it is tried
// again at Next.
type Mail struct {
	Run      string    `json:"run"` // that delivers it
	Incident string    `json:"incident,omitempty"`
	Question string    `json:"question,omitempty"`
	To       []string  `json:"to"`
	Subject  string    `json:"subject"`
	Error    string    `json:"error"` // what the server said last
	Tries    int       `json:"tries"`
	Since    time.Time `json:"since"`
	Next     time.Time `json:"next"`
}
