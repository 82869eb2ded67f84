package worker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/wire"
	"larkspur/scripts/library"
)

// testHello knows a few builtins of every kind, as the runner and builtins/
// declare them.
func testHello() wire.Hello {
	text := func(name string) engine.Param { return engine.Param{Name: name, Kind: "text"} }
	need := func(name, kind string) engine.Param { return engine.Param{Name: name, Kind: kind, Required: true} }
	sign := func(name string, class engine.Class, positional int, params ...engine.Param) engine.Signature {
		return engine.Signature{Name: name, Class: class, Positional: positional, Params: params, Version: 1}
	}
	get := sign("http.get", engine.Read, 1, need("url", "text"), engine.Param{Name: "timeout", Kind: "duration", Default: engine.MustEncode(30 * time.Second)},
		engine.Param{Name: "headers", Kind: "dict"}, engine.Param{Name: "auth", Kind: "secret|tuple|list"})
	post := sign("http.post", engine.Once, 1, need("url", "text"), engine.Param{Name: "json", Kind: "any"})
	post.EffectParam = true
	block := sign("unifi.block", engine.Once, 0, need("mac", "text"))
	block.Connection, block.Change = "unifi", true
	deliver := sign("smtp.deliver", engine.Repeatable, 2, engine.Param{Name: "connection", Kind: "connection"}, need("mail", "dict"))
	deliver.Connection, deliver.Internal = "smtp", true
	settled := sign("change.settled", engine.Repeatable, 2, need("change", "text"), engine.Param{Name: "error", Kind: "text"})
	minders := sign("people.minders", engine.Read, 0)
	settled.Internal, minders.Internal = true, true
	link := sign("question.link", engine.Read, 3, need("question", "text"), need("person", "text"), need("revision", "int"))
	link.Internal = true
	waits := sign("question.waits", engine.Read, 2, need("question", "text"), need("person", "text"))
	mailWaits := sign("mail.waits", engine.Repeatable, 5, need("to", "list"), need("subject", "text"), need("error", "text"), need("tries", "int"), need("next", "time"))
	unsent := sign("mail.unsent", engine.Repeatable, 1, need("why", "text"))
	opened := sign("incidents.open", engine.Repeatable, 1, need("title", "text"), need("severity", "text"), need("type", "text"), need("dedup", "any"), need("fields", "pairs"))
	waits.Internal, mailWaits.Internal, unsent.Internal, opened.Internal = true, true, true, true
	made := sign("change.made", engine.Repeatable, 0)
	made.Internal = true
	undo := sign("change.undo", engine.Repeatable, 0)
	undo.Internal = true
	return wire.Hello{
		Engine: "test", HashKeys: map[string][]byte{"k1": []byte("one"), "k2": []byte("two")}, HashKey: "k2",
		MaxTicks: 1_000_000, MaxEvaluateTicks: 100_000,
		Signatures: []engine.Signature{
			sign("state.get", engine.Read, 2, need("key", "text"), engine.Param{Name: "default", Kind: "any"}),
			sign("state.set", engine.Repeatable, 3, need("key", "text"), need("value", "any"), engine.Param{Name: "expires", Kind: "duration|time"}),
			waits, mailWaits, unsent, opened,
			sign("parallel", engine.Read, 0), sign("now", engine.Read, 0), sign("print", engine.Read, 1, need("text", "text")),
			sign("sleep", engine.Repeatable, 1, engine.Param{Name: "duration", Kind: "duration"}, engine.Param{Name: "until", Kind: "time"}),
			sign("expect", engine.Repeatable, 1, need("trigger", "trigger")),
			sign("ask", engine.Repeatable, 2, need("to", "person|list"), need("question", "text"), engine.Param{Name: "choices", Kind: "pairs"},
				engine.Param{Name: "fields", Kind: "list"}, engine.Param{Name: "timeout", Kind: "duration"}, engine.Param{Name: "default", Kind: "text"}),
			sign("incident.get", engine.Read, 2, need("incident", "text"), need("name", "text")),
			sign("incident.set", engine.Repeatable, 2, need("incident", "text"), need("fields", "pairs")),
			sign("incident.note", engine.Repeatable, 2, need("incident", "text"), need("text", "text")),
			sign("incident.close", engine.Repeatable, 2, need("incident", "text"), need("reason", "text"), text("code"), engine.Param{Name: "quiet", Kind: "duration"}),
			sign("incident.timer", engine.Repeatable, 2, need("incident", "text"), need("name", "text")),
			sign("timer.start", engine.Repeatable, 5, need("incident", "text"), need("name", "text"), need("limit", "duration"), engine.Param{Name: "on_breach", Kind: "breach"}, text("hours")),
			sign("timer.stop", engine.Repeatable, 2, need("incident", "text"), need("name", "text")),
			sign("hmac.sha256", engine.Read, 2, need("key", "text|bytes|secret"), need("data", "text|bytes|secret"), text("encoding")),
			get, post, block, deliver, link, made, undo, settled, minders,
		},
	}
}

