package ssh

import (
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"larkspur/engine"
)

func TestKnownHosts(t *testing.T) {
	key := newPair(t, "ed25519", "")
	s := sshd(t, key.line())
	r := one(t, s, key)
	public := s.host.signer.PublicKey()
	keyText := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
	other := newPair(t, "ed25519", "")
	otherText := other.line()
	address := "[127.0.0.1]:" + portOf(s)
	print := ssh.FingerprintSHA256(public)
	cases := []struct {
		name, file, want string
	}{
		{"plain", "# a comment\n\n" + address + " " + keyText + "\n", ""},
		{"hashed", xknownhosts.HashHostname(address) + " " + keyText + "\n", ""},
		{"several names, a comment", "example.org," + address + " " + keyText + " ops@example.org\n", ""},
		{"wildcard", "127.0.0.* " + keyText + "\n", ""},
		{"a second key", address + " " + otherText + "\n" + address + " " + keyText + "\n", ""},
		{"unknown", "192.0.2.1 " + keyText + "\n", "ssh.run web: the host is not known: it shows ssh-ed25519 " + print + " [compare the fingerprint at the host (ssh-keygen -lf), then add this line to known_hosts: " + s.known()[:len(s.known())-1]},
		{"another port", "127.0.0.1 " + keyText + "\n", "the host is not known"},
		{"changed", "# line 1\n" + address + " " + otherText + "\n", "ssh.run web: the host key has changed: it shows ssh-ed25519 " + print + ", known is ssh-ed25519 " + ssh.FingerprintSHA256(other.signer.PublicKey()) + " (known_hosts:2) [if the host"},
		{"changed, hashed", "\n\n" + xknownhosts.HashHostname(address) + " " + otherText + "\n", "(known_hosts:3)"},
		{"of another type", address + " " + newPair(t, "ecdsa", "").line() + "\n", "the host has no key of a type that known_hosts knows of it (ecdsa-sha2-nistp256), only ssh-ed25519"},
		{"revoked", address + " " + keyText + "\n@revoked * " + keyText + "\n", "the host shows a key that is revoked: ssh-ed25519 " + print + " (known_hosts:2)"},
		{"an authority, not a key", "@cert-authority * " + keyText + "\n", "ssh.run web: "},
	}
	for _, test := range cases {
		put(t, filepath.Join(r.dir, "known_hosts"), test.file)
		r.machines["web"].forget()
		_, err := r.call("ssh.run", args{"command": "true"})
		if test.want != "" {
			wants(t, test.name, err, engine.Denied, "", false, test.want)
		} else if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	// What a refusal says is what makes the host known, also where there is no file.
	must(t, os.Remove(filepath.Join(r.dir, "known_hosts")))
	r.machines["web"].forget()
	_, err := r.call("ssh.run", args{"command": "true"})
	_, line, _ := strings.Cut(err.Hint, "known_hosts: ")
	put(t, filepath.Join(r.dir, "known_hosts"), line+"\n")
	r.must(t, "ssh.run", args{"command": "true"})
}

func portOf(s *server) string { _, p, _ := net.SplitHostPort(s.address()); return p }

// certify signs a key as ssh-keygen -s does.
func certify(t *testing.T, authority ssh.Signer, key ssh.PublicKey, kind uint32, until time.Time, principals ...string) string {
	t.Helper()
	cert := &ssh.Certificate{
		Key: key, CertType: kind, KeyId: "test", ValidPrincipals: principals, ValidAfter: uint64(until.Add(-2 * time.Hour).Unix()), ValidBefore: uint64(until.Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": "", "permit-port-forwarding": ""}},
	}
	must(t, cert.SignCert(rand.Reader, authority))
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(cert))) + "\n"
}

