package ssh

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"larkspur/engine"
)

func TestRunsCommands(t *testing.T) {
	key := newPair(t, "ed25519", "")
	r := one(t, sshd(t, key.line()), key)
	cases := []struct {
		name string
		args args
		want args
	}{
		{"for the shell", args{"command": "echo a; echo b >&2"}, args{"exit": int64(0), "stdout": "a\n", "stderr": "b\n", "truncated": false, "signal": nil}},
		{"words", args{"command": []engine.Value{"printf", "%s|", "a b", "it's", "$HOME", "*", "", int64(-7), "-n"}}, args{"stdout": "a b|it's|$HOME|*||-7|-n|"}},
		{"stdin", args{"command": "wc -c", "stdin": "grüße"}, args{"stdout": "7\n"}},
		{"stdin in bytes", args{"command": "od -An -tx1", "stdin": engine.Bytes{0, 255}}, args{"stdout": " 00 ff\n"}},
		{"stdin that nobody reads", args{"command": "true", "stdin": strings.Repeat("x", 60<<10)}, args{"exit": int64(0)}},
		{"no check", args{"command": "exit 3", "check": false}, args{"exit": int64(3)}},
		{"bytes", args{"command": `printf '\377\000a'`}, args{"stdout": "\xff\x00a"}},
		{"signal", args{"command": "kill -KILL $$", "check": false}, args{"exit": int64(137), "signal": "KILL"}},
		{"what stays behind", args{"command": "sleep 30 & echo gone"}, args{"exit": int64(0), "stdout": "gone\n"}},
	}
	for _, test := range cases {
		got := r.must(t, "ssh.run", test.args)
		for name, want := range test.want {
			if got[name] != want {
				t.Errorf("%s: %s: got %q, want %q", test.name, name, got[name], want)
			}
		}
	}
}

func TestFailuresOfCommands(t *testing.T) {
	key := newPair(t, "ed25519", "")
	r := one(t, sshd(t, key.line()), key)
	_, err := r.call("ssh.run", args{"command": "echo first >&2; echo nginx: bad config >&2; exit 3"})
	wants(t, "exit", err, engine.Conflict, "status", true, "ssh.run web: the command ended with exit status 3: first\nnginx: bad config [check = False")
	_, err = r.call("ssh.run", args{"command": "kill -TERM $$"})
	wants(t, "signal", err, engine.Conflict, "status", true, "ssh.run web: signal TERM ended the command")
	_, err = r.call("ssh.run", args{"command": "head -c 5000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1"})
	wants(t, "end of stderr", err, engine.Conflict, "status", true, "xend")
	if err != nil && len(err.Message) > 1000 {
		t.Errorf("got a message of %d bytes", len(err.Message))
	}
	for _, command := range []engine.Value{"", "  ", "a\x00b", []engine.Value{}, []engine.Value{""}, []engine.Value{"a", true}, int64(3), nil} {
		_, err = r.call("ssh.run", args{"command": command})
		wants(t, "command", err, engine.Invalid, "", false, "ssh.run: command: ")
	}
	ctx, cancel := context.WithCancel(t.Context())
	fifo := filepath.Join(t.TempDir(), "started")
	must(t, syscall.Mkfifo(fifo, 0o600))
	go func() {
		_, _ = os.ReadFile(fifo) // the command has begun
		cancel()
	}()
	_, err = r.callIn(ctx, "ssh.run", args{"command": []engine.Value{"sh", "-c", "echo > \"$0\"; exec sleep 60", fifo}})
	wants(t, "stopped", err, engine.Unavailable, "", true, "ssh.run web: the call was stopped")
	_, err = r.call("ssh.run", args{"command": "sleep 60", "timeout": time.Second})
	if err == nil || err.Kind != engine.Timeout || err.Message != "ssh.run web: no answer in time" {
		t.Errorf("timeout: got %+v", err)
	}
}

