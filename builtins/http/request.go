package http

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/big"
	nethttp "net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// request makes the request of a call.
func (m *module) request(ctx context.Context, method string, c *engine.Call) (*nethttp.Request, error) {
	where, s, err := m.address(c)
	if err != nil {
		return nil, err
	}
	content, kind, err := contentOf(c)
	if err != nil {
		return nil, err
	}
	var reader io.Reader
	if content != nil {
		reader = bytes.NewReader(content)
	}
	req, err := nethttp.NewRequestWithContext(ctx, method, where.String(), reader)
	if err != nil {
		return nil, engine.Errorf(engine.Invalid, "url: not an address")
	}
	req.Header.Set("User-Agent", "Larkspur")
	req.Header.Set("Accept", "*/*")
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.Class == engine.Repeatable {
		req.Header.Set("Idempotency-Key", c.Key)
	}
	if s != nil {
		if err := m.signIn(req, s); err != nil {
			return nil, err
		}
	}
	if err := setHeaders(req, c.Args["headers"]); err != nil {
		return nil, err
	}
	return req, setAuth(req, c.Args["auth"])
}

// address returns where the request goes: within the connection's URL, where
// there is one.
func (m *module) address(c *engine.Call) (*url.URL, *site, error) {
	u, err := url.Parse(c.Text("url"))
	if err != nil {
		return nil, nil, engine.Errorf(engine.Invalid, "url: not an address")
	}
	if u.User != nil {
		return nil, nil, engine.Errorf(engine.Invalid, "url: has a user in it").WithHint("use auth = (user, secret(\"name\"))")
	}
	var s *site
	if c.Connection != "" {
		found, ok := m.sites[c.Connection]
		if !ok {
			return nil, nil, engine.Errorf(engine.Invalid, "no connection %q in connections.%s", c.Connection, Section)
		}
		s = &found
		if u, err = within(s.url, u); err != nil {
			return nil, nil, err
		}
	}
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, nil, engine.Errorf(engine.Invalid, "url: got %.200q, want http://… or https://…", c.Text("url")).
			WithHint("a path alone needs connection = \"name\"")
	}
	if err := plainHost(u); err != nil {
		return nil, nil, err
	}
	query, err := queryOf("params", c.Args["params"])
	if err != nil {
		return nil, nil, err
	}
	if len(query) > 0 {
		u.RawQuery = strings.Trim(u.RawQuery+"&"+query.Encode(), "&")
	}
	u.Fragment = ""
	return u, s, nil
}

// within joins a path to a connection's URL. A whole address must lie at the
// same origin, so that the connection's secret goes nowhere else.
func within(base, u *url.URL) (*url.URL, error) {
	if u.IsAbs() || u.Host != "" {
		if !sameOrigin(base, u) {
			return nil, engine.Errorf(engine.Invalid, "url: %s is not at the connection's %s", u.Host, base.Host).
				WithHint("give a path, or leave out connection")
		}
		return u, nil
	}
	joined := base.JoinPath(u.EscapedPath())
	joined.RawQuery = u.RawQuery
	return joined, nil
}

// sameOrigin compares scheme, host and port.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// plainHost writes an international name in ASCII.
func plainHost(u *url.URL) error {
	name := u.Hostname()
	if strings.IndexFunc(name, func(r rune) bool { return r > 0x7f }) < 0 {
		return nil
	}
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return engine.Errorf(engine.Invalid, "url: %.100q is not a host", name)
	}
	u.Host = strings.Replace(u.Host, name, ascii, 1)
	return nil
}

// signIn adds what a connection says.
func (m *module) signIn(req *nethttp.Request, s *site) error {
	for name, value := range s.headers {
		if secret, ok := strings.CutPrefix(value, secretPrefix); ok {
			var err error
			if value, err = m.env.Secrets.Get(secret); err != nil {
				return engine.WrapError(engine.Invalid, err, s.key+".headers."+name)
			}
		}
		req.Header.Set(name, value)
	}
	switch {
	case s.token != "":
		token, err := m.env.Secrets.Get(s.token)
		if err != nil {
			return engine.WrapError(engine.Invalid, err, s.key+".token")
		}
		req.Header.Set("Authorization", "Bearer "+token)
	case s.user != "":
		password, err := m.env.Secrets.Get(s.password)
		if err != nil {
			return engine.WrapError(engine.Invalid, err, s.key+".password")
		}
		req.SetBasicAuth(s.user, password)
	}
	return nil
}