func TestCertificates(t *testing.T) {
	users, hosts, stranger := newPair(t, "ed25519", ""), newPair(t, "ed25519", ""), newPair(t, "ecdsa", "")
	key := newPair(t, "rsa", "")
	dir := t.TempDir()
	put(t, filepath.Join(dir, "ca.pub"), users.line()+"\n")
	s := sshd(t, "", "TrustedUserCAKeys "+dir+"/ca.pub")
	soon, before := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	public := key.signer.PublicKey()
	cases := []struct {
		name, cert string
		kind       engine.Kind
		want       string
	}{
		{"good", certify(t, users.signer, public, ssh.UserCert, soon, s.user), "", ""},
		{"expired", certify(t, users.signer, public, ssh.UserCert, before, s.user), engine.Denied, "connections.ssh.web.certificate: the certificate counts from "},
		{"of a stranger", certify(t, stranger.signer, public, ssh.UserCert, soon, s.user), engine.Denied, "does not take the key in connections.ssh.web.key for user " + s.user + " [nor its certificate: look at the principals"},
		{"for somebody else", certify(t, users.signer, public, ssh.UserCert, soon, "somebody"), engine.Denied, "does not take the key"},
		{"of a host", certify(t, users.signer, public, ssh.HostCert, soon, s.user), engine.Invalid, "this is the certificate of a host"},
		{"of another key", certify(t, users.signer, stranger.signer.PublicKey(), ssh.UserCert, soon, s.user), engine.Invalid, "the certificate is that of another key"},
		{"none", "hello\n", engine.Invalid, "this is not a certificate that ssh-keygen -s writes"},
	}
	c := s.connection()
	c["certificate"] = "web-cert.pub"
	for _, test := range cases {
		r := open(t, map[string]map[string]any{"web": c}, secrets{"key": key.private}, map[string]string{"known_hosts": s.known(), "web-cert.pub": test.cert})
		_, err := r.call("ssh.run", args{"command": "true"})
		if test.want == "" && err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if test.want != "" {
			wants(t, test.name, err, test.kind, "", false, test.want)
		}
	}
	c["certificate"] = "secret:cert"
	r := open(t, map[string]map[string]any{"web": c}, secrets{"key": key.private, "cert": cases[0].cert}, map[string]string{"known_hosts": s.known()})
	r.must(t, "ssh.run", args{"command": "true"})

	t.Run("hosts", func(t *testing.T) {
		host := newPair(t, "ed25519", "")
		dir := t.TempDir()
		put(t, filepath.Join(dir, "key"), host.private+"\n")
		for name, want := range map[string]string{"127.0.0.1": "", "192.0.2.9": "the host's certificate is refused: "} {
			put(t, filepath.Join(dir, "key-cert.pub"), certify(t, hosts.signer, host.signer.PublicKey(), ssh.HostCert, soon, name))
			s := sshd(t, key.line(), "HostKey "+dir+"/key", "HostCertificate "+dir+"/key-cert.pub")
			r := open(t, map[string]map[string]any{"web": s.connection()}, secrets{"key": key.private},
				map[string]string{"known_hosts": "@cert-authority * " + hosts.line() + "\n"})
			_, err := r.call("ssh.run", args{"command": "true"})
			if want == "" && err != nil {
				t.Errorf("%s: %v (%s)", name, err, err.Hint)
			} else if want != "" {
				wants(t, name, err, engine.Denied, "", false, want)
			}
		}
	})
}

func TestJumpHosts(t *testing.T) {
	key := newPair(t, "ed25519", "")
	target, gate, outer := sshd(t, key.line()), sshd(t, key.line()), sshd(t, key.line())
	web, inner, first := target.connection(), gate.connection(), outer.connection()
	web["jump"], inner["jump"] = "inner", "first"
	all := map[string]map[string]any{"web": web, "inner": inner, "first": first}
	known := map[string]string{"known_hosts": target.known() + gate.known() + outer.known()}
	r := open(t, all, secrets{"key": key.private}, known)
	f := r.must(t, "ssh.run", args{"command": "echo $SSH_CONNECTION"})
	if !strings.HasSuffix(strings.TrimSpace(f["stdout"].(string)), portOf(target)) {
		t.Errorf("got %v", f)
	}
	r.machines["web"].forget()
	put(t, filepath.Join(r.dir, "known_hosts"), target.known()+outer.known())
	_, err := r.call("ssh.run", args{"command": "true"})
	wants(t, "unknown jump host", err, engine.Denied, "", false, "ssh.run web: jump host inner: the host is not known")
	put(t, filepath.Join(r.dir, "known_hosts"), gate.known()+outer.known())
	_, err = r.call("ssh.run", args{"command": "true"})
	wants(t, "unknown behind", err, engine.Denied, "", false, "ssh.run web: the host is not known")

	web["port"] = freePort(t)
	_, err = open(t, all, secrets{"key": key.private}, known).call("ssh.run", args{"command": "true"})
	wants(t, "refused behind", err, engine.Unavailable, "refused", false, "ssh.run web: seen from inner, the connection was refused")
	web["host"], web["port"] = "169.254.169.254", 22
	_, err = open(t, all, secrets{"key": key.private}, known).call("ssh.run", args{"command": "true"})
	wants(t, "metadata behind", err, engine.Denied, "", false, "ssh.run web: egress: 169.254.169.254 is a cloud's metadata service")
	shut := sshd(t, key.line(), "AllowTcpForwarding no")
	web["host"], web["jump"] = "127.0.0.1", "shut"
	all["shut"] = shut.connection()
	_, err = open(t, all, secrets{"key": key.private}, map[string]string{"known_hosts": shut.known()}).call("ssh.run", args{"command": "true"})
	wants(t, "no forwarding", err, engine.Denied, "", false, "ssh.run web: the jump host shut does not forward")
}

