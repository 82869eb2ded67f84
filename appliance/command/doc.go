package command

import (
	"fmt"
	"slices"
	"strings"

	"larkspur/builtins"
	"larkspur/builtins/settings"
	"larkspur/engine"
	"larkspur/engine/runner"
	"larkspur/scripts/library"
)

// entry is one line of the reference.
type entry struct{ name, usage, does string }

// runDoc prints the reference of one builtin, or the list of all.
func runDoc(c *call) error {
	args, err := c.flags(nil)
	if err != nil {
		return err
	}
	if len(args) > 1 {
		return usagef("got %d names, want one", len(args))
	}
	all := reference()
	if len(args) == 0 {
		return c.printAll(all)
	}
	name := args[0]
	if slices.Contains(library.Playbooks(), name) {
		return c.printPlaybook(name)
	}
	if method, ok := strings.CutPrefix(name, "incident."); ok {
		name = "i." + method // as scripts spell it
	}
	if page, ok := builtins.Doc(name); ok {
		_, err := fmt.Fprint(c.stdout, page)
		return err
	}
	var names []string
	for _, e := range all {
		if e.name == name {
			_, err := fmt.Fprintf(c.stdout, "%s\n\n%s\n", e.usage, e.does)
			return err
		}
		names = append(names, e.name)
	}
	module := slices.DeleteFunc(all, func(e entry) bool { return !strings.HasPrefix(e.name, name+".") })
	if len(module) > 0 {
		c.printEntries(module)
		return nil
	}
	return engine.Errorf(engine.NotFound, "doc: there is no builtin %q", args[0]).WithHint("%s", nearestEntry(name, append(names, library.Playbooks()...)))
}

// nearestEntry names the entry that was most likely meant.
func nearestEntry(name string, names []string) string {
	if hint := settings.Suggest(name, names); strings.HasPrefix(hint, "did") {
		return hint
	}
	return "larkspur doc lists them"
}

func (c *call) printEntries(list []entry) {
	for _, e := range list {
		fmt.Fprintf(c.stdout, "%-20s %s\n", e.name, e.does)
	}
}

// reference is everything that a script of this version can call.
func reference() []entry {
	list := declarations()
	for _, s := range append(runner.Signatures(), builtins.Signatures()...) {
		if !s.Internal {
			list = append(list, entryOf(s))
		}
	}
	return list
}

// declarations are the words that the worker performs by itself.
func declarations() []entry {
	return []entry{
		{"rule", "rule(name, when, do, *, args, title, severity, type, team, visible, dedup, on_attach, quiet, throttle, max_changes, sla, hours, on_breach, saves, on_failure, mode)", "Says when a playbook runs; top level only."},
		{"job", `job(name, *, every, cron, tz, do, args, overlap=False, jitter="", catch_up=False)`, "Starts a playbook by the clock, without an incident; top level only."},
		{"playbook", "playbook(doc, declare, *, params={})", "A playbook with parameters: declare(p) makes its rules and jobs for each time that larkspur.yaml switches it on."},
		{"param.text", `param.text(*, doc, default), and int, bool, duration, time, url, domain, ip, email, who, team, list, severity, webhook`, "A parameter of a playbook; without a default it must be given."},
		{"param.connection", `param.connection(kind, *, doc, default)`, "The name of a connection of a kind, as a parameter of a playbook."},
		{"param.choice", "param.choice(choices, *, doc, default)", "One of some choices, as a parameter of a playbook."},
		{"param.many", "param.many(of, *, doc, default)", "A list of what another param takes, as a parameter of a playbook."},
		{"on.dns", "on.dns(domains, *, types, clients, rcodes, answers, list, proto, match, where)", "A DNS lookup that a sensor sees."},
		{"on.webhook", "on.webhook(name, *, secret, match, where)", "A call of POST /hooks/NAME."},
		{"attempt", `attempt(fn, *, tries=1, backoff="2s", timeout="", catch=[])`, "Calls fn and gives ok, value and error instead of failing; tries again what is unavailable or timed out."},
		{"change", `change(title, do, undo, *, args={}, expires="", why="")`, "Calls do(**args) now and keeps how to take it back."},
		{"parallel", "parallel(f, g, …), parallel(fn, each=items, at_once=10)", "Calls functions in branches that take turns, and gives their results in order; the first failure is raised when all have ended."},
		{"continue_as", "continue_as(fn, args={})", "Ends the run, and calls fn in a new one with a fresh journal."},
		{"fail", "fail(message)", "Ends the run as failed; the incident stays open."},
		{"secret", "secret(name)", "The handle of a secret, for calls; its value never comes into a script."},
		{"field.text", "field.text(name, *, label, required=True, multiline=False, max)", "A line of text, or several, in a question."},
		{"field.choice", "field.choice(name, choices, *, label, required=True)", "One of some choices, in a question."},
		{"field.many", "field.many(name, choices, *, label, required=True)", "Any of some choices, in a question."},
		{"field.number", "field.number(name, *, label, required=True, max)", "A number, in a question."},
		{"field.date", "field.date(name, *, label, required=True)", "A day, in a question."},
		{"field.duration", "field.duration(name, *, label, required=True, max)", "A duration, in a question."},
		{"field.domain", "field.domain(name, *, label, required=True)", "A domain name, in a question."},
		{"field.address", "field.address(name, *, label, required=True)", "An IP or a mail address, in a question."},
	}
}

// entryOf writes a signature as scripts spell it: a method of an incident does
// not name the incident.
func entryOf(s engine.Signature) entry {
	name, params, positional := s.Name, s.Params, s.Positional
	if method, ok := strings.CutPrefix(name, "incident."); ok {
		name, params, positional = "i."+method, params[1:], positional-1
	}
	if name == "i.set" {
		return entry{name, "i.set(key = value, …)", s.Doc}
	}
	texts := []string{}
	for i, p := range params {
		if i == positional && i > 0 && p.Kind != engine.KindKeywords {
			texts = append(texts, "*")
		}
		switch text := p.Name; {
		case p.Kind == engine.KindKeywords:
			texts = append(texts, "**"+text)
		case string(p.Default) == "false":
			texts = append(texts, text+"=False")
		case len(p.Default) > 0:
			texts = append(texts, text+"="+string(p.Default))
		case p.Required:
			texts = append(texts, text)
		default:
			texts = append(texts, text+"=None")
		}
	}
	return entry{name, name + "(" + strings.Join(texts, ", ") + ")", s.Doc}
}
