package config

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"larkspur/builtins/reach"
	"larkspur/builtins/ssh"
	"larkspur/engine"
	"larkspur/scripts"
	"larkspur/ui/login"
)

// roles are the roles that there are, the least first.
var roles = []string{engine.RoleViewer, engine.RoleApprover, engine.RoleResponder, engine.RoleEngineer, engine.RoleAuditor, engine.RoleAdmin}

// Box is box.yaml: what concerns this box alone and never comes from git.
type Box struct {
	Exists  bool
	Listen  string
	URL     string // what links begin with, without a slash at the end
	Tokens  map[string]Token
	Tunnel  *Tunnel // nil: none
	Store   string  // folder
	Secrets string  // folder
	Allow   []string
	Deny    []string
	Admins  []string
}

// Tunnel is how the page is reached from outside: a host that we sign in to
// listens for us.
type Tunnel struct {
	Listen string         // there
	SSH    map[string]any // as ssh.OpenGate reads them
}

// tunnelKey is where the host of the tunnel stands.
const tunnelKey = "web.tunnel.ssh"

// Gate is the host of the tunnel.
func (c *Config) Gate(clock engine.Clock) (*ssh.Gate, error) {
	return ssh.OpenGate(tunnelKey, c.Box.Tunnel.SSH, reach.Env{Secrets: c.Secrets, Clock: clock, Workspace: c.Dir})
}

// Token is a token for the API: the name of its secret, and what it may do.
type Token struct{ Secret, Role string }

// boxDefaults are what counts without box.yaml.
func boxDefaults() Box {
	return Box{Listen: "127.0.0.1:8420", Store: "state", Secrets: "secrets", Tokens: map[string]Token{}}
}

// readBox reads box.yaml, which may be missing and must not be in git.
func (c *Config) readBox(r *reader) {
	b := boxDefaults()
	root, missing := c.readFile(r, BoxFile)
	b.Exists = !missing
	if b.Exists && scripts.Tracked(c.Dir, BoxFile) {
		r.problem("error", "box", engine.Position{File: BoxFile, Line: 1, Col: 1}, "is in git, where who may push would own the box").Hint =
			"git rm --cached box.yaml, and add it to .gitignore"
	}
	r.section(root, "", keys{
		"web":     func(n *node, path string) { r.web(&b, n, path) },
		"store":   func(n *node, path string) { r.section(n, path, keys{"dir": r.into(&b.Store)}) },
		"secrets": func(n *node, path string) { r.section(n, path, keys{"dir": r.into(&b.Secrets)}) },
		"egress": func(n *node, path string) {
			r.section(n, path, keys{"allow": r.intoTexts(&b.Allow), "deny": r.intoTexts(&b.Deny)})
		},
		"git":    r.git,
		"admins": r.intoTexts(&b.Admins),
	})
	b.Store, b.Secrets = c.inside(b.Store), c.inside(b.Secrets)
	if b.URL == "" {
		b.URL = "http://" + localHost(b.Listen)
	}
	c.Box = b
}

// inside makes a path of box.yaml absolute or relative to the workspace.
func (c *Config) inside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Dir, path)
}

// localHost is where a listener is reached on its own machine.
func localHost(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return listen
}

func (r *reader) web(b *Box, n *node, path string) {
	r.section(n, path, keys{
		"listen": func(n *node, path string) {
			if text, _ := n.value.(string); listenable(text) {
				b.Listen = text
			} else {
				r.wrong(n, path, `ADDRESS:PORT such as "127.0.0.1:8420"`)
			}
		},
		"url": func(n *node, path string) {
			if text := r.text(n, path); linkable(text) {
				b.URL = strings.TrimRight(text, "/")
			} else if text != "" {
				r.wrong(n, path, `what links begin with, such as "https://soar.example.org"`)
			}
		},
		"tokens": func(n *node, path string) {
			r.named(n, path, func(name string, n *node, path string) { b.Tokens[name] = r.token(n, path) })
		},
		"tunnel": func(n *node, path string) { b.Tunnel = r.tunnel(n, path) },
	})
}

// tunnel reads how the page is reached from outside; checkTunnel looks at the
// host.
func (r *reader) tunnel(n *node, path string) *Tunnel {
	t := &Tunnel{Listen: "127.0.0.1:8420"}
	r.section(n, path, keys{
		"ssh": func(n *node, path string) {
			if n.kind != mapping {
				r.wrong(n, path, "a host: {host: gate.example.org, user: larkspur, key: secret:tunnel_key}")
				return
			}
			r.secrets(n, path)
			t.SSH, _ = n.plain().(map[string]any)
		},
		"listen": func(n *node, path string) {
			text, _ := n.value.(string)
			if at, err := netip.ParseAddrPort(text); err != nil || at.Port() == 0 {
				r.wrong(n, path, `IP:PORT of the far end, such as "127.0.0.1:8420"`)
				return
			}
			t.Listen = text
		},
	})
	r.required(n, path, "ssh")
	if t.SSH == nil {
		return nil // its problem is said
	}
	return t
}

// checkTunnel has the host of the tunnel checked.
func (c *Config) checkTunnel(r *reader) {
	if c.Box.Tunnel == nil {
		return
	}
	if _, err := c.Gate(engine.SystemClock{}); err != nil {
		r.connectionProblems(c, err)
	}
	if !strings.HasPrefix(c.Box.URL, "https://") {
		r.problem("warning", "tunnel", r.at["web.tunnel"], "web.tunnel: web.url begins with http: what people answer can be read on the way").Hint =
			"put a proxy that speaks TLS before the far end, and its address into web.url"
	}
}

// listenable tells whether a listener can be made of a text; a port of 0 lets
// the system choose.
func listenable(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil && !strings.ContainsAny(host, "/ ")
}

// linkable tells whether links can begin with a text.
func linkable(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

func (r *reader) token(n *node, path string) Token {
	var t Token
	r.section(n, path, keys{
		"secret": func(n *node, path string) {
			if t.Secret = r.secret(n, path); t.Secret != "" {
				r.uses[len(r.uses)-1].least = login.MinTokenBytes
			}
		},
		"role": func(n *node, path string) { t.Role = r.oneOf(n, path, roles) },
	})
	r.required(n, path, "secret", "role")
	return t
}

// git is where a later version fetches the workspace from.
func (r *reader) git(n *node, path string) {
	var s string
	var list []string
	r.section(n, path, keys{
		"url": r.into(&s), "branch": r.into(&s), "every": r.duration, "signers": r.intoTexts(&list), "trust": r.intoTexts(&list),
	})
	r.unused(r.at[path], path)
}

// required notes the keys that a mapping lacks.
func (r *reader) required(n *node, path string, names ...string) {
	if n.kind != mapping {
		return
	}
	for _, name := range names {
		if !slices.ContainsFunc(n.entries, func(e entry) bool { return e.key == name && (e.value.kind != scalar || e.value.value != nil) }) {
			at, ok := r.at[path]
			if !ok {
				at = n.at
			}
			r.problem("error", "value", at, "%s.%s: missing", path, name)
		}
	}
}
