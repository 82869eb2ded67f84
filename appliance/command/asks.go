package command

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
)

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

func runIncidents(c *call) error {
	act := func(verb string, body func(*question) any) func(*question) error {
		return func(q *question) error {
			return post(q, "incidents/"+q.id()+"/"+verb, body(q), decided)
		}
	}
	return c.client([]ask{
		{"list", "", func(q *question) error { return get(q, "incidents"+q.query(), showIncidents) }},
		{"show", "ID", func(q *question) error { return get(q, "incidents/"+q.id(), showIncident) }},
		{"close", "ID", func(q *question) error {
			if q.opts.reason == "" {
				return usagef("close wants a reason: larkspur incidents close %s --reason TEXT", q.args[0])
			}
			return act("close", func(q *question) any {
				return map[string]string{"reason": q.opts.reason, "code": q.opts.code}
			})(q)
		}},
		{"reopen", "ID", act("reopen", func(q *question) any { return map[string]string{"reason": q.opts.reason} })},
		{"assign", "ID WHO", act("assign", func(q *question) any { return map[string]string{"to": q.args[1], "pick": q.opts.pick} })},
		{"escalate", "ID SEVERITY", act("escalate", func(q *question) any { return map[string]string{"severity": q.args[1]} })},
		{"set", "ID TEXT", setFacts},
		{"note", "ID TEXT", act("note", func(q *question) any { return map[string]string{"text": strings.Join(q.args[1:], " ")} })},
	})
}

// setFacts sets facts, written as NAME=VALUE: JSON, or else a text.
func setFacts(q *question) error {
	facts := map[string]any{}
	for _, arg := range q.args[1:] {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return usagef("set wants facts like ticket=T-1, got %q", arg)
		}
		if facts[name] = value; json.Valid([]byte(value)) {
			facts[name] = json.RawMessage(value)
		}
	}
	return post(q, "incidents/"+q.id()+"/set", map[string]any{"fields": facts}, decided)
}

func showIncidents(w io.Writer, p page[engine.Incident]) {
	fmt.Fprintln(w, "ID\tSTATUS\tSEVERITY\tOPENED\tDUE\tTITLE")
	for _, i := range p.Items {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", i.ID, i.Status, i.Severity, stamp(i.Opened), cmp.Or(i.Deadline(), stamp(i.Due)), i.Title)
	}
}

// incidentAnswer is what GET incidents/ID answers.
type incidentAnswer struct {
	engine.Incident
	Summary []struct {
		Name  string `json:"name"`
		Value any    `json:"value"`
	} `json:"summary"`
	Timeline  []engine.TimelineEntry `json:"timeline"`
	Runs      []engine.Run           `json:"runs"`
	Questions []engine.Question      `json:"questions"`
	Changes   []engine.Change        `json:"changes"`
}

func showIncident(w io.Writer, i incidentAnswer) {
	fmt.Fprintf(w, "%s  %s\n%s, %s, opened %s\n", i.ID, i.Title, i.Status, i.Severity, stamp(i.Opened))
	if i.Owner != "" || i.Team != "" {
		fmt.Fprintf(w, "owner: %s, team: %s\n", cmp.Or(i.Owner, "-"), cmp.Or(i.Team, "-"))
	}
	if i.Reason != "" {
		fmt.Fprintf(w, "closed by %s: %s\n", i.ClosedBy, i.Reason)
	}
	for _, fact := range i.Summary {
		fmt.Fprintf(w, "%s: %v\n", fact.Name, fact.Value)
	}
	fmt.Fprintln(w)
	for _, e := range i.Timeline {
		fmt.Fprintf(w, "%s\t%s\t%s\n", stamp(e.Time), e.By, e.Text)
	}
	fmt.Fprintln(w)
	showRuns(w, page[engine.Run]{Items: i.Runs})
}

func runRuns(c *call) error {
	return c.client([]ask{
		{"list", "", func(q *question) error { return get(q, "runs"+q.query(), showRuns) }},
		{"show", "ID", func(q *question) error { return get(q, "runs/"+q.id(), showRun) }},
		{"resolve", "ID STEP", resolveStep},
		{"restart", "ID STEP", restartRun},
		{"undo", "ID", undoRun},
	})
}

// runPause presses the brake, runResume lets it go.
func runPause(c *call) error  { return c.brake("pause") }
func runResume(c *call) error { return c.brake("resume") }

func (c *call) brake(verb string) error {
	return c.client([]ask{{"", "", func(q *question) error {
		return post(q, verb, map[string]string{"reason": q.opts.reason}, decided)
	}}})
}

