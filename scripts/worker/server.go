package worker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"larkspur/engine"
	"larkspur/engine/wire"
)

// server answers one supervisor.
type server struct {
	conn io.ReadWriter
	env  *environment
	work sync.WaitGroup

	sending sync.Mutex

	mu      sync.Mutex
	calls   map[uint64]*call
	tests   map[uint64]*testCall
	bundles map[string]*bundle
}

// Serve answers a supervisor until it closes the connection. contain is called
// after the first message, before anything of a script is touched; it says what
// is contained and what is missing.
func Serve(conn io.ReadWriter, contain func() (contained, missing []string)) error {
	return serve(conn, contain, nil)
}

// serve is Serve of a worker that writes to trace, if there is one, where its
// scripts are.
func serve(conn io.ReadWriter, contain func() (contained, missing []string), trace []byte) error {
	s := &server{conn: conn, calls: map[uint64]*call{}, tests: map[uint64]*testCall{}, bundles: map[string]*bundle{}}
	r := bufio.NewReaderSize(conn, 64<<10)
	if err := s.greet(r, contain); err != nil {
		return err
	}
	s.env.trace = trace
	defer s.end()
	for {
		e, err := wire.Read(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.receive(e)
		}
		if err != nil {
			return err
		}
	}
}

// greet reads hello and answers ready.
func (s *server) greet(r io.Reader, contain func() (contained, missing []string)) error {
	e, err := wire.Read(r)
	if err != nil {
		return err
	}
	var hello wire.Hello
	if e.Kind != wire.KindHello {
		return fmt.Errorf("worker: got %q, want hello first", e.Kind)
	}
	if err := json.Unmarshal(e.Body, &hello); err != nil {
		return fmt.Errorf("worker: hello: %w", err)
	}
	s.env = newEnvironment(hello)
	contained, missing := contain()
	return s.send(wire.KindReady, 0, wire.Ready{Interpreter: s.env.interpreter, Contained: contained, Missing: missing})
}

// end cancels what is open and waits for it.
func (s *server) end() {
	s.mu.Lock()
	for _, c := range s.calls {
		c.cancel()
	}
	for _, c := range s.tests {
		c.cancel()
	}
	s.mu.Unlock()
	s.work.Wait()
}

func (s *server) send(kind string, call uint64, body any) error {
	var frame bytes.Buffer
	if s.env.cover != nil {
		if news, some := s.env.cover.take(); some {
			if err := wire.Write(&frame, wire.KindCovered, 0, news); err != nil {
				return err
			}
		}
	}
	if err := wire.Write(&frame, kind, call, body); err != nil {
		return err
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	_, err := s.conn.Write(frame.Bytes())
	return err
}

// receive starts or moves what a message is about. Errors are of the protocol:
// they end the worker.
func (s *server) receive(e wire.Envelope) error {
	switch e.Kind {
	case wire.KindLoad:
		return begin(s, e, s.load)
	case wire.KindEvaluate:
		return begin(s, e, s.evaluate)
	case wire.KindRun:
		return s.run(e)
	case wire.KindTest:
		return s.test(e)
	case wire.KindAnswer:
		return s.answer(e)
	case wire.KindFake:
		return s.fake(e)
	case wire.KindCancel:
		s.mu.Lock()
		defer s.mu.Unlock()
		if c := s.calls[e.Call]; c != nil {
			c.cancel()
		}
		if c := s.tests[e.Call]; c != nil {
			c.cancel()
		}
		return nil
	case wire.KindForget:
		var f wire.Forget
		if err := json.Unmarshal(e.Body, &f); err != nil {
			return fmt.Errorf("worker: %s: %w", e.Kind, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.bundles, f.Bundle)
		return nil
	}
	return fmt.Errorf("worker: a message of unknown kind %.40q", e.Kind)
}

// begin decodes a message and works on it beside the reader.
func begin[T any](s *server, e wire.Envelope, work func(call uint64, body T)) error {
	var body T
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return fmt.Errorf("worker: %s: %w", e.Kind, err)
	}
	s.work.Go(func() { work(e.Call, body) })
	return nil
}

// panicked turns a panic, a mistake of ours, into an error of the call that met
// it.
func panicked(r any) *engine.Error {
	return engine.Errorf(engine.Internal, "the worker panicked: %v", r).WithHint("%s", cut(string(debug.Stack()), maxBacktraceBytes))
}

func (s *server) load(number uint64, l wire.Load) {
	var out wire.Loaded
	defer func() {
		if r := recover(); r != nil {
			p := panicked(r)
			out.Declarations.Problems = []engine.Problem{problemAt(engine.Position{File: "scripts", Line: 1, Col: 1}, "error", "internal", p.Message, p.Hint)}
		}
		_ = s.send(wire.KindLoaded, number, out) // a supervisor that is gone needs no answer
	}()
	b := load(s.env, l)
	out.Declarations = b.declarations
	out.Tests = b.tests()
	if out.Good() {
		s.mu.Lock()
		s.bundles[b.hash] = b
		s.mu.Unlock()
	}
}

func (s *server) bundle(hash string) *bundle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bundles[hash]
}

