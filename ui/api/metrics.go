package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// metric is one family of GET /metrics: totals since the ledger was made, one
// for each rule, type and severity.
type metric struct {
	name, help string
	of         func(*engine.Tally) int64
}

func metrics() []metric {
	return []metric{
		{"events_total", "Events seen, before rules.", func(t *engine.Tally) int64 { return t.Events }},
		{"matches_total", "Events that rules matched.", func(t *engine.Tally) int64 { return t.Matched }},
		{"incidents_opened_total", "Incidents opened.", func(t *engine.Tally) int64 { return t.Opened }},
		{"incidents_closed_total", "Incidents closed.", func(t *engine.Tally) int64 { return t.Closed }},
		{"incidents_reopened_total", "Incidents opened again.", func(t *engine.Tally) int64 { return t.Reopened }},
		{"incidents_moved_in_total", "Open incidents whose severity became this one.", func(t *engine.Tally) int64 { return t.MovedIn }},
		{"incidents_moved_out_total", "Open incidents whose severity was this one, and is another now.", func(t *engine.Tally) int64 { return t.MovedOut }},
		{"incidents_close_seconds_total", "How long closed incidents had been open.", func(t *engine.Tally) int64 { return t.CloseSeconds }},
		{"deadlines_breached_total", "Deadlines of incidents, sections and questions that were breached.", func(t *engine.Tally) int64 { return t.Breached }},
		{"runs_done_total", "Runs of playbooks and jobs that ended well.", func(t *engine.Tally) int64 { return t.RunsDone }},
		{"runs_failed_total", "Runs that failed.", func(t *engine.Tally) int64 { return t.RunsFailed }},
		{"runs_in_doubt_total", "Runs that stopped in doubt.", func(t *engine.Tally) int64 { return t.RunsInDoubt }},
		{"runs_diverged_total", "Runs whose replay took another way.", func(t *engine.Tally) int64 { return t.RunsDiverged }},
		{"runs_quarantined_total", "Runs that ended their workers.", func(t *engine.Tally) int64 { return t.RunsQuarantined }},
		{"steps_failed_total", "Steps that did not work.", func(t *engine.Tally) int64 { return t.StepsFailed }},
		{"saved_seconds_total", "Hand work that runs saved, as their rules state it.", func(t *engine.Tally) int64 { return t.SavedSeconds }},
		{"questions_asked_total", "Questions asked.", func(t *engine.Tally) int64 { return t.Asked }},
		{"questions_answered_total", "Questions answered.", func(t *engine.Tally) int64 { return t.Answered }},
		{"questions_timed_out_total", "Questions that nobody answered in time.", func(t *engine.Tally) int64 { return t.TimedOut }},
		{"questions_answer_seconds_total", "How long answers took.", func(t *engine.Tally) int64 { return t.AnswerSeconds }},
		{"changes_made_total", "Changes made.", func(t *engine.Tally) int64 { return t.Changes }},
		{"changes_undone_total", "Changes taken back.", func(t *engine.Tally) int64 { return t.Undone }},
		{"changes_undo_failed_total", "Changes that could not be taken back.", func(t *engine.Tally) int64 { return t.UndoFailed }},
		{"mails_sent_total", "Mails that a mail server took.", func(t *engine.Tally) int64 { return t.MailsSent }},
		{"mails_failed_total", "Mails that no mail server took.", func(t *engine.Tally) int64 { return t.MailsFailed }},
	}
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// Metrics serves GET /metrics in the text format of Prometheus, version 0.0.4.
func (a *API) Metrics(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	rows, err := a.Desk.Reader.Tallies(engine.TallyAll, a.Desk.Clock.Now(), a.Desk.Clock.Now())
	if err != nil {
		return err
	}
	counts, err := a.Desk.Counts(who(c))
	if err != nil {
		return err
	}
	scrub, ended := a.Desk.Scrubs.Scrubbing(), 0
	if scrub.Ended != nil {
		ended = int(scrub.Ended.Unix())
	}
	var b strings.Builder
	for _, g := range []struct {
		name, help string
		n          int
	}{
		{"incidents_open", "Incidents that are open.", counts.OpenIncidents},
		{"incidents_overdue", "Open incidents of which a deadline is breached.", counts.Overdue},
		{"questions_open", "Questions that wait for an answer.", counts.OpenQuestions},
		{"changes_in_force", "Changes in force.", counts.ChangesInForce},
		{"runs_waiting", "Runs that wait.", counts.WaitingRuns},
		{"scrub_findings", "What the last scrub, or the present one, found damaged.", len(scrub.Findings) + int(scrub.More)},
		{"scrub_running", "1 while a scrub goes on.", one(scrub.Running)},
		{"scrub_ended_seconds", "When the last scrub ended, in seconds since 1970; 0 before the first.", ended},
	} {
		fmt.Fprintf(&b, "# HELP larkspur_%s %s\n# TYPE larkspur_%s gauge\nlarkspur_%s %d\n", g.name, g.help, g.name, g.name, g.n)
	}
	rows = a.Desk.Counted(who(c), rows)
	for _, m := range metrics() {
		fmt.Fprintf(&b, "# HELP larkspur_%s %s\n# TYPE larkspur_%s counter\n", m.name, m.help, m.name)
		for i := range rows {
			if n := m.of(&rows[i].Tally); n != 0 {
				fmt.Fprintf(&b, "larkspur_%s%s %d\n", m.name, labels(rows[i].TallyGroup), n)
			}
		}
	}
	meters(&b, a.Desk.Meters())
	if err := a.recorded(&b); err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "text/plain; version=0.0.4; charset=utf-8", []byte(b.String()))
}

// meters writes the numbers of the program.
func meters(b *strings.Builder, list []desk.Meter) {
	for _, m := range list {
		fmt.Fprintf(b, "# HELP larkspur_%s %s\n# TYPE larkspur_%s %s\n", m.Name, m.Help, m.Name, m.Type)
		for _, s := range m.Samples {
			fmt.Fprintf(b, "larkspur_%s%s%s %s\n", m.Name, s.Suffix, labelSet(s.Labels), strconv.FormatFloat(s.Value, 'f', -1, 64))
		}
	}
}

// label writes one label.
func label(name, value string) string {
	return name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value) + `"`
}

// labels writes what a row counts as labels.
func labels(g engine.TallyGroup) string {
	return labelSet([][2]string{{"rule", g.Rule}, {"type", g.Type}, {"severity", g.Severity}})
}

// labelSet writes the labels that have a value.
func labelSet(labels [][2]string) string {
	var parts []string
	for _, l := range labels {
		if l[1] != "" {
			parts = append(parts, label(l[0], l[1]))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "{" + strings.Join(parts, ",") + "}"
}
