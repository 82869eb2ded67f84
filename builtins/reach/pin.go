package reach

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"

	"larkspur/engine"
)

// Pin is the SHA-256 of a certificate's SubjectPublicKeyInfo (as in RFC 7469),
// which outlives the certificate's renewal with the same key.
type Pin [sha256.Size]byte

const pinPrefix = "sha256:"

// ParsePin reads "sha256:" and 64 hex digits, with or without colons, or base64.
// Errors are of kind invalid.
func ParsePin(s string) (Pin, error) {
	var p Pin
	text, ok := strings.CutPrefix(strings.TrimSpace(s), pinPrefix)
	if b, err := hex.DecodeString(strings.ReplaceAll(text, ":", "")); ok && err == nil && len(b) == len(p) {
		return Pin(b), nil
	}
	if b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "=")); ok && err == nil && len(b) == len(p) {
		return Pin(b), nil
	}
	return p, engine.Errorf(engine.Invalid, "got %q, want sha256: and 64 hex digits or base64", s)
}

// PinOf returns a certificate's pin.
func PinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// String writes the pin as the configuration has it.
func (p Pin) String() string { return pinPrefix + hex.EncodeToString(p[:]) }

// Trust says whose certificate is accepted at the other end of one connection.
type Trust struct {
	// Pin, where set, is the only proof: names, dates and issuers do not count.
	Pin *Pin
	// Key is the configuration key of the pin, which hints name.
	Key string
}

// TLS returns the client's configuration for a host.
func (d *Dialer) TLS(host string, t Trust) *tls.Config {
	c := &tls.Config{ServerName: host, RootCAs: d.Roots, MinVersion: tls.VersionTLS12}
	if t.Pin == nil {
		return c
	}
	c.InsecureSkipVerify = true // the pin is verified instead, below
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return engine.Errorf(engine.Unavailable, "the other end showed no certificate").WithCause("tls")
		}
		seen := PinOf(state.PeerCertificates[0])
		if subtle.ConstantTimeCompare(seen[:], t.Pin[:]) == 1 {
			return nil
		}
		return engine.Errorf(engine.Unavailable, "the certificate's key has the fingerprint %s, not the one in %s", seen, t.Key).WithCause("tls").
			WithHint("if the device was replaced or reset, put %q there; if not, somebody stands between", seen)
	}
	return c
}

// unknownCertificate returns the pin that was seen when err is the refusal of a
// certificate that the roots do not vouch for.
func unknownCertificate(err error) (Pin, bool) {
	var verify *tls.CertificateVerificationError
	if !errors.As(err, &verify) || len(verify.UnverifiedCertificates) == 0 {
		return Pin{}, false
	}
	return PinOf(verify.UnverifiedCertificates[0]), true
}
