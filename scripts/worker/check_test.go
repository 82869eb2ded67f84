package worker

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"larkspur/engine"
	"larkspur/engine/wire"
)

// TestProblems holds every mistake to its exact sentence and place.
func TestProblems(t *testing.T) {
	const f = "def f(i):\n    pass\n"
	tests := []struct{ name, source, want string }{
		{"undefined", f + "x = htp.get\ny = joob()\n", `3:5: error: undefined: htp | did you mean http?
4:5: error: undefined: joob | did you mean job?`},
		{"later word", "form(name = 'x')\n", `1:1: error: undefined: form | this version has no form yet`},
		{"later trigger", f + `rule(name = "a", when = on.email(mailbox = "x"), do = f)`, `3:33: error: on.email: this version has no such trigger yet | there is on.dns and on.webhook`},
		{"expected where", "def g(i):\n    expect(on.webhook('x', where = lambda e: True))\n", `2:28: error: expect: trigger: got a trigger with a where, want arguments and match alone | take the event that comes, look at it, and expect the next one if it is not the right one`},
		{"import", "import json\n", `1:1: error: got import, want primary expression | there is no import: json, re, time and the others are there already; own files are loaded with load("file.star", "name")`},
		{"f-string", "def g(x):\n    return f\"{x}\"\n", `2:18: error: got string literal, want newline | there are no f-strings: write "%s is %d" % (a, b) or "{} is {}".format(a, b)`},
		{"try", "def g():\n    try:\n        pass\n", `there is no try: r = attempt(`},
		{"is", "x = 1 is None\n", `there is no "is": compare with == or !=`},
		{"del", "x = {}\ndel x[1]\n", `there is no del:`},
		{"with", "with x:\n    pass\n", `there is no with`},
		{"power", "x = 2 ** 3\n", `there is no power operator`},
		{"chain", "x = 1 < 2 < 3\n", `comparisons do not chain: write a < b and b < c`},
		{"adjacent", "x = \"a\" \"b\"\n", `strings do not join by standing side by side`},
		{"precision", "def g():\n    return \"%.1f\" % 2.5\n", `2:12: error: %.1f has a width or a precision, which % does not know here | write "%s" % round(x, 1)`},
		{"brackets", "x = " + strings.Repeat("[", 300), `1:1: error: brackets nested deeper than 200`},
		{"brackets in text", "x = '''" + strings.Repeat("[", 300) + "''' # " + strings.Repeat("(", 300), ``},
		{"missing file", `load("nowhere.star", "x")`, `1:6: error: cannot load nowhere.star: no such file`},
		{"near file", `load("@larkspur//outbx.star", "x")`, `1:6: error: cannot load @larkspur//outbx.star: no such file | did you mean @larkspur//outbox.star?`},
		{"folder", `load("scripts/a.star", "x")`, `paths are from scripts/: write a.star`},
		{"cycle", `load("a.star", "x")`, `1:1: error: cannot load a.star: load cycle: a.star → a.star | move what both need into a third file`},
		{"top level call", `http.get("https://example.org/")`, `1:9: error: http.get: not at the top level: scripts only declare there | call it in the function that do names`},
		{"top level loop", "for x in range(10000000):\n    pass\n", `error: more than 100000 interpreter steps at the top level | does the loop end?`},
		{"recursion", "def g(x):\n    return g(x) + 1\ng(1)\n", `error: calls nested deeper than 2000 | does the recursion end?`},
		{"print", `print("hello", 3)`, `1:6: warning: print at the top level: hello 3`},
		{"hidden", "def g(time):\n    re = 1\n", `1:7: warning: time hides the module time | give it another name
2:5: warning: re hides the module re | give it another name`},
		{"captured", "def g():\n    l = []\n    for x in range(3):\n        l.append(lambda: x)\n        attempt(lambda: x)\n        l.append(lambda x = x: x)\n", `4:18: warning: this lambda sees the last value of x, not the one of its turn | hand it over: lambda x = x: …`},
		{"connection", "def g():\n    unifi.block(\"hme\", mac = \"x\")\n", `2:17: error: unifi.block: there is no connection "hme" | did you mean home?`},
		{"connection by name", "C = \"hme\"\ndef g():\n    unifi.block(connection = C, mac = \"x\")\n", `3:30: error: unifi.block: there is no connection "hme" | did you mean home?`},
		{"own module", "def g(unifi):\n    unifi.block(\"hme\", mac = \"x\")\n", `1:7: warning: unifi hides the module unifi | give it another name`},
		{"person", "def g():\n    ask([\"dave\", \"anna\", \"x@example.org\"], \"?\")\n    ask(\"family\", \"?\")\n", `2:18: error: ask: to: there is no person or team "anna" | did you mean ana?`},
		{"zone", "def g():\n    pass\n" + `job(name = "j", cron = "0 8 * * *", tz = "Mars", do = g)`, `tz: got "Mars", want the name of a time zone`},
		{"ops on time", `time.now()`, `time.now: there is no clock in this module | call now(), whose result is recorded`},
		{"where field", "x = on.dns(where = lambda e: e.clent == e.get(e.client) and e.answers[0].x)\n", `1:32: error: the event has no field "clent" | did you mean client?`},
		{"webhook field", "x = on.webhook(\"a\", where = lambda e: e.anything)\n", ``},
		{"print of Python 2", "def g():\n    print \"x\"\n", `got string literal, want newline | print is a function: print("…")`},
		{"annotations", "def g(i: int):\n    pass\n", `there are no type annotations`},
		{"generator", "x = \",\".join(y for y in [\"a\"])\n", `there are no generators: write a list, [x for x in …]`},
		{"indented", "def g():\n    x = 1\n      y = 2\n", `3:7: error: got indent, want primary expression | this line is indented further than the one above it`},
		{"no such word", "def g():\n    unifi.blok(\"home\", mac = \"x\")\n    unifi.kick(\"home\", mac = \"x\")\n    json.loadz(\"\")\n", `2:11: error: there is no unifi.blok | did you mean block?
3:11: error: there is no unifi.kick | this version has no unifi.kick yet
4:10: error: there is no json.loadz | did you mean loads?`},
		{"no such trigger", `x = on.dn(domains = ["x.org"])`, `1:8: error: there is no on.dn | did you mean dns?`},
		{"misspelt argument", "def g():\n    unifi.block(\"home\", mc = \"x\")\n", `2:5: error: unifi.block: unexpected argument "mc" | did you mean mac?`},
		{"missing argument", "def g():\n    unifi.block(\"home\")\n", `2:5: error: unifi.block: missing argument mac`},
		{"too many", "def g():\n    sleep(\"1s\", 5, 6)\n", `2:5: error: sleep: got 3 arguments without a name, want at most 1 | give until by its name: until = …`},
		{"no duration", "def g():\n    sleep(\"5 minutes\")\n", `2:11: error: sleep: duration: duration "5 minutes": a number without a unit | write its unit: 5s, 5m, 5h or 5d`},
		{"no secret", "def g():\n    http.get(url = \"https://example.org\", headers = 5)\n", `2:53: error: http.get: headers: got 5, want a dict`},
		{"hidden arguments", "def g(*a, **kw):\n    unifi.block(*a, **kw)\n", ``},
		{"attempt of a result", "def g():\n    attempt(http.get(url = \"https://example.org\"), tires = 2)\n    attempt(http.get(url = \"https://example.org\"))\n", `2:5: error: attempt: unexpected argument "tires" | did you mean tries?
3:13: error: attempt: fn: got what the call returns, want a function | write attempt(lambda: …): what is called there must be called inside`},
		{"continues", "def g(i):\n    continue_as(lambda: 1)\n    continue_as(g, arg = {})\n    state.sett(\"k\", 1)\n", `2:17: error: continue_as: fn: got a lambda, want a top-level def | what may run later is named: write a def at the top level of the file and give what it needs as args
3:5: error: continue_as: unexpected argument "arg" | did you mean args?
4:11: error: there is no state.sett | did you mean set?`},
		{"parallels", "def g(x):\n    parallel(g, lambda: 1, ech = [1])\n    parallel(now(), g)\n    parallel(g, each = 5)\n    parallel()\n", `2:5: error: parallel: unexpected argument "ech" | did you mean each?
3:14: error: parallel: fn: got what the call returns, want a function | write parallel(lambda: …): what is called there must be called inside
4:24: error: parallel: each: got 5, want a list
5:5: error: parallel: missing argument fn`},
		{"change by lambda", "def g():\n    change(\"x\", do = g, undo = lambda d: 1)\n", `2:32: error: change: undo: got a lambda, want a top-level def | what may run later is named: write a def at the top level of the file and give what it needs as args`},
		{"computed choices", "def g(c):\n    ask(\"dave\", \"?\", choices = c(), default = \"No\")\n", ""},
		{"default", "def g():\n    ask(\"dave\", \"?\", choices = {\"Yes\": \"does it\", \"No\": \"\"}, default = \"Noo\")\n", `2:72: error: ask: default: got "Noo", want one of the choices Yes, No | did you mean No?`},
		{"fields", `def f(i):
    ask("dave", "?", fields = [field.text("Why"), field.choice("how", ["a", "a"]), field.many("days", list("ab")), field.file("x"), field.date("x")])
`, `2:32: error: field.text: name: got "Why", want small letters, digits and _
2:51: error: field.choice: choices: got "a", want different strings
2:133: error: field.date: "x" is there twice | a.fields has one value for each name`},
		{"incident", `def f(i):
    i.cloze("x")
    i.assign("dave")
    i.close()
    i.note(text = 5)
    i.set(anything = 1)
    helper(1, i)
    for i in []:
        pass
def g(i):
    i.close("done", quiet = "soon")
    helper(1, i)
def helper(n, incident):
    incident.nope
    n.whatever
rule(name = "a", when = on.webhook("a"), do = g)
rule(name = "b", when = on.webhook("b"), do = f)
`, `11:29: error: incident.close: quiet: duration "soon": want a number and a unit | the units are ms, s, m, h, d, w and y, as in "30s", "5m", "1h30m" or "7d"
14:14: error: an incident has no nope | did you mean note?`},
		{"incident's methods", `def f(i):
    i.cloze("x")
    i.button("dave")
    i.close()
    i.note(text = 5)
    i.set(anything = 1, event = i.event.anything)
rule(name = "a", when = on.webhook("a"), do = f)
`, `2:7: error: an incident has no cloze | did you mean close?
3:7: error: an incident has no button | this version has no i.button yet
4:5: error: incident.close: missing argument reason
5:19: error: incident.note: text: got 5, want a string`},
		{"timers", `def f(i):
    i.timer("a").start("soon", on_breach = lambda i: 1)
    i.timer("a").start("1h", hours = "nights")
    i.timer("a").stopp()
    i.timer()
    i.timer("a").stop(1)
    i.timer("a").start("1h", f, hours = "")
rule(name = "a", when = on.webhook("a"), do = f)
rule(name = "b", when = on.webhook("b"), do = f, on_breach = f)
`, `2:24: error: timer.start: limit: duration "soon": want a number and a unit | the units are ms, s, m, h, d, w and y, as in "30s", "5m", "1h30m" or "7d"
2:44: error: timer.start: on_breach: got a lambda, want a top-level def | what may run later is named: write a def at the top level of the file and give what it needs as args
3:38: error: hours: the calendar "nights" does not exist | there is office
4:18: error: a timer has no stopp | did you mean stop?
5:5: error: incident.timer: missing argument name
6:5: error: timer.stop: got 1 arguments without a name, want at most 0 | it takes no arguments
9:5: error: on_breach: got a handler, and no sla that could be breached | add sla = {"close": "1d"}, or leave on_breach out`},
		{"event fields", `def f(i):
    print(i.event.qury, i.event.query, i.event.time, i.event.get("x"))
def more(i, e):
    print(e.clint)
    shared(i)
def shared(i):
    print(i.event.name)
rule(name = "a", when = on.dns(domains = ["x.org"]), do = f, on_attach = more)
rule(name = "b", when = on.webhook("b"), do = shared)
`, `2:19: error: the event has no field "qury" | did you mean query?
4:13: error: the event has no field "clint" | did you mean client?`},
		{"frozen", `SEEN = []
LEFT = {}
def f(i):
    SEEN.append(1)
    LEFT["a"] = 1
    own = []
    own.append(1)
def fill():
    SEEN.append(2)
fill()
rule(name = "a", when = on.webhook("a"), do = f)
`, `4:5: error: SEEN is frozen when a run begins: what a file defines at its top level cannot change | make a new one in the function, and hand it on
5:5: error: LEFT is frozen when a run begins: what a file defines at its top level cannot change | make a new one in the function, and hand it on`},
		{"run outside", `x = run.id`, `run: not at the top level: scripts only declare there`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkProblems(t, tt.source, tt.want) })
	}
}

