package page_test

import (
	"testing"

	"larkspur/ui/uitest"
)

func TestRuns(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "dave")
	dave.Get("/larkspur/runs").Want(200, "r0-17", "r0-16", "waits for question q0-7", "connection refused", "waiting", "failed")
	dave.Get("/larkspur/runs?status=failed").Want(200, "r0-16").Lacks("r0-17")
	dave.Get("/larkspur/runs?incident=i0-42").Want(200, "of incident", "r0-17").Lacks("r0-16")
	dave.Get("/larkspur/runs?rule=none").Want(200, "No run fits")
	w.Has.Runs = nil
	dave.Get("/larkspur/runs").Want(200, "No run yet", "when a rule matches")
}

func TestRunsOfATeamAreHidden(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Has.Runs[0].Incident = uitest.TeamID
	vic := w.Visit(t, "vic")
	vic.Get("/larkspur/runs").Want(200, "r0-16").Lacks("r0-17")
	vic.Get("/larkspur/runs/r0-17").Want(404)
	w.Visit(t, "ana").Get("/larkspur/runs/r0-17").Want(200)
}
