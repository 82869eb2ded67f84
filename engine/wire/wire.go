// Package wire holds the messages between the supervisor and a worker process,
// and their framing on the socket pair that joins them.
//
// A message is a frame: four bytes of length (big endian), then one JSON object,
// {"kind": …, "call": …, "body": …}. Either side may send at any time. Call
// numbers are chosen by the supervisor and join what belongs together; 0 is the
// connection itself. What comes from a worker is outside data: bounded, checked,
// never trusted.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"larkspur/engine"
)

// MaxMessageBytes bounds one message either way.
const MaxMessageBytes = 64 << 20

// Kinds of messages. Supervisor to worker: hello, load, run, test, fake, answer,
// evaluate, cancel, forget. Worker to supervisor: ready, loaded, step, rest,
// faked, ended, evaluated, covered.
const (
	KindHello     = "hello"     // Hello; the first message
	KindReady     = "ready"     // Ready; answers hello when the worker is contained
	KindLoad      = "load"      // Load
	KindLoaded    = "loaded"    // Loaded
	KindRun       = "run"       // Run; opens a call
	KindStep      = "step"      // Step; wants an answer
	KindRest      = "rest"      // Rest; all branches of a call wait for answers
	KindAnswer    = "answer"    // Answer
	KindEnded     = "ended"     // Ended; closes a call
	KindCancel    = "cancel"    // no body; the worker throws the call away and sends Ended once its thread is gone
	KindForget    = "forget"    // Forget; on call 0
	KindEvaluate  = "evaluate"  // Evaluate
	KindEvaluated = "evaluated" // Evaluated
	KindTest      = "test"      // Test; opens a call, whose steps are words of the bench
	KindFake      = "fake"      // Fake; instead of an answer: the test's own function is asked first
	KindFaked     = "faked"     // Faked
	KindCovered   = "covered"   // Covered; on call 0, before the message that it goes with
)

// Envelope is one message as it travels.
type Envelope struct {
	Kind string          `json:"kind"`
	Call uint64          `json:"call,omitempty"`
	Body json.RawMessage `json:"body,omitempty"`
}

// Hello introduces the supervisor.
type Hello struct {
	Engine     string             `json:"engine"` // Larkspur's version
	Signatures []engine.Signature `json:"signatures"`
	// HashKeys are the ledger's keys for argument hashes by name; HashKey is the
	// one that new hashes name.
	HashKeys map[string][]byte `json:"hash_keys"`
	HashKey  string            `json:"hash_key"`
	// MaxTicks bounds one run's interpreter steps between two calls of the world;
	// MaxEvaluateTicks those of one where, dedup or top level.
	MaxTicks         uint64 `json:"max_ticks"`
	MaxEvaluateTicks uint64 `json:"max_evaluate_ticks"`
	// Cover makes the worker say which lines of scripts it executed.
	Cover bool `json:"cover,omitempty"`
}

// Ready says how the worker contained itself.
type Ready struct {
	Interpreter string   `json:"interpreter"` // go.starlark.net's version
	Contained   []string `json:"contained"`   // "seccomp", "landlock", …
	Missing     []string `json:"missing,omitempty"`
}

// Load hands over a bundle: it is parsed, its top levels are executed.
// Names hold what check verifies besides: connections by their section ("unifi",
// "ssh", …), "people", "teams". nil Names verify nothing, for the pinned bundle
// of a run that goes on after a connection was renamed.
type Load struct {
	Bundle   engine.Bundle       `json:"bundle"`
	Names    map[string][]string `json:"names,omitempty"`
	Timezone string              `json:"timezone"`
	// Places are where the entries of the playbooks block stand, by number and key
	// ("0", "0.url"), for findings.
	Places map[string]engine.Position `json:"places,omitempty"`
	// Tests are the workspace's *_test.star files by path, where they are wanted.
	// They are no part of the bundle: a mistake in one does not spoil it.
	Tests map[string]string `json:"tests,omitempty"`
}

// Loaded answers Load. With a problem of severity error the bundle is not kept.
type Loaded struct {
	Declarations engine.Declarations `json:"declarations"`
	// Unknown is set when a run or evaluate names a bundle that was not loaded.
	Unknown bool `json:"unknown,omitempty"`
	// Tests are the test functions of the test files that have no errors.
	Tests []engine.Test `json:"tests,omitempty"`
}

