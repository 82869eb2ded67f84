package email_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"larkspur/engine"
)

// needs skips a test that wants something of the machine; in CI it fails.
func needs(t *testing.T, what, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("needs %s: %s", what, why)
	}
	t.Skipf("needs %s: %s", what, why)
}

// peer is a running OpenSMTPD. It speaks in the clear: the TLS of Debian's
// version is broken (OpenSMTPD issue 1239), openssl's own client cannot use it
// either. STARTTLS, implicit TLS and passwords are tested with go-smtp's server.
type peer struct {
	port int
	mail string // its maildir
}

// eventually asks until the answer is yes; another process gives no signal.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !yes() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no %s within 30s", what)
		}
	}
}

func write(t *testing.T, path string, mode os.FileMode, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func openSMTPD(t *testing.T) peer {
	t.Helper()
	return openSMTPDAt(t, freePort(t))
}

// openSMTPDAt starts it at a port. It greylists later@example.org for ever.
func openSMTPDAt(t *testing.T, port int) peer {
	t.Helper()
	program, err := exec.LookPath("smtpd")
	if err != nil {
		needs(t, "smtpd", "Debian's package opensmtpd")
	}
	if os.Getuid() != 0 {
		needs(t, "root", "OpenSMTPD changes its user")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		needs(t, "nobody", err.Error())
	}
	dir, err := os.MkdirTemp("", "larkspur-smtpd") // t.TempDir's parents are closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := peer{port: port, mail: filepath.Join(dir, "mail")}
	write(t, filepath.Join(dir, "smtpd.conf"), 0o600, fmt.Appendf(nil, `filter "grey" phase rcpt-to match rcpt-to { "later@example.org" } disconnect "451 4.7.1 greylisted"
listen on 127.0.0.1 port %[2]d filter "grey"
table people { "ana@example.org" = "nobody", "dave@example.org" = "nobody" }
action "keep" maildir "%[1]s/mail" virtual <people>
match from any for domain "example.org" action "keep"
`, dir, p.port))
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	for _, err := range []error{os.Mkdir(p.mail, 0o700), os.Chown(p.mail, uid, gid), os.Chmod(dir, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p.run(t, exec.Command(program, "-d", "-f", filepath.Join(dir, "smtpd.conf")))
	return p
}

func (p peer) run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("smtpd: %s", log.String())
		}
	})
	eventually(t, "smtpd", func() bool {
		select {
		case <-ended:
			t.Fatalf("smtpd ended: %s", log.String())
		default:
		}
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// delivered waits for a mail in the maildir. The queue is the machine's, and may
// hold mails of a run that was killed.
func (p peer) delivered(t *testing.T, id string) (raw []byte) {
	t.Helper()
	eventually(t, "mail in the maildir", func() bool {
		files, _ := filepath.Glob(filepath.Join(p.mail, "new", "*"))
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte("<"+id+">")) {
				raw = b
			}
		}
		return raw != nil
	})
	return raw
}

func TestDeliversToOpenSMTPD(t *testing.T) {
	p := openSMTPD(t)
	values := map[string]any{"host": "127.0.0.1", "port": p.port, "tls": "none", "from": "soar@example.org"}
	first, second := rand.Text()+"@example.org", rand.Text()+"@example.org"
	r, err := deliver(open(t, values), letter("subject", "Grüße", "text", ".\nÜber alles\n.", "message_id", first))
	if err != nil {
		t.Fatal(err)
	}
	if id := r.Value.(engine.Struct).Fields["id"]; id != first {
		t.Errorf("got %v", r.Value)
	}
	raw := p.delivered(t, first)
	if at := bytes.Index(raw, []byte("\n\n")); at > 0 && !bytes.Contains(raw, []byte("\r\n\r\n")) {
		raw = bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
	}
	text, html := parts(t, raw)
	if !strings.HasPrefix(text, ".\nÜber alles\n.\n") || !strings.Contains(html, "Über alles") {
		t.Errorf("got text %q, HTML %s", text, html)
	}

	_, err = deliver(open(t, values), letter("to", []engine.Value{"ana@example.net"}))
	if e := engine.AsError(err); e == nil || e.Kind != engine.Denied || !strings.Contains(e.Message, "recipient ana@example.net: 5") {
		t.Errorf("another domain: got %+v", e)
	}
	r, err = deliver(open(t, values), letter("to", []engine.Value{"ana@example.net", "dave@example.org"}, "message_id", second))
	if err != nil || len(r.Value.(engine.Struct).Fields["refused"].([]engine.Value)) != 1 {
		t.Fatalf("one of two: got %v, %v", r.Value, err)
	}
	p.delivered(t, second)
}

// TestOpenSMTPDIsDownThenUp: what it cannot take now is to be tried again, under the
// same Message-ID; what it refuses is not.
func TestOpenSMTPDIsDownThenUp(t *testing.T) {
	port := freePort(t)
	b := open(t, map[string]any{"host": "127.0.0.1", "port": port, "tls": "none", "from": "soar@example.org"})
	first, err := deliver(b, letter("text", "first try"))
	if e := engine.AsError(err); e == nil || e.Kind != engine.Unavailable || e.Cause != "refused" {
		t.Fatalf("down: got %v, %+v, want unavailable", first, e)
	}
	p := openSMTPDAt(t, port)
	r, err := deliver(b, letter("text", "second try"))
	if err != nil {
		t.Fatal(err)
	}
	id := r.Value.(engine.Struct).Fields["id"].(string)
	p.delivered(t, id)
	if again, err := deliver(b, letter("text", "third try")); err != nil || again.Value.(engine.Struct).Fields["id"] != id {
		t.Errorf("got %v, %v, want the Message-ID of the run, %s", again.Value, err, id)
	}
	_, err = deliver(b, letter("to", []engine.Value{"later@example.org"}))
	if e := engine.AsError(err); e == nil || e.Kind != engine.Unavailable || !strings.Contains(e.Message, "recipient later@example.org: 451 4.7.1 greylisted") {
		t.Errorf("greylisted: got %+v", e)
	}
	_, err = deliver(b, letter("to", []engine.Value{"nobody@example.org"}))
	if e := engine.AsError(err); e == nil || e.Kind != engine.Denied {
		t.Errorf("an address that is not: got %+v", e)
	}
}
