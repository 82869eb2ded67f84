package email_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"larkspur/builtins/reach"
)

// loginOnly is a server that knows AUTH LOGIN alone, as some old ones do.
type loginOnly struct{ known bool }

func (s *loginOnly) AuthMechanisms() []string { return []string{"LOGIN"} }

func (s *loginOnly) Auth(string) (sasl.Server, error) { return &login{session: s}, nil }

func (s *loginOnly) Mail(string, *smtp.MailOptions) error {
	if !s.known {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *loginOnly) Rcpt(string, *smtp.RcptOptions) error { return nil }

func (s *loginOnly) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func (s *loginOnly) Reset()        {}
func (s *loginOnly) Logout() error { return nil }

// login is the server's side of AUTH LOGIN.
type login struct {
	session *loginOnly
	heard   []string
}

func (l *login) Next(response []byte) (challenge []byte, done bool, err error) {
	if response != nil {
		l.heard = append(l.heard, string(response))
	}
	switch len(l.heard) {
	case 0:
		return []byte("Username:"), false, nil
	case 1:
		return []byte("Password:"), false, nil
	}
	if l.heard[0] != "soar" || l.heard[1] != "correct horse" {
		return nil, false, errors.New("wrong password")
	}
	l.session.known = true
	return nil, true, nil
}

func TestSignsInWithLOGIN(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &loginOnly{}, nil }))
	server.Domain, server.TLSConfig = "mail.example.org", &tls.Config{Certificates: web.TLS.Certificates}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	defer func() { server.Close(); l.Close(); <-done }()
	values := map[string]any{"host": "127.0.0.1", "port": l.Addr().(*net.TCPAddr).Port, "user": "soar", "password": "secret:smtp",
		"from": "soar@example.org", "fingerprint": reach.PinOf(web.Certificate()).String()}
	if _, err := deliver(open(t, values), letter()); err != nil {
		t.Error(err)
	}
}
