package worker

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"larkspur/engine"
	"larkspur/engine/wire"
)

// TestNetflix plays the example of LANGUAGE section 2.
func TestNetflix(t *testing.T) {
	b := loadGood(t, `
def f(i):
    a = ask("dave", "%s is watching Netflix. What now?" % i.event.client,
            choices = {"Allow": "", "Block": "for 8 hours"}, timeout = "2h")
    if a.choice == "Block":
        unifi.block("home", mac = "02:00:00:00:00:07", expires = "8h", why = a.reason)
    i.set(why = a.reason, by = a.by)
    i.close("%s by %s" % (a.choice, a.by), quiet = "2h")
`)
	p := newPlay(t).incident()
	p.answer = results(t, map[string][]any{
		"ask":         {engine.Struct{Type: "answer", Fields: map[string]engine.Value{"choice": "Block", "by": engine.PersonRef{Name: "dave"}, "reason": "homework"}}},
		"unifi.block": {engine.Struct{Type: "unifi.change", Fields: map[string]engine.Value{"changed": true}}},
	})
	ended := p.on(b)
	if ended.Status != endedDone {
		t.Fatalf("got %+v: %v\n%s", ended, ended.Error, ended.Backtrace)
	}
	equal(t, "steps", p.calls(), []string{
		`ask {"choices":[["Allow",""],["Block","for 8 hours"]],"question":"192.0.2.7 is watching Netflix. What now?","timeout":{"$":"duration","v":7200000000000},"to":"dave"}`,
		`unifi.block {"connection":"home","expires":{"$":"duration","v":28800000000000},"mac":"02:00:00:00:00:07","why":"homework"}`,
		`incident.set {"fields":[["why","homework"],["by",{"$":"person","v":["dave",""]}]],"incident":"i0-7"}`,
		`incident.close {"incident":"i0-7","quiet":{"$":"duration","v":7200000000000},"reason":"Block by dave"}`,
	})
	replays(t, b, p)
}

// replays runs the same again with every beginning of the journal, and then with
// each step changed.
func replays(t *testing.T, b *bundle, first *play) {
	t.Helper()
	whole := newPlay(t)
	whole.run = first.run
	whole.run.Journal, whole.run.Interpreter = first.steps, interpreterVersion()
	want := whole.on(b)
	if len(whole.asked) > 0 {
		t.Errorf("with the whole journal: asked %v", whole.calls())
	}
	for n := range first.steps {
		p := newPlay(t)
		p.run = whole.run
		p.run.Journal = first.steps[:n]
		rest := first.steps[n:]
		p.answer = func(*wire.Step) wire.Answer {
			s := rest[0]
			rest = rest[1:]
			return wire.Answer{Result: s.Result, Error: s.Error, Ended: s.Ended}
		}
		if got := p.on(b); got.Status != want.Status || string(got.Value) != string(want.Value) || len(p.asked) != len(first.steps)-n {
			t.Errorf("with %d steps recorded: got %+v, asked %v", n, got, p.calls())
		}
	}
	for n := range first.steps {
		for what, change := range map[string]func(*engine.Step){
			"another builtin":              func(s *engine.Step) { s.Builtin += "x" },
			"other arguments":              func(s *engine.Step) { s.Hash = "k2:00" },
			"another line":                 func(s *engine.Step) { s.At = "scripts/a.star:1:1" },
			"another way to the same line": func(s *engine.Step) { s.Ticks++ },
		} {
			p := newPlay(t)
			p.run = whole.run
			p.run.Journal = append([]engine.Step{}, first.steps...)
			change(&p.run.Journal[n])
			got := p.on(b)
			if got.Status != endedDiverged || !strings.Contains(got.Error.Message, what) || len(p.asked) > 0 {
				t.Errorf("step %d, %s: got %+v", n+1, what, got)
			}
		}
	}
}

func TestTicksCompareUnderEqualInterpreters(t *testing.T) {
	b := loadGood(t, "def f():\n    return now()\n")
	p := newPlay(t)
	p.on(b)
	again := newPlay(t)
	again.run.Journal, again.run.Interpreter = p.steps, "an older one"
	again.run.Journal[0].Ticks++
	if got := again.on(b); got.Status != endedDone {
		t.Errorf("got %+v: %v", got, got.Error)
	}
}

