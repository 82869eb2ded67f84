package desk

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/ui/login"
)

// Overview is what an owner sees in five seconds: what needs somebody now, and
// what happened.
type Overview struct {
	Needs      []Need
	Severities []Number // open incidents, worst first
	Today      engine.Tally
	Week       engine.Tally // the last seven days, today included
	Hours      []Bar        // the last 24
	Days       []Bar        // the last 14
	Rules      []engine.TallyRow
}

// Need is something that waits for a person.
type Need struct {
	Tone string // bad or warn
	Text string
	// About says more, Link leads there, below the base path.
	About, Link string
}

// Number is a count with its name.
type Number struct {
	Name string
	N    int64
}

// Bar is one span of a chart.
type Bar struct {
	From           time.Time
	Opened, Closed int64
}

// Limits of an overview.
const (
	needsOfKind = 3 // shown of each kind, then how many more
	barHours    = 24
	barDays     = 14
	weekDays    = 7
	rulesShown  = 10
)

// Overview makes the overview of somebody at this moment.
func (d *Desk) Overview(who login.Identity) (Overview, error) {
	var o Overview
	var err error
	if o.Needs, err = d.needs(who); err != nil {
		return o, err
	}
	if err := d.happened(who, &o); err != nil {
		return o, err
	}
	all, err := d.Tallies(who, TallyFilter{By: engine.TallyAll, Group: "severity"})
	if err != nil {
		return o, err
	}
	for _, severity := range slices.Backward(engine.Severities) {
		for _, r := range all {
			if n := r.Open(); r.Severity == severity && n > 0 {
				o.Severities = append(o.Severities, Number{severity, n})
			}
		}
	}
	return o, nil
}

// happened fills in what was counted. Hours are summed up to days of the
// workspace's zone.
func (d *Desk) happened(who login.Identity, o *Overview) error {
	zone := d.Zone()
	now := d.Clock.Now().In(zone)
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, zone)
	week := today.AddDate(0, 0, 1-weekDays)
	hour := now.Truncate(time.Hour)
	for n := barHours - 1; n >= 0; n-- {
		o.Hours = append(o.Hours, Bar{From: hour.Add(-time.Duration(n) * time.Hour)})
	}
	for n := barDays - 1; n >= 0; n-- {
		o.Days = append(o.Days, Bar{From: today.AddDate(0, 0, -n)})
	}
	rows, err := d.Tallies(who, TallyFilter{By: engine.TallyHours, Since: o.Days[0].From.UTC(), Until: now.Add(time.Hour)})
	if err != nil {
		return err
	}
	for _, r := range rows {
		into(o.Hours, r)
		into(o.Days, r)
		if !r.Time.Before(today) {
			o.Today.Add(r.Tally)
		}
		if !r.Time.Before(week) {
			o.Week.Add(r.Tally)
		}
	}
	o.Rules, err = d.byRule(who, week.UTC().Truncate(24*time.Hour), now)
	return err
}

// byRule sums the days of UTC since a moment up for each rule, those that opened
// most first.
func (d *Desk) byRule(who login.Identity, since, now time.Time) ([]engine.TallyRow, error) {
	rows, err := d.Tallies(who, TallyFilter{By: engine.TallyDays, Since: since, Until: now.Add(time.Hour), Group: "rule"})
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	var list []engine.TallyRow
	for _, r := range rows {
		if r.Rule == "" {
			continue
		}
		i, known := at[r.Rule]
		if !known {
			i = len(list)
			at[r.Rule] = i
			list = append(list, engine.TallyRow{TallyGroup: engine.TallyGroup{Rule: r.Rule}})
		}
		list[i].Add(r.Tally)
	}
	slices.SortFunc(list, func(a, b engine.TallyRow) int {
		return cmp.Or(cmp.Compare(b.Opened, a.Opened), cmp.Compare(b.Matched, a.Matched), cmp.Compare(a.Rule, b.Rule))
	})
	return list[:min(len(list), rulesShown)], nil
}

// into counts a row in the bar of its time.
func into(bars []Bar, r engine.TallyRow) {
	for i := range slices.Backward(bars) {
		if !r.Time.Before(bars[i].From) {
			bars[i].Opened += r.Opened
			bars[i].Closed += r.Closed
			return
		}
	}
}

