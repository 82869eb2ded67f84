package ui

import (
	"regexp"
	"testing"
)

// InterfaceRoutes lists the routes of programs, "METHOD PATH" in the form of
// OpenAPI, for the test that holds the document against them.
func (s *Server) InterfaceRoutes() []string {
	var out []string
	for _, r := range s.routes() {
		if r.surface == jsonOf || r.surface == hookOf {
			out = append(out, r.method+" "+regexp.MustCompile(`:(\w+)`).ReplaceAllString(r.path, "{$1}"))
		}
	}
	return out
}

func TestRoutesThatWriteNeedSomething(t *testing.T) {
	for _, r := range (&Server{}).routes() {
		if r.method == "GET" && r.limit != noBody {
			t.Errorf("%s %s takes a body", r.method, r.path)
		}
		if r.method == "POST" && r.need == "" && r.surface != linkOf && r.surface != hookOf {
			t.Errorf("%s %s acts for anyone", r.method, r.path)
		}
	}
}
