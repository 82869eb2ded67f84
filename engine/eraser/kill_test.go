package eraser

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"larkspur/engine"
	"larkspur/engine/ledger"
)

// The steps of an erasure, as it tells them.
var steps = []string{
	"planning", "erasing", "making the pages' data anew", "removing from files", "removing former projections from files",
	"removing blobs", "removing snapshots", "writing down that it is done",
}

// afterErasing is a second planning, when records are erased already.
const afterErasing = "planning again"

// Environment of the process that is killed.
const (
	dirEnv  = "LARKSPUR_ERASER_DIR"
	stepEnv = "LARKSPUR_ERASER_STEP"
)

// TestKilledInAnErasure: at each of its steps the process is killed with signal
// 9. The next one finishes what was asked. Not in parallel: a process that is being
// started holds the locks of folders that were open when it was forked.
func TestKilledInAnErasure(t *testing.T) {
	if os.Getenv(dirEnv) != "" {
		dieErasing(t)
		return
	}
	for _, step := range append([]string{afterErasing}, steps...) {
		t.Run(step, func(t *testing.T) {
			b := open(t, t.TempDir())
			gone, kept := marker(), marker()
			incident, _ := b.story(gone)
			other, _ := b.story(kept)
			b.shut(incident, gone)
			b.close()
			die(t, b.dir, step)

			b = open(t, b.dir)
			defer b.close()
			b.finish()
			if files := b.found(gone); len(files) > 0 {
				t.Errorf("it is still in %v", files)
			}
			list, _, err := b.eraser.Erasures("", 10)
			if err != nil || len(list) != 1 || list[0].Status != engine.ErasureDone || list[0].Incident != incident || list[0].Records < 12 {
				t.Errorf("got %+v, %v, want one erasure that is done", list, err)
			}
			if !b.snapshotsGone {
				t.Error("the snapshots are still there")
			}
			if i, err := b.state.Incident(other); err != nil || !strings.Contains(i.Title, kept) || i.Erased != nil {
				t.Errorf("the other incident: got %+v, %v", i, err)
			}
			if len(b.found(kept)) < 2 {
				t.Errorf("what was kept is only in %v", b.found(kept))
			}
			b.verify()
			b.equalsItsRebuild()
		})
	}
}

// die starts a process that erases the one closed incident, and is killed at a
// step.
func die(t *testing.T, dir, step string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledInAnErasure$")
	cmd.Env = append(os.Environ(), dirEnv+"="+dir, stepEnv+"="+step)
	said, err := cmd.CombinedOutput()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed at %q: %v\n%s", step, err, said)
	}
}

func dieErasing(t *testing.T) {
	b := open(t, os.Getenv(dirEnv))
	list, _, err := b.state.Incidents(engine.IncidentFilter{Status: engine.IncidentClosed}, "", 10)
	must(t, err)
	if len(list) != 1 {
		t.Fatalf("got %d closed incidents, want one", len(list))
	}
	asked, err := b.eraser.Erase(t.Context(), engine.ErasureRequest{Incident: list[0].ID, Because: because, By: "ana", How: "page", Snapshots: true})
	must(t, err)
	want, seen := os.Getenv(stepEnv), []string{}
	b.eraser.onStep = func(text string) {
		step, _, _ := strings.Cut(text, ":")
		if !slices.Contains(steps, step) {
			t.Errorf("nobody kills at the step %q", step)
		}
		again := step == "planning" && slices.Contains(seen, "erasing")
		if seen = append(seen, step); step == want || again && want == afterErasing {
			must(t, syscall.Kill(os.Getpid(), syscall.SIGKILL))
			select {}
		}
	}
	must(t, b.eraser.work(context.Background(), asked.ID))
}

// TestAnErasureThatIsStopped in order leaves what it did not do to the next
// process.
func TestAnErasureThatIsStopped(t *testing.T) {
	b := open(t, t.TempDir())
	gone := marker()
	incident, _ := b.story(gone)
	b.shut(incident, gone)
	asked, err := b.eraser.Erase(t.Context(), engine.ErasureRequest{Incident: incident, Because: because, By: "ana", How: "page"})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	b.eraser.onStep = func(step string) {
		if strings.HasPrefix(step, "making") {
			cancel()
		}
	}
	if err := b.eraser.work(ctx, asked.ID); engine.KindOf(err) != engine.Timeout {
		t.Errorf("got %v, want that it was stopped", err)
	}
	b.close()
	b = open(t, b.dir)
	defer b.close()
	b.finish()
	if files := b.found(gone); len(files) > 0 {
		t.Errorf("it is still in %v", files)
	}
}

// TestScrubsBesideAnErasure: a scrub beside an erasure, and beside a rebuild,
// finds nothing wrong.
func TestScrubsBesideAnErasure(t *testing.T) {
	b := open(t, t.TempDir())
	defer b.close()
	for n := range 4 {
		incident, _ := b.story(marker())
		b.shut(incident, "dave")
		if _, err := b.eraser.Erase(t.Context(), engine.ErasureRequest{Incident: incident, Because: because, By: "ana", How: "page"}); n%2 == 0 && err != nil {
			t.Fatal(err)
		}
	}
	var beside sync.WaitGroup
	over := make(chan struct{})
	beside.Go(func() {
		defer close(over)
		must(t, b.eraser.Finish(context.Background()))
		must(t, b.ledger.Rebuild())
	})
	scrubs := 0
	for ended := false; !ended; scrubs++ {
		select {
		case <-over:
			ended = true // one more, of what is left
		default:
		}
		faults, more, err := ledger.Scrub(t.Context(), ledger.Scrubbing{Store: b.store, Keys: []string{b.signer.Verifier}})
		if err != nil || len(faults) > 0 || more > 0 {
			t.Fatalf("scrub %d: got %+v and %d more, %v", scrubs, faults, more, err)
		}
	}
	beside.Wait()
	if scrubs < 3 {
		t.Errorf("got %d scrubs, want some beside", scrubs)
	}
}