// runClock shows whether timers wait because the clock jumped, and takes what it
// says for the time.
func runClock(c *call) error {
	return c.client([]ask{
		{"show", "", func(q *question) error { return get(q, "clock", showClock) }},
		{"accept", "", func(q *question) error {
			return post(q, "clock/accept", map[string]string{"reason": q.opts.reason}, decided)
		}},
	})
}

func showClock(w io.Writer, h engine.ClockHold) {
	if !h.On {
		fmt.Fprintln(w, "nothing is held: the clock is taken for right")
		return
	}
	fmt.Fprintf(w, "no timer fires since %s: %s\n", stamp(h.Since), h.Why)
	fmt.Fprintf(w, "the time was %s, and the clock said %s\n", stamp(h.From), stamp(h.To))
	fmt.Fprintln(w, "if the clock is right now: larkspur clock accept")
}

// restartRun lets a run go on from a step again.
func restartRun(q *question) error {
	body := map[string]any{"step": q.args[1], "script": q.opts.script, "reason": q.opts.reason}
	if q.opts.answer != "" {
		if !json.Valid([]byte(q.opts.answer)) {
			return usagef("--answer: want JSON, got %q; a text stands in quotes: --answer '\"Allow\"'", q.opts.answer)
		}
		body["answer"] = json.RawMessage(q.opts.answer)
	}
	return restart(q, "restart", body)
}

// undoRun takes back all that a run changed.
func undoRun(q *question) error {
	return restart(q, "undo", map[string]any{"reason": q.opts.reason})
}

func restart(q *question, verb string, body map[string]any) error {
	if path := "runs/" + q.id() + "/" + verb; !q.opts.dry {
		return post(q, path, body, decided)
	} else {
		body["dry"] = true
		return post(q, path, body, showPreview)
	}
}

func showPreview(w io.Writer, p engine.RestartPreview) {
	for _, c := range p.Undone {
		fmt.Fprintf(w, "taken back first\t%s\t%s\n", c.ID, c.Title)
	}
	for _, s := range p.Unknown {
		fmt.Fprintf(w, "nobody knows\t%s\t%s at %s\n", engine.StepID(s.Path, s.Number), s.Builtin, s.At)
	}
	for _, s := range p.Cannot {
		fmt.Fprintf(w, "stays as it is\t%s\t%s at %s %.80s\n", engine.StepID(s.Path, s.Number), s.Builtin, s.At, s.Args)
	}
	for _, q := range p.Questions {
		fmt.Fprintf(w, "withdrawn\t%s\t%.80s\n", q.ID, q.Text)
	}
	if p.Differs != nil {
		fmt.Fprintf(w, "the live script differs\t%s\t%s\n", p.Differs.Step, p.Differs.Message)
	}
	if p.Closed {
		fmt.Fprintln(w, "the incident is closed: what the run would wait for ends at once")
	}
	switch {
	case p.Step != "":
		fmt.Fprintf(w, "it would go on with\tbundle %.12s\n", p.Bundle)
	case len(p.Undone) == 0:
		fmt.Fprintln(w, "nothing would be taken back; the run would be undone")
	default:
		fmt.Fprintln(w, "then the run would be undone")
	}
}

// resolveStep says of a step in doubt what became of it.
func resolveStep(q *question) error {
	if q.opts.outcome == "" {
		return usagef("resolve wants an outcome: larkspur runs resolve %s %s --outcome happened, again or skip; release or drop, if it is held", q.args[0], q.args[1])
	}
	body := map[string]any{"step": q.args[1], "outcome": q.opts.outcome, "reason": q.opts.reason}
	if q.opts.value != "" {
		if !json.Valid([]byte(q.opts.value)) {
			return usagef("--value: want JSON, got %q", q.opts.value)
		}
		body["value"] = json.RawMessage(q.opts.value)
	}
	return post(q, "runs/"+q.id()+"/resolve", body, decided)
}

func showRuns(w io.Writer, p page[engine.Run]) {
	fmt.Fprintln(w, "ID\tSTATUS\tPURPOSE\tRULE\tINCIDENT\tSTARTED\tWAITS FOR")
	for _, r := range p.Items {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Status, r.Purpose, r.Rule, r.Incident, stamp(r.Started), r.Waits)
	}
}

// runAnswer is what GET runs/ID answers.
type runAnswer struct {
	engine.Run
	Steps []engine.Step `json:"steps"`
}

