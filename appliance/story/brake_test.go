package story

import (
	"testing"

	"larkspur/engine"
)

// TestTheBrakeHoldsTheStory is use case U20: pressed in the middle of the story,
// the brake lets the question be answered and holds the block; let go, the device
// is blocked.
func TestTheBrakeHoldsTheStory(t *testing.T) {
	t.Parallel()
	b := serve(t)
	c := b.client()
	must(t, c.get(b.ctx, "/api/v1/brake", &engine.Brake{}))
	no, err := c.call(b.ctx, "POST", "/api/v1/pause", map[string]any{"reason": "something is odd"}, nil)
	must(t, err)
	if no != nil {
		t.Fatalf("pause: got %+v", no)
	}
	b.play()
	i := b.until("question", func(i *incident) bool { return len(i.Questions) == 1 && i.run("outbox").Status == engine.RunDone })
	if no, err = c.call(b.ctx, "POST", "/api/v1/questions/"+i.Questions[0].ID+"/answer", map[string]any{"choice": "Block"}, nil); err != nil || no != nil {
		t.Fatalf("the answer: got %+v, %v", no, err)
	}
	i = b.until("held", func(i *incident) bool { return i.run("playbook").Status == engine.RunHeld })
	if len(i.Changes) > 0 {
		t.Errorf("got changes %+v while the brake is on", i.Changes)
	}
	if no, err = c.call(b.ctx, "POST", "/api/v1/resume", map[string]any{}, nil); err != nil || no != nil {
		t.Fatalf("resume: got %+v, %v", no, err)
	}
	i = b.until("close", func(i *incident) bool { return i.Status == engine.IncidentClosed })
	if len(i.Changes) != 1 || i.Changes[0].Status != engine.ChangeInForce {
		t.Errorf("got changes %+v, want one in force", i.Changes)
	}
}
