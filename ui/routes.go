package ui

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"larkspur/ui/desk"
	"larkspur/ui/login"
)

// Body limits.
const (
	noBody   = 0
	formBody = 256 << 10
	jsonBody = 256 << 10
	hookBody = 1 << 20 // as package trigger says
	// importBody is read line by line.
	importBody = 16 << 30
)

// surface is who a route speaks to; it decides what errors look like and how
// forged requests are refused.
type surface int

const (
	pageOf   surface = iota // a page: forms of a session carry its token
	linkOf                  // a page of a link: its handler checks the form itself
	jsonOf                  // the interface: writing takes a bearer token
	hookOf                  // somebody else's handler
	assetsOf                // what never changes
	laterOf                 // the interface: what this version has not yet
)

// route is one line of the table.
type route struct {
	method, path string
	surface      surface
	need         login.Right
	limit        int64 // of the body, in bytes
	handle       echo.HandlerFunc
}

// routes is the one table of routes. A GET answers HEAD too.
func (s *Server) routes() []route {
	p, a := s.pages, s.api
	return []route{
		{"GET", "/", pageOf, login.See, noBody, p.Incidents},
		{"GET", "/overview", pageOf, login.See, noBody, p.Overview},
		{"GET", "/charts", pageOf, login.See, noBody, p.Charts},
		{"GET", "/incidents/:id", pageOf, login.See, noBody, p.Incident},
		{"GET", "/incidents/:id/attachments/:sum", pageOf, login.See, noBody, p.Attachment},
		{"POST", "/incidents/:id/close", pageOf, login.Work, formBody, p.CloseIncident},
		{"POST", "/incidents/:id/reopen", pageOf, login.Work, formBody, p.ReopenIncident},
		{"POST", "/incidents/:id/note", pageOf, login.Work, formBody, p.NoteIncident},
		{"POST", "/incidents/:id/assign", pageOf, login.Work, formBody, p.AssignIncident},
		{"POST", "/incidents/:id/escalate", pageOf, login.Work, formBody, p.EscalateIncident},
		{"POST", "/incidents/:id/set", pageOf, login.Work, formBody, p.SetIncident},
		{"POST", "/incidents/:id/press", pageOf, login.Work, formBody, p.PressIncident},
		{"POST", "/incidents/:id/erase", pageOf, login.Govern, formBody, p.EraseIncident},
		{"GET", "/runs", pageOf, login.See, noBody, p.Runs},
		{"GET", "/runs/:id", pageOf, login.See, noBody, p.Run},
		{"GET", "/runs/:id/restart", pageOf, login.Steer, noBody, p.PreviewRestart},
		{"POST", "/runs/:id/restart", pageOf, login.Steer, formBody, p.Restart},
		{"POST", "/runs/:id/resolve", pageOf, login.Steer, formBody, p.ResolveStep},
		{"GET", "/brake", pageOf, login.See, noBody, p.Brake},
		{"POST", "/brake/on", pageOf, login.Work, formBody, p.PressBrake},
		{"POST", "/brake/off", pageOf, login.Steer, formBody, p.LetBrakeGo},
		{"POST", "/clock/accept", pageOf, login.Govern, formBody, p.AcceptClock},
		{"GET", "/rules", pageOf, login.See, noBody, p.Rules},
		{"GET", "/rules/:name", pageOf, login.See, noBody, p.Rule},
		{"POST", "/jobs/:name/run", pageOf, login.Steer, formBody, p.RunJob},
		{"GET", "/questions", pageOf, login.See, noBody, p.Questions},
		{"GET", "/questions/:id", pageOf, login.See, noBody, p.Question},
		{"POST", "/questions/:id", pageOf, login.Answer, desk.MaxAnswerBytes, p.AnswerQuestion},
		{"GET", "/changes", pageOf, login.See, noBody, p.Changes},
		{"POST", "/changes/:id/undo", pageOf, login.Work, formBody, p.UndoChange},
		{"GET", "/dns", pageOf, login.Trace, noBody, p.DNS},
		{"POST", "/dns/export", pageOf, login.Audit, formBody, p.ExportDNS},
		{"GET", "/audit", pageOf, login.Audit, noBody, p.Audit},
		{"POST", "/audit/export", pageOf, login.Audit, formBody, p.ExportAudit},
		{"GET", "/status", pageOf, login.See, noBody, p.Status},
		{"GET", "/devices", pageOf, login.SignedIn, noBody, p.Devices},
		{"POST", "/devices/:id/revoke", pageOf, login.SignedIn, formBody, p.RevokeDevice},

		{"GET", "/a/:token", linkOf, login.Anyone, noBody, p.Link},
		{"POST", "/a/:token", linkOf, login.Anyone, desk.MaxAnswerBytes, p.AnswerLink},
		{"GET", "/b/:token", linkOf, login.Anyone, noBody, p.Button},
		{"POST", "/b/:token", linkOf, login.Anyone, formBody, p.PressButton},
		{"POST", "/a/:token/code", linkOf, login.Anyone, formBody, p.SendLinkCode},
		{"POST", "/a/:token/pair", linkOf, login.Anyone, formBody, p.PairLink},
		{"GET", "/signin", linkOf, login.Anyone, noBody, p.SignInPage},
		{"POST", "/signin", linkOf, login.Anyone, formBody, p.SendCode},
		{"POST", "/signin/code", linkOf, login.Anyone, formBody, p.EnterCode},
		{"POST", "/logout", linkOf, login.Anyone, formBody, p.SignOut},
		{"GET", "/setup/:token", linkOf, login.Anyone, noBody, p.Setup},
		{"POST", "/setup/:token", linkOf, login.Anyone, formBody, p.UseSetup},
		{"GET", "/assets/:name", assetsOf, login.Anyone, noBody, p.Asset},

		{"GET", "/api/v1/incidents", jsonOf, login.See, noBody, a.Incidents},
		{"GET", "/api/v1/incidents/:id", jsonOf, login.See, noBody, a.Incident},
		{"GET", "/api/v1/incidents/:id/timeline", jsonOf, login.See, noBody, a.Timeline},
		{"GET", "/api/v1/incidents/:id/attachments/:sum", jsonOf, login.See, noBody, a.Attachment},
		{"GET", "/api/v1/incidents/:id/events", jsonOf, login.See, noBody, a.Events},
		{"POST", "/api/v1/incidents/:id/close", jsonOf, login.Work, jsonBody, a.CloseIncident},
		{"POST", "/api/v1/incidents/:id/reopen", jsonOf, login.Work, jsonBody, a.ReopenIncident},
		{"POST", "/api/v1/incidents/:id/note", jsonOf, login.Work, jsonBody, a.NoteIncident},
		{"POST", "/api/v1/incidents/:id/assign", jsonOf, login.Work, jsonBody, a.AssignIncident},
		{"POST", "/api/v1/incidents/:id/escalate", jsonOf, login.Work, jsonBody, a.EscalateIncident},
		{"POST", "/api/v1/incidents/:id/set", jsonOf, login.Work, jsonBody, a.SetIncident},
		{"POST", "/api/v1/incidents/:id/press", jsonOf, login.Work, jsonBody, a.PressIncident},
		{"GET", "/api/v1/runs", jsonOf, login.See, noBody, a.Runs},
		{"GET", "/api/v1/runs/:id", jsonOf, login.See, noBody, a.Run},
		{"POST", "/api/v1/runs/:id/restart", jsonOf, login.Steer, jsonBody, a.Restart},
		{"POST", "/api/v1/runs/:id/undo", jsonOf, login.Steer, jsonBody, a.UndoRun},
		{"POST", "/api/v1/runs/:id/resolve", jsonOf, login.Steer, jsonBody, a.ResolveStep},
		{"GET", "/api/v1/brake", jsonOf, login.See, noBody, a.Brake},
		{"POST", "/api/v1/pause", jsonOf, login.Work, jsonBody, a.Pause},
		{"POST", "/api/v1/resume", jsonOf, login.Steer, jsonBody, a.Resume},
		{"GET", "/api/v1/clock", jsonOf, login.See, noBody, a.Clock},
		{"POST", "/api/v1/clock/accept", jsonOf, login.Govern, jsonBody, a.AcceptClock},
		{"GET", "/api/v1/questions", jsonOf, login.See, noBody, a.Questions},
		{"GET", "/api/v1/questions/:id", jsonOf, login.See, noBody, a.Question},
		{"POST", "/api/v1/questions/:id/answer", jsonOf, login.Answer, desk.MaxAnswerBytes, a.AnswerQuestion},
		{"GET", "/api/v1/mails", jsonOf, login.See, noBody, a.Mails},
		{"GET", "/api/v1/changes", jsonOf, login.See, noBody, a.Changes},
		{"GET", "/api/v1/changes/:id", jsonOf, login.See, noBody, a.Change},
		{"POST", "/api/v1/changes/:id/undo", jsonOf, login.Work, jsonBody, a.UndoChange},
		{"GET", "/api/v1/devices", jsonOf, login.SignedIn, noBody, a.Devices},
		{"POST", "/api/v1/devices/:id/revoke", jsonOf, login.SignedIn, jsonBody, a.RevokeDevice},
		{"GET", "/api/v1/rules", jsonOf, login.See, noBody, a.Rules},
		{"GET", "/api/v1/rules/:name/hits", jsonOf, login.See, noBody, a.RuleHits},
		{"POST", "/api/v1/jobs/:name/run", jsonOf, login.Steer, jsonBody, a.RunJob},
		{"GET", "/api/v1/stats", jsonOf, login.See, noBody, a.Stats},
		{"GET", "/api/v1/metrics", jsonOf, login.See, noBody, a.Series},
		{"GET", "/api/v1/audit", jsonOf, login.Audit, noBody, a.Audit},
		{"GET", "/api/v1/audit/checkpoint", jsonOf, login.Audit, noBody, a.Checkpoint},
		{"GET", "/api/v1/dns", jsonOf, login.Trace, noBody, a.DNS},
		{"GET", "/api/v1/dns/domains", jsonOf, login.Trace, noBody, a.DNSDomains},
		{"GET", "/api/v1/dns/export", jsonOf, login.Audit, noBody, a.ExportDNS},
		{"POST", "/api/v1/dns/import", jsonOf, login.Govern, importBody, a.ImportDNS},
		{"GET", "/api/v1/erasures", jsonOf, login.Govern, noBody, a.Erasures},
		{"GET", "/api/v1/erasures/:id", jsonOf, login.Govern, noBody, a.Erasure},
		{"POST", "/api/v1/erasures", jsonOf, login.Govern, jsonBody, a.Erase},
		{"GET", "/api/v1/rebuild", jsonOf, login.Govern, noBody, a.Rebuilding},
		{"POST", "/api/v1/rebuild", jsonOf, login.Govern, jsonBody, a.Rebuild},
		{"GET", "/api/v1/scrub", jsonOf, login.Govern, noBody, a.Scrubbing},
		{"POST", "/api/v1/scrub", jsonOf, login.Govern, jsonBody, a.Scrub},
		{"POST", "/api/v1/login", jsonOf, login.Govern, jsonBody, a.NewLink},
		{"GET", "/api/v1/openapi.json", jsonOf, login.Anyone, noBody, a.OpenAPI},
		{"GET", "/metrics", jsonOf, login.See, noBody, a.Metrics},
		{"GET", "/healthz", jsonOf, login.Anyone, noBody, a.Health},
		{"GET", "/readyz", jsonOf, login.Anyone, noBody, a.Ready},
		{"POST", "/api/v1/rules/:name/mode", laterOf, login.See, jsonBody, later},
		{"POST", "/api/v1/forms/:name", laterOf, login.See, jsonBody, later},
		{"GET", "/api/v1/events/stream", laterOf, login.See, noBody, later},

		{"POST", "/hooks/:name", hookOf, login.Anyone, hookBody, s.hook},
	}
}

// later answers calls of the language that this version has not yet: 501, which
// tells them from an address that is misspelt and from a method that is wrong.
func later(echo.Context) error { return echo.NewHTTPError(http.StatusNotImplemented) }

// hook hands a call over to the handler of webhooks.
func (s *Server) hook(c echo.Context) error {
	s.hooks.ServeHTTP(c.Response(), c.Request())
	return nil
}

// firstSegments are the first parts of our own paths, which no base path may
// begin with: a proxy may strip it.
func firstSegments() []string {
	var out []string
	for _, r := range (&Server{}).routes() {
		first, _, _ := strings.Cut(strings.TrimPrefix(r.path, "/"), "/")
		out = append(out, first)
	}
	return out
}
