package runner

import (
	"context"
	"math"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// Words of all incidents: to open one, to find them, to count them.

// openedType is the Type of what incidents.open returns: the incident, and whether
// it is new.
const openedType = "incident.opened"

// Bounds of what a script opens and finds.
const (
	maxTitleBytes = 300
	maxDedupBytes = 1 << 10
	maxFound      = 10_000 // LANGUAGE section 3
)

// incidentWords are the words of all incidents. The worker calls where itself.
func incidentsWords() []word {
	filters := []engine.Param{
		p("status", "text"), p("type", "text"), p("rule", "text"), p("severity", "text"), p("since", "duration|time"), p("owner", "person"),
		p("dedup", "any"), p("fields", "dict"), p("where", "function"),
	}
	return []word{
		{sign("incidents.open", engine.Repeatable, "Opens an incident; an open one of the same type and dedup values is returned instead. do(i, **args) is a run of its own on a new one.",
			required("title", "text"), fallback("severity", "text", "medium"), p("type", "text"), p("team", "text"), p("dedup", "any"), p("fields", "pairs"),
			p("reporter", "person"), p("do", "handler"), p("args", "dict")), performOpen},
		{sign("incidents.find", engine.Read, "Lists incidents, the newest first; since: opened after a time, or within a duration.",
			append(filters[:len(filters):len(filters)], fallback("limit", "int", int64(1000)))...), performFind},
		{sign("incidents.count", engine.Read, "Counts incidents; takes what incidents.find does.", filters...), performCount},
		{sign("incidents.get", engine.Read, "An incident by its id; None if there is none.", required("id", "text")), performLookUp},
		{sign("incidents.baseline", engine.Read, "How many incidents of a type were opened within window (1h), and how many are normal at this hour of the week: now, normal, percent, over as many weeks as over (28d) has.",
			required("type", "text"), p("window", "duration"), p("over", "duration")), performBaseline},
	}
}

func performOpen(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	p, err := c.opening(s, args)
	if err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	if c.run.Mode == modeShadow {
		return c.answer(c.describe(s), engine.Struct{Type: openedType, Fields: map[string]engine.Value{"incident": nil, "new": nil}}, nil)
	}
	o, err := c.open(ctx, p)
	if err != nil || o.Incident == "" { // stopped from outside
		return wire.Answer{}, parked, err
	}
	return c.answer(c.describe(s), engine.Struct{Type: openedType, Fields: map[string]engine.Value{
		"incident": engine.IncidentRef{ID: o.Incident}, "new": o.Action == state.Opened,
	}}, nil)
}

// open offers an incident to the shard of its type and dedup values, whose order
// decides whether it is new. Offered again by a replay it is the same one.
func (c *carrier) open(ctx context.Context, p record.IncidentOpened) (record.Outcome, error) {
	key := p.Dedup
	if !p.DedupSet {
		key = p.Offer
	}
	own, _, _ := engine.ParseID('r', c.run.ID)
	shard := c.r.cfg.Ledger.ShardOf(p.Type, key)
	if shard == own {
		return c.write(ctx, newRecord(record.IncidentOpenedKind, p))
	}
	if ok, err := c.flush(ctx); !ok || err != nil {
		return record.Outcome{}, err
	}
	rec, err := c.r.cfg.Ledger.Offer(context.WithoutCancel(ctx), shard, newRecord(record.IncidentOpenedKind, p))
	if err != nil {
		return record.Outcome{}, err
	}
	return outcomeOf(rec)
}

// opening makes the record of an incident that the run opens.
func (c *carrier) opening(s *wire.Step, args map[string]engine.Value) (p record.IncidentOpened, err error) {
	p = record.IncidentOpened{
		Run: c.run.ID, Generation: c.run.Generation, Rule: c.run.Rule, Bundle: c.run.Bundle, Commit: c.run.Commit, Mode: c.run.Mode,
		MaxChanges: c.run.MaxChanges, MaxChangesIn: c.run.MaxChangesIn, Offer: "open " + c.key(s),
		Title: oneLine(text(args["title"])), Severity: text(args["severity"]), Type: text(args["type"]), Team: text(args["team"]),
	}
	if p.Type == "" {
		p.Type = c.run.Rule
	}
	if err := c.inherit(&p); err != nil {
		return p, err
	}
	if err := c.checkOpening(p); err != nil {
		return p, err
	}
	if v, given := args["dedup"]; given {
		d, err := engine.Encode(v)
		if err != nil || len(d) > maxDedupBytes {
			return p, engine.Errorf(engine.Invalid, "incidents.open: dedup: want plain data of at most %d bytes", maxDedupBytes)
		}
		p.Dedup, p.DedupSet = string(d), true
	}
	facts := &record.IncidentAct{}
	if given := pairs(args["fields"]); len(given) > 0 {
		if err := setFields(facts, args["fields"]); err != nil {
			return p, err
		}
		p.Fields, p.Order = facts.Fields, facts.Order
	}
	if p.Reporter, err = c.r.cfg.People().reporter(args["reporter"]); err != nil {
		return p, err
	}
	if do, ok := args["do"].(engine.Struct); ok {
		p.Do = &engine.Handler{File: text(do.Fields["file"]), Name: text(do.Fields["name"])}
		p.Args, err = engine.Encode(args["args"])
	}
	return p, err
}

// inherit has what a run opens seen by no more people than the run's own incident:
// LANGUAGE has no word for it.
func (c *carrier) inherit(p *record.IncidentOpened) error {
	if c.run.Incident == "" {
		return nil
	}
	i, err := c.r.cfg.State.Incident(c.run.Incident)
	if i.Visible == engine.VisibleToTeam {
		if p.Visible = i.Visible; p.Team == "" {
			p.Team = i.Team
		}
	}
	return err
}

func (c *carrier) checkOpening(p record.IncidentOpened) error {
	if p.Title == "" || len(p.Title) > maxTitleBytes {
		return engine.Errorf(engine.Invalid, "incidents.open: title: got %d bytes, want 1 to %d", len(p.Title), maxTitleBytes)
	}
	if err := checkSeverity("incidents.open", p.Severity); err != nil {
		return err
	}
	teams := c.r.cfg.People().Teams
	if _, known := teams[p.Team]; p.Team != "" && !known {
		return engine.Errorf(engine.Invalid, "incidents.open: team: there is no %q", p.Team).WithHint("teams of larkspur.yaml are: %s", strings.Join(sortedNames(teams), ", "))
	}
	return nil
}

// oneLine replaces control characters: a title is one line of text.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// chosen is what a script wants to find: what the state looks for, and what is
// looked at here.
type chosen struct {
	engine.IncidentFilter
	fields map[string]string // the facts, encoded
}

func (c *carrier) chosen(word string, args map[string]engine.Value) (f chosen, err error) {
	f.Status, f.Type, f.Rule, f.Severity = text(args["status"]), text(args["type"]), text(args["rule"]), text(args["severity"])
	if f.Status != "" && f.Status != engine.IncidentOpen && f.Status != engine.IncidentClosed {
		return f, engine.Errorf(engine.Invalid, "%s: status: got %q, want open or closed", word, f.Status)
	}
	if f.Severity != "" {
		if err := checkSeverity(word, f.Severity); err != nil {
			return f, err
		}
	}
	switch since := args["since"].(type) {
	case time.Duration:
		f.Since = c.moment().Add(-since)
	case time.Time:
		f.Since = since
	}
	f.Owner = c.r.cfg.People().ownerName(args["owner"])
	if v, given := args["dedup"]; given {
		d, err := engine.Encode(v)
		if err != nil {
			return f, err
		}
		f.Dedup = string(d)
	}
	wanted, _ := args["fields"].(map[string]engine.Value)
	for name, v := range wanted {
		d, err := engine.Encode(v)
		if err != nil {
			return f, err
		}
		if f.fields == nil {
			f.fields = map[string]string{}
		}
		f.fields[name] = string(d)
	}
	return f, nil
}

// fits looks at the facts of an incident.
func (f chosen) fits(i engine.Incident) bool {
	if len(f.fields) == 0 {
		return true
	}
	v, _ := i.Fields.Value()
	have, _ := v.(map[string]engine.Value)
	for name, want := range f.fields {
		v, given := have[name]
		if d, err := engine.Encode(v); !given || err != nil || string(d) != want {
			return false
		}
	}
	return true
}

// each calls fn with the incidents that are chosen, from a cursor on, until it
// returns false after the last one of a page; then next is where it goes on.
func (c *carrier) each(ctx context.Context, f chosen, cursor string, page int, fn func(engine.Incident) (more bool)) (next string, err error) {
	for {
		list, next, err := c.r.cfg.State.Incidents(f.IncidentFilter, cursor, page)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return "", err
		}
		more := true
		for _, i := range list {
			if f.fits(i) {
				more = fn(i)
			}
		}
		if cursor = next; !more || next == "" {
			return next, nil
		}
	}
}

