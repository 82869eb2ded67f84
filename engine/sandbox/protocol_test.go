package sandbox

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/wire"
)

// TestProtocol: what a worker may not send, by the state of its call.
func TestProtocol(t *testing.T) {
	p, err := Open(Config{Hello: wire.Hello{Signatures: []engine.Signature{
		{Name: "http.get", Class: engine.Read}, {Name: "ssh.run", Class: engine.Once, EffectParam: true},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, opened string
		phase        phase
		kind, body   string
		want         string // part of the error, "" for none
	}{
		{"step", wire.KindRun, computing, wire.KindStep, `{"n":1,"builtin":"http.get","class":"read","args":{}}`, ""},
		{"effect", wire.KindRun, computing, wire.KindStep, `{"n":1,"builtin":"ssh.run","class":"repeatable","args":{}}`, ""},
		{"step of a branch", wire.KindRun, computing, wire.KindStep, `{"n":1,"more":true,"path":"1.0","builtin":"http.get","class":"read","args":{}}`, ""},
		{"rest", wire.KindRun, computing, wire.KindRest, `{"answered":0}`, ""},
		{"rest that crosses an answer", wire.KindRun, computing, wire.KindRest, `{"answered":7}`, ""},
		{"rest out of turn", wire.KindRun, waiting, wire.KindRest, `{"answered":0}`, "out of turn"},
		{"rest of a load", wire.KindLoad, computing, wire.KindRest, `{}`, `"rest" in answer to load`},
		{"ended", wire.KindRun, computing, wire.KindEnded, `{"status":"done"}`, ""},
		{"crossing", wire.KindRun, cancelled, wire.KindStep, `{"n":1,"builtin":"http.get","class":"read","args":{}}`, ""},
		{"out of turn", wire.KindRun, waiting, wire.KindStep, `{"n":1,"builtin":"http.get","class":"read","args":{}}`, "out of turn"},
		{"ended out of turn", wire.KindRun, waiting, wire.KindEnded, `{}`, "out of turn"},
		{"loaded for a run", wire.KindRun, computing, wire.KindLoaded, `{}`, `"loaded" in answer to run`},
		{"step for a load", wire.KindLoad, computing, wire.KindStep, `{}`, `"step" in answer to load`},
		{"no JSON", wire.KindRun, computing, wire.KindStep, `[]`, "decoding step"},
		{"unknown builtin", wire.KindRun, computing, wire.KindStep, `{"n":1,"builtin":"os.system","args":{}}`, `a step of "os.system", which does not exist`},
		{"milder class", wire.KindRun, computing, wire.KindStep, `{"n":1,"builtin":"http.get","class":"pure","args":{}}`, `class "pure"`},
		{"no class", wire.KindRun, computing, wire.KindStep, `{"n":1,"builtin":"ssh.run","class":"pure","args":{}}`, `class "pure"`},
		{"number", wire.KindRun, computing, wire.KindStep, `{"n":0,"builtin":"http.get","class":"read","args":{}}`, "cannot be"},
		{"arguments", wire.KindRun, computing, wire.KindStep, `{"n":1,"builtin":"http.get","class":"read","args":[]}`, "are no dict"},
		{"word of a test", wire.KindTest, computing, wire.KindStep, `{"n":1,"builtin":"t.fake","args":{}}`, ""},
		{"a fake that nobody wants", wire.KindTest, computing, wire.KindFaked, `{}`, `"faked" in answer to test`},
		{"a fake of a run", wire.KindRun, computing, wire.KindFaked, `{}`, `"faked" in answer to run`},
		{"coverage that nobody wants", wire.KindTest, computing, wire.KindCovered, `{}`, "which nobody asked for"},
		{"long path", wire.KindRun, computing, wire.KindStep, `{"n":1,"path":"` + strings.Repeat("x", 300) + `","builtin":"http.get","class":"read","args":{}}`, "cannot be"},
	}
	for _, tt := range tests {
		w := &worker{pool: p, exchanges: map[uint64]*exchange{}}
		x := &exchange{number: 1, opened: tt.opened, phase: tt.phase, events: wire.NewQueue[any](), quiet: time.AfterFunc(time.Hour, func() {})}
		w.exchanges[1] = x
		err := w.receive(wire.Envelope{Kind: tt.kind, Call: 1, Body: json.RawMessage(tt.body)})
		x.quiet.Stop()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	w := &worker{pool: p, exchanges: map[uint64]*exchange{}}
	if err := w.receive(wire.Envelope{Kind: wire.KindEnded, Call: 9}); err == nil || !strings.Contains(err.Error(), "call 9, which is not open") {
		t.Errorf("a call that is not open: got %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(Config{MaxDataBytes: 1 << 20}); engine.KindOf(err) != engine.Invalid {
		t.Errorf("got %v, want invalid", err)
	}
}

func TestLaunchRefuses(t *testing.T) {
	for _, args := range [][]string{nil, {"x"}, {"1", "2"}} {
		if err := Launch(args); err == nil || !strings.HasPrefix(err.Error(), LaunchCommand+": ") {
			t.Errorf("%v: got %v", args, err)
		}
	}
}