func setHeaders(req *nethttp.Request, v engine.Value) error {
	if v == nil {
		return nil
	}
	headers, ok := v.(map[string]engine.Value)
	if !ok {
		return engine.Errorf(engine.Invalid, "headers: want a dict of texts")
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value, err := word(headers[name])
		if err != nil {
			return engine.Errorf(engine.Invalid, "headers: %.80q: want a text", name)
		}
		if problem := headerProblem(name, value); problem != "" {
			return engine.Errorf(engine.Invalid, "headers: %.80q %s", name, problem)
		}
		if strings.EqualFold(name, "Host") {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	return nil
}

// setAuth reads `auth`: a token, or user and password.
func setAuth(req *nethttp.Request, v engine.Value) error {
	var pair []engine.Value
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		value := "Bearer " + v
		if headerProblem("Authorization", value) != "" {
			return engine.Errorf(engine.Invalid, "auth: the token has a line break in it")
		}
		req.Header.Set("Authorization", value)
		return nil
	case engine.Tuple:
		pair = v
	case []engine.Value:
		pair = v
	}
	if len(pair) == 2 {
		user, ok := pair[0].(string)
		password, ok2 := pair[1].(string)
		if ok && ok2 && !strings.Contains(user, ":") {
			req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
			return nil
		}
	}
	return engine.Errorf(engine.Invalid, "auth: want a secret (a bearer token) or (user, secret)")
}

// contentOf returns what is sent, and its media type.
func contentOf(c *engine.Call) (content []byte, kind string, err error) {
	given := 0
	for _, name := range []string{"json", "form", "body"} {
		if c.Args[name] != nil {
			given++
		}
	}
	if given > 1 {
		return nil, "", engine.Errorf(engine.Invalid, "only one of json, form and body can be sent")
	}
	switch {
	case c.Args["json"] != nil:
		plain, err := plainJSON(c.Args["json"], 0)
		if err != nil {
			return nil, "", engine.WrapError(engine.Invalid, err, "json")
		}
		content, err = engine.MarshalJSON(plain)
		return content, "application/json", err
	case c.Args["form"] != nil:
		form, err := queryOf("form", c.Args["form"])
		return []byte(form.Encode()), "application/x-www-form-urlencoded", err
	}
	switch body := c.Args["body"].(type) {
	case nil:
		return nil, "", nil
	case string:
		return []byte(body), "text/plain; charset=utf-8", nil
	case engine.Bytes:
		return body, "application/octet-stream", nil
	}
	return nil, "", engine.Errorf(engine.Invalid, "body: want a text or bytes").WithHint("json = sends a dict or list")
}

// queryOf reads a dict of words or lists of words.
func queryOf(name string, v engine.Value) (url.Values, error) {
	if v == nil {
		return nil, nil
	}
	m, ok := v.(map[string]engine.Value)
	if !ok {
		return nil, engine.Errorf(engine.Invalid, "%s: want a dict", name)
	}
	out := url.Values{}
	for key, v := range m {
		list, ok := v.([]engine.Value)
		if !ok {
			list = []engine.Value{v}
		}
		for _, e := range list {
			if e == nil {
				continue
			}
			text, err := word(e)
			if err != nil {
				return nil, engine.Errorf(engine.Invalid, "%s: %.80q: want a text, a number or a list of them", name, key)
			}
			out.Add(key, text)
		}
	}
	return out, nil
}

// word writes a plain value as text.
func word(v engine.Value) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64, *big.Int:
		return fmt.Sprint(v), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case time.Time:
		return v.UTC().Format(time.RFC3339), nil
	}
	return "", engine.Errorf(engine.Invalid, "not a word")
}

// plainJSON turns a value into what encoding/json writes as a script's author
// expects: times in RFC 3339, durations in seconds, structs as objects.
func plainJSON(v engine.Value, depth int) (any, error) {
	if depth > engine.MaxDepth {
		return nil, engine.Errorf(engine.Invalid, "nested deeper than %d", engine.MaxDepth)
	}
	switch v := v.(type) {
	case nil, bool, string, int64:
		return v, nil
	case *big.Int:
		return json.Number(v.String()), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, engine.Errorf(engine.Invalid, "%v cannot be written as JSON", v)
		}
		return v, nil
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), nil
	case time.Duration:
		return v.Seconds(), nil
	case engine.PersonRef:
		return map[string]any{"name": v.Name, "email": v.Email}, nil
	case engine.IncidentRef:
		return v.ID, nil
	case []engine.Value:
		return jsonList(v, depth)
	case engine.Tuple:
		return jsonList(v, depth)
	case engine.Set:
		return jsonList(v, depth)
	case map[string]engine.Value:
		return jsonObject(v, depth)
	case engine.Struct:
		return jsonObject(v.Fields, depth)
	}
	return nil, engine.Errorf(engine.Invalid, "a value that cannot be written as JSON").WithHint("keys of a dict must be texts; bytes need base64.encode")
}

func jsonList(list []engine.Value, depth int) (any, error) {
	out := make([]any, len(list))
	for i, v := range list {
		var err error
		if out[i], err = plainJSON(v, depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func jsonObject(m map[string]engine.Value, depth int) (any, error) {
	out := make(map[string]any, len(m))
	for k, v := range m {
		var err error
		if out[k], err = plainJSON(v, depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// trustKey is the configuration key of the fingerprint that a call's connection
// would need, "" without a connection.
func (m *module) trustKey(c *engine.Call) string {
	if s, ok := m.sites[c.Connection]; ok {
		return s.trust.Key
	}
	return ""
}

// pinned returns the trust of a call's connection.
func (m *module) pinned(c *engine.Call) reach.Trust { return m.sites[c.Connection].trust }
