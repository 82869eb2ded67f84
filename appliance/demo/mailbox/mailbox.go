// Package mailbox simulates a mail server for the demo and for tests: real SMTP
// on a socket, with STARTTLS, a certificate of its own, and a user and password.
// What arrives is kept in memory and shown as an inbox page; nothing is sent on.
package mailbox

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"larkspur/engine"
)

// Bounds of what is kept; the oldest mails go first.
const (
	maxMails        = 200
	maxMessageBytes = 4 << 20
	maxKeptBytes    = 32 << 20
	maxRecipients   = 100
)

// Options say what is simulated. The zero value is a server on a free port of
// the loopback address that takes mail from anybody.
type Options struct {
	Listen string // default 127.0.0.1:0
	Domain string // default mail.example.org
	// User and Password are demanded before mail is taken, where User is set;
	// both only after STARTTLS.
	User, Password string
	// Implicit speaks TLS from the first byte, as on port 465.
	Implicit bool
	Clock    engine.Clock // default the machine's
}

// Mail is one mail that arrived.
type Mail struct {
	ID        int // from 1, in order of arrival
	At        time.Time
	From      string   // of the envelope
	To        []string // of the envelope
	Subject   string
	MessageID string // without angle brackets
	Text      string
	HTML      string
	Raw       []byte
}

// Fault makes the server misbehave until it is set back to Healthy.
type Fault string

// The faults.
const (
	Healthy         Fault = ""
	Down            Fault = "down"             // closes every connection at once
	Greylist        Fault = "greylist"         // 451 for every recipient
	UnknownUser     Fault = "unknown user"     // 550 for every recipient
	RefuseMessage   Fault = "refuse message"   // 554 after the message
	LostAfterData   Fault = "lost after data"  // keeps the mail, then cuts the connection
	HangAfterData   Fault = "hang after data"  // never answers the message
	StuckAfterData  Fault = "stuck after data" // keeps the mail, then never answers
	TemporaryLogins Fault = "temporary logins" // 454 for every login
)

// Mailbox is a simulated mail server. Safe for concurrent use.
type Mailbox struct {
	options     Options
	listener    net.Listener
	certificate tls.Certificate
	fingerprint string
	stopped     chan struct{} // closed when Run ends

	mu      sync.Mutex
	mails   []Mail // oldest first
	kept    int    // bytes
	count   int    // of all mails ever
	refused map[string]bool
	fault   Fault
	arrived chan struct{} // closed and replaced at each arrival
}

// Open listens with a fresh certificate of its own. Nothing is served before Run.
func Open(o Options) (*Mailbox, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Domain == "" {
		o.Domain = "mail.example.org"
	}
	if o.Clock == nil {
		o.Clock = engine.SystemClock{}
	}
	m := &Mailbox{options: o, stopped: make(chan struct{}), refused: map[string]bool{}, arrived: make(chan struct{})}
	var err error
	if m.certificate, m.fingerprint, err = selfSigned(o.Domain); err != nil {
		return nil, err
	}
	m.listener, err = net.Listen("tcp", o.Listen)
	return m, err
}

// Run serves until ctx ends. It is called once.
func (m *Mailbox) Run(ctx context.Context) error {
	config := &tls.Config{Certificates: []tls.Certificate{m.certificate}, MinVersion: tls.VersionTLS12}
	server := smtp.NewServer(smtp.BackendFunc(m.session))
	server.Domain = m.options.Domain
	server.TLSConfig = config
	server.MaxMessageBytes = maxMessageBytes
	server.MaxRecipients = maxRecipients
	server.ReadTimeout, server.WriteTimeout = 5*time.Minute, time.Minute
	server.ErrorLog = log.New(io.Discard, "", 0) // callers that hang up are their own business
	var once sync.Once
	stop := context.AfterFunc(ctx, func() { once.Do(func() { close(m.stopped); server.Close(); m.listener.Close() }) })
	defer stop()
	var listener net.Listener = &gate{m.listener, m}
	if m.options.Implicit {
		listener = tls.NewListener(listener, config)
	}
	err := server.Serve(listener)
	if errors.Is(err, smtp.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// gate turns connections away while the server is down.
type gate struct {
	net.Listener
	mailbox *Mailbox
}

// Accept returns the next connection that is let in.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil || g.mailbox.broken() != Down {
			return conn, err
		}
		conn.Close()
	}
}

// Close stops listening; for a mailbox whose Run was never called.
func (m *Mailbox) Close() error { return m.listener.Close() }

// Host and port where the server answers.
func (m *Mailbox) Address() (host string, port int) {
	a := m.listener.Addr().(*net.TCPAddr)
	return a.IP.String(), a.Port
}

// Fingerprint is the SHA-256 of its public key, as connections.smtp wants it.
func (m *Mailbox) Fingerprint() string { return m.fingerprint }

// Break makes the server misbehave; Healthy mends it.
func (m *Mailbox) Break(f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

// RefuseRecipient has one address answered with 550.
func (m *Mailbox) RefuseRecipient(address string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused[strings.ToLower(address)] = true
}

func (m *Mailbox) broken() Fault {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fault
}

// Mails returns what is kept, oldest first.
func (m *Mailbox) Mails() []Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mails)
}

// Wait returns the mails kept once at least n have ever arrived.
func (m *Mailbox) Wait(ctx context.Context, n int) ([]Mail, error) {
	for {
		m.mu.Lock()
		count, arrived, mails := m.count, m.arrived, slices.Clone(m.mails)
		m.mu.Unlock()
		if count >= n {
			return mails, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return mails, ctx.Err()
		}
	}
}

// Mail returns one mail by its number.
func (m *Mailbox) Mail(id int) (Mail, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.mails, func(k Mail) bool { return k.ID == id })
	if i < 0 {
		return Mail{}, false
	}
	return m.mails[i], true
}

// keep adds a mail and forgets the oldest ones beyond the bounds.
func (m *Mailbox) keep(from string, to []string, raw []byte) {
	k := parse(raw)
	k.From, k.To, k.Raw, k.At = from, to, raw, m.options.Clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	k.ID = m.count
	m.mails = append(m.mails, k)
	m.kept += k.size()
	for len(m.mails) > maxMails || m.kept > maxKeptBytes && len(m.mails) > 1 {
		m.kept -= m.mails[0].size()
		m.mails = slices.Delete(m.mails, 0, 1)
	}
	close(m.arrived)
	m.arrived = make(chan struct{})
}

func (k Mail) size() int { return len(k.Raw) + len(k.Text) + len(k.HTML) }
