package fault

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

// command is what the parent wants of its child.
type command struct {
	ID   int
	Do   string
	What string    // the incident, run, question, change, hook
	Step string    `json:",omitempty"`
	With string    `json:",omitempty"` // the choice, the outcome
	N    string    `json:",omitempty"` // an event's number
	MACs string    `json:",omitempty"`
	To   time.Time `json:",omitzero"`
	Pick uint64    `json:",omitempty"`
}

// obey does what the parent says, each command beside the others, until it says
// stop.
func (p *process) obey(ctx context.Context) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var c command
		give(json.Unmarshal(lines.Bytes(), &c))
		if c.Do == "stop" {
			return
		}
		go p.answer(ctx, c)
	}
	os.Exit(3) // the parent is gone
}

func (p *process) answer(ctx context.Context, c command) {
	reply, err := p.perform(ctx, c)
	l := line{Say: "did", ID: c.ID}
	if err != nil {
		l.Error = err.Error()
	}
	l.Reply, err = json.Marshal(reply)
	give(err)
	p.say(l)
}

func (p *process) perform(ctx context.Context, c command) (any, error) {
	const by = "dave"
	switch c.Do {
	case "look":
		return p.look()
	case "event":
		return p.intake.Deliver(ctx, engine.Event{
			Kind: "webhook", Source: c.What, Time: p.clock.Now(), Key: c.N + c.Step,
			Fields: map[string]engine.Value{"n": c.N, "macs": c.MACs},
		})
	case "job":
		return nil, p.fire(ctx, c)
	case "await":
		p.await()
		return nil, nil
	case "advance":
		p.clock.advance(c.To)
		return nil, nil
	case "answer":
		return p.runner.Answer(ctx, c.What, engine.Reply{By: engine.Addressee{Name: c.N}, Choice: c.With, How: "page", Proof: engine.ProofToken})
	case "press":
		return p.runner.Press(ctx, c.What, engine.ByLink, "link")
	case "undo":
		return p.runner.UndoChange(ctx, c.What, by, "a person's wish", c.Pick%2 == 0)
	case "restart":
		return p.restart(ctx, c, by)
	case "resolve":
		return p.runner.ResolveStep(ctx, c.What, engine.Resolution{Step: c.Step, Outcome: c.With, By: by, How: "page"})
	case "brake":
		return p.runner.SetBrake(ctx, c.With == "on", by, "")
	case "note":
		return p.runner.Note(ctx, c.What, "a note", by)
	case "close":
		return p.runner.CloseIncident(ctx, c.What, "closed by a person", "resolved", by)
	case "reopen":
		return p.runner.ReopenIncident(ctx, c.What, "opened again", by)
	case "renew":
		d, err := p.ledger.Renew(ctx, nil)
		if err == nil && d.Differ > 0 {
			err = fmt.Errorf("%d entries of the projections differ from what the records give: %q", d.Differ, d.First)
		}
		return nil, err
	case "strike":
		if s := p.pool.Status(); len(s) > 0 && s[0].PID > 0 {
			return nil, syscall.Kill(s[0].PID, syscall.SIGKILL)
		}
		return nil, nil
	}
	return nil, fmt.Errorf("unknown command %q", c.Do)
}

func (p *process) fire(ctx context.Context, c command) error {
	_, err := p.ledger.Offer(ctx, p.ledger.ShardOf("job", p.works.Name), ledger.New{Kind: record.JobFiredKind, Payload: record.Marshal(record.JobFired{
		Args: p.works.Args, Bundle: p.live.Bundle, Do: p.works.Do, Instant: p.clock.Now(), Job: p.works.Name, Mode: p.works.Mode,
		Offer: "job/works/" + c.N, Overlap: true,
	})})
	return err
}

