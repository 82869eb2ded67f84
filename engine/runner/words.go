package runner

import (
	"context"
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/wire"
)

// word is a control word: a step that the runner performs itself, because it
// touches nothing but the ledger.
type word struct {
	engine.Signature
	perform func(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error)
}

// Signatures returns the signatures of the control words, for the worker.
func Signatures() []engine.Signature {
	list := make([]engine.Signature, 0, len(wordList()))
	for _, w := range wordList() {
		list = append(list, w.Signature)
	}
	return list
}

var words = func() map[string]word {
	m := map[string]word{}
	for _, w := range wordList() {
		m[w.Name] = w
	}
	return m
}()

func p(name, kind string) engine.Param { return engine.Param{Name: name, Kind: kind} }

func required(name, kind string) engine.Param {
	return engine.Param{Name: name, Kind: kind, Required: true}
}

func fallback(name, kind string, v engine.Value) engine.Param {
	return engine.Param{Name: name, Kind: kind, Default: engine.MustEncode(v)}
}

// wordList is the one list of control words.
func wordList() []word {
	return append(slices.Concat(incidentsWords(), timerWords(), mailWords()), []word{
		{sign("now", engine.Read, "The time, recorded; it never goes back."), performNow},
		{internal(sign("parallel", engine.Read, "Begins branches that take turns.", required("branches", "int"), required("at_once", "int"))), performParallel},
		{internal(sign("continue_as", engine.Repeatable, "Goes on in a new run, with a fresh journal.", required("fn", "any"), required("args", "dict"))), performContinue},
		{sign("print", engine.Read, "Writes a line to the run's log.", required("text", "text")), performPrint},
		{sign("today", engine.Read, "The day's beginning in the workspace's zone, recorded."), performToday},
		{sign("random.int", engine.Read, "A number from low to high, both included; recorded.", required("low", "int"), required("high", "int")), performRandom},
		{sign("random.float", engine.Read, "A number from 0 to below 1, recorded."), performRandom},
		{sign("random.choice", engine.Read, "One of the items, recorded.", required("items", "list")), performRandom},
		{sign("random.shuffle", engine.Read, "The items in another order, recorded.", required("items", "list")), performRandom},
		{sign("state.get", engine.Read, "What state.set keeps under a key, else default.", required("key", "text"), p("default", "any")), performStateGet},
		{sign("state.set", engine.Repeatable, "Keeps a value between runs; None removes it.", required("key", "text"), required("value", "any"), p("expires", "duration|time")), performStateSet},
		{positional(2, sign("metric", engine.Repeatable, "Records a value: charted, and in /metrics.", required("name", "text"), required("value", "number|bool|duration"), p("labels", engine.KindKeywords))), performMetric},
		{sign("ask", engine.Repeatable, "Asks people and waits for an answer.",
			required("to", "person|list"), required("question", "text"), p("choices", "pairs"), p("fields", "list"), p("details", "list"),
			p("timeout", "duration"), p("default", "text"), p("remind", "duration"), p("quorum", "int"), fallback("why", "bool", false), p("proof", "text"),
			p("sla", "duration"), p("on_breach", "breach")), performAsk},
		{sign("sleep", engine.Repeatable, "Waits, without memory.", p("duration", "duration"), p("until", "time")), performSleep},
		{sign("lock", engine.Repeatable, "Waits until nobody else holds the lock, and holds it until release() or the run's end.", required("name", "text"), p("timeout", "duration")), performLock},
		{expectSignature(), performExpect},
		{internal(sign("expect.wait", engine.Repeatable, "Waits for an event that is expected.", required("step", "text"))), performExpected},
		{internal(sign("lock.release", engine.Repeatable, "Gives a lock up.", required("step", "text"))), performRelease},
		{internal(sign("change.made", engine.Repeatable, "Puts a change in force.",
			required("title", "text"), required("undo", "any"), required("args", "dict"), p("done", "any"), p("expires", "duration|time"), p("why", "text"))), performChange},
		{internal(sign("change.undo", engine.Repeatable, "Takes back the change that a step made.", required("change", "text"))), performUndo},
		{internal(sign("change.settled", engine.Repeatable, "Says of a change that it is taken back, or why it could not be.", required("change", "text"), p("error", "text"))), performSettled},
		{internal(sign("people.addresses", engine.Read, "Lists the addresses of those who mind the box; none while mail cannot be sent.")), performAddresses},
		{internal(sign("page.link", engine.Read, "Returns the address of a page.", required("page", "text"))), performPageLink},
		{internal(sign("people.minders", engine.Read, "Lists who is asked when something has to be minded.")), performMinders},
		{internal(sign("incident.get", engine.Read, "Reads what may change about an incident.", required("incident", "text"), required("name", "text"))), performGet},
		{sign("incident.set", engine.Repeatable, "Sets summary facts.", required("incident", "text"), required("fields", "pairs")), performIncident},
		{sign("incident.note", engine.Repeatable, "Adds a note.", required("incident", "text"), required("text", "text")), performIncident},
		{sign(attachWord, engine.Repeatable, "Puts a file on the incident: a text, bytes, or what a builtin returns as attachment; at most 25 MB.",
			required("incident", "text"), required("name", "text"), required("data", "attachment")), performAttach},
		{sign("incident.indicator", engine.Repeatable, "Puts a value that was seen on the incident, with a verdict and who says so.",
			required("incident", "text"), required("value", "text"), fallback("verdict", "text", "unknown"), p("source", "text|list")), performIndicator},
		{sign("incident.close", engine.Repeatable, "Closes the incident.", required("incident", "text"), required("reason", "text"),
			fallback("code", "text", "resolved"), p("quiet", "duration")), performIncident},
		{sign("incident.assign", engine.Repeatable, "Gives the incident to a person, a team, or somebody of a team: pick is less-busy or random.", required("incident", "text"),
			required("person_or_team", "person"), p("pick", "pick")), performIncident},
		{sign("incident.escalate", engine.Repeatable, "Sets the severity.", required("incident", "text"), required("severity", "text")), performIncident},
		{sign("incident.reopen", engine.Repeatable, "Opens the incident again.", required("incident", "text"), fallback("reason", "text", "")), performIncident},
		{sign("incident.wait", engine.Repeatable, "Waits until the incident is assigned, touched, closed or answered; False when time is over.",
			required("incident", "text"), required("until", "text"), p("timeout", "duration")), performAwait},
		{buttonSignature(), performButton},
		{internal(sign("limit.settle", engine.Repeatable, "Says what becomes of what a rule's limit holds.",
			required("rule", "text"), required("go_on", "bool"), required("by", "text"), p("why", "text"))), performLimit},
		{internal(sign("question.link", engine.Read, "Makes a person's link to a question.", required("question", "text"), required("person", "text"), required("revision", "int"))), performLink},
	}...)
}

