package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// git runs git in dir, whoever the user is.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("needs git: not found")
		}
		t.Skip("needs git: not found")
	}
	cmd := exec.Command("git", append([]string{"-c", "user.name=Ana", "-c", "user.email=ana@example.org", "-c", "init.defaultBranch=main"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestCommit(t *testing.T) {
	dir := t.TempDir()
	check := func(what, dir, want string) {
		t.Helper()
		if got := Commit(dir); got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	check("no repository", dir, "")
	git(t, dir, "init", "-q")
	check("no commit", dir, "")
	write(t, dir, map[string]string{"sub/a.star": "x"})
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-qm", "one")
	head := git(t, dir, "rev-parse", "HEAD")
	check("loose ref", dir, head)
	check("below the top", filepath.Join(dir, "sub"), head)
	git(t, dir, "pack-refs", "--all")
	check("packed ref", dir, head)
	git(t, dir, "checkout", "-q", "--detach")
	check("detached", dir, head)
	git(t, dir, "checkout", "-qb", "feature/x")
	git(t, dir, "commit", "-qm", "two", "--allow-empty")
	check("branch with a slash", dir, git(t, dir, "rev-parse", "HEAD"))
	tree := filepath.Join(t.TempDir(), "tree")
	git(t, dir, "worktree", "add", "-q", tree, "main")
	check("further working tree", tree, head)
}

func TestTracked(t *testing.T) {
	for _, version := range []string{"2", "3", "4"} {
		t.Run("version "+version, func(t *testing.T) {
			dir := t.TempDir()
			git(t, dir, "init", "-q")
			if Tracked(dir, "box.yaml") {
				t.Error("empty repository: got true")
			}
			git(t, dir, "config", "index.version", version)
			write(t, dir, map[string]string{"box.yaml": "x", "a.yaml": "x", "larkspur.yaml": "x", "sub/box.yaml": "x", "boz.yaml": "x", "later.yaml": "x"})
			git(t, dir, "add", "a.yaml", "boz.yaml", "larkspur.yaml", "sub")
			if version == "3" {
				git(t, dir, "add", "-N", "later.yaml") // an entry that needs version 3
			}
			for name, want := range map[string]bool{"box.yaml": false, "larkspur.yaml": true, "sub/box.yaml": true, "yaml": false} {
				if got := Tracked(dir, name); got != want {
					t.Errorf("%s: got %v, want %v", name, got, want)
				}
			}
			if !Tracked(filepath.Join(dir, "sub"), "box.yaml") {
				t.Error("sub's box.yaml, from sub: got false")
			}
			git(t, dir, "add", "box.yaml")
			if !Tracked(dir, "box.yaml") {
				t.Error("box.yaml after add: got false")
			}
		})
	}
}

func TestTrackedSHA256(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q", "--object-format=sha256")
	write(t, dir, map[string]string{"box.yaml": "x", "a.yaml": "x"})
	git(t, dir, "add", ".")
	if !Tracked(dir, "box.yaml") || Tracked(dir, "b.yaml") {
		t.Errorf("got %v, %v, want true, false", Tracked(dir, "box.yaml"), Tracked(dir, "b.yaml"))
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte("DIRC\x00\x00\x00\x02\x00\x00\x00\x01"+strings.Repeat("x", 62)+"box.yaml\x00\x00"), 20)
	f.Add([]byte("DIRC\x00\x00\x00\x04\x00\x00\x00\x02"+strings.Repeat("\x00", 62)+"\x00a\x00"+strings.Repeat("\x00", 62)+"\xff\xff\xff"), 20)
	f.Fuzz(func(t *testing.T, index []byte, hash int) {
		indexHolds(index, "box.yaml", 20+hash&12)
	})
}