func TestOutputIsCut(t *testing.T) {
	key := newPair(t, "ed25519", "")
	r := one(t, sshd(t, key.line()), key)
	f := r.must(t, "ssh.run", args{"command": "head -c 3000000 /dev/zero; echo done >&2; exit 4", "check": false})
	if n := len(f["stdout"].(string)) + len(f["stderr"].(string)); n != maxOutputBytes || f["truncated"] != true || f["exit"] != int64(4) {
		t.Errorf("got %d bytes, truncated %v, exit %v", n, f["truncated"], f["exit"])
	}
	f = r.must(t, "ssh.run", args{"command": "head -c 1048576 /dev/zero"})
	if len(f["stdout"].(string)) != maxOutputBytes || f["truncated"] != false {
		t.Errorf("just as much: got %d bytes, truncated %v", len(f["stdout"].(string)), f["truncated"])
	}
}

func TestKeys(t *testing.T) {
	plain := map[string]pair{"ed25519": newPair(t, "ed25519", ""), "ecdsa": newPair(t, "ecdsa", ""), "rsa": newPair(t, "rsa", "")}
	locked := newPair(t, "ed25519", "open sesame")
	s := sshd(t, plain["ed25519"].line()+"\n"+plain["ecdsa"].line()+"\n"+plain["rsa"].line()+"\n"+locked.line())
	for kind, key := range plain {
		if f := one(t, s, key).must(t, "ssh.run", args{"command": "echo ok"}); f["stdout"] != "ok\n" {
			t.Errorf("%s: got %v", kind, f)
		}
	}
	short := "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"
	stranger := newPair(t, "ed25519", "")
	cases := []struct {
		name, key, passphrase string
		kind                  engine.Kind
		want                  string
	}{
		{"passphrase", locked.private, "open sesame", "", ""},
		{"no passphrase", locked.private, "", engine.Invalid, "connections.ssh.web.key: the private key is encrypted [write connections.ssh.web.passphrase: secret:NAME"},
		{"wrong passphrase", locked.private, "sesame", engine.Invalid, "connections.ssh.web.passphrase: it does not open the private key"},
		{"not a key", "hunter2", "", engine.Invalid, "connections.ssh.web.key: this is not a private key that OpenSSH writes"},
		{"broken", short, "", engine.Invalid, "this is not a private key"},
		{"public", locked.line(), "", engine.Invalid, "this is the public key"},
		{"stranger", stranger.private, "", engine.Denied, "ssh.run web: the host does not take the key in connections.ssh.web.key for user " + s.user + " [add this line to ~" + s.user + "/.ssh/authorized_keys on the host: " + stranger.line()},
	}
	for _, test := range cases {
		c := s.connection()
		secret := secrets{"key": test.key, "phrase": test.passphrase}
		if test.passphrase != "" {
			c["passphrase"] = "secret:phrase"
		}
		r := open(t, map[string]map[string]any{"web": c}, secret, map[string]string{"known_hosts": s.known()})
		_, err := r.call("ssh.run", args{"command": "true"})
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		wants(t, test.name, err, test.kind, "", false, test.want)
		if strings.Contains(err.Message+err.Hint, "hunter2") {
			t.Errorf("%s: the secret is in the error", test.name)
		}
	}
	_, err := open(t, map[string]map[string]any{"web": s.connection()}, secrets{}, nil).call("ssh.run", args{"command": "true"})
	wants(t, "no secret", err, engine.NotFound, "", false, "connections.ssh.web.key")
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	key := newPair(t, "ed25519", "")
	r := one(t, sshd(t, key.line()), key)
	port := args{"command": "echo $SSH_CONNECTION"}
	first := r.must(t, "ssh.run", port)["stdout"]
	if again := r.must(t, "ssh.run", port)["stdout"]; again != first {
		t.Errorf("got another connection: %s, %s", first, again)
	}
	// The other end of an idle connection dies: the next call has a new one.
	r.must(t, "ssh.run", args{"command": "kill -KILL $PPID", "hangup": true})
	third := r.must(t, "ssh.run", port)["stdout"]
	r.machines["web"].idle.client.Close()
	if fourth := r.must(t, "ssh.run", port)["stdout"]; third == first || fourth == third {
		t.Errorf("got the dead connection: %s, %s, %s", first, third, fourth)
	}
	r.machines["web"].drop(r.machines["web"].idle)
	if r.machines["web"].idle != nil {
		t.Error("an idle connection stays")
	}
}

