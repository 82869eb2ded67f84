package ssh

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"larkspur/engine"
)

// hostile listens and does with each connection what a test says.
func hostile(t *testing.T, serve func(net.Conn, *ssh.ServerConfig)) *rig {
	t.Helper()
	host, key := newPair(t, "ed25519", ""), newPair(t, "ed25519", "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	config.AddHostKey(host.signer)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn, config)
		}
	}()
	s := &server{port: l.Addr().(*net.TCPAddr).Port, host: host, user: "ops"}
	return one(t, s, key)
}

// sessions serves channels: what a test says gets each with its requests.
func sessions(do func(conn net.Conn, ch ssh.Channel, requests <-chan *ssh.Request)) func(net.Conn, *ssh.ServerConfig) {
	return func(conn net.Conn, config *ssh.ServerConfig) {
		_, channels, requests, err := ssh.NewServerConn(conn, config)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		for c := range channels {
			if ch, requests, err := c.Accept(); err == nil {
				go do(conn, ch, requests)
			}
		}
	}
}

// accepted takes the request to run a command.
func accepted(requests <-chan *ssh.Request) {
	if r, ok := <-requests; ok {
		r.Reply(true, nil)
		go ssh.DiscardRequests(requests)
	}
}

func TestHostileServers(t *testing.T) {
	hang := func(conn net.Conn) { io.Copy(io.Discard, conn) }
	asked, running := make(chan struct{}), make(chan struct{})
	cases := []struct {
		name  string
		serve func(net.Conn, *ssh.ServerConfig)
		kind  engine.Kind
		cause string
		maybe bool
		want  string
	}{
		{"says nothing", func(c net.Conn, _ *ssh.ServerConfig) { hang(c) }, engine.Timeout, "", false, "ssh.run web: no answer in time"},
		{"closes", func(c net.Conn, _ *ssh.ServerConfig) { c.Close() }, engine.Unavailable, "reset", false, "the connection was lost"},
		{"is no SSH", func(c net.Conn, _ *ssh.ServerConfig) {
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			c.Close()
		}, engine.Unavailable, "reset", false, "the connection was lost"},
		{"an endless banner", func(c net.Conn, _ *ssh.ServerConfig) { io.Copy(c, endless{'x'}) }, engine.Unavailable, "", false, "overflow reading version string"},
		{"endless lines", func(c net.Conn, _ *ssh.ServerConfig) { io.Copy(c, endless{'\n'}) }, engine.Unavailable, "", false, "overflow reading version string"},
		{"wants a password", func(c net.Conn, config *ssh.ServerConfig) {
			other := *config
			other.PublicKeyCallback = nil
			other.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, nil }
			ssh.NewServerConn(c, &other)
		}, engine.Denied, "", false, "the host does not take the key"},
		{"opens no session", func(c net.Conn, config *ssh.ServerConfig) {
			_, channels, requests, err := ssh.NewServerConn(c, config)
			if err == nil {
				go ssh.DiscardRequests(requests)
				for ch := range channels {
					ch.Reject(ssh.ResourceShortage, "no\x1b[31m room")
				}
			}
		}, engine.Unavailable, "", false, "the host opens no session: no [31m room"},
		{"never opens", func(c net.Conn, config *ssh.ServerConfig) {
			if _, channels, requests, err := ssh.NewServerConn(c, config); err == nil {
				go ssh.DiscardRequests(requests)
				for range channels {
				}
			}
		}, engine.Timeout, "", false, "no answer in time"},
		{"never accepts", sessions(func(_ net.Conn, _ ssh.Channel, requests <-chan *ssh.Request) {
			<-requests
			close(asked)
		}), engine.Unavailable, "", true, "the call was stopped"},
		{"refuses", sessions(func(_ net.Conn, _ ssh.Channel, requests <-chan *ssh.Request) { ssh.DiscardRequests(requests) }),
			engine.Denied, "", false, "the host refuses to run a command"},
		{"never ends", sessions(func(_ net.Conn, _ ssh.Channel, requests <-chan *ssh.Request) {
			accepted(requests)
			close(running)
		}), engine.Unavailable, "", true, "the call was stopped"},
		{"no exit status", sessions(func(_ net.Conn, ch ssh.Channel, requests <-chan *ssh.Request) {
			accepted(requests)
			ch.Close()
		}), engine.Unavailable, "reset", true, "the host ended the session without saying how the command ended"},
		{"lost", sessions(func(c net.Conn, _ ssh.Channel, requests <-chan *ssh.Request) {
			accepted(requests)
			c.Close()
		}), engine.Unavailable, "reset", true, "the connection was lost"},
		{"a flood", sessions(func(_ net.Conn, ch ssh.Channel, requests <-chan *ssh.Request) {
			accepted(requests)
			io.Copy(ch, endless{'x'})
		}), engine.Invalid, "", true, "the command wrote more than 64 MB"},
		{"a signal out of the air", sessions(func(_ net.Conn, ch ssh.Channel, requests <-chan *ssh.Request) {
			accepted(requests)
			for range 200 {
				ch.SendRequest("nonsense", false, []byte("x"))
			}
			ch.SendRequest("exit-status", false, []byte("x"))
			ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
				Signal          string
				Dumped          bool
				Error, Language string
			}{strings.Repeat("X", 1000), false, "", ""}))
			ch.Close()
		}), engine.Conflict, "status", true, "signal unknown ended the command"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			limit := time.Minute
			if test.kind == engine.Timeout {
				limit = 2 * time.Second
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if reached := map[string]chan struct{}{"never accepts": asked, "never ends": running}[test.name]; reached != nil {
				go func() { <-reached; cancel() }()
			}
			_, err := hostile(t, test.serve).callIn(ctx, "ssh.run", args{"command": "true", "timeout": limit})
			wants(t, test.name, err, test.kind, test.cause, test.maybe, test.want)
		})
	}
}

