package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"larkspur/appliance/demo/workspace"
)

// tested runs the tests of a workspace with U2 in it and returns a line for each.
func tested(t *testing.T, tests map[string]string, options ...string) (code int, lines []TestLine, said string) {
	t.Helper()
	dir := u2(t, tests)
	code, out, said := larkspur(t, append([]string{"test", dir, "--json"}, options...)...)
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var l TestLine
		if line == "" {
			continue
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		lines = append(lines, l)
	}
	return code, lines, said
}

const away = `
def away(t):
    t.fake("unifi.client", lambda *a, **kw: struct(mac = "02:00:00:00:00:07", name = "tv", online = False))

def go(t):
    return t.trigger("netflix-while-away", query = "www.netflix.com", client = "192.0.2.7", client_mac = "02:00:00:00:00:07")
`

// What the language's own example does, and what stands around it.
func TestTestsOfU2(t *testing.T) {
	code, lines, said := tested(t, map[string]string{"scripts/netflix_test.star": away + `
def test_blocks_when_told_to(t):
    away(t)
    t.answer("dave", "Block", reason = "homework first")
    r = go(t)
    t.eq([c.kwargs["mac"] for c in r.calls("unifi.block")], ["02:00:00:00:00:07"])
    t.eq(r.calls("unifi.block")[0].args, ["home"])
    t.eq(r.calls("unifi.block")[0].kwargs["expires"], "2m")
    t.eq(r.incident.status, "closed")
    t.eq(r.status, "done")
    t.eq([c.status for c in r.changes], ["in_force"])
    t.eq(len(r.calls("unifi.unblock")), 0)
    t.advance("9h")
    t.eq(len(r.calls("unifi.unblock")), 1)
    t.eq([c.status for c in r.changes], ["undone"])

def test_asks_why(t):
    away(t)
    t.at("2026-11-22T20:00")
    t.answer("dave", "Ask why", after = "5m")
    t.answer("ana", fields = {"reason": "homework is done"}, after = "10m")
    t.answer("dave", "Allow", after = "1m")
    r = go(t)
    t.eq(r.incident.fields["reason"], "homework is done")
    t.eq(r.incident.closed, "2026-11-22T20:16")
    t.eq([q.to for q in r.questions], [["dave"], ["ana"], ["dave"]])
    t.contains(r.questions[2].question, "homework is done")
    t.eq([m.to for m in r.mails], [["dave@example.org"], ["ana@example.org"], ["dave@example.org"]])
    t.eq([s.builtin for s in r.steps][:3], ["unifi.client", "unifi.client", "incident.set"])

def test_nobody_answers(t):
    away(t)
    r = go(t)
    t.eq(r.status, "waiting")
    t.eq(r.questions[0].status, "open")
    t.advance("2h")
    t.eq(r.incident.reason, "Allow by nobody")
    t.eq(r.questions[0].answer.timed_out, True)

def test_the_second_lookup_joins(t):
    away(t)
    first, second = go(t), go(t)
    t.eq(first.incident, second.incident)
    t.eq(len(first.incident.events), 2)

def test_at_home(t):
    t.fake("unifi.client", [struct(online = True)])
    r = t.event("dns", "eth1", query = "a.nflxvideo.net", client = "192.0.2.7", proto = "udp")
    t.eq(r.incident.reason, "the owner is at home")
    t.eq(t.event("dns", "eth1", query = "example.org", proto = "udp").incident, None)

def test_the_controller_is_away(t):
    t.fake("unifi.client", t.error("unavailable", "connection refused", cause = "refused"))
    r = go(t)
    t.eq([r.status, r.error.kind, r.error.cause], ["failed", "unavailable", "refused"])
`})
	if code != exitFine || len(lines) != 6 || !strings.HasPrefix(said, "6 tests passed, 0 failed (") {
		t.Errorf("got %d, %s%+v", code, said, lines)
	}
	for _, l := range lines {
		if l.Status != "passed" || l.Message != "" || l.File != "scripts/netflix_test.star" || l.Line == 0 || l.Elapsed <= 0 {
			t.Errorf("got %+v", l)
		}
	}
}

