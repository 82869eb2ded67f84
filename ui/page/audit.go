package page

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

type auditView struct {
	frame
	Items      []auditItem
	Incident   string
	Since      string
	Until      string
	Problem    string
	Next       string
	Later      bool
	Checkpoint string
	Unsigned   string // why there is no checkpoint
}

type auditItem struct {
	engine.AuditRecord
	In, Out Shown
}

// Audit serves GET /audit.
func (p *Pages) Audit(c echo.Context) error {
	v := auditView{frame: p.frame(c, "audit")}
	q := c.QueryParams()
	v.Incident, v.Since, v.Until = q.Get("incident"), q.Get("since"), q.Get("until")
	filter, err := auditFilter(v.Incident, v.Since, v.Until, v.Zone)
	status := http.StatusOK
	if err != nil {
		v.Problem, status = err.Error(), http.StatusBadRequest
	} else {
		records, next, err := p.Desk.Reader.Audit(filter, q.Get("cursor"), desk.DefaultLimit)
		if err != nil {
			return err
		}
		for _, r := range records {
			v.Items = append(v.Items, auditItem{r, shown(r.Payload, v.Zone), shown(r.Outcome, v.Zone)})
		}
		v.Next, v.Later = nextPage(q, next), q.Get("cursor") != ""
	}
	if v.Checkpoint, err = p.Desk.Exporter.Checkpoint(); err != nil {
		v.Unsigned = engine.AsError(err).Message
	}
	return p.render(c, status, "audit", v)
}

// auditFilter reads the filter of a form; times are in the workspace's zone.
func auditFilter(incident, since, until string, zone *time.Location) (f engine.AuditFilter, err error) {
	f.Incident = strings.TrimSpace(incident)
	if f.Incident != "" {
		if _, _, ok := engine.ParseID('i', f.Incident); !ok {
			return f, engine.Errorf(engine.Invalid, "incident: got %q, want an id like i0-42", f.Incident)
		}
	}
	if f.Since, err = formTime("from", since, zone); err != nil {
		return f, err
	}
	f.Until, err = formTime("until", until, zone)
	return f, err
}

func formTime(name, value string, zone *time.Location) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, value, zone); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, engine.Errorf(engine.Invalid, "%s: got %q, want a time like 2026-11-22 08:00", name, value)
}

// ExportAudit serves POST /audit/export: the file, JSONL. An export is recorded,
// so a GET does not make one.
func (p *Pages) ExportAudit(c echo.Context) error {
	if _, err := formValue(c, ""); err != nil {
		return err
	}
	form := c.Request().PostForm
	filter, err := auditFilter(form.Get("incident"), form.Get("since"), form.Get("until"), p.Desk.Zone())
	if err != nil {
		return err
	}
	return p.Desk.Export(c, filter, login.From(c.Request().Context()).Name)
}
