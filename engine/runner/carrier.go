package runner

import (
	"context"
	"errors"
	"log/slog"
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
	parked                   // the run waits, or was stopped: throw the call away
	turnAgain                // what it waits for came meanwhile: replay
)

// carrier carries one run once: from its journal to where it waits or ends.
// What needs no disk at once (reads, words of our own, the result of an effect
// while the next step is a blink away) is held in pending, and written in the
// frame of the next effect, park or end. A crash before that replays it.
type carrier struct {
	r       *Runner
	run     engine.Run
	pending []ledger.New
	held    int                    // bytes of pending
	effects bool                   // pending holds the result of an effect
	started map[string]engine.Step // steps with a start and no result, by place
	steps   int                    // in the journal
	last    time.Time              // what now() returned last
}

// What is held is written before it outgrows a frame.
const (
	maxPendingBytes   = 128 << 10
	maxPendingRecords = 500
)

// maxArgsBytes bounds the arguments of a step (LANGUAGE section 3): a record and
// what is projected from it fit a transaction.
const maxArgsBytes = 64 << 10

// begin loads what the worker needs.
func (c *carrier) begin(ctx context.Context) (wire.Run, error) {
	if err := c.r.bundle(ctx, c.run.Bundle); err != nil {
		return wire.Run{}, err
	}
	journal, err := c.r.cfg.State.Journal(c.run.ID)
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
	start := wire.Run{
		Run: c.run.ID, Generation: c.run.Generation, Bundle: c.run.Bundle, Handler: c.run.Handler, Args: c.run.Args,
		Link: c.r.cfg.Link("runs/" + c.run.ID), Rule: c.run.Rule, Mode: c.run.Mode, Journal: journal,
		People: c.r.cfg.People().List(), Interpreter: c.r.cfg.Pool.Interpreter(),
	}
	return start, c.addIncident(&start)
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
	e, err := c.r.cfg.State.Event(c.run.Event)
	if err != nil {
		return err
	}
	start.Incident.Event, err = EventData(e)
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

// cannotBegin fails a run whose bundle cannot be used any more; other faults are
// ours, and the run is tried again.
func (c *carrier) cannotBegin(ctx context.Context, err error) error {
	e := engine.AsError(err)
	if e.Kind != engine.Script && e.Kind != engine.NotFound {
		return err
	}
	_, err = c.end(ctx, engine.RunFailed, e, "")
	return err
}

// step performs one step, or parks the run in it.
func (c *carrier) step(ctx context.Context, s *wire.Step) (wire.Answer, verdict, error) {
	if _, again := c.started[engine.StepID(s.Path, s.Number)]; !again {
		c.steps++
	}
	if c.steps > c.r.cfg.MaxSteps {
		return wire.Answer{Error: &engine.Error{
			Kind: engine.Script, Cause: "limit", At: s.At, Message: "a run may have " + itoa(c.r.cfg.MaxSteps) + " steps",
			Hint: "split the work into several runs",
		}}, goOn, nil
	}
	if c.held > maxPendingBytes || len(c.pending) >= maxPendingRecords {
		if ok, err := c.flush(ctx); !ok || err != nil {
			return wire.Answer{}, parked, err
		}
	}
	if len(s.Args) > maxArgsBytes {
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
	return record.StepDone{Run: c.run.ID, Generation: c.run.Generation, Path: s.Path, Number: s.Number}
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
	}
	c.hold(newRecord(record.StepDoneKind, done))
	return a, goOn, nil
}

func (c *carrier) hold(n ledger.New) {
	c.pending = append(c.pending, n)
	c.held += len(n.Payload)
}

// write appends what is pending and more, as one frame, and returns the outcome
// of the last record.
func (c *carrier) write(ctx context.Context, more ...ledger.New) (record.Outcome, error) {
	shard, _, _ := engine.ParseID('r', c.run.ID)
	records := append(c.pending, more...)
	if len(records) == 0 {
		return record.Outcome{Applied: true}, nil
	}
	// What a run has done is written even when the appliance stops meanwhile.
	written, err := c.r.cfg.Ledger.Append(context.WithoutCancel(ctx), shard, records...)
	if err != nil {
		return record.Outcome{}, err
	}
	c.pending, c.held, c.effects = nil, 0, false
	return outcomeOf(written[len(written)-1])
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

// read performs a read: it is recorded with the next frame.
func (c *carrier) read(ctx context.Context, s *wire.Step, b engine.Builtin, args map[string]engine.Value) (wire.Answer, verdict, error) {
	if c.effects { // the world is slow: do not leave an effect unrecorded
		if ok, err := c.flush(ctx); !ok || err != nil {
			return wire.Answer{}, parked, err
		}
	}
	limited, cancel := limit(ctx, s.Limit)
	defer cancel()
	res, err := c.r.cfg.Builtins.Do(limited, c.call(s, b, args))
	if err != nil && ctx.Err() != nil {
		return wire.Answer{}, parked, ctx.Err() // the appliance stops; the read is done again
	}
	return c.answer(c.describe(s), res.Value, asStepError(err, s))
}

// limit bounds a step by what is left of an attempt's timeout.
func limit(ctx context.Context, nanoseconds int64) (context.Context, context.CancelFunc) {
	if nanoseconds <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(nanoseconds))
}

func asStepError(err error, s *wire.Step) *engine.Error {
	if err == nil {
		return nil
	}
	e := *engine.AsError(err)
	e.At = s.At
	return &e
}

// call makes the builtin's call of a step.
func (c *carrier) call(s *wire.Step, b engine.Builtin, args map[string]engine.Value) *engine.Call {
	given := make(map[string]engine.Value, len(args))
	for name, v := range args {
		given[name] = v
	}
	connection, _ := given["connection"].(string)
	for _, ours := range []string{"expires", "why", "effect", "probe"} {
		delete(given, ours)
	}
	if b.Connection != "" {
		delete(given, "connection")
	}
	return &engine.Call{
		Name: s.Builtin, Connection: connection, Args: given, Class: s.Class, Key: c.key(s), Run: c.run.ID, Incident: c.run.Incident,
	}
}

// key is the idempotency key of a step.
func (c *carrier) key(s *wire.Step) string {
	return c.run.ID + "/" + itoa(c.run.Generation) + "/" + engine.StepID(s.Path, s.Number)
}

// effect performs a step that changes the world: its start is on the disk
// before, its result after.
func (c *carrier) effect(ctx context.Context, s *wire.Step, b engine.Builtin, args map[string]engine.Value) (wire.Answer, verdict, error) {
	call := c.call(s, b, args)
	_, again := c.started[engine.StepID(s.Path, s.Number)]
	if again && s.Class == engine.Once {
		return c.resolve(ctx, s, b, call, args)
	}
	if !again {
		if ctx.Err() != nil {
			return wire.Answer{}, parked, ctx.Err()
		}
		o, err := c.write(ctx, newRecord(record.StepStartedKind, c.startOf(s)))
		if err != nil || !o.Applied {
			return wire.Answer{}, parked, err
		}
	}
	return c.touch(ctx, s, call, args)
}

func (c *carrier) startOf(s *wire.Step) record.StepStarted {
	return record.StepStarted{
		Run: c.run.ID, Generation: c.run.Generation, Path: s.Path, Number: s.Number, Builtin: s.Builtin,
		Version: s.Version, Class: s.Class, At: s.At, Args: s.Args, Hash: s.Hash, Ticks: s.Ticks,
	}
}

// graceForEffects is how long an effect that has begun may take when the
// appliance stops.
const graceForEffects = 20 * time.Second

// touch performs the effect and holds its result. Nothing but the effect stands
// between the start on the disk and the world.
func (c *carrier) touch(ctx context.Context, s *wire.Step, call *engine.Call, args map[string]engine.Value) (wire.Answer, verdict, error) {
	grace, cancel := c.graceful(ctx)
	defer cancel()
	limited, cancelLimit := limit(grace, s.Limit)
	defer cancelLimit()
	res, err := c.r.cfg.Builtins.Do(limited, call)
	c.effects = true
	return c.settle(c.brief(s), s, res, args, err)
}

// graceful returns a context that outlives ctx by graceForEffects.
func (c *carrier) graceful(ctx context.Context) (context.Context, context.CancelFunc) {
	grace, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if c.r.cfg.Clock.Sleep(grace, graceForEffects) == nil {
			cancel()
		}
	})
	return grace, func() { stop(); cancel() }
}

