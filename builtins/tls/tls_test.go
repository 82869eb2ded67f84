package tls

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

type args = map[string]engine.Value

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(2, 0, 0),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(raw)
	must(t, err)
	return authority{cert, key}
}

// issue makes a certificate for localhost that counts for so many days around
// now; self is one that signs itself.
func (a authority) issue(t *testing.T, from, to int, self bool, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: now.AddDate(0, 0, from), NotAfter: now.AddDate(0, 0, to).Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	parent, signer := a.cert, a.key
	if self {
		parent, signer = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func opened(t *testing.T, ca authority) reach.Builtin {
	t.Helper()
	policy, err := reach.NewPolicy([]string{"127.0.0.1"}, nil, nil, nil)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	m, err := Open(&reach.Env{Dialer: &reach.Dialer{Policy: policy, Roots: roots}, Clock: engine.SystemClock{}}, nil)
	must(t, err)
	return m.Builtins[0]
}

func inspect(ctx context.Context, b reach.Builtin, a args) (map[string]engine.Value, *engine.Error) {
	r, err := b.Do(ctx, &engine.Call{Name: "tls.inspect", Args: a})
	if err != nil {
		return nil, engine.AsError(err)
	}
	return r.Value.(engine.Struct).Fields, nil
}

// serve does something with each connection, and returns the port.
func serve(t *testing.T, do func(net.Conn)) int64 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go do(conn)
		}
	}()
	return int64(l.Addr().(*net.TCPAddr).Port)
}

func shake(config *tls.Config) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		if s := tls.Server(c, config); s.Handshake() == nil {
			io.Copy(io.Discard, s)
		}
	}
}