func (s *server) evaluate(number uint64, e wire.Evaluate) {
	var out wire.Evaluated
	defer func() {
		if r := recover(); r != nil {
			out.Verdicts = make([]wire.Verdict, len(e.Items))
			for i := range out.Verdicts {
				out.Verdicts[i].Error = panicked(r)
			}
		}
		_ = s.send(wire.KindEvaluated, number, out)
	}()
	b := s.bundle(e.Bundle)
	if b == nil {
		out.Unknown = true
		return
	}
	out = evaluate(s.env, b, e)
}

// run opens a call; it is known before the next message is read.
func (s *server) run(e wire.Envelope) error {
	var run wire.Run
	if err := wire.Decode(e.Body, &run); err != nil {
		return fmt.Errorf("worker: %s: %w", e.Kind, err)
	}
	b := s.bundle(run.Bundle)
	if b == nil {
		err := engine.Errorf(engine.Internal, "bundle %.12s is not loaded in this worker", run.Bundle)
		return s.send(wire.KindEnded, e.Call, wire.Ended{Status: endedFailed, Error: err})
	}
	c := newCall(s.env, b, run, func(kind string, body any) error { return s.send(kind, e.Call, body) })
	s.mu.Lock()
	if s.calls[e.Call] != nil {
		s.mu.Unlock()
		return fmt.Errorf("worker: call %d is open already", e.Call)
	}
	s.calls[e.Call] = c
	s.mu.Unlock()
	s.work.Go(func() { s.execute(e.Call, c) })
	return nil
}

func (s *server) execute(number uint64, c *call) {
	var ended wire.Ended
	defer func() {
		if r := recover(); r != nil {
			ended = wire.Ended{Status: endedFailed, Error: panicked(r)}
		}
		s.mu.Lock()
		delete(s.calls, number)
		s.mu.Unlock()
		if err := s.send(wire.KindEnded, number, ended); err != nil {
			_ = s.send(wire.KindEnded, number, wire.Ended{Status: endedFailed, Error: engine.WrapError(engine.Invalid, err, "the run's result")})
		}
	}()
	ended = c.execute()
}

// answer hands over the result of a step that a call waits for.
func (s *server) answer(e wire.Envelope) error {
	var a wire.Answer
	if err := wire.Decode(e.Body, &a); err != nil {
		return fmt.Errorf("worker: %s: %w", e.Kind, err)
	}
	s.mu.Lock()
	c, t := s.calls[e.Call], s.tests[e.Call]
	s.mu.Unlock()
	switch {
	case t != nil && !t.give(a):
		return fmt.Errorf("worker: a second answer on call %d", e.Call)
	case t != nil, c == nil:
		return nil // it is given, or the call ended by itself
	}
	c.answers.Put(a)
	return nil
}

// test opens a call that executes a test.
func (s *server) test(e wire.Envelope) error {
	var test wire.Test
	if err := json.Unmarshal(e.Body, &test); err != nil {
		return fmt.Errorf("worker: %s: %w", e.Kind, err)
	}
	b := s.bundle(test.Bundle)
	if b == nil {
		err := engine.Errorf(engine.Internal, "bundle %.12s is not loaded in this worker", test.Bundle)
		return s.send(wire.KindEnded, e.Call, wire.Ended{Status: endedFailed, Error: err})
	}
	c := newTestCall(s.env, b, test, func(kind string, body any) error { return s.send(kind, e.Call, body) })
	s.mu.Lock()
	s.tests[e.Call] = c
	s.mu.Unlock()
	s.work.Go(func() { s.executeTest(e.Call, c) })
	return nil
}

func (s *server) executeTest(number uint64, c *testCall) {
	var ended wire.Ended
	defer func() {
		if r := recover(); r != nil {
			ended = wire.Ended{Status: endedFailed, Error: panicked(r)}
		}
		s.mu.Lock()
		delete(s.tests, number)
		s.mu.Unlock()
		_ = s.send(wire.KindEnded, number, ended) // a supervisor that is gone needs no answer
	}()
	ended = c.execute()
}

// fake hands over the wish for a fake, in place of an answer.
func (s *server) fake(e wire.Envelope) error {
	var f wire.Fake
	if err := json.Unmarshal(e.Body, &f); err != nil {
		return fmt.Errorf("worker: %s: %w", e.Kind, err)
	}
	s.mu.Lock()
	c := s.tests[e.Call]
	s.mu.Unlock()
	if c != nil && !c.give(f) {
		return fmt.Errorf("worker: a fake out of turn on call %d", e.Call)
	}
	return nil
}

// cancel ends the call at its next instruction or step. The server's mu must be
// held.
func (c *call) cancel() {
	select {
	case <-c.gone:
	default:
		close(c.gone)
		c.turns.thread.Load().Cancel("the call was cancelled")
	}
}
