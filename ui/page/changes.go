package page

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

type changesView struct {
	frame
	Items []changeView
	Tabs  []Tab
	Next  string
	Later bool
}

type changeView struct {
	engine.Change
	About string // the incident's title
	By    string // who approved it
}

// Changes serves GET /changes.
func (p *Pages) Changes(c echo.Context) error {
	v := changesView{frame: p.frame(c, "changes")}
	q := c.QueryParams()
	statuses := []string{engine.ChangeInForce, engine.ChangeUndoFailed, engine.ChangeUndone, "all"}
	status := oneOf(q.Get("status"), statuses...)
	filter := engine.ChangeFilter{Status: status, Incident: q.Get("incident")}
	if status == "all" {
		filter.Status = ""
	}
	items, next, err := p.Desk.Changes(v.Who, filter, q.Get("cursor"), desk.DefaultLimit)
	if err != nil {
		return err
	}
	asked := map[string][]engine.Question{}
	for _, item := range items {
		v.Items = append(v.Items, p.changeView(item, asked))
	}
	v.Tabs = tabs(q, "status", status, statuses...)
	v.Next, v.Later = nextPage(q, next), q.Get("cursor") != ""
	return p.render(c, http.StatusOK, "changes", v)
}

// changeView tells whose incident a change belongs to and who approved it; asked
// remembers the questions of incidents.
func (p *Pages) changeView(change engine.Change, asked map[string][]engine.Question) changeView {
	v := changeView{Change: change}
	id := change.Incident
	if id == "" {
		return v
	}
	if i, err := p.Desk.Reader.Incident(id); err == nil {
		v.About = i.Title
	}
	if _, known := asked[id]; !known {
		// without them the list lacks an approver's name, no more
		asked[id], _, _ = p.Desk.Reader.Questions(engine.QuestionFilter{Incident: id}, "", desk.StoryItems)
	}
	v.By = approver(change, asked[id])
	return v
}

// approver is who gave the last answer that the change's run had when it made
// the change; empty when nobody did.
func approver(change engine.Change, questions []engine.Question) string {
	var last *engine.Answer
	for _, q := range questions {
		a := q.Answer
		if a != nil && q.Run == change.Run && !a.At.After(change.Made) && (last == nil || a.At.After(last.At)) {
			last = a
		}
	}
	if last == nil || last.TimedOut {
		return ""
	}
	return last.By
}

// UndoChange serves POST /changes/:id/undo.
func (p *Pages) UndoChange(c echo.Context) error {
	why, err := formValue(c, "reason")
	if err != nil {
		return err
	}
	d, err := p.Desk.Undo(c.Request().Context(), login.From(c.Request().Context()).Identity, c.Param("id"), why, false)
	if err != nil {
		return err
	}
	if !d.Applied {
		return desk.NotApplied(d)
	}
	if c.Request().PostForm.Get("from") == "incident" {
		if change, err := p.Desk.Reader.Change(c.Param("id")); err == nil && change.Incident != "" {
			return p.back(c, "/incidents/"+change.Incident, "undoing")
		}
	}
	return p.back(c, "/changes", "undoing")
}
