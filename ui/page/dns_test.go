package page_test

import (
	"slices"
	"testing"

	"larkspur/ui/uitest"
)

// leads holds that a page has these links.
func leads(t *testing.T, p uitest.Page, links ...string) {
	t.Helper()
	for _, link := range links {
		if !slices.Contains(p.Links(), link) {
			t.Errorf("the page does not lead to %s", link)
		}
	}
}

func TestDNS(t *testing.T) {
	w := uitest.Sample(t, address)
	ana := w.Visit(t, "ana")
	leads(t, ana.Get("/larkspur/dns").Want(200, "Newest registrable domains", "nflxvideo.example", "3 lookups").Lacks("Export names"), "/larkspur/dns?by=domain&q=netflix.com")
	leads(t, ana.Get("/larkspur/dns?q=netflix.com").Want(200, "netflix.com and all below it", "no such name", "no record of this type", "1234×"),
		"/larkspur/dns?by=domain&q=edge.nflxvideo.example", "/larkspur/dns?by=target&q=netflix.com")
	leads(t, ana.Get("/larkspur/dns?q=198.51.100.80").Want(200, "Names that led to 198.51.100.80", "living-room TV", "192.0.2.8"),
		"/larkspur/dns?by=client&q=192.0.2.7", "/larkspur/dns?by=client&q=198.51.100.80")
	ana.Get("/larkspur/dns?by=domain&q=198.51.100.80").Want(200, "Names that led to 198.51.100.80")
	ana.Get("/larkspur/dns?by=client&q=192.0.2.7").Want(200, "What living-room TV (192.0.2.7) asked for").Lacks("asked by")
	ana.Get("/larkspur/dns?by=client&q=192.0.2.9").Want(400, "who asked is not kept here", "history: {clients: true}")
	ana.Get("/larkspur/dns?by=target&q=edge.nflxvideo.example").Want(200, "in the order of their names")
	ana.Get("/larkspur/dns?q=nowhere.example").Want(200, "Nothing is known")
	w.Visit(t, "vic").Get("/larkspur/dns").Want(403, "responder, engineer, auditor or admin")
	w.Visit(t, "vic").Get("/larkspur/").Lacks(">DNS<")
	w.Has.Domains = nil
	ana.Get("/larkspur/dns").Want(200, "Nothing seen yet")
}

func TestDNSExport(t *testing.T) {
	w := uitest.Sample(t, address)
	ada := w.Visit(t, "ada")
	form := ada.Get("/larkspur/dns").Want(200, "Export names and answers").Form()
	ada.Post("/larkspur/dns/export", form).Want(200, `{"rrname":"www.example.org"}`)
	ada.Get("/larkspur/dns/export").Want(405)
	w.Visit(t, "ana").Post("/larkspur/dns/export", form).Want(403)
}
