package runner

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/sandbox"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// verdict says how a run goes on after a step.
type verdict int

const (
	goOn      verdict = iota // answer the worker
	underway                 // the answer comes later; other branches go on
	parked                   // the run waits, or was stopped: throw the call away
	turnAgain                // what it waits for came meanwhile: replay
)

// carrier carries one run once: from its journal to where it waits or ends.
// What needs no disk at once (reads, words of our own, the result of an effect
// while the next step is a blink away) is held in pending, and written in the
// frame of the next effect, park or end. A crash before that replays it.
type carrier struct {
	r        *Runner
	run      engine.Run
	pending  []ledger.New
	held     int                    // bytes of pending
	facts    int                    // bytes of facts in pending
	evidence int                    // attachments and indicators in pending
	effects  bool                   // pending holds the result of an effect
	blobs    []string               // that records in pending name
	started  map[string]engine.Step // steps with a start and no result, by place
	steps    int                    // in the journal
	last     time.Time              // what now() returned last
	place    uint64                 // where what was written last stands in the ledger

	call     *sandbox.Call
	answered int       // answers that the worker was sent
	ready    []*errand // to be begun when the call rests
	away     []*errand // in the world
	errands  sync.WaitGroup
	outside  map[string]waiting // steps of branches that end from outside, by place
}

// What is held is written before it outgrows a frame.
const (
	maxPendingBytes   = 128 << 10
	maxPendingRecords = 500
)

// maxArgsBytes bounds the arguments of a step (LANGUAGE section 3): a record and
// what is projected from it fit a transaction.
const maxArgsBytes = 64 << 10

// errAwaitsLock is why a run does not begin yet that was restarted while others hold
// its locks.
var errAwaitsLock = errors.New("it waits for a lock that it held")

// begin loads what the worker needs.
func (c *carrier) begin(ctx context.Context) (wire.Run, error) {
	if err := c.r.bundle(ctx, c.run.Bundle); err != nil {
		return wire.Run{}, err
	}
	switch ready, err := c.retake(ctx); {
	case err != nil:
		return wire.Run{}, err
	case !ready:
		return wire.Run{}, errAwaitsLock
	}
	journal, err := c.journal(ctx)
	if err != nil {
		return wire.Run{}, err
	}
	c.steps = len(journal)
	for _, s := range journal {
		if s.Status == engine.StepStarted {
			c.started[engine.StepID(s.Path, s.Number)] = s
		}
		if s.Builtin == "now" && s.Status == engine.StepDone {
			c.remember(s.Result)
		}
	}
	return c.request(journal)
}

// request is what the worker needs to execute the run with a journal.
func (c *carrier) request(journal []engine.Step) (wire.Run, error) {
	if err := c.r.readJournal(journal); err != nil {
		return wire.Run{}, err
	}
	for n := range journal {
		c.alien(&journal[n])
	}
	start := wire.Run{
		Run: c.run.ID, Generation: c.run.Generation, Bundle: c.run.Bundle, Handler: c.run.Handler, Args: c.run.Args,
		Link: c.r.cfg.Link("runs/" + c.run.ID), Rule: c.run.Rule, Mode: c.run.Mode, Journal: journal,
		People: c.r.cfg.People().List(), Interpreter: c.r.cfg.Pool.Interpreter(),
	}
	return start, c.addIncident(&start)
}

// alien takes from a step what cannot be equal: where another bundle stood when it
// made it, and all but the builtin of one whose result a person gave.
func (c *carrier) alien(s *engine.Step) {
	if s.Given {
		s.Hash, s.Args, s.At, s.Ticks = "", nil, "", 0
	}
	if s.Generation != 0 && c.run.BundleOf(s.Generation) != c.run.Bundle {
		s.At, s.Ticks = "", 0
	}
}

func (c *carrier) remember(now engine.Data) {
	if v, err := now.Value(); err == nil {
		if t, ok := v.(time.Time); ok && t.After(c.last) {
			c.last = t
		}
	}
}

// addIncident hands over the incident as the function's first argument.
func (c *carrier) addIncident(start *wire.Run) error {
	if c.run.Purpose == state.PurposeJob {
		return nil // do(**args)
	}
	if c.run.Incident == "" {
		start.First = engine.MustEncode([]engine.Value{nil})
		return nil
	}
	i, err := c.r.cfg.State.Incident(c.run.Incident)
	if err != nil {
		return err
	}
	start.First = engine.MustEncode([]engine.Value{engine.IncidentRef{ID: i.ID}})
	start.Incident = &wire.Incident{
		ID: i.ID, Rule: i.Rule, Type: i.Type, Title: i.Title, Opened: engine.MustEncode(i.Opened),
		Link: c.r.cfg.Link("incidents/" + i.ID),
	}
	if c.run.Event == "" {
		return nil
	}
	opening := c.run.Event
	if c.run.Purpose == state.PurposeAttach { // more(i, e)
		opening = i.Event
		if err := c.addEvent(start); err != nil {
			return err
		}
	}
	e, err := c.r.cfg.State.Event(opening)
	if err != nil {
		return err
	}
	start.Incident.Event, err = EventData(e)
	return err
}