// Jobs, delays, lists of results, mails and what a playbook prints; sleeps pass by
// themselves.
func TestTestsOfAJob(t *testing.T) {
	code, lines, said := tested(t, map[string]string{
		"scripts/shop.star": `
def look():
    print("looking")
    r = attempt(lambda: http.get("https://shop.example.org/", timeout = "10s"), tries = 2, backoff = "1m")
    if not r.ok:
        email.send("dave", "The shop is down", r.error.message)
        http.post("https://shop.example.org/log", json = {"down": True})
    change("note it", do = note, undo = forget, args = {"what": "down"}, expires = "1h")

def note(what):
    return what

def forget(done, what):
    http.delete("https://shop.example.org/log/" + done)

job(name = "shop", every = "5m", do = look)
`,
		"scripts/shop_test.star": `
def test_slow(t):
    t.delay("http.get", "20s")
    r = t.job("shop")
    t.eq([c.error.message for c in r.calls("http.get")], ["http.get: no answer within 10s"] * 2)
    t.eq([c.started for c in r.calls("http.get")], ["2026-01-05T09:00:10Z", "2026-01-05T09:01:20Z"])
    t.eq([(m.to, m.subject, m.question) for m in r.mails], [(["dave@example.org"], "The shop is down", False)])
    t.eq(r.calls("http.post")[0].kwargs["json"], {"down": True})
    t.eq((r.log, r.status, r.incident), (["looking"], "done", None))
    t.eq([c.title for c in r.changes], ["note it"])
    t.eq(len(r.calls("change")), 1)
    t.advance("1h")
    t.eq([c.args for c in r.calls("http.delete")], [("https://shop.example.org/log/down",)])

def test_second_try(t):
    t.fake("http.get", [t.error("timeout"), struct(status = 200)])
    first = t.job("shop")
    t.eq(first.mails, [])
    t.fake("http.get", struct(status = 200))
    second = t.job("shop")
    t.eq((len(first.calls("http.get")), len(second.calls("http.get"))), (2, 1))
    t.fails(lambda: first.calls("http.gt"), 'there is no builtin "http.gt"')
    t.fails(lambda: t.fake("ask", None), "people answer")
    t.fails(lambda: t.answer("family", "Yes"), "no person")
    t.fails(lambda: t.job("shp"), 'no job "shp"')
    t.eq(t.person("ana").email, "ana@example.org")
`})
	if code != exitFine || len(lines) != 2 {
		t.Errorf("got %d, %s%+v", code, said, lines)
	}
}

