package workspace

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"larkspur/appliance/config"
	"larkspur/builtins"
	"larkspur/engine"
	"larkspur/engine/runner"
	"larkspur/engine/sandbox"
	"larkspur/engine/sandbox/sandboxtest"
	"larkspur/engine/wire"
	"larkspur/scripts/library"
)

// pool runs the real worker until the test ends.
func pool(t *testing.T) *sandbox.Pool {
	t.Helper()
	p, err := sandbox.Open(sandbox.Config{
		Binary: sandboxtest.Binary(t),
		Hello: wire.Hello{
			Engine: "test", Signatures: append(runner.Signatures(), builtins.Signatures()...),
			HashKeys: map[string][]byte{"k": []byte("key")}, HashKey: "k",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Run(context.Background()) }()
	t.Cleanup(func() {
		if err := errors.Join(p.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestWrittenWorkspaceIsGood(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `my "home"`)
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	problems, err := config.Check(t.Context(), dir, library.Files(), pool(t))
	if err != nil || len(problems) != 1 || problems[0].Check != "mail" || problems[0].Severity != "warning" || problems[0].File != "scripts/hello.star" {
		t.Errorf("got %v, %v, want that questions are not mailed, and nothing else", problems, err)
	}
	c, _ := config.Load(dir)
	if c.Name != `my "home"` || c.People["owner"].Role != engine.RoleAdmin {
		t.Errorf("got %q, %v", c.Name, c.People)
	}
}

func TestWriteKeepsSecretsPrivate(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "x")
	for _, dir := range []string{one, two} {
		if err := Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]os.FileMode{"secrets": 0o700, "secrets/hello": 0o600, "box.yaml": 0o600} {
		info, err := os.Stat(filepath.Join(one, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v, want %v", name, info, err, want)
		}
	}
	a, _ := os.ReadFile(filepath.Join(one, hookSecret))
	b, _ := os.ReadFile(filepath.Join(two, hookSecret))
	if !strings.HasPrefix(string(a), "whsec_") || string(a) == string(b) {
		t.Errorf("got secrets %q and %q, want two of their own", a, b)
	}
	ignored, err := os.ReadFile(filepath.Join(one, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/state/", "/secrets/", "/box.yaml"} {
		if !strings.Contains(string(ignored), "\n"+name+"\n") {
			t.Errorf(".gitignore lacks %s", name)
		}
	}
}

func TestWriteRefusesAFullFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir); err != nil {
		t.Errorf("beside .git: got %v", err)
	}
	if err := Write(dir); engine.KindOf(err) != engine.Conflict {
		t.Errorf("twice: got %v, want a conflict", err)
	}
	if err := Write(filepath.Join(dir, "README.md")); err == nil {
		t.Error("a file: got no error")
	}
}

func TestNextNamesTheFolder(t *testing.T) {
	if got := Next("home"); !strings.Contains(got, "larkspur serve home") || !strings.Contains(got, "home/scripts/hello.star") {
		t.Errorf("got %s", got)
	}
}
