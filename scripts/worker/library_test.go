package worker

import (
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/wire"
)

func libraryPlay(t *testing.T, file, name string, args map[string]engine.Value) *play {
	p := newPlay(t).incident()
	p.run.Handler = engine.Handler{File: "@larkspur//" + file, Name: name}
	p.run.Args = engine.MustEncode(args)
	return p
}

// delivered is what smtp.deliver returns.
func delivered(refused ...engine.Value) engine.Struct {
	return engine.Struct{Type: "smtp.delivered", Fields: map[string]engine.Value{"id": "x@example.org", "accepted": []engine.Value{}, "refused": append([]engine.Value{}, refused...)}}
}

func TestLibraryIsGood(t *testing.T) {
	loadGood(t, "")
}

// noon answers the outbox's looks at the clock and at its question.
func noon(t *testing.T, by map[string][]any) func(*wire.Step) wire.Answer {
	if by["now"] == nil {
		by["now"] = []any{time.Date(2026, 6, 21, 12, 0, 0, 0, time.UTC)}
	}
	if by["question.waits"] == nil {
		by["question.waits"] = []any{waits("")}
	}
	return results(t, by)
}

func waits(unwanted string) map[string]engine.Value {
	return map[string]engine.Value{"unwanted": unwanted, "quorum": int64(0), "to": "dave", "inputs": []engine.Value{}, "reason": false}
}

func TestOutboxMail(t *testing.T) {
	b := loadGood(t, "")
	mail := map[string]engine.Value{"connection": "default", "to": []engine.Value{"dave@example.org"}, "subject": "Hello"}
	p := libraryPlay(t, "outbox.star", "mail", map[string]engine.Value{"mail": mail})
	p.answer = noon(t, map[string][]any{"smtp.deliver": {engine.Errorf(engine.Unavailable, "451 later"), delivered()}})
	if got := summary(p.on(b)); got != `null` {
		t.Errorf("got %s", got)
	}
	equal(t, "steps", p.calls(), []string{
		`smtp.deliver {"connection":"default","mail":{"connection":"default","subject":"Hello","to":["dave@example.org"]}}`,
		`now {}`,
		`mail.waits {"error":"451 later","next":{"$":"time","v":"2026-06-21T12:01:00Z"},"subject":"Hello","to":["dave@example.org"],"tries":1}`,
		`sleep {"duration":{"$":"duration","v":60000000000}}`,
		`smtp.deliver {"connection":"default","mail":{"connection":"default","subject":"Hello","to":["dave@example.org"]}}`,
	})
}

// TestOutboxGivesUp: after about two days of temporary refusals, or at the first
// permanent one, the run fails, and an incident of its own says so.
func TestOutboxGivesUp(t *testing.T) {
	b := loadGood(t, "")
	mail := map[string]engine.Value{"to": []engine.Value{"dave@example.org"}}
	for kind, tries := range map[engine.Kind]int{engine.Unavailable: 54, engine.Denied: 1} {
		p := libraryPlay(t, "outbox.star", "mail", map[string]engine.Value{"mail": mail})
		p.answer = noon(t, map[string][]any{"smtp.deliver": {engine.Errorf(kind, "no")}})
		ended := p.on(b)
		if ended.Status != endedFailed || ended.Error.Message != "mail to dave@example.org could not be delivered: no" {
			t.Errorf("%s: got %+v: %v", kind, ended, ended.Error)
		}
		var waited time.Duration
		count := map[string]int{}
		for _, s := range p.asked {
			count[s.Builtin]++
			if s.Builtin == "sleep" {
				args, _ := s.Args.Value()
				waited += args.(map[string]engine.Value)["duration"].(time.Duration)
			}
		}
		if count["smtp.deliver"] != tries || count["mail.waits"] != tries-1 || tries > 1 && (waited < 47*time.Hour || waited > 49*time.Hour) {
			t.Errorf("%s: got %v in %v, want %d tries", kind, count, waited, tries)
		}
		if count["incidents.open"] != 1 || count["incident.note"] != 1 {
			t.Errorf("%s: got %v, want an incident, and a note on the one that the mail is about", kind, count)
		}
	}
}