// checkProblems compares findings, without the file's name; a want without a
// place is a part of the only line.
func checkProblems(t *testing.T, source, want string) {
	t.Helper()
	lines := formatProblems(loadFiles(map[string]string{"a.star": source}))
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "scripts/a.star:")
	}
	got := strings.Join(lines, "\n")
	if want == "" && got != "" || got != want && !(want != "" && want[0] > '9' && strings.Contains(got, want) && len(lines) == 1) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestRuleProblems: one rule, one mistake.
func TestRuleProblems(t *testing.T) {
	tests := []struct{ name, args, want string }{
		{"severity", `severity = "urgent"`, `severity: got "urgent", want info, low, medium, high or critical`},
		{"unknown keyword", `sevrity = "low"`, `rule: unexpected argument "sevrity" | did you mean severity?`},
		{"mode", `mode = "on"`, `mode: got "on", want live, shadow or off`},
		{"lambda", `do = lambda i: None`, `do: got a lambda, want a top-level def | what may run later is named: write a def at the top level of the file and give what it needs as args`},
		{"nested", `do = nested()`, `do: got the nested function inner, want a top-level def | what may run later is named: move the def to the top level of its file and give what it needs as args`},
		{"no function", `do = "f"`, `do: got "f", want a top-level def`},
		{"builtin", `do = print`, `do: got builtin_function_or_method, want a top-level def`},
		{"too few parameters", `do = none`, `do: none takes 0 arguments, but is called as none(incident)`},
		{"args", `args = {"x": 1}`, `do: f has no parameter x, but is called as f(incident, x = …)`},
		{"missing args", `do = two`, `do: two wants x, but is called as two(incident)`},
		{"on_attach", `on_attach = f`, `on_attach: f takes 1 argument, but is called as f(incident, event)`},
		{"function in args", `do = two, args = {"x": f}`, `args: a function (f) cannot be recorded | what may run later is given as do or undo, which take a top-level def`},
		{"quiet", `quiet = "6"`, `quiet: duration "6": a number without a unit | write its unit: 6s, 6m, 6h or 6d`},
		{"negative", `saves = "-5m"`, `saves: got -5m, want a duration that is not negative`},
		{"throttle", `throttle = "10"`, `throttle: got "10", want a number of times a second, minute, hour or day, like "10/h"`},
		{"sla", `sla = {"closed": "1d"}`, `sla: got the key "closed", want close or respond`},
		{"team", `team = "famly"`, `team: the team "famly" does not exist | did you mean family?`},
		{"hours", `hours = "nights"`, `hours: the calendar "nights" does not exist | there is office`},
		{"dedup field", `dedup = ["clent"]`, `dedup: the event has no field "clent" | did you mean client?`},
		{"dedup", `dedup = [3]`, `dedup: got list, want a list of fields or a function of the event`},
		{"title field", `title = "{clent}"`, `title: the event has no field "clent" | did you mean client?`},
		{"title braces", `title = "{client"`, `title: got "{client", whose braces do not pair`},
		{"name", `name = "No Name"`, `name: got "No Name", want small letters, digits and -`},
		{"name twice", `name = "first"`, `name: "first" is declared at scripts/a.star:12:5 already`},
		{"when", `when = []`, `when: got list, want a trigger like on.dns(…), or a list of them`},
		{"domain", `when = on.dns(domains = ["https://x"])`, `on.dns: domains: got "https://x", want a domain name | a domain matches itself and every name below it; globs go into match = {"query": …}`},
		{"client", `when = on.dns(clients = "192.0.2")`, `on.dns: clients: got "192.0.2", want an address, a network or a MAC address | like "192.0.2.7", "192.0.2.0/24", "2001:db8::/32" or "02:00:00:00:00:07"`},
		{"client by MAC", `when = on.dns(clients = ["02:00:00:00:00:07", "192.0.2.0/24"], domains = "")`, `on.dns: domains: got "", want a domain name | a domain matches itself and every name below it; globs go into match = {"query": …}`},
		{"dns keyword", `when = on.dns(domain = "x.org")`, `on.dns: unexpected argument "domain" | did you mean domains?`},
		{"match field", `when = on.dns(match = {"qery": "x"})`, `on.dns: match: the event has no field "qery" | did you mean query?`},
		{"where", `when = on.dns(where = lambda: True)`, `on.dns: where: lambda takes 0 arguments, but is called as lambda(e)`},
		{"hook", `when = on.webhook("No Hook")`, `on.webhook: name: got "No Hook", want letters a-z, digits, _ and -`},
	}
	const head = `
def f(i):
    pass
def none():
    pass
def two(i, x):
    pass
def nested():
    def inner(i):
        pass
    return inner
rule(name = "first", when = on.dns(domains = ["example.org"]), do = f)
rule(`
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := tt.args
			for _, need := range []string{`name = "r"`, `when = on.dns(domains = ["netflix.com"])`, `do = f`} {
				if word, _, _ := strings.Cut(need, " "); !strings.HasPrefix(args, word+" ") {
					args += ", " + need
				}
			}
			b := loadFiles(map[string]string{"a.star": head + args + ")\n"})
			if len(b.declarations.Problems) != 1 {
				t.Fatalf("got %d problems: %v", len(b.declarations.Problems), formatProblems(b))
			}
			p := b.declarations.Problems[0]
			got := p.Message
			if p.Hint != "" {
				got += " | " + p.Hint
			}
			if got != tt.want || p.Line != 13 || p.File != "scripts/a.star" || p.Severity != "error" {
				t.Errorf("%s:%d: got\n%s\nwant\n%s", p.File, p.Line, got, tt.want)
			}
		})
	}
}

