package ssh

import (
	"strings"
	"testing"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

func TestMistakesInConnections(t *testing.T) {
	good := func(more values) map[string]map[string]any {
		c := values{"host": "192.0.2.10", "user": "ops", "key": "secret:web"}
		for k, v := range more {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		return map[string]map[string]any{"web": c, "gate": {"host": "192.0.2.1", "user": "ops", "key": "secret:web", "jump": "web"}}
	}
	known := map[string]string{"known_hosts": ""}
	cases := []struct {
		name  string
		given values
		files map[string]string
		want  string
	}{
		{"good", values{"port": 2222, "timeout": "5m", "passphrase": "secret:p", "certificate": "cert.pub", "known_hosts": "./known_hosts"}, map[string]string{"known_hosts": "", "cert.pub": ""}, ""},
		{"password", values{"password": "secret:x"}, known, "connections.ssh.web.password: unknown key"},
		{"no key", values{"key": nil}, known, "connections.ssh.web.key: missing"},
		{"key in clear", values{"key": "-----BEGIN"}, known, "connections.ssh.web.key: want secret:NAME, not the value itself"},
		{"no user", values{"user": nil}, known, "connections.ssh.web.user: missing"},
		{"port", values{"port": 0}, known, "connections.ssh.web.port: got 0, want a whole number from 1 to 65535"},
		{"outside", values{"known_hosts": "../known_hosts"}, known, `connections.ssh.web.known_hosts: got "../known_hosts", want a file of the workspace, such as known_hosts`},
		{"absolute", values{"certificate": "/etc/cert"}, known, `connections.ssh.web.certificate: got "/etc/cert", want a file of the workspace, or secret:NAME`},
		{"no file yet", values{"known_hosts": "hosts"}, known, ""},
		{"a folder", values{"known_hosts": "."}, known, "connections.ssh.web.known_hosts: . is no file"},
		{"no certificate", values{"certificate": "c.pub"}, known, "connections.ssh.web.certificate: c.pub: no such file or directory"},
		{"bad file", values{"known_hosts": "bad"}, map[string]string{"known_hosts": "", "bad": "# x\nexample.org\n"}, "connections.ssh.web.known_hosts: bad:2: "},
		{"jump", values{"jump": "gat"}, known, `connections.ssh.web.jump: there is no connection "gat" in connections.ssh`},
		{"circle", values{"jump": "gate"}, known, "connections.ssh.gate.jump: goes round in a circle: gate, web, gate"},
	}
	for _, test := range cases {
		dir := t.TempDir()
		for name, text := range test.files {
			put(t, dir+"/"+name, text)
		}
		_, err := Open(&reach.Env{Workspace: dir}, good(test.given))
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
	var far = map[string]map[string]any{}
	for i, name := range []string{"a", "b", "c", "d", "e", "f"} {
		far[name] = values{"host": "192.0.2.1", "user": "ops", "key": "secret:k"}
		if i > 0 {
			far[name]["jump"] = string("abcdef"[i-1])
		}
	}
	_, err := Open(&reach.Env{}, far)
	if err == nil || !strings.Contains(err.Error(), "connections.ssh.f.jump: more than 4 jump hosts") || engine.AsError(err).Kind == "" {
		t.Errorf("far: got %v", err)
	}
}