// needs lists what waits for a person, worst first.
func (d *Desk) needs(who login.Identity) ([]Need, error) {
	var list []Need
	for _, c := range faults(d.Health.Report()) {
		list = append(list, Need{c.Status, c.Name + ": " + c.Message, c.Hint, "/status"})
	}
	snapshot := d.Rules.Snapshot()
	list = append(list, problemNeeds(snapshot.Problems)...)
	clock, err := d.clockHeld()
	if err != nil {
		return nil, err
	}
	held, err := d.held(who)
	if err != nil {
		return nil, err
	}
	list = append(append(list, clock...), held...)
	for _, status := range []string{engine.RunInDoubt, engine.RunQuarantined, engine.RunDiverged} {
		runs, more, err := d.Runs(who, engine.RunFilter{Status: status}, "", needsOfKind)
		if err != nil {
			return nil, err
		}
		list = append(list, some(runs, more, "/runs?status="+status, "runs are "+Status(status), func(r engine.Run) Need {
			return Need{HealthFail, "Run " + r.ID + " is " + Status(status), r.Rule, "/runs/" + r.ID}
		})...)
	}
	changes, more, err := d.Changes(who, engine.ChangeFilter{Status: engine.ChangeUndoFailed}, "", needsOfKind)
	if err != nil {
		return nil, err
	}
	list = append(list, some(changes, more, "/changes?status=undo_failed", "changes could not be taken back", func(c engine.Change) Need {
		return Need{HealthFail, "Could not be taken back: " + c.Title, c.Error, "/changes?status=undo_failed"}
	})...)
	late, more, err := d.Incidents(who, engine.IncidentFilter{Status: engine.IncidentOpen, Deadline: engine.Overdue}, "", needsOfKind)
	if err != nil {
		return nil, err
	}
	list = append(list, some(late, more, "/?deadline="+engine.Overdue, "incidents are overdue", func(i engine.Incident) Need {
		return Need{HealthWarn, "Overdue: " + i.Title, i.Type, "/incidents/" + i.ID}
	})...)
	mails, more, err := d.Mails(who, "", needsOfKind)
	if err != nil {
		return nil, err
	}
	list = append(list, some(mails, more, "/status", "mails wait for the mail server (larkspur mails)", func(m engine.Mail) Need {
		next := m.Next.In(d.Zone()).Format("15:04 MST")
		return Need{HealthWarn, "A mail for " + strings.Join(m.To, ", ") + " waits: " + m.Subject, m.Error + "; next try at " + next, "/runs/" + m.Run}
	})...)
	for _, r := range d.Rules.RuleStatuses() {
		if r.LastError != "" {
			list = append(list, Need{HealthWarn, "Rule " + r.Name + " went wrong", r.LastError, "/rules/" + r.Name})
		}
	}
	slices.SortStableFunc(list, func(a, b Need) int { return cmp.Compare(toneOrder(a.Tone), toneOrder(b.Tone)) })
	asked, err := d.asked(who)
	return append(asked, list...), err
}

// held says that the brake is on, and how much waits.
func (d *Desk) held(who login.Identity) ([]Need, error) {
	b, err := d.Reader.Brake()
	if err != nil || !b.On {
		return nil, err
	}
	runs, more, err := d.Runs(who, engine.RunFilter{Status: engine.RunHeld}, "", DefaultLimit)
	text := "The brake is on"
	switch n := len(runs); {
	case more != "":
		text += ": many runs are held"
	case n == 1:
		text += ": one run is held"
	case n > 1:
		text += ": " + strconv.Itoa(n) + " runs are held"
	}
	return []Need{{HealthWarn, text, b.Why, "/brake"}}, err
}

// toneOrder sorts what is broken before what wants a look.
func toneOrder(tone string) int {
	if tone == HealthFail {
		return 0
	}
	return 1
}

// asked are the open questions that wait for somebody themselves.
func (d *Desk) asked(who login.Identity) ([]Need, error) {
	open, more, err := d.Questions(who, engine.QuestionFilter{Status: engine.QuestionOpen}, "", DefaultLimit)
	if err != nil {
		return nil, err
	}
	mine := slices.DeleteFunc(open, func(q engine.Question) bool { return !Asked(who, q) })
	if len(mine) <= needsOfKind {
		more = ""
	}
	return some(mine, more, "/questions", "questions wait for an answer", func(q engine.Question) Need {
		return Need{HealthWarn, q.Text, "asks you", "/questions/" + q.ID}
	}), nil
}

// some makes needs of the first items, and one of the rest.
func some[T any](items []T, more, link, rest string, of func(T) Need) []Need {
	var list []Need
	for _, item := range items[:min(len(items), needsOfKind)] {
		list = append(list, of(item))
	}
	if more != "" || len(items) > needsOfKind {
		list = append(list, Need{list[len(list)-1].Tone, "More " + rest, "", link})
	}
	return list
}

// problemNeeds sum the errors of the newest files up.
func problemNeeds(problems []engine.Problem) []Need {
	errors := slices.DeleteFunc(slices.Clone(problems), func(p engine.Problem) bool { return p.Severity != "error" })
	if len(errors) == 0 {
		return nil
	}
	p := errors[0]
	text := "The newest files have an error"
	if len(errors) > 1 {
		text = "The newest files have " + plural(len(errors), "error")
	}
	return []Need{{HealthFail, text + ": an older version keeps running", p.File + ": " + p.Message, "/rules"}}
}

// faults are the lowest nodes of a health tree that are not well.
func faults(c Check) []Check {
	var list []Check
	for _, child := range c.Children {
		list = append(list, faults(child)...)
	}
	if len(list) == 0 && c.Status != HealthOK {
		list = []Check{c}
	}
	return list
}
