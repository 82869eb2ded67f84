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

func TestOutboxMail(t *testing.T) {
	b := loadGood(t, "")
	mail := map[string]engine.Value{"connection": "default", "to": []engine.Value{"dave@example.org"}, "subject": "Hello"}
	p := libraryPlay(t, "outbox.star", "mail", map[string]engine.Value{"mail": mail})
	p.answer = results(t, map[string][]any{"smtp.deliver": {engine.Errorf(engine.Unavailable, "451 later"), delivered()}})
	if got := summary(p.on(b)); got != `null` {
		t.Errorf("got %s", got)
	}
	equal(t, "steps", p.calls(), []string{
		`smtp.deliver {"connection":"default","mail":{"connection":"default","subject":"Hello","to":["dave@example.org"]}}`,
		`sleep {"duration":{"$":"duration","v":60000000000}}`,
		`smtp.deliver {"connection":"default","mail":{"connection":"default","subject":"Hello","to":["dave@example.org"]}}`,
	})
}

// TestOutboxGivesUp: after about two days of temporary refusals, or at the first
// permanent one, the run fails.
func TestOutboxGivesUp(t *testing.T) {
	b := loadGood(t, "")
	mail := map[string]engine.Value{"to": []engine.Value{"dave@example.org"}}
	for kind, tries := range map[engine.Kind]int{engine.Unavailable: 54, engine.Denied: 1} {
		p := libraryPlay(t, "outbox.star", "mail", map[string]engine.Value{"mail": mail})
		p.answer = results(t, map[string][]any{"smtp.deliver": {engine.Errorf(kind, "no")}})
		ended := p.on(b)
		if ended.Status != endedFailed || ended.Error.Message != "mail to dave@example.org could not be delivered: no" {
			t.Errorf("%s: got %+v: %v", kind, ended, ended.Error)
		}
		var waited time.Duration
		delivered := 0
		for _, s := range p.asked {
			switch s.Builtin {
			case "smtp.deliver":
				delivered++
			case "sleep":
				args, _ := s.Args.Value()
				waited += args.(map[string]engine.Value)["duration"].(time.Duration)
			}
		}
		if delivered != tries || tries > 1 && (waited < 47*time.Hour || waited > 49*time.Hour) {
			t.Errorf("%s: got %d tries in %v, want %d", kind, delivered, waited, tries)
		}
	}
}

func TestOutboxWithoutIncident(t *testing.T) {
	b := loadGood(t, "")
	p := libraryPlay(t, "outbox.star", "mail", map[string]engine.Value{"mail": map[string]engine.Value{"to": []engine.Value{"x@example.org"}}})
	p.run.First, p.run.Incident = engine.MustEncode([]engine.Value{nil}), nil
	p.answer = results(t, map[string][]any{"smtp.deliver": {engine.Errorf(engine.Denied, "no")}})
	if got := p.on(b); got.Status != endedFailed || len(p.asked) != 1 {
		t.Errorf("got %+v after %v", got, p.calls())
	}
}

func TestOutboxQuestion(t *testing.T) {
	b := loadGood(t, "")
	p := libraryPlay(t, "outbox.star", "question", map[string]engine.Value{
		"person": map[string]engine.Value{"name": "dave", "email": "dave@example.org"},
		"question": map[string]engine.Value{
			"id": "q0-1", "question": "Block it?\nIt is late.", "revision": int64(1), "details": []engine.Value{"seen twice"},
			"choices": []engine.Value{map[string]engine.Value{"name": "Allow", "consequence": ""}, map[string]engine.Value{"name": "Block", "consequence": "for 8 hours"}},
			"due":     time.Date(2026, 6, 22, 8, 0, 0, 0, time.UTC), "default": "Allow",
		},
	})
	p.answer = results(t, map[string][]any{"question.link": {engine.LinkSecret("q0-1", "dave", 1)}, "smtp.deliver": {delivered()}})
	if got := summary(p.on(b)); got != `null` {
		t.Errorf("got %s", got)
	}
	equal(t, "steps", p.calls(), []string{
		`question.link {"person":"dave","question":"q0-1","revision":1}`,
		`smtp.deliver {"mail":{"buttons":[{"label":"Answer","note":"shows the question; the answer is given there","url":{"$":"secret","v":"link:q0-1:1:dave"}}],` +
			`"details":["seen twice","Allow","Block: for 8 hours"],"references":"i0-7","subject":"Block it?",` +
			`"text":"Block it?\nIt is late.\n\nAn answer is wanted by 2026-06-22 09:00 BST. Without one it is taken to be: Allow.","to":["dave@example.org"]}}`,
	})
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
