package story

import (
	"strings"
	"testing"

	"larkspur/engine"
)

// TestKeepControl is use case U14: the story went the wrong way. Its incident is
// opened again, its run shows each step with its line; the restart from the
// question says beforehand what it takes back, takes it back, and goes on with
// another answer. Then once more, with the corrected script.
func TestKeepControl(t *testing.T) {
	t.Parallel()
	b := serve(t)
	b.play()
	i := b.until("question", func(i *incident) bool { return len(i.Questions) == 1 })
	b.post("/api/v1/questions/"+i.Questions[0].ID+"/answer", map[string]any{"choice": "Block", "reason": "homework"})
	i = b.until("close", func(i *incident) bool { return i.Status == engine.IncidentClosed && len(i.Changes) == 1 })
	if !b.controller.Blocked(television) {
		t.Fatal("the television is not blocked")
	}

	b.post("/api/v1/incidents/"+i.ID+"/reopen", map[string]any{"reason": "that was wrong"})
	run := i.run("playbook").ID
	ask := b.stepOf(run, "ask")
	if !strings.HasPrefix(ask.At, "scripts/netflix.star:") || len(ask.Result) == 0 {
		t.Errorf("got step %+v, want its line and its answer", ask)
	}
	step := engine.StepID(ask.Path, ask.Number)
	again := map[string]any{"step": step, "answer": map[string]any{"choice": "Allow"}, "reason": "it was for school"}

	var preview engine.RestartPreview
	dry := map[string]any{"dry": true}
	for name, v := range again {
		dry[name] = v
	}
	b.postFor(&preview, "/api/v1/runs/"+run+"/restart", dry)
	if len(preview.Undone) != 1 || preview.Undone[0].ID != i.Changes[0].ID || !b.controller.Blocked(television) {
		t.Errorf("got the preview %+v, want the block to be taken back, and not yet", preview)
	}
	b.post("/api/v1/runs/"+run+"/restart", again)
	i = b.until("the other end", func(i *incident) bool {
		return i.Status == engine.IncidentClosed && strings.HasPrefix(i.Reason, "Allow by")
	})
	if b.controller.Blocked(television) || i.Changes[0].Status != engine.ChangeUndone {
		t.Errorf("the television is blocked still, or says so: %+v", i.Changes)
	}

	// The former branch stays readable, and the script can be corrected.
	var former struct{ Steps []engine.Step }
	must(t, b.client().get(b.ctx, "/api/v1/runs/"+run+"?generation=1", &former))
	if n := len(former.Steps); n == 0 || former.Steps[n-1].Builtin == "" || !hasStep(former.Steps, "unifi.block") {
		t.Errorf("got the former branch %+v, want the block in it", former.Steps)
	}
	b.post("/api/v1/incidents/"+i.ID+"/reopen", map[string]any{"reason": "once more"})
	b.edit(t, "scripts/netflix.star", `i.close("%s by %s" % (answer.choice, answer.by)`, `i.close("corrected: %s by %s" % (answer.choice, answer.by)`)
	b.eventually("the corrected script", func() bool {
		b.postFor(&preview, "/api/v1/runs/"+run+"/restart", map[string]any{"step": step, "script": "current", "dry": true})
		return preview.Differs != nil
	})
	if preview.Differs.Before {
		t.Errorf("got %+v, want a difference behind the question", preview.Differs)
	}
	again["script"] = "current"
	b.post("/api/v1/runs/"+run+"/restart", again)
	b.until("the corrected end", func(i *incident) bool {
		return i.Status == engine.IncidentClosed && strings.HasPrefix(i.Reason, "corrected: Allow by")
	})
}

// stepOf is the first step of a run that calls a builtin.
func (b *box) stepOf(run, builtin string) engine.Step {
	b.t.Helper()
	var r struct{ Steps []engine.Step }
	must(b.t, b.client().get(b.ctx, "/api/v1/runs/"+run, &r))
	for _, s := range r.Steps {
		if s.Builtin == builtin {
			return s
		}
	}
	b.t.Fatalf("the run has no step of %s", builtin)
	return engine.Step{}
}

func hasStep(steps []engine.Step, builtin string) bool {
	for _, s := range steps {
		if s.Builtin == builtin {
			return true
		}
	}
	return false
}
