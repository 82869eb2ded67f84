package unifi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"larkspur/engine"
)

// login opens a session. Called with the lock held.
func (c *controller) login(ctx context.Context, kind console) error {
	password, err := c.env.Secrets.Get(c.password)
	if err != nil {
		return engine.WrapError(engine.Invalid, err, c.passwordKey)
	}
	if held := c.held(password); held != nil {
		return held
	}
	path := "/api/login"
	if kind == unifiOS {
		path = "/api/auth/login"
	}
	a, err := c.send(ctx, session{}, http.MethodPost, path, map[string]string{"username": c.user, "password": password})
	if err != nil {
		return err
	}
	if a.status == http.StatusNotFound {
		c.forgetKind() // it was replaced by the other kind, or is none
	}
	if fault := c.loginFault(a); fault != nil {
		c.holdBack(a.status, password, fault)
		return fault
	}
	s := session{open: true}
	s.take(a.header, (&http.Response{Header: a.header}).Cookies())
	if len(s.cookies) == 0 {
		return engine.Errorf(engine.Unavailable, "%s: the controller answered without a session", c.doing("signing in"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.number = c.session.number + 1
	c.session, c.hold = s, hold{}
	return nil
}

// held returns the error of a refused login that must not be tried again yet.
func (c *controller) held(password string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hold.err == nil || c.hold.secret != password || !c.env.Clock.Now().Before(c.hold.until) {
		return nil
	}
	copied := *c.hold.err
	return &copied
}

// holdBack remembers a refusal of these credentials; a console that is starting
// is asked again at once.
func (c *controller) holdBack(status int, password string, fault *engine.Error) {
	if fault.Kind != engine.Denied && status != http.StatusTooManyRequests {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hold = hold{c.env.Clock.Now().Add(holdAfterFault), password, fault}
}

// loginFault says why a login failed, nil when it did not.
func (c *controller) loginFault(a answer) *engine.Error {
	doing := c.doing("signing in as " + c.user)
	code := a.code()
	switch {
	case a.status == http.StatusTooManyRequests:
		return engine.Errorf(engine.Unavailable, "%s: the console refuses further attempts for now (429)", doing).WithCause("status").
			WithHint("wait some minutes; is the secret in %s right?", c.passwordKey)
	case a.status == 499 || strings.Contains(code, "2fa"):
		return engine.Errorf(engine.Denied, "%s: the account needs a second factor", doing).
			WithHint("use a local account without one, or %s", c.apiKeyKey)
	case !json.Valid(a.body):
		return c.starting(a.status)
	case a.status >= 500:
		return c.starting(a.status)
	case a.status == http.StatusNotFound:
		return engine.Errorf(engine.Unavailable, "%s: there is no UniFi Network application at %s", doing, c.url.Host).WithCause("status").
			WithHint("classic controllers listen on port 8443: is %s.url right?", c.key)
	case a.status >= 400 || code != "":
		return engine.Errorf(engine.Denied, "%s: the controller refused user or password", doing).
			WithHint("compare %s.user and the secret in %s with the console's local account", c.key, c.passwordKey)
	}
	return nil
}

func (c *controller) starting(status int) *engine.Error {
	return engine.Errorf(engine.Unavailable, "%s: the console is still starting (status %d)", c.doing("asking the controller"), status).
		WithCause("status").WithHint("it is up some minutes after it was switched on")
}

// maxTokenBytes bounds the JWT in the TOKEN cookie.
const maxTokenBytes = 16 << 10

// csrfOf reads the field csrfToken of a JWT's payload, "" where there is none.
// The signature is the console's business.
func csrfOf(token string) string {
	parts := strings.Split(token, ".")
	if len(token) > maxTokenBytes || len(parts) != 3 {
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return ""
	}
	var payload struct {
		CSRF string `json:"csrfToken"`
	}
	if json.Unmarshal(text, &payload) != nil || !headerSafe(payload.CSRF) {
		return ""
	}
	return payload.CSRF
}

// headerSafe reports whether s may stand in a header.
func headerSafe(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
