package config

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"larkspur/builtins"
	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/passivedns"
	"larkspur/scripts"
)

// Names of the two files.
const (
	WorkspaceFile = "larkspur.yaml"
	BoxFile       = "box.yaml"
)

// Config is both files, read. Immutable.
type Config struct {
	Dir  string
	Name string
	Zone *time.Location
	// People by name; a role is the one that counts: "admin" only for names in
	// box.yaml's admins.
	People map[string]engine.Person
	Teams  map[string][]string
	// Calendars are the hours of work by name.
	Calendars map[string]*calendar.Hours
	// Connections by kind and name, as written: a secret is "secret:NAME".
	Connections map[string]map[string]map[string]any
	Sensors     []Sensor
	// Clients are what the owner calls devices, by MAC or address in their usual form.
	Clients   map[string]string
	Playbooks string // canonical text of the block, "" when it is empty
	// Places are where the entries of Playbooks stand, by number and key: "0",
	// "0.url".
	Places    map[string]engine.Position
	Retention Retention
	// History is what the passive DNS memory keeps.
	History passivedns.Settings
	Box     Box
	Secrets *Secrets

	at     map[string]engine.Position
	uses   []secretUse
	broken bool // a file could not be read, so names are missing
}

// Retention says how long things are kept; zero is for ever.
type Retention struct {
	Incidents time.Duration // after they were closed
	Written   string        // Incidents as the file has it
}

// Load reads the configuration of a workspace. There is always a Config; with an
// error among the problems it is incomplete and must not run.
func Load(dir string) (*Config, []engine.Problem) {
	r := &reader{at: map[string]engine.Position{}}
	c := &Config{
		Dir: dir, People: map[string]engine.Person{}, Teams: map[string][]string{},
		Calendars:   map[string]*calendar.Hours{},
		Clients:     map[string]string{},
		Connections: map[string]map[string]map[string]any{}, History: passivedns.Defaults(), at: r.at,
	}
	c.Name, c.Zone = defaults(dir)
	c.readBox(r)
	c.readWorkspace(r)
	c.Secrets = NewSecrets(c.Box.Secrets, os.LookupEnv)
	c.uses = r.uses
	c.checkConnections(r)
	c.checkTunnel(r)
	scripts.Sort(r.problems)
	return c, r.problems
}

// defaults of larkspur.yaml's own keys.
func defaults(dir string) (name string, zone *time.Location) {
	if full, err := filepath.Abs(dir); err == nil {
		dir = full
	}
	return filepath.Base(dir), time.UTC
}

