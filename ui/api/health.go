package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/ui/desk"
	"larkspur/ui/login"
)

// Health serves GET /healthz: 503 when something is broken. Who is signed in
// gets the tree, others its status alone.
func (a *API) Health(c echo.Context) error {
	report := a.Desk.Health.Report()
	status := http.StatusOK
	worst := report.Worst()
	if worst == desk.HealthFail {
		status = http.StatusServiceUnavailable
	}
	if !who(c).May(login.See) {
		report = desk.Check{Name: report.Name, Status: worst}
	}
	return write(c, status, report)
}

// Ready serves GET /readyz.
func (a *API) Ready(c echo.Context) error {
	if err := a.Desk.Health.Ready(); err != nil {
		return write(c, http.StatusServiceUnavailable, map[string]bool{"ready": false})
	}
	return write(c, http.StatusOK, map[string]bool{"ready": true})
}
