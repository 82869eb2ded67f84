package ssh

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"larkspur/engine"
)

// FuzzQuote holds that a real sh reads the words that were quoted.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"a b", "it's", "$HOME `id` $(id)", "'", "''", "\\", "a\nb", "!x", "-n", "\xff\x00", "*?[", "#", "~", "x=y", "if"} {
		f.Add(s, s+"'")
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		needs(f, "sh", "a shell")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		words := []engine.Value{"printf", "%s\\n%s.", a, b}
		command, err := commandOf(words)
		if strings.ContainsRune(a+b, 0) {
			if err == nil {
				t.Fatal("got a command with a zero byte")
			}
			return
		}
		must(t, err)
		out, err := exec.Command(sh, "-c", command).Output()
		if want := a + "\n" + b + "."; err != nil || string(out) != want {
			t.Errorf("%q: got %q, %v, want %q", command, out, err, want)
		}
	})
}

// FuzzKnownHosts reads files of known hosts: none may panic, a refusal names the
// file or a line of it, and the line that it proposes makes the host known.
func FuzzKnownHosts(f *testing.F) {
	key := newPair(f, "ed25519", "").signer.PublicKey()
	text := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	for _, s := range []string{"", "# x", "example.org " + text, "|1|AAAA|AAAA " + text, "@revoked * " + text, "@cert-authority *.example.org " + text,
		"[example.org]:22 " + text, "!example.org,* " + text, "@cert-authority", "example.org ssh-ed25519 AAAA", "|1| " + text, "\x00", ", " + text, "[ " + text} {
		f.Add(s, "example.org")
	}
	f.Fuzz(func(t *testing.T, file, host string) {
		if strings.ContainsAny(host, " \t\r\n,#@|*?![]:\x00") || host == "" || strings.HasPrefix(host, "-") {
			return
		}
		dir := t.TempDir()
		put(t, filepath.Join(dir, "known_hosts"), file)
		h, err := readHosts(dir, "known_hosts")
		if err != nil {
			if e := engine.AsError(err); e.Kind != engine.Invalid || strings.Contains(e.Message, dir) {
				t.Errorf("got %+v", e)
			}
			return
		}
		address := host + ":2222"
		_ = h.algorithms(address)
		err = h.check(address, placeholder{}, key)
		if err == nil {
			return
		}
		e := engine.AsError(err)
		if e.Kind != engine.Denied || strings.Contains(e.Message+e.Hint, dir) {
			t.Errorf("got %+v", e)
		}
		_, line, proposed := strings.Cut(e.Hint, "known_hosts: ")
		if !proposed {
			return
		}
		put(t, filepath.Join(dir, "known_hosts"), line+"\n")
		h, err = readHosts(dir, "known_hosts")
		must(t, err)
		if err := h.check(address, placeholder{}, key); err != nil {
			t.Errorf("%q does not make %q known: %v", line, address, err)
		}
	})
}

// placeholder is an address without meaning: names count.
type placeholder struct{}

func (placeholder) Network() string { return "tcp" }
func (placeholder) String() string  { return "192.0.2.1:2222" }

func TestReadFileStaysInside(t *testing.T) {
	dir := t.TempDir()
	work := filepath.Join(dir, "work")
	must(t, os.Mkdir(work, 0o700))
	put(t, filepath.Join(dir, "secret"), "x")
	must(t, os.Symlink("../secret", filepath.Join(work, "link")))
	must(t, os.Mkdir(filepath.Join(work, "folder"), 0o700))
	put(t, filepath.Join(work, "large"), strings.Repeat("x", maxConfigBytes+1))
	for _, path := range []string{"../secret", "link", "folder", "absent", "large", "/etc/passwd"} {
		if text, err := readFile(work, path); err == nil {
			t.Errorf("%s: got %d bytes", path, len(text))
		}
	}
}
