package demo

import (
	"context"
	"net/http"
	"strings"
	"time"

	"larkspur/engine"
)

// report is what Eve's web site sends.
const report = `{"subject": "The printer is on fire", "text": "It smells, and it says PC LOAD LETTER.", "reporter": "Eve <eve@example.org>"}`

// report calls the webhook as a web site does.
func (d *Demo) report(w http.ResponseWriter, r *http.Request) {
	if err := d.callHook(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	http.Redirect(w, r, "/desk/", http.StatusSeeOther)
}

func (d *Demo) callHook(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(d.appliance.URL(), "/")+"/hooks/help", strings.NewReader(report))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+d.hookSecret)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return engine.WrapError(engine.Unavailable, err, "demo: the report")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return engine.Errorf(engine.Unavailable, "demo: the report: the webhook answers %s", resp.Status)
	}
	return nil
}

func (d *Demo) tellDesk(s *story) error {
	if err := d.tellNewest(s, engine.IncidentFilter{Type: "report"}); err != nil || s.Incident == nil {
		return err
	}
	s.Step, s.Critical = 2, s.Incident.Severity == "critical"
	deadlines, err := d.appliance.State().Deadlines(s.Incident.ID)
	if err != nil {
		return err
	}
	for _, each := range deadlines {
		if s.Step = 4; each.Status == engine.DeadlineRunning {
			s.Step, s.Left = 3, max(0, secondsLeft(each.Due, d.clock.Now()))
		}
	}
	if s.Incident.Status == engine.IncidentClosed {
		s.Step = 5
	}
	return nil
}
