package unifi

import (
	"encoding/json"
	"net/http"
	"strings"

	"larkspur/engine"
)

// envelope is how version 1 of the API answers. `rc` may be "error" with status
// 200; version 2 puts code and errorCode there.
type envelope struct {
	Meta struct {
		RC  string `json:"rc"`
		Msg string `json:"msg"`
	} `json:"meta"`
	Data json.RawMessage `json:"data"`
	Code any             `json:"code"`
}

// code returns the name of the error in an answer ("api.err.NoPermission"), ""
// where it holds none.
func (a answer) code() string {
	var e envelope
	if json.Unmarshal(a.body, &e) != nil {
		return ""
	}
	if e.Meta.RC == "error" && e.Meta.Msg == "" {
		return "api.err.Unknown"
	}
	if e.Meta.RC == "error" {
		return e.Meta.Msg
	}
	code, _ := e.Code.(string)
	return code
}

// refusesSession reports whether a new login may help. UniFi OS answers 403 to a
// stale CSRF token.
func (a answer) refusesSession(kind console) bool {
	code := a.code()
	switch {
	case a.status == http.StatusUnauthorized, code == "api.err.LoginRequired":
		return true
	case a.status == http.StatusForbidden:
		return kind == unifiOS && code != "api.err.NoPermission"
	}
	return false
}

// data returns the data of a good answer, else an error with a kind.
func (c *controller) data(a answer, path string) (json.RawMessage, error) {
	doing := c.doing(path)
	code := a.code()
	switch {
	case code == "api.err.NoPermission" || a.status == http.StatusForbidden:
		return nil, engine.Errorf(engine.Denied, "%s: the account may not do that", doing).
			WithHint("give the account (or the owner of the API key) the role Site Admin for the site %q", c.site)
	case a.status == http.StatusUnauthorized || code == "api.err.LoginRequired":
		return nil, c.refused(doing)
	case a.status == http.StatusTooManyRequests:
		return nil, engine.Errorf(engine.Unavailable, "%s: too many requests (429)", doing).WithCause("status")
	case a.status == 499:
		return nil, engine.Errorf(engine.Denied, "%s: the account needs a second factor", doing).WithHint("use %s", c.apiKeyKey)
	case strings.HasPrefix(code, "api.err.Unknown"):
		return nil, engine.Errorf(engine.NotFound, "%s: the controller does not know it (%s)", doing, shorten(code))
	case code == "api.err.NoSiteContext":
		return nil, engine.Errorf(engine.NotFound, "%s: there is no site %q", doing, c.site).WithHint("the site's name is the part of the console's address after /site/; it goes into %s.site", c.key)
	case a.status == http.StatusNotFound:
		return nil, engine.Errorf(engine.NotFound, "%s: the controller does not know the path or the site %q", doing, c.site).WithHint("see %s.site", c.key)
	case a.status >= 500 && !json.Valid(a.body): // the console's front answers for an application that is not up
		return nil, c.starting(a.status)
	case a.status >= 500:
		e := engine.Errorf(engine.Unavailable, "%s: the controller answered with status %d", doing, a.status).WithCause("status")
		e.Maybe = strings.HasPrefix(path, "cmd/")
		return nil, e
	case code != "" || a.status >= 300:
		return nil, engine.Errorf(engine.Invalid, "%s: the controller refused it (status %d, %s)", doing, a.status, shorten(code)).WithCause("status")
	}
	return c.payload(a, doing)
}

func (c *controller) payload(a answer, doing string) (json.RawMessage, error) {
	var e envelope
	if err := json.Unmarshal(a.body, &e); err != nil {
		return nil, engine.Errorf(engine.Unavailable, "%s: the answer is not JSON", doing).
			WithHint("is %s.url a UniFi console, with nothing in between?", c.key)
	}
	if e.Meta.RC != "ok" {
		return nil, engine.Errorf(engine.Unavailable, "%s: the answer has no rc", doing)
	}
	return e.Data, nil
}

func (c *controller) refused(doing string) *engine.Error {
	if c.apiKey != "" {
		return engine.Errorf(engine.Denied, "%s: the controller refused the API key", doing).
			WithHint("make a new one in the console and put it where %s points", c.apiKeyKey)
	}
	return engine.Errorf(engine.Denied, "%s: the controller refused a fresh session", doing)
}

// shorten bounds outside text in a message.
func shorten(s string) string {
	if s == "" {
		return "no reason given"
	}
	return strings.ToValidUTF8(s[:min(len(s), 80)], "?")
}
