package unifi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// Bounds of what a controller may answer.
const (
	maxAnswerBytes = 32 << 20 // five thousand clients are about 12 MB
	holdAfterFault = time.Minute
)

// console is which of the two kinds stands at the other end.
type console int

const (
	unknownConsole console = iota
	classic
	unifiOS
)

// controller speaks to one UniFi Network application. Safe for concurrent use.
type controller struct {
	settingsOf
	env    *reach.Env
	client *http.Client
	// lock is held while the kind of console is found out and while logging in,
	// so that many calls at once log in once.
	lock chan struct{}

	mu      sync.Mutex
	kind    console
	session session
	hold    hold
}

// session is what a login gave. number counts logins, so that of many calls that
// find their session expired only the first one throws it away.
type session struct {
	number  int
	open    bool
	cookies map[string]string
	csrf    string
	apiKey  string // in place of all the others
}

// hold is a login that was refused: the same secret is not tried again before
// until, because consoles lock accounts that keep failing.
type hold struct {
	until  time.Time
	secret string
	err    *engine.Error
}

// answer is one answer of the controller, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call sends one request below /api/s/SITE/ and returns the data of the answer.
// A session that has expired is renewed once.
func (c *controller) call(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	for renewed := false; ; renewed = true {
		s, kind, err := c.enter(ctx)
		if err != nil {
			return nil, err
		}
		target := "/api/s/" + c.site + "/" + path
		if kind == unifiOS {
			target = "/proxy/network" + target
		}
		a, err := c.send(ctx, s, method, target, body)
		if err != nil {
			return nil, err
		}
		if !renewed && c.apiKey == "" && a.refusesSession(kind) {
			c.drop(s)
			continue
		}
		return c.data(a, path)
	}
}

// enter returns an open session, logging in where there is none, and the kind of
// console.
func (c *controller) enter(ctx context.Context) (session, console, error) {
	select {
	case c.lock <- struct{}{}:
		defer func() { <-c.lock }()
	case <-ctx.Done():
		return session{}, 0, reach.Fault(ctx.Err(), c.doing("waiting to sign in"), "")
	}
	if err := c.findKind(ctx); err != nil {
		return session{}, 0, err
	}
	s, kind := c.current()
	if s.open {
		return s, kind, nil
	}
	if c.apiKey != "" {
		key, err := c.env.Secrets.Get(c.apiKey)
		if err != nil {
			return session{}, 0, engine.WrapError(engine.Invalid, err, c.apiKeyKey)
		}
		return session{apiKey: key}, kind, nil
	}
	if err := c.login(ctx, kind); err != nil {
		return session{}, 0, err
	}
	s, kind = c.current()
	return s, kind, nil
}

func (c *controller) current() (session, console) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session, c.kind
}

// forgetKind has the kind of console found out again.
func (c *controller) forgetKind() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kind = unknownConsole
}

// drop forgets a session, unless a newer one has taken its place.
func (c *controller) drop(s session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session.number == s.number {
		c.session.open = false
	}
}

// findKind asks once: 200 at / is a UniFi OS console, anything else a classic
// controller, except the errors of a console that is not up yet.
func (c *controller) findKind(ctx context.Context) error {
	if _, kind := c.current(); kind != unknownConsole {
		return nil
	}
	a, err := c.send(ctx, session{}, http.MethodGet, "/", nil)
	if err != nil {
		return err
	}
	if a.status >= 500 {
		return c.starting(a.status)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kind = classic
	if a.status == http.StatusOK {
		c.kind = unifiOS
	}
	return nil
}

// Headers of UniFi OS.
const (
	apiKeyHeader      = "X-Api-Key"
	csrfHeader        = "X-Csrf-Token"
	updatedCSRFHeader = "X-Updated-Csrf-Token"
)

// send performs one request and reads the answer. Errors of a request that may
// have changed something set Maybe.
func (c *controller) send(ctx context.Context, s session, method, path string, body any) (answer, error) {
	var sent reach.Sent
	req, err := c.request(sent.Watch(ctx), s, method, path, body)
	if err != nil {
		return answer{}, err
	}
	fault := func(err error) *engine.Error {
		e := reach.Fault(err, c.doing("asking the controller"), c.trust.Key)
		e.Maybe = sent.Maybe() && isChange(method, path)
		return e
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return answer{}, fault(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil {
		return answer{}, fault(err)
	}
	if len(text) > maxAnswerBytes {
		return answer{}, engine.Errorf(engine.Invalid, "%s: an answer of more than %d MB", c.doing("asking the controller"), maxAnswerBytes>>20)
	}
	c.remember(s, resp)
	return answer{resp.StatusCode, resp.Header, text}, nil
}

// isChange tells calls that change clients from logins.
func isChange(method, path string) bool {
	return method != http.MethodGet && strings.Contains(path, "/api/s/")
}

func (c *controller) request(ctx context.Context, s session, method, path string, body any) (*http.Request, error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, engine.WrapError(engine.Internal, err, c.doing("encoding"))
		}
		reader = bytes.NewReader(text)
	}
	target := strings.TrimSuffix(c.url.String(), "/") + path
	req, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return nil, engine.WrapError(engine.Internal, err, c.doing("asking the controller"))
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "Larkspur")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.apiKey != "" {
		req.Header.Set(apiKeyHeader, s.apiKey)
	}
	for name, value := range s.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if s.csrf != "" && method != http.MethodGet {
		req.Header.Set(csrfHeader, s.csrf)
	}
	return req, nil
}

// remember keeps what an answer rotates: the CSRF token and the cookies.
func (c *controller) remember(s session, resp *http.Response) {
	if !s.open {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session.number == s.number {
		c.session.take(resp.Header, resp.Cookies())
	}
}

// take reads cookies and CSRF token out of an answer. Maps are replaced, never
// changed, because sessions are copied.
func (s *session) take(header http.Header, cookies []*http.Cookie) {
	kept := make(map[string]string, 3)
	for name, value := range s.cookies {
		kept[name] = value
	}
	for _, k := range cookies {
		switch k.Name {
		case "TOKEN":
			kept[k.Name] = k.Value
			if token := csrfOf(k.Value); token != "" {
				s.csrf = token
			}
		case "unifises":
			kept[k.Name] = k.Value
		case "csrf_token":
			kept[k.Name] = k.Value
			s.csrf = k.Value
		}
	}
	s.cookies = kept
	for _, name := range []string{csrfHeader, updatedCSRFHeader} {
		if token := header.Get(name); token != "" {
			s.csrf = token
		}
	}
}

func (c *controller) doing(what string) string {
	return "unifi " + c.connection + ": " + what
}
