package login

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"larkspur/engine"
)

// The guards against forged requests. A form carries a token that only a page
// made for the holder of a session, a question's link or a set-up link can
// hold; in addition the browser's own word on where the request comes from is
// heeded.

// FormField is the name of the hidden input that carries a form's token.
const FormField = "form_token"

const formTokenBytes = 20

// FormToken makes the token of a form. secret is what the holder proves
// themselves with (a session's or a link's token); purpose separates its uses.
// The token is masked with fresh random bytes, so that compressed pages do not
// give it away (BREACH).
func FormToken(secret, purpose string) string {
	masked := make([]byte, 2*formTokenBytes)
	rand.Read(masked[:formTokenBytes]) // never fails, crypto/rand
	subtle.XORBytes(masked[formTokenBytes:], formMAC(secret, purpose), masked[:formTokenBytes])
	return base64.RawURLEncoding.EncodeToString(masked)
}

func formMAC(secret, purpose string) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte("form\x00" + purpose))
	return m.Sum(nil)[:formTokenBytes]
}

// ValidFormToken reports whether token was made for the same secret and purpose.
func ValidFormToken(token, secret, purpose string) bool {
	masked, err := base64.RawURLEncoding.DecodeString(token)
	if secret == "" || err != nil || len(masked) != 2*formTokenBytes {
		return false
	}
	got := make([]byte, formTokenBytes)
	subtle.XORBytes(got, masked[formTokenBytes:], masked[:formTokenBytes])
	return hmac.Equal(got, formMAC(secret, purpose))
}

// SameOrigin refuses requests that a browser says come from another site.
// base is the configured URL. Programs, which send neither Sec-Fetch-Site nor
// Origin, pass; so does the Origin "null" that browsers send for forms of pages
// with Referrer-Policy no-referrer: there the form's token decides. Errors:
// denied.
func SameOrigin(r *http.Request, base *url.URL) error {
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "same-origin", "none":
		return nil
	case "":
	default:
		return foreign(site)
	}
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host != base.Host && (u.Host != r.Host || !isAddress(r.Host)) {
		return foreign(origin)
	}
	return nil
}

// isAddress reports whether a request's Host is an address of ours, on the LAN, or
// this machine: a name that is not configured may be anybody's, who lets it lead here.
func isAddress(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	_, err = netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil || name == "localhost"
}

func foreign(from string) error {
	return engine.Errorf(engine.Denied, "the request came from another site (%.100q)", from).
		WithHint("Nothing was changed. Open the page itself and press the button there.")
}
