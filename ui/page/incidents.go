package page

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

type incidentsView struct {
	frame
	Items      []engine.Incident
	Filter     engine.IncidentFilter
	Status     string // open, closed, all
	Tabs       []Tab
	Severities []string
	Filtered   bool
	Next       string // the next page's address
	Later      bool   // this is not the first page
	Wider      string // the same in all incidents
	Rules      int
	Broken     int // errors of the newest files
}

// Tab is a link that narrows a list.
type Tab struct {
	Text, Link string
	On         bool
}

// Incidents serves GET /, the list of incidents.
func (p *Pages) Incidents(c echo.Context) error {
	v := incidentsView{frame: p.frame(c, "incidents"), Severities: engine.Severities}
	q := c.QueryParams()
	v.Status = oneOf(q.Get("status"), engine.IncidentOpen, engine.IncidentClosed, "all")
	v.Filter = engine.IncidentFilter{
		Status: v.Status, Rule: q.Get("rule"), Type: q.Get("type"), Severity: q.Get("severity"),
		Owner: q.Get("owner"), Text: q.Get("q"),
	}
	if q.Get("deadline") == engine.Overdue {
		v.Filter.Deadline = engine.Overdue
	}
	if v.Status == "all" {
		v.Filter.Status = ""
	}
	var next string
	var err error
	v.Items, next, err = p.Desk.Incidents(v.Who, v.Filter, q.Get("cursor"), desk.DefaultLimit)
	if err != nil {
		return err
	}
	v.Next, v.Later = nextPage(q, next), q.Get("cursor") != ""
	v.Wider = with(q, "status", "all")
	v.Filtered = v.Filter != engine.IncidentFilter{Status: v.Filter.Status}
	v.Tabs = tabs(q, "status", v.Status, engine.IncidentOpen, engine.IncidentClosed, "all")
	v.Rules = len(p.Desk.Rules.RuleStatuses())
	v.Broken = len(errorsOf(p.Desk.Rules.Snapshot().Problems))
	return p.render(c, http.StatusOK, "incidents", v)
}

// oneOf returns value when it is one of the allowed, else the first of them.
func oneOf(value string, allowed ...string) string {
	for _, a := range allowed {
		if a == value {
			return value
		}
	}
	return allowed[0]
}

// nextPage is the query of the next page: the same filters, another cursor.
func nextPage(q url.Values, cursor string) string {
	if cursor == "" {
		return ""
	}
	return with(q, "cursor", cursor)
}

// with returns a query with one value set, without what a redirect left behind.
func with(q url.Values, name, value string) string {
	out := url.Values{}
	for k, v := range q {
		if len(v) > 0 && v[0] != "" && k != "cursor" && k != "done" {
			out.Set(k, v[0])
		}
	}
	out.Set(name, value)
	return "?" + out.Encode()
}

// tabs makes one tab for each value of a filter.
func tabs(q url.Values, name, on string, values ...string) []Tab {
	out := make([]Tab, len(values))
	for i, value := range values {
		out[i] = Tab{Text: label(value), Link: with(q, name, value), On: value == on}
	}
	return out
}

// errorsOf leaves the warnings out.
func errorsOf(problems []engine.Problem) []engine.Problem {
	var out []engine.Problem
	for _, p := range problems {
		if p.Severity == "error" {
			out = append(out, p)
		}
	}
	return out
}