// readFile reads and parses one of the two files. missing is true when there is
// none.
func (c *Config) readFile(r *reader, name string) (root *node, missing bool) {
	at := engine.Position{File: name, Line: 1, Col: 1}
	in, err := os.Open(filepath.Join(c.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true
	}
	if err == nil {
		defer in.Close()
		var text []byte
		if text, err = io.ReadAll(io.LimitReader(in, maxFileBytes+1)); err == nil {
			root, bad := parse(name, text)
			if bad != nil {
				c.broken = true
				r.problems = append(r.problems, *bad)
			}
			return root, false
		}
	}
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	c.broken = true
	r.problem("error", "read", at, "%v", err)
	return nil, false
}

// Settings is what of the configuration counts for scripts. Where a file is
// broken, no names are verified: it would say of each that it is unknown.
func (c *Config) Settings() scripts.Settings {
	if c.broken {
		return scripts.Settings{Playbooks: c.Playbooks, Places: c.Places, Timezone: c.Zone.String()}
	}
	names := map[string][]string{
		"people":    slices.Sorted(maps.Keys(c.People)),
		"teams":     slices.Sorted(maps.Keys(c.Teams)),
		"calendars": slices.Sorted(maps.Keys(c.Calendars)),
	}
	for _, kind := range builtins.Kinds() {
		names[kind] = slices.Sorted(maps.Keys(c.Connections[kind]))
	}
	return scripts.Settings{Playbooks: c.Playbooks, Places: c.Places, Timezone: c.Zone.String(), Names: names}
}

// Who returns the people that a name stands for: one person, or a team's.
func (c *Config) Who(name string) []engine.Person {
	if p, ok := c.People[name]; ok {
		return []engine.Person{p}
	}
	var people []engine.Person
	for _, member := range c.Teams[name] {
		if p, ok := c.People[member]; ok {
			people = append(people, p)
		}
	}
	return people
}

// Addresses returns the mail addresses of a person or team, nil for neither.
func (c *Config) Addresses(name string) []string {
	var out []string
	for _, p := range c.Who(name) {
		out = append(out, p.Email)
	}
	return out
}

// OnlyAtStart names the keys that differ in a newer configuration and are read
// at the start alone.
func (c *Config) OnlyAtStart(newer *Config) []string {
	var keys []string
	for key, same := range map[string]bool{
		"web.listen": c.Box.Listen == newer.Box.Listen, "web.url": c.Box.URL == newer.Box.URL, "store.dir": c.Box.Store == newer.Box.Store,
		"web.tunnel": reflect.DeepEqual(c.Box.Tunnel, newer.Box.Tunnel),
		"sensors":    slices.EqualFunc(c.Sensors, newer.Sensors, Sensor.equal),
	} {
		if !same {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// FallbackAdmin signs in where box.yaml names no administrator yet.
const FallbackAdmin = "admin"

// Administrator is who signs in first, and when nobody is named.
func (c *Config) Administrator() string {
	for _, name := range c.Box.Admins {
		if _, ok := c.People[name]; ok {
			return name
		}
	}
	return FallbackAdmin
}

// Mails reports whether questions can be mailed: there is one mail connection, or
// one called default.
func (c *Config) Mails() bool {
	_, named := c.Connections["smtp"]["default"]
	return named || len(c.Connections["smtp"]) == 1
}

// checkConnections has the builtins check what is theirs.
func (c *Config) checkConnections(r *reader) {
	door, err := builtins.Open(builtins.Config{
		Connections: c.Connections, Workspace: c.Dir,
		Egress: builtins.Egress{Allow: c.Box.Allow, Deny: c.Box.Deny},
	})
	if err == nil {
		door.Close()
		return
	}
	r.connectionProblems(c, err)
}

// connectionProblems are those that a package of builtins found.
func (r *reader) connectionProblems(c *Config, err error) {
	for _, e := range flatten(err) {
		known := engine.AsError(e)
		at := c.place(known.Message)
		r.problem("error", "connection", at, "%s", known.Message).Hint = known.Hint
	}
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}

// place finds the key that a message begins with, or the nearest above it.
func (c *Config) place(message string) engine.Position {
	best, at := 0, engine.Position{File: WorkspaceFile, Line: 1, Col: 1}
	for path, where := range c.at {
		if len(path) > best && len(message) > len(path) && message[:len(path)] == path && (message[len(path)] == '.' || message[len(path)] == ':') {
			best, at = len(path), where
		}
	}
	return at
}

// Check returns the problems of a whole workspace: configuration, secrets,
// scripts and rules, ordered by place. It starts nothing but the worker's work.
// The error is of kind unavailable when the worker could not be asked.
func Check(ctx context.Context, dir string, library map[string]string, worker scripts.Worker) ([]engine.Problem, error) {
	c, problems := Load(dir)
	l := scripts.Loader{
		Dir: dir, Worker: worker, Library: library, Clock: engine.SystemClock{}, Tests: true,
		Settings: func() (scripts.Settings, []engine.Problem) { return c.Settings(), nil },
	}
	live, err := l.Load(ctx)
	if err != nil {
		return problems, err
	}
	problems = slices.Concat(problems, live.Snapshot.Problems, c.Missing(live))
	scripts.Sort(problems)
	return problems, nil
}