func performFind(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	f, err := c.chosen(s.Builtin, args)
	limit, _ := args["limit"].(int64)
	if err == nil && (limit < 1 || limit > maxFound) {
		err = engine.Errorf(engine.Invalid, "incidents.find: limit: got %d, want 1 to %d", limit, maxFound).WithHint("incidents.count counts without a limit")
	}
	if err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	if ok, err := c.flush(ctx); !ok || err != nil { // it sees what the run itself did
		return wire.Answer{}, parked, err
	}
	if whole, _ := args["whole"].(bool); whole {
		return c.findWhole(ctx, s, f, text(args["cursor"]))
	}
	list := []engine.Value{}
	_, err = c.each(ctx, f, "", int(min(limit, state.MaxPage)), func(i engine.Incident) bool {
		if int64(len(list)) < limit {
			list = append(list, engine.IncidentRef{ID: i.ID})
		}
		return int64(len(list)) < limit
	})
	if err != nil {
		return wire.Answer{}, parked, err
	}
	return c.answer(c.describe(s), list, nil)
}

// Sizes of what a where is shown in one step.
const (
	wholePage  = 20 // incidents read at once
	wholeItems = 200
	wholeBytes = 128 << 10
)

// findWhole answers with all that a where may look at, in parts.
func (c *carrier) findWhole(ctx context.Context, s *wire.Step, f chosen, cursor string) (wire.Answer, verdict, error) {
	items, size := []engine.Value{}, 0
	next, err := c.each(ctx, f, cursor, wholePage, func(i engine.Incident) bool {
		items = append(items, c.wholeValue(i))
		size += len(i.Fields) + len(i.Title)
		return len(items) < wholeItems && size < wholeBytes
	})
	if err != nil {
		if engine.KindOf(err) == engine.Invalid {
			return c.refuse(s, asStepError(err, s))
		}
		return wire.Answer{}, parked, err
	}
	return c.answer(c.describe(s), engine.Struct{Type: "incidents.page", Fields: map[string]engine.Value{"items": items, "next": next}}, nil)
}

