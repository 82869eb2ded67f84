package page

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// questionsView lists questions.
type questionsView struct {
	frame
	Items []askView
	Tabs  []Tab
	Next  string
	Later bool
}

// Questions serves GET /questions.
func (p *Pages) Questions(c echo.Context) error {
	v := questionsView{frame: p.frame(c, "questions")}
	q := c.QueryParams()
	statuses := []string{engine.QuestionOpen, engine.QuestionAnswered, engine.QuestionTimedOut, engine.QuestionWithdrawn, "all"}
	status := oneOf(q.Get("status"), statuses...)
	filter := engine.QuestionFilter{Status: status, Incident: q.Get("incident")}
	if status == "all" {
		filter.Status = ""
	}
	items, next, err := p.Desk.Questions(v.Who, filter, q.Get("cursor"), desk.DefaultLimit)
	if err != nil {
		return err
	}
	for _, item := range items {
		v.Items = append(v.Items, p.askSignedIn(v.frame, item, desk.Input{}, nil))
	}
	if status == engine.QuestionOpen { // what waits for the reader first
		slices.SortStableFunc(v.Items, func(a, b askView) int {
			switch {
			case a.Answers == b.Answers:
				return 0
			case a.Answers:
				return -1
			}
			return 1
		})
	}
	v.Tabs = tabs(q, "status", status, statuses...)
	v.Next, v.Later = nextPage(q, next), q.Get("cursor") != ""
	return p.render(c, http.StatusOK, "questions", v)
}
