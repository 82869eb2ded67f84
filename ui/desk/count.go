package desk

import (
	"slices"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/ui/login"
)

// maxAskedHidden bounds how many open questions are looked at to count those that
// are asked of somebody about incidents that they may not see.
const maxAskedHidden = 500

// Counts returns what headers show: of what somebody may see.
func (d *Desk) Counts(who login.Identity) (engine.Counts, error) {
	counts, err := d.Reader.Counts()
	if err != nil || who.May(login.SeeAll) {
		return counts, err
	}
	hidden, err := d.Reader.Hidden()
	if err != nil {
		return counts, err
	}
	questions := 0
	for _, h := range hidden {
		if maySee(who, engine.Incident{Visible: VisibleToTeam, Team: h.Team, Owner: h.Owner}) {
			continue
		}
		counts.OpenIncidents -= h.Counts.OpenIncidents
		counts.ChangesInForce -= h.Counts.ChangesInForce
		counts.Overdue -= h.Counts.Overdue
		questions += h.Counts.OpenQuestions
	}
	if questions == 0 {
		return counts, nil
	}
	asked, err := d.askedHidden(who)
	counts.OpenQuestions += asked - questions
	return counts, err
}

// askedHidden counts open questions that are asked of somebody who may not see
// their incidents.
func (d *Desk) askedHidden(who login.Identity) (n int, err error) {
	open, _, err := d.Reader.Questions(engine.QuestionFilter{Status: engine.QuestionOpen}, "", maxAskedHidden)
	s := d.sight(who)
	for _, q := range open {
		if Asked(who, q) && !s.of(q.Incident) {
			n++
		}
	}
	return n, err
}

// TallyFilter selects what was counted; empty parts select all.
type TallyFilter struct {
	By                   string // engine.TallyHours, TallyDays, TallyAll
	Since, Until         time.Time
	Rule, Type, Severity string
	// Group leaves one of rule, type and severity apart; "" sums over all.
	Group string
}

// Tallies sums up what was counted of what somebody may see, oldest first.
func (d *Desk) Tallies(who login.Identity, f TallyFilter) ([]engine.TallyRow, error) {
	by := f.By
	if by == engine.TallyHours && f.Group == "" && f.Rule+f.Type+f.Severity == "" {
		by = engine.TallySums
	}
	rows, err := d.Reader.Tallies(by, f.Since, f.Until)
	if err != nil {
		return nil, err
	}
	sums := map[engine.TallyGroup]*engine.TallyRow{}
	var out []*engine.TallyRow
	for _, r := range rows {
		if !f.selects(r) || !mayCount(who, r) {
			continue
		}
		key := f.group(r)
		if sums[key] == nil {
			sums[key] = &engine.TallyRow{TallyGroup: key}
			out = append(out, sums[key])
		}
		sums[key].Add(r.Tally)
	}
	list := make([]engine.TallyRow, len(out))
	for i, r := range out {
		list[i] = *r
	}
	slices.SortStableFunc(list, func(a, b engine.TallyRow) int {
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Rule+a.Type+a.Severity, b.Rule+b.Type+b.Severity)
	})
	return list, nil
}

func (f *TallyFilter) selects(r engine.TallyRow) bool {
	fits := func(want, got string) bool { return want == "" || want == got }
	return fits(f.Rule, r.Rule) && fits(f.Type, r.Type) && fits(f.Severity, r.Severity)
}

func (f *TallyFilter) group(r engine.TallyRow) engine.TallyGroup {
	key := engine.TallyGroup{Time: r.Time, Rule: f.Rule, Type: f.Type, Severity: f.Severity}
	switch f.Group {
	case "rule":
		key.Rule = r.Rule
	case "type":
		key.Type = r.Type
	case "severity":
		key.Severity = r.Severity
	}
	return key
}

// mayCount reports whether a row is of incidents that somebody may see.
func mayCount(who login.Identity, r engine.TallyRow) bool {
	return r.Team == "" || who.May(login.SeeAll) || who.InTeam(r.Team)
}

// Hits lists what a rule matched, of what somebody may see.
func (d *Desk) Hits(who login.Identity, rule, cursor string, limit int) ([]engine.Hit, string, error) {
	s := d.sight(who)
	return paged(cursor, limit, func(cursor string, limit int) ([]engine.Hit, string, error) {
		return d.Reader.RuleMatches(rule, cursor, limit)
	}, func(h engine.Hit) bool { return s.of(h.Incident) })
}

// Counted sums rows up for each rule, type and severity, of what somebody may
// see.
func (d *Desk) Counted(who login.Identity, rows []engine.TallyRow) []engine.TallyRow {
	at := map[engine.TallyGroup]int{}
	var out []engine.TallyRow
	for _, r := range rows {
		if !mayCount(who, r) {
			continue
		}
		r.Team = ""
		i, known := at[r.TallyGroup]
		if !known {
			i = len(out)
			at[r.TallyGroup] = i
			out = append(out, engine.TallyRow{TallyGroup: r.TallyGroup})
		}
		out[i].Add(r.Tally)
	}
	slices.SortFunc(out, func(a, b engine.TallyRow) int {
		return strings.Compare(a.Rule+a.Type+a.Severity, b.Rule+b.Type+b.Severity)
	})
	return out
}
