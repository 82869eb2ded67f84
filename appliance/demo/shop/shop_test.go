package shop

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"larkspur/builtins/reach"
	bssh "larkspur/builtins/ssh"
	"larkspur/engine"
)

func open(t *testing.T) *Shop {
	t.Helper()
	s, err := Open(engine.SystemClock{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// secret is the value of every one.
type secret string

func (s secret) Get(string) (string, error) { return string(s), nil }

// run calls ssh.run as a script does.
func run(t *testing.T, s *Shop, key string, args map[string]engine.Value) (map[string]engine.Value, error) {
	t.Helper()
	dir := t.TempDir()
	put(t, dir+"/known_hosts", s.Known())
	policy, err := reach.NewPolicy(nil, nil, []string{"127.0.0.1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	env := &reach.Env{Secrets: secret(key), Dialer: &reach.Dialer{Policy: policy}, Clock: engine.SystemClock{}, Workspace: dir}
	m, err := bssh.Open(env, map[string]map[string]any{"shop": {"host": "127.0.0.1", "port": int64(s.Port()), "user": User, "key": "secret:key"}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, b := range m.Builtins {
		if b.Name == "ssh.run" {
			result, err := b.Do(t.Context(), &engine.Call{Name: b.Name, Connection: "shop", Args: args, Key: "r0-1/1/1"})
			if err != nil {
				return nil, err
			}
			return result.Value.(engine.Struct).Fields, nil
		}
	}
	t.Fatal("there is no ssh.run")
	return nil, nil
}

func status(t *testing.T, s *Shop) int {
	t.Helper()
	resp, err := http.Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func list(words ...string) map[string]engine.Value {
	var out []engine.Value
	for _, w := range words {
		out = append(out, w)
	}
	return map[string]engine.Value{"command": out}
}

func TestARestartMendsACrash(t *testing.T) {
	s := open(t)
	if got := status(t, s); got != 200 {
		t.Errorf("got %d before", got)
	}
	s.Crash()
	if got := status(t, s); got != 500 {
		t.Errorf("got %d after the crash", got)
	}
	log, err := run(t, s, s.Key(), list("journalctl", "--no-pager", "-n20", "-u", "nginx"))
	if err != nil || strings.Count(log["stdout"].(string), "\n") != 20 || !strings.Contains(log["stdout"].(string), "exited on signal 11") {
		t.Errorf("got %v, %v", log, err)
	}
	if _, err := run(t, s, s.Key(), list("sudo", "systemctl", "restart", "nginx")); err != nil || status(t, s) != 200 {
		t.Errorf("got %v, %d", err, status(t, s))
	}
}

func TestARebootMendsWhatARestartDoesNot(t *testing.T) {
	s := open(t)
	s.Wedge()
	if _, err := run(t, s, s.Key(), list("sudo", "systemctl", "restart", "nginx")); err != nil || s.Healthy() {
		t.Errorf("got %v, healthy %v", err, s.Healthy())
	}
	args := list("sudo", "systemctl", "reboot")
	args["hangup"] = true
	if _, err := run(t, s, s.Key(), args); err != nil || !s.Healthy() {
		t.Errorf("got %v, healthy %v", err, s.Healthy())
	}
	page := httptest.NewRecorder()
	s.Page().ServeHTTP(page, httptest.NewRequest("GET", "/", nil))
	for _, want := range []string{"simulated", "sudo systemctl reboot", "it still hangs", "200, welcome"} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestStrangersAndOtherCommandsAreRefused(t *testing.T) {
	s, other := open(t), open(t)
	if _, err := run(t, s, other.Key(), list("journalctl")); err == nil || !strings.Contains(err.Error(), "does not take the key") {
		t.Errorf("got %v", err)
	}
	if _, err := run(t, s, s.Key(), list("rm", "-rf", "/")); err == nil || !strings.Contains(err.Error(), "127") {
		t.Errorf("got %v", err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