func TestOldHashKeys(t *testing.T) {
	b := loadGood(t, "def f():\n    return http.get(\"https://example.org/\").status\n")
	p := newPlay(t)
	p.answer = results(t, map[string][]any{"http.get": {engine.Struct{Fields: map[string]engine.Value{"status": int64(200)}}}})
	p.on(b)
	old := newJournal(newEnvironment(testHello()), wire.Run{}).hashWith("k1", p.steps[0].Args)
	for hash, want := range map[string]string{old: endedDone, "k1:00": endedDiverged, "gone:00": endedDone} {
		again := newPlay(t)
		again.run.Journal = append([]engine.Step{}, p.steps...)
		again.run.Journal[0].Hash = hash
		if got := again.on(b); got.Status != want {
			t.Errorf("hash %s: got %+v, want %s", hash, got, want)
		}
	}
}

// TestANewParameterChangesNoJournal: what an earlier program recorded, which hashed
// defaults too or knew fewer parameters, is replayed; another value is noticed.
func TestANewParameterChangesNoJournal(t *testing.T) {
	source := "def f():\n    return http.get(\"https://example.org/\", timeout = \"30s\").status\n"
	ok := results(t, map[string][]any{"http.get": {engine.Struct{Fields: map[string]engine.Value{"status": int64(200)}}}})
	p := newPlay(t)
	p.answer = ok
	p.on(loadGood(t, source))
	today := p.steps[0]
	j := newJournal(newEnvironment(testHello()), wire.Run{})
	if today.Hash != j.hash(engine.MustEncode(map[string]engine.Value{"url": "https://example.org/"})) || !strings.Contains(string(today.Args), "timeout") {
		t.Errorf("got the hash %s of %s, want that of the arguments without defaults", today.Hash, today.Args)
	}
	earlier, erased, keyless := today, today, today
	earlier.Hash = j.hash(today.Args)
	erased.Args = nil
	keyless.Hash = "gone:00"
	more := testHello()
	for n, s := range more.Signatures {
		if s.Name == "http.get" {
			more.Signatures[n].Params = append(s.Params, engine.Param{Name: "proxy", Kind: "text", Default: engine.MustEncode("none")})
		}
	}
	with := func(arg string) *bundle {
		files := map[string]string{scriptsFolder + "a.star": strings.Replace(source, `"30s"`, `"30s"`+arg, 1)}
		return load(newEnvironment(more), wire.Load{Bundle: engine.Bundle{Hash: "b1", Files: files}, Names: testNames(), Timezone: "Europe/London"})
	}
	for name, recorded := range map[string]engine.Step{"today's": today, "an earlier one's": earlier, "an erased one": erased, "of a key that is gone": keyless} {
		for arg, want := range map[string]string{"": endedDone, `, proxy = "none"`: endedDone, `, proxy = "p"`: endedDiverged} {
			again := newPlay(t)
			again.hello, again.run.Journal = more, []engine.Step{recorded}
			if got := again.on(with(arg)); got.Status != want || len(again.asked) > 0 {
				t.Errorf("%s, with %q: got %+v: %v, want %s", name, arg, got, got.Error, want)
			}
		}
	}
}

// TestRecordedStates: what is done or failed answers; what was started is asked
// again.
func TestRecordedStates(t *testing.T) {
	b := loadGood(t, "def f():\n    return attempt(lambda: http.post(\"https://example.org/\")).ok\n")
	p := newPlay(t)
	p.on(b)
	for status, asked := range map[string]int{
		engine.StepDone: 0, engine.StepFailed: 0, engine.StepSkipped: 0, engine.StepStarted: 1, engine.StepInDoubt: 1, engine.StepNotStarted: 1,
	} {
		again := newPlay(t)
		again.run.Journal = append([]engine.Step{}, p.steps...)
		again.run.Journal[0].Status = status
		got := again.on(b)
		if len(again.asked) != asked || got.Status != endedDone || (string(got.Value) == "true") == (status == engine.StepFailed) {
			t.Errorf("%s: got %+v and %d steps, want %d", status, got, len(again.asked), asked)
		}
	}
}

