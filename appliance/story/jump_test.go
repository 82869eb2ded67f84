package story

import (
	"testing"
	"time"

	"larkspur/engine"
)

// TestTheClockJumpsInTheStory: a time server says 2036 while a question waits.
// Nobody answers in a person's place, whatever time goes by; the person may. The
// block that follows does not end before an administrator has said what time it
// is.
func TestTheClockJumpsInTheStory(t *testing.T) {
	t.Parallel()
	b := serve(t)
	b.play()
	i := b.until("question", func(i *incident) bool { return len(i.Questions) == 1 && i.run("outbox").Status == engine.RunDone })
	question := i.Questions[0]

	b.clock.set(10 * 365 * 24 * time.Hour)
	b.clock.advance(time.Minute) // the runner looks at it
	held := func(on bool) func() bool {
		return func() bool {
			var h engine.ClockHold
			must(t, b.client().get(b.ctx, "/api/v1/clock", &h))
			return h.On == on
		}
	}
	b.eventually("hold", held(true))
	b.eventually("incident", func() bool {
		var told list[engine.Incident]
		must(t, b.client().get(b.ctx, "/api/v1/incidents?type=clock", &told))
		return len(told.Items) == 1 && told.Items[0].Severity == "high"
	})
	b.clock.advance(30 * 24 * time.Hour) // the question was due, and nobody answers
	b.post("/api/v1/questions/"+question.ID+"/answer", map[string]any{"choice": "Block"})
	i = b.until("block", func(i *incident) bool { return i.Status == engine.IncidentClosed && len(i.Changes) == 1 })
	change := i.Changes[0]
	if left := change.Expires.Sub(i.Closed); left < 0 || left > 30*24*time.Hour {
		t.Errorf("got a change that ends %v after the incident: the time jumped", left)
	}
	b.clock.advance(30 * 24 * time.Hour)
	if i = b.until("nothing more", func(i *incident) bool { return true }); i.Changes[0].Status != engine.ChangeInForce {
		t.Errorf("got the change %s while the clock is held", i.Changes[0].Status)
	}

	b.clock.set(time.Hour) // an hour off, which somebody must vouch for
	b.post("/api/v1/clock/accept", map[string]any{"reason": "it was an hour slow"})
	b.until("the end of the block", (*incident).over)
	b.eventually("end of the hold", held(false))
}
