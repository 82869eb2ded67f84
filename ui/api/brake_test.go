package api_test

import (
	"testing"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

func TestTheBrake(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	c.Get("/api/v1/brake").Want(200, `{"on":false}`)
	c.Do("POST", "/api/v1/pause", "application/json", `{"reason": "something is odd"}`).Want(200, `"applied":true`)
	w.Has.Brake = engine.Brake{On: true, Since: uitest.Start(), By: "dave", Why: "something is odd"}
	c.Get("/api/v1/brake").Want(200, `"on":true`, `"by":"dave"`, `"why":"something is odd"`, `"since":`)
	c.Do("POST", "/api/v1/resume", "application/json", `{}`).Want(200, `"applied":true`)
	if got, want := w.Logged(), `brake true by admin-token "something is odd"; brake false by admin-token ""`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	w.Late = "the brake is not on"
	c.Do("POST", "/api/v1/resume", "application/json", `{}`).Want(409, "the brake is not on")
	w.Visit(t, "").Do("POST", "/api/v1/pause", "application/json", `{}`).Want(401)
}
