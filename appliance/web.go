package appliance

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"larkspur/appliance/config"
	"larkspur/appliance/tunnel"
	"larkspur/builtins"
	"larkspur/engine"
	"larkspur/engine/runner"
	"larkspur/engine/trigger"
	"larkspur/ui"
	"larkspur/ui/login"
)

// ControlSocket is the name of the control socket in the store's folder. Who may
// open it (mode 0600) is the administrator.
const ControlSocket = "control.sock"

func (a *Appliance) openWeb(c *config.Config) (err error) {
	if a.web = a.cfg.Listener; a.web == nil {
		if a.web, err = net.Listen("tcp", c.Box.Listen); err != nil {
			return engine.WrapError(engine.Unavailable, err, "web.listen").
				WithHint("another program listens there; choose another address in box.yaml: web: {listen: 127.0.0.1:8421}")
		}
	}
	path := filepath.Join(c.Box.Store, ControlSocket)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return engine.WrapError(engine.Unavailable, err, "control socket")
	}
	if a.control, err = net.Listen("unix", path); err != nil {
		return engine.WrapError(engine.Unavailable, err, "control socket").
			WithHint("the path of store.dir in box.yaml may be too long for a socket (100 bytes)")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return engine.WrapError(engine.Unavailable, err, "control socket")
	}
	if err := a.openTunnel(c); err != nil {
		return err
	}
	a.server, err = ui.New(ui.Config{
		URL: c.Box.URL, Reader: a.state, Decider: a.runner, Exporter: a.auditor, Rules: a.rules, Jobs: a.schedule, Health: a, Rebuilds: a.rebuilder, Eraser: a.eraser, Scrubs: a.scrubber, DNS: dnsMemory{a},
		Hooks: a.hooks(), People: a, Cache: a.cache, Tokens: a.tokens, Version: Version, Clock: a.clock,
		Assignees: a.assignees, Name: func() string { return a.current().Name }, Zone: func() *time.Location { return a.current().Zone },
		Meters: a.meters,
	})
	return err
}

// openTunnel prepares the tunnel that the box may have.
func (a *Appliance) openTunnel(c *config.Config) error {
	if c.Box.Tunnel == nil {
		return nil
	}
	gate, err := c.Gate(a.clock)
	if err != nil {
		return err
	}
	a.tunnel = tunnel.New(tunnel.Config{
		Gate: gate, Listen: c.Box.Tunnel.Listen, Serve: func(ctx context.Context, l net.Listener) error { return a.server.Run(ctx, l) },
	})
	return nil
}

func (a *Appliance) hooks() http.Handler {
	return &trigger.Webhook{Sink: a.intake, Hooks: hookSecrets{a}, Clock: a.clock}
}

// hookSecrets finds the secret that a webhook is checked with.
type hookSecrets struct{ a *Appliance }

// Secret implements trigger.Hooks.
func (h hookSecrets) Secret(name string) (string, bool, error) {
	live := h.a.rules.live.Load()
	if live == nil {
		return "", false, engine.Errorf(engine.Unavailable, "no rules are live yet")
	}
	secret, known := live.Rules.Hook(name)
	if !known {
		secret, known = h.a.intake.Expected.Hook(name)
	}
	if !known {
		return "", false, nil
	}
	value, err := h.a.current().Secrets.Get(secret)
	return value, true, err
}

// tokens are the bearer tokens that box.yaml names. One whose secret is missing
// opens nothing; check reports it.
func (a *Appliance) tokens() []login.Token {
	c := a.current()
	var list []login.Token
	for name, t := range c.Box.Tokens {
		value, err := c.Secrets.Get(t.Secret)
		if err != nil {
			continue
		}
		token, err := login.NewToken(name, t.Role, value)
		if err != nil {
			slog.Warn("a token of box.yaml is not used", "token", name, "error", err)
			continue
		}
		list = append(list, token)
	}
	return list
}