func showRun(w io.Writer, r runAnswer) {
	fmt.Fprintf(w, "%s  %s, bundle %.12s\n", r.ID, r.Status, r.Bundle)
	if r.Error != nil {
		fmt.Fprintf(w, "%s  %s\n", r.Error.At, r.Error.Message)
	}
	fmt.Fprintln(w, "\nSTEP\tSTATUS\tBUILTIN\tAT\tRESULT")
	for _, s := range r.Steps {
		result := string(s.Result)
		if s.Error != nil {
			result = s.Error.Message
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.80s\n", engine.StepID(s.Path, s.Number), s.Status, s.Builtin, s.At, result)
	}
}

func runChanges(c *call) error {
	return c.client([]ask{
		{"list", "", func(q *question) error { return get(q, "changes"+q.query(), showChanges) }},
		{"undo", "ID", func(q *question) error {
			return post(q, "changes/"+q.id()+"/undo", map[string]string{"reason": q.opts.reason, "script": q.opts.script}, decided)
		}},
	})
}

func showChanges(w io.Writer, p page[engine.Change]) {
	fmt.Fprintln(w, "ID\tSTATUS\tMADE\tENDS\tINCIDENT\tCHANGE")
	for _, c := range p.Items {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.ID, c.Status, stamp(c.Made), stamp(c.Expires), c.Incident, c.Title)
	}
}

func runDevices(c *call) error {
	return c.client([]ask{
		{"list", "", func(q *question) error { return get(q, "devices"+q.query(), showDevices) }},
		{"revoke", "ID", func(q *question) error {
			return post(q, "devices/"+q.id()+"/revoke", map[string]string{"reason": q.opts.reason}, decided)
		}},
	})
}

func showDevices(w io.Writer, p page[engine.Device]) {
	fmt.Fprintln(w, "ID\tOF\tBROWSER\tPAIRED\tLAST USED\tUNTIL\tREVOKED")
	for _, d := range p.Items {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, cmp.Or(d.Owner(), "-"), d.Name, stamp(d.Paired), stamp(d.Used), stamp(d.Expires), stamp(d.Revoked))
	}
}

func runRules(c *call) error {
	return c.client([]ask{
		{"list", "", func(q *question) error { return get(q, "rules", showRules) }},
		{"run", "JOB", func(q *question) error { return post(q, "jobs/"+q.id()+"/run", struct{}{}, showStarted) }},
	})
}

// rulesAnswer is what GET rules answers.
type rulesAnswer struct {
	page[engine.RuleStatus]
	Jobs     []engine.JobStatus `json:"jobs"`
	Problems []engine.Problem   `json:"problems"`
}

func showStarted(w io.Writer, s engine.JobStart) { fmt.Fprintln(w, "started as run", s.Run) }

// showJobs writes the next firings in the zone of each schedule.
func showJobs(w io.Writer, jobs []engine.JobStatus) {
	if len(jobs) == 0 {
		return
	}
	fmt.Fprintln(w, "\nJOB\tMODE\tLAST RUN\tZONE\tNEXT\tLAST ERROR")
	for _, j := range jobs {
		zone, err := calendar.Zone(j.Zone)
		if err != nil {
			zone = time.UTC
		}
		next := make([]string, len(j.Next))
		for n, at := range j.Next {
			next[n] = at.In(zone).Format("Mon 2 Jan 15:04:05 MST")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", j.Name, j.Mode, cmp.Or(j.LastRun, "-"), j.Zone, strings.Join(next, ", "), j.LastError)
	}
}

func showRules(w io.Writer, r rulesAnswer) {
	fmt.Fprintln(w, "RULE\tMODE\tHITS\tLAST\tAT\tLAST ERROR")
	for _, rule := range r.Items {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", rule.Name, rule.Mode, rule.Hits, stamp(rule.LastHit), rule.At, rule.LastError)
	}
	showJobs(w, r.Jobs)
	for _, p := range r.Problems {
		printProblem(w, "", p)
	}
}

func runLogin(c *call) error {
	return c.client([]ask{{"", "[PERSON]", func(q *question) error {
		person := q.client.admin
		if len(q.args) > 0 {
			person = q.args[0]
		}
		if person == "" {
			return usagef("for whom? Name somebody of people in larkspur.yaml")
		}
		return post(q, "login", map[string]string{"person": person}, func(w io.Writer, a struct {
			URL     string    `json:"url"`
			Expires time.Time `json:"expires"`
		}) {
			fmt.Fprintf(w, "%s\nsigns %s in, opens once, before %s\n", a.URL, person, stamp(a.Expires))
		})
	}}})
}
