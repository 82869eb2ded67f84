package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
)

// DNSList is a page of records of the memory of DNS.
type DNSList struct {
	List[engine.DNSRecord]
	// Order is "newest", or "name" where there are too many to be sorted.
	Order string `json:"order"`
}

// DNS serves GET dns: one of domain, ip, client and target.
func (a *API) DNS(c echo.Context) error {
	q := params(c, "domain", "ip", "client", "target", "limit", "cursor")
	query := engine.DNSQuery{Domain: q.text("domain"), IP: q.text("ip"), Client: q.text("client"), Target: q.text("target"), Limit: q.limit(), Cursor: q.text("cursor")}
	if q.err != nil {
		return q.err
	}
	page, err := a.Desk.DNS.DNSHistory(query)
	if err != nil {
		return err
	}
	list := DNSList{List: List[engine.DNSRecord]{Items: page.Records, Next: page.Next}, Order: "newest"}
	if list.Items == nil {
		list.Items = []engine.DNSRecord{}
	}
	if page.ByName {
		list.Order = "name"
	}
	return write(c, http.StatusOK, list)
}

// DNSDomains serves GET dns/domains.
func (a *API) DNSDomains(c echo.Context) error {
	q := params(c, "limit", "cursor")
	limit := q.limit()
	if q.err != nil {
		return q.err
	}
	items, next, err := a.Desk.DNS.DNSDomains(q.text("cursor"), limit)
	return page(c, items, next, err)
}

// ExportDNS serves GET dns/export: JSON lines. The export is recorded.
func (a *API) ExportDNS(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	if c.Request().Method == http.MethodHead {
		return c.NoContent(http.StatusOK)
	}
	return a.Desk.ExportDNS(c, who(c).Name)
}

// ImportDNS serves POST dns/import.
func (a *API) ImportDNS(c echo.Context) error {
	if q := params(c); q.err != nil {
		return q.err
	}
	report, err := a.Desk.ImportDNS(c, who(c).Name)
	if err != nil {
		return err
	}
	return write(c, http.StatusOK, report)
}