func TestHangup(t *testing.T) {
	key := newPair(t, "ed25519", "")
	r := one(t, sshd(t, key.line()), key)
	// The shell's parent is the sshd of this session.
	kill := args{"command": "echo going; kill -KILL $PPID; sleep 60"}
	_, err := r.call("ssh.run", kill)
	wants(t, "without hangup", err, engine.Unavailable, "reset", true, "ssh.run web: the connection was lost while the command ran")
	f := r.must(t, "ssh.run", args{"command": kill["command"], "hangup": true})
	if f["exit"] != nil {
		t.Errorf("got %v", f)
	}
	if f = r.must(t, "ssh.run", args{"command": "kill -TERM $$", "hangup": true}); f["signal"] != "TERM" {
		t.Errorf("a shutdown's signal: got %v", f)
	}
	_, err = r.call("ssh.run", args{"command": "echo no rights >&2; exit 1", "hangup": true})
	wants(t, "a reboot that is refused", err, engine.Conflict, "status", true, "exit status 1: no rights")
}

func TestProbesByBootID(t *testing.T) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		needs(t, "a boot id", err.Error())
	}
	key := newPair(t, "ed25519", "")
	r := one(t, sshd(t, key.line()), key)
	b := r.builtins["ssh.run"]
	c := &engine.Call{Name: "ssh.run", Connection: "web", Args: args{"command": "reboot", "hangup": true}}
	before, err := b.Before(t.Context(), c)
	if err != nil || before != strings.TrimSpace(string(id)) {
		t.Fatalf("got %v, %v", before, err)
	}
	for said, want := range map[string]bool{before.(string): false, "00000000-0000-0000-0000-000000000000": true} {
		c.Before = said
		happened, res, err := b.Probe(t.Context(), c)
		if err != nil || happened != want || res.Value.(engine.Struct).Fields["exit"] != nil {
			t.Errorf("%s: got %v, %v, %v", said, happened, res, err)
		}
	}
	for why, c := range map[string]*engine.Call{
		"no boot id to compare with": {Name: "ssh.run", Connection: "web", Args: args{"hangup": true}},
		"nothing on the host tells":  {Name: "ssh.run", Connection: "web", Args: args{}},
	} {
		_, _, err := b.Probe(t.Context(), c)
		wants(t, why, engine.AsError(err), engine.Invalid, "", false, why)
	}
	if v, err := b.Before(t.Context(), &engine.Call{Name: "ssh.run", Connection: "nowhere", Args: args{}}); v != nil || err != nil {
		t.Errorf("without hangup: got %v, %v", v, err)
	}
	// An authorized_keys with a command of its own tells no boot id.
	forced := one(t, sshd(t, `command="echo hello" `+key.line()), key)
	if v, err := forced.builtins["ssh.run"].Before(t.Context(), c); v != "" || err != nil {
		t.Errorf("forced command: got %v, %v", v, err)
	}
}

func TestNoWayThere(t *testing.T) {
	key := newPair(t, "ed25519", "")
	connect := func(host string, port int) *rig {
		return open(t, map[string]map[string]any{"web": {"host": host, "port": port, "user": "ops", "key": "secret:key"}}, secrets{"key": key.private}, nil)
	}
	_, err := connect("127.0.0.1", freePort(t)).call("ssh.run", args{"command": "true"})
	wants(t, "refused", err, engine.Unavailable, "refused", false, "ssh.run web: the connection was refused")
	_, err = connect("169.254.169.254", 22).call("ssh.run", args{"command": "true"})
	wants(t, "metadata", err, engine.Denied, "", false, "is a cloud's metadata service")
	r := connect("127.0.0.1", 22)
	put(t, filepath.Join(r.dir, "known_hosts"), "# ok\nexample.org ssh-ed25519 AAAA\n")
	_, err = r.call("ssh.run", args{"command": "true"})
	wants(t, "bad known_hosts", err, engine.Invalid, "", false, "known_hosts:2: ")
}
