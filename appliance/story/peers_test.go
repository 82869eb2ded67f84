package story

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// sshKey is a pair of keys as OpenSSH writes them.
type sshKey struct {
	private, public string
	signer          ssh.Signer
}

func newSSHKey(t *testing.T) sshKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(key, "")
	must(t, err)
	signer, err := ssh.NewSignerFromKey(key)
	must(t, err)
	return sshKey{string(pem.EncodeToMemory(block)), string(ssh.MarshalAuthorizedKey(signer.PublicKey())), signer}
}

// sshd is an OpenSSH server that lets one key in, and no password.
type sshd struct {
	port int
	user string
	host sshKey
	conf string
	cmd  *exec.Cmd
	mu   sync.Mutex // guards said
	said bytes.Buffer
}

// Write keeps what the server says.
func (s *sshd) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(p)
}

func (s *sshd) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

func (s *sshd) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// known is the line by which it is known.
func (s *sshd) known() string {
	return knownhosts.Line([]string{s.address()}, s.host.signer.PublicKey()) + "\n"
}

// openSSHD starts one; more are lines of its configuration.
func openSSHD(t *testing.T, authorized string, more ...string) *sshd {
	t.Helper()
	if _, err := os.Stat("/usr/sbin/sshd"); err != nil {
		needs(t, "sshd", "Debian's package openssh-server")
	}
	me, err := user.Current()
	must(t, err)
	if me.Uid == "0" {
		must(t, os.MkdirAll("/run/sshd", 0o755)) // sshd wants it, Debian's service makes it
	}
	_, port, err := net.SplitHostPort(freeAddress(t))
	must(t, err)
	s := &sshd{user: me.Username, host: newSSHKey(t)}
	s.port, _ = strconv.Atoi(port)
	dir := t.TempDir()
	s.conf = filepath.Join(dir, "sshd_config")
	for name, text := range map[string]string{
		"host": s.host.private, "authorized_keys": authorized,
		"sshd_config": fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %[2]s/host\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n"+
			"PasswordAuthentication no\nKbdInteractiveAuthentication no\nAuthorizedKeysFile %[2]s/authorized_keys\n%[3]s\n", port, dir, strings.Join(more, "\n")),
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

func (s *sshd) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", s.conf)
	s.cmd.Stdout, s.cmd.Stderr = s, s
	must(t, s.cmd.Start())
	listening(t, s.address())
}

// stop ends the server and what it serves.
func (s *sshd) stop() {
	if s.cmd.ProcessState != nil {
		return
	}
	for _, child := range childrenOf(s.cmd.Process.Pid) {
		syscall.Kill(child, syscall.SIGTERM)
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait() // ended by the signal
}

// listening waits until somebody listens.
func listening(t *testing.T, address string) {
	t.Helper()
	must(t, eventually(limited(t), func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}))
}

// openNginx starts Debian's nginx with servers, in the foreground of the test.
func openNginx(t *testing.T, listen, servers string) {
	t.Helper()
	cmd := nginxCommand(t, nginxConf(t, t.TempDir(), servers), "daemon off;")
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait() // ended by the signal
	})
	listening(t, listen)
}

func nginxCommand(t *testing.T, conf, global string) *exec.Cmd {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		needs(t, "nginx", err.Error())
	}
	return exec.Command(program, "-e", "stderr", "-p", filepath.Dir(conf), "-c", conf, "-g", global)
}

// nginxConf writes the configuration of an nginx that touches its own folder only.
func nginxConf(t *testing.T, dir, servers string) string {
	t.Helper()
	path := filepath.Join(dir, "nginx.conf")
	must(t, os.WriteFile(path, fmt.Appendf(nil, `user %s; pid %[2]s/pid; error_log %[2]s/error.log notice; worker_processes 1;
events {}
http {
	access_log %[2]s/access.log; client_body_temp_path %[2]s/b; proxy_temp_path %[2]s/p; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
	%[3]s
}
`, nginxUser(t), dir, servers), 0o600))
	return path
}

// nginxUser keeps workers of nginx able to read what the test writes.
func nginxUser(t *testing.T) string {
	t.Helper()
	me, err := user.Current()
	must(t, err)
	return me.Username
}

// authority signs certificates of servers.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Authority of the tests"}, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// sign writes the certificate of a host, which ends after a while, and its key:
// DIR/NAME.pem and DIR/NAME.key.
func (a *authority) sign(t *testing.T, dir, name, host string, lasts time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().AddDate(0, -2, 0), NotAfter: time.Now().Add(lasts), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		must(t, os.WriteFile(filepath.Join(dir, name+file), pem.EncodeToMemory(block), 0o600))
	}
}
