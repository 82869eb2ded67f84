package page

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

type rulesView struct {
	frame
	Items    []ruleView
	Jobs     []jobView
	Snapshot engine.Snapshot
	Hash     string
	Commit   string
	Errors   []engine.Problem
	Warnings []engine.Problem
}

type ruleView struct {
	engine.RuleStatus
	Position string
	When     string
	Limits   []string
}

type jobView struct {
	engine.JobStatus
	Position string
	When     string
	Next     []Moment // in the zone of its schedule
	Last     Moment
}

// Rules serves GET /rules.
func (p *Pages) Rules(c echo.Context) error {
	v := rulesView{frame: p.frame(c, "rules"), Snapshot: p.Desk.Rules.Snapshot()}
	v.Hash, v.Commit = short(v.Snapshot.Hash), short(v.Snapshot.Commit)
	v.Errors = errorsOf(v.Snapshot.Problems)
	for _, problem := range v.Snapshot.Problems {
		if problem.Severity != "error" {
			v.Warnings = append(v.Warnings, problem)
		}
	}
	for _, r := range p.Desk.Rules.RuleStatuses() {
		v.Items = append(v.Items, ruleView{RuleStatus: r, Position: position(r.At), When: triggers(r.When), Limits: limits(r.Rule)})
	}
	for _, j := range p.Desk.Jobs.Statuses() {
		v.Jobs = append(v.Jobs, v.job(j))
	}
	return p.render(c, http.StatusOK, "rules", v)
}

// job shows when a job fires, in the zone of its schedule.
func (v rulesView) job(j engine.JobStatus) jobView {
	view := jobView{JobStatus: j, Position: position(j.At), When: schedule(j.Job), Last: v.When(j.LastFired)}
	f := v.frame
	if zone, err := calendar.Zone(j.Zone); err == nil {
		f.Zone = zone
	}
	for _, at := range j.Next {
		view.Next = append(view.Next, f.When(at))
	}
	return view
}

// Spread is the time over which its firings are spread.
func (j jobView) Spread() string { return calendar.FormatDuration(j.Jitter) }

// RunJob serves POST /jobs/:name/run.
func (p *Pages) RunJob(c echo.Context) error {
	started, err := p.Desk.StartJob(c.Request().Context(), login.From(c.Request().Context()).Identity, c.Param("name"))
	switch {
	case err != nil:
		return err
	case !started.Applied:
		return desk.NotApplied(started.Decision)
	}
	return p.back(c, "/runs/"+started.Run, "started")
}

func position(p engine.Position) string {
	if p.File == "" {
		return ""
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Col)
}

func triggers(when []engine.Trigger) string {
	kinds := make([]string, len(when))
	for i, t := range when {
		kinds[i] = "on." + t.Kind
	}
	return strings.Join(kinds, ", ")
}

// limits lists what keeps a rule from doing too much, in words.
func limits(r engine.Rule) []string {
	var out []string
	switch {
	case r.DedupFunc:
		out = append(out, "one incident a key")
	case r.DedupSet && len(r.Dedup) == 0:
		out = append(out, "one open incident")
	case r.DedupSet:
		out = append(out, "one open incident a "+strings.Join(r.Dedup, ", "))
	}
	if r.Quiet > 0 {
		out = append(out, "quiet for "+calendar.FormatDuration(r.Quiet))
	}
	if r.ThrottleCount > 0 {
		out = append(out, "at most "+strconv.Itoa(r.ThrottleCount)+" incidents in "+calendar.FormatDuration(r.ThrottleSpan))
	}
	if r.MaxChangesCount > 0 {
		out = append(out, "asks after "+strconv.Itoa(r.MaxChangesCount)+" changes in "+calendar.FormatDuration(r.MaxChangesSpan))
	}
	if text := sla(r); text != "" {
		out = append(out, text)
	}
	return out
}

// sla says which deadlines incidents of a rule have.
func sla(r engine.Rule) string {
	var parts []string
	for _, name := range sorted(r.SLA) {
		parts = append(parts, name+" within "+calendar.FormatDuration(r.SLA[name]))
	}
	if len(parts) == 0 {
		return ""
	}
	text := strings.Join(parts, ", ")
	if r.Hours != "" {
		text += " in the hours of " + r.Hours
	}
	return text
}

func schedule(j engine.Job) string {
	if j.Cron == "" {
		return "every " + calendar.FormatDuration(j.Every)
	}
	return "cron " + j.Cron
}