func TestOutboxWithoutIncident(t *testing.T) {
	b := loadGood(t, "")
	p := libraryPlay(t, "outbox.star", "mail", map[string]engine.Value{"mail": map[string]engine.Value{"to": []engine.Value{"x@example.org"}}})
	p.run.First, p.run.Incident = engine.MustEncode([]engine.Value{nil}), nil
	p.answer = noon(t, map[string][]any{"smtp.deliver": {engine.Errorf(engine.Denied, "no")}})
	if got := p.on(b); got.Status != endedFailed || len(p.asked) != 2 {
		t.Errorf("got %+v after %v", got, p.calls())
	}
	want := `incidents.open {"dedup":["x@example.org"],"fields":[["address","x@example.org"],["subject",""],["why","no"],["about",""],["run","r0-1"]],` +
		`"severity":"medium","title":"Mail for x@example.org could not be delivered","type":"undelivered-mail"}`
	if got := p.calls()[1]; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// asked is a question as the projector hands it to the outbox.
func asked() map[string]engine.Value {
	return map[string]engine.Value{
		"person": map[string]engine.Value{"name": "dave", "email": "dave@example.org"},
		"question": map[string]engine.Value{
			"id": "q0-1", "question": "Block it?\nIt is late.", "revision": int64(1), "details": []engine.Value{"seen twice"},
			"choices": []engine.Value{map[string]engine.Value{"name": "Allow", "consequence": ""}, map[string]engine.Value{"name": "Block", "consequence": "for 8 hours"}},
			"due":     time.Date(2026, 6, 22, 8, 0, 0, 0, time.UTC), "default": "Allow",
		},
	}
}

func TestOutboxQuestion(t *testing.T) {
	b := loadGood(t, "")
	for name, subject := range map[string]string{"question": "Block it?", "reminder": "Reminder: Block it?"} {
		p := libraryPlay(t, "outbox.star", name, asked())
		p.answer = noon(t, map[string][]any{
			"question.link": {engine.LinkSecret("q0-1", "dave", 1)}, "smtp.deliver": {delivered()},
			"incident.get": {map[string]engine.Value{"client": "192.0.2.7"}},
		})
		if got := summary(p.on(b)); got != `null` {
			t.Errorf("%s: got %s", name, got)
		}
		equal(t, name, p.calls(), []string{
			`question.waits {"person":"dave","question":"q0-1"}`,
			`incident.get {"incident":"i0-7","name":"fields"}`,
			`question.link {"person":"dave","question":"q0-1","revision":1}`,
			`smtp.deliver {"mail":{"buttons":[{"label":"Answer","note":"shows the question; nothing is decided before you answer there","url":{"$":"secret","v":"link:q0-1:1:dave"}}],` +
				`"details":["seen twice"],"references":"i0-7","sections":[{"details":["Allow","Block: for 8 hours"],"title":"What you can choose"},` +
				`{"text":"An answer is wanted by 2026-06-22 09:00 BST. Without one it is taken to be: Allow.","title":"Until when"},` +
				`{"details":["Netflix","incident i0-7","client: 192.0.2.7"],"title":"What it is about"}],` +
				`"subject":"` + subject + `","text":"Block it?\nIt is late.","to":["dave@example.org"]}}`,
		})
	}
}

// TestOutboxOfAStrangersQuestion: who is not of the house reads no facts.
func TestOutboxOfAStrangersQuestion(t *testing.T) {
	b := loadGood(t, "")
	args := asked()
	args["person"] = map[string]engine.Value{"name": "viewer@example.org", "email": "viewer@example.org"}
	p := libraryPlay(t, "outbox.star", "question", args)
	more := waits("")
	more["inputs"], more["reason"], more["quorum"], more["to"] = []engine.Value{"Why", "how_long"}, true, int64(2), "viewer@example.org, ana"
	p.answer = noon(t, map[string][]any{"question.waits": {more}, "question.link": {engine.LinkSecret("q0-1", "viewer@example.org", 1)}, "smtp.deliver": {delivered()}})
	p.on(b)
	calls := p.calls()
	mail := calls[len(calls)-1]
	for _, want := range []string{`{"details":["Why","how_long","a reason"],"title":"What you are asked for"}`, `2 of these have to say the same: viewer@example.org, ana.`, `"details":["Netflix","incident i0-7"]`} {
		if !strings.Contains(mail, want) {
			t.Errorf("got %s, want %s in it", mail, want)
		}
	}
	if strings.Contains(strings.Join(calls, "\n"), "incident.get") {
		t.Errorf("a stranger gets facts: %v", calls)
	}
}

// TestOutboxLetsGoOfWhatIsAnswered: a mail that waits for its server is not sent
// any more once its question is over.
func TestOutboxLetsGoOfWhatIsAnswered(t *testing.T) {
	b := loadGood(t, "")
	p := libraryPlay(t, "outbox.star", "question", asked())
	p.answer = noon(t, map[string][]any{
		"question.waits": {waits(""), waits("it was answered already")}, "incident.get": {map[string]engine.Value{}},
		"question.link": {engine.LinkSecret("q0-1", "dave", 1)}, "smtp.deliver": {engine.Errorf(engine.Unavailable, "451 later")},
	})
	if got := p.on(b); got.Status != endedDone {
		t.Errorf("got %+v: %v", got, got.Error)
	}
	calls := p.calls()
	if got, want := calls[len(calls)-1], `mail.unsent {"why":"it was answered already"}`; got != want || strings.Count(strings.Join(calls, "\n"), "smtp.deliver") != 1 {
		t.Errorf("got %v, want one try and %s", calls, want)
	}
}

func TestTakeBack(t *testing.T) {
	b := loadGood(t, "def forbid(done, host):\n    http.post(host, json = done)\n")
	byBuiltin := map[string]engine.Value{"id": "c0-1", "title": "block x", "builtin": "unifi.block", "args": map[string]engine.Value{"connection": "home", "mac": "x"},
		"handler": nil, "handler_args": nil, "done": nil}
	byHandler := map[string]engine.Value{"id": "c0-2", "title": "allow x", "builtin": nil, "args": nil, "done": map[string]engine.Value{"was": int64(1)},
		"handler":      engine.Struct{Fields: map[string]engine.Value{"file": "a.star", "name": "forbid"}},
		"handler_args": map[string]engine.Value{"host": "https://example.org/"}}
	for want, change := range map[string]engine.Value{
		`unifi.block {"connection":"home","mac":"x"}`:               byBuiltin,
		`http.post {"json":{"was":1},"url":"https://example.org/"}`: byHandler,
	} {
		p := libraryPlay(t, "undo.star", "take_back", map[string]engine.Value{"change": change})
		if got := p.on(b); got.Status != endedDone {
			t.Errorf("got %+v: %v", got, got.Error)
		}
		id := change.(map[string]engine.Value)["id"].(string)
		equal(t, "steps", p.calls(), []string{want, `change.settled {"change":"` + id + `"}`})
	}
	p := libraryPlay(t, "undo.star", "take_back", map[string]engine.Value{"change": byBuiltin})
	p.answer = func(s *wire.Step) wire.Answer {
		switch s.Builtin {
		case "sleep", "change.settled":
			return wire.Answer{}
		case "people.minders":
			return wire.Answer{Result: engine.MustEncode([]engine.Value{})}
		}
		return wire.Answer{Error: engine.Errorf(engine.Timeout, "slow")}
	}
	ended := p.on(b)
	if ended.Status != endedFailed || ended.Error.Message != "block x could not be taken back: slow" || len(p.asked) != 15 {
		t.Errorf("got %+v after %d steps", ended.Error, len(p.asked))
	}
}

func TestLibraryWordsAreTheLibrarys(t *testing.T) {
	b := loadFiles(map[string]string{"a.star": "def f():\n    inverse(\"http.get\", {})\n    resolve(None)\n"})
	if got := strings.Join(formatProblems(b), "\n"); !strings.Contains(got, "undefined: inverse") || !strings.Contains(got, "undefined: resolve") {
		t.Errorf("got %s", got)
	}
}

// TestOutboxSaysWhomTheServerRefuses: a mail that some get and others do not.
func TestOutboxSaysWhomTheServerRefuses(t *testing.T) {
	b := loadGood(t, "")
	refused := engine.Struct{Fields: map[string]engine.Value{"address": "gone@example.org", "message": "550 no such user"}}
	p := libraryPlay(t, "outbox.star", "mail", map[string]engine.Value{"mail": map[string]engine.Value{"to": []engine.Value{"dave@example.org", "gone@example.org"}}})
	p.answer = results(t, map[string][]any{"smtp.deliver": {delivered(refused)}})
	if got := p.on(b); got.Status != endedDone {
		t.Errorf("got %+v: %v", got, got.Error)
	}
	if want := `incident.note {"incident":"i0-7","text":"The mail server takes no mail for gone@example.org: 550 no such user"}`; p.calls()[1] != want {
		t.Errorf("got %s, want %s", p.calls()[1], want)
	}
}