func TestLeftOverSteps(t *testing.T) {
	b := loadGood(t, "def f():\n    return now()\n")
	p := newPlay(t)
	p.on(b)
	again := newPlay(t)
	extra := p.steps[0]
	extra.Number, extra.Builtin, extra.At = 2, "http.get", "scripts/a.star:9:9"
	again.run.Journal = append(p.steps, extra)
	got := again.on(b)
	if got.Status != endedDiverged || !strings.Contains(got.Error.Message, "ended before step 2") || !strings.Contains(got.Error.Message, "scripts/a.star:9:9") {
		t.Errorf("got %+v: %v", got, got.Error)
	}
}

// TestCallsAndErrors: what a body of f() comes to.
func TestCallsAndErrors(t *testing.T) {
	down := engine.Errorf(engine.Unavailable, "http.get: refused").WithCause("refused")
	down.Maybe = true
	tests := []struct {
		name, body string
		by         map[string][]any
		want       string   // the value, or "status kind cause: message at place"
		steps      []string // builtins, nil: not looked at
	}{
		{"value", `return [1, 2.5, "x", b"y", (1,), {"a": None}, set([1]), struct(a = 1), True]`, nil,
			`[1,2.5,"x",{"$":"bytes","v":"eQ=="},{"$":"tuple","v":[1]},{"a":null},{"$":"set","v":[1]},{"$":"struct","v":{"a":1}},true]`, nil},
		{"function as value", `return f`, nil, ``, nil},
		{"step's error", `http.get("https://example.org/")`, map[string][]any{"http.get": {down}}, `failed unavailable refused: http.get: refused at scripts/a.star:2:13`, nil},
		{"script's error", `x = {}["a"]`, nil, `failed script : key "a" not in dict at scripts/a.star:2:11`, nil},
		{"wrong keyword", `http.get(ulr = "x")`, nil, `failed invalid : http.get: unexpected argument "ulr" at scripts/a.star:2:13`, []string{}},
		{"missing", `http.get()`, nil, `failed invalid : http.get: missing argument url at scripts/a.star:2:13`, []string{}},
		{"type", `http.get(3)`, nil, `failed invalid : http.get: url: got 3, want a string at scripts/a.star:2:13`, []string{}},
		{"twice", `http.get("x", url = "x")`, nil, `failed invalid : http.get: url is given twice at scripts/a.star:2:13`, []string{}},
		{"too many", `http.get("x", "y")`, nil, `failed invalid : http.get: got 2 arguments without a name, want at most 1 at scripts/a.star:2:13`, []string{}},
		{"duration", `http.get("x", timeout = "5")`, nil, `failed invalid : http.get: timeout: duration "5": a number without a unit at scripts/a.star:2:13`, []string{}},
		{"effect", `http.post("x", effect = "maybe")`, nil, `failed invalid : http.post: effect: got "maybe", want read, repeatable or once at scripts/a.star:2:14`, []string{}},
		{"function as data", `http.post("x", json = f)`, nil, `failed invalid : http.post: json: a function (f) cannot be recorded at scripts/a.star:2:14`, []string{}},
		{"fail", `fail("no more")`, nil, `failed script failed: no more at scripts/a.star:2:9`, []string{}},
		{"fail is not caught", `attempt(lambda: fail("no more"))`, nil, `failed script failed: no more at scripts/a.star:2:25`, []string{}},
		{"endless loop", "while True:\n        x = len([])", nil, `failed script limit: more than 1000000 interpreter steps between two calls of the world at scripts/a.star:3:16`, nil},
		{"endless loop in attempt", "attempt(lambda: [x for x in range(10000000)])", nil, `failed script limit: more than 1000000 interpreter steps between two calls of the world at scripts/a.star:2:22`, nil},
		{"steps renew the bound", "for x in range(30):\n        print(x)\n        [y for y in range(50000)]", nil, `null`, nil},
		{"endless recursion", "f()", nil, `failed script limit: calls nested deeper than 2000 at scripts/a.star:2:5`, []string{}},
		{"change without connection", `unifi.block(mac = "x")`, nil, `null`, []string{"unifi.block"}},
		{"internal is hidden", `x = smtp`, nil, `problem`, nil},
		{"run", `return [run.id, run.link, run.bundle]`, nil, `["r0-1","https://soar.example.org/runs/r0-1","b1"]`, []string{}},
		{"fields", `return [field.text("why", multiline = True), field.choice("what", ["a", "b"], label = "What?", required = False), field.duration("long", max = "30d").max]`, nil,
			`[{"$":"struct","type":"field","v":{"kind":"text","multiline":true,"name":"why","required":true}},` +
				`{"$":"struct","type":"field","v":{"choices":["a","b"],"kind":"choice","label":"What?","name":"what","required":false}},{"$":"duration","v":2592000000000000}]`, []string{}},
		{"field name", `field.text("Why?")`, nil, `failed invalid : field.text: name: got "Why?", want small letters, digits and _ at scripts/a.star:2:15`, nil},
		{"field choices", `field.choice("a", ["x", "x"])`, nil, `failed invalid : field.choice: choices: got "x", want different strings at scripts/a.star:2:17`, nil},
		{"secret", `http.get("x", auth = secret("token"))`, nil, `null`, []string{"http.get"}},
		{"hmac is no step", `return hmac.sha256("Jefe", data = "what do ya want for nothing?")[:8] + hmac.sha512("k", "d")[:0]`, nil, `"5bdcc146"`, []string{}},
		{"hmac with a secret is one", `hmac.sha256(secret("token"), "x")`, nil, `null`, []string{"hmac.sha256"}},
		{"hmac with a secret by name", `hmac.sha256(data = "x", key = secret("token"))`, nil, `null`, []string{"hmac.sha256"}},
		{"hmac of nonsense", `hmac.sha256(3, "x")`, nil, `failed script : hmac.sha256: for parameter key: got int, want string or bytes at scripts/a.star:2:16`, []string{}},
		{"a word that only the door has", `hmac.equal(secret("token"), "x")`, nil, `failed script : hmac.equal: for parameter a: got secret, want string or bytes at scripts/a.star:2:15`, []string{}},
		{"secret is no string", `return "x" + secret("token")`, nil, `failed script : unknown binary op: string + secret at scripts/a.star:2:16`, nil},
		{"secret in json", `return json.encode({"x": secret("token")})`, nil, `failed invalid : json.encode: a secret has no JSON form at scripts/a.star:2:23`, nil},
		{"print", `print("a", 1, [2], sep = "-")`, nil, `null`, []string{"print"}},
		{"response", `r = http.get("x"); return [r.json()["a"], r.status, r == r, type(r)]`,
			map[string][]any{"http.get": {engine.Struct{Type: "http.response", Fields: map[string]engine.Value{"status": int64(200), "body": `{"a": [1]}`}}}},
			`[[1],200,true,"http.response"]`, nil},
		{"attempt value", `r = attempt(lambda: 3); return [r.ok, r.value, r.error]`, nil, `[true,3,null]`, []string{}},
		{"attempt error", `r = attempt(lambda: http.get("x")); return [r.ok, r.value, r.error.kind, r.error.message, r.error.cause, r.error.maybe]`,
			map[string][]any{"http.get": {down}}, `[false,null,"unavailable","http.get: refused","refused",true]`, []string{"http.get"}},
		{"attempt script error", `return attempt(lambda: 1 // 0).error.kind`, nil, `"script"`, nil},
		{"attempt wrong kind", `attempt(lambda: http.get("x"), catch = ["timeout"])`, map[string][]any{"http.get": {down}},
			`failed unavailable refused: http.get: refused at scripts/a.star:2:29`, nil},
		{"attempt catches", `return attempt(lambda: http.get("x"), catch = ["timeout", "unavailable"]).ok`, map[string][]any{"http.get": {down}}, `false`, nil},
		{"attempt unknown kind", `attempt(f, catch = ["timout"])`, nil, `failed invalid : attempt: catch: got "timout", want kinds of errors at scripts/a.star:2:12`, nil},
		{"attempt of a result", `attempt(now())`, nil, `failed invalid : attempt: fn: got None, want a function at scripts/a.star:2:12`, nil},
		{"attempt again", `return attempt(lambda: http.get("x"), tries = 3, backoff = "1m").value`, map[string][]any{"http.get": {down, down, int64(7)}}, `7`,
			[]string{"http.get", "sleep", "http.get", "sleep", "http.get"}},
		{"attempt gives up", `return attempt(lambda: http.get("x"), tries = 2).ok`, map[string][]any{"http.get": {down}}, `false`, []string{"http.get", "sleep", "http.get"}},
		{"attempt does not retry", `return attempt(lambda: http.get("x"), tries = 3).ok`, map[string][]any{"http.get": {engine.Errorf(engine.Denied, "no")}}, `false`, []string{"http.get"}},
		{"nested attempts", `return attempt(lambda: attempt(lambda: http.get("x"), tries = 2, backoff = "1s", catch = ["denied"]), tries = 2, backoff = "1s").ok`, map[string][]any{"http.get": {down}}, `false`,
			[]string{"http.get", "sleep", "http.get", "sleep", "http.get", "sleep", "http.get"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := loadFiles(map[string]string{"a.star": "def f():\n    " + tt.body + "\n"})
			if hasOtherProblems(b) {
				if tt.want != "problem" {
					t.Fatalf("problems: %v", formatProblems(b))
				}
				return
			}
			p := newPlay(t)
			p.answer = results(t, tt.by)
			if got := summary(p.on(b)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if tt.steps != nil {
				var got []string
				for _, s := range p.asked {
					got = append(got, s.Builtin)
				}
				equal(t, "steps", got, tt.steps)
			}
		})
	}
}

func summary(e wire.Ended) string {
	if e.Error == nil {
		return string(e.Value)
	}
	return e.Status + " " + string(e.Error.Kind) + " " + e.Error.Cause + ": " + e.Error.Message + " at " + e.Error.At
}

func TestBackoffDoubles(t *testing.T) {
	b := loadGood(t, "def f():\n    attempt(lambda: http.get(\"x\"), tries = 9, backoff = \"20m\")\n")
	p := newPlay(t)
	p.answer = results(t, map[string][]any{"http.get": {engine.Errorf(engine.Timeout, "slow")}})
	p.on(b)
	var got []time.Duration
	for _, s := range p.asked {
		if s.Builtin == "sleep" {
			args, _ := s.Args.Value()
			got = append(got, args.(map[string]engine.Value)["duration"].(time.Duration))
		}
	}
	m := time.Minute
	equal(t, "pauses", got, []time.Duration{20 * m, 40 * m, 60 * m, 60 * m, 60 * m, 60 * m, 60 * m, 60 * m})
}

// TestTimeout: steps of an attempt carry what is left of its time; that it is
// over is the supervisor's word.
func TestTimeout(t *testing.T) {
	b := loadGood(t, `
def f():
    http.get("before")
    r = attempt(lambda: [http.get("a"), attempt(lambda: http.get("b"), timeout = "1h"), http.get("c")], timeout = "60s", tries = 5)
    http.get("after")
    return r.error.kind
`)
	start := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	now := start
	p := newPlay(t)
	p.answer = func(s *wire.Step) wire.Answer {
		now = now.Add(20 * time.Second)
		switch a := (wire.Answer{Ended: now}); {
		case s.Builtin == "now":
			a.Result = engine.MustEncode(now)
			return a
		case s.Limit == 1:
			a.Error = engine.Errorf(engine.Timeout, "over")
			return a
		default:
			return a
		}
	}
	if got := summary(p.on(b)); got != `"timeout"` {
		t.Errorf("got %s", got)
	}
	var got []string
	for _, s := range p.asked {
		left := time.Duration(s.Limit)
		if left > 1 {
			left = left.Round(time.Second)
		}
		args, _ := s.Args.Value()
		url, _ := args.(map[string]engine.Value)["url"].(string)
		got = append(got, s.Builtin+" "+url+" "+left.String())
	}
	equal(t, "steps", got, []string{
		"http.get before 0s", "now  0s", "http.get a 1m0s", "now  40s", "http.get b 20s", "http.get c 1ns", "sleep  1ns", "http.get after 0s",
	})
}

func TestIncident(t *testing.T) {
	b := loadGood(t, `
def f(i):
    e = i.event
    fixed = [i.id, i.rule, i.type, i.title, i.link, str(i.opened), e.client, e["client"], e.fields["client"], e.kind, e["kind"], e.fields["kind"],
             e.get("x", 3), e.x, e["x"], e.source, str(e.time), str(i), "%s" % i == i.id]
    read = [i.severity, i.severity, i.fields, i.owner]
    i.note("text")
    return fixed + read + [hasattr(i, "nothing"), hasattr(i, "note")]
`)
	p := newPlay(t).incident()
	p.answer = results(t, map[string][]any{"incident.get": {"low", "high", map[string]engine.Value{"why": "x"}, nil}})
	ended := p.on(b)
	want := `["i0-7","netflix","streaming","Netflix","https://soar.example.org/incidents/i0-7","2026-11-22T08:00:00Z","192.0.2.7","192.0.2.7","192.0.2.7",` +
		`"dns","dns","its own",3,null,null,"eth1","2026-06-22T09:00:00+01:00","i0-7",true,"low","high",{"why":"x"},null,false,true]`
	if got := summary(ended); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	equal(t, "steps", p.calls(), []string{
		`incident.get {"incident":"i0-7","name":"severity"}`, `incident.get {"incident":"i0-7","name":"severity"}`,
		`incident.get {"incident":"i0-7","name":"fields"}`, `incident.get {"incident":"i0-7","name":"owner"}`,
		`incident.note {"incident":"i0-7","text":"text"}`,
	})
	replays(t, b, p)
}

func TestChange(t *testing.T) {
	b := loadGood(t, `
def allow(domain):
    http.post("https://resolver.example.org/", json = domain, effect = "repeatable")
    return {"was": None}

def forbid(done, domain):
    pass

def f():
    c = change("allow it", do = allow, undo = forbid, args = {"domain": "example.org"}, expires = "30d", why = "asked for")
    c.undo()
    unifi.block("home", mac = "x").undo()
`)
	p := newPlay(t)
	made := func(id string) engine.Struct {
		return engine.Struct{Type: changeType, Fields: map[string]engine.Value{"id": id}}
	}
	p.answer = results(t, map[string][]any{"unifi.block": {made("r0-1/4")}, "change.made": {made("r0-1/2")}})
	if got := summary(p.on(b)); got != "null" {
		t.Fatalf("got %s", got)
	}
	equal(t, "steps", p.calls(), []string{
		`http.post {"effect":"repeatable","json":"example.org","url":"https://resolver.example.org/"}`,
		`change.made {"args":{"domain":"example.org"},"do":{"$":"struct","type":"handler","v":{"file":"a.star","name":"allow"}},"done":{"was":null},` +
			`"expires":{"$":"duration","v":2592000000000000},"title":"allow it","undo":{"$":"struct","type":"handler","v":{"file":"a.star","name":"forbid"}},"why":"asked for"}`,
		`change.undo {"change":"r0-1/2"}`,
		`unifi.block {"connection":"home","mac":"x"}`,
		`change.undo {"change":"r0-1/4"}`,
	})
	if c := p.asked[0].Class; c != engine.Repeatable {
		t.Errorf("class: got %s, want repeatable", c)
	}
	replays(t, b, p)
}

func TestChangeWantsNamedFunctions(t *testing.T) {
	for call, want := range map[string]string{
		`change("x", do = lambda: 1, undo = g)`:                  "change: do: got a lambda, want a top-level def",
		`change("x", do = g, undo = g)`:                          "change: undo: g takes 0 arguments, but is called as g(done)",
		`change("x", do = g, undo = h, args = {"a": 1})`:         "change: undo: h has no parameter a, but is called as h(done, a = …)",
		`change("x", do = g, undo = h, args = {1: 1})`:           "change: args: got a dict whose keys are not all strings",
		`change("x", do = g, undo = h, args = {"a": lambda: 1})`: "change: args: a function (lambda) cannot be recorded",
	} {
		b := loadGood(t, "def g():\n    pass\ndef h(done):\n    pass\ndef f():\n    "+call+"\n")
		if got := newPlay(t).on(b); got.Error == nil || got.Error.Message != want {
			t.Errorf("%s: got %v, want %s", call, got.Error, want)
		}
	}
}

// TestValuesComeBack: what goes out as an argument comes back as the same value.
func TestValuesComeBack(t *testing.T) {
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	values := []engine.Value{
		nil, true, int64(-5), huge, 2.5, "text", "\xff\xfe", engine.Bytes("\x00\x01"), []engine.Value{int64(1), "x"}, engine.Tuple{int64(1)},
		engine.Set{int64(2), int64(1)}, map[string]engine.Value{"a": nil}, engine.Dict{{Key: int64(1), Value: "x"}},
		time.Date(2026, 11, 22, 8, 0, 0, 5, time.UTC), 90 * time.Second, engine.Struct{Fields: map[string]engine.Value{"a": int64(1)}},
		engine.Struct{Type: "http.response", Fields: map[string]engine.Value{"body": "x"}}, engine.Secret{Name: "s"},
		engine.PersonRef{Name: "dave", Email: "dave@example.org"}, engine.IncidentRef{ID: "i0-1"},
		engine.Struct{Type: eventType, Fields: map[string]engine.Value{"kind": "dns", "fields": map[string]engine.Value{}}},
	}
	b := loadGood(t, "def f(x):\n    http.post(\"x\", json = x)\n    return x\n")
	for _, v := range values {
		p := newPlay(t)
		p.run.First = engine.MustEncode([]engine.Value{v})
		want := string(engine.MustEncode(v))
		ended := p.on(b)
		if got := string(ended.Value); got != want && v != nil {
			t.Errorf("%v: got %s, want %s (%v)", v, got, want, ended.Error)
		}
	}
}

func FuzzValues(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.5,{"$":"duration","v":5}],"$":"x"}`))
	f.Add([]byte(`{"$":"dict","v":[[1,2],[{"$":"tuple","v":[]},null]]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := engine.Decode(text)
		if err != nil {
			return
		}
		c := &converter{bundle: &bundle{zone: time.UTC}}
		x, err := c.fromValue(v)
		if err != nil {
			return // a dict with a key that cannot be one
		}
		back, err := c.toValue(x)
		if err != nil {
			t.Fatalf("%s came in and not out: %v", text, err)
		}
		first, err1 := engine.Encode(back)
		y, err2 := c.fromData(first)
		if err1 != nil || err2 != nil {
			t.Fatalf("%s: %v, %v", text, err1, err2)
		}
		if _, err := starlark.Equal(x, y); err != nil && !strings.Contains(err.Error(), "depth") {
			t.Errorf("%s: comparing: %v", text, err)
		}
	})
}