func TestSeveralProblemsInOnePass(t *testing.T) {
	b := loadFiles(map[string]string{
		"a.star": "load('b.star', 'x')\ndef f(i):\n    pass\nrule(name = 'R', when = on.dns(), do = f, severity = 'urgent', throttle = 'x')\n",
		"b.star": "x = 1 / 0\n",
		"c.star": "y = nothing\nz = nothing_else\n",
		"d.star": "def f(i):\n    pass\nrule(name = 'R', when = on.dns(), do = f, severity = 'urgent', throttle = 'x')\n",
	})
	equal(t, "problems", formatProblems(b), []string{
		"scripts/b.star:1:7: error: floating-point division by zero",
		"scripts/c.star:1:5: error: undefined: nothing",
		"scripts/c.star:2:5: error: undefined: nothing_else",
		"scripts/d.star:3:5: error: name: got \"R\", want small letters, digits and -",
		"scripts/d.star:3:5: error: severity: got \"urgent\", want info, low, medium, high or critical",
		"scripts/d.star:3:5: error: throttle: got \"x\", want a number of times a second, minute, hour or day, like \"10/h\"",
	})
}

func TestRedefinedHandler(t *testing.T) {
	checkProblems(t, "def f(i):\n    pass\nrule(name = 'r', when = on.dns(), do = f)\ndef f(i):\n    pass\n",
		`do: got the nested function f, want a top-level def`)
}

