package worker

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/wire"
)

// watch is a playbook with a parameter of every kind.
const watch = `
def check(p):
    pass
def declare(p):
    job(name = p.name, every = p.every, do = check, args = {"p": p})
    rule(name = p.name + "-hook", when = on.webhook(p.hook or "none"), do = opened, args = {"p": p}, severity = p.severity)
def opened(i, p):
    pass
watch = playbook(doc = "Watch a page.", declare = declare, params = {
    "url": param.url(doc = "the page"),
    "every": param.duration(doc = "how often", default = "5m"),
    "host": param.connection("unifi"),
    "who": param.who(default = "family"),
    "team": param.team(default = None),
    "static": param.bool(default = False),
    "tries": param.int(default = 2),
    "says": param.text(default = ""),
    "since": param.time(default = None),
    "domain": param.domain(default = "Example.org."),
    "ip": param.ip(default = "2001:DB8::1"),
    "email": param.email(default = "dave@example.org"),
    "names": param.list(default = None),
    "severity": param.severity(default = "low"),
    "hook": param.webhook(default = None),
    "way": param.choice(["fast", "slow"], default = "slow"),
    "skip": param.many(param.domain(), default = []),
})
`

// switchOn loads a file with the playbooks block on lines of its own: the n-th
// entry at line 10n+10, its keys behind it.
func switchOn(t *testing.T, source string, entries ...map[string]map[string]any) *bundle {
	t.Helper()
	places := map[string]engine.Position{}
	for n, e := range entries {
		number := string(rune('0' + n))
		places[number] = engine.Position{File: "larkspur.yaml", Line: 10*n + 10, Col: 5}
		for _, values := range e {
			for i, key := range sortedKeys(values) {
				places[number+"."+key] = engine.Position{File: "larkspur.yaml", Line: 10*n + 10 + i + 1, Col: 7}
			}
		}
	}
	block, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"scripts/a.star": source, playbooksFile: string(block)}
	names := testNames()
	names["lists"] = []string{"bad"}
	return load(newEnvironment(testHello()), wire.Load{
		Bundle: engine.Bundle{Hash: "b1", Files: files}, Names: names, Places: places, Timezone: "Europe/London",
	})
}

type values = map[string]any

func TestPlaybooksAreSwitchedOn(t *testing.T) {
	b := switchOn(t, watch,
		map[string]map[string]any{"a.star:watch": {"name": "blog", "url": "https://blog.example.org/", "host": "home"}},
		map[string]map[string]any{"scripts/a.star:watch": {
			"name": "shop", "url": "https://shop.example.org/", "host": "home", "every": "1m", "who": "ana@example.org", "static": true,
			"tries": 7, "says": "open", "since": "2026-07-01T08:00", "domain": "Müller.example", "ip": "192.0.2.7", "names": "bad",
			"severity": "high", "hook": "shop", "way": "fast", "skip": []any{"a.example.org", "B.example.org"}, "team": "family",
		}})
	if p := formatProblems(b); len(p) != 0 {
		t.Fatalf("got %v", p)
	}
	jobs := b.declarations.Jobs
	if len(jobs) != 2 || jobs[0].Name != "blog" || jobs[0].Every != 5*time.Minute || jobs[1].Name != "shop" || jobs[1].Every != time.Minute {
		t.Fatalf("got %+v", jobs)
	}
	if rules := b.declarations.Rules; len(rules) != 2 || rules[0].Severity != "low" || rules[1].Severity != "high" {
		t.Errorf("got %+v", rules)
	}
	for n, want := range []map[string]engine.Value{
		{
			"name": "blog", "url": "https://blog.example.org/", "host": "home", "every": 5 * time.Minute, "who": "family", "static": false,
			"tries": int64(2), "says": "", "since": nil, "domain": "example.org", "ip": "2001:db8::1", "email": "dave@example.org", "names": nil,
			"severity": "low", "hook": nil, "way": "slow", "skip": []engine.Value{}, "team": nil,
		},
		{
			"name": "shop", "url": "https://shop.example.org/", "host": "home", "every": time.Minute, "who": "ana@example.org", "static": true,
			"tries": int64(7), "says": "open", "since": time.Date(2026, 7, 1, 7, 0, 0, 0, time.UTC), "domain": "müller.example", "ip": "192.0.2.7",
			"email": "dave@example.org", "names": "bad", "severity": "high", "hook": "shop", "way": "fast",
			"skip": []engine.Value{"a.example.org", "b.example.org"}, "team": "family",
		},
	} {
		args, err := jobs[n].Args.Value()
		if err != nil {
			t.Fatal(err)
		}
		if got := args.(map[string]engine.Value)["p"].(engine.Struct).Fields; !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	}
	listed := b.declarations.Playbooks
	if len(listed) != 1 || listed[0].Name != "a.star:watch" || listed[0].Doc != "Watch a page." || len(listed[0].Params) != 17 ||
		listed[0].Params[0].Name != "url" || listed[0].Params[0].Doc != "the page" || listed[0].Params[0].Optional || listed[0].Params[16].Of.Kind != "domain" {
		t.Errorf("got %+v", listed)
	}
}