// Playbooks of the library and of the workspace, switched on for one test.
func TestTestsSwitchPlaybooksOn(t *testing.T) {
	code, lines, said := tested(t, map[string]string{
		"scripts/lamp.star": `
def shine(p):
    http.post("https://shop.example.org/lamp", json = {"at": p.at})
def hooked(i, p):
    i.close("by " + p.name)
def declare(p):
    job(name = p.name, every = p.every, do = shine, args = {"p": p})
    rule(name = p.name + "-hook", when = on.webhook("hello", where = lambda e: e.get("lamp") == p.name), do = hooked, args = {"p": p})
lamp = playbook(doc = "Lights a lamp.", declare = declare, params = {"at": param.text(doc = "where"), "every": param.duration(doc = "how often", default = "5m")})
`,
		"scripts/lamp_test.star": `
def test_two(t):
    t.playbook("lamp.star:lamp", name = "hall", at = "the hall")
    t.playbook("lamp.star:lamp", name = "door", at = "the door", every = "1m")
    t.eq([t.job(n).calls("http.post")[0].kwargs["json"]["at"] for n in ["hall", "door"]], ["the hall", "the door"])
    t.eq(t.trigger("door-hook", lamp = "door").incident.reason, "by door")
    t.crash()
    t.eq(t.event("webhook", "hello", lamp = "hall").incident.reason, "by hall")

def test_none_is_left(t):
    t.fails(lambda: t.job("hall"), 'there is no job "hall"')

def test_of_the_library(t):
    t.fails(lambda: t.playbook("server_watch", name = "blog", url = "https://blog.example.org/", host = "web1", who = "dave"),
        't.playbook: server_watch.host: got "web1", want the name of a connection in connections.ssh')

def test_mistakes(t):
    t.fails(lambda: t.playbook("server_wach", name = "blog"), 'there is no playbook "server_wach"')
    t.fails(lambda: t.playbook("lamp.star:lamp", at = "x"), "t.playbook: lamp.star:lamp: missing: name")
    t.fails(lambda: t.playbook("lamp.star:lamp", name = "a"), "t.playbook: lamp.star:lamp: missing: at")
    t.fails(lambda: t.playbook("lamp.star:lamp", name = "a", at = 5), "t.playbook: lamp.star:lamp.at: got 5, want a text")
    t.fails(lambda: t.playbook("lamp.star:lamp", name = "a", at = "x", evry = "1m"), "lamp.star:lamp.evry: the playbook has no such parameter")
    t.fails(lambda: t.playbook("lamp.star:lamp", name = "netflix-while-away", at = "x") or t.playbook("lamp.star:lamp", name = "netflix-while-away", at = "x"), "netflix-while-away")
`})
	if code != exitFine || len(lines) != 4 {
		t.Errorf("got %d, %s%+v", code, said, lines)
	}
	if _, out, _ := larkspur(t, "check", u2(t, map[string]string{"scripts/x_test.star": "def test_x(t):\n    t.playbook(\"server_wach\", name = \"x\")\n"})); !strings.Contains(out, `x_test.star:2:16: t.playbook: there is no playbook "server_wach"`+"\n\tdid you mean server_watch?") {
		t.Errorf("got %s", out)
	}
}

// Branches take turns on the bench, too, and their worker may die between them.
func TestTestsOfBranches(t *testing.T) {
	code, lines, said := tested(t, map[string]string{
		"scripts/par.star": `
def look(i):
    names = parallel(lambda name: http.get("https://example.org/" + name, timeout = "10s").body, each = ["a", "b", "c"])
    i.close(", ".join(names))

rule(name = "par", when = on.webhook("par"), do = look)
`,
		"scripts/par_test.star": `
def test_in_order(t):
    t.fake("http.get", lambda url, **kw: struct(status = 200, body = url[-1]))
    t.eq(t.trigger("par").incident.reason, "a, b, c")

def test_crash(t):
    def get(url, **kw):
        if url.endswith("b"):
            t.crash()
        return struct(status = 200, body = url[-1])
    t.fake("http.get", get)
    r = t.trigger("par")
    t.eq(r.incident.reason, "a, b, c")
    t.eq(len(r.calls("http.get")), 3)
`})
	if code != exitFine || len(lines) != 2 {
		t.Errorf("got %d, %s%+v", code, said, lines)
	}
}

// The worker of the playbook dies while it waits, within a read, and within an
// effect: the replay crosses the process and nothing happens twice.
func TestTestsCrash(t *testing.T) {
	code, lines, said := tested(t, map[string]string{"scripts/netflix_test.star": away + `
def test_waiting(t):
    away(t)
    r = go(t)
    t.crash()
    t.answer("dave", "Allow")
    t.eq(r.incident.reason, "Allow by dave")

def test_within(t):
    calls = []
    def client(*a, **kw):
        calls.append("client")
        t.crash()
        return struct(mac = "02:00:00:00:00:07", name = "tv", online = False)
    def block(*a, **kw):
        calls.append("block")
        t.crash()
        return struct(mac = kw["mac"])
    t.fake("unifi.client", client)
    t.fake("unifi.block", block)
    t.answer("dave", "Block")
    r = go(t)
    t.eq(len([c for c in calls if c == "client"]) > 2, True)    # a read is done again,
    t.eq([c for c in calls if c == "block"], ["block"])         # an effect never
    t.eq([c.result.mac for c in r.calls("unifi.block")], ["02:00:00:00:00:07"])
    t.eq(r.incident.status, "closed")
`})
	if code != exitFine {
		t.Errorf("got %d, %s%+v", code, said, lines)
	}
}

