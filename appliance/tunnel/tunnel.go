// Package tunnel makes the page reachable for a box that nobody can connect to: it
// signs in at a host outside by SSH, has that host listen, and serves what comes in
// there. Begin with New, then Run.
//
// What comes through the tunnel is served as what comes in at web.listen: with the
// same sign-in, the same guards and the same limits. The far end is a stranger to
// us like any other peer; that the addresses it tells are true is as good as the
// host that tells them (RFC 4254 §7.2).
package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"larkspur/engine"
)

// Pauses of a tunnel that breaks or cannot be made: they double, and begin anew
// after a connection that held.
const (
	firstPause = time.Second
	maxPause   = time.Minute
	held       = time.Minute
	// keepAlive is how often the other end is asked for a sign of life, and how
	// long it may take.
	keepAlive = 15 * time.Second
)

// Gate is the host that listens for us.
type Gate interface {
	Address() string
	Dial(ctx context.Context) (*ssh.Client, error)
}

// Config says where the tunnel leads, and what it serves.
type Config struct {
	Gate   Gate
	Listen string // of the gate: IP:PORT
	// Serve serves a listener until ctx ends or the listener does.
	Serve func(ctx context.Context, l net.Listener) error
	// FirstPause takes the place of a second, for tests.
	FirstPause time.Duration
}

// Tunnel keeps the connection to its gate. Safe for concurrent use.
type Tunnel struct {
	cfg Config

	mu     sync.Mutex // guards status
	status Status
}

// Status tells how a tunnel fares.
type Status struct {
	Gate, Listen string
	Up           bool
	Since        time.Time // of Up
	Err          error     // why it is not up; nil before the first try
	Breaks       int
}

// New makes a tunnel.
func New(c Config) *Tunnel {
	if c.FirstPause == 0 {
		c.FirstPause = firstPause
	}
	return &Tunnel{cfg: c, status: Status{Gate: c.Gate.Address(), Listen: c.Listen}}
}

// Status returns how it fares at this moment.
func (t *Tunnel) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status
}

func (t *Tunnel) set(change func(*Status)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.status)
}

// Run keeps the tunnel up until ctx ends. Nothing else ends it: the page is still
// reached at home.
func (t *Tunnel) Run(ctx context.Context) error {
	pause := t.cfg.FirstPause
	for {
		began := time.Now()
		err := t.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		t.broke(err)
		if time.Since(began) > held {
			pause = t.cfg.FirstPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, maxPause)
	}
}

// broke notes why the tunnel is not up; the log tells each reason once.
func (t *Tunnel) broke(err error) {
	before := t.Status()
	if before.Up || before.Err == nil || before.Err.Error() != err.Error() {
		slog.Warn("the tunnel is down", "gate", t.cfg.Gate.Address(), "error", err)
	}
	t.set(func(s *Status) {
		if s.Up {
			s.Breaks++
		}
		s.Up, s.Err = false, err
	})
}

// once makes the tunnel and serves it until it breaks. The error is never nil.
func (t *Tunnel) once(ctx context.Context) error {
	client, err := t.cfg.Gate.Dial(ctx)
	if err != nil {
		return err
	}
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	defer client.Close()
	l, err := client.Listen("tcp", t.cfg.Listen)
	if err != nil {
		return t.refused(err)
	}
	t.set(func(s *Status) { s.Up, s.Since, s.Err = true, time.Now(), nil })
	slog.Info("the tunnel is up", "gate", t.cfg.Gate.Address(), "listen", t.cfg.Listen)
	watched := make(chan struct{})
	go func() { // ends with ctx or the connection, and is waited for
		defer close(watched)
		lost(t.watch(ctx, client))
	}()
	err = t.cfg.Serve(ctx, listener{l})
	client.Close()
	<-watched
	if why := context.Cause(ctx); !errors.Is(why, context.Canceled) {
		err = why // it tells more than the end of the listener does
	}
	return engine.WrapError(engine.Unavailable, orEnd(err), "tunnel")
}

// refused is why the gate does not listen for us.
func (t *Tunnel) refused(err error) error {
	if !strings.Contains(err.Error(), "denied") {
		return engine.WrapError(engine.Unavailable, err, "tunnel")
	}
	return engine.Errorf(engine.Denied, "tunnel: %s does not listen on %s for us", t.cfg.Gate.Address(), t.cfg.Listen).
		WithHint("another program listens there, or sshd_config forbids it (AllowTcpForwarding, PermitListen), or authorized_keys does (restrict, port-forwarding, permitlisten)")
}

// watch asks the gate for signs of life and returns once it gives none.
func (t *Tunnel) watch(ctx context.Context, client *ssh.Client) error {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	ended := make(chan error, 1)
	go func() { ended <- client.Wait() }() // ends with the connection
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("the connection ended: %w", orEnd(err))
		case <-ctx.Done():
			client.Close()
			<-ended
			return nil
		case <-tick.C:
			if err := alive(client); err != nil {
				client.Close()
				<-ended
				return err
			}
		}
	}
}

// alive asks for a sign of life; a refusal is one.
func alive(client *ssh.Client) error {
	answered := make(chan error, 1)
	go func() { // ends with the answer or the connection
		_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
		answered <- err
	}()
	select {
	case err := <-answered:
		return err
	case <-time.After(keepAlive):
		return fmt.Errorf("no sign of life for %s", keepAlive)
	}
}

func orEnd(err error) error {
	if err == nil {
		return errors.New("the other end closed it")
	}
	return err
}
