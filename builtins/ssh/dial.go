package ssh

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// machine is one host with its idle connection. A connection carries one call at
// a time, so that what ends a call in the middle, which closes it, ends no other;
// of several that become idle one is kept.
type machine struct {
	*module
	account

	mu   sync.Mutex
	idle *link
	end  *time.Timer // closes idle
}

// link is a connection to a host, signed in, with the one to the jump host that
// carries it.
type link struct {
	client *ssh.Client
	below  *link
	reused bool
}

func (l *link) close() {
	for ; l != nil; l = l.below {
		l.client.Close()
	}
}

// guard closes the connection when ctx ends, which is what ends calls of x/crypto
// that wait. The returned function lifts it.
func (l *link) guard(ctx context.Context) (lift func() bool) {
	return context.AfterFunc(ctx, l.close)
}

// alive asks the other end for a sign of life; a refusal is one.
func (l *link) alive(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	lift := l.guard(ctx)
	_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
	return lift() && err == nil
}

// take returns a connection that just answered, or a new one. Whoever takes one
// gives it back or closes it.
func (m *machine) take(ctx context.Context, doing string) (*link, error) {
	m.mu.Lock()
	l := m.idle
	m.idle = nil
	m.mu.Unlock()
	if l != nil {
		if l.alive(ctx) {
			l.reused = true
			return l, nil
		}
		l.close()
	}
	return m.dial(ctx, doing)
}

// give keeps a connection for the next call. Nothing may be under way on it.
func (m *machine) give(l *link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.idle != nil {
		l.close()
		return
	}
	m.idle = l
	m.end = time.AfterFunc(idleTimeout, func() { m.drop(l) })
}

// drop closes a connection that is still idle.
func (m *machine) drop(l *link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.idle == l {
		m.idle = nil
		l.close()
	}
}

// forget closes the idle connection.
func (m *machine) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.idle != nil {
		m.end.Stop()
		m.idle.close()
		m.idle = nil
	}
}

// dial connects to the host, by way of its jump hosts, and signs in.
func (m *machine) dial(ctx context.Context, doing string) (*link, error) {
	id, err := m.identity(m.env)
	if err != nil {
		return nil, err
	}
	known, err := readHosts(m.env.Workspace, m.knownHosts)
	if err != nil {
		return nil, engine.WrapError(engine.Invalid, err, m.key+".known_hosts")
	}
	if m.jump == "" {
		conn, err := m.env.Dialer.DialContext(ctx, "tcp", m.address())
		if err != nil {
			return nil, fault(err, doing)
		}
		return m.signIn(ctx, conn, nil, id, known, doing)
	}
	below, err := m.machines[m.jump].dial(ctx, doing+": jump host "+m.jump)
	if err != nil {
		return nil, err
	}
	conn, err := m.beyond(ctx, below, doing)
	if err != nil {
		below.close()
		return nil, err
	}
	return m.signIn(ctx, conn, below, id, known, doing)
}

// beyond has the jump host connect to this one. The egress rule holds for what
// lies behind, too, as far as it can be seen from here: an address, or a name.
func (m *machine) beyond(ctx context.Context, below *link, doing string) (net.Conn, error) {
	var to netip.AddrPort
	if addr, err := netip.ParseAddr(m.host); err == nil {
		to = netip.AddrPortFrom(addr, uint16(m.port))
	}
	if err := m.env.Dialer.Policy.CheckBehind(m.host, to); err != nil {
		return nil, fault(err, doing)
	}
	lift := below.guard(ctx)
	conn, err := below.client.Dial("tcp", m.address())
	if !lift() && err != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, beyondFault(err, doing, m.jump)
	}
	return conn, nil
}

// signIn makes a connection of a stream: the host proves itself first, then we.
// It owns conn and below.
func (m *machine) signIn(ctx context.Context, conn net.Conn, below *link, id identity, known *hosts, doing string) (*link, error) {
	address := m.address()
	var refusal error
	config := &ssh.ClientConfig{
		User:              m.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(id.signers...)},
		ClientVersion:     "SSH-2.0-Larkspur",
		HostKeyAlgorithms: known.algorithms(address),
		HostKeyCallback: func(_ string, remote net.Addr, key ssh.PublicKey) error {
			refusal = known.check(address, remote, key)
			return refusal
		},
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	lift := context.AfterFunc(ctx, func() { conn.Close() })
	limited := &limitedConn{Conn: conn}
	c, channels, requests, err := ssh.NewClientConn(limited, address, config)
	if !lift() && err != nil && refusal == nil {
		err = ctx.Err()
	}
	if err == nil && ctx.Err() == nil {
		limited.signedIn.Store(true)
		return &link{client: ssh.NewClient(c, channels, requests), below: below}, nil
	}
	conn.Close()
	below.close()
	if refusal != nil {
		return nil, fault(refusal, doing)
	}
	if err == nil {
		err = ctx.Err()
	}
	return nil, m.handshakeFault(err, id, known, doing)
}

func (m *machine) handshakeFault(err error, id identity, known *hosts, doing string) error {
	var none *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(err, &none) && none.What == "host key" && len(known.db.HostKeys(m.address())) > 0:
		return fault(known.mismatch(m.address(), none.RequestedAlgorithms), doing)
	case errors.Is(err, errTalkative):
		return engine.Errorf(engine.Unavailable, "%s: the other end sent more than %d KB without signing us in", doing, maxHandshakeBytes>>10)
	}
	if e := m.authFault(err, id); e != nil {
		return fault(e, doing)
	}
	return fault(err, doing)
}

// limitedConn bounds what the other end may send before we are signed in.
type limitedConn struct {
	net.Conn
	signedIn atomic.Bool
	read     int // by the one reader
}

var errTalkative = errors.New("too much before signing in")

func (c *limitedConn) Read(p []byte) (int, error) {
	if c.signedIn.Load() {
		return c.Conn.Read(p)
	}
	if c.read >= maxHandshakeBytes {
		return 0, errTalkative
	}
	n, err := c.Conn.Read(p)
	c.read += n
	return n, err
}

// with does something on a connection to the call's host. What do says of a
// connection that was kept and turns out to be dead before anything was sent is
// tried once more on a new one.
func (m *machine) with(ctx context.Context, doing string, do func(*link) error) error {
	for {
		l, err := m.take(ctx, doing)
		if err != nil {
			return err
		}
		err = do(l)
		if err == nil {
			m.give(l)
			return nil
		}
		l.close()
		if !errors.Is(err, errStale) {
			return err
		}
	}
}

// errStale says that a kept connection died before anything was sent over it.
var errStale = errors.New("the kept connection was dead")

// stale tells errStale from the fault of a new connection.
func (l *link) stale(ctx context.Context, err error) error {
	var refused *ssh.OpenChannelError
	if l.reused && ctx.Err() == nil && !errors.As(err, &refused) {
		return errStale
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// EOF of a channel is the loss of its connection.
func lost(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || slices.Contains([]string{"reset"}, reach.Fault(err, "", "").Cause)
}
