package page

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

// Limits of one incident's page; the rest is a link away.
const (
	incidentRuns  = 10
	incidentSteps = 20
)

type incidentView struct {
	frame
	engine.Incident
	Facts      []Fact
	EventFact  []Fact
	Decisions  []engine.Question
	Asked      []askView // open, that may be seen
	Runs       []RunView
	Side       []engine.Run // outbox, undo: told in one line
	InForce    []engine.Change
	Past       []engine.Change
	Timeline   []engine.TimelineEntry
	Files      []fileView
	Indicators []indicatorView
	Buttons    []engine.Button
	Deadlines  []deadlineView
	More       string
	Inputs     map[string]string // what was typed into a form that was refused
	Erasing    *engine.Erasure   // what an erasure would take, to be confirmed
	Problems   desk.Problems
	// Whom it can be assigned to, and what its severity can be.
	People, Teams, Severities []string
}

// Incident serves GET /incidents/:id.
func (p *Pages) Incident(c echo.Context) error {
	return p.incident(c, http.StatusOK, nil, nil)
}

// incident writes the page, with what was wrong in a form of it.
func (p *Pages) incident(c echo.Context, status int, inputs map[string]string, problems desk.Problems) error {
	f := p.frame(c, "incidents")
	s, err := p.Desk.Story(f.Who, c.Param("id"), c.QueryParam("timeline"))
	if err != nil {
		return err
	}
	v := incidentView{
		frame: f, Incident: s.Incident, Facts: facts(s.Incident, f.Zone), Timeline: s.Timeline,
		Inputs: inputs, Problems: problems, Buttons: s.Buttons,
	}
	v.Severities = engine.Severities
	if p.Desk.Assignees != nil && f.MayWork() {
		v.People, v.Teams = p.Desk.Assignees()
	}
	v.addEvidence(s)
	for _, d := range s.Deadlines {
		v.Deadlines = append(v.Deadlines, deadlineView{d})
	}
	if s.More != "" {
		v.More = with(nil, "timeline", s.More)
	}
	if s.Incident.Event != "" {
		if e, err := p.Desk.Reader.Event(s.Incident.Event); err == nil {
			v.EventFact = eventFacts(f, e)
		}
	}
	for _, q := range s.Questions {
		switch q.Status {
		case engine.QuestionOpen:
			v.Asked = append(v.Asked, p.askSignedIn(f, q, desk.Input{}, nil))
		default:
			v.Decisions = append(v.Decisions, q)
		}
	}
	for _, change := range s.Changes {
		if change.Status == engine.ChangeUndone {
			v.Past = append(v.Past, change)
		} else {
			v.InForce = append(v.InForce, change)
		}
	}
	if err := p.addRuns(&v, s.Runs); err != nil {
		return err
	}
	v.Erasing, _ = c.Get(erasingKey).(*engine.Erasure)
	return p.render(c, status, "incident", v)
}

func (p *Pages) addRuns(v *incidentView, runs []engine.Run) error {
	for _, r := range runs {
		if r.Purpose == "outbox" || r.Purpose == "undo" || len(v.Runs) == incidentRuns {
			v.Side = append(v.Side, r)
			continue
		}
		steps, err := p.Desk.Reader.Steps(r.ID)
		if err != nil {
			return err
		}
		v.Runs = append(v.Runs, p.runView(v.frame, r, steps, -1, incidentSteps))
	}
	return nil
}

// Said is what a line of the timeline says, its moment in the workspace's zone.
func (v incidentView) Said(e engine.TimelineEntry) string {
	if text, ok := strings.CutSuffix(e.Text, e.Until.Format(engine.UntilLayout)); ok && !e.Until.IsZero() {
		return text + v.When(e.Until).Text
	}
	return e.Text
}

// Actor is who a timeline's entry names besides its run.
func (v incidentView) Actor(e engine.TimelineEntry) string {
	if e.Run != "" && e.By == "run "+e.Run {
		return ""
	}
	return e.By
}

// Decision says in one line what came of a question.
func (v incidentView) Decision(q engine.Question) string { return decision(q) }

// decision says in one line what came of a question.
func decision(q engine.Question) string {
	switch {
	case q.Erased != nil:
		return q.Erased.String()
	case q.Status == engine.QuestionWithdrawn:
		return "withdrawn"
	case q.Answer == nil:
		return desk.Status(q.Status)
	case q.Answer.TimedOut && q.Answer.Choice == "":
		return "nobody answered in time"
	case q.Answer.TimedOut:
		return q.Answer.Choice + " (nobody answered in time)"
	}
	what := q.Answer.Choice
	if what == "" {
		what = "answered"
	}
	return what + " by " + q.Answer.By
}

