// Package ui serves Larkspur's pages and its HTTP interface.
//
// Begin with New, then Run on a listener; Handler serves the same routes on the
// control socket. The one table of routes is in routes.go. Everything works
// below the path of the configured URL, whether a reverse proxy in front keeps
// that path or strips it, and links never depend on what a request claims about
// its host.
package ui

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/ui/api"
	"larkspur/ui/desk"
	"larkspur/ui/login"
	"larkspur/ui/page"
)

// The interfaces that others implement.
type (
	Reader    = desk.Reader
	Decider   = desk.Decider
	Exporter  = desk.Exporter
	Rules     = desk.Rules
	Health    = desk.Health
	Rebuilder = desk.Rebuilder
	Eraser    = desk.Eraser
	Scrubber  = desk.Scrubber
	DNS       = desk.DNS
	Check     = desk.Check
	Cache     = login.Cache
	People    = login.People
)

// Config is what a Server needs; all but Name, Zone, Tokens, Trusted, Meters,
// Version and Clock is required.
type Config struct {
	// URL is what links begin with; its path is the base path.
	URL      string
	Reader   Reader
	Decider  Decider
	Exporter Exporter
	Rules    Rules
	Jobs     desk.Jobs
	Health   Health
	Rebuilds Rebuilder
	Eraser   Eraser
	Scrubs   Scrubber
	DNS      DNS
	// Hooks takes POST /hooks/NAME; it sees that path without the base path.
	Hooks  http.Handler
	People People
	Cache  Cache
	// Assignees returns whom incidents can be assigned to at this moment; nil: nobody.
	Assignees func() (people, teams []string)
	// Tokens returns the bearer tokens of this moment.
	Tokens func() []login.Token
	// Name is the workspace's name, Zone its time zone, both of this moment.
	Name func() string
	Zone func() *time.Location
	// Trusted are the reverse proxies whose X-Forwarded-For counts; nil means
	// this machine.
	Trusted []netip.Prefix
	Version string
	Clock   engine.Clock
	// Meters are what GET /metrics tells besides what records hold.
	Meters func() []desk.Meter
}

// Server serves pages and the interface. Safe for concurrent use.
type Server struct {
	url    *url.URL
	base   string
	access *login.Access
	pages  *page.Pages
	api    *api.API
	hooks  http.Handler
	people http.Handler // for browsers and programs
	admin  http.Handler // for the control socket
}

// Timeouts and sizes of the HTTP server.
const (
	headerTimeout   = 10 * time.Second
	readTimeout     = time.Minute
	writeTimeout    = time.Minute
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 10 * time.Second
	maxHeaderBytes  = 32 << 10
)

// New makes a Server. It fails when something is missing: a part of the
// configuration, a template, a usable URL.
func New(c Config) (*Server, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	u, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	s := &Server{url: u, base: strings.TrimSuffix(u.Path, "/"), hooks: c.Hooks}
	s.access = &login.Access{
		Devices: &login.Devices{
			Reader: c.Reader, Decider: c.Decider, Cache: c.Cache, People: c.People, Clock: c.Clock,
			Path: s.base + "/", Secure: u.Scheme == "https",
		},
		Tokens: c.Tokens, Limiter: login.NewLimiter(c.Clock), Codes: login.NewCodes(c.Clock), Trusted: c.Trusted,
	}
	d := &desk.Desk{
		Reader: c.Reader, Decider: c.Decider, Exporter: c.Exporter, Rules: c.Rules, Jobs: c.Jobs,
		Health: c.Health, Rebuilds: c.Rebuilds, Eraser: c.Eraser, Scrubs: c.Scrubs, DNS: c.DNS, Clock: c.Clock, Zone: c.Zone, Assignees: c.Assignees,
		Devices: s.access.Devices, Meters: c.Meters,
	}
	s.api = &api.API{Desk: d, Access: s.access, URL: u, Version: c.Version}
	if s.pages, err = page.New(page.Config{Desk: d, Access: s.access, URL: u, Name: c.Name}); err != nil {
		return nil, err
	}
	if s.people, err = s.build(false); err != nil {
		return nil, err
	}
	s.admin, err = s.build(true)
	return s, err
}

