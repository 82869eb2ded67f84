package controller

import (
	_ "embed"
	"html/template"
	"net/http"
	"slices"
)

//go:embed page.html
var pageHTML string

// Page is a read-only view for people: clients, who is blocked, what was
// commanded. It says that it is simulated.
func (c *Controller) Page() http.Handler {
	page := template.Must(template.New("page").Parse(pageHTML))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		commands := c.Commands()
		slices.Reverse(commands)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		w.Header().Set("Cache-Control", "no-store")
		page.Execute(w, struct {
			OS       bool
			Clients  []Client
			Commands []Command
		}{c.options.OS, c.Clients(), commands[:min(len(commands), 50)]})
	})
}