// restart goes on from one of the run's steps, the parent's pick, or, without a
// step, takes everything back.
func (p *process) restart(ctx context.Context, c command, by string) (any, error) {
	r := engine.RestartRequest{By: by, How: "page", Why: "a person's wish", Current: c.Pick%2 == 0}
	if c.With != "undo" {
		steps, err := p.state.Steps(c.What)
		if err != nil || len(steps) == 0 {
			return engine.Decision{Why: "there is no step"}, err
		}
		s := steps[c.Pick/6%uint64(len(steps))]
		r.Step = engine.StepID(s.Path, s.Number)
		if s.Builtin == "ask" && c.Pick/2%3 == 0 {
			r.Answer = engine.Data(`"Keep"`) // of a question without that choice it is refused
		}
	}
	return p.runner.Restart(ctx, c.What, r)
}

// view is what a person sees who looks at the pages.
type view struct {
	Now, Next time.Time // Next is when a timer is due or somebody wakes up, zero for never
	Runs      []engine.Run
	Incidents []engine.Incident
	Questions []engine.Question // open ones
	Buttons   []string          // that nobody has pressed, by id
	Changes   []engine.Change
	Doubts    []doubt
	Brake     bool
}

// doubt is a step in doubt.
type doubt struct{ Run, Step, Key, Path string }

// look reads what wakes runs before it reads the runs, so that what is not there
// to come has come.
func (p *process) look() (v view, err error) {
	v.Now, v.Next = p.clock.Now(), p.clock.next()
	for _, own := range p.ledger.Owned() {
		t, ok, err := p.state.NextTimer(own.Shard)
		if err != nil {
			return v, err
		}
		if ok && (v.Next.IsZero() || t.Due.Before(v.Next)) {
			v.Next = t.Due
		}
	}
	if v.Runs, err = every(func(c string) ([]engine.Run, string, error) { return p.state.Runs(engine.RunFilter{}, c, 200) }); err != nil {
		return v, err
	}
	if v.Incidents, err = every(func(c string) ([]engine.Incident, string, error) {
		return p.state.Incidents(engine.IncidentFilter{}, c, 200)
	}); err != nil {
		return v, err
	}
	if v.Questions, err = every(func(c string) ([]engine.Question, string, error) {
		return p.state.Questions(engine.QuestionFilter{Status: engine.QuestionOpen}, c, 200)
	}); err != nil {
		return v, err
	}
	for _, i := range v.Incidents {
		buttons, err := p.state.Buttons(i.ID)
		if err != nil {
			return v, err
		}
		for _, b := range buttons {
			if b.Pressed.IsZero() {
				v.Buttons = append(v.Buttons, b.ID)
			}
		}
	}
	if v.Changes, err = every(func(c string) ([]engine.Change, string, error) {
		return p.state.Changes(engine.ChangeFilter{}, c, 200)
	}); err != nil {
		return v, err
	}
	for _, r := range v.Runs {
		if r.Status == engine.RunInDoubt {
			doubts, err := p.doubts(r)
			if err != nil {
				return v, err
			}
			v.Doubts = append(v.Doubts, doubts...)
		}
	}
	b, err := p.state.Brake()
	v.Brake = b.On
	return v, err
}

func (p *process) doubts(r engine.Run) (list []doubt, err error) {
	steps, err := p.state.Journal(r.ID)
	for _, s := range steps {
		if s.Status != engine.StepInDoubt {
			continue
		}
		generation := r.Generation
		if s.Generation != 0 {
			generation = s.Generation
		}
		v, err := s.Args.Value()
		if err != nil {
			return nil, err
		}
		args, _ := v.(map[string]engine.Value)
		path, _ := args["url"].(string)
		list = append(list, doubt{r.ID, engine.StepID(s.Path, s.Number), keyOf(r.ID, generation, s.Path, s.Number), path})
	}
	return list, err
}

// every reads all pages of a list.
func every[T any](page func(cursor string) ([]T, string, error)) (all []T, err error) {
	err = state.Each(page, func(v T) error { all = append(all, v); return nil })
	return all, err
}