func TestFiles(t *testing.T) {
	key := newPair(t, "ed25519", "")
	r := one(t, sshd(t, key.line()), key)
	dir := t.TempDir()
	path := filepath.Join(dir, "it's a file")
	content := "a\x00\xff\n" + strings.Repeat("x", 40<<10)
	f := r.must(t, "ssh.upload", args{"path": path, "content": content, "mode": "0600"})
	if f["path"] != path || f["size"] != int64(len(content)) {
		t.Errorf("got %v", f)
	}
	f = r.must(t, "ssh.download", args{"path": path})
	if f["content"] != content || f["size"] != int64(len(content)) || f["mode"] != "0600" || f["modified"].(time.Time).IsZero() {
		t.Errorf("got %v bytes, mode %v, modified %v", f["size"], f["mode"], f["modified"])
	}
	// A file keeps its mode, a link its target.
	must(t, os.Symlink(path, filepath.Join(dir, "link")))
	r.must(t, "ssh.upload", args{"path": filepath.Join(dir, "link"), "content": engine.Bytes("new")})
	info, err := os.Lstat(filepath.Join(dir, "link"))
	if err != nil || info.Mode()&os.ModeSymlink == 0 || r.must(t, "ssh.download", args{"path": path})["content"] != "new" {
		t.Errorf("got %v, %v", info, err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v", info.Mode())
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("got %d entries, want 2: something was left beside", len(left))
	}
	if f, err := r.call("ssh.download", args{"path": path + "x"}); f != nil || err != nil {
		t.Errorf("absent: got %v, %v", f, err)
	}
	must(t, os.Truncate(path, maxFileBytes+1))
	for name, test := range map[string]struct {
		builtin string
		args    args
		kind    engine.Kind
		want    string
	}{
		"too large":  {"ssh.download", args{"path": path}, engine.Invalid, "is larger than 10 MB"},
		"folder":     {"ssh.download", args{"path": dir}, engine.Invalid, "is a folder"},
		"to folder":  {"ssh.upload", args{"path": dir, "content": ""}, engine.Invalid, "is no file"},
		"no folder":  {"ssh.upload", args{"path": dir + "/a/b", "content": ""}, engine.NotFound, "ssh.upload web: " + dir + "/a/b: there is no such file or folder"},
		"no path":    {"ssh.upload", args{"path": "", "content": ""}, engine.Invalid, "path: got \"\""},
		"mode":       {"ssh.upload", args{"path": path, "content": "", "mode": "rw"}, engine.Invalid, "mode: got \"rw\""},
		"no content": {"ssh.upload", args{"path": path}, engine.Invalid, "content: want a text or bytes"},
	} {
		_, err := r.call(test.builtin, test.args)
		wants(t, name, err, test.kind, "", false, test.want)
	}
	probe := func(content string) bool {
		happened, _, err := r.builtins["ssh.upload"].Probe(t.Context(), &engine.Call{Name: "ssh.upload", Connection: "web", Args: args{"path": dir + "/p", "content": content}})
		must(t, err)
		return happened
	}
	if probe("x") {
		t.Error("there is no file, and the probe finds it")
	}
	r.must(t, "ssh.upload", args{"path": dir + "/p", "content": "x"})
	if !probe("x") || probe("y") {
		t.Error("the probe does not compare")
	}
	shut := sshd(t, key.line(), "ForceCommand /bin/false")
	_, e := one(t, shut, key).call("ssh.upload", args{"path": dir + "/p", "content": "x"})
	if e == nil || e.Kind != engine.Unavailable || e.Maybe {
		t.Errorf("no SFTP: got %+v", e)
	}
}
