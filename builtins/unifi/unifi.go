// Package unifi holds the builtins unifi.client, clients, block and unblock,
// and the small client of the UniFi Network application under them: classic
// controllers and UniFi OS consoles, by password or by API key.
//
// Its connections are `connections.unifi`.
package unifi

import (
	"embed"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"larkspur/builtins/reach"
	"larkspur/builtins/settings"
	"larkspur/engine"
)

// Docs holds one page for each builtin, NAME.md.
//
//go:embed *.md
var Docs embed.FS

// Section is the name of this package's part of `connections`.
const Section = "unifi"

// Limits and defaults.
const (
	defaultTimeout = 20 * time.Second // one request
	maxTimeout     = 2 * time.Minute  // one call: some requests
	callsAtOnce    = 4                // consoles are small machines
)

// settingsOf is one entry of connections.unifi.
type settingsOf struct {
	url             *url.URL
	site            string
	user            string
	password        string // name of a secret
	apiKey          string // name of a secret
	passwordKey     string // configuration keys, for hints
	apiKeyKey       string
	trust           reach.Trust
	timeout         time.Duration
	connection, key string
}

func parse(name string, values map[string]any) (settingsOf, error) {
	key := "connections." + Section + "." + name
	s := settings.Read(key, values)
	c := settingsOf{
		connection:  name,
		key:         key,
		url:         s.URL("url", "https://192.0.2.1", "https"),
		site:        s.Text("site", "default"),
		user:        s.Text("user", ""),
		password:    s.Secret("password"),
		apiKey:      s.Secret("api_key"),
		passwordKey: s.Key("password"),
		apiKeyKey:   s.Key("api_key"),
		trust:       s.Trust("fingerprint"),
		timeout:     s.Duration("timeout", defaultTimeout, maxTimeout),
	}
	switch {
	case s.Has("api_key") && (s.Has("user") || s.Has("password")):
		s.Problem("api_key", "stands beside user and password").Hint = "keep one of the two ways to sign in"
	case s.Has("api_key"):
	case !s.Has("user") && !s.Has("password"):
		s.Problem("api_key", "missing").Hint = "make a key in the console (Settings, Control Plane, Integrations) and write api_key: secret:unifi; older controllers: user and password of a local account"
	case !s.Has("user"):
		s.Problem("user", "missing beside password")
	case !s.Has("password"):
		s.Problem("password", "missing beside user").Hint = "for example password: secret:unifi"
	}
	return c, s.Done()
}

// module is the package opened.
type module struct {
	env         *reach.Env
	controllers map[string]*controller
}

// Open reads connections.unifi and returns the builtins. It connects to nothing.
func Open(env *reach.Env, connections map[string]map[string]any) (reach.Module, error) {
	m := &module{env: env, controllers: map[string]*controller{}}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(connections)) {
		s, err := parse(name, connections[name])
		if err != nil {
			problems = append(problems, err)
			continue
		}
		m.controllers[name] = newController(env, s)
	}
	return reach.Module{Builtins: m.builtins(), Close: m.close}, errors.Join(problems...)
}

func (m *module) close() {
	for _, c := range m.controllers {
		c.client.CloseIdleConnections()
	}
}

// controller returns the one that a call names.
func (m *module) controller(c *engine.Call) (*controller, error) {
	if found, ok := m.controllers[c.Connection]; ok {
		return found, nil
	}
	return nil, engine.Errorf(engine.Invalid, "%s: no connection %q in connections.%s", c.Name, c.Connection, Section)
}

func newController(env *reach.Env, s settingsOf) *controller {
	transport := &http.Transport{
		DialContext:            env.Dialer.DialContext,
		TLSClientConfig:        env.Dialer.TLS(s.url.Hostname(), s.trust),
		TLSHandshakeTimeout:    10 * time.Second,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    callsAtOnce,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return &controller{
		settingsOf: s,
		env:        env,
		lock:       make(chan struct{}, 1),
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}