func TestDeclares(t *testing.T) {
	b := loadFiles(map[string]string{
		"lib/do.star": "def respond(i, who):\n    pass\n\ndef more(i, e, who):\n    pass\n",
		"a.star": `
load("lib/do.star", "respond", "more")
def check(n = 1):
    pass
rule(
    name = "netflix", do = respond, args = {"who": "dave"},
    when = [on.dns(domains = ["netflix.com"], clients = "192.0.2.0/24", where = lambda e: e.type == "A"), on.webhook("hook")],
    title = "Netflix from {client}", severity = "low", type = "streaming", team = "family", visible = "team",
    dedup = ["client"], on_attach = more, quiet = "6h", throttle = "10/h", max_changes = "20/d",
    sla = {"close": "1d"}, hours = "office", saves = "5m", on_failure = "undo", mode = "shadow",
)
rule(name = "plain", when = on.webhook("hook", secret = secret("other"), match = {"a.b": "x*"}), do = respond, args = {"who": None}, dedup = lambda e: e.x)
job(name = "check", every = "5m", do = check, args = {"n": 3})
job(name = "daily", cron = "0 8 * * mon-fri", tz = "Europe/Berlin", do = check, overlap = True, jitter = "1m", catch_up = True)
`})
	if len(b.declarations.Problems) > 0 {
		t.Fatalf("problems: %v", formatProblems(b))
	}
	day := 24 * time.Hour
	want := engine.Declarations{
		Rules: []engine.Rule{{
			Name: "netflix", Do: engine.Handler{File: "lib/do.star", Name: "respond"}, Args: engine.Data(`{"who":"dave"}`),
			When: []engine.Trigger{
				{Kind: "dns", Args: engine.Data(`{"clients":["192.0.2.0/24"],"domains":["netflix.com"]}`), Where: true, At: engine.Position{File: "scripts/a.star", Line: 7, Col: 19}},
				{Kind: "webhook", Args: engine.Data(`{"name":"hook","secret":{"$":"secret","v":"hook"}}`), At: engine.Position{File: "scripts/a.star", Line: 7, Col: 117}},
			},
			Title: "Netflix from {client}", Severity: "low", Type: "streaming", Team: "family", Visible: "team", Dedup: []string{"client"}, DedupSet: true,
			OnAttach: &engine.Handler{File: "lib/do.star", Name: "more"}, Quiet: 6 * time.Hour, ThrottleCount: 10, ThrottleSpan: time.Hour,
			MaxChangesCount: 20, MaxChangesSpan: day, SLA: map[string]time.Duration{"close": day}, Hours: "office", Saves: 5 * time.Minute,
			OnFailure: "undo", Mode: "shadow", At: engine.Position{File: "scripts/a.star", Line: 5, Col: 5},
		}, {
			Name: "plain", Do: engine.Handler{File: "lib/do.star", Name: "respond"}, Args: engine.Data(`{"who":null}`),
			When: []engine.Trigger{{Kind: "webhook", Args: engine.Data(`{"name":"hook","secret":{"$":"secret","v":"other"}}`), Match: map[string]string{"a.b": "x*"},
				At: engine.Position{File: "scripts/a.star", Line: 12, Col: 39}}},
			Title: "plain", Severity: "medium", Type: "plain", DedupSet: true, DedupFunc: true, OnFailure: "keep", Mode: "live",
			At: engine.Position{File: "scripts/a.star", Line: 12, Col: 5},
		}},
		Jobs: []engine.Job{
			{Name: "check", Every: 5 * time.Minute, Do: engine.Handler{File: "a.star", Name: "check"}, Args: engine.Data(`{"n":3}`), Mode: "live",
				At: engine.Position{File: "scripts/a.star", Line: 13, Col: 4}},
			{Name: "daily", Cron: "0 8 * * mon-fri", Zone: "Europe/Berlin", Do: engine.Handler{File: "a.star", Name: "check"}, Args: engine.Data(`{}`), Mode: "live",
				Overlap: true, Jitter: time.Minute, CatchUp: true, At: engine.Position{File: "scripts/a.star", Line: 14, Col: 4}},
		},
	}
	got, _ := json.MarshalIndent(b.declarations, "", " ")
	wanted, _ := json.MarshalIndent(want, "", " ")
	if string(got) != string(wanted) {
		t.Errorf("got\n%s\nwant\n%s", got, wanted)
	}
}

