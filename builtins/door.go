package builtins

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"larkspur/builtins/reach"
	"larkspur/builtins/settings"
	"larkspur/engine"
	"larkspur/engine/calendar"
)

// Defaults of calls whose builtin does not say.
const (
	defaultTimeout = 30 * time.Second
	maxTimeout     = 5 * time.Minute
	callsAtOnce    = 8
)

// Links expands the handle of a link ("link:q0-7:1:dave") to its address, and that
// of a code ("code:SUM").
type Links interface {
	URL(link engine.Secret) (string, error)
	// Code returns the code of a sign-in by the hash of its token.
	Code(token string) string
}

// Egress are the lists of `egress` in box.yaml: networks, addresses or hosts.
type Egress struct{ Allow, Deny []string }

// Config is what a door is opened with. The zero value is a door without
// connections and secrets.
type Config struct {
	// Workspace is the folder that files in connections are relative to; empty
	// where there is none, and their files are not looked at.
	Workspace string
	// Connections is the parsed section `connections`: kind, name, keys.
	Connections map[string]map[string]map[string]any
	Secrets     reach.Secrets
	Links       Links
	// People returns the mail addresses of a person or team, nil for neither.
	People func(name string) []string
	// Blob returns an attachment by the hex SHA-256 of its content.
	Blob func(sha256 string) ([]byte, error)
	// Incident reads an incident.
	Incident func(id string) (engine.Incident, error)
	// History answers queries of the passive DNS memory.
	History func(engine.DNSQuery) (engine.DNSPage, error)
	Egress  Egress
	// OwnPorts are the TCP ports that this program listens on.
	OwnPorts []int
	Clock    engine.Clock // default the machine's
	// Dialer replaces the resolver and the trusted roots; nil are the machine's.
	// Its policy is always the door's.
	Dialer *reach.Dialer
}

// Door performs builtins. It is immutable but for what it remembers (sessions,
// values of secrets) and safe for concurrent use. A changed configuration is a
// new door.
type Door struct {
	builtins map[string]reach.Builtin
	names    map[string][]string // of connections, by kind
	links    Links
	vault    *vault
	clock    engine.Clock
	closers  []func()

	mu    sync.Mutex
	slots map[string]chan struct{}
}