// Person implements ui.People.
func (a *Appliance) Person(name string) (engine.Person, bool) {
	c := a.current()
	p, ok := c.People[name]
	if !ok && name == config.FallbackAdmin && len(c.Box.Admins) == 0 {
		return engine.Person{Name: name, Role: engine.RoleAdmin}, true
	}
	return p, ok
}

// Named implements ui.People.
func (a *Appliance) Named(typed string) (string, bool) {
	for _, name := range sortedKeys(a.current().People) {
		if email := a.current().People[name].Email; strings.EqualFold(name, typed) || email != "" && strings.EqualFold(email, typed) {
			return name, true
		}
	}
	return "", false
}

// Teams implements ui.People.
func (a *Appliance) Teams(name string) []string {
	var teams []string
	for team, members := range a.current().Teams {
		if slices.Contains(members, name) {
			teams = append(teams, team)
		}
	}
	slices.Sort(teams)
	return teams
}

func (a *Appliance) people() runner.People {
	c := a.current()
	return runner.People{ByName: c.People, Teams: c.Teams}
}

// assignees are the people and teams of the configuration.
func (a *Appliance) assignees() (people, teams []string) {
	c := a.current()
	return sortedKeys(c.People), sortedKeys(c.Teams)
}

// link returns the address of a page.
func (a *Appliance) link(page string) string {
	return strings.TrimSuffix(a.current().Box.URL, "/") + "/" + page
}

// links expands the handles of links to questions and buttons.
type links struct{ a *Appliance }

// URL implements builtins.Links.
func (l links) URL(handle engine.Secret) (string, error) {
	if step, ok := engine.ParseButtonSecret(handle.Name); ok {
		return l.a.link("b/" + engine.ButtonToken(l.a.linkKey, step)), nil
	}
	question, person, revision, ok := engine.ParseLinkSecret(handle.Name)
	if !ok {
		return "", engine.Errorf(engine.Internal, "link %q: not one of ours", handle.Name)
	}
	return l.a.link("a/" + engine.LinkToken(l.a.linkKey, question, person, revision)), nil
}

// Code implements builtins.Links.
func (l links) Code(token string) string { return engine.SignInCode(l.a.linkKey, token) }

// openDoor opens the door to the world with the connections of a configuration,
// and closes the one before.
func (a *Appliance) openDoor(c *config.Config) error {
	var ports []int
	if tcp, ok := a.web.Addr().(*net.TCPAddr); ok {
		ports = append(ports, tcp.Port)
	}
	opened, err := builtins.Open(builtins.Config{
		Connections: c.Connections, Secrets: c.Secrets, Links: links{a}, People: c.Addresses,
		Egress: builtins.Egress{Allow: c.Box.Allow, Deny: c.Box.Deny}, OwnPorts: ports, Clock: a.clock,
		Blob: a.blobs.Get, Incident: a.state.Incident, History: a.memory.History, Workspace: c.Dir,
	})
	if err != nil {
		return err
	}
	if before := a.door.now.Swap(opened); before != nil {
		before.Close()
	}
	return nil
}

// signatures are those of every word that scripts may call.
func signatures() []engine.Signature {
	return append(runner.Signatures(), builtins.Signatures()...)
}

// greet says where the page is and, until somebody has signed in, how to.
func (a *Appliance) greet() error {
	fmt.Fprintf(a.cfg.Out, "Larkspur %s serves %s\n", Version, a.current().Box.URL)
	counts, err := a.state.Counts()
	if err != nil || counts.Logins > 0 {
		return err
	}
	link, expires, err := a.server.SignInLink(a.current().Administrator())
	if err != nil {
		return err
	}
	fmt.Fprintf(a.cfg.Out, "Nobody has signed in yet. Open this once, before %s:\n  %s\n", expires.In(a.current().Zone).Format("15:04 MST"), link)
	return nil
}

// SignInLink makes a one-time link, for `larkspur login` and the demo.
func (a *Appliance) SignInLink(person string) (string, error) {
	link, _, err := a.server.SignInLink(person)
	return link, err
}

// URL is what links begin with.
func (a *Appliance) URL() string { return a.current().Box.URL }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
