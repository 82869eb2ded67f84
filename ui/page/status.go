package page

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/ui/desk"
)

type statusView struct {
	frame
	Report desk.Check
	Worst  string
}

// Status serves GET /status, the health tree.
func (p *Pages) Status(c echo.Context) error {
	v := statusView{frame: p.frame(c, "status"), Report: p.Desk.Health.Report()}
	v.Worst = v.Report.Worst()
	return p.render(c, http.StatusOK, "status", v)
}
