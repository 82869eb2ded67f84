package login

import (
	"crypto/sha256"
	"crypto/subtle"

	"larkspur/engine"
)

// Token is a bearer token of the API. Only the hash of its secret is held.
type Token struct {
	Name, Role string
	hash       [sha256.Size]byte
}

// MinTokenBytes is the shortest secret that NewToken takes.
const MinTokenBytes = 16

// NewToken makes a token from its secret. Errors: invalid, for a secret that
// could be guessed or a role that does not exist.
func NewToken(name, role, secret string) (Token, error) {
	if len(secret) < MinTokenBytes {
		return Token{}, engine.Errorf(engine.Invalid, "web.tokens.%s: the secret has %d characters, want at least %d",
			name, len(secret), MinTokenBytes).WithHint("Make one with: openssl rand -base64 24")
	}
	if rightsOf(role) == nil {
		return Token{}, engine.Errorf(engine.Invalid,
			"web.tokens.%s.role: got %q, want viewer, approver, responder, engineer, auditor or admin", name, role)
	}
	return Token{Name: name, Role: role, hash: sha256.Sum256([]byte(secret))}, nil
}

// HashedToken makes a token from the SHA-256 of its secret, as the ledger keeps it.
func HashedToken(name, role string, hash [sha256.Size]byte) Token {
	return Token{Name: name, Role: role, hash: hash}
}

// find compares a secret with every token in constant time, whichever matches.
func find(tokens []Token, secret string) (Token, bool) {
	sum := sha256.Sum256([]byte(secret))
	found := -1
	for i := range tokens {
		if subtle.ConstantTimeCompare(sum[:], tokens[i].hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return Token{}, false
	}
	return tokens[found], true
}
