package config

import (
	"net/mail"
	"slices"
	"strconv"
	"time"

	"larkspur/builtins"
	"larkspur/builtins/settings"
	"larkspur/engine"
	"larkspur/engine/calendar"
)

// notifyWays are how a person can be told.
var notifyWays = []string{"email", "push"}

// readWorkspace reads larkspur.yaml, after box.yaml.
func (c *Config) readWorkspace(r *reader) {
	root, missing := c.readFile(r, WorkspaceFile)
	if missing {
		c.broken = true
		r.problem("error", "read", engine.Position{File: WorkspaceFile, Line: 1, Col: 1}, "there is none here").Hint =
			"larkspur init DIR makes a workspace that runs at once"
		return
	}
	var teams, calendars *node
	r.section(root, "", keys{
		"name": r.into(&c.Name),
		"timezone": func(n *node, path string) {
			if name := r.zone(n, path); name != "" {
				c.Zone, _ = calendar.Zone(name)
			}
		},
		"people": func(n *node, path string) {
			r.named(n, path, func(name string, n *node, path string) { c.People[name] = c.person(r, name, n, path) })
		},
		"teams":       func(n *node, _ string) { teams = n },
		"calendars":   func(n *node, _ string) { calendars = n },
		"connections": func(n *node, path string) { c.connections(r, n, path) },
		"sensors":     func(n *node, path string) { c.sensors(r, n, path) },
		"playbooks":   func(n *node, path string) { c.playbooks(r, n, path) },
		"clients":     func(n *node, path string) { c.clientNames(r, n, path) },
		"intel":       r.intel,
		"history":     func(n *node, path string) { c.history(r, n, path) },
		"retention":   func(n *node, path string) { c.retention(r, n, path) },
	})
	if teams != nil {
		c.teams(r, teams) // once the people are known
	}
	if calendars != nil {
		c.calendars(r, calendars)
	}
	if c.broken = c.broken || r.lost; !c.broken {
		c.admins(r)
	}
}

func (c *Config) person(r *reader, name string, n *node, path string) engine.Person {
	p := engine.Person{Name: name, Role: engine.RoleApprover, Notify: []string{"email"}}
	if name == "nobody" || name == "anyone" {
		r.problem("error", "value", r.at[path], "%s: the name %q has a meaning of its own", path, name)
	}
	r.section(n, path, keys{
		"email": func(n *node, path string) {
			text := r.text(n, path)
			a, err := mail.ParseAddress(text)
			if text != "" && (err != nil || a.Address != text) {
				r.wrong(n, path, "a mail address such as dave@example.org")
				return
			}
			p.Email = text
		},
		"role": func(n *node, path string) {
			if role := r.oneOf(n, path, roles); role != "" {
				p.Role = role
			}
		},
		"notify": func(n *node, path string) {
			p.Notify = r.texts(n, path)
			for i, way := range p.Notify {
				if !slices.Contains(notifyWays, way) {
					r.problem("error", "value", n.items[i].at, "%s: got %q, want %s", path, way, orList(notifyWays)).Hint = settings.Suggest(way, notifyWays)
				}
			}
		},
	})
	r.required(n, path, "email")
	if p.Role == engine.RoleAdmin && !slices.Contains(c.Box.Admins, name) {
		p.Role = engine.RoleEngineer
		r.problem("warning", "role", r.at[path], "%s: counts as an engineer: admins are named in box.yaml", path).Hint =
			"add to box.yaml: admins: [" + name + "]"
	}
	return p
}

// admins warns of names in box.yaml that are nobody's.
func (c *Config) admins(r *reader) {
	at := r.at["admins"]
	for _, name := range c.Box.Admins {
		p, known := c.People[name]
		if at, written := r.at["people."+name+".role"]; written && r.wrongAt(at) {
			continue // said already
		}
		switch {
		case !known:
			r.problem("warning", "role", at, "admins: %q is not among the people of larkspur.yaml", name)
		case p.Role != engine.RoleAdmin:
			r.problem("warning", "role", at, "admins: %q has the role %s in larkspur.yaml", name, p.Role).Hint = "write role: admin there, too"
		}
	}
}

func (c *Config) teams(r *reader, n *node) {
	r.named(n, "teams", func(name string, n *node, path string) {
		if _, taken := c.People[name]; taken || name == "nobody" || name == "anyone" {
			r.problem("error", "value", r.at[path], "%s: a person or word has that name already", path)
		}
		members := r.texts(n, path)
		for i, member := range members {
			if _, known := c.People[member]; !known && i < len(n.items) {
				r.problem("error", "value", n.items[i].at, "%s: nobody is called %q", path, member).Hint = settings.Suggest(member, c.Settings().Names["people"])
			}
		}
		c.Teams[name] = members
	})
}

// connections keeps the entries as they are written; the packages of builtins
// check them.
func (c *Config) connections(r *reader, n *node, path string) {
	known := keys{}
	for _, kind := range builtins.Kinds() {
		known[kind] = func(n *node, path string) {
			entries := map[string]map[string]any{}
			r.named(n, path, func(name string, n *node, path string) {
				if n.kind != mapping {
					r.wrong(n, path, "keys and values")
					return
				}
				r.secrets(n, path)
				entries[name], _ = n.plain().(map[string]any)
			})
			c.Connections[kind] = entries
		}
	}
	r.section(n, path, known)
}

// playbooks keeps the block as text, because it belongs to the bundle.
func (c *Config) playbooks(r *reader, n *node, path string) {
	switch {
	case n.kind != list:
		r.wrong(n, path, "a list")
		return
	case len(n.items) == 0:
		return
	}
	c.Places = map[string]engine.Position{}
	for i, item := range n.items {
		number := strconv.Itoa(i)
		if item.kind != mapping || len(item.entries) != 1 || item.entries[0].value.kind != mapping {
			r.wrong(item, path+"["+number+"]", "the name of one playbook with its parameters")
			return
		}
		c.Places[number] = item.entries[0].at
		for _, e := range item.entries[0].value.entries {
			c.Places[number+"."+e.key] = e.value.at
		}
	}
	c.Playbooks = string(engine.MustEncode(n.plain()))
}

// What follows is read as strictly as the rest, and used by later versions.

func (r *reader) intel(n *node, path string) {
	anything := func(n *node, path string) {
		if n.kind != list {
			r.wrong(n, path, "a list")
		}
		r.secrets(n, path)
	}
	r.section(n, path, keys{"feeds": anything, "dnsbl": anything})
	r.unused(r.at[path], path)
}

// retention reads how long things are kept.
func (c *Config) retention(r *reader, n *node, path string) {
	r.section(n, path, keys{
		"incidents": func(n *node, path string) {
			if d := r.span(n, path); d > 0 && d < minRetention {
				r.wrong(n, path, `at least "1d"`)
			} else if d > 0 {
				c.Retention.Incidents, c.Retention.Written = d, r.text(n, path)
			}
		},
		"dns": func(n *node, path string) { c.keepDNS(r, n, path) },
	})
}

// minRetention keeps a slip of the pen from erasing what happened today.
const minRetention = 24 * time.Hour