// Whatever a test does to itself is a sentence with its place, and the tests
// after it run.
func TestTestsThatHurt(t *testing.T) {
	const file = "scripts/netflix_test.star"
	source := away + `
def test_forever(t):
    while True:
        len([])

def test_recursion(t):
    test_recursion(t)

def test_memory(t):
    x = len("a")
    y = [x] * 1000000000

def test_fake_fails(t):
    t.fake("unifi.client", lambda *a, **kw: 1 // 0)
    go(t)

def test_fake_memory(t):
    def fake(*a, **kw):
        n = len(a)
        return [n] * 1000000000
    t.fake("unifi.client", fake)
    go(t)

def test_fake_forever(t):
    def fake(*a, **kw):
        while True:
            len(a)
    t.fake("unifi.client", fake)
    go(t)

def test_fake_type(t):
    t.fake("unifi.client", lambda *a, **kw: 5)
    go(t)

def test_fake_field(t):
    t.fake("unifi.client", lambda *a, **kw: struct(onlin = False))
    go(t)

def test_fake_parameters(t):
    t.fake("unifi.client", lambda x: None)
    go(t)

def test_used_up(t):
    t.fake("unifi.client", [None])
    go(t)

def test_no_fake(t):
    go(t)

def test_answer(t):
    away(t)
    t.answer("dave", "Blok")
    go(t)

def test_no_match(t):
    t.trigger("netflix-while-away", query = "example.org")

def test_within(t):
    t.fake("unifi.client", lambda *a, **kw: t.advance("1h"))
    go(t)

def test_world(t):
    unifi.client("home", mac = "02:00:00:00:00:07")

def test_back(t):
    away(t)
    go(t)
    t.at("2020-01-01")

def test_unequal(t):
    t.eq([1, {"a": 2}], [1, {"a": 3}])

def test_print(t):
    print("so far")
    t.true(False, "why not")

def test_good(t):
    t.fails(lambda: t.eq(1, 2), "want 2")
    t.fails(lambda: go(t), "nothing stands in for it")
`
	wants := []struct{ test, line, message string }{
		{"test_forever", "len([])", "more than 5000000 interpreter steps without asking the bench"},
		{"test_recursion", "    test_recursion(t)", "calls nested deeper than 2000"},
		{"test_memory", "1000000000", "the test uses more memory than a worker has\nlook for a list"},
		{"test_fake_fails", "return t.trigger", "scripts/netflix.star:14:25: scripts/netflix_test.star:20:47: the fake of unifi.client failed: floored division by zero"},
		{"test_fake_memory", "return [n]", "the test uses more memory than a worker has\nlook for a list"},
		{"test_fake_forever", "", "more than 5000000 interpreter steps without asking the bench"},
		{"test_fake_type", "return t.trigger", "the fake of unifi.client: got an int, want a struct or dict with mac, name"},
		{"test_fake_field", "return t.trigger", "its result has no \"onlin\"\ndid you mean \"online\"?"},
		{"test_fake_parameters", "return t.trigger", "lambda has no parameter mac"},
		{"test_used_up", "return t.trigger", "scripts/netflix.star:18:26: unifi.client: this is call number 2, and the list at scripts/netflix_test.star:50:11 has 1"},
		{"test_no_fake", "return t.trigger", "scripts/netflix.star:14:25: unifi.client: nothing stands in for it, and a test does not ask the world\nwrite before it: t.fake(\"unifi.client\", lambda *a, **kw: struct("},
		{"test_answer", "return t.trigger", `scripts/netflix_test.star:58:13: the answer to "tv is watching Netflix. What now?" is none: choice: got "Blok", want Allow, Block or Ask why`},
		{"test_no_match", "example.org", `the rule "netflix-while-away" does not take an event with query = "example.org"`},
		{"test_within", "return t.trigger", "t.advance: not within a fake"},
		{"test_world", "unifi.client(\"home\"", "unifi.client: not in a test: only a playbook calls it"},
		{"test_back", "2020", "time does not go back: it is 2026-01-05T09:00:00 already"},
		{"test_unequal", "t.eq([1, {", "t.eq\n  got  [1, {\"a\": 2}]\n  want [1, {\"a\": 3}]\n  differs first at [1]"},
		{"test_print", "why not", "why not\nt.true\n  got  False"},
		{"test_good", "def test_good", ""},
	}
	code, lines, said := tested(t, map[string]string{file: source, "scripts/broken_test.star": "x = [\n", "scripts/deadly_test.star": "x = [1] * 1000000000\ndef test_x(t):\n    pass\n"})
	if code != exitProblems || !strings.HasPrefix(said, "1 test passed, 20 failed") || len(lines) != len(wants)+2 {
		t.Errorf("got %d, %q, %d lines", code, said, len(lines))
	}
	text := strings.Split(source, "\n")
	for _, want := range wants {
		i := slices.IndexFunc(lines, func(l TestLine) bool { return l.Test == want.test })
		if i < 0 {
			t.Errorf("%s: got no line", want.test)
			continue
		}
		l := lines[i]
		if l.File != file || l.Line < 1 || !strings.Contains(text[l.Line-1], want.line) && want.test != "test_forever" || !strings.Contains(l.Message, want.message) {
			t.Errorf("%s: got line %d, %q; want %q, %q", want.test, l.Line, l.Message, want.line, want.message)
		}
	}
	for _, want := range []TestLine{
		{File: "scripts/broken_test.star", Line: 2, Status: "failed", Message: "got end of file, want primary expression"},
		{File: "scripts/deadly_test.star", Line: 1, Status: "failed", Message: "the top level of a script uses more memory than a worker has\nlook for a list or a string that grows without bound"},
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("got %+v, want %+v", lines[len(lines)-2:], want)
		}
	}
}