func TestUnknownHandler(t *testing.T) {
	b := loadGood(t, "x = 1\n")
	for h, want := range map[engine.Handler]string{
		{File: "b.star", Name: "f"}: `handler f: the bundle has no file "b.star"`,
		{File: "a.star", Name: "x"}: `handler x: a.star has no such function`,
	} {
		p := newPlay(t)
		p.run.Handler = h
		if got := p.on(b); got.Status != endedFailed || got.Error.Message != want {
			t.Errorf("got %+v: %v, want %s", got, got.Error, want)
		}
	}
}

func TestTooManySteps(t *testing.T) {
	b := loadGood(t, "def f():\n    for x in range(20000):\n        now()\n")
	p := newPlay(t)
	got := p.on(b)
	if len(p.asked) != MaxSteps || got.Status != endedFailed || got.Error.Cause != causeLimit {
		t.Errorf("got %+v after %d steps", got, len(p.asked))
	}
}

func TestBacktrace(t *testing.T) {
	b := loadGood(t, "def g():\n    return http.get(3)\n\ndef f():\n    return attempt(lambda: g(), catch = [\"timeout\"])\n")
	want := `Traceback (most recent call last):
  scripts/a.star:5:19: in f
  <builtin>: in attempt
  scripts/a.star:5:29: in lambda
  scripts/a.star:2:20: in g
Error in http.get: http.get: url: got 3, want a string`
	if got := newPlay(t).on(b).Backtrace; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
