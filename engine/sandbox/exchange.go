package sandbox

import (
	"fmt"
	"time"

	"larkspur/engine"
	"larkspur/engine/wire"
)

// phase is whose turn it is in an exchange.
type phase int

const (
	computing phase = iota // the worker's
	waiting                // ours: all that it does waits for answers
	cancelled              // the worker's, to say that it is over
	over
)

// exchange is one numbered conversation with a worker: a run, or a question that
// has one answer (load, evaluate). Its fields below events are guarded by the
// worker's mu.
type exchange struct {
	number uint64
	opened string // the kind that opened it
	// events are what came and was not looked at: at most maxInFlight steps.
	events *wire.Queue[any]

	phase    phase
	asked    int         // steps that came
	answered int         // answers that were sent
	since    time.Time   // when the worker got its turn
	quiet    *time.Timer // kills a worker that computes for too long
	faking   int         // fakes of a test that are under way, one within the other
}

// maxInFlight bounds the steps of one call that have no answer: as many as a
// journal has.
const maxInFlight = 10_000

// take notes a message of the worker and hands it to whoever waits.
func (x *exchange) take(body any, silence time.Duration) {
	x.quiet.Stop()
	switch body := body.(type) {
	case *wire.Step:
		x.asked++
		if body.More {
			x.quiet.Reset(silence) // other branches compute
		} else {
			x.phase = waiting
		}
	case *wire.Rest:
		if body.Answered != x.answered {
			x.quiet.Reset(silence) // it crossed our answer
			return
		}
		x.phase = waiting
	case *wire.Faked:
		x.faking--
		x.phase = waiting
	default:
		x.phase = over
	}
	x.events.Put(body)
}

// reply decodes and checks one message of an exchange, in its phase.
func (x *exchange) reply(e wire.Envelope, signatures map[string]engine.Signature) (any, error) {
	var body any
	switch {
	case x.opened == wire.KindRun && e.Kind == wire.KindStep:
		body = &wire.Step{}
	case x.opened == wire.KindRun && e.Kind == wire.KindRest:
		body = &wire.Rest{}
	case x.opened == wire.KindRun && e.Kind == wire.KindEnded:
		body = &wire.Ended{}
	case x.opened == wire.KindTest && e.Kind == wire.KindStep:
		body = &wire.Step{}
	case x.opened == wire.KindTest && e.Kind == wire.KindFaked && x.faking > 0:
		body = &wire.Faked{}
	case x.opened == wire.KindTest && e.Kind == wire.KindEnded:
		body = &wire.Ended{}
	case x.opened == wire.KindLoad && e.Kind == wire.KindLoaded:
		body = &wire.Loaded{}
	case x.opened == wire.KindEvaluate && e.Kind == wire.KindEvaluated:
		body = &wire.Evaluated{}
	default:
		return nil, fmt.Errorf("%.40q in answer to %s", e.Kind, x.opened)
	}
	if x.phase != computing && x.phase != cancelled {
		return nil, fmt.Errorf("%s out of turn on call %d", e.Kind, x.number)
	}
	if err := wire.Decode(e.Body, body); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", e.Kind, err)
	}
	if step, ok := body.(*wire.Step); ok && x.opened == wire.KindRun { // the bench checks its own words
		if x.asked-x.answered >= maxInFlight {
			return nil, fmt.Errorf("more than %d steps without an answer", maxInFlight)
		}
		if err := checkStep(step, signatures); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// Bounds of a step's short texts.
const (
	maxPathBytes = 200
	maxAtBytes   = 1000
)

// checkStep holds a step against the signatures: a worker can ask for builtins
// that exist only, and cannot call an effect a read.
func checkStep(s *wire.Step, signatures map[string]engine.Signature) error {
	sig, ok := signatures[s.Builtin]
	switch {
	case !ok:
		return fmt.Errorf("a step of %.80q, which does not exist", s.Builtin)
	case len(s.Args) == 0 || s.Args[0] != '{': // the runner decodes them
		return fmt.Errorf("a step of %s whose arguments are no dict", s.Builtin)
	case s.Number < 1 || len(s.Path) > maxPathBytes || len(s.At) > maxAtBytes || len(s.Hash) > maxAtBytes || s.Limit < 0:
		return fmt.Errorf("a step of %s with a number, path or place that cannot be", s.Builtin)
	case s.Class == sig.Class:
	case !sig.EffectParam || !effectClass(s.Class):
		return fmt.Errorf("a step of %s with class %.20q", s.Builtin, s.Class)
	}
	return nil
}

func effectClass(c engine.Class) bool {
	return c == engine.Read || c == engine.Repeatable || c == engine.Once
}