func TestTestInWords(t *testing.T) {
	dir := u2(t, map[string]string{"scripts/a_test.star": "def test_a(t):\n    print(\"hello\")\n    t.eq(1 + 1, 3)\n\ndef test_b(t):\n    print(\"quiet\")\n"})
	code, out, said := larkspur(t, "test", dir)
	for _, want := range []string{"FAIL  test_a (", "/scripts/a_test.star:3:9: t.eq\n        got  2\n        want 3\n        > t.eq(1 + 1, 3)\n        | hello\n"} {
		if code != exitProblems || !strings.Contains(out, want) {
			t.Errorf("got %d, %s%s\nwant %s", code, out, said, want)
		}
	}
	if strings.Contains(out, "test_b") || !strings.HasPrefix(said, "1 test passed, 1 failed (") {
		t.Errorf("got %s%s", out, said)
	}
	if code, out, _ := larkspur(t, "test", dir, "-run", "_b$", "-v"); code != exitFine || !strings.HasPrefix(out, "ok    test_b (") || !strings.Contains(out, "| quiet") {
		t.Errorf("got %d, %s", code, out)
	}
	if code, _, said := larkspur(t, "test", dir, "-run", "nix"); code != exitFine || said != "no test matches \"nix\"\n" {
		t.Errorf("got %d, %q", code, said)
	}
	if code, _, said := larkspur(t, "test", u2(t, nil)); code != exitFine || !strings.HasPrefix(said, "there are no tests") {
		t.Errorf("got %d, %q", code, said)
	}
	if code, _, said := larkspur(t, "test", u2(t, map[string]string{"scripts/x.star": "x = y\n"})); code != exitProblems || !strings.Contains(said, "scripts/x.star:1:5: undefined: y") {
		t.Errorf("got %d, %q", code, said)
	}
}

// The tests that are shipped pass: those of a new workspace and of the demo.
func TestShippedTestsPass(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	if code, _, said := larkspur(t, "init", dir); code != exitFine {
		t.Fatal(said)
	}
	demo := t.TempDir()
	if err := workspace.Write(demo, workspace.Values{
		Listen: "127.0.0.1:8420", URL: "http://127.0.0.1:8420", UnifiURL: "https://127.0.0.1:8443", UnifiUser: "soar", UnifiPassword: "one",
		MailHost: "127.0.0.1", MailPort: 2525, MailUser: "soar", MailPassword: "two",
		UnifiFingerprint: "sha256:" + strings.Repeat("00", 32), MailFingerprint: "sha256:" + strings.Repeat("00", 32),
	}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dir, demo} {
		if code, out, said := larkspur(t, "test", dir, "--cover"); code != exitFine || !strings.Contains(out, "%  scripts/") || strings.Contains(out, "FAIL") || !strings.Contains(said, " tests passed, 0 failed (") {
			t.Errorf("%s: got %d, %s%s", dir, code, out, said)
		}
	}
}

