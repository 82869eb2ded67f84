package api_test

import (
	"testing"

	"larkspur/ui/desk"
	"larkspur/ui/uitest"
)

func TestScrub(t *testing.T) {
	c := client(t, uitest.Sample(t, address))
	if got := read[desk.Scrub](t, c.Get("/api/v1/scrub").Want(200)); got.Running || got.Began != nil {
		t.Errorf("got %+v, want that none ever was", got)
	}
	if got := read[desk.Scrub](t, c.Do("POST", "/api/v1/scrub", "application/json", "").Want(202)); !got.Running || got.Records != 7 || got.Total != 42 {
		t.Errorf("got %+v, want one that goes on", got)
	}
	if got := read[failure](t, c.Do("POST", "/api/v1/scrub", "application/json", "{}").Want(409)); got.Error.Kind != "conflict" {
		t.Errorf("got %+v, want a conflict", got)
	}
	if got := read[failure](t, c.Do("POST", "/api/v1/scrub", "application/json", `{"shard": 3}`).Want(400)); got.Error.Message != `unknown key "shard"` {
		t.Errorf("got %+v", got)
	}
	if got := read[desk.Scrub](t, c.Get("/api/v1/scrub").Want(200)); !got.Running {
		t.Errorf("got %+v, want one that goes on", got)
	}
	c.Header["Authorization"] = "Bearer a-viewer-of-the-tests"
	c.Get("/api/v1/scrub").Want(403)
}
