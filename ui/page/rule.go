package page

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

type oneRuleView struct {
	frame
	Rule  ruleView
	Name  string
	Live  bool // it is declared now
	Items []engine.Hit
	Next  string
	Later bool
}

// Rule serves GET /rules/:name: a rule and what it matched.
func (p *Pages) Rule(c echo.Context) error {
	v := oneRuleView{frame: p.frame(c, "rules"), Name: c.Param("name")}
	for _, r := range p.Desk.Rules.RuleStatuses() {
		if r.Name == v.Name {
			v.Live = true
			v.Rule = ruleView{RuleStatus: r, Position: position(r.At), When: triggers(r.When), Limits: limits(r.Rule)}
		}
	}
	q := c.QueryParams()
	items, next, err := p.Desk.Hits(v.Who, v.Name, q.Get("cursor"), desk.DefaultLimit)
	if err != nil {
		return err
	}
	v.Items, v.Next, v.Later = items, nextPage(q, next), q.Get("cursor") != ""
	if !v.Live && len(items) == 0 && next == "" && !v.Later {
		return engine.Errorf(engine.NotFound, "there is no rule %q", v.Name).WithHint("The rules page lists those that are live.")
	}
	return p.render(c, http.StatusOK, "rule", v)
}