// Open checks the connections and makes a door; it connects to nothing and reads
// no secret. The error joins all problems, each an *engine.Error of kind invalid
// that begins with its configuration key.
func Open(cfg Config) (*Door, error) {
	if cfg.Clock == nil {
		cfg.Clock = engine.SystemClock{}
	}
	d := &Door{
		builtins: map[string]reach.Builtin{},
		names:    map[string][]string{},
		links:    cfg.Links,
		vault:    newVault(cfg.Secrets),
		clock:    cfg.Clock,
		slots:    map[string]chan struct{}{},
	}
	policy, err := reach.NewPolicy(cfg.Egress.Allow, cfg.Egress.Deny, hosts(cfg.Connections), cfg.OwnPorts)
	problems := []error{err, checkKinds(cfg.Connections)}
	env := &reach.Env{Secrets: d.vault, Dialer: &reach.Dialer{Policy: policy}, Clock: cfg.Clock, People: cfg.People, Blob: cfg.Blob, Incident: cfg.Incident, History: cfg.History, Workspace: cfg.Workspace}
	if cfg.Dialer != nil {
		env.Dialer.Resolver, env.Dialer.Roots = cfg.Dialer.Resolver, cfg.Dialer.Roots
	}
	for _, p := range packages() {
		m, err := p.open(env, cfg.Connections[p.section])
		problems = append(problems, err)
		for _, b := range m.Builtins {
			d.builtins[b.Name] = withDefaults(b)
		}
		if m.Close != nil {
			d.closers = append(d.closers, m.Close)
		}
	}
	for kind, entries := range cfg.Connections {
		d.names[kind] = sortedKeys(entries)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return d, nil
}

func withDefaults(b reach.Builtin) reach.Builtin {
	if b.Timeout == 0 {
		b.Timeout = defaultTimeout
	}
	if b.MaxTimeout == 0 {
		b.MaxTimeout = maxTimeout
	}
	if b.AtOnce == 0 {
		b.AtOnce = callsAtOnce
	}
	return b
}

func checkKinds(connections map[string]map[string]map[string]any) error {
	var problems []error
	known := Kinds()
	for _, kind := range sortedKeys(connections) {
		if !slices.Contains(known, kind) {
			problems = append(problems, engine.Errorf(engine.Invalid, "connections.%s: unknown kind of connection", kind).
				WithHint("%s", settings.Suggest(kind, known)))
		}
	}
	return errors.Join(problems...)
}

// hosts returns the hosts that connections of any kind name; they may be private
// addresses.
func hosts(connections map[string]map[string]map[string]any) []string {
	var out []string
	for _, entries := range connections {
		for _, values := range entries {
			if host, ok := values["host"].(string); ok {
				out = append(out, host)
			}
			if text, ok := values["url"].(string); ok {
				if u, err := url.Parse(text); err == nil && u.Hostname() != "" {
					out = append(out, u.Hostname())
				}
			}
		}
	}
	return out
}

// Close ends idle connections. Calls under way go on.
func (d *Door) Close() {
	for _, c := range d.closers {
		c()
	}
}

// Signatures returns those of all builtins, by name.
func (d *Door) Signatures() []engine.Signature {
	out := make([]engine.Signature, 0, len(d.builtins))
	for _, name := range sortedKeys(d.builtins) {
		out = append(out, d.builtins[name].Signature)
	}
	return out
}

// Connections returns the names of the connections of a kind, sorted.
func (d *Door) Connections(kind string) []string { return d.names[kind] }

// Lookup returns a builtin whose Do and Probe go through the door. Probe is nil
// where the builtin has none.
func (d *Door) Lookup(name string) (engine.Builtin, bool) {
	b, ok := d.builtins[name]
	if !ok {
		return engine.Builtin{}, false
	}
	out := engine.Builtin{Signature: b.Signature, Do: d.Do, Decode: b.Decode}
	if b.Probe != nil {
		out.Probe = d.Probe
	}
	if b.Before != nil {
		out.Before = d.before
	}
	return out, true
}

// before reads what a call's probe will compare with.
func (d *Door) before(ctx context.Context, c *engine.Call) (engine.Value, error) {
	b := d.builtins[c.Name]
	asking := *c
	asking.Class = engine.Read
	r, err := d.pass(ctx, b, &asking, func(ctx context.Context, c *engine.Call) (engine.Result, error) {
		v, err := b.Before(ctx, c)
		return engine.Result{Value: v}, err
	})
	return r.Value, err
}

// Do performs a call. The error, if any, is an *engine.Error.
func (d *Door) Do(ctx context.Context, c *engine.Call) (engine.Result, error) {
	b, ok := d.builtins[c.Name]
	if !ok {
		return engine.Result{}, engine.Errorf(engine.Invalid, "there is no builtin %q", c.Name)
	}
	return d.pass(ctx, b, c, b.Do)
}

// Probe asks the world whether a call did happen. A builtin without a probe is
// an error of kind invalid.
func (d *Door) Probe(ctx context.Context, c *engine.Call) (happened bool, r engine.Result, err error) {
	b, ok := d.builtins[c.Name]
	if !ok || b.Probe == nil {
		return false, engine.Result{}, engine.Errorf(engine.Invalid, "%q cannot be asked whether it happened", c.Name)
	}
	asking := *c
	asking.Class = engine.Read
	r, err = d.pass(ctx, b, &asking, func(ctx context.Context, c *engine.Call) (r engine.Result, err error) {
		happened, r, err = b.Probe(ctx, c)
		return r, err
	})
	return happened && err == nil, r, err
}

// perform is Do or Probe of a builtin.
type perform func(context.Context, *engine.Call) (engine.Result, error)

// pass is the door itself: what every call goes through.
func (d *Door) pass(ctx context.Context, b reach.Builtin, c *engine.Call, do perform) (engine.Result, error) {
	call, tokens, err := d.prepare(b, c)
	if err != nil {
		return engine.Result{}, d.clean(b, call, tokens, engine.AsError(err))
	}
	limit, err := timeLimit(b, call)
	if err != nil {
		return engine.Result{}, d.clean(b, call, tokens, engine.AsError(err))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	release, err := d.enter(ctx, b, call)
	if err != nil {
		return engine.Result{}, err
	}
	defer release()
	r, err := guarded(ctx, b, call, do)
	if err != nil {
		return engine.Result{}, d.clean(b, call, tokens, kindly(b, call, err))
	}
	scrub := d.vault.scrubber(tokens)
	r, err = scrub.result(r)
	if err != nil {
		e := engine.AsError(engine.WrapError(engine.Invalid, err, c.Name+": result"))
		e.Maybe = isEffect(b, call)
		return engine.Result{}, e
	}
	return r, nil
}

// timeLimit is the call's `timeout`, or its builtin's.
func timeLimit(b reach.Builtin, c *engine.Call) (time.Duration, error) {
	d := c.Span("timeout", b.Timeout)
	if d <= 0 || d > b.MaxTimeout {
		return 0, engine.Errorf(engine.Invalid, "%s: timeout: got %s, want up to %s", c.Name, calendar.FormatDuration(d), calendar.FormatDuration(b.MaxTimeout))
	}
	return d, nil
}

// enter waits for a slot of the call's connection.
func (d *Door) enter(ctx context.Context, b reach.Builtin, c *engine.Call) (release func(), err error) {
	if b.AtOnce < 0 {
		return func() {}, nil
	}
	key := b.Connection + "/" + c.Connection
	if b.Lane != nil {
		key += "/" + b.Lane(c)
	}
	d.mu.Lock()
	slot := d.slots[key]
	if slot == nil {
		slot = make(chan struct{}, b.AtOnce)
		d.slots[key] = slot
	}
	d.mu.Unlock()
	select {
	case slot <- struct{}{}:
		return func() { <-slot }, nil
	case <-ctx.Done():
		return nil, reach.Fault(ctx.Err(), c.Name+": waiting for earlier calls of the connection", "")
	}
}

// guarded performs the call and turns a panic into an error of kind internal.
func guarded(ctx context.Context, b reach.Builtin, c *engine.Call, do perform) (r engine.Result, err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		slog.Error("a builtin panicked", "builtin", c.Name, "run_id", c.Run, "stack", string(debug.Stack()))
		e := engine.Errorf(engine.Internal, "%s: a mistake inside Larkspur: %v", c.Name, p).WithHint("the log holds the details; please report it")
		e.Maybe = isEffect(b, c)
		r, err = engine.Result{}, e
	}()
	return do(ctx, c)
}

// kindly gives every error a kind.
func kindly(b reach.Builtin, c *engine.Call, err error) *engine.Error {
	var known *engine.Error
	if errors.As(err, &known) {
		return engine.AsError(err)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		e := reach.Fault(err, c.Name, "")
		e.Maybe = isEffect(b, c)
		return e
	}
	e := engine.Errorf(engine.Internal, "%s: %w", c.Name, err)
	e.Maybe = isEffect(b, c)
	return e
}

// isEffect reports whether the call may change the world, `effect` considered.
func isEffect(b reach.Builtin, c *engine.Call) bool {
	class := cmp.Or(c.Class, b.Class)
	return class == engine.Repeatable || class == engine.Once
}

// Bounds of what an error may say.
const maxErrorBytes = 2 << 10

// clean returns an error without secrets, bounded, that names the builtin.
func (d *Door) clean(b reach.Builtin, c *engine.Call, tokens []string, err *engine.Error) *engine.Error {
	scrub := d.vault.scrubber(tokens)
	text := func(s string) string { return bounded(scrub.text(s), maxErrorBytes) }
	return &engine.Error{Kind: err.Kind, Message: text(err.Message), Cause: err.Cause, Hint: text(err.Hint),
		At: err.At, Maybe: err.Maybe && isEffect(b, c)}
}

func bounded(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes more)", trimRune(s[:limit]), len(s)-limit)
}
