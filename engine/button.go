package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// Button is what i.button put on an incident: pressing it, once, runs Do beside the
// main run, whoever holds its link.
type Button struct {
	ID       string    `json:"id"`
	Label    string    `json:"label"`
	Incident string    `json:"incident"`
	Run      string    `json:"run"`  // that made it
	Step     string    `json:"step"` // PATH/N
	Do       Handler   `json:"do"`
	Args     Data      `json:"args,omitempty"` // a dict
	Bundle   string    `json:"bundle"`
	Commit   string    `json:"commit,omitempty"`
	Made     time.Time `json:"made"`
	// Pressed is when it was, zero for not yet; By names a person, or says that it
	// was whoever holds the link. Pressing is the run that this started.
	Pressed  time.Time `json:"pressed,omitzero"`
	By       string    `json:"by,omitempty"`
	How      string    `json:"how,omitempty"` // link, page, api
	Pressing string    `json:"pressing,omitempty"`
	// Erased says that what pressing would start is gone.
	Erased *Erased `json:"erased,omitempty"`
}

// ByLink is By of a button that was pressed by its link: it was mailed to somebody,
// and proves no more than that the mail was read.
const ByLink = "who has the link"

// linkPrefix and buttonPrefix begin the names of the handles of links.
const (
	linkPrefix   = "link:"
	buttonPrefix = "button:"
)

// IsLink tells the handles of links, by their names, from those of secrets: the
// door expands them to addresses, and they may go into mails.
func IsLink(name string) bool {
	return strings.HasPrefix(name, linkPrefix) || strings.HasPrefix(name, buttonPrefix)
}

// ButtonToken is the token by which the button that a step made is pressed: 160 bits
// of HMAC-SHA256 over the step's key (run, generation, step) under the box's key.
func ButtonToken(key []byte, step string) string {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "button\x00%s", step)
	return linkEncoding.EncodeToString(m.Sum(nil)[:20])
}

// ButtonSecret is the handle of a button's link: what a journal holds in place of
// the token.
func ButtonSecret(step string) Secret { return Secret{Name: buttonPrefix + step} }

// ParseButtonSecret reads the name that ButtonSecret made.
func ParseButtonSecret(name string) (step string, ok bool) {
	return strings.CutPrefix(name, buttonPrefix)
}
