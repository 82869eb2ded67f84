package story

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// maxResidentBytes is what supervisor and worker may hold together, a little
// above the goal of 64 MB: pages were served and a run was carried.
const maxResidentBytes = 96 << 20

var (
	setupLink = regexp.MustCompile(`http://\S+/setup/\S+`)
	hookToken = "a-secret-of-the-hook-hello"
)

// TestServeFitsInMemory begins as an owner does: a new workspace, checked,
// served, signed in to, used.
func TestServeFitsInMemory(t *testing.T) {
	h := &house{dir: filepath.Join(t.TempDir(), "new"), url: "http://" + freeAddress(t)}
	wantCommand(t, "larkspur serve", "init", h.dir)
	wantCommand(t, "questions are not mailed", "check", h.dir) // the page has them
	h.edit(t, "box.yaml", "listen: 127.0.0.1:8420", "listen: "+strings.TrimPrefix(h.url, "http://"))
	h.put(t, "secrets/hello", hookToken+"\n")

	p := start(t, exec.Command(program(t, larkspur), "serve", h.dir))
	must(t, p.ready(h.url))
	h.signIn(t, p)
	hook := client{h.url, hookToken}
	for range 20 {
		no, err := hook.call(p.alive, "POST", "/hooks/hello", map[string]string{"name": "Ana"}, nil)
		if err != nil || no != nil {
			t.Fatalf("the webhook was refused: %v %v", no, err)
		}
	}
	must(t, eventually(p.alive, func() bool {
		out, err := exec.Command(program(t, larkspur), "questions", "-C", h.dir).Output()
		return err == nil && strings.Contains(string(out), "q0-20")
	}))
	total := residentBytes(t, p.cmd.Process.Pid)
	for _, child := range childrenOf(p.cmd.Process.Pid) {
		total += residentBytes(t, child)
	}
	t.Logf("%d MB with the worker", total>>20)
	if total > maxResidentBytes {
		t.Errorf("got %d MB, want at most %d", total>>20, maxResidentBytes>>20)
	}
	p.stop(t)
}

// signIn opens the link of the first start, and every page once.
func (h *house) signIn(t *testing.T, p *process) {
	t.Helper()
	link := ""
	must(t, p.bell.until(p.alive, func() (bool, error) {
		link = setupLink.FindString(strings.Join(p.said(), "\n"))
		return link != "", nil
	}))
	_, page, err := visit(p.alive, "GET", link, nil)
	must(t, err)
	jar, err := cookiejar.New(nil)
	must(t, err)
	person := &http.Client{Jar: jar, Transport: browser.Transport}
	resp, err := person.PostForm(link, url.Values{"form_token": {formToken.FindStringSubmatch(page)[1]}})
	must(t, err)
	resp.Body.Close()
	for _, path := range []string{"/", "/overview", "/runs", "/rules", "/questions", "/changes", "/audit", "/status"} {
		resp, err := person.Get(h.url + path)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: got %s", path, resp.Status)
		}
	}
}