func sign(name string, class engine.Class, doc string, params ...engine.Param) engine.Signature {
	return engine.Signature{Name: name, Doc: doc, Class: class, Params: params, Positional: len(params), Version: 1}
}

func expectSignature() engine.Signature {
	s := sign("expect", engine.Repeatable, "Has the run wait for an event from now on: .wait() returns it, or None when time is over.",
		required("trigger", "trigger"), p("timeout", "duration"), p("take", "bool"))
	s.Positional = 2
	return s
}

// positional says how many of the parameters may be given without their names.
func positional(n int, s engine.Signature) engine.Signature {
	s.Positional = n
	return s
}

func internal(s engine.Signature) engine.Signature {
	s.Internal = true
	return s
}

func performNow(_ context.Context, c *carrier, s *wire.Step, _ map[string]engine.Value) (wire.Answer, verdict, error) {
	return c.answer(c.describe(s), c.moment(), nil)
}

// moment is the time as a run sees it: it never goes back.
func (c *carrier) moment() time.Time {
	if now := c.r.cfg.Clock.Now(); now.After(c.last) {
		c.last = now
	}
	return c.last
}

func performPrint(_ context.Context, c *carrier, s *wire.Step, _ map[string]engine.Value) (wire.Answer, verdict, error) {
	return c.answer(c.describe(s), nil, nil) // the arguments are the line
}

func performSleep(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	until, ok := args["until"].(time.Time)
	if d, isSpan := args["duration"].(time.Duration); isSpan {
		until, ok = c.r.cfg.Clock.Now().Add(d), true
	}
	if !ok {
		return c.refuse(s, engine.Errorf(engine.Invalid, `sleep: got neither a duration nor until, want sleep("180s") or sleep(until = t)`))
	}
	start := c.startOf(s)
	c.due(s, &start, until)
	return c.wait(ctx, s, start, "until "+start.Until.Format(time.RFC3339))
}

// due gives a step the moment at which its time is over, zero for never: an
// attempt's, where that is earlier.
func (c *carrier) due(s *wire.Step, start *record.StepStarted, until time.Time) {
	if limit := c.r.cfg.Clock.Now().Add(time.Duration(s.Limit)); s.Limit > 0 && (until.IsZero() || limit.Before(until)) {
		until, start.Limited = limit, true
	}
	if !until.IsZero() {
		start.Until = until.UTC()
	}
}

// after is the moment at which a span that a script gave is over, zero for none.
func (c *carrier) after(v engine.Value) (until time.Time) {
	if d, ok := v.(time.Duration); ok {
		until = c.r.cfg.Clock.Now().Add(d)
	}
	return until
}

// wait starts a step that ends from outside, and parks the run in it, or has its
// branch wait while others go on. Where somebody else closed the incident, the step
// ends with its start, and the run takes another turn. The start is written in one
// frame with the records that go with it.
func (c *carrier) wait(ctx context.Context, s *wire.Step, start record.StepStarted, what string, with ...ledger.New) (wire.Answer, verdict, error) {
	id := engine.StepID(s.Path, s.Number)
	c.outside[id] = waiting{s, what}
	if _, again := c.started[id]; again {
		if s.More {
			return wire.Answer{}, underway, nil
		}
		v, err := c.park(ctx)
		return wire.Answer{}, v, err
	}
	c.hold(newRecord(record.StepStartedKind, start))
	for _, n := range with {
		c.hold(n)
	}
	if mayEndAtOnce(start) {
		if ended, v, err := c.soon(ctx, id); ended {
			return wire.Answer{}, v, err
		}
	}
	if s.More {
		if ok, err := c.flush(ctx); !ok || err != nil {
			return wire.Answer{}, parked, err
		}
		return wire.Answer{}, underway, nil
	}
	v, err := c.park(ctx)
	return wire.Answer{}, v, err
}