// testNames are the names that check knows.
func testNames() map[string][]string {
	return map[string][]string{"unifi": {"home"}, "smtp": {"default"}, "people": {"dave", "ana"}, "teams": {"family"}, "calendars": {"office"}}
}

// loadFiles loads scripts, with the shipped library beside them.
func loadFiles(files map[string]string) *bundle {
	all := library.Own()
	for path, text := range files {
		if !strings.HasPrefix(path, libraryPrefix) {
			path = scriptsFolder + path
		}
		all[path] = text
	}
	return load(newEnvironment(testHello()), wire.Load{Bundle: engine.Bundle{Hash: "b1", Files: all}, Names: testNames(), Timezone: "Europe/London"})
}

// loadGood loads one script that must have no problems, but for wrong calls: a
// run must find those, too.
func loadGood(t testing.TB, source string) *bundle {
	t.Helper()
	b := loadFiles(map[string]string{"a.star": source})
	if hasOtherProblems(b) {
		t.Fatalf("problems: %v", formatProblems(b))
	}
	return b
}

// hasOtherProblems leaves wrong calls aside.
func hasOtherProblems(b *bundle) bool {
	return slices.ContainsFunc(b.declarations.Problems, func(p engine.Problem) bool { return p.Check != callCheck })
}

func formatProblems(b *bundle) []string {
	var list []string
	for _, p := range b.declarations.Problems {
		line := fmt.Sprintf("%s:%d:%d: %s: %s", p.File, p.Line, p.Col, p.Severity, p.Message)
		if p.Hint != "" {
			line += " | " + p.Hint
		}
		list = append(list, line)
	}
	return list
}

// play runs f of a bundle, answering each step.
type play struct {
	t      testing.TB
	run    wire.Run
	answer func(*wire.Step) wire.Answer
	steps  []engine.Step // what was performed, as a journal has it
	asked  []wire.Step
	hello  wire.Hello
}

func newPlay(t testing.TB) *play {
	return &play{t: t, hello: testHello(), answer: func(*wire.Step) wire.Answer { return wire.Answer{} }, run: wire.Run{
		Run: "r0-1", Bundle: "b1", Link: "https://soar.example.org/runs/r0-1", Handler: engine.Handler{File: "a.star", Name: "f"},
	}}
}

// incident gives f an incident that a DNS event opened.
func (p *play) incident() *play {
	p.run.First = engine.MustEncode([]engine.Value{engine.IncidentRef{ID: "i0-7"}})
	p.run.Incident = &wire.Incident{
		ID: "i0-7", Rule: "netflix", Type: "streaming", Title: "Netflix", Link: "https://soar.example.org/incidents/i0-7",
		Opened: engine.MustEncode(time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)),
		Event: engine.MustEncode(map[string]engine.Value{
			"id": "e0-1", "time": time.Date(2026, 6, 22, 8, 0, 0, 0, time.UTC), "kind": "dns", "source": "eth1",
			"fields": map[string]engine.Value{"client": "192.0.2.7", "kind": "its own", "answers": []engine.Value{"x"}},
		}),
	}
	return p
}

// on runs the bundle to its end.
func (p *play) on(b *bundle) wire.Ended {
	p.t.Helper()
	var c *call
	c = newCall(newEnvironment(p.hello), b, p.run, func(kind string, body any) error {
		if kind != wire.KindStep {
			return nil
		}
		s := body.(wire.Step)
		a := p.answer(&s)
		a.Path, a.Number = s.Path, s.Number
		status := engine.StepDone
		if a.Error != nil {
			status = engine.StepFailed
		}
		p.asked = append(p.asked, s)
		p.steps = append(p.steps, engine.Step{
			Path: s.Path, Number: s.Number, Builtin: s.Builtin, At: s.At, Args: s.Args, Hash: s.Hash, Ticks: s.Ticks,
			Status: status, Result: a.Result, Error: a.Error, Ended: a.Ended,
		})
		c.answers.Put(a)
		return nil
	})
	return c.execute()
}

// calls lists the steps as "builtin args".
func (p *play) calls() []string {
	list := make([]string, len(p.asked))
	for i, s := range p.asked {
		list[i] = s.Builtin + " " + string(s.Args)
	}
	return list
}

// results answers steps by their builtin, in order; errors are *engine.Error.
func results(t testing.TB, by map[string][]any) func(*wire.Step) wire.Answer {
	return func(s *wire.Step) wire.Answer {
		list := by[s.Builtin]
		if len(list) == 0 {
			return wire.Answer{}
		}
		if len(list) > 1 {
			by[s.Builtin] = list[1:]
		}
		if e, ok := list[0].(*engine.Error); ok {
			return wire.Answer{Error: e}
		}
		return wire.Answer{Result: engine.MustEncode(list[0])}
	}
}

func equal[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot  %v\nwant %v", what, got, want)
	}
}

func wireLoad(files map[string]string, names map[string][]string) wire.Load {
	return wire.Load{Bundle: engine.Bundle{Hash: "b1", Files: files}, Names: names}
}
