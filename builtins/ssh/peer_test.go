package ssh

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
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

	"golang.org/x/crypto/ssh"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

type (
	args   = map[string]engine.Value
	values = map[string]any
)

// needs skips a test that wants something of the machine; in CI it fails.
func needs(t testing.TB, what, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("needs %s: %s", what, why)
	}
	t.Skipf("needs %s: %s", what, why)
}

// pair is a key with its public line.
type pair struct {
	private string // as ssh-keygen writes it
	signer  ssh.Signer
}

func (p pair) line() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p.signer.PublicKey())))
}

func newPair(t testing.TB, kind, passphrase string) pair {
	t.Helper()
	var key any
	var err error
	switch kind {
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	must(t, err)
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	must(t, err)
	signer, err := ssh.NewSignerFromKey(key)
	must(t, err)
	return pair{strings.TrimSpace(string(pem.EncodeToMemory(block))), signer}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

// server is a running OpenSSH server of the machine's own.
type server struct {
	port int
	host pair // its key
	user string
	log  bytes.Buffer
	cmd  *exec.Cmd
}

func (s *server) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// known is the line by which it is known.
func (s *server) known() string { return lineFor(s.address(), s.host.signer.PublicKey()) + "\n" }

// sshd starts one that lets authorized in; more are lines of its configuration.
func sshd(t testing.TB, authorized string, more ...string) *server {
	t.Helper()
	program, err := exec.LookPath("sshd")
	if err != nil {
		if program = "/usr/sbin/sshd"; !exists(program) {
			needs(t, "sshd", "Debian's package openssh-server")
		}
	}
	if os.Getuid() == 0 {
		must(t, os.MkdirAll("/run/sshd", 0o755)) // sshd wants it, Debian's service makes it
	}
	me, err := user.Current()
	must(t, err)
	s := &server{port: freePort(t), host: newPair(t, "ed25519", ""), user: me.Username}
	dir := t.TempDir()
	put(t, filepath.Join(dir, "host"), s.host.private+"\n")
	put(t, filepath.Join(dir, "authorized_keys"), authorized+"\n")
	put(t, filepath.Join(dir, "sshd_config"), fmt.Sprintf(`Port %d
ListenAddress 127.0.0.1
HostKey %[2]s/host
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
MaxStartups 100
AuthorizedKeysFile %[2]s/authorized_keys
Subsystem sftp internal-sftp
%[3]s
`, s.port, dir, strings.ReplaceAll(strings.Join(more, "\n"), "DIR", dir)))
	s.cmd = exec.Command(program, "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	must(t, s.cmd.Start())
	ended := make(chan struct{})
	go func() { s.cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		s.cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("sshd: %s", s.log.String())
		}
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", s.address())
		if err == nil {
			conn.Close()
			return s
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Fatalf("sshd ended: %s", s.log.String())
		}
	}
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

type secrets map[string]string

func (s secrets) Get(name string) (string, error) {
	if v, ok := s[name]; ok {
		return v, nil
	}
	return "", engine.Errorf(engine.NotFound, "no secret %q", name)
}

// rig is the builtins of ssh, opened in a workspace.
type rig struct {
	*module
	dir      string
	secrets  secrets
	builtins map[string]reach.Builtin
}

// open opens connections; files are those of the workspace.
func open(t testing.TB, connections map[string]map[string]any, secret secrets, files map[string]string) *rig {
	t.Helper()
	r := &rig{dir: t.TempDir(), secrets: secret, builtins: map[string]reach.Builtin{}}
	put(t, filepath.Join(r.dir, "known_hosts"), "")
	for name, text := range files {
		put(t, filepath.Join(r.dir, name), text)
	}
	var hosts []string
	for _, c := range connections {
		hosts = append(hosts, c["host"].(string))
	}
	policy, err := reach.NewPolicy(nil, nil, hosts, nil)
	must(t, err)
	env := &reach.Env{Secrets: secret, Dialer: &reach.Dialer{Policy: policy}, Clock: engine.SystemClock{}, Workspace: r.dir}
	r.module, err = read(env, connections)
	must(t, err)
	t.Cleanup(r.close)
	for _, b := range r.module.builtins() {
		r.builtins[b.Name] = b
	}
	return r
}

// one opens the connection web to a server with its key.
func one(t testing.TB, s *server, key pair) *rig {
	t.Helper()
	return open(t, map[string]map[string]any{"web": s.connection()}, secrets{"key": key.private}, map[string]string{"known_hosts": s.known()})
}

func (s *server) connection() values {
	return values{"host": "127.0.0.1", "port": s.port, "user": s.user, "key": "secret:key"}
}

func (r *rig) call(name string, a args) (map[string]engine.Value, *engine.Error) {
	return r.callIn(context.Background(), name, a)
}

func (r *rig) callIn(ctx context.Context, name string, a args) (map[string]engine.Value, *engine.Error) {
	c := &engine.Call{Name: name, Connection: "web", Args: a, Key: "r0-1/1/4"}
	if h, ok := a["host"].(string); ok {
		c.Connection = h
	}
	result, err := r.builtins[name].Do(ctx, c)
	if err != nil {
		return nil, engine.AsError(err)
	}
	if result.Value == nil {
		return nil, nil
	}
	return result.Value.(engine.Struct).Fields, nil
}

func (r *rig) must(t testing.TB, name string, a args) map[string]engine.Value {
	t.Helper()
	f, err := r.call(name, a)
	if err != nil {
		t.Fatalf("%s(%v): %v (%s)", name, a, err, err.Hint)
	}
	return f
}

// wants holds an error against its kind, cause, maybe and a part of its text.
func wants(t testing.TB, what string, e *engine.Error, kind engine.Kind, cause string, maybe bool, text string) {
	t.Helper()
	if e == nil {
		t.Errorf("%s: got no error, want %q", what, text)
		return
	}
	if e.Kind != kind || e.Cause != cause || e.Maybe != maybe || !strings.Contains(e.Message+" ["+e.Hint+"]", text) {
		t.Errorf("%s: got %s, cause %q, maybe %v: %s (%s), want %s, %q, %v: %s", what, e.Kind, e.Cause, e.Maybe, e.Message, e.Hint, kind, cause, maybe, text)
	}
}
