package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"larkspur/appliance/config"
	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/runner"
	"larkspur/engine/sandbox"
	"larkspur/engine/state"
)

// Playbooks makes a replay carry the runs of what it opens, with the answers in
// place of the world and its people, and time that passes at once.
type Playbooks struct {
	Pool    *sandbox.Pool
	Config  *config.Config
	Answers config.Answers
	// Tests answer in place of Answers, unless nil: see scenes. Pool has loaded
	// them.
	Tests   []engine.Test
	Version string
	// Tell is called for each step that ended, and Ended for each run that did,
	// or that still waits when the replay is over; nil tells nobody.
	Tell  func(engine.Run, engine.Step) error
	Ended func(engine.Run) error
}

// player carries the runs of a replay. It is used by one goroutine.
type player struct {
	Playbooks
	runner *runner.Runner
	state  *state.State
	clock  *clock
	people *answers // of everybody, unless a scene answers for its rule
	scenes *scenes
	told   map[string]int // steps, by run that has not ended
	began  bool           // a run has
}

func newPlayer(p Playbooks, at *stand, f *fakes) *player {
	x := &player{Playbooks: p, state: at.state, clock: at.clock, told: map[string]int{}, people: &answers{}}
	x.runner = runner.New(runner.Config{
		Ledger: at.ledger, State: at.state, Pool: p.Pool, Builtins: f, Clock: at.clock, Engine: p.Version,
		People:    func() runner.People { return runner.People{ByName: p.Config.People, Teams: p.Config.Teams} },
		Link:      func(page string) string { return p.Config.Box.URL + "/" + page },
		LinkKey:   make([]byte, 32), // its links lead nowhere
		Zone:      func() *time.Location { return p.Config.Zone },
		InTurn:    true,
		Calendars: func() map[string]*calendar.Hours { return p.Config.Calendars },
		Expect:    at.intake.Expected.Check,
	})
	return x
}

// until lets time pass: timers fire and people answer in their order. The zero
// time is the end of all.
func (p *player) until(ctx context.Context, end time.Time) error {
	for {
		next, err := p.runner.Settle(ctx, p.carried)
		if err != nil {
			return err
		}
		reply, err := p.nextReply()
		if err != nil {
			return err
		}
		answers := reply != nil && (next.IsZero() || !reply.at.After(next))
		if answers {
			next = reply.at
		}
		if next.IsZero() || !end.IsZero() && next.After(end) {
			p.clock.pass(end)
			return nil
		}
		p.clock.pass(next)
		if answers {
			if err := p.answer(ctx, reply); err != nil {
				return err
			}
		}
	}
}

// carried tells what a run did in its turn.
func (p *player) carried(id string) error {
	p.began = true
	if p.Tell == nil {
		return nil
	}
	run, err := p.state.Run(id)
	if err != nil || run.Purpose == state.PurposeOutbox { // no mail leaves a replay
		return err
	}
	steps, err := p.state.Steps(id)
	if err != nil {
		return err
	}
	ended := slices.DeleteFunc(steps, func(s engine.Step) bool { return s.Status == engine.StepStarted })
	for _, s := range ended[min(p.told[id], len(ended)):] {
		if err := p.Tell(run, s); err != nil {
			return err
		}
	}
	p.told[id] = len(ended)
	if run.Status == engine.RunRunning || run.Status == engine.RunWaiting {
		return nil
	}
	delete(p.told, id)
	return p.Ended(run)
}

// waiting tells of the runs that did not end.
func (p *player) waiting() error {
	ids := make([]string, 0, len(p.told))
	for id := range p.told {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, byNumber)
	for _, id := range ids {
		run, err := p.state.Run(id)
		if err != nil {
			return err
		}
		if err := p.Ended(run); err != nil {
			return err
		}
	}
	return nil
}

func byNumber(a, b string) int {
	_, x, _ := engine.ParseID('r', a)
	_, y, _ := engine.ParseID('r', b)
	return int(x) - int(y)
}

