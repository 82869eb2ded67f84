package story

import (
	"strings"
	"testing"

	"larkspur/engine"
)

// TestSteerByCommand does from a terminal what people do with a run: hold it, let
// it go on, look before a restart, restart it, and take it back.
func TestSteerByCommand(t *testing.T) {
	t.Parallel()
	b := serve(t)
	in := []string{"-C", b.dir}
	says := func(want string, args ...string) {
		t.Helper()
		wantCommand(t, want, append(args, in...)...)
	}
	says("done", "pause", "--reason", "something is odd")
	b.play()
	i := b.until("question", func(i *incident) bool { return len(i.Questions) == 1 })
	run := i.run("playbook").ID
	says("done", "questions", "answer", i.Questions[0].ID, "Block")
	b.until("hold", func(i *incident) bool { return i.run("playbook").Status == engine.RunHeld })
	says("the brake, before unifi.block", "runs", "list")
	block := b.stepOf(run, "unifi.block")
	step := engine.StepID(block.Path, block.Number)
	says("done", "runs", "resolve", run, step, "--outcome", "release", "--reason", "it is meant")
	b.until("close", func(i *incident) bool { return i.Status == engine.IncidentClosed && len(i.Changes) == 1 })
	says("done", "resume")

	says("done", "incidents", "reopen", i.ID, "--reason", "it was wrong")
	ask := b.stepOf(run, "ask")
	says("taken back", "runs", "restart", run, engine.StepID(ask.Path, ask.Number), "--dry")
	says("done", "runs", "restart", run, engine.StepID(ask.Path, ask.Number), "--answer", `{"choice": "Allow"}`)
	b.until("the other end", func(i *incident) bool {
		return strings.HasPrefix(i.Reason, "Allow by") && i.Status == engine.IncidentClosed
	})
	says("nothing would be taken back", "runs", "undo", run, "--dry")
	says("done", "runs", "undo", run)
	b.until("the undo", func(i *incident) bool { return i.run("playbook").Status == engine.RunUndone })
}
