package mailbox

import (
	"crypto/subtle"
	"io"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// session is one conversation.
type session struct {
	mailbox *Mailbox
	conn    *smtp.Conn
	known   bool
	from    string
	to      []string
}

func (m *Mailbox) session(c *smtp.Conn) (smtp.Session, error) {
	return &session{mailbox: m, conn: c}, nil
}

// AuthMechanisms offers PLAIN, where a user is set.
func (s *session) AuthMechanisms() []string {
	if s.mailbox.options.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

// Auth checks user and password.
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if s.mailbox.broken() == TemporaryLogins {
			return reply(454, 4, 7, 0, "Temporary authentication failure")
		}
		o := s.mailbox.options
		if !same(user, o.User) || !same(password, o.Password) {
			return smtp.ErrAuthFailed
		}
		s.known = true
		return nil
	}), nil
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func reply(code, a, b, c int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{a, b, c}, Message: text}
}

// Mail begins a mail.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.mailbox.options.User != "" && !s.known {
		return reply(530, 5, 7, 0, "Authentication required")
	}
	s.from = from
	return nil
}

// Rcpt adds a recipient.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch s.mailbox.broken() {
	case Greylist:
		return reply(451, 4, 7, 1, "Greylisted, please try again later")
	case UnknownUser:
		return reply(550, 5, 1, 1, "No such user here")
	}
	if s.mailbox.refuses(to) {
		return reply(550, 5, 1, 1, "No such user here")
	}
	s.to = append(s.to, to)
	return nil
}

func (m *Mailbox) refuses(address string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused[strings.ToLower(address)]
}

// Data takes the message.
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	fault := s.mailbox.broken()
	switch fault {
	case RefuseMessage:
		return reply(554, 5, 6, 0, "Message refused by policy")
	case HangAfterData:
		return s.hang()
	}
	s.mailbox.keep(s.from, s.to, raw)
	switch fault {
	case LostAfterData:
		s.conn.Conn().Close()
	case StuckAfterData:
		return s.hang()
	}
	return nil
}

// hang answers nothing until the server ends.
func (s *session) hang() error {
	<-s.mailbox.stopped
	return reply(421, 4, 3, 0, "Shutting down")
}

// Reset forgets the mail that was begun.
func (s *session) Reset() { s.from, s.to = "", nil }

// Logout ends the conversation.
func (s *session) Logout() error { return nil }
