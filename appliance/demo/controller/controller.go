// Package controller simulates a UniFi Network application for the demo and for
// tests: real TLS on a socket, logins, cookies, CSRF tokens, API keys and the
// error shapes of the real one, in its classic and its UniFi OS form. It blocks
// nothing in the world.
package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"larkspur/engine"
)

// Options say what is simulated. The zero value is a classic controller on a
// free port of the loopback address that lets nobody in.
type Options struct {
	Listen string // default 127.0.0.1:0
	// OS makes it a UniFi OS console, else it is a classic controller.
	OS             bool
	Site           string // default "default"
	User, Password string
	APIKey         string // UniFi OS only
	Clients        []Client
	Clock          engine.Clock // default the machine's
}

// Client is a device that the simulated network knows.
type Client struct {
	MAC      string // lower case with colons
	Name     string
	Hostname string
	IP       netip.Addr
	Online   bool
	Blocked  bool
	Wired    bool
	SSID     string
	Network  string
	LastSeen time.Time
}

// Command is one command that the controller received.
type Command struct {
	At     time.Time
	Name   string // block-sta, unblock-sta, kick-sta
	MAC    string
	By     string // the user, or "API key"
	Answer string // ok, or the error's name
}

// Fault makes the controller misbehave until it is set back to Healthy.
type Fault string

// The faults.
const (
	Healthy      Fault = ""
	Down         Fault = "down"          // closes every connection without an answer
	Starting     Fault = "starting"      // answers HTML, as a console does while it starts
	ServerError  Fault = "server error"  // status 500
	TooMany      Fault = "too many"      // status 429
	SecondFactor Fault = "second factor" // status 499 at login
	NoPermission Fault = "no permission" // rc:error with status 200
	Lost         Fault = "lost"          // does what a command says, then cuts the connection
	Hang         Fault = "hang"          // never answers
	Stuck        Fault = "stuck"         // does what a command says, then never answers
)

// maxCommands bounds the log; older ones are forgotten.
const maxCommands = 1000

// Controller is a simulated controller. Safe for concurrent use.
type Controller struct {
	options     Options
	listener    net.Listener
	certificate tls.Certificate
	fingerprint string

	mu       sync.Mutex
	clients  map[string]*Client
	commands []Command
	sessions map[string]*login
	failures int
	logins   int
	fault    Fault
	count    int           // of all commands ever
	came     chan struct{} // closed and replaced at each command
}

// login is an open session.
type login struct{ user, csrf string }

// Open listens with a fresh certificate of its own. Nothing is served before Run.
func Open(o Options) (*Controller, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Site == "" {
		o.Site = "default"
	}
	if o.Clock == nil {
		o.Clock = engine.SystemClock{}
	}
	c := &Controller{options: o, clients: map[string]*Client{}, sessions: map[string]*login{}, came: make(chan struct{})}
	for _, client := range o.Clients {
		c.clients[client.MAC] = &client
	}
	var err error
	if c.certificate, c.fingerprint, err = selfSigned(); err != nil {
		return nil, err
	}
	c.listener, err = net.Listen("tcp", o.Listen)
	return c, err
}

// Run serves until ctx ends, or Close.
func (c *Controller) Run(ctx context.Context) error {
	server := &http.Server{
		Handler:           c.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // failed handshakes are the callers' business
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	err := server.Serve(tls.NewListener(c.listener, &tls.Config{
		Certificates: []tls.Certificate{c.certificate},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"}, // so that a fault can cut the connection
	}))
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Close stops listening; for a controller whose Run was never called.
func (c *Controller) Close() error { return c.listener.Close() }

// URL is where the controller answers.
func (c *Controller) URL() string { return "https://" + c.listener.Addr().String() }

// Fingerprint is the SHA-256 of its public key, as connections.unifi wants it.
func (c *Controller) Fingerprint() string { return c.fingerprint }

// Break makes the controller misbehave; Healthy mends it.
func (c *Controller) Break(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = f
}

// ExpireSessions ends every login.
func (c *Controller) ExpireSessions() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.sessions)
}

// Logins counts the logins that succeeded.
func (c *Controller) Logins() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logins
}

// SetOnline connects or disconnects a client; an unknown MAC is ignored.
func (c *Controller) SetOnline(mac string, online bool) {
	c.change(mac, func(k *Client) { k.Online = online })
}

// SetBlocked blocks or unblocks a client as somebody at the console would:
// without a command in the log.
func (c *Controller) SetBlocked(mac string, blocked bool) {
	c.change(mac, func(k *Client) { k.Blocked = blocked })
}

func (c *Controller) change(mac string, do func(*Client)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client, ok := c.clients[mac]; ok {
		do(client)
		client.LastSeen = c.options.Clock.Now()
	}
}

// Blocked reports whether a client is blocked.
func (c *Controller) Blocked(mac string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	client, ok := c.clients[mac]
	return ok && client.Blocked
}

// Clients returns a copy of all clients, by MAC.
func (c *Controller) Clients() []Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Client, 0, len(c.clients))
	for _, client := range c.clients {
		list = append(list, *client)
	}
	slices.SortFunc(list, func(a, b Client) int { return strings.Compare(a.MAC, b.MAC) })
	return list
}

// Commands returns what was commanded, oldest first.
func (c *Controller) Commands() []Command {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.commands)
}

// Wait returns the commands once at least n have ever come.
func (c *Controller) Wait(ctx context.Context, n int) ([]Command, error) {
	for {
		c.mu.Lock()
		count, came, commands := c.count, c.came, slices.Clone(c.commands)
		c.mu.Unlock()
		if count >= n {
			return commands, nil
		}
		select {
		case <-came:
		case <-ctx.Done():
			return commands, ctx.Err()
		}
	}
}

// perform does a command and returns the error's name, "" when it went well.
func (c *Controller) perform(name, mac, by string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	code := ""
	client, known := c.clients[strings.ToLower(mac)]
	switch {
	case !known:
		code = "api.err.UnknownStation"
	case name == "block-sta":
		client.Blocked, client.Online = true, false
	case name == "unblock-sta":
		client.Blocked = false
	case name == "kick-sta":
		client.LastSeen = c.options.Clock.Now()
	default:
		code = "api.err.InvalidPayload"
	}
	answer := "ok"
	if code != "" {
		answer = code
	}
	c.commands = append(c.commands, Command{c.options.Clock.Now(), name, mac, by, answer})
	if len(c.commands) > maxCommands {
		c.commands = slices.Delete(c.commands, 0, len(c.commands)-maxCommands)
	}
	c.count++
	close(c.came)
	c.came = make(chan struct{})
	return code
}

func (c *Controller) broken() Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault
}
