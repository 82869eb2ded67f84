package runner

import (
	"context"
	"slices"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/wire"
)

// PreviewRestart says what a restart would do, and does nothing: with the live
// scripts a worker compares them with the journal. Errors: not_found for a step
// that the run has not, invalid for an answer that cannot be.
func (r *Runner) PreviewRestart(ctx context.Context, run string, in engine.RestartRequest) (engine.RestartPreview, error) {
	p, _, err := r.preview(ctx, run, in)
	return p, err
}

func (r *Runner) preview(ctx context.Context, run string, in engine.RestartRequest) (p engine.RestartPreview, result engine.Data, err error) {
	path, n := "", 0
	if in.Step != "" {
		var ok bool
		if path, n, ok = engine.ParseStepID(in.Step); !ok {
			return p, nil, engine.Errorf(engine.Invalid, "step: got %q, want the number of a step, or PATH/N", in.Step)
		}
	}
	if p, err = r.cfg.State.RestartPreview(run, path, n); err != nil {
		return p, nil, err
	}
	if n == 0 {
		return p, nil, nil
	}
	if in.Answer != nil {
		if result, err = r.given(run, path, n, in); err != nil {
			return p, nil, err
		}
	}
	if in.Current {
		err = r.withLive(ctx, &p)
	}
	return p, result, err
}

// withLive makes a preview one of the live scripts.
func (r *Runner) withLive(ctx context.Context, p *engine.RestartPreview) error {
	bundle, commit, err := r.live()
	if err != nil || p.Bundle == bundle {
		return err
	}
	p.Bundle, p.Commit = bundle, commit
	p.Differs, err = r.compare(ctx, *p)
	return err
}

// compare executes the live scripts against the run's journal: nothing is
// performed, nothing recorded.
func (r *Runner) compare(ctx context.Context, p engine.RestartPreview) (*engine.Difference, error) {
	if err := r.bundle(ctx, p.Bundle); err != nil {
		return nil, err
	}
	run, err := r.cfg.State.Run(p.Run)
	if err != nil {
		return nil, err
	}
	journal, err := r.cfg.State.Journal(p.Run)
	if err != nil {
		return nil, err
	}
	order := slices.Clone(journal)
	for n := range journal { // what was made by the bundle of now is alien to the other
		journal[n].At, journal[n].Ticks = "", 0
	}
	run.Bundle = p.Bundle
	c := &carrier{r: r, run: run}
	start, err := c.request(journal)
	if err != nil {
		return nil, err
	}
	call, err := r.cfg.Pool.Start(ctx, start)
	if err != nil {
		return nil, err
	}
	defer call.Close()
	event, err := call.Next(ctx)
	if err != nil {
		return nil, err
	}
	ended, ok := event.(*wire.Ended)
	if !ok || ended.Status != engine.RunDiverged {
		return nil, nil // it came to a step that is not recorded, or to its end
	}
	d := &engine.Difference{Step: ended.Step, Before: before(order, ended.Step, p.Step)}
	if ended.Error != nil {
		d.Message = ended.Error.Message
	}
	return d, nil
}

// before tells whether a step stands before another in a journal.
func before(journal []engine.Step, step, other string) bool {
	for _, s := range journal {
		switch engine.StepID(s.Path, s.Number) {
		case other:
			return false
		case step:
			return true
		}
	}
	return false
}

// Restart lets a run go on from one of its steps again: what it changed since is
// taken back first. Without a step all is taken back, and the run ends. Errors are
// those of PreviewRestart, and conflict for live scripts that differ before the
// step.
func (r *Runner) Restart(ctx context.Context, run string, in engine.RestartRequest) (engine.Decision, error) {
	p, result, err := r.preview(ctx, run, in)
	if err != nil {
		return engine.Decision{}, err
	}
	if d := p.Differs; d != nil && d.Before {
		return engine.Decision{}, engine.Errorf(engine.Conflict, "the live scripts differ at step %s already: %s", d.Step, d.Message).
			WithHint("restart from step %s or an earlier one, or with the run's own scripts", d.Step)
	}
	path, n, _ := engine.ParseStepID(p.Step)
	version, err := r.versionGiven(run, path, n, result)
	if err != nil {
		return engine.Decision{}, err
	}
	d, err := r.decide(ctx, 'r', run, record.RunRestartedKind, record.RunRestarted{
		Run: run, Generation: p.Generation, Path: path, Number: n, Bundle: p.Bundle, Commit: p.Commit,
		Answered: in.Answer != nil, Result: result, By: in.By, How: in.How, Why: in.Why,
		Version: version,
	})
	d.Why = r.cfg.State.LateRestart(d.Why, run)
	return d, err
}

