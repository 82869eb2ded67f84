package api_test

import (
	"testing"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

func TestTheClockThatJumped(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	c.Get("/api/v1/clock").Want(200, `{"on":false}`)
	w.Has.Clock = engine.ClockHold{On: true, Since: uitest.Start(), Why: "the clock was set back by 2 days"}
	c.Get("/api/v1/clock").Want(200, `"on":true`, `"why":"the clock was set back by 2 days"`, `"since":`)
	c.Do("POST", "/api/v1/clock/accept", "application/json", `{"reason": "it was slow"}`).Want(200, `"applied":true`)
	if got, want := w.Logged(), `accept the clock by admin-token "it was slow"`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	w.Late = "the clock is not held"
	c.Do("POST", "/api/v1/clock/accept", "application/json", `{}`).Want(409, "the clock is not held")
	w.Visit(t, "").Do("POST", "/api/v1/clock/accept", "application/json", `{}`).Want(401)
}
