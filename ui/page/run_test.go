package page_test

import (
	"testing"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

func TestRun(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "dave")
	dave.Get("/larkspur/runs/"+uitest.RunID).Want(200,
		"netflix-while-away", "waiting", uitest.BundleHash, "9f86d081884c", "6dcb09b5b57875f334f61aebed695e2e4193db5e",
		"ask", "scripts/netflix.star:6:12", `choices = {"Allow"`, "dave", "respond", `"timeout": 2h`)
	dave.Get("/larkspur/runs/"+uitest.BadRunID).Want(200,
		"failed", "dialing: connection refused", "Is the controller running?", "scripts/netflix.star:10:20",
		`if a.choice == "Block":`, // the lines around the error
		"0/1", "in doubt", "not repeated until a person says so", "Arguments and result: erased on 2026-11-20 because ana asked for it", `secret("unifi")`, "shadow")
	dave.Get("/larkspur/runs/r0-99").Want(404, "there is no run")
}

func TestRunStatesItsTrouble(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "dave")
	for status, want := range map[string]string{
		engine.RunInDoubt: "A person has to say", engine.RunDiverged: "another way than what was recorded",
		engine.RunQuarantined: "died 3 times", engine.RunHeld: "It waits for question",
	} {
		w.Has.Runs[0].Status, w.Has.Runs[0].Deaths = status, 3
		dave.Get("/larkspur/runs/"+uitest.RunID).Want(200, want)
	}
}

func TestRunPagesLongJournals(t *testing.T) {
	w := uitest.Sample(t, address)
	var steps []engine.Step
	for i := range 10_000 {
		steps = append(steps, engine.Step{Number: i + 1, Builtin: "print", At: "scripts/netflix.star:4:1", Status: engine.StepDone, Started: uitest.Start()})
	}
	w.Has.Journals[uitest.RunID] = steps
	dave := w.Visit(t, "dave")
	path := "/larkspur/runs/" + uitest.RunID
	dave.Get(path).Want(200, `id="step-10000"`, `href="?from=9801"`).Lacks(`id="step-9900"`, "Later steps")
	dave.Get(path+"?from=1").Want(200, `id="step-1"`, `href="?from=101"`).Lacks("Earlier steps", `id="step-101"`)
	dave.Get(path+"?from=999999").Want(200, `id="step-10000"`)
	dave.Get(path+"?from=-1").Want(200, `id="step-10000"`)
}

func TestADoubtIsResolvedOnThePage(t *testing.T) {
	w := uitest.Sample(t, address)
	path := "/larkspur/runs/" + uitest.BadRunID
	eng := w.Visit(t, "eng")
	p := eng.Get(path).Want(200, "It happened", "Do it again", "Skip it", "How you know")
	form := p.Form()
	form.Set("step", "2")
	form.Set("outcome", "happened")
	form.Set("value", ` {"exit": 0} `)
	form.Set("reason", "the log says so")
	if to := eng.Post(path+"/resolve", form).Want(303).Header.Get("Location"); to != path+"?done=resolved" {
		t.Errorf("got a redirect to %q", to)
	}
	form.Set("outcome", "skip")
	eng.Post(path+"/resolve", form).Want(303)
	want := `login eng link; resolve r0-16 2 happened {"exit": 0} by eng "the log says so"; resolve r0-16 2 skip  by eng "the log says so"`
	if got := w.Logged(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	w.Late = "it was resolved by dave: skip it"
	eng.Post(path+"/resolve", form).Want(409, "it was resolved by dave: skip it")
	ana := w.Visit(t, "ana")
	ana.Get(path).Want(200, "not repeated until a person says so").Lacks("Do it again")
	form.Set("form_token", ana.Get("/larkspur/changes").Form().Get("form_token"))
	ana.Post(path+"/resolve", form).Want(403, "It takes the role engineer or admin")
	w.Has.Journals[uitest.BadRunID][1].Resolved = &engine.Resolution{Step: "2", Outcome: engine.OutcomeAgain, By: "dave", At: uitest.Start(), Why: "it was off"}
	ana.Get(path).Want(200, "do it again, because it was off")
}

func TestARestartIsShownBeforeItIsDone(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Has.Preview = engine.RestartPreview{
		Generation: 1, Bundle: uitest.BundleHash, Undone: w.Has.Changes[:1], Closed: true,
		Cannot:    []engine.Step{{Number: 4, Builtin: "http.post", At: "scripts/netflix.star:4:1", Status: engine.StepDone, Args: engine.MustEncode("a body")}},
		Unknown:   []engine.Step{{Number: 5, Builtin: "ssh.run", Status: engine.StepInDoubt}},
		Questions: w.Has.Questions[:1], Differs: &engine.Difference{Step: "1", Message: "another builtin", Before: true},
	}
	w.Has.Journals[uitest.RunID][1].Args = engine.MustEncode(map[string]engine.Value{"choices": []engine.Value{[]engine.Value{"Allow", "lets them"}, "Block"}})
	path := "/larkspur/runs/" + uitest.RunID
	eng := w.Visit(t, "eng")
	eng.Get(path).Want(200, `href="/larkspur/runs/r0-17/restart?step=2"`, "Undo the whole run")
	p := eng.Get(path+"/restart?step=2").Want(200, "Nothing has been done yet", "Taken back first", "block 02:00:00:00:00:07", "Stays as it is", "http.post", "Not known", "ssh.run",
		"Withdrawn questions", "Reopen it first", "With the live script instead", `value="Allow"`, "ask again")
	eng.Get(path+"/restart?step=2&script=current").Want(200, "before the step that was chosen", "another builtin").Lacks("<button class=\"danger\">")
	eng.Get(path+"/restart").Want(200, "Undo all that the run changed", "Undo it all")
	form := p.Form()
	form.Set("choice", "Allow")
	form.Set("reason", "he rang")
	if to := eng.Post(path+"/restart", form).Want(303).Header.Get("Location"); to != path+"?done=restarted" {
		t.Errorf("got a redirect to %q", to)
	}
	form.Set("step", "")
	form.Del("choice")
	eng.Post(path+"/restart", form).Want(303)
	want := `login eng link; restart r0-17 "2" answer "Allow" current false by eng "he rang"; restart r0-17 "" answer  current false by eng "he rang"`
	if got := w.Logged(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	w.Late = "it was restarted from step 2 already, by dave"
	eng.Post(path+"/restart", form).Want(409, "already, by dave")
	ana := w.Visit(t, "ana")
	ana.Get(path).Want(200).Lacks("Restart from here")
	ana.Get(path+"/restart?step=2").Want(403, "It takes the role engineer or admin")
	w.Has.Runs[0].Generation = 2
	w.Has.Runs[0].Branches = []engine.Branch{{Generation: 1, Status: engine.RunFailed, Step: "2", By: "eng", At: uitest.Start(), Why: "he rang"}}
	eng.Get(path).Want(200, "Earlier branches", `href="?generation=1"`, "restarted from step 2 by")
	eng.Get(path+"?generation=1").Want(200, "This is an earlier branch").Lacks("Restart from here")
}
