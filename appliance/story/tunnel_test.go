package story

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"larkspur/appliance"
	"larkspur/appliance/tunnel"
	"larkspur/builtins/reach"
	"larkspur/builtins/ssh"
	"larkspur/engine"
	"larkspur/engine/sandbox/sandboxtest"
)

// far is a host outside by which a box is reached: its sshd listens for the box,
// its nginx speaks TLS before that.
type far struct {
	sshd   *sshd
	key    sshKey
	listen string // for the box
	url    string // of nginx
	ca     *authority
}

func newFar(t *testing.T, host string) *far {
	t.Helper()
	f := &far{key: newSSHKey(t), listen: freeAddress(t), ca: newAuthority(t)}
	f.sshd = openSSHD(t, `restrict,port-forwarding,permitlisten="`+f.listen+`" `+f.key.public)
	front, dir := freeAddress(t), t.TempDir()
	f.ca.sign(t, dir, "soar", host, 24*time.Hour)
	openNginx(t, front, fmt.Sprintf(`server {
	listen %s ssl; server_name %s; ssl_certificate %[3]s/soar.pem; ssl_certificate_key %[3]s/soar.key;
	location / { proxy_pass http://%[4]s; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }
}`, front, host, dir, f.listen))
	_, port, err := net.SplitHostPort(front)
	must(t, err)
	f.url = "https://" + net.JoinHostPort(host, port)
	return f
}

// tunnel is the key of box.yaml that names it.
func (f *far) tunnel() string {
	return fmt.Sprintf("  tunnel: {listen: %q, ssh: {host: 127.0.0.1, port: %d, user: %s, key: secret:tunnel_key, known_hosts: ./gate_hosts}}\n", f.listen, f.sshd.port, f.sshd.user)
}

// client trusts the far end's certificate and finds it on this machine.
func (f *far) client() *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(f.ca.pem)
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "soar.example.org"}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (f *far) get(t *testing.T, path string) (status int, page string) {
	t.Helper()
	resp, err := f.client().Get(strings.Replace(f.url, "soar.example.org", "127.0.0.1", 1) + path)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(text)
}

// check is what of the health tree this test reads.
type check struct {
	Name, Status, Message, Hint string
	Children                    []check
}

// tunnelHealth reads how the tunnel fares.
func (h *house) tunnelHealth(t *testing.T) check {
	t.Helper()
	_, text, err := visitAs(t, h.url+"/healthz", apiToken)
	must(t, err)
	var all check
	must(t, json.Unmarshal([]byte(text), &all))
	for _, c := range all.Children {
		if c.Name == "tunnel" {
			return c
		}
	}
	t.Fatalf("the health tree has no tunnel: %s", text)
	return check{}
}

func visitAs(t *testing.T, address, token string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := browser.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// oneSecret is the value of every secret.
type oneSecret string

func (s oneSecret) Get(string) (string, error) { return string(s), nil }

// TestTunnel: a page that listens at home alone is reached from outside by sshd and
// nginx there, with the guards that it has at home, and again after the far end was
// away.
func TestTunnel(t *testing.T) {
	f := newFar(t, "soar.example.org")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	h := newHouse(t, l.Addr().String(), newClock())
	h.edit(t, "box.yaml", "web:\n", "web:\n"+f.tunnel())
	h.edit(t, "box.yaml", "url: "+h.url, "url: "+f.url)
	h.put(t, "secrets/tunnel_key", f.key.private)
	h.put(t, "gate_hosts", f.sshd.known())
	a, err := appliance.Open(appliance.Config{Dir: h.dir, Listener: l, Worker: sandboxtest.Binary(t), Clock: newClock()})
	must(t, err)
	t.Cleanup(func() { must(t, a.Close()) })
	background(t, a.Run)
	ctx := limited(t)
	up := func() bool { return h.tunnelHealth(t).Status == "ok" }
	must(t, eventually(ctx, func() bool { return up() && a.Ready() == nil }))
	wantText(t, "health", h.tunnelHealth(t).Message, f.sshd.address()+" listens on "+f.listen+" for us since ")

	t.Run("who is not signed in sees no more than at home", func(t *testing.T) {
		for path, want := range map[string]int{"/readyz": 200, "/": 401, "/status": 401, "/incidents/i0-1": 401, "/api/v1/incidents": 401, "/metrics": 401, "/a/none": 404} {
			if status, page := f.get(t, path); status != want {
				t.Errorf("%s: got %d, want %d: %.200s", path, status, want, page)
			}
		}
		if _, page := f.get(t, "/healthz"); strings.Contains(page, "tunnel") {
			t.Errorf("a stranger reads the health tree: %s", page)
		}
	})
	t.Run("pages have their style", func(t *testing.T) {
		_, page := f.get(t, "/a/none")
		style := regexp.MustCompile(`href="(/assets/[^"]+\.css[^"]*)"`).FindStringSubmatch(page)
		if style == nil {
			t.Fatalf("there is no style: %s", page)
		}
		if status, text := f.get(t, style[1]); status != 200 || !strings.Contains(text, "font-family") {
			t.Errorf("%s: got %d: %.100s", style[1], status, text)
		}
	})
	t.Run("links lead through it", func(t *testing.T) {
		link, err := a.SignInLink("dave")
		must(t, err)
		if !strings.HasPrefix(link, f.url+"/setup/") {
			t.Errorf("got %s, want a link at %s", link, f.url)
		}
		if status, page := f.get(t, strings.TrimPrefix(link, f.url)); status != 200 || !strings.Contains(page, "dave") {
			t.Errorf("got %d: %s", status, page)
		}
	})
	t.Run("a place that is taken is told of", func(t *testing.T) {
		gate, err := ssh.OpenGate("web.tunnel.ssh", map[string]any{"host": "127.0.0.1", "port": int64(f.sshd.port), "user": f.sshd.user, "key": "secret:tunnel_key", "known_hosts": "gate_hosts"},
			reach.Env{Secrets: oneSecret(f.key.private), Clock: engine.SystemClock{}, Workspace: h.dir})
		must(t, err)
		second := tunnel.New(tunnel.Config{Gate: gate, Listen: f.listen, FirstPause: time.Millisecond})
		background(t, second.Run)
		must(t, eventually(ctx, func() bool { return second.Status().Err != nil }))
		wantText(t, "status", second.Status().Err.Error(), f.sshd.address()+" does not listen on "+f.listen+" for us")
	})
	t.Run("it comes back after the far end was away", func(t *testing.T) {
		f.sshd.stop()
		must(t, eventually(ctx, func() bool { return !up() }))
		if status, _ := f.get(t, "/readyz"); status != http.StatusBadGateway {
			t.Errorf("got %d, want that nginx finds nobody", status)
		}
		f.sshd.start(t)
		must(t, eventually(ctx, up))
		wantText(t, "health", h.tunnelHealth(t).Message, "it broke 1 times before")
		if status, _ := f.get(t, "/readyz"); status != 200 {
			t.Errorf("got %d after the far end came back", status)
		}
	})
	t.Run("a stranger in its place is refused", func(t *testing.T) {
		f.sshd.stop()
		h.put(t, "gate_hosts", "")
		f.sshd.start(t)
		must(t, eventually(ctx, func() bool { return strings.Contains(h.tunnelHealth(t).Message, "the host is not known") }))
		wantText(t, "hint", h.tunnelHealth(t).Hint, "then add this line to gate_hosts")
	})
}
