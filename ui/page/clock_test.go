package page_test

import (
	"testing"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

func TestTheClockThatJumped(t *testing.T) {
	w := uitest.Sample(t, address)
	eng, dave := w.Visit(t, "eng"), w.Visit(t, "dave")
	eng.Get("/larkspur/status").Want(200).Lacks("The clock jumped")
	start := uitest.Start()
	w.Has.Clock = engine.ClockHold{On: true, Since: start, From: start, To: start.AddDate(10, 0, 0), Why: "the clock was set ahead by 3652 days"}
	eng.Get("/larkspur/changes").Want(200, "The clock jumped: no timer fires", `href="/larkspur/status"`)
	eng.Get("/larkspur/overview").Want(200, "no default answers", "the clock was set ahead by 3652 days")
	eng.Get("/larkspur/status").Want(200, "the clock was set ahead by 3652 days", "goes on by itself").Lacks("The clock is right")
	form := dave.Get("/larkspur/status").Want(200, "The clock is right").Form()
	eng.Post("/larkspur/clock/accept", form).Want(403)
	form.Set("reason", "it was slow")
	if to := dave.Post("/larkspur/clock/accept", form).Want(303).Header.Get("Location"); to != "/larkspur/status?done=clock-accepted" {
		t.Errorf("got a redirect to %q", to)
	}
	if got, want := w.Logged(), `login eng link; login dave link; accept the clock by dave "it was slow"`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	w.Late = "the clock is not held"
	dave.Post("/larkspur/clock/accept", form).Want(409, "the clock is not held")
}