// Covered are statements that a playbook, a where, a dedup, a helper that a test
// calls, or the top level executed.
func TestTestsCover(t *testing.T) {
	dir := u2(t, map[string]string{
		"scripts/netflix.star": "x = 1\n",
		"scripts/a.star": `"""Documentation."""

def key(e):
    return e.name

def respond(i):
    """More of it."""
    if not i.event.name:
        fail("who?")
    if i.event.name == "ana":
        i.close("hello")
    elif i.event.name == "dave":
        for n in [1, 2]:
            i.note("two")
    else:
        i.note("who")
        i.close("bye")

def helper(x):
    return x + 1

def forgotten():
    pass

rule(name = "hello", when = on.webhook("hello", where = lambda e: True), do = respond, dedup = key)
`,
		"scripts/a_test.star": `
load("a.star", "helper")

def test_a(t):
    t.eq(t.trigger("hello", name = "ana").incident.reason, "hello")
    t.eq(t.trigger("hello", name = "bob").incident.reason, "bye")
    t.eq(helper(1), 2)
`})
	code, out, said := larkspur(t, "test", dir, "--cover")
	if want := " 76%  scripts/a.star   not reached: 9, 13-14, 23\n100%  scripts/netflix.star\n"; code != exitFine || out != want {
		t.Errorf("got %d, %s%s\nwant %s", code, out, said, want)
	}
	if code, out, said := larkspur(t, "test", dir, "--cover", "--json"); code != exitFine || strings.Count(out, "\n") != 1 || !strings.Contains(said, "scripts/a.star   not reached") {
		t.Errorf("got %d, %s%s", code, out, said)
	}
}

// A playbook of a workspace of its own, as the language's reference shows it, without
// the enrichment that this version has not yet.
func TestTestsOfTheLanguagesServerWatch(t *testing.T) {
	script, err := os.ReadFile("testdata/server_watch.star")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"larkspur.yaml": `people: {dave: {email: dave@example.org}}
connections: {ssh: {web1: {host: 192.0.2.10, user: ops, key: secret:web1_key}}}
playbooks:
  - server_watch.star:server_watch: {name: blog, url: https://blog.example.org/, host: web1, who: dave, static: true}
`,
		"scripts/server_watch.star": string(script),
		"scripts/server_watch_test.star": `
OLD, NEW = struct(status = 200, body = "old"), struct(status = 200, body = "new")

def log(t):
    t.fake("ssh.run", lambda *a, **kw: struct(exit = 0, stdout = "last words"))

def test_restart(t):
    log(t)
    t.fake("http.get", [struct(status = 502, body = ""), OLD])
    t.answer("dave", "Restart", after = "4m")
    r = t.job("blog")
    t.eq([r.incident.status, r.incident.reason], ["closed", "Restart by dave"])
    t.eq(r.calls("i.attach")[0].kwargs["data"]["size"], len("last words"))

def test_accept(t):
    log(t)
    t.fake("http.get", [OLD, NEW, NEW, NEW])
    t.job("blog")
    t.answer("dave", "Accept")
    t.eq(t.job("blog").incident.title, "blog: the page changed")
    t.eq(len(t.job("blog").incidents), 0)

def test_healthy_again(t):
    log(t)
    t.fake("http.get", [struct(status = 200, body = "", tls = struct(days_left = 6)), OLD])
    r = t.job("blog")
    t.job("blog")
    t.eq([r.incident.reason, r.questions[0].status], ["healthy again", "withdrawn"])
`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, out, said := larkspur(t, "test", dir); code != exitFine || !strings.HasPrefix(said, "3 tests passed") {
		t.Errorf("got %d: %s%s", code, out, said)
	}
}
