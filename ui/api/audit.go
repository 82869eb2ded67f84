package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
)

// Audit serves GET audit: a page of records, or with format=jsonl all of them
// as a file. The export is recorded.
func (a *API) Audit(c echo.Context) error {
	q := params(c, "since", "until", "incident", "format", "limit", "cursor")
	f := engine.AuditFilter{Since: q.time("since"), Until: q.time("until"), Incident: q.text("incident")}
	limit := q.limit()
	format := q.oneOf("format", "json", "jsonl")
	if q.err != nil {
		return q.err
	}
	if f.Incident != "" {
		if _, _, ok := engine.ParseID('i', f.Incident); !ok {
			return engine.Errorf(engine.Invalid, "incident: got %q, want an id like i0-42", clip(f.Incident))
		}
	}
	if format == "jsonl" && c.Request().Method == http.MethodGet {
		return a.Desk.Export(c, f, who(c).Name)
	}
	items, next, err := a.Desk.Reader.Audit(f, q.text("cursor"), limit)
	return page(c, items, next, err)
}

// Checkpoint serves GET audit/checkpoint, a signed note as text.
func (a *API) Checkpoint(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	note, err := a.Desk.Exporter.Checkpoint()
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "text/plain; charset=utf-8", []byte(note))
}
