// Package ssh holds the builtins ssh.run, upload and download.
//
// Its connections are `connections.ssh`; a call names one as its host. A host
// proves itself by a line of known_hosts, we by a key: there are no passwords, no
// agent, and no "yes, go on connecting".
package ssh

import (
	"embed"
	"errors"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"larkspur/builtins/reach"
	"larkspur/builtins/settings"
	"larkspur/engine"
)

// Docs holds one page for each builtin, NAME.md.
//
//go:embed *.md
var Docs embed.FS

// Section is the name of this package's part of `connections`.
const Section = "ssh"

// Limits and defaults.
const (
	defaultTimeout   = time.Minute
	maxTimeout       = 5 * time.Minute
	callsAtOnce      = 4
	handshakeTimeout = 20 * time.Second // of one hop
	idleTimeout      = time.Minute
	aliveTimeout     = 5 * time.Second // of the question before a connection is used again
	keepAlive        = 5 * time.Second // between questions while a command runs
	silenceTimeout   = 15 * time.Second
	lingerTimeout    = 2 * time.Second // for the rest of the output, once the exit status is there

	maxHandshakeBytes = 512 << 10
	maxOutputBytes    = 1 << 20  // kept of stdout and stderr together
	maxFloodBytes     = 64 << 20 // read at all
	maxTailBytes      = 800      // of stderr in an error
	maxFileBytes      = 10 << 20
	maxConfigBytes    = 1 << 20 // of known_hosts, of a certificate
	maxJumps          = 4
	minRSABits        = 2048
)

// account is one entry of connections.ssh.
type account struct {
	name, key   string // of the connection; in the configuration
	host        string
	port        int
	user        string
	private     string // names of secrets
	passphrase  string
	certificate string // a file of the workspace, or secret:NAME
	knownHosts  string // a file of the workspace
	jump        string // name of another connection
	timeout     time.Duration
}

func (a account) address() string { return net.JoinHostPort(a.host, strconv.Itoa(a.port)) }

// secretPrefix marks a secret's name where a file may stand, too.
const secretPrefix = "secret:"

func parse(name string, values map[string]any) (account, error) {
	key := "connections." + Section + "." + name
	s := settings.Read(key, values)
	a := readAccount(s, key, name)
	a.jump = s.Text("jump", "")
	return a, s.Done()
}

// readAccount reads what every host has; key is where it stands.
func readAccount(s *settings.Section, key, name string) account {
	a := account{
		name:        name,
		key:         key,
		host:        s.Host("host", "192.0.2.10"),
		port:        s.Int("port", 22, 1, 65535),
		user:        s.Required("user", "ops"),
		private:     s.Secret("key"),
		passphrase:  s.Secret("passphrase"),
		certificate: s.Text("certificate", ""),
		knownHosts:  s.Text("known_hosts", "known_hosts"),
		timeout:     s.Duration("timeout", defaultTimeout, maxTimeout),
	}
	if !s.Has("key") {
		s.Problem("key", "missing").Hint = "make one with ssh-keygen -t ed25519 -f secrets/" + name + "_key and write key: secret:" + name + "_key; there are no passwords"
	}
	if !filepath.IsLocal(a.knownHosts) {
		s.Problem("known_hosts", "got %q, want a file of the workspace, such as known_hosts", a.knownHosts)
	}
	if a.certificate != "" && !strings.HasPrefix(a.certificate, secretPrefix) && !filepath.IsLocal(a.certificate) {
		s.Problem("certificate", "got %q, want a file of the workspace, or secret:NAME", a.certificate)
	}
	return a
}

// module is the package opened.
type module struct {
	env      *reach.Env
	machines map[string]*machine
}

// Open reads connections.ssh and returns the builtins. It connects to nothing,
// and reads of the workspace whether files of known hosts are good.
func Open(env *reach.Env, connections map[string]map[string]any) (reach.Module, error) {
	m, err := read(env, connections)
	return reach.Module{Builtins: m.builtins(), Close: m.close}, err
}

func read(env *reach.Env, connections map[string]map[string]any) (*module, error) {
	m := &module{env: env, machines: map[string]*machine{}}
	var problems []error
	names := slices.Sorted(maps.Keys(connections))
	for _, name := range names {
		a, err := parse(name, connections[name])
		if err == nil && env.Workspace != "" {
			err = checkFiles(env.Workspace, a)
		}
		if err != nil {
			problems = append(problems, err)
		}
		m.machines[name] = &machine{module: m, account: a}
	}
	for _, name := range names {
		problems = append(problems, m.checkJumps(name))
	}
	return m, errors.Join(problems...)
}