// eventFacts are the fields of the event that opened an incident.
func eventFacts(f frame, e engine.Event) []Fact {
	out := []Fact{
		{Name: "Kind", Value: e.Kind},
		{Name: "Source", Value: e.Source},
		{Name: "Time", Value: f.Exact(e.Time).Text},
	}
	if e.Erased != nil {
		out = append(out, Fact{Name: "Fields", Value: e.Erased.String()})
	}
	for _, name := range sorted(e.Fields) {
		if len(out) == maxEventFacts {
			break
		}
		text := strings.ToValidUTF8(desk.Text(e.Fields[name], f.Zone), "\uFFFD")
		if text == "" {
			continue
		}
		if len(text) > maxShown {
			text = strings.ToValidUTF8(text[:maxShown], "") + "…"
		}
		out = append(out, Fact{Name: name, Value: text})
	}
	return out
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// CloseIncident serves POST /incidents/:id/close.
func (p *Pages) CloseIncident(c echo.Context) error {
	return p.act(c, "closed", func(who login.Identity, form map[string]string) (engine.Decision, error) {
		return p.Desk.Close(c.Request().Context(), who, c.Param("id"), form["reason"], form["code"])
	})
}

// ReopenIncident serves POST /incidents/:id/reopen.
func (p *Pages) ReopenIncident(c echo.Context) error {
	return p.act(c, "reopened", func(who login.Identity, form map[string]string) (engine.Decision, error) {
		return p.Desk.Reopen(c.Request().Context(), who, c.Param("id"), form["reason"])
	})
}

// NoteIncident serves POST /incidents/:id/note.
func (p *Pages) NoteIncident(c echo.Context) error {
	return p.act(c, "noted", func(who login.Identity, form map[string]string) (engine.Decision, error) {
		return p.Desk.Note(c.Request().Context(), who, c.Param("id"), form["text"])
	})
}

// AssignIncident serves POST /incidents/:id/assign.
func (p *Pages) AssignIncident(c echo.Context) error {
	return p.act(c, "assigned", func(who login.Identity, form map[string]string) (engine.Decision, error) {
		return p.Desk.Assign(c.Request().Context(), who, c.Param("id"), form["to"], form["pick"])
	})
}

// EscalateIncident serves POST /incidents/:id/escalate.
func (p *Pages) EscalateIncident(c echo.Context) error {
	return p.act(c, "escalated", func(who login.Identity, form map[string]string) (engine.Decision, error) {
		return p.Desk.Escalate(c.Request().Context(), who, c.Param("id"), form["severity"])
	})
}

// SetIncident serves POST /incidents/:id/set.
func (p *Pages) SetIncident(c echo.Context) error {
	return p.act(c, "set", func(who login.Identity, form map[string]string) (engine.Decision, error) {
		name := strings.TrimSpace(form["name"])
		return p.Desk.SetFacts(c.Request().Context(), who, c.Param("id"), map[string]engine.Value{name: form["value"]}, []string{name})
	})
}

// act does what a form on an incident's page asks, and shows the page again
// when something in the form was wrong.
func (p *Pages) act(c echo.Context, done string, do func(login.Identity, map[string]string) (engine.Decision, error)) error {
	form := map[string]string{}
	for _, name := range []string{"reason", "code", "text", "to", "pick", "severity", "name", "value", "button"} {
		value, err := formValue(c, name)
		if err != nil {
			return err
		}
		form[name] = value
	}
	d, err := do(login.From(c.Request().Context()).Identity, form)
	var problems desk.Problems
	switch {
	case errors.As(err, &problems):
		return p.incident(c, http.StatusBadRequest, form, problems)
	case err != nil:
		return err
	case !d.Applied:
		return desk.NotApplied(d)
	}
	return p.back(c, "/incidents/"+c.Param("id"), done)
}

// erasingKey is where a request keeps what an erasure would take.
const erasingKey = "erasing"

// EraseIncident serves POST /incidents/:id/erase: first it shows what would go,
// then, confirmed, it has it erased.
func (p *Pages) EraseIncident(c echo.Context) error {
	because, err := formValue(c, "because")
	if err != nil {
		return err
	}
	confirmed := c.Request().PostForm.Get("confirm") != ""
	who := login.From(c.Request().Context()).Identity
	req := engine.ErasureRequest{Incident: c.Param("id"), Because: because, Snapshots: c.Request().PostForm.Get("snapshots") != ""}
	e, err := p.Desk.Erase(c.Request().Context(), who, req, !confirmed)
	inputs := map[string]string{"because": because}
	var problems desk.Problems
	switch {
	case errors.As(err, &problems):
		return p.incident(c, http.StatusBadRequest, inputs, problems)
	case err != nil:
		return err
	case confirmed:
		return p.back(c, "/incidents/"+c.Param("id"), "erasing")
	}
	c.Set(erasingKey, &e)
	return p.incident(c, http.StatusOK, inputs, nil)
}