// wholeValue is an incident as a where sees it, without further steps.
func (c *carrier) wholeValue(i engine.Incident) engine.Value {
	v := map[string]engine.Value{"id": engine.IncidentRef{ID: i.ID}}
	for _, name := range []string{"rule", "type", "title", "severity", "status", "owner", "team", "opened", "fields", "reporter", "reason", "link"} {
		v[name], _ = c.r.plainAttribute(i, name)
	}
	return v
}

func performCount(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	f, err := c.chosen(s.Builtin, args)
	if err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	if ok, err := c.flush(ctx); !ok || err != nil {
		return wire.Answer{}, parked, err
	}
	n := int64(0)
	if _, err := c.each(ctx, f, "", state.MaxPage, func(engine.Incident) bool { n++; return true }); err != nil {
		return wire.Answer{}, parked, err
	}
	return c.answer(c.describe(s), n, nil)
}

func performLookUp(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	if ok, err := c.flush(ctx); !ok || err != nil {
		return wire.Answer{}, parked, err
	}
	i, err := c.r.cfg.State.Incident(text(args["id"]))
	switch {
	case err == nil:
		return c.answer(c.describe(s), engine.IncidentRef{ID: i.ID}, nil)
	case engine.KindOf(err) == engine.NotFound:
		return c.answer(c.describe(s), nil, nil)
	}
	return wire.Answer{}, parked, err
}

const week = 7 * 24 * time.Hour

func performBaseline(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	window, over := time.Hour, 4*week
	if d, ok := args["window"].(time.Duration); ok {
		window = d
	}
	if d, ok := args["over"].(time.Duration); ok {
		over = d
	}
	weeks := int(over / week)
	switch {
	case window < time.Minute || window > week:
		return c.refuse(s, asStepError(engine.Errorf(engine.Invalid, "incidents.baseline: window: got %s, want 1m to 7d", calendar.FormatDuration(window)), s))
	case weeks < 1 || over+window > state.BaselineKept:
		return c.refuse(s, asStepError(engine.Errorf(engine.Invalid, "incidents.baseline: over: got %s, want at least a week, and with the window at most %s",
			calendar.FormatDuration(over), calendar.FormatDuration(state.BaselineKept)), s))
	}
	if ok, err := c.flush(ctx); !ok || err != nil {
		return wire.Answer{}, parked, err
	}
	v, err := c.baseline(text(args["type"]), window, weeks)
	if err != nil {
		return wire.Answer{}, parked, err
	}
	return c.answer(c.describe(s), v, nil)
}

// baseline compares the last window with the same one of the weeks before, by the
// workspace's clock.
func (c *carrier) baseline(kind string, window time.Duration, weeks int) (engine.Value, error) {
	at := c.moment().In(c.r.cfg.Zone())
	var before int64
	for n := 1; n <= weeks; n++ {
		to := at.AddDate(0, 0, -7*n)
		opened, err := c.r.cfg.State.Opened(kind, to.Add(-window), to)
		if err != nil {
			return nil, err
		}
		before += opened
	}
	now, err := c.r.cfg.State.Opened(kind, at.Add(-window), at)
	normal := float64(before) / float64(weeks)
	fields := map[string]engine.Value{"now": now, "normal": normal, "percent": nil}
	if before > 0 {
		fields["percent"] = int64(math.Round(100 * float64(now) / normal))
	}
	return engine.Struct{Type: "incidents.baseline", Fields: fields}, err
}
