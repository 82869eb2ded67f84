package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"larkspur/engine"
)

// eraseAskEvery is how often a running appliance is asked how far it is.
const eraseAskEvery = 500 * time.Millisecond

// runErase has a running appliance erase something: it says what would go, then
// does it, unless only that is asked.
func runErase(c *call) error {
	return c.client([]ask{
		{"list", "", func(q *question) error { return get(q, "erasures"+q.query(), showErasures) }},
		{"incident", "ID", func(q *question) error { return erase(q, map[string]any{"incident": q.args[0]}) }},
		{"person", "ADDRESS", func(q *question) error { return erase(q, map[string]any{"person": q.args[0]}) }},
	})
}

func erase(q *question, body map[string]any) error {
	if strings.TrimSpace(q.opts.because) == "" {
		return usagef("it wants a reason, which stands wherever something was: --because TEXT")
	}
	body["because"], body["snapshots"], body["dry_run"] = q.opts.because, q.opts.snapshots, true
	if err := post(q, "erasures", body, showPlan); err != nil || q.opts.dryRun {
		return err
	}
	body["dry_run"] = false
	b, err := q.client.do(q.ctx, "POST", "/api/v1/erasures", body)
	if err != nil {
		return err
	}
	return q.followErasure(b)
}

// followErasure tells how far an erasure is until it ends.
func (q *question) followErasure(b []byte) error {
	told := ""
	for {
		var e engine.Erasure
		if err := json.Unmarshal(b, &e); err != nil {
			return engine.WrapError(engine.Internal, err, "the appliance's answer")
		}
		if e.Status != engine.ErasureRunning {
			return print(q, b, showErased)
		}
		if e.Step != told && e.Step != "" {
			told = e.Step
			fmt.Fprintln(terminal{q.stderr}, told)
		}
		if err := (engine.SystemClock{}).Sleep(q.ctx, eraseAskEvery); err != nil {
			return engine.WrapError(engine.Timeout, err, "no longer waiting; the erasure goes on")
		}
		var err error
		if b, err = q.client.do(q.ctx, "GET", "/api/v1/erasures/"+e.ID, nil); err != nil {
			return err
		}
	}
}

func showPlan(w io.Writer, e engine.Erasure) {
	fmt.Fprintf(w, "%d records of %d incidents, and %d files\n", e.Records, e.Incidents, e.Blobs)
	showWaits(w, e)
	for _, note := range e.Notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
}

func showWaits(w io.Writer, e engine.Erasure) {
	for _, wait := range e.Waits {
		fmt.Fprintf(w, "waits: %s\n", wait.Why)
	}
}

func showErased(w io.Writer, e engine.Erasure) {
	fmt.Fprintf(w, "erased: %d records, as %s\n", e.Records, e.ID)
	if e.Status == engine.ErasureWaits {
		fmt.Fprintln(w, "what waits is erased by the nightly pass, once it is not in use:")
		showWaits(w, e)
	}
}

func showErasures(w io.Writer, p page[engine.Erasure]) {
	fmt.Fprintln(w, "ID\tSTATUS\tASKED\tBY\tRECORDS\tWHAT\tBECAUSE")
	for _, e := range p.Items {
		what := "incident " + e.Incident
		switch {
		case e.Person != "":
			what = "a person"
		case !e.Before.IsZero():
			what = "closed before " + stamp(e.Before)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", e.ID, e.Status, stamp(e.Asked), e.By, e.Records, what, e.Because)
	}
}
