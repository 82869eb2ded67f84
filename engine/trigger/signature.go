package trigger

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Headers of Standard Webhooks, https://www.standardwebhooks.com.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// signatureTolerance is how far a signed timestamp may lie from our clock,
// either way.
const signatureTolerance = 5 * time.Minute

// maxSignatures bounds the signatures of one header: a sender that rotates its
// secret sends two.
const maxSignatures = 16

// credentials are what a request shows to prove that it knows the secret.
type credentials struct {
	id        string // webhook-id, part of what is signed
	timestamp string
	signature string
	bearer    string
}

// readCredentials takes the credentials from the headers.
func readCredentials(h http.Header) credentials {
	c := credentials{id: h.Get(headerID), timestamp: h.Get(headerTimestamp), signature: h.Get(headerSignature)}
	if scheme, token, ok := strings.Cut(h.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		c.bearer = strings.TrimSpace(token)
	}
	return c
}

// signed tells whether the request is signed; then the signature alone decides.
func (c credentials) signed() bool { return c.signature != "" }

// plausible tells whether the body is worth reading: the bearer token is right,
// or the request is signed at an acceptable time.
func (c credentials) plausible(secret string, now time.Time) bool {
	if c.signed() {
		return c.id != "" && c.timely(now)
	}
	return sameText(c.bearer, secret)
}

// timely tells whether the timestamp (Unix seconds) lies within the tolerance.
func (c credentials) timely(now time.Time) bool {
	seconds, err := strconv.ParseInt(c.timestamp, 10, 64)
	if err != nil || seconds < 0 {
		return false
	}
	age := now.Unix() - seconds // both far from overflow: seconds is not negative
	return age >= -int64(signatureTolerance/time.Second) && age <= int64(signatureTolerance/time.Second)
}

// authentic tells whether one of the signatures is the body's under secret.
func (c credentials) authentic(secret string, body []byte) bool {
	want := sign(secret, c.id, c.timestamp, body)
	found := 0
	for i, part := range strings.Fields(c.signature) {
		version, text, ok := strings.Cut(part, ",")
		if i >= maxSignatures {
			return false
		}
		if !ok || version != "v1" {
			continue
		}
		got, err := base64.StdEncoding.DecodeString(text)
		if err == nil {
			found |= subtle.ConstantTimeCompare(got, want)
		}
	}
	return found == 1
}

// sign computes HMAC-SHA256 over id.timestamp.body.
func sign(secret, id, timestamp string, body []byte) []byte {
	m := hmac.New(sha256.New, signingKey(secret))
	m.Write([]byte(id + "." + timestamp + "."))
	m.Write(body)
	return m.Sum(nil)
}

// signingKey is the key in a secret of the form whsec_BASE64; any other secret
// is the key itself.
func signingKey(secret string) []byte {
	text, ok := strings.CutPrefix(secret, "whsec_")
	if !ok {
		return []byte(secret)
	}
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(key) == 0 {
		return []byte(secret)
	}
	return key
}

// sameText compares without telling by its time how much was right. An empty
// secret equals nothing.
func sameText(got, secret string) bool {
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(secret))
	return secret != "" && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
