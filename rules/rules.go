// Package rules decides which declared rules an event matches, by the
// declarative parts of their triggers alone: it keeps no state, asks nobody and
// calls no script (`where` is asked later, in a worker).
//
// Compile makes an immutable Set of a bundle's declarations; Set.Match holds an
// event against it. WantsDNS is for capture: it costs some nanoseconds, and
// spares nearly all lookups the making of an event.
package rules

import (
	"fmt"

	"larkspur/engine"
)

// Hit says that a trigger of a rule matched. A rule whose triggers match twice
// has two hits, in the order of `when`: the first whose `where` agrees counts.
type Hit struct {
	Rule    *engine.Rule
	Trigger int // index in Rule.When
}

// Set is the compiled rules of one bundle. Immutable, safe for concurrent use.
// A Set with problems matches what could be compiled.
type Set struct {
	rules    []engine.Rule
	byKind   map[string][]compiled
	hooks    map[string]string
	dns      dnsIndex
	lists    map[string]*List
	problems []engine.Problem
}

// Beside compiles other rules with the watch lists of this Set.
func (s *Set) Beside(others []engine.Rule) *Set {
	return Compile(engine.Declarations{Rules: others}, s.lists)
}

// compiled is one trigger ready to match.
type compiled struct {
	rule    *engine.Rule
	trigger int
	filter  filter // what the kind's own arguments say
	match   []fieldGlob
}

// filter is the part of a trigger that its kind defines.
type filter interface {
	matches(e *engine.Event) bool
}

// Compile makes the Set of a bundle's declarations. lists holds the watch lists
// by name, as ListName makes it of a path. Rules of mode off are checked like
// the others and never match.
func Compile(d engine.Declarations, lists map[string]*List) *Set {
	c := compiler{
		set:   &Set{rules: append([]engine.Rule(nil), d.Rules...), byKind: map[string][]compiled{}, hooks: map[string]string{}, lists: lists},
		lists: lists,
	}
	for i := range c.set.rules {
		rule := &c.set.rules[i]
		for n := range rule.When {
			c.trigger(rule, n)
		}
	}
	return c.set
}

// Match returns the hits of an event, in the order of declaration. A DNS event
// is held against rules by kind "dns", a webhook's by "webhook".
func (s *Set) Match(e *engine.Event) []Hit {
	var hits []Hit
	for _, t := range s.byKind[e.Kind] {
		if t.matches(e) {
			hits = append(hits, Hit{t.rule, t.trigger})
		}
	}
	return hits
}

// Matches tells whether Match would return a hit.
func (s *Set) Matches(e *engine.Event) bool {
	for _, t := range s.byKind[e.Kind] {
		if t.matches(e) {
			return true
		}
	}
	return false
}

func (t *compiled) matches(e *engine.Event) bool {
	if !t.filter.matches(e) {
		return false
	}
	for _, m := range t.match {
		if !m.matches(e) {
			return false
		}
	}
	return true
}

// Problems are the findings of Compile, all of severity error.
func (s *Set) Problems() []engine.Problem { return s.problems }

// Hook returns the name of the secret that guards a webhook, and whether any
// rule, of mode off too, listens to it.
func (s *Set) Hook(name string) (secret string, known bool) {
	secret, known = s.hooks[name]
	return secret, known
}

// compiler carries what Compile collects.
type compiler struct {
	set   *Set
	lists map[string]*List
	at    engine.Position // of the trigger in hand
}

// trigger compiles one trigger of a rule.
func (c *compiler) trigger(rule *engine.Rule, n int) {
	t := &rule.When[n]
	c.at = t.At
	args, ok := c.args(t)
	if !ok {
		return
	}
	out := compiled{rule: rule, trigger: n, match: c.globs(t.Match)}
	live := rule.Mode != "off"
	switch t.Kind {
	case "dns":
		out.filter = c.dnsFilter(args, live)
	case "webhook":
		out.filter = c.webhookFilter(args, rule)
	default:
		c.problem("on.%s: not in this version", t.Kind)
		return
	}
	if live && out.filter != nil {
		c.set.byKind[t.Kind] = append(c.set.byKind[t.Kind], out)
	}
}

// args decodes a trigger's arguments; absent and None are the same.
func (c *compiler) args(t *engine.Trigger) (*arguments, bool) {
	v, err := t.Args.Value()
	values, ok := v.(map[string]engine.Value)
	if err != nil || (!ok && v != nil) {
		c.problem("on.%s: arguments: got %T, want a dict", t.Kind, v)
		return nil, false
	}
	return &arguments{compiler: c, kind: t.Kind, values: values}, true
}

// problem notes a finding at the trigger in hand.
func (c *compiler) problem(format string, args ...any) *engine.Problem {
	c.set.problems = append(c.set.problems, engine.Problem{
		File: c.at.File, Line: c.at.Line, Col: c.at.Col,
		Severity: "error", Check: "trigger", Message: fmt.Sprintf(format, args...),
	})
	return &c.set.problems[len(c.set.problems)-1]
}