func TestWrongPlaybooksBlocks(t *testing.T) {
	good := func(more values) values {
		v := values{"name": "blog", "url": "https://blog.example.org/", "host": "home"}
		for key, value := range more {
			v[key] = value
		}
		return v
	}
	for _, tt := range []struct {
		playbook string
		values   values
		want     string
	}{
		{"watch", good(nil), `10:5: error: playbooks.watch: there is no such playbook | there is a.star:watch`},
		{"b.star:watch", good(nil), `10:5: error: playbooks.b.star:watch: there is no file b.star | paths are from scripts/: file.star:name`},
		{"a.star:wach", good(nil), `10:5: error: playbooks.a.star:wach: there is no such playbook | did you mean a.star:watch?`},
		{"a.star:watch", values{"url": "https://x.org", "host": "home"}, `10:5: error: playbooks.a.star:watch: missing: name | each playbook that is switched on has a name of its own, such as name: blog`},
		{"a.star:watch", good(values{"name": "The Blog"}), `12:7: error: playbooks.a.star:watch.name: got "The Blog", want small letters, digits and -`},
		{"a.star:watch", values{"name": "blog", "host": "home"}, `10:5: error: playbooks.a.star:watch: missing: url | the page`},
		{"a.star:watch", good(values{"ulr": "x"}), `13:7: error: playbooks.a.star:watch.ulr: the playbook has no such parameter | did you mean url?`},
		{"a.star:watch", good(values{"url": "blog.example.org"}), `13:7: error: playbooks.a.star:watch.url: got "blog.example.org", want an address such as https://www.example.org/`},
		{"a.star:watch", good(values{"host": "hme"}), `11:7: error: playbooks.a.star:watch.host: got "hme", want the name of a connection in connections.unifi | did you mean home?`},
		{"a.star:watch", good(values{"every": 5}), `11:7: error: playbooks.a.star:watch.every: got 5, want a duration such as "5m" or "30d"`},
		{"a.star:watch", good(values{"who": "anna"}), `14:7: error: playbooks.a.star:watch.who: got "anna", want a person, a team or an e-mail address | did you mean ana?`},
		{"a.star:watch", good(values{"static": "yes"}), `13:7: error: playbooks.a.star:watch.static: got "yes", want true or false`},
		{"a.star:watch", good(values{"tries": 2.5}), `13:7: error: playbooks.a.star:watch.tries: got 2.5, want a whole number`},
		{"a.star:watch", good(values{"says": 5}), `13:7: error: playbooks.a.star:watch.says: got 5, want a text | put it in quotes`},
		{"a.star:watch", good(values{"since": "tomorrow"}), `13:7: error: playbooks.a.star:watch.since: got "tomorrow", want a time such as 2026-11-22T08:00`},
		{"a.star:watch", good(values{"domain": "https://x.org"}), `11:7: error: playbooks.a.star:watch.domain: got "https://x.org", want a domain such as example.org`},
		{"a.star:watch", good(values{"ip": "192.0.2"}), `12:7: error: playbooks.a.star:watch.ip: got "192.0.2", want an address such as 192.0.2.7`},
		{"a.star:watch", good(values{"email": "dave"}), `11:7: error: playbooks.a.star:watch.email: got "dave", want an address such as dave@example.org`},
		{"a.star:watch", good(values{"names": "worse"}), `13:7: error: playbooks.a.star:watch.names: got "worse", want the name of a list`},
		{"a.star:watch", good(values{"severity": "urgent"}), `13:7: error: playbooks.a.star:watch.severity: got "urgent", want info, low, medium, high, critical`},
		{"a.star:watch", good(values{"hook": "No Hook"}), `11:7: error: playbooks.a.star:watch.hook: got "No Hook", want the name of a webhook: small letters, digits and -`},
		{"a.star:watch", good(values{"way": "fsat"}), `14:7: error: playbooks.a.star:watch.way: got "fsat", want fast, slow | did you mean fast?`},
		{"a.star:watch", good(values{"skip": []any{"x.org", "a b"}}), `13:7: error: playbooks.a.star:watch.skip: got "a b", want a domain such as example.org`},
	} {
		b := switchOn(t, watch, map[string]map[string]any{tt.playbook: tt.values})
		got := strings.Join(formatProblems(b), "\n")
		if hint, _, some := strings.Cut(tt.want, " | "); got != "larkspur.yaml:"+tt.want && (some || !strings.HasPrefix(got, "larkspur.yaml:"+hint)) {
			t.Errorf("got\n%s\nwant\nlarkspur.yaml:%s", got, tt.want)
		}
	}
	b := switchOn(t, watch, map[string]map[string]any{"a.star:watch": good(nil)}, map[string]map[string]any{"a.star:watch": good(nil)})
	equal(t, "problems", formatProblems(b), []string{`larkspur.yaml:22:7: error: playbooks.a.star:watch.name: "blog" is switched on already | each has a name of its own`})
}

