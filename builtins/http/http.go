// Package http holds the builtins http.get, head, post, put, patch and delete.
//
// Its connections are `connections.http`; a call needs none.
package http

import (
	"embed"
	"errors"
	"maps"
	nethttp "net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"larkspur/builtins/reach"
	"larkspur/builtins/settings"
	"larkspur/engine"
)

// Docs holds one page for each builtin, NAME.md.
//
//go:embed *.md
var Docs embed.FS

// Section is the name of this package's part of `connections`.
const Section = "http"

// Limits and defaults.
const (
	defaultTimeout = 30 * time.Second
	maxTimeout     = 5 * time.Minute
	callsAtOnce    = 16
	maxBodyBytes   = 10 << 20
	maxHeaderBytes = 256 << 10
	maxRedirects   = 10
)

// site is one entry of connections.http.
type site struct {
	key      string
	url      *url.URL
	token    string // names of secrets
	user     string
	password string
	headers  map[string]string // values, or secret:NAME
	trust    reach.Trust
	timeout  time.Duration
}

func parse(name string, values map[string]any) (site, error) {
	key := "connections." + Section + "." + name
	s := settings.Read(key, values)
	out := site{
		key:      key,
		url:      s.URL("url", "https://shop.example.org", "https", "http"),
		token:    s.Secret("token"),
		user:     s.Text("user", ""),
		password: s.Secret("password"),
		headers:  s.Map("headers"),
		trust:    s.Trust("fingerprint"),
		timeout:  s.Duration("timeout", defaultTimeout, maxTimeout),
	}
	if s.Has("user") != s.Has("password") {
		s.Problem("user", "user and password belong together")
	}
	if s.Has("token") && s.Has("user") {
		s.Problem("token", "stands beside user and password").Hint = "keep one of the two ways to sign in"
	}
	if s.Has("fingerprint") && out.url != nil && out.url.Scheme != "https" {
		s.Problem("fingerprint", "has no meaning without https")
	}
	for _, h := range slices.Sorted(maps.Keys(out.headers)) {
		if problem := headerProblem(h, strings.TrimPrefix(out.headers[h], secretPrefix)); problem != "" {
			s.Problem("headers."+h, "%s", problem)
		}
	}
	return out, s.Done()
}

// secretPrefix marks the name of a secret among headers of the configuration.
const secretPrefix = "secret:"

// ownHeaders are made from the request itself.
var ownHeaders = []string{"Connection", "Content-Length", "Transfer-Encoding", "Upgrade", "Te", "Trailer", "Keep-Alive", "Proxy-Connection"}

// headerProblem says what is wrong with a header, "" when nothing is.
func headerProblem(name, value string) string {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return "is not the name of a header"
	case !httpguts.ValidHeaderFieldValue(value):
		return "has a line break or control character in its value"
	case slices.Contains(ownHeaders, nethttp.CanonicalHeaderKey(name)):
		return "is set by the request itself"
	}
	return ""
}

// module is the package opened.
type module struct {
	env   *reach.Env
	sites map[string]site
	// Kept connections are shared by reads alone: an effect that is sent over one
	// that the other end is just closing would be left in doubt.
	shared map[string]*nethttp.Transport
}

// The keys of shared transports without a connection; names of connections
// cannot be empty or hold a space.
const (
	verified   = ""
	unverified = "verify=False "
)

// Open reads connections.http and returns the builtins. It connects to nothing.
func Open(env *reach.Env, connections map[string]map[string]any) (reach.Module, error) {
	m := &module{env: env, sites: map[string]site{}, shared: map[string]*nethttp.Transport{}}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(connections)) {
		s, err := parse(name, connections[name])
		if err != nil {
			problems = append(problems, err)
			continue
		}
		m.sites[name] = s
		m.shared[name] = m.transport(s.trust, true)
	}
	m.shared[verified] = m.transport(reach.Trust{}, true)
	m.shared[unverified] = m.transport(reach.Trust{}, false)
	return reach.Module{Builtins: m.builtins(), Close: m.close}, errors.Join(problems...)
}

func (m *module) close() {
	for _, t := range m.shared {
		t.CloseIdleConnections()
	}
}

func (m *module) transport(trust reach.Trust, verify bool) *nethttp.Transport {
	config := m.env.Dialer.TLS("", trust)
	if !verify {
		config.InsecureSkipVerify = true // the playbook says verify = False
	}
	return &nethttp.Transport{
		DialContext:            m.env.Dialer.DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    10 * time.Second,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConns:           32,
		MaxIdleConnsPerHost:    4,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true,
	}
}

func (m *module) builtins() []reach.Builtin {
	url := engine.Param{Name: "url", Kind: "text", Required: true, Doc: "an http or https address; a path where `connection` is given"}
	common := []engine.Param{
		{Name: "headers", Kind: "dict", Doc: "header to text"},
		{Name: "params", Kind: "dict", Doc: "added to the address as its query"},
	}
	content := []engine.Param{
		{Name: "json", Kind: "any", Doc: "a value to send as JSON"},
		{Name: "form", Kind: "dict", Doc: "fields to send as a form"},
		{Name: "body", Kind: "text|bytes", Doc: "what to send, as it is"},
	}
	more := []engine.Param{
		{Name: "auth", Kind: "any", Doc: "a secret: a bearer token; (user, secret): basic"},
		{Name: "timeout", Kind: "duration", Doc: "default 30s, at most 5m"},
		{Name: "verify", Kind: "bool", Default: engine.MustEncode(true), Doc: "False accepts any certificate"},
		{Name: "follow", Kind: "bool", Default: engine.MustEncode(true), Doc: "follow redirects"},
		{Name: "connection", Kind: "connection", Doc: "a name in connections.http"},
	}
	var out []reach.Builtin
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		class := engine.Once
		params := slices.Concat([]engine.Param{url}, common, content, more)
		if method == "GET" || method == "HEAD" {
			class = engine.Read
			params = slices.Concat([]engine.Param{url}, common, more)
		}
		name := strings.ToLower(method)
		out = append(out, reach.Builtin{
			Builtin: engine.Builtin{
				Signature: engine.Signature{
					Name: "http." + name, Class: class, EffectParam: true, Connection: Section, Positional: 1, Version: 1, Params: params,
					Doc:    "Send a " + method + " request; any status is an answer, no answer is an error.",
					Result: "status, headers, body, json(), url, elapsed, tls, truncated", Type: responseType,
				},
				Do: m.do(method, class),
			},
			Bare: true, Timeout: maxTimeout, MaxTimeout: maxTimeout, AtOnce: callsAtOnce,
		})
	}
	return out
}
