package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
)

// Lifetimes of what signs somebody in.
const (
	DeviceLife = 30 * 24 * time.Hour
	CodeLife   = 10 * time.Minute
	LinkLife   = time.Hour
	// CodeTries is how often a code may be mistyped.
	CodeTries = 5
	// LoginLife is for how long a sign-in counts as one of this moment, for questions
	// with the proof "login".
	LoginLife = 15 * time.Minute
)

// Ways to sign in.
const (
	ViaCode = "code" // mailed to the person's own address
	ViaLink = "link" // that an administrator made
)

// Device is a browser that is paired with a person: a key of `people`, or, without
// one, whoever reads the mail of an address.
type Device struct {
	ID      string    `json:"id"`
	Person  string    `json:"person,omitempty"`
	Email   string    `json:"email,omitempty"`
	Name    string    `json:"name"` // "Firefox on Android"
	How     string    `json:"how"`  // code, link
	Paired  time.Time `json:"paired"`
	Expires time.Time `json:"expires"`
	// Used is when it was last seen. The cache knows it, not the ledger.
	Used      time.Time `json:"used,omitzero"`
	Revoked   time.Time `json:"revoked,omitzero"`
	RevokedBy string    `json:"revoked_by,omitempty"`
	Why       string    `json:"why,omitempty"` // it was revoked
	// Erased says that whose it was is gone.
	Erased *Erased `json:"erased,omitempty"`
}

// Valid reports whether it counts at a moment.
func (d Device) Valid(now time.Time) bool {
	return d.ID != "" && d.Erased == nil && d.Revoked.IsZero() && now.Before(d.Expires)
}

// Fresh reports whether somebody signed in with it a moment ago.
func (d Device) Fresh(now time.Time) bool {
	return d.Valid(now) && now.Sub(d.Paired) < LoginLife
}

// Owner is how pages name whose device it is.
func (d Device) Owner() string {
	if d.Person != "" {
		return d.Person
	}
	return d.Email
}

// SignIn is a way in that was offered to somebody: once, for a while.
type SignIn struct {
	// Token is the SHA-256 of what the browser holds or the link ends with.
	Token   string    `json:"token"`
	Person  string    `json:"person,omitempty"`
	Email   string    `json:"email,omitempty"`
	How     string    `json:"how"`
	Code    string    `json:"code,omitempty"` // a keyed hash, see CodeSum
	Offered time.Time `json:"offered"`
	Expires time.Time `json:"expires"`
	Tries   int       `json:"tries,omitempty"`  // codes that were wrong
	Device  string    `json:"device,omitempty"` // that it paired
	Run     string    `json:"run,omitempty"`    // that mails the code
}

// Whose is how pages name whom it signs in.
func (s SignIn) Whose() string {
	if s.Person != "" {
		return s.Person
	}
	return s.Email
}

// Pairing asks for a device: by a sign-in, and what was typed for its code.
type Pairing struct {
	SignIn   SignIn
	Typed    string
	Key      string // SHA-256 of the device's token
	Name     string // of the browser
	Replaces string // the device that this browser was so far
}

// codeLetters has no two that look alike, and no vowels that make words.
const codeLetters = "23456789BCDFGHJKMNPQRSTVWXYZ"

// codeLength makes 38 bits: with five tries, one of 75 thousand million guesses hits.
const codeLength = 8

// SignInCode is the code of a sign-in: made of its token's sum under the box's key,
// so that neither ledger nor journal holds it, and the mail says the same again
// after a crash.
func SignInCode(key []byte, token string) string {
	n := binary.BigEndian.Uint64(sealed(key, "code", token))
	code := make([]byte, codeLength)
	for i := range code {
		code[i] = codeLetters[n%uint64(len(codeLetters))]
		n /= uint64(len(codeLetters))
	}
	return string(code[:codeLength/2]) + "-" + string(code[codeLength/2:])
}

// CodeSum is what the ledger holds of a code, and compares with what somebody
// typed: whatever its case, with or without what separates its halves.
func CodeSum(key []byte, token, typed string) string {
	plain := strings.Map(func(r rune) rune {
		if strings.ContainsRune(codeLetters, r) {
			return r
		}
		return -1
	}, strings.ToUpper(typed))
	return hex.EncodeToString(sealed(key, "typed", token+"\x00"+plain))
}

func sealed(key []byte, purpose, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(purpose + "\x00" + text))
	return m.Sum(nil)
}

// codePrefix marks the handles of codes among those of secrets.
const codePrefix = "code:"

// CodeSecret is the handle of a sign-in's code: what a journal holds in its place.
// The door of package builtins expands it.
func CodeSecret(token string) Secret { return Secret{Name: codePrefix + token} }

// ParseCodeSecret reads the name that CodeSecret made.
func ParseCodeSecret(name string) (token string, ok bool) {
	return strings.CutPrefix(name, codePrefix)
}