// answers are what people will answer, in this order.
type answers struct{ left []config.PersonAnswer }

// reply is an answer that will be given.
type reply struct {
	question engine.Question
	from     *answers
	index    int // in from
	at       time.Time
}

// answersFor returns where a question's answer comes from.
func (p *player) answersFor(q engine.Question) (*answers, error) {
	if p.scenes != nil {
		return p.scenes.answersOf(q.Run)
	}
	return p.people, nil
}

// nextReply finds the answer that comes first: each open question gets the first
// answer of one of those whom it asks.
func (p *player) nextReply() (*reply, error) {
	if len(p.people.left) == 0 && p.scenes == nil {
		return nil, nil
	}
	open, err := p.openQuestions()
	if err != nil {
		return nil, err
	}
	var first *reply
	type place struct {
		from  *answers
		index int
	}
	taken := map[place]bool{}
	for _, q := range open {
		from, err := p.answersFor(q)
		if err != nil {
			return nil, err
		}
		i := from.next(q, 0)
		for i >= 0 && taken[place{from, i}] {
			i = from.next(q, i+1)
		}
		if i < 0 {
			continue
		}
		taken[place{from, i}] = true
		at := q.Asked.Add(from.left[i].After)
		if at.Before(p.clock.now) {
			at = p.clock.now // the answer was prepared after its time
		}
		if first == nil || at.Before(first.at) {
			first = &reply{q, from, i, at}
		}
	}
	return first, nil
}

// next returns the next answer for a question from a place on, -1 for none.
func (a *answers) next(q engine.Question, from int) int {
	for i := from; i < len(a.left); i++ {
		if asks(q, a.left[i].Who) && !counted(q, a.left[i].Who) {
			return i
		}
	}
	return -1
}

func asks(q engine.Question, who string) bool {
	return slices.ContainsFunc(q.To, func(a engine.Addressee) bool { return who != "" && (a.Name == who || a.Email == who) })
}

// counted reports whether somebody's answer counts towards a quorum already: their
// next one is for another question.
func counted(q engine.Question, who string) bool {
	return slices.ContainsFunc(q.Answers, func(a engine.Answer) bool { return a.By == who || a.Email == who })
}

// openQuestions returns all of them, the oldest first.
func (p *player) openQuestions() ([]engine.Question, error) {
	all, err := state.All(func(cursor string) ([]engine.Question, string, error) {
		return p.state.Questions(engine.QuestionFilter{Status: engine.QuestionOpen}, cursor, 1000)
	})
	slices.SortStableFunc(all, func(a, b engine.Question) int { return a.Asked.Compare(b.Asked) })
	return all, err
}

// answer gives an answer, checked as a page checks it.
func (p *player) answer(ctx context.Context, r *reply) error {
	given := r.from.left[r.index]
	r.from.left = slices.Delete(slices.Clone(r.from.left), r.index, r.index+1)
	_, err := p.runner.Answer(ctx, r.question.ID, engine.Reply{
		Choice: given.Choice, Reason: given.Reason, Fields: given.Fields, Files: given.Files, By: p.person(given.Who), How: engine.HowReplay,
	})
	if problems := (engine.Problems)(nil); errors.As(err, &problems) {
		return engine.Errorf(engine.Invalid, "%s: the answer to %q is none: %w", given.At, short(r.question.Text), problems).
			WithHint("a page would have refused it, too")
	}
	return err
}

// person is who a test or an answers file names.
func (p *player) person(who string) engine.Addressee {
	if known, ok := p.Config.People[who]; ok {
		return engine.Addressee{Name: who, Email: known.Email}
	}
	return engine.Addressee{Name: who, Email: who}
}

func short(text string) string {
	if r := []rune(text); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return text
}

// unused says which answers nobody asked for.
func (p *player) unused() []string {
	var lines []string
	for _, a := range p.people.left {
		lines = append(lines, fmt.Sprintf("%s: the answer of %s was not asked for", a.At, strconv.Quote(a.Who)))
	}
	return lines
}