// settle turns an effect's result into its record.
func (c *carrier) settle(done record.StepDone, s *wire.Step, res engine.Result, args map[string]engine.Value, err error) (wire.Answer, verdict, error) {
	b, _ := c.r.cfg.Builtins.Lookup(s.Builtin)
	takesBack := b.Change
	if err != nil {
		return c.answer(done, nil, asStepError(err, s))
	}
	if res.Change != nil && c.run.Purpose != state.PurposeUndo { // taking back is no change of its own
		change, e := c.changeOf(res.Change, args)
		if e != nil {
			return c.answer(done, nil, asStepError(e, s))
		}
		done.Change = change
	}
	for _, start := range res.Starts {
		a, e := engine.Encode(start.Args)
		if e != nil {
			return c.answer(done, nil, asStepError(e, s))
		}
		done.Starts = append(done.Starts, record.Start{Args: a, Handler: start.Handler, Purpose: start.Purpose})
	}
	if v, ok := res.Value.(engine.Struct); ok && takesBack {
		res.Value = c.undoable(v, s)
	}
	return c.answer(done, res.Value, nil)
}

// undoable makes the result of a call that can be taken back one that scripts
// can take back: r.undo().
func (c *carrier) undoable(v engine.Struct, s *wire.Step) engine.Struct {
	fields := map[string]engine.Value{"id": c.changeName(s)}
	for name, f := range v.Fields {
		fields[name] = f
	}
	return engine.Struct{Type: "change", Fields: fields}
}

