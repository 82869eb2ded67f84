package runner

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// timerWords are i.timer(name) and what it can do, which the worker calls.
func timerWords() []word {
	act := func(name, doc string, params ...engine.Param) word {
		params = append([]engine.Param{required("incident", "text"), required("name", "text")}, params...)
		return word{internal(sign("timer."+name, engine.Repeatable, doc, params...)), performTimer}
	}
	start := act(record.DeadlineStart, "Begins a deadline, anew if it was begun before.",
		required("limit", "duration"), p("on_breach", "breach"), p("hours", "text"))
	return []word{
		{sign("incident.timer", engine.Repeatable, "A deadline on a section of the work: .start(limit, on_breach=None, hours=None), .pause(), .resume(), .stop(). "+
			"on_breach(i) is called when its time is over; hours is a calendar of larkspur.yaml, else that of the incident's rule, \"\" for all the time.",
			required("incident", "text"), required("name", "text")), performTimer},
		start,
		act(record.DeadlinePause, "Pauses a deadline, and keeps what is left."),
		act(record.DeadlineResume, "Has a deadline go on."),
		act(record.DeadlineStop, "Ends a deadline."),
	}
}

// timerName is what a section may be called. It stands in records that are never
// erased, and so has no room for addresses.
var timerName = regexp.MustCompile(`^[\pL\pN][\pL\pN _-]{0,59}$`)

// performTimer offers what a step does to a deadline to the incident's shard; done
// again by a replay it has no second effect.
func performTimer(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	id := text(args["incident"])
	if c.run.Mode == modeShadow && id != c.run.Incident { // other incidents are the world's
		return c.answer(c.describe(s), nil, nil)
	}
	p, err := c.deadline(s, id, args)
	if err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	if ok, err := c.flush(ctx); !ok || err != nil { // what the run did before it counts before it
		return wire.Answer{}, parked, err
	}
	o, err := c.setDeadline(ctx, p)
	if err != nil {
		return wire.Answer{}, parked, err
	}
	if e := whyNoDeadline(text(args["name"]), o.Why); e != nil {
		return c.refuse(s, asStepError(e, s))
	}
	return c.answer(c.describe(s), nil, nil)
}

// whyNoDeadline is what a script is told of an act that had no effect; nil where it
// needs none: the deadline is as the script wants it, or over.
func whyNoDeadline(name, why string) error {
	switch why {
	case state.DeadlineUnknown:
		return engine.Errorf(engine.NotFound, "timer %q: %s", name, why).WithHint("call .start(limit) first")
	case state.DeadlineClosed, state.DeadlineTooMany:
		return engine.Errorf(engine.Conflict, "timer %q: %s", name, why)
	}
	return nil
}

// deadline makes the record of a step.
func (c *carrier) deadline(s *wire.Step, id string, args map[string]engine.Value) (p record.DeadlineSet, err error) {
	name := text(args["name"])
	if !timerName.MatchString(name) {
		return p, engine.Errorf(engine.Invalid, "timer: name: got %.60q, want up to 60 letters, digits, spaces, - and _", name)
	}
	if err := c.exists(id); err != nil {
		return p, err
	}
	p = record.DeadlineSet{
		Act: strings.TrimPrefix(s.Builtin, "timer."), Deadline: engine.DeadlineID(engine.DeadlineOfSection, id, name), Incident: id,
		Run: c.run.ID, Generation: c.run.Generation, Step: engine.StepID(s.Path, s.Number), Offer: "timer " + c.key(s),
	}
	if p.Act != record.DeadlineStart {
		return p, nil
	}
	p.Bundle, p.Commit, p.Rule, p.Mode = c.run.Bundle, c.run.Commit, c.run.Rule, c.run.Mode
	if p.Limit, _ = args["limit"].(time.Duration); p.Limit <= 0 {
		return p, engine.Errorf(engine.Invalid, "timer: limit: got %s, want a duration", display(args["limit"]))
	}
	p.Handler = handlerOf(args["on_breach"])
	hours, given := args["hours"].(string)
	if p.Hours = hours; !given {
		i, err := c.r.cfg.State.Incident(id)
		if err != nil {
			return p, err
		}
		p.Hours = i.Hours
	}
	return p, c.r.reachable(p)
}

// handlerOf reads a function that was named; nil for none.
func handlerOf(v engine.Value) *engine.Handler {
	h, ok := v.(engine.Struct)
	if !ok {
		return nil
	}
	return &engine.Handler{File: text(h.Fields["file"]), Name: text(h.Fields["name"])}
}