// endless is a reader of one byte for ever.
type endless struct{ b byte }

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.b
	}
	return len(p), nil
}

func TestHangupOfServers(t *testing.T) {
	for name, end := range map[string]func(net.Conn, ssh.Channel){
		"lost":           func(c net.Conn, _ ssh.Channel) { c.Close() },
		"no exit status": func(_ net.Conn, ch ssh.Channel) { ch.Close() },
	} {
		r := hostile(t, sessions(func(c net.Conn, ch ssh.Channel, requests <-chan *ssh.Request) {
			accepted(requests)
			end(c, ch)
		}))
		if f := r.must(t, "ssh.run", args{"command": "reboot", "hangup": true}); f["exit"] != nil {
			t.Errorf("%s: got %v", name, f)
		}
	}
}

// An exit status counts even if the channel never closes.
func TestExitStatusWithoutClose(t *testing.T) {
	r := hostile(t, sessions(func(_ net.Conn, ch ssh.Channel, requests <-chan *ssh.Request) {
		accepted(requests)
		io.WriteString(ch, "hello")
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ S uint32 }{0}))
	}))
	if f := r.must(t, "ssh.run", args{"command": "true"}); f["stdout"] != "hello" || f["exit"] != int64(0) {
		t.Errorf("got %v", f)
	}
}

func TestHandshakeIsBounded(t *testing.T) {
	c := &limitedConn{Conn: stream{endless{'x'}}}
	n, err := io.Copy(io.Discard, c)
	if !errors.Is(err, errTalkative) || n < maxHandshakeBytes || n > maxHandshakeBytes+64<<10 {
		t.Errorf("got %d bytes, %v", n, err)
	}
	c.signedIn.Store(true)
	if n, err := c.Read(make([]byte, 10)); n != 10 || err != nil {
		t.Errorf("signed in: got %d, %v", n, err)
	}
}

type stream struct{ io.Reader }

func (stream) Write(p []byte) (int, error)      { return len(p), nil }
func (stream) Close() error                     { return nil }
func (stream) LocalAddr() net.Addr              { return nil }
func (stream) RemoteAddr() net.Addr             { return nil }
func (stream) SetDeadline(time.Time) error      { return nil }
func (stream) SetReadDeadline(time.Time) error  { return nil }
func (stream) SetWriteDeadline(time.Time) error { return nil }

func TestSinkKeepsTheEndOfStderr(t *testing.T) {
	var s sink
	s.take(&s.stdout, bytes.Repeat([]byte("o"), maxOutputBytes))
	s.take(&s.stderr, []byte("the end"))
	if len(s.stderr) != 0 || !s.truncated || string(s.tail) != "the end" {
		t.Errorf("got %d bytes of stderr, truncated %v, tail %q", len(s.stderr), s.truncated, s.tail)
	}
}
