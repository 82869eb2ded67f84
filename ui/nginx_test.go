package ui_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"larkspur/ui/uitest"
)

// nginx starts Debian's nginx before an upstream; pass is the rest of
// proxy_pass: "" keeps the sub-path, "/" strips it.
func nginx(t *testing.T, listen, upstream, pass string) {
	t.Helper()
	program := needs(t, "nginx")
	dir := t.TempDir()
	config := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr notice;
events {}
http {
	access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server {
		listen %[2]s;
		location /larkspur/ {
			proxy_pass http://%[3]s%[4]s;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
		}
		location / { return 418; }
	}
}
`, dir, listen, upstream, pass)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-e", "stderr", "-p", dir, "-c", file)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "built by") || strings.Contains(lines.Text(), "getrlimit") {
			go io.Copy(io.Discard, out) // the sockets listen; nobody reads on
			return
		}
	}
	t.Fatalf("nginx ended: %v", lines.Err())
}

// freePort is an address on which nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestBehindNginxUnderASubPath(t *testing.T) {
	needs(t, "nginx")
	for name, pass := range map[string]string{"path kept": "", "path stripped": "/"} {
		t.Run(name, func(t *testing.T) {
			upstream := httptest.NewUnstartedServer(nil)
			front := freePort(t)
			w := uitest.Sample(t, "http://"+front+"/larkspur/")
			upstream.Config.Handler = w.Server.Handler(false)
			upstream.Start()
			t.Cleanup(upstream.Close)
			nginx(t, front, upstream.Listener.Addr().String(), pass)
			crawl(t, w, "http://"+front)
		})
	}
}

// crawl signs in, answers by link, and follows every link of every page.
func crawl(t *testing.T, w *uitest.World, site string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar}
	link, _, err := w.Server.SignInLink("dave")
	if err != nil {
		t.Fatal(err)
	}
	press(t, c, link, "", "Incidents")
	pairAndAnswer(t, w, site+"/larkspur/a/"+uitest.OpenLink)
	seen := map[string]bool{}
	queue := []string{site + "/larkspur/"}
	for len(queue) > 0 {
		address := queue[0]
		queue = queue[1:]
		if seen[address] {
			continue
		}
		seen[address] = true
		p := get(t, c, address)
		if p.Status != 200 {
			t.Errorf("%s: got %d, want 200", address, p.Status)
		}
		here, _ := url.Parse(address)
		for _, link := range p.Links() {
			to, err := here.Parse(link)
			if err != nil || !strings.HasPrefix(to.Path, "/larkspur/") {
				t.Errorf("%s links to %q, outside the sub-path", address, link)
				continue
			}
			to.Fragment = ""
			if to.RawQuery == "" && !slices.Contains(onlyPosted, path.Base(to.Path)) {
				queue = append(queue, to.String())
			}
		}
	}
	if len(seen) < 15 {
		t.Errorf("got only %d addresses, want every page", len(seen))
	}
}

// pairAndAnswer has a code mailed to whoever has a link, behind a proxy that says where
// it was asked, wrongly, and answers.
func pairAndAnswer(t *testing.T, w *uitest.World, link string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar}
	send := func(address string, form url.Values) uitest.Page {
		r, err := http.NewRequest("POST", address, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Forwarded-Host", "evil.example.org")
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		p := read(t, answer)
		if p.Status != 200 || strings.Contains(p.Body, "evil.example.org") {
			t.Fatalf("%s: got %d\n%s", address, p.Status, p.Body)
		}
		return p
	}
	p := send(link+"/code", get(t, c, link).FormTo("/code"))
	p = send(link+"/pair", p.FormTo("/pair", "code", w.LastCode()))
	if p = send(link, p.FormTo(path.Base(link), "choice", "Block")); !strings.Contains(p.Body, "Thank you") {
		t.Errorf("the answer is not taken:\n%s", p.Body)
	}
}

// onlyPosted are the last parts of addresses that take no GET.
var onlyPosted = []string{"close", "note", "assign", "escalate", "set", "accept", "reopen", "undo", "erase", "logout", "export", "resolve", "on", "off", "press", "run", "revoke", "code", "pair"}

func get(t *testing.T, c *http.Client, address string) uitest.Page {
	t.Helper()
	answer, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, answer)
}

func read(t *testing.T, answer *http.Response) uitest.Page {
	t.Helper()
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return uitest.Page{Status: answer.StatusCode, Header: answer.Header, Body: string(body)}
}

// press opens a page and sends its form.
func press(t *testing.T, c *http.Client, address, choice, want string) {
	t.Helper()
	form := get(t, c, address).Form("choice", choice)
	answer, err := c.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	if p := read(t, answer); p.Status != 200 || !strings.Contains(p.Body, want) {
		t.Fatalf("%s: got %d, want 200 and %q\n%s", address, p.Status, want, p.Body)
	}
}