// reachable refuses a deadline whose hours nobody knows, or that never come.
func (r *Runner) reachable(p record.DeadlineSet) error {
	h, err := r.hours(p.Hours)
	if err != nil {
		return err
	}
	if _, ok := h.Add(r.cfg.Clock.Now(), p.Limit); !ok {
		return engine.Errorf(engine.Invalid, "timer: limit: %s of %q take more than ten years", calendar.FormatDuration(p.Limit), p.Hours)
	}
	return nil
}

// hours are those of a calendar; nil, all the time, for none.
func (r *Runner) hours(name string) (*calendar.Hours, error) {
	if name == "" {
		return nil, nil
	}
	var known map[string]*calendar.Hours
	if r.cfg.Calendars != nil {
		known = r.cfg.Calendars()
	}
	h, ok := known[name]
	if !ok || h == nil {
		return nil, engine.Errorf(engine.Invalid, "hours: there is no calendar %q", name).
			WithHint("calendars of larkspur.yaml are: %s", strings.Join(sortedNames(known), ", "))
	}
	return h, nil
}

// setDeadline offers a record until what was computed for it is of the deadline as
// it is.
func (c *carrier) setDeadline(ctx context.Context, p record.DeadlineSet) (record.Outcome, error) {
	shard, _, _ := engine.ParseID('i', p.Incident)
	for {
		if p.Act == record.DeadlinePause {
			d, err := c.r.cfg.State.Deadline(p.Deadline)
			if err != nil && engine.KindOf(err) != engine.NotFound { // which the record says, too
				return record.Outcome{}, err
			}
			p.Revision, p.Left = d.Revision, c.r.leftOf(d, c.r.cfg.Clock.Now())
		}
		o, err := c.offered(ctx, shard, newRecord(record.DeadlineSetKind, p))
		if err != nil || o.Why != state.DeadlineChanged {
			return o, err
		}
	}
}

// leftOf is what is left of a deadline that runs. Where its calendar is gone, all
// the time counts.
func (r *Runner) leftOf(d engine.Deadline, at time.Time) time.Duration {
	h, _ := r.hours(d.Hours)
	return max(d.Left-h.Between(d.Since, at), 0)
}

// farAway stands for a moment that does not come in the years that calendars are
// asked for.
const farAway = 10 * calendar.Year

// dueOf is when a deadline that runs is over.
func (r *Runner) dueOf(d engine.Deadline) time.Time {
	h, err := r.hours(d.Hours)
	if err != nil && !d.Due.IsZero() {
		return d.Due // as it was when there was such a calendar
	}
	if err != nil {
		slog.Warn("a deadline counts all the time: its calendar is gone", "deadline", d.ID, "calendar", d.Hours)
	}
	due, ok := h.Add(d.Since, d.Left)
	if !ok {
		return d.Since.Add(farAway)
	}
	return due
}

// CalendarsChanged has the moments of running deadlines computed again.
func (r *Runner) CalendarsChanged() { signal(r.calendars) }

// signal puts a mark into a channel with room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// countDeadlines says of deadlines when they are over, whenever one begins or
// calendars change, until ctx ends. What changed while nothing ran is noticed first.
func (r *Runner) countDeadlines(ctx context.Context) {
	all := true
	for ctx.Err() == nil {
		if err := r.settleDeadlines(ctx, all); err != nil && ctx.Err() == nil {
			complain("deadlines could not be counted; trying again", err)
			if r.cfg.Clock.Sleep(ctx, pauseAfterFault) != nil {
				return
			}
			continue
		}
		select {
		case <-r.counting:
			all = false
		case <-r.calendars:
			all = true
		case <-ctx.Done():
		}
	}
}

// settleDeadlines offers the moments of deadlines that have none, and, if all are
// wanted, of those that calendars moved.
func (r *Runner) settleDeadlines(ctx context.Context, all bool) error {
	for _, own := range r.cfg.Ledger.Owned() {
		list, err := r.cfg.State.Uncounted(own.Shard, false)
		if err == nil && all {
			var hours []engine.Deadline
			hours, err = r.cfg.State.Uncounted(own.Shard, true)
			list = append(list, hours...)
		}
		if err != nil {
			return err
		}
		for _, d := range list {
			due := r.dueOf(d)
			if due.Equal(d.Due) {
				continue
			}
			p := record.DeadlineSet{Act: record.DeadlineDue, Deadline: d.ID, Due: due.UTC(), Incident: d.Incident, Revision: d.Revision}
			if _, err := r.offered(ctx, own.Shard, record.DeadlineSetKind, p); err != nil {
				return err
			}
		}
	}
	return nil
}