// TestWrongPlaybooks: mistakes of those who write them.
func TestWrongPlaybooks(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{`declare = g`, `declare: g takes 0 arguments, but is called as g(p)`},
		{`declare = 5`, `declare: got 5, want a def: declare(p)`},
		{`params = {"name": param.text()}`, `params: every playbook has a name already`},
		{`params = {"The URL": param.url()}`, `params: got the name "The URL", want small letters, digits and _`},
		{`params = {"url": "https://x.org"}`, `params: url: got "https://x.org", want one of param.text(), param.url() …`},
		{`params = []`, `params: got list, want a dict like {"url": param.url()}`},
		{`parms = {}`, `playbook: unexpected argument "parms" | did you mean params?`},
		{`params = {"n": param.int(default = "two")}`, `param.int: default: got "two", want a whole number`},
		{`params = {"n": param.choice([])}`, `param.choice: choices: got an empty list`},
		{`params = {"n": param.connection(5)}`, `param.connection: kind: got 5, want a kind of connection, such as "ssh"`},
		{`params = {"n": param.many(5)}`, `param.many: of: got 5, want one of the other params, as in param.many(param.domain())`},
		{`params = {"n": param.text(dok = "")}`, `param.text: unexpected argument "dok" | did you mean doc?`},
	} {
		args := tt.args
		for _, need := range []string{`doc = "x"`, `declare = f`} {
			if word, _, _ := strings.Cut(need, " "); !strings.HasPrefix(args, word+" ") {
				args += ", " + need
			}
		}
		source := "def f(p):\n    pass\ndef g():\n    pass\nx = playbook(" + args + ")\n"
		b := switchOn(t, source, map[string]map[string]any{"a.star:x": {"name": "n"}})
		got := strings.Join(formatProblems(b), "\n")
		if _, message, _ := strings.Cut(got, "error: "); message != tt.want || !strings.HasPrefix(got, "scripts/a.star:5:") {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.args, got, tt.want)
		}
	}
	for source, want := range map[string]string{
		"def f(p):\n    x = 1 // 0\nx = playbook(doc = 'x', declare = f)\n":                              `larkspur.yaml:10:5: error: playbooks.a.star:x: scripts/a.star:2:11: floored division by zero`,
		"def f(p):\n    pass\nx = playbook(doc = 'x', declare = f)\n":                                    `larkspur.yaml:10:5: warning: playbooks.a.star:x: it declares no rule and no job`,
		"def f(p):\n    for x in range(10000000):\n        pass\nx = playbook(doc = 'x', declare = f)\n": `larkspur.yaml:10:5: error: playbooks.a.star:x: scripts/a.star:2:5: more than 100000 interpreter steps at the top level | does the loop end?`,
	} {
		if got := strings.Join(formatProblems(switchOn(t, source, map[string]map[string]any{"a.star:x": {"name": "n"}})), "\n"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