func (c *carrier) changeOf(inverse *engine.Inverse, args map[string]engine.Value) (*record.Change, error) {
	a, err := engine.Encode(inverse.Args)
	if err != nil {
		return nil, err
	}
	ch := &record.Change{Title: inverse.Title, Inverse: inverse.Builtin, InverseArgs: a}
	ch.Why, _ = args["why"].(string)
	ch.Expires = c.expiry(args["expires"])
	return ch, nil
}

// expiry turns `expires` into a moment; zero is never.
func (c *carrier) expiry(v engine.Value) time.Time {
	switch v := v.(type) {
	case time.Duration:
		if v > 0 {
			return c.r.cfg.Clock.Now().Add(v)
		}
	case time.Time:
		return v.UTC()
	}
	return time.Time{}
}

// resolve settles a step of class once that was started and has no result: the
// world is asked whether it happened; without a probe a person is.
func (c *carrier) resolve(ctx context.Context, s *wire.Step, b engine.Builtin, call *engine.Call, args map[string]engine.Value) (wire.Answer, verdict, error) {
	if b.Probe == nil {
		return c.inDoubt(ctx, s, nil)
	}
	happened, res, err := c.r.cfg.Builtins.Probe(ctx, call)
	switch {
	case err != nil && ctx.Err() != nil:
		return wire.Answer{}, parked, ctx.Err()
	case err != nil && retriable(err):
		// The world does not answer: the run is tried again in a moment, until
		// it does.
		return wire.Answer{}, parked, engine.WrapError(engine.Unavailable, err, s.Builtin+": asking whether it happened")
	case err != nil:
		return c.inDoubt(ctx, s, err)
	case !happened:
		return c.touch(ctx, s, call, args)
	}
	done := c.brief(s)
	done.Probed = true
	return c.settle(done, s, res, args, nil)
}

func retriable(err error) bool {
	k := engine.KindOf(err)
	return k == engine.Timeout || k == engine.Unavailable
}

// inDoubt stops the run: whether the step happened only a person can say.
func (c *carrier) inDoubt(ctx context.Context, s *wire.Step, cause error) (wire.Answer, verdict, error) {
	e := &engine.Error{
		Kind: engine.Internal, At: s.At, Maybe: true,
		Message: s.Builtin + " was started, and nothing says whether it happened: the power went out, or the program was ended, in between",
		Hint:    "look at the system that it changes, then say here: it happened, do it again, or skip",
	}
	if cause != nil {
		e.Message += " (" + cause.Error() + ")"
	}
	_, err := c.end(ctx, engine.RunInDoubt, e, "")
	return wire.Answer{}, parked, err
}

// died counts a worker's death against the run, if the run was computing.
func (c *carrier) died(ctx context.Context, cause error) error {
	var death *sandbox.Death
	if errors.As(cause, &death) && !death.Computing {
		return nil // another run's fault: replay
	}
	if !c.effects {
		c.pending, c.held = nil, 0 // reads are done again
	}
	_, err := c.write(ctx, newRecord(record.WorkerDiedKind, record.WorkerDied{
		Run: c.run.ID, Generation: c.run.Generation, Why: cause.Error(),
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
	c.pending, c.held = nil, 0
	_, err := c.end(ctx, engine.RunFailed, engine.AsError(cause), "")
	return err
}

// ended writes the end of a run.
func (c *carrier) ended(ctx context.Context, e *wire.Ended) (again bool, err error) {
	switch {
	case e.Status == "cancelled":
		return false, nil
	case e.Status == engine.RunFailed && e.Error != nil && e.Error.Kind == engine.Closed:
		return c.end(ctx, engine.RunDone, nil, "") // its incident was closed; it has nothing left to do
	}
	return c.end(ctx, e.Status, e.Error, e.Backtrace)
}

func (c *carrier) end(ctx context.Context, status string, failure *engine.Error, backtrace string) (again bool, err error) {
	o, err := c.write(ctx, newRecord(record.RunEndedKind, record.RunEnded{
		Run: c.run.ID, Generation: c.run.Generation, Status: status, Error: failure, Backtrace: backtrace,
	}))
	if err == nil && !o.Applied {
		slog.Info("a run was stopped from outside", "run_id", c.run.ID, "why", o.Why)
	}
	return false, err
}