func TestNilNamesVerifyNothing(t *testing.T) {
	checkFiles := map[string]string{"scripts/a.star": "def f(i):\n    unifi.block(\"gone\", mac = \"x\")\n"}
	env := newEnvironment(testHello())
	if b := load(env, wireLoad(checkFiles, nil)); len(b.declarations.Problems) > 0 {
		t.Errorf("got %v", formatProblems(b))
	}
	if b := load(env, wireLoad(checkFiles, map[string][]string{})); len(b.declarations.Problems) != 1 {
		t.Errorf("got %v, want one problem", formatProblems(b))
	}
}

// Tests see the scripts, the other way round there is nothing, and a broken test
// leaves the bundle good.
func TestTestsAreBesideTheBundle(t *testing.T) {
	files := map[string]string{
		"scripts/a.star": "def helper(x):\n    return x + 1\n",
		"scripts/c.star": "load('a_test.star', 'test_a')\n",
	}
	tests := map[string]string{
		"scripts/a_test.star": "load('a.star', 'helper')\ndef test_a(t):\n    t.eq(helper(1), 2)\ndef helpful():\n    pass\n",
		"scripts/b_test.star": "x = undefined_name\n",
		"scripts/d_test.star": "rule(name = 'x', when = on.dns(), do = None)\n",
		"scripts/e_test.star": "def test_e():\n    pass\n",
		"scripts/f_test.star": "def test_f(t):\n    t.eqq(1, 2)\n    t.trigger('nix')\n    t.fake('unifi.blok', 1)\n    t.eq(1)\n    t.form('x')\n    t.answer('dav', 'Yes')\n    t.fails(lambda: t.job('nix'), 'nix')\n",
	}
	l := wireLoad(files, testNames())
	l.Tests = tests
	b := load(newEnvironment(testHello()), l)
	equal(t, "problems", formatProblems(b), []string{
		"scripts/b_test.star:1:5: error: undefined: undefined_name",
		"scripts/c.star:1:6: error: cannot load a_test.star: no such file | did you mean a.star?",
		"scripts/d_test.star:1:5: error: rule: a test file declares nothing: it tests what other files declare",
		"scripts/e_test.star:1:1: error: test_e takes 0 arguments, but is called as test_e(t) | a test takes the bench alone: def test_e(t):",
		"scripts/f_test.star:2:7: error: there is no t.eqq | did you mean eq?",
		`scripts/f_test.star:3:15: error: t.trigger: there is no rule "nix"`,
		`scripts/f_test.star:4:12: error: t.fake: there is no builtin "unifi.blok" | did you mean unifi.block?`,
		"scripts/f_test.star:5:5: error: t.eq: missing argument want",
		"scripts/f_test.star:6:7: error: t.form: this version has no forms yet",
		`scripts/f_test.star:7:14: error: t.answer: there is no person "dav" | did you mean dave?`,
	})
	equal(t, "tests", b.tests(), []engine.Test{
		{Name: "test_a", File: "scripts/a_test.star", Line: 2}, {Name: "test_e", File: "scripts/e_test.star", Line: 1}, {Name: "test_f", File: "scripts/f_test.star", Line: 1},
	})
	if (wire.Loaded{Declarations: engine.Declarations{Problems: []engine.Problem{{File: "scripts/b_test.star", Severity: "error"}}}}).Good() == false {
		t.Error("a broken test spoils the bundle")
	}
}

