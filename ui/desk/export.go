package desk

import (
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
)

// exportWrite is how long a client may take to read one piece of an export.
const exportWrite = time.Minute

// Export streams the audit log to a client as a file. An error before the first
// byte is returned; after it the connection is cut, so that half a file does
// not pass for a whole one.
func (d *Desk) Export(c echo.Context, f engine.AuditFilter, by string) error {
	return d.send(c, "larkspur-audit-", func(w io.Writer) error { return d.Exporter.Export(c.Request().Context(), w, f, by) })
}

// send streams what write writes as a file of JSON lines.
func (d *Desk) send(c echo.Context, name string, write func(io.Writer) error) error {
	w := &exportWriter{c: c, name: name + d.Clock.Now().Format("20060102T150405Z") + ".jsonl"}
	err := write(w)
	switch {
	case err != nil && w.begun:
		panic(http.ErrAbortHandler)
	case err != nil:
		return err
	}
	w.begin()
	return nil
}

// exportWriter sends headers with the first byte and gives every write its own
// time.
type exportWriter struct {
	c     echo.Context
	name  string
	begun bool
}

func (w *exportWriter) begin() {
	if w.begun {
		return
	}
	w.begun = true
	h := w.c.Response().Header()
	h.Set("Content-Type", "application/jsonl; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+w.name+`"`)
	w.c.Response().WriteHeader(http.StatusOK)
}

func (w *exportWriter) Write(b []byte) (int, error) {
	w.begin()
	// Writers without deadlines (tests, other transports) keep none.
	_ = http.NewResponseController(w.c.Response()).SetWriteDeadline(time.Now().Add(exportWrite))
	return w.c.Response().Write(b)
}