// versionGiven is the version of the builtin whose result a person gives, 0 where
// none is given.
func (r *Runner) versionGiven(run, path string, n int, result engine.Data) (int, error) {
	if result == nil {
		return 0, nil
	}
	s, err := r.stepOf(run, path, n)
	return r.versionOf(s.Builtin), err
}

// given is the result that a person gives a step: what an ask returns, or JSON in
// the shape of another builtin's result.
func (r *Runner) given(run, path string, n int, in engine.RestartRequest) (engine.Data, error) {
	s, err := r.stepOf(run, path, n)
	if err != nil {
		return nil, err
	}
	if len(in.Answer) > maxSaidBytes {
		return nil, engine.Errorf(engine.Invalid, "answer: %d bytes, at most %d", len(in.Answer), maxSaidBytes)
	}
	if s.Builtin == "ask" {
		v, err := engine.DecodeJSON(in.Answer)
		if err != nil {
			return nil, engine.Errorf(engine.Invalid, "answer: it is not JSON: %w", err)
		}
		return askAnswer(s, v, in.By, r.cfg.Clock.Now())
	}
	if w, ok := words[s.Builtin]; ok {
		return readValue(w.Signature, in.Answer, "")
	}
	b, _ := r.cfg.Builtins.Lookup(s.Builtin)
	return readValue(b.Signature, in.Answer, changeName(run, path, n))
}

// askAnswer is what an ask returns when a person answers it at a restart: a
// choice, or an object with choice, fields and reason.
func askAnswer(s engine.Step, v engine.Value, by string, at time.Time) (engine.Data, error) {
	args, err := decodeArgs(s.Args)
	if err != nil {
		return nil, err
	}
	known, err := choices(args["choices"])
	if err != nil {
		return nil, err
	}
	given, ok := v.(map[string]engine.Value)
	if choice, isText := v.(string); isText {
		given, ok = map[string]engine.Value{"choice": choice}, true
	}
	if !ok {
		return nil, engine.Errorf(engine.Invalid, "answer: got %s, want a choice, or an object with choice, fields and reason", display(v))
	}
	fields := map[string]engine.Value{}
	for name, each := range given {
		switch {
		case name == "fields" && each != nil:
			if fields, ok = each.(map[string]engine.Value); !ok {
				return nil, engine.Errorf(engine.Invalid, "answer: fields: want an object")
			}
		case name != "choice" && name != "reason" && name != "fields":
			return nil, engine.Errorf(engine.Invalid, "answer: it has no %q, want choice, fields and reason", name)
		}
	}
	choice := text(given["choice"])
	if err := knownChoice(known, choice); err != nil {
		return nil, err
	}
	return engine.Encode(engine.Struct{Type: "answer", Fields: map[string]engine.Value{
		"choice": choice, "by": engine.PersonRef{Name: by}, "at": at, "fields": fields, "reason": text(given["reason"]), "timed_out": false,
	}})
}

func knownChoice(known []engine.Choice, choice string) error {
	if len(known) == 0 || slices.ContainsFunc(known, func(c engine.Choice) bool { return c.Name == choice }) {
		return nil
	}
	names := make([]string, len(known))
	for i, c := range known {
		names[i] = c.Name
	}
	return engine.Errorf(engine.Invalid, "answer: got %q, want one of the choices: %s", choice, strings.Join(names, ", "))
}

// performSettled says of a change what its undo came to.
func performSettled(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	done := c.describe(s)
	done.Settled = &record.Settled{Change: text(args["change"]), Error: text(args["error"])}
	a, v, err := c.answer(done, nil, nil)
	return c.now(ctx, a, v, err)
}

// performMinders lists who is asked when something has to be minded: engineers
// and administrators.
func performMinders(_ context.Context, c *carrier, s *wire.Step, _ map[string]engine.Value) (wire.Answer, verdict, error) {
	names := []engine.Value{}
	for _, p := range c.minders() {
		names = append(names, p.Name)
	}
	return c.answer(c.describe(s), names, nil)
}

// minders are those who mind the box: engineers and administrators.
func (c *carrier) minders() []engine.Person {
	return slices.DeleteFunc(c.r.cfg.People().List(), func(p engine.Person) bool {
		return p.Role != engine.RoleEngineer && p.Role != engine.RoleAdmin
	})
}

func performAddresses(_ context.Context, c *carrier, s *wire.Step, _ map[string]engine.Value) (wire.Answer, verdict, error) {
	list := []engine.Value{}
	for _, p := range c.minders() {
		if p.Email != "" && (c.r.cfg.Mails == nil || c.r.cfg.Mails()) {
			list = append(list, p.Email)
		}
	}
	return c.answer(c.describe(s), list, nil)
}

func performPageLink(_ context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	page, _ := args["page"].(string)
	return c.answer(c.describe(s), c.r.cfg.Link(page), nil)
}
