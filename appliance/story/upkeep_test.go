package story

import (
	"testing"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// TestRebuildWhileServing rebuilds in the middle of the story, which then goes on.
func TestRebuildWhileServing(t *testing.T) {
	t.Parallel()
	b := serve(t)
	b.play()
	before := b.until("question", func(i *incident) bool { return len(i.Questions) == 1 && i.run("playbook").Status == engine.RunWaiting })
	_, err := b.client().call(b.ctx, "POST", "/api/v1/rebuild", nil, nil)
	must(t, err)
	var now desk.Rebuild
	b.eventually("end of the rebuild", func() bool {
		return b.client().get(b.ctx, "/api/v1/rebuild", &now) == nil && !now.Running && now.Ended != nil
	})
	if now.Error != "" || now.Done == 0 || now.Done != now.Total {
		t.Errorf("got %+v, want all records", now)
	}
	after := b.until("question", func(i *incident) bool { return len(i.Questions) == 1 })
	if before.Questions[0].ID != after.Questions[0].ID || len(before.Timeline) != len(after.Timeline) || before.Title != after.Title {
		t.Errorf("got %+v after the rebuild, %+v before", after, before)
	}
	no, err := b.client().call(b.ctx, "POST", "/api/v1/questions/"+after.Questions[0].ID+"/answer", map[string]any{"choice": "Block"}, nil)
	must(t, err)
	if no != nil {
		t.Fatalf("the answer: got %+v", no)
	}
	b.until("close", func(i *incident) bool { return i.Status == engine.IncidentClosed })
}
