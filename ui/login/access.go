package login

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Access turns requests into identities. Safe for concurrent use.
type Access struct {
	Devices *Devices
	// Tokens returns the API's tokens of this moment.
	Tokens func() []Token
	// Limiter slows guessing of every kind of token down.
	Limiter *Limiter
	// Codes bounds the codes that are mailed.
	Codes *Codes
	// Trusted are the reverse proxies whose X-Forwarded-For counts.
	Trusted []netip.Prefix
}

// TooMany says that a client sent too many bad tokens, or of something else too much.
type TooMany struct {
	Wait time.Duration
	Why  string
}

func (e *TooMany) Error() string {
	if e.Why != "" {
		return e.Why
	}
	return "too many wrong tokens from this address; try again in a minute"
}

// Request is what Access found out about a request.
type Request struct {
	Identity
	// Session is what the browser's cookie holds, "" for one that is not paired:
	// forms are bound to it.
	Session string
	// Bearer is set when a token of the API was shown, good or bad.
	Bearer bool
}

// Unauthenticated says that nobody is known where somebody is needed: no
// credentials, or wrong ones.
type Unauthenticated struct{ Why, Hint string }

func (e *Unauthenticated) Error() string { return e.Why }

// Nobody is the error of a request without credentials.
func Nobody() error {
	return &Unauthenticated{"nobody is signed in", "Send the header Authorization: Bearer TOKEN, with a token that box.yaml names under web.tokens."}
}

type requestKey struct{}

// With keeps the finding in a context.
func With(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// From returns the finding that With kept; the zero Request without one.
func From(ctx context.Context) Request {
	r, _ := ctx.Value(requestKey{}).(Request)
	return r
}

// Authenticate looks at a request's Authorization header, else at its cookie. No
// credentials, or a pairing that is over, are nobody and no error. Errors:
// *Unauthenticated for a wrong token, *TooMany, what the ledger's reading gives.
func (a *Access) Authenticate(r *http.Request) (Request, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		return a.bearer(r, header)
	}
	cookie, err := r.Cookie(CookieName)
	if err != nil {
		return Request{}, nil
	}
	device, ok, err := a.Devices.Device(cookie.Value)
	if err != nil || !ok {
		return Request{}, err
	}
	return Request{Identity: a.Devices.identity(device), Session: cookie.Value}, nil
}

func (a *Access) bearer(r *http.Request, header string) (Request, error) {
	scheme, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return Request{Bearer: true}, &Unauthenticated{
			fmt.Sprintf("authorization: got the scheme %.20q, want Bearer", scheme), "Send the header: Authorization: Bearer TOKEN",
		}
	}
	if err := a.MayGuess(r); err != nil {
		return Request{Bearer: true}, err
	}
	token, ok := find(a.Tokens(), strings.TrimSpace(secret))
	if !ok {
		a.Guessed(r)
		return Request{Bearer: true}, &Unauthenticated{
			"authorization: the token is not known", "Tokens are named in box.yaml under web.tokens, their values stand in secrets.",
		}
	}
	return Request{Bearer: true, Identity: Identity{Name: token.Name, Role: token.Role, How: "api"}}, nil
}

// MayGuess returns *TooMany for a client that has shown too many bad tokens.
func (a *Access) MayGuess(r *http.Request) error {
	if wait := a.Limiter.Blocked(ClientAddr(r, a.Trusted)); wait > 0 {
		return &TooMany{Wait: wait}
	}
	return nil
}

// Guessed counts a bad token of the request's client.
func (a *Access) Guessed(r *http.Request) { a.Limiter.Bad(ClientAddr(r, a.Trusted)) }