// addEvent hands over the run's event as the function's second argument.
func (c *carrier) addEvent(start *wire.Run) error {
	e, err := c.r.cfg.State.Event(c.run.Event)
	if err == nil {
		start.First, err = engine.Encode([]engine.Value{engine.IncidentRef{ID: c.run.Incident}, eventValue(e)})
	}
	return err
}

// EventData encodes an event as a script gets it: a dict with id, time, kind,
// source and fields.
func EventData(e engine.Event) (engine.Data, error) {
	fields := e.Fields
	if fields == nil {
		fields = map[string]engine.Value{}
	}
	return engine.Encode(map[string]engine.Value{
		"id": e.ID, "time": e.Time, "kind": e.Kind, "source": e.Source, "fields": fields,
	})
}

// cannotBegin fails a run whose bundle cannot be used any more, and stops one
// whose journal cannot be read; other faults are ours, and the run is tried again.
func (c *carrier) cannotBegin(ctx context.Context, err error) error {
	e := engine.AsError(err)
	if e.Kind != engine.Script && e.Kind != engine.NotFound {
		return err
	}
	if e.Cause == causeVersion {
		return c.end(ctx, engine.RunDiverged, e, "")
	}
	return c.end(ctx, engine.RunFailed, e, "")
}

// step performs one step, or parks the run in it.
func (c *carrier) step(ctx context.Context, s *wire.Step) (wire.Answer, verdict, error) {
	if _, again := c.started[engine.StepID(s.Path, s.Number)]; !again {
		c.steps++
	}
	if c.steps > c.r.cfg.MaxSteps {
		return wire.Answer{Error: &engine.Error{
			Kind: engine.Script, Cause: "limit", At: s.At, Message: "a run may have " + itoa(c.r.cfg.MaxSteps) + " steps",
			Hint: "continue_as(fn, args) goes on with a fresh journal",
		}}, goOn, nil
	}
	if c.held > maxPendingBytes || len(c.pending) >= maxPendingRecords {
		if ok, err := c.flush(ctx); !ok || err != nil {
			return wire.Answer{}, parked, err
		}
	}
	if len(s.Args) > maxArgsBytes && s.Builtin != attachWord {
		return c.tooLarge(s)
	}
	args, err := decodeArgs(s.Args)
	if err != nil {
		return c.refuse(s, engine.AsError(err))
	}
	if w, ok := words[s.Builtin]; ok {
		return w.perform(ctx, c, s, args)
	}
	b, ok := c.r.cfg.Builtins.Lookup(s.Builtin)
	if !ok {
		return c.refuse(s, engine.Errorf(engine.Invalid, "%s: this version has no such builtin", s.Builtin))
	}
	if s.Class == engine.Read {
		return c.read(ctx, s, b, args)
	}
	if c.run.Mode == modeShadow {
		return c.answer(c.describe(s), c.shadowResult(s, b.Signature), nil)
	}
	return c.effect(ctx, s, b, args)
}

func decodeArgs(d engine.Data) (map[string]engine.Value, error) {
	v, err := d.Value()
	if err != nil {
		return nil, err
	}
	args, _ := v.(map[string]engine.Value)
	if args == nil {
		args = map[string]engine.Value{}
	}
	return args, nil
}

// refuse records an error as the step's result.
func (c *carrier) refuse(s *wire.Step, e *engine.Error) (wire.Answer, verdict, error) {
	return c.answer(c.describe(s), nil, e)
}

// tooLarge refuses a step whose arguments no record holds. Their hash stands in
// the journal for them.
func (c *carrier) tooLarge(s *wire.Step) (wire.Answer, verdict, error) {
	done := c.describe(s)
	done.Args = nil
	e := engine.Errorf(engine.Invalid, "%s: %d bytes of arguments, at most %d", s.Builtin, len(s.Args), maxArgsBytes)
	return c.answer(done, nil, asStepError(e, s))
}

// describe begins a step_done that carries the step's whole description.
func (c *carrier) describe(s *wire.Step) record.StepDone {
	return record.StepDone{
		Run: c.run.ID, Generation: c.run.Generation, Path: s.Path, Number: s.Number, Builtin: s.Builtin,
		Version: s.Version, Class: s.Class, At: s.At, Args: s.Args, Hash: s.Hash, Ticks: s.Ticks,
	}
}

// brief begins the step_done of a step that has a step_started.
func (c *carrier) brief(s *wire.Step) record.StepDone {
	done := record.StepDone{Run: c.run.ID, Generation: c.run.Generation, Path: s.Path, Number: s.Number}
	if old, again := c.started[engine.StepID(s.Path, s.Number)]; again && old.Version != s.Version {
		done.Version = s.Version // an older program began it
	}
	return done
}

// maxResultBytes: larger results lie as blobs.
const maxResultBytes = 16 << 10