// complete fills defaults in and names what is missing.
func (c *Config) complete() error {
	required := []struct {
		name string
		has  bool
	}{
		{"Reader", c.Reader != nil}, {"Decider", c.Decider != nil}, {"Exporter", c.Exporter != nil},
		{"Rules", c.Rules != nil}, {"Health", c.Health != nil}, {"Rebuilds", c.Rebuilds != nil}, {"Eraser", c.Eraser != nil}, {"Scrubs", c.Scrubs != nil}, {"DNS", c.DNS != nil}, {"Hooks", c.Hooks != nil},
		{"People", c.People != nil}, {"Cache", c.Cache != nil},
	}
	for _, r := range required {
		if !r.has {
			return engine.Errorf(engine.Internal, "ui: Config.%s is missing", r.name)
		}
	}
	if c.Clock == nil {
		c.Clock = engine.SystemClock{}
	}
	if c.Meters == nil {
		c.Meters = func() []desk.Meter { return nil }
	}
	if c.Zone == nil {
		c.Zone = func() *time.Location { return time.UTC }
	}
	if c.Name == nil {
		c.Name = func() string { return "" }
	}
	if c.Tokens == nil {
		c.Tokens = func() []login.Token { return nil }
	}
	if c.Trusted == nil {
		c.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	return nil
}

// parseURL checks the configured URL (web.url).
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, engine.Errorf(engine.Invalid, "web.url: got %q, want an address like https://soar.example.org/", text)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, engine.Errorf(engine.Invalid, "web.url: got %q, want no user, query or fragment", u.Redacted())
	}
	u.Path = "/" + strings.Trim(u.Path, "/")
	first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	for _, taken := range firstSegments() {
		if first != "" && first == taken {
			return nil, engine.Errorf(engine.Invalid, "web.url: the path %q begins like a page of Larkspur's own", u.Path).
				WithHint("Choose another, for example /larkspur/.")
		}
	}
	if u.Path != "/" {
		u.Path += "/"
	}
	if strings.Contains(u.Path, "//") || strings.ContainsAny(u.Path, " ;%") {
		return nil, engine.Errorf(engine.Invalid, "web.url: the path %q is not plain", u.Path)
	}
	return u, nil
}

// Handler returns the routes. asAdmin serves the HTTP interface alone, every
// caller being the administrator: for the control socket, whose file mode is
// the proof.
func (s *Server) Handler(asAdmin bool) http.Handler {
	if asAdmin {
		return s.admin
	}
	return s.people
}

// SignInLink makes a one-time sign-in link for a person of people, as `larkspur
// login` prints it.
func (s *Server) SignInLink(person string) (link string, expires time.Time, err error) {
	l, err := s.api.SignInLink(context.Background(), person, "Larkspur")
	return l.URL, l.Expires, err
}

// Run serves a listener until ctx ends, then lets open requests finish for ten
// seconds. It returns nil when ctx ended.
func (s *Server) Run(ctx context.Context, l net.Listener) error { return serve(ctx, l, s.people) }

// RunControl serves the control socket.
func (s *Server) RunControl(ctx context.Context, l net.Listener) error { return serve(ctx, l, s.admin) }

func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		err := server.Shutdown(grace)
		if err != nil {
			err = errors.Join(err, server.Close())
		}
		stopped <- err
	})
	err := server.Serve(l)
	if !stop() { // ctx ended: Serve returned because of that
		if err := <-stopped; err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("ui: stopping: %w", err)
		}
		return nil
	}
	return fmt.Errorf("ui: serving %s: %w", l.Addr(), err)
}
