package desk

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
)

// DNS is the memory of what the sensors saw. Who asked for what is personal: the
// routes ask for login.Trace, and the export for login.Audit.
type DNS interface {
	// DNSHistory answers a query; invalid for one that is none, conflict for a client
	// where clients are not kept.
	DNSHistory(q engine.DNSQuery) (engine.DNSPage, error)
	// DNSDomains are the registrable domains, those seen first last of all first.
	DNSDomains(cursor string, limit int) ([]engine.DNSDomain, string, error)
	// ExportDNS writes JSON lines in the passive DNS common output format and records
	// that it did; ImportDNS takes them in.
	ExportDNS(ctx context.Context, w io.Writer, by string) error
	ImportDNS(ctx context.Context, r io.Reader, by string) (engine.DNSImport, error)
	// ClientName is what a client is called, "" where nobody knows.
	ClientName(address string) string
}

// ExportDNS streams the memory of DNS to a client as a file.
func (d *Desk) ExportDNS(c echo.Context, by string) error {
	return d.send(c, "larkspur-dns-", func(w io.Writer) error { return d.DNS.ExportDNS(c.Request().Context(), w, by) })
}

// ImportDNS takes in what a client sends. Each piece has its own time to come.
func (d *Desk) ImportDNS(c echo.Context, by string) (engine.DNSImport, error) {
	return d.DNS.ImportDNS(c.Request().Context(), importReader{c}, by)
}

// importReader gives every read, and the answer after it, its own time.
type importReader struct{ c echo.Context }

func (r importReader) Read(b []byte) (int, error) {
	// Readers without deadlines (tests, other transports) keep none.
	control := http.NewResponseController(r.c.Response())
	_ = control.SetReadDeadline(time.Now().Add(exportWrite))
	_ = control.SetWriteDeadline(time.Now().Add(2 * exportWrite))
	return r.c.Request().Body.Read(b)
}
