package page

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

// The ways to look through the memory of DNS.
const (
	byDomain = "domain"
	byIP     = "ip"
	byClient = "client"
	byTarget = "target"
)

type dnsView struct {
	frame
	By, Query string
	Client    string // what the client is called
	Items     []dnsItem
	Domains   []engine.DNSDomain
	ByName    bool
	Problem   string
	Hint      string
	Next      string
	Later     bool
}

type dnsItem struct {
	engine.DNSRecord
	DataBy  string // how to look for the answer, "" for one that leads nowhere
	DataFor string
	Askers  []asker
}

// asker is a client as pages show it.
type asker struct{ Address, Name string }

// DNS serves GET /dns.
func (p *Pages) DNS(c echo.Context) error {
	v := dnsView{frame: p.frame(c, "dns")}
	q := c.QueryParams()
	v.Query, v.Later = strings.TrimSpace(q.Get("q")), q.Get("cursor") != ""
	v.By = oneOf(q.Get("by"), guessed(v.Query), byDomain, byIP, byClient, byTarget)
	if v.By == byDomain {
		v.By = guessed(v.Query) // an address is no name, whatever the form says
	}
	if v.Query == "" {
		domains, next, err := p.Desk.DNS.DNSDomains(q.Get("cursor"), desk.DefaultLimit)
		if err != nil {
			return err
		}
		v.Domains, v.Next = domains, nextPage(q, next)
		return p.render(c, http.StatusOK, "dns", v)
	}
	page, err := p.Desk.DNS.DNSHistory(v.query(q.Get("cursor")))
	status := http.StatusOK
	if e := engine.AsError(err); err != nil && (e.Kind == engine.Invalid || e.Kind == engine.Conflict) {
		v.Problem, v.Hint, status = e.Message, e.Hint, http.StatusBadRequest
	} else if err != nil {
		return err
	}
	if v.By == byClient {
		v.Client = p.Desk.DNS.ClientName(v.Query)
	}
	for _, r := range page.Records {
		v.Items = append(v.Items, p.dnsItem(r))
	}
	v.ByName, v.Next = page.ByName, nextPage(q, page.Next)
	return p.render(c, status, "dns", v)
}

// guessed is what a text is most likely looked for as.
func guessed(text string) string {
	if _, err := netip.ParseAddr(text); err == nil {
		return byIP
	}
	return byDomain
}

func (v dnsView) query(cursor string) engine.DNSQuery {
	q := engine.DNSQuery{Limit: desk.DefaultLimit, Cursor: cursor}
	switch v.By {
	case byIP:
		q.IP = v.Query
	case byClient:
		q.Client = v.Query
	case byTarget:
		q.Target = v.Query
	default:
		q.Domain = v.Query
	}
	return q
}

func (p *Pages) dnsItem(r engine.DNSRecord) dnsItem {
	item := dnsItem{DNSRecord: r}
	switch r.Type {
	case "A", "AAAA":
		item.DataBy, item.DataFor = byIP, r.Data
	case "CNAME", "DNAME", "NS", "PTR", "MX", "SRV":
		item.DataBy, item.DataFor = byDomain, r.Data[strings.LastIndexByte(r.Data, ' ')+1:]
	}
	for _, address := range r.Clients {
		item.Askers = append(item.Askers, asker{address, p.Desk.DNS.ClientName(address)})
	}
	return item
}

// Look is the way to what is known of something.
func (v dnsView) Look(by, text string) string {
	return v.Base + "/dns?" + url.Values{"by": {by}, "q": {text}}.Encode()
}

// IsAddress tells whether what is looked for is an address.
func (v dnsView) IsAddress() bool { return guessed(v.Query) == byIP }

// Ways are the ways to look, with the words that people choose from.
func (v dnsView) Ways() [][2]string {
	return [][2]string{{byDomain, "Name and below"}, {byIP, "Answered address"}, {byClient, "Client that asked"}, {byTarget, "Target of records"}}
}

// ExportDNS serves POST /dns/export: an export is recorded, so a GET makes none.
func (p *Pages) ExportDNS(c echo.Context) error {
	if _, err := formValue(c, ""); err != nil {
		return err
	}
	return p.Desk.ExportDNS(c, login.From(c.Request().Context()).Name)
}
