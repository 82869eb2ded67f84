package api

import (
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// Incident is an incident with all that belongs to it.
type Incident struct {
	engine.Incident
	// Summary are the facts that playbooks set, in the order of first setting.
	Summary   []Fact                 `json:"summary"`
	Timeline  []engine.TimelineEntry `json:"timeline"`
	More      string                 `json:"timeline_next"` // cursor for …/timeline
	Runs      []engine.Run           `json:"runs"`
	Questions []engine.Question      `json:"questions"`
	Changes   []engine.Change        `json:"changes"`
	// Attachments are read at …/attachments/SHA256.
	Attachments []engine.Attachment `json:"attachments"`
	Indicators  []engine.Indicator  `json:"indicators"`
	Buttons     []engine.Button     `json:"buttons"`
	Deadlines   []engine.Deadline   `json:"deadlines"`
}

// Fact is one fact of a summary.
type Fact struct {
	Name  string      `json:"name"`
	Value engine.Data `json:"value"`
}

// Incidents serves GET incidents.
func (a *API) Incidents(c echo.Context) error {
	q := params(c, "status", "rule", "type", "severity", "owner", "deadline", "q", "limit", "cursor")
	f := engine.IncidentFilter{
		Status: q.oneOf("status", engine.IncidentOpen, engine.IncidentClosed), Rule: q.text("rule"), Type: q.text("type"),
		Severity: q.oneOf("severity", engine.Severities...), Owner: q.text("owner"), Deadline: q.oneOf("deadline", engine.Overdue), Text: q.text("q"),
	}
	limit := q.limit()
	if q.err != nil {
		return q.err
	}
	items, next, err := a.Desk.Incidents(who(c), f, q.text("cursor"), limit)
	for i := range items {
		items[i] = incident(items[i])
	}
	return page(c, items, next, err)
}

// incident makes an incident's data plain.
func incident(i engine.Incident) engine.Incident {
	i.Fields = desk.Plain(i.Fields)
	return i
}

// Incident serves GET incidents/:id.
func (a *API) Incident(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	s, err := a.Desk.Story(who(c), c.Param("id"), "")
	if err != nil {
		return err
	}
	out := Incident{
		Incident: incident(s.Incident), Summary: summary(s.Incident), Timeline: orEmpty(s.Timeline), More: s.More,
		Runs: orEmpty(s.Runs), Questions: orEmpty(s.Questions), Changes: orEmpty(s.Changes),
		Attachments: orEmpty(s.Attachments), Indicators: orEmpty(s.Indicators), Buttons: orEmpty(s.Buttons), Deadlines: orEmpty(s.Deadlines),
	}
	for i := range out.Deadlines {
		out.Deadlines[i].Args = desk.Plain(out.Deadlines[i].Args)
	}
	for i := range out.Runs {
		out.Runs[i] = run(out.Runs[i])
	}
	for i := range out.Questions {
		out.Questions[i] = question(out.Questions[i])
	}
	for i := range out.Changes {
		out.Changes[i] = change(out.Changes[i])
	}
	return write(c, http.StatusOK, out)
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func summary(i engine.Incident) []Fact {
	out := []Fact{}
	v, err := i.Fields.Value()
	fields, ok := v.(map[string]engine.Value)
	if err != nil || !ok {
		return out
	}
	for _, name := range i.Order {
		if value, ok := fields[name]; ok {
			out = append(out, Fact{name, desk.Plain(engine.MustEncode(value))})
		}
	}
	return out
}

// Attachment serves GET incidents/:id/attachments/:sum.
func (a *API) Attachment(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	one, content, err := a.Desk.Attachment(who(c), c.Param("id"), c.Param("sum"))
	if err != nil {
		return err
	}
	desk.Download(c.Response().Header(), one.Name)
	return c.Blob(http.StatusOK, echo.MIMEOctetStream, content)
}

// Timeline serves GET incidents/:id/timeline.
func (a *API) Timeline(c echo.Context) error {
	q := params(c, "limit", "cursor")
	limit := q.limit()
	if q.err != nil {
		return q.err
	}
	if _, err := a.Desk.Incident(who(c), c.Param("id")); err != nil {
		return err
	}
	items, next, err := a.Desk.Reader.Timeline(c.Param("id"), q.text("cursor"), limit)
	return page(c, items, next, err)
}

// Event is an event with its fields.
type Event struct {
	engine.Event
	Fields engine.Data `json:"fields"`
}

// Events serves GET incidents/:id/events.
func (a *API) Events(c echo.Context) error {
	q := params(c, "limit", "cursor")
	limit := q.limit()
	if q.err != nil {
		return q.err
	}
	if _, err := a.Desk.Incident(who(c), c.Param("id")); err != nil {
		return err
	}
	events, next, err := a.Desk.Reader.IncidentEvents(c.Param("id"), q.text("cursor"), limit)
	if err != nil {
		return err
	}
	items := make([]Event, len(events))
	for i, e := range events {
		fields, err := engine.Encode(e.Fields)
		if err != nil {
			return err
		}
		items[i] = Event{e, desk.Plain(fields)}
	}
	return page(c, items, next, nil)
}

// CloseBody is what closing takes.
type CloseBody struct {
	Reason string `json:"reason"`
	Code   string `json:"code"`
}

// CloseIncident serves POST incidents/:id/close.
func (a *API) CloseIncident(c echo.Context) error {
	var b CloseBody
	if err := body(c, &b); err != nil {
		return err
	}
	d, err := a.Desk.Close(c.Request().Context(), who(c), c.Param("id"), b.Reason, b.Code)
	return decided(c, d, err)
}

// ReasonBody is what reopening takes.
type ReasonBody struct {
	Reason string `json:"reason"`
}

// ReopenIncident serves POST incidents/:id/reopen.
func (a *API) ReopenIncident(c echo.Context) error {
	var b ReasonBody
	if err := body(c, &b); err != nil {
		return err
	}
	d, err := a.Desk.Reopen(c.Request().Context(), who(c), c.Param("id"), b.Reason)
	return decided(c, d, err)
}

// AssignBody is what assigning takes: a person or a team; pick, of a team:
// less-busy or random.
type AssignBody struct {
	To   string `json:"to"`
	Pick string `json:"pick"`
}

// AssignIncident serves POST incidents/:id/assign.
func (a *API) AssignIncident(c echo.Context) error {
	var b AssignBody
	if err := body(c, &b); err != nil {
		return err
	}
	d, err := a.Desk.Assign(c.Request().Context(), who(c), c.Param("id"), b.To, b.Pick)
	return decided(c, d, err)
}

// EscalateBody is what escalating takes.
type EscalateBody struct {
	Severity string `json:"severity"`
}

// EscalateIncident serves POST incidents/:id/escalate.
func (a *API) EscalateIncident(c echo.Context) error {
	var b EscalateBody
	if err := body(c, &b); err != nil {
		return err
	}
	d, err := a.Desk.Escalate(c.Request().Context(), who(c), c.Param("id"), b.Severity)
	return decided(c, d, err)
}

// SetBody is what setting facts takes: any JSON by name.
type SetBody struct {
	Fields map[string]json.RawMessage `json:"fields"`
}

// PressBody is the body of POST incidents/:id/press.
type PressBody struct {
	Button string `json:"button"` // its id
}

// PressIncident serves POST incidents/:id/press.
func (a *API) PressIncident(c echo.Context) error {
	var b PressBody
	if err := body(c, &b); err != nil {
		return err
	}
	d, err := a.Desk.Press(c.Request().Context(), who(c), c.Param("id"), b.Button)
	return decided(c, d, err)
}

// SetIncident serves POST incidents/:id/set.
func (a *API) SetIncident(c echo.Context) error {
	var b SetBody
	if err := body(c, &b); err != nil {
		return err
	}
	facts := make(map[string]engine.Value, len(b.Fields))
	for name, text := range b.Fields {
		v, err := engine.DecodeJSON(text)
		if err != nil {
			return err
		}
		facts[name] = v
	}
	d, err := a.Desk.SetFacts(c.Request().Context(), who(c), c.Param("id"), facts, sortedKeys(facts))
	return decided(c, d, err)
}

// NoteBody is what a note takes.
type NoteBody struct {
	Text string `json:"text"`
}

// NoteIncident serves POST incidents/:id/note.
func (a *API) NoteIncident(c echo.Context) error {
	var b NoteBody
	if err := body(c, &b); err != nil {
		return err
	}
	d, err := a.Desk.Note(c.Request().Context(), who(c), c.Param("id"), b.Text)
	return decided(c, d, err)
}
