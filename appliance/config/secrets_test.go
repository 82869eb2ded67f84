package config

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/engine/wire"
	"larkspur/scripts"
)

func TestSecrets(t *testing.T) {
	dir := workspace(t, map[string]string{
		"unifi": "s3cret\n", "crlf": "s3cret\r\n", "inner": "a\nb\n\n", "empty": "\n", "long": strings.Repeat("x", maxSecretBytes+1), "both": "file",
	})
	env := map[string]string{"LARKSPUR_SECRET_MY_KEY_2": "from the environment", "LARKSPUR_SECRET_BOTH": "environment", "LARKSPUR_SECRET_UNIFI": ""}
	s := NewSecrets(dir, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	for name, want := range map[string]string{
		"unifi": "s3cret", "crlf": "s3cret", "inner": "a\nb\n", "my-key.2": "from the environment", "both": "environment",
	} {
		if got, err := s.Get(name); got != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	for name, kind := range map[string]engine.Kind{"none": engine.NotFound, "empty": engine.NotFound, "long": engine.Invalid, "../unifi": engine.Invalid, "": engine.Invalid} {
		if got, err := s.Get(name); got != "" || engine.KindOf(err) != kind {
			t.Errorf("%q: got %q, %v, want an error of kind %s", name, got, err, kind)
		}
	}
	_, err := s.Get("my-key")
	want := "write it into " + filepath.Join(dir, "my-key") + " (mode 0600), or set LARKSPUR_SECRET_MY_KEY in the environment"
	if got := engine.AsError(err).Hint; got != want {
		t.Errorf("got hint %q, want %q", got, want)
	}
}

// worker declares one webhook, as every bundle's.
type worker struct{}

func (worker) Load(context.Context, wire.Load) (wire.Loaded, error) {
	at := engine.Position{File: "scripts/a.star", Line: 3, Col: 9}
	return wire.Loaded{Declarations: engine.Declarations{
		Rules:    []engine.Rule{{Name: "r", Mode: "live", At: at, When: []engine.Trigger{{Kind: "webhook", Args: engine.Data(`{"name":"alerts"}`), At: at}}}},
		Problems: []engine.Problem{{File: "scripts/a.star", Line: 1, Col: 1, Severity: "warning", Check: "hides", Message: "url hides a module"}},
	}}, nil
}

func TestCheck(t *testing.T) {
	t.Setenv("LARKSPUR_SECRET_SMTP", "x")
	dir := workspace(t, map[string]string{
		WorkspaceFile:    "connections:\n  unifi:\n    home: {url: \"https://192.0.2.1\", api_key: secret:unifi}\n  smtp:\n    default: {host: 192.0.2.25, from: soar@example.org, user: soar, password: secret:smtp}\nnam: x",
		"scripts/a.star": "", "secrets/open": "x", "lists/a.txt": "a b",
	})
	if err := os.Chmod(filepath.Join(dir, "secrets/open"), 0o644); err != nil {
		t.Fatal(err)
	}
	problems, err := Check(context.Background(), dir, nil, worker{})
	if err != nil {
		t.Fatal(err)
	}
	secrets := filepath.Join(dir, "secrets")
	want := []string{
		"larkspur.yaml:3:47: error: connections.unifi.home.api_key: secret \"unifi\" is not set (write it into " + secrets + "/unifi (mode 0600), or set LARKSPUR_SECRET_UNIFI in the environment)",
		`larkspur.yaml:6:1: error: nam: unknown key (did you mean "name"?)`,
		`lists/a.txt:1:1: warning: "a b" is no domain: it holds ' ' (a line holds one domain, address, network or hash; # begins a comment)`,
		"scripts/a.star:1:1: warning: url hides a module",
		"scripts/a.star:3:9: error: on.webhook(\"alerts\"): secret \"alerts\" is not set (write it into " + secrets + "/alerts (mode 0600), or set LARKSPUR_SECRET_ALERTS in the environment)",
		"secrets/open:1:1: warning: others on this machine may read it (chmod 600 " + secrets + "/open)",
	}
	if got := lines(problems); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

func TestCheckWithoutTheBox(t *testing.T) {
	files := map[string]string{
		WorkspaceFile:    "connections:\n  smtp:\n    default: {host: 192.0.2.25, from: soar@example.org, user: soar, password: secret:smtp}",
		"scripts/a.star": "",
	}
	for box, want := range map[string]string{"": "warning", "name": "error"} {
		delete(files, BoxFile)
		if box != "" {
			files[BoxFile] = "web:\n  tokens: {ci: {secret: secret:ci, role: viewer}}"
		}
		dir := workspace(t, files)
		t.Setenv("LARKSPUR_SECRET_CI", "short")
		problems, err := Check(context.Background(), dir, nil, worker{})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(lines(problems), "\n")
		if !strings.Contains(got, `larkspur.yaml:3:79: `+want+`: connections.smtp.default.password: secret "smtp" is not set`) {
			t.Errorf("got %s, want a %s", got, want)
		}
		if short := `web.tokens.ci.secret: secret "ci" has 5 characters, want at least 16 (make one with: openssl rand -base64 24)`; box != "" && !strings.Contains(got, short) {
			t.Errorf("got %s, want %s", got, short)
		}
	}
}

func TestUnknownSectionHidesNames(t *testing.T) {
	c, _ := Load(workspace(t, map[string]string{WorkspaceFile: "peple: {dave: {email: dave@example.org}}"}))
	if c.Settings().Names != nil {
		t.Error("names are verified although their section was not read")
	}
}

func TestSource(t *testing.T) {
	dir := workspace(t, map[string]string{WorkspaceFile: "name: one"})
	s := &Source{Dir: dir}
	if s.Newest() != nil {
		t.Error("got a configuration before there was one")
	}
	write := func(text string) []engine.Problem {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, WorkspaceFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, problems := s.Settings()
		return problems
	}
	if p := write("name: two"); len(p) > 0 || s.Newest().Name != "two" {
		t.Errorf("got %v, %v", lines(p), s.Newest())
	}
	if p := write("nam: three"); !scripts.HasError(p) || s.Newest().Name != "two" {
		t.Errorf("got %v, %v, want the last good one", lines(p), s.Newest())
	}
}