// answer holds a result in pending and returns what the worker gets: the decoded
// form of what is recorded.
func (c *carrier) answer(done record.StepDone, value engine.Value, failure *engine.Error) (wire.Answer, verdict, error) {
	a := wire.Answer{Error: failure, Ended: c.r.cfg.Clock.Now()}
	if failure == nil {
		var err error
		if a.Result, err = engine.Encode(value); err != nil {
			a.Error = engine.AsError(err)
		}
	}
	done.Result, done.Error = a.Result, a.Error
	if len(done.Result) > maxResultBytes {
		sum, err := c.r.cfg.State.KeepBlob(done.Result)
		if err != nil {
			return wire.Answer{}, parked, err
		}
		done.Blob, done.Result = sum, nil
		c.blobs = append(c.blobs, sum)
	}
	c.hold(newRecord(record.StepDoneKind, done))
	return a, goOn, nil
}

func (c *carrier) hold(n ledger.New) {
	c.pending = append(c.pending, n)
	c.held += len(n.Payload)
}

// forget drops what is pending: it is written, or never will be.
func (c *carrier) forget() {
	for _, sum := range c.blobs {
		c.r.cfg.State.ReleaseBlob(sum)
	}
	c.pending, c.held, c.blobs = nil, 0, nil
}

// write appends what is pending and more, as one frame, and returns the outcome
// of the last record.
func (c *carrier) write(ctx context.Context, more ...ledger.New) (record.Outcome, error) {
	written, err := c.append(ctx, more...)
	if err != nil || len(written) == 0 {
		return record.Outcome{Applied: err == nil}, err
	}
	return outcomeOf(written[len(written)-1])
}

// append does so, and returns the records. On a full disk it waits for room: a
// run that was given up would forget what it has done.
func (c *carrier) append(ctx context.Context, more ...ledger.New) ([]ledger.Record, error) {
	shard, _, _ := engine.ParseID('r', c.run.ID)
	records := append(c.pending, more...)
	if len(records) == 0 {
		return nil, nil
	}
	// What a run has done is written even when the appliance stops meanwhile.
	written, err := c.r.cfg.Ledger.Append(context.WithoutCancel(ctx), shard, records...)
	for engine.NoRoom(err) && c.r.cfg.Clock.Sleep(ctx, pauseAfterFault) == nil {
		written, err = c.r.cfg.Ledger.Append(context.WithoutCancel(ctx), shard, records...)
	}
	if err != nil {
		return nil, err
	}
	c.forget()
	c.facts, c.evidence, c.effects = 0, 0, false
	c.place = written[len(written)-1].Header.Record + 1
	return written, nil
}

// flush writes what is pending; false when the run may not go on (it was ended
// or restarted by somebody else).
func (c *carrier) flush(ctx context.Context) (bool, error) {
	o, err := c.write(ctx)
	if err == nil && !o.Applied {
		slog.Info("a run was stopped from outside", "run_id", c.run.ID, "why", o.Why)
	}
	return o.Applied, err
}

// died counts a worker's death against the run, if the run is suspected of it.
func (c *carrier) died(ctx context.Context, cause error) error {
	var death *sandbox.Death
	if !errors.As(cause, &death) || !death.Suspect {
		return nil // another run's fault: replay
	}
	if !c.effects {
		c.forget() // reads are done again
	}
	_, err := c.write(ctx, newRecord(record.WorkerDiedKind, record.WorkerDied{
		Run: c.run.ID, Generation: c.run.Generation, Why: cause.Error(), At: death.At, Cause: death.Why,
	}))
	return err
}

// leave ends the carrying of a run that did not end or park in good order (the
// appliance stops, the worker died, the disk had a fault): what its effects came
// to is written, or a step would be in doubt whose result we know. A run whose
// records cannot be written at all is failed, not tried for ever.
func (c *carrier) leave(ctx context.Context, cause error) error {
	if c.effects {
		if _, err := c.flush(ctx); err != nil {
			return errors.Join(cause, err)
		}
	}
	if cause == nil || engine.KindOf(cause) != engine.Invalid {
		return cause
	}
	c.forget()
	return c.end(ctx, engine.RunFailed, engine.AsError(cause), "")
}

// ended writes the end of a run.
func (c *carrier) ended(ctx context.Context, e *wire.Ended) error {
	switch {
	case e.Status == "cancelled":
		return nil
	case e.Status == engine.RunFailed && e.Error != nil && e.Error.Kind == engine.Closed && c.run.Purpose != state.PurposeUndo:
		return c.end(ctx, engine.RunDone, nil, "") // its incident was closed; it has nothing left to do
	}
	return c.end(ctx, e.Status, e.Error, e.Backtrace)
}

func (c *carrier) end(ctx context.Context, status string, failure *engine.Error, backtrace string) error {
	o, err := c.write(ctx, newRecord(record.RunEndedKind, record.RunEnded{
		Run: c.run.ID, Generation: c.run.Generation, Status: status, Error: failure, Backtrace: backtrace,
	}))
	if err == nil && !o.Applied {
		slog.Info("a run was stopped from outside", "run_id", c.run.ID, "why", o.Why)
	}
	return err
}