// FuzzLoad: no text hurts the loader; what does is the sandbox's to bear, and is
// bounded here.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{"def f(i):\n    pass\n", "load('a.star', 'x')", "x = [[[", "'''", "# x", "rule(name='a', when=on.dns(), do=f)", "x = \"a\\\"\"\n"} {
		f.Add(s)
	}
	env := newEnvironment(testHello())
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 || strings.Contains(text, "*") || strings.Contains(text, "<<") {
			return // repetition is a memory bomb, which only a process can bear
		}
		b := load(env, wireLoad(map[string]string{"scripts/a.star": text}, testNames()))
		for _, p := range b.declarations.Problems {
			if p.Line < 1 || p.Message == "" {
				t.Errorf("a problem without place or message: %+v", p)
			}
		}
	})
}

func TestAcceptMAC(t *testing.T) {
	c := &converter{}
	for text, good := range map[string]bool{
		"02:00:00:00:00:07": true, "02-00-00-AA-00-07": true, "0200.0000.0007": true, " 020000000007": true,
		"": false, "02:00:00:00:00": false, "02:00:00:00:00:0g": false, "02:00:00:00:00:00:07": false,
	} {
		if _, err := c.accept("mac", starlark.String(text)); (err == nil) != good {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if _, err := c.accept("mac", starlark.MakeInt(5)); err == nil || err.Error() != "got 5, want a MAC address" {
		t.Errorf("got %v", err)
	}
}