// Good says whether the bundle was kept: it has no errors, its tests aside.
func (l Loaded) Good() bool {
	for _, p := range l.Declarations.Problems {
		if p.Severity == "error" && !engine.IsTestFile(p.File) {
			return false
		}
	}
	return true
}

// Forget drops a loaded bundle; calls in flight keep theirs.
type Forget struct {
	Bundle string `json:"bundle"`
}

// Run starts or goes on with a run: the function is executed from the top, and
// steps in the journal answer at once.
type Run struct {
	Run        string          `json:"run"`
	Generation int             `json:"generation"`
	Bundle     string          `json:"bundle"` // hash of a loaded bundle
	Handler    engine.Handler  `json:"handler"`
	Args       engine.Data     `json:"args,omitempty"`  // a dict
	First      engine.Data     `json:"first,omitempty"` // a list: positional arguments before args (an incident reference, a change's done)
	Incident   *Incident       `json:"incident,omitempty"`
	Link       string          `json:"link"` // the run's page
	Rule       string          `json:"rule,omitempty"`
	Mode       string          `json:"mode"`
	Journal    []engine.Step   `json:"journal,omitempty"`
	People     []engine.Person `json:"people,omitempty"`
	// Interpreter that the journal was written with; tick counts are compared
	// under an equal one only. Empty for a new run.
	Interpreter string `json:"interpreter,omitempty"`
}

// Incident is what never changes about an incident, answered without a step;
// all else is read through incident.get.
type Incident struct {
	ID     string      `json:"id"`
	Rule   string      `json:"rule,omitempty"`
	Type   string      `json:"type"`
	Title  string      `json:"title"`
	Opened engine.Data `json:"opened"` // a time
	Link   string      `json:"link"`
	// Event is the event that opened it: a dict with id, time, kind, source and
	// fields (a dict).
	Event engine.Data `json:"event,omitempty"`
}

// Step asks the supervisor to perform the next step of a call.
type Step struct {
	Path    string       `json:"path"`
	Number  int          `json:"n"`
	Builtin string       `json:"builtin"`
	Version int          `json:"version"`
	Class   engine.Class `json:"class"` // after `effect =`
	At      string       `json:"at"`    // file:line:col
	Args    engine.Data  `json:"args"`  // a dict of all parameters; "connection", "expires", "why", "effect" among them
	Hash    string       `json:"hash"`
	Ticks   uint64       `json:"ticks"`
	// From is the first step, in the same path, of those that made a change.
	From int `json:"from,omitempty"`
	// Limit is what is left of an enclosing attempt's timeout in nanoseconds;
	// 0 is none.
	Limit int64 `json:"limit,omitempty"`
	// More is set inside parallel: other branches go on, and more steps may come
	// before the answer, until the call rests. Without it the call waits.
	More bool `json:"more,omitempty"`
}

// Rest says that all branches of a call wait. Answered is how many answers the
// call has taken: one that is under way makes it go on.
type Rest struct {
	Answered int `json:"answered"`
}

// Answer is the result of the step Path/Number. Exactly one of Result and Error
// counts. Branches of a call go on in the order of its answers.
type Answer struct {
	Path   string        `json:"path,omitempty"`
	Number int           `json:"n"`
	Result engine.Data   `json:"result,omitempty"`
	Error  *engine.Error `json:"error,omitempty"`
	// Ended is when the step ended: the worker tells by it what is left of an
	// enclosing attempt's timeout.
	Ended time.Time `json:"ended,omitzero"`
}

// AnswerOf is the answer that the result of a recorded step is.
func AnswerOf(s *engine.Step) Answer {
	a := Answer{Path: s.Path, Number: s.Number, Ended: s.Ended}
	switch {
	case s.Status != engine.StepFailed:
		a.Result = s.Result
	case s.Error != nil:
		a.Error = s.Error
	default:
		a.Error = engine.Errorf(engine.Internal, "%s failed; its error was erased", s.Builtin)
	}
	return a
}

// Ended closes a call.
type Ended struct {
	// Status: done, failed, diverged, or cancelled after Cancel.
	Status string      `json:"status"`
	Value  engine.Data `json:"value,omitempty"`
	// Step is the first one that is not the recorded one, of a run that diverged.
	Step string `json:"step,omitempty"`
	// Error has At and, in Message for script errors, the sentence a person
	// reads; Backtrace is the call stack.
	Error     *engine.Error `json:"error,omitempty"`
	Backtrace string        `json:"backtrace,omitempty"`
}

