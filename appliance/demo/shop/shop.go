// Package shop simulates a web server and the host that it runs on, for the demo: a
// page over HTTP that can be broken, and a host that really speaks SSH (RFC 4251),
// takes one key and no password, and knows the four commands that mending the page
// needs. Nothing is executed.
package shop

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/sync/errgroup"

	"larkspur/engine"
)

// What the page can suffer from; a restart mends the first, a reboot both.
type trouble int

const (
	healthy trouble = iota
	crashed
	wedged
)

// Bounds of what is kept.
const (
	maxLines    = 100
	maxCommands = 50
)

// User is who may sign in at the host.
const User = "larkspur"

// Command is one that the host was given.
type Command struct {
	At     time.Time
	Text   string
	Answer string
}

// Shop is the page and its host. Safe for concurrent use.
type Shop struct {
	clock    engine.Clock
	web, ssh net.Listener
	config   *ssh.ServerConfig
	host     ssh.PublicKey
	key      string // of who may sign in, as OpenSSH writes it

	mu       sync.Mutex // guards what follows
	trouble  trouble
	booted   int // how often
	log      []string
	commands []Command
	conns    map[net.Conn]bool
}

// Open listens on free ports of the loopback address.
func Open(clock engine.Clock) (_ *Shop, err error) {
	s := &Shop{clock: clock, conns: map[net.Conn]bool{}, booted: 1}
	if err := s.makeKeys(); err != nil {
		return nil, engine.WrapError(engine.Internal, err, "shop")
	}
	if s.web, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "shop")
	}
	if s.ssh, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, errors.Join(engine.WrapError(engine.Unavailable, err, "shop"), s.web.Close())
	}
	for n := range 22 {
		s.note(fmt.Sprintf("203.0.113.%d \"GET / HTTP/1.1\" 200", 10+n*7%200))
	}
	return s, nil
}

// makeKeys draws the host's key and that of its only user.
func (s *Shop) makeKeys() error {
	_, host, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	signer, err := ssh.NewSignerFromKey(host)
	if err != nil {
		return err
	}
	public, user, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(user, "")
	if err != nil {
		return err
	}
	allowed, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	s.host, s.key = signer.PublicKey(), string(pem.EncodeToMemory(block))
	s.config = &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != User || string(key.Marshal()) != string(allowed.Marshal()) {
			return nil, errors.New("not a key of this host")
		}
		return nil, nil
	}}
	s.config.AddHostKey(signer)
	return nil
}

// URL is the page's.
func (s *Shop) URL() string { return "http://" + s.web.Addr().String() + "/" }

// Port is the host's for SSH, on 127.0.0.1.
func (s *Shop) Port() int { return s.ssh.Addr().(*net.TCPAddr).Port }

// Key is the private key that may sign in.
func (s *Shop) Key() string { return s.key }

// Known is the line by which the host is known.
func (s *Shop) Known() string {
	return knownhosts.Line([]string{net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port()))}, s.host) + "\n"
}

// Crash breaks the page until its service is restarted; Wedge until the host is
// rebooted.
func (s *Shop) Crash() { s.suffer(crashed, "nginx[7]: worker process 19 exited on signal 11") }

// Wedge breaks the page so that a restart does not help.
func (s *Shop) Wedge() { s.suffer(wedged, "kernel: nginx[7]: blocked for more than 120 seconds") }

// Mend mends it, as somebody who is there would.
func (s *Shop) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = healthy
}

func (s *Shop) suffer(t trouble, says string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = max(s.trouble, t)
	s.note(`203.0.113.77 "GET / HTTP/1.1" 500`)
	s.note(says)
}

// Healthy tells whether the page is.
func (s *Shop) Healthy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble == healthy
}

// Commands returns what the host was told, the oldest first.
func (s *Shop) Commands() []Command {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Command{}, s.commands...)
}

// note adds a line to the service's log. mu must be held, or nobody else know s.
func (s *Shop) note(line string) {
	s.log = append(s.log, s.clock.Now().Format("Jan 02 15:04:05")+" shop "+line)
	s.log = s.log[max(0, len(s.log)-maxLines):]
}

// Run serves page and host until ctx ends.
func (s *Shop) Run(ctx context.Context) error {
	page := &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		page.Close()
		s.ssh.Close()
		s.hangUp()
	})
	defer stop()
	var work errgroup.Group
	work.Go(func() error {
		if err := page.Serve(s.web); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	work.Go(s.accept)
	return work.Wait()
}

// Close ends it, also when it never ran.
func (s *Shop) Close() error {
	var errs []error
	for _, l := range []net.Listener{s.web, s.ssh} {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	s.hangUp()
	return errors.Join(errs...)
}

// serve is the page.
func (s *Shop) serve(w http.ResponseWriter, _ *http.Request) {
	if !s.Healthy() {
		http.Error(w, "Internal server error", http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "Welcome to the shop (simulated). It is open.")
}
