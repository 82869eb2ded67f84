package shop

import (
	_ "embed"
	"html/template"
	"net/http"
	"slices"
)

//go:embed page.html
var pageHTML string

// Page is a read-only view for people: whether the shop is open, what the host was
// told, its log. It says that it is simulated.
func (s *Shop) Page() http.Handler {
	page := template.Must(template.New("page").Parse(pageHTML))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		commands := s.Commands()
		slices.Reverse(commands)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		w.Header().Set("Cache-Control", "no-store")
		page.Execute(w, struct {
			Healthy  bool
			Commands []Command
			Log      []string
		}{s.Healthy(), commands, s.lines()})
	})
}

// lines are the newest of the log, the newest first.
func (s *Shop) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := slices.Clone(s.log[max(0, len(s.log)-20):])
	slices.Reverse(lines)
	return lines
}
