package api_test

import (
	"testing"

	"larkspur/engine"
	"larkspur/ui/api"
	"larkspur/ui/uitest"
)

func TestDNS(t *testing.T) {
	c := client(t, uitest.Sample(t, address))
	got := read[api.DNSList](t, c.Get("/api/v1/dns?domain=netflix.com&limit=2").Want(200))
	if len(got.Items) != 2 || got.Items[0].Name != "www.netflix.com" || got.Next == "" || got.Order != "newest" {
		t.Errorf("got %+v", got)
	}
	if got := read[api.DNSList](t, c.Get("/api/v1/dns?target=nothing").Want(200)); got.Order != "name" {
		t.Errorf("got %+v", got)
	}
	c.Get("/api/v1/dns?domian=x").Want(400, "domian")
	c.Get("/api/v1/dns?client=192.0.2.9").Want(409, "who asked is not kept here")
	if got := read[api.List[engine.DNSDomain]](t, c.Get("/api/v1/dns/domains").Want(200)); len(got.Items) != 2 {
		t.Errorf("got %+v", got)
	}
	c.Get("/api/v1/dns/export").Want(200, `{"rrname":"www.example.org"}`)
	if got := read[engine.DNSImport](t, c.Do("POST", "/api/v1/dns/import", "application/jsonl", "{}\n{}\n").Want(200)); got.Lines != 2 {
		t.Errorf("got %+v", got)
	}
}