func TestInspectsServersOfEverySort(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	good := ca.issue(t, -10, 30, false, "shop.example.org", "localhost")
	old := &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	cases := []struct {
		name   string
		config *tls.Config
		args   args
		want   args
	}{
		{"good", &tls.Config{Certificates: []tls.Certificate{good}}, args{"server_name": "shop.example.org"},
			args{"verified": true, "problem": nil, "version": "1.3", "subject": "CN=shop.example.org", "issuer": "CN=Test CA", "days_left": int64(30)}},
		{"by address", &tls.Config{Certificates: []tls.Certificate{good}}, args{}, args{"verified": true, "problem": nil}},
		{"no newer", &tls.Config{Certificates: []tls.Certificate{good}}, args{"max_version": "1.2"}, args{"verified": true, "version": "1.2"}},
		{"expired", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, -20, -3, false, "localhost")}}, args{},
			args{"verified": false, "problem": "it expired on " + time.Now().AddDate(0, 0, -3).Add(time.Hour).UTC().Format(time.DateOnly), "days_left": int64(-3)}},
		{"to come", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, 3, 9, false, "localhost")}}, args{},
			args{"verified": false, "problem": "it counts from " + time.Now().AddDate(0, 0, 3).UTC().Format(time.DateOnly) + " on"}},
		{"another name", &tls.Config{Certificates: []tls.Certificate{good}}, args{"server_name": "www.example.org"}, args{"verified": false, "problem": "it is not for www.example.org"}},
		{"by itself", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, -1, 9, true, "localhost")}}, args{}, args{"verified": false, "problem": "it is signed by itself"}},
		{"by a stranger", &tls.Config{Certificates: []tls.Certificate{stranger.issue(t, -1, 9, false, "localhost")}}, args{}, args{"verified": false}},
		{"old", old, args{}, args{"verified": true, "version": "1.1"}},
		{"older", old, args{"max_version": "1.0"}, args{"version": "1.0"}},
		{"a weak cipher", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}}, args{},
			args{"cipher": "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA"}},
	}
	b := opened(t, ca)
	for _, test := range cases {
		test.args["host"], test.args["port"] = "127.0.0.1", serve(t, shake(test.config))
		got, err := inspect(t.Context(), b, test.args)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		for k, want := range test.want {
			if got[k] != want {
				t.Errorf("%s: %s: got %v, want %v", test.name, k, got[k], want)
			}
		}
		if got["verified"] == (got["problem"] != nil) || got["not_after"].(time.Time).IsZero() {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
	got, _ := inspect(t.Context(), b, args{"host": "127.0.0.1", "port": serve(t, shake(cases[0].config))})
	if want := []engine.Value{"shop.example.org", "localhost", "127.0.0.1"}; !reflect.DeepEqual(got["names"], want) {
		t.Errorf("got names %v, want %v", got["names"], want)
	}
}

func TestNoAnswerIsAnError(t *testing.T) {
	ca := newAuthority(t)
	b := opened(t, ca)
	good := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, -1, 9, false, "localhost")}, MinVersion: tls.VersionTLS12}
	closed := func() int64 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		return int64(l.Addr().(*net.TCPAddr).Port)
	}()
	cases := []struct {
		name  string
		args  args
		kind  engine.Kind
		cause string
		want  string
	}{
		{"refused", args{"port": closed}, engine.Unavailable, "refused", "the connection was refused"},
		{"no version that both know", args{"port": serve(t, shake(good)), "max_version": "1.1"}, engine.Unavailable, "tls", "protocol version"},
		{"no TLS", args{"port": serve(t, func(c net.Conn) { io.WriteString(c, "220 mail.example.org ESMTP\r\n"); io.Copy(io.Discard, c) })}, engine.Unavailable, "tls", "does not speak TLS"},
		{"closes", args{"port": serve(t, func(c net.Conn) { c.Close() })}, engine.Unavailable, "reset", "the connection was lost"},
		{"metadata", args{"host": "169.254.169.254"}, engine.Denied, "", "cloud's metadata"},
		{"a port in the host", args{"host": "example.org:443"}, engine.Invalid, "", "host: got"},
		{"port", args{"port": int64(0)}, engine.Invalid, "", "port: got 0, want 1 to 65535"},
		{"version", args{"min_version": "2"}, engine.Invalid, "", `min_version: got "2", want 1.0, 1.1, 1.2 or 1.3`},
		{"versions", args{"min_version": "1.3", "max_version": "1.2"}, engine.Invalid, "", "min_version: 1.3 is newer than max_version"},
	}
	for _, test := range cases {
		if test.args["host"] == nil {
			test.args["host"] = "127.0.0.1"
		}
		_, err := inspect(t.Context(), b, test.args)
		if err == nil || err.Kind != test.kind || err.Cause != test.cause || err.Maybe || !strings.HasPrefix(err.Message, "tls.inspect") || !strings.Contains(err.Message, test.want) {
			t.Errorf("%s: got %+v, want %s, %q: %s", test.name, err, test.kind, test.cause, test.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := inspect(ctx, b, args{"host": "127.0.0.1", "port": serve(t, func(c net.Conn) { io.Copy(io.Discard, c) })}); err == nil || err.Kind != engine.Timeout {
		t.Errorf("hang: got %+v", err)
	}
}

func TestDaysLeft(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for after, want := range map[time.Duration]int64{0: 0, 23 * time.Hour: 0, 24 * time.Hour: 1, -time.Second: -1, -25 * time.Hour: -2} {
		if got := daysLeft(now.Add(after), now); got != want {
			t.Errorf("%s: got %d, want %d", after, got, want)
		}
	}
}

func TestInspectsNginx(t *testing.T) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("needs nginx: Debian's package nginx-light")
		}
		t.Skip("needs nginx: Debian's package nginx-light")
	}
	ca, dir := newAuthority(t), t.TempDir()
	cert := ca.issue(t, -1, 9, false, "shop.example.org")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "cert"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	var paths strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&paths, "%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	must(t, os.WriteFile(filepath.Join(dir, "conf"), fmt.Appendf(nil, `daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/log;
events {}
http { access_log off; %[2]s
server { listen 127.0.0.1:%[3]d ssl; server_name shop.example.org; ssl_certificate %[1]s/cert; ssl_certificate_key %[1]s/key; ssl_protocols TLSv1.2; } }
`, dir, paths.String(), port), 0o600))
	cmd := exec.Command(program, "-c", filepath.Join(dir, "conf"), "-p", dir)
	must(t, cmd.Start())
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cmd.Process.Signal(syscall.SIGTERM); <-ended })
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			conn.Close()
			break
		}
		select {
		case <-tick.C:
		case <-ended:
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("nginx ended: %s", log)
		}
	}
	got, e := inspect(t.Context(), opened(t, ca), args{"host": "127.0.0.1", "port": int64(port), "server_name": "shop.example.org"})
	if e != nil || got["verified"] != true || got["version"] != "1.2" || got["days_left"] != int64(9) {
		t.Errorf("got %v, %v", got, e)
	}
}