func (m *module) close() {
	for _, host := range m.machines {
		host.forget()
	}
}

// checkJumps follows the way to a host over its jump hosts.
func (m *module) checkJumps(name string) error {
	way := []string{name}
	for at := m.machines[name]; at.jump != ""; at = m.machines[at.jump] {
		key := at.key + ".jump"
		if m.machines[at.jump] == nil {
			if len(way) > 1 {
				return nil // said of that one
			}
			names := slices.Sorted(maps.Keys(m.machines))
			return engine.Errorf(engine.Invalid, "%s: there is no connection %q in connections.%s", key, at.jump, Section).
				WithHint("%s", settings.Suggest(at.jump, names))
		}
		if slices.Contains(way, at.jump) {
			return engine.Errorf(engine.Invalid, "%s: goes round in a circle: %s", m.machines[name].key+".jump", strings.Join(append(way, at.jump), ", "))
		}
		if way = append(way, at.jump); len(way) > maxJumps+1 {
			return engine.Errorf(engine.Invalid, "%s: more than %d jump hosts: %s", m.machines[name].key+".jump", maxJumps, strings.Join(way, ", "))
		}
	}
	return nil
}

// machine returns the one that a call names.
func (m *module) machine(c *engine.Call) (*machine, error) {
	if found, ok := m.machines[c.Connection]; ok {
		return found, nil
	}
	return nil, engine.Errorf(engine.Invalid, "%s: no connection %q in connections.%s", c.Name, c.Connection, Section)
}

// Types of the results.
const (
	resultType = "ssh.result"
	fileType   = "ssh.file"
	uploadType = "ssh.upload"
)

func (m *module) builtins() []reach.Builtin {
	host := engine.Param{Name: "host", Kind: "connection", Required: true, Doc: "a name in connections.ssh"}
	timeout := engine.Param{Name: "timeout", Kind: "duration", Doc: "default the connection's, else 1m; at most 5m"}
	list := []engine.Builtin{
		{
			Signature: engine.Signature{
				Name: "ssh.run", Class: engine.Once, EffectParam: true, Positional: 2,
				Doc: "Run a command on a host; an exit status other than 0 is an error, unless check = False.",
				Params: []engine.Param{host,
					{Name: "command", Kind: "text|list", Required: true, Doc: "a text for the shell, or a list of words, each of which is quoted"},
					{Name: "stdin", Kind: "text|bytes", Doc: "what the command reads"},
					timeout,
					{Name: "check", Kind: "bool", Default: engine.MustEncode(true), Doc: "False: any exit status is a result"},
					{Name: "hangup", Kind: "bool", Default: engine.MustEncode(false), Doc: "True: losing the connection is success, as in a reboot"}},
				Result: "exit, stdout, stderr, truncated, signal", Type: resultType,
			},
			Do: m.doRun, Probe: m.probeRun, Before: m.beforeRun,
		},
		{
			Signature: engine.Signature{
				Name: "ssh.upload", Class: engine.Once, EffectParam: true, Positional: 3,
				Doc: "Write a file on a host by SFTP: the whole of it, or nothing.",
				Params: []engine.Param{host,
					{Name: "path", Kind: "text", Required: true, Doc: "of the file on the host; a relative one begins in the user's folder"},
					{Name: "content", Kind: "text|bytes", Required: true, Doc: "what the file holds afterwards"},
					{Name: "mode", Kind: "text", Doc: "such as 0600; default that of the file before, 0644 of a new one"},
					timeout},
				Result: "path, size", Type: uploadType,
			},
			Do: m.doUpload, Probe: m.probeUpload,
		},
		{
			Signature: engine.Signature{
				Name: "ssh.download", Class: engine.Read, Positional: 2,
				Doc: "Read a file of a host by SFTP; None where there is none.",
				Params: []engine.Param{host,
					{Name: "path", Kind: "text", Required: true, Doc: "of the file on the host; a relative one begins in the user's folder"},
					timeout},
				Result: "content, size, mode, modified; or None", Type: fileType,
			},
			Do: m.doDownload,
		},
	}
	out := make([]reach.Builtin, len(list))
	for i, b := range list {
		b.Connection, b.Version = Section, 1
		out[i] = reach.Builtin{Builtin: b, Timeout: maxTimeout, MaxTimeout: maxTimeout, AtOnce: callsAtOnce}
	}
	return out
}