// Evaluate asks the worker for `where` and `dedup` functions, in one batch.
type Evaluate struct {
	Bundle string `json:"bundle"`
	Items  []Item `json:"items"`
}

// Item is one question of Evaluate. Event is a dict as in Incident.Event.
type Item struct {
	Rule    string      `json:"rule"`
	Trigger int         `json:"trigger"` // index in the rule's When; for dedup -1
	Event   engine.Data `json:"event"`
}

// Evaluated answers Evaluate, item by item.
type Evaluated struct {
	Verdicts []Verdict `json:"verdicts"`
	Unknown  bool      `json:"unknown,omitempty"` // the bundle is not loaded
}

// Verdict is a where's truth or a dedup's key.
type Verdict struct {
	Match bool          `json:"match,omitempty"`
	Key   engine.Data   `json:"key,omitempty"`
	Error *engine.Error `json:"error,omitempty"`
}

// Test executes a test function. Its calls of t are Steps, which the supervisor's
// bench answers; before it answers it may ask for fakes.
type Test struct {
	Bundle string          `json:"bundle"` // hash of a bundle that was loaded with its tests
	File   string          `json:"file"`
	Name   string          `json:"name"`
	People []engine.Person `json:"people,omitempty"`
}

// Fake asks a test for what its function number Function makes of a call.
// Arguments are those of the builtin by name; the first Positional of Order may
// be given by position.
type Fake struct {
	Function   int         `json:"function"`
	Builtin    string      `json:"builtin"`
	Args       engine.Data `json:"args"` // a dict
	Order      []string    `json:"order"`
	Positional int         `json:"positional"`
}

// Faked answers Fake.
type Faked struct {
	Result engine.Data   `json:"result,omitempty"`
	Error  *engine.Error `json:"error,omitempty"` // the function failed
	At     string        `json:"at"`              // where the function stands
}

// Covered lists lines of scripts by path: those that hold a statement, and those
// of them that were executed since the message before.
type Covered struct {
	Lines   map[string][]int `json:"lines,omitempty"`
	Reached map[string][]int `json:"reached,omitempty"`
}

// coded are the messages of runs.
var coded = engine.NewCodec(Envelope{}, Run{}, Step{}, Answer{}, Ended{}, Evaluate{}, Evaluated{})

// Decode decodes the body of a message into what into points to, which is zero.
func Decode(body []byte, into any) error { return coded.Unmarshal(body, into) }

// Write sends one message. Not safe for concurrent use on one writer.
func Write(w io.Writer, kind string, call uint64, body any) error {
	frame, err := coded.Append(make([]byte, 4, 1024), Envelope{Kind: kind, Call: call})
	if err == nil && body != nil {
		frame, err = coded.Append(append(frame[:len(frame)-1], `,"body":`...), body)
		frame = append(frame, '}')
	}
	if err != nil {
		return fmt.Errorf("wire: encoding %s: %w", kind, err)
	}
	size := len(frame) - 4
	if size > MaxMessageBytes {
		return engine.Errorf(engine.Invalid, "wire: a %s message of %d bytes, at most %d", kind, size, MaxMessageBytes)
	}
	binary.BigEndian.PutUint32(frame, uint32(size))
	_, err = w.Write(frame)
	return err
}

// Read receives one message; io.EOF at a clean end.
func Read(r io.Reader) (Envelope, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return Envelope{}, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > MaxMessageBytes {
		return Envelope{}, engine.Errorf(engine.Invalid, "wire: a message of %d bytes, at most %d", n, MaxMessageBytes)
	}
	b, err := readBody(r, int(n))
	if err != nil {
		return Envelope{}, io.ErrUnexpectedEOF
	}
	var e Envelope
	if err := coded.Unmarshal(b, &e); err != nil {
		return Envelope{}, fmt.Errorf("wire: decoding: %w", err)
	}
	return e, nil
}

// firstChunkBytes is how much of a long message is believed before it came.
const firstChunkBytes = 64 << 10

// readBody reads n bytes without allocating more than twice what did arrive, so
// that a length alone costs nothing.
func readBody(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, min(n, firstChunkBytes))
	for have := 0; ; {
		if _, err := io.ReadFull(r, b[have:]); err != nil {
			return nil, err
		}
		if have = len(b); have == n {
			return b, nil
		}
		b = append(b, make([]byte, min(n-have, have))...)
	}
}
