package story

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/appliance/demo/mailbox"
	"larkspur/engine"
	"larkspur/engine/calendar"
)

// clerk is a box with the shipped playbooks of deadlines switched on.
type clerk struct{ *box }

// hours of London and of Sydney; what is a holiday is in a list.
const calendars = `
calendars:
  office: {hours: "mon-fri 09:00-17:30", timezone: Europe/London, holidays: lists/holidays.txt}
  sydney: {hours: "mon-fri 09:00-17:30", timezone: Australia/Sydney}
`

func openDesk(t *testing.T, playbooks string) clerk {
	t.Helper()
	d := clerk{serve(t)}
	d.put(t, "secrets/oddities", hookToken+"\n")
	d.put(t, "secrets/faults", hookToken+"\n")
	must(t, os.MkdirAll(filepath.Join(d.dir, "lists"), 0o700))
	d.put(t, "lists/holidays.txt", "# none yet\n")
	d.edit(t, "larkspur.yaml", "people:\n", strings.TrimPrefix(calendars, "\n")+"teams: {family: [dave, ana]}\nplaybooks:\n"+playbooks+"people:\n")
	return d
}

// report calls a webhook, and returns the incident that it opens.
func (d clerk) report(hook, title string, fields map[string]any) string {
	d.t.Helper()
	body := map[string]any{"title": title}
	for name, v := range fields {
		body[name] = v
	}
	c := d.client()
	c.token = hookToken
	d.eventually("the hook "+hook, func() bool { // its rule is live within a second
		no, err := c.call(d.ctx, "POST", "/hooks/"+hook, body, nil)
		return err == nil && no == nil
	})
	var all list[engine.Incident]
	d.eventually("an incident", func() bool {
		return d.client().get(d.ctx, "/api/v1/incidents?q="+strings.ReplaceAll(title, " ", "+"), &all) == nil && len(all.Items) > 0
	})
	return all.Items[0].ID
}

// timed is an incident with its deadlines.
type timed struct {
	incident
	Deadlines []engine.Deadline
	Summary   []struct {
		Name  string
		Value any
	}
}

// see waits until an incident is as wanted.
func (d clerk) see(id, what string, done func(*timed) bool) *timed {
	d.t.Helper()
	var i *timed
	err := d.bell.until(d.ctx, func() (bool, error) {
		i = new(timed)
		err := d.client().get(d.ctx, "/api/v1/incidents/"+id, i)
		return err == nil && done(i), err
	})
	if err != nil {
		d.t.Fatalf("no %s: %v\n%s", what, err, i.told())
	}
	return i
}

func (i *timed) fact(name string) any {
	for _, f := range i.Summary {
		if f.Name == name {
			return f.Value
		}
	}
	return nil
}

// deadline is one of the incident's, by its name, or that of its last question.
func (i *timed) deadline(name string) (d engine.Deadline) {
	for _, each := range i.Deadlines {
		if each.Name == name {
			d = each
		}
	}
	return d
}

func (i *timed) waits() bool {
	return slices.ContainsFunc(i.Runs, func(r engine.Run) bool { return r.Purpose == "playbook" && r.Status == engine.RunWaiting })
}

// act is a person's.
func (d clerk) act(id, verb string, body map[string]any) {
	d.t.Helper()
	if no, err := d.client().call(d.ctx, "POST", "/api/v1/incidents/"+id+"/"+verb, body, nil); err != nil || no != nil {
		d.t.Fatalf("%s: got %+v, %v", verb, no, err)
	}
}

// answered answers the open question of an incident.
func (d clerk) answered(id, choice string) {
	d.t.Helper()
	open := func(q engine.Question) bool { return q.Status == engine.QuestionOpen }
	i := d.see(id, "question", func(i *timed) bool { return slices.ContainsFunc(i.Questions, open) && i.waits() })
	q := i.Questions[slices.IndexFunc(i.Questions, open)]
	if no, err := d.client().call(d.ctx, "POST", "/api/v1/questions/"+q.ID+"/answer", map[string]any{"choice": choice}, nil); err != nil || no != nil {
		d.t.Fatalf("answer %s: got %+v, %v", choice, no, err)
	}
}

// TestUntouched plays U6 of the use cases, from the shipped playbook.
func TestUntouched(t *testing.T) {
	t.Parallel()
	d := openDesk(t, "  - untouched: {name: oddities, hook: oddities, team: family, about: host}\n")
	waits := func(i *timed) bool { return i.waits() }
	reported := func(title, host string) string {
		id := d.report("oddities", title, map[string]any{"host": host})
		d.see(id, "wait", waits)
		return id
	}
	first, taken, urgent := reported("first device", "192.0.2.7"), reported("second device", "192.0.2.7"), reported("third device", "192.0.2.9")
	for _, part := range []struct {
		sentence string
		test     func(*testing.T)
	}{
		{"low-priority incidents are enriched", func(t *testing.T) {
			if i := d.see(taken, "wait", waits); i.Severity != "low" || i.fact("about") != "192.0.2.7" || fmt.Sprint(i.fact("seen_before")) != "1" {
				t.Errorf("got %s, %+v", i.Severity, i.Summary)
			}
		}},
		{"given to the team (not a person)", func(t *testing.T) {
			if i := d.see(first, "wait", waits); i.Team != "family" || i.Owner != "" {
				t.Errorf("got team %q, owner %q", i.Team, i.Owner)
			}
		}},
		{"wait 3 days", func(t *testing.T) {
			d.clock.advance(71 * time.Hour)
			if i := d.see(first, "wait", waits); i.Status != "open" {
				t.Errorf("got %s after 71 hours", i.Status)
			}
		}},
		{"anyone can take one", func(t *testing.T) {
			d.act(taken, "assign", map[string]any{"to": "ana"})
			if i := d.see(taken, "owner", func(i *timed) bool { return i.Owner == "ana" && i.waits() }); i.Status != "open" {
				t.Errorf("got %+v", i.Incident)
			}
		}},
		{"untouched ones close themselves", func(t *testing.T) {
			d.put(t, "scripts/raise.star", raise)
			must(t, d.started("raise"))
			d.see(urgent, "severity", func(i *timed) bool { return i.Severity == "high" })
			d.clock.advance(2 * time.Hour)
			if i := d.see(first, "close", func(i *timed) bool { return i.Status == "closed" }); i.Code != "untouched" || i.Reason != "nobody looked at it for 3d" {
				t.Errorf("got %s, %s", i.Code, i.Reason)
			}
			if i := d.see(taken, "story", func(*timed) bool { return true }); i.Status != "open" {
				t.Errorf("one that somebody took is %s", i.Status)
			}
		}},
		{"before closing, check again that it still is low priority", func(t *testing.T) {
			i := d.see(urgent, "note", func(i *timed) bool { return strings.Contains(i.told(), "but it is high: it stays open") })
			if i.Status != "open" {
				t.Errorf("got %s", i.Status)
			}
		}},
		{"dashboard: incidents per time-to-close", func(t *testing.T) {
			d.act(taken, "close", map[string]any{"reason": "a printer"})
			d.eventually("the dashboard", func() bool {
				_, page, err := visitAs(t, d.url+"/api/v1/metrics?name=seconds_to_close", apiToken)
				return err == nil && strings.Contains(page, `"count":2`)
			})
			_, text, err := visitAs(t, d.url+"/api/v1/stats?by=all&group=type", apiToken)
			must(t, err)
			if !strings.Contains(text, `"closed_within":[0,0,0,0,0,0,2]`) && !strings.Contains(text, `"closed_within":[0,0,0,0,0,0,2,0]`) {
				t.Errorf("got %s", text)
			}
		}},
		{"how many of each type were closed without being looked at", func(t *testing.T) {
			_, page, err := d.page("/charts")
			must(t, err)
			wantText(t, "the dashboard", page, "Closed in 30 days", ">oddities</a>", "<td>2</td>", "Untouched", "closed_untouched")
			row := page[strings.Index(page, ">oddities</a>"):]
			if row = row[:strings.Index(row, "</tr>")]; !strings.HasSuffix(row, "<td>1</td>") {
				t.Errorf("got %s, want one untouched", row)
			}
		}},
	} {
		if !t.Run(part.sentence, part.test) {
			return // what comes next begins where this ended
		}
	}
}

// raise makes an incident urgent, as another playbook might.
const raise = `
def raise_it():
    for i in incidents.find(status = "open", fields = {"about": "192.0.2.9"}):
        i.escalate("high")

job(name = "raise", cron = "0 0 1 1 *", do = raise_it)
`

// started has a job run by hand, once it is live.
func (d clerk) started(job string) error {
	return eventually(d.ctx, func() bool {
		var s engine.JobStart
		no, err := d.client().call(d.ctx, "POST", "/api/v1/jobs/"+job+"/run", map[string]any{}, &s)
		return err == nil && no == nil && s.Applied
	})
}

// page opens a page as somebody who is signed in.
func (d clerk) page(path string) (status int, page string, err error) {
	who, err := d.client().paired(d.ctx, "dave")
	if err != nil {
		return 0, "", err
	}
	return visitBy(d.ctx, who, "GET", d.url+path, nil)
}

const faults = `  - deadlines: {name: faults, hook: faults, team: family, who: dave, supplier: ana, boss: ana, hours: %s, breach: %s}
`

// TestDeadlines plays U7 of the use cases, from the shipped playbook.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	t.Run("on the whole incident; on breach: alert", func(t *testing.T) {
		t.Parallel()
		d := openDesk(t, fmt.Sprintf(faults, `""`, "alert"))
		id := d.report("faults", "the lift stands", nil)
		i := d.see(id, "deadlines", func(i *timed) bool {
			return i.waits() && !i.deadline("close").Due.IsZero() && !i.deadline("respond").Due.IsZero()
		})
		d.clock.advance(time.Hour)
		i = d.see(id, "alert", func(i *timed) bool {
			return strings.Contains(i.told(), "ana was told that it is late") && i.Severity == "high"
		})
		if i.deadline("respond").Status != engine.DeadlineBreached || i.deadline("close").Status != engine.DeadlineRunning {
			t.Errorf("got %+v", i.Deadlines)
		}
		d.eventually("mail", func() bool {
			return slices.ContainsFunc(d.mailbox.Mails(), func(m mailbox.Mail) bool { return strings.Contains(m.Subject, "the lift stands is late") })
		})
		d.answered(id, "Ours")
		if i = d.see(id, "response", func(i *timed) bool { return i.deadline("respond").Status == engine.DeadlineMet }); i.Breached != 0 {
			t.Errorf("got %d breached", i.Breached)
		}
	})
	t.Run("on one task; skip the task", func(t *testing.T) {
		t.Parallel()
		d := openDesk(t, fmt.Sprintf(faults, `""`, "skip"))
		id := d.report("faults", "the lift stands", nil)
		d.see(id, "question", func(i *timed) bool { return len(i.Questions) == 1 && i.waits() })
		d.clock.advance(4 * time.Hour)
		i := d.see(id, "next question", func(i *timed) bool { return strings.Contains(i.told(), "Is it repaired? The cause: Skip") })
		wantText(t, "the story", i.told(), "nobody answered in time: Skip")
	})
	t.Run("on one task; take another route and escalate", func(t *testing.T) {
		t.Parallel()
		d := openDesk(t, fmt.Sprintf(faults, `""`, "reroute"))
		id := d.report("faults", "the lift stands", nil)
		d.see(id, "question", func(i *timed) bool { return len(i.Questions) == 1 && i.waits() })
		d.clock.advance(4 * time.Hour)
		i := d.see(id, "next question", func(i *timed) bool { return i.Severity == "high" && len(i.Questions) == 2 && i.waits() })
		if !slices.ContainsFunc(i.Questions, func(q engine.Question) bool { return q.Status == "open" && q.To[0].Name == "ana" }) {
			t.Errorf("got %s, %+v", i.Severity, i.Questions)
		}
	})
	t.Run("on one task; alert", func(t *testing.T) {
		t.Parallel()
		d := openDesk(t, fmt.Sprintf(faults, `""`, "alert"))
		id := d.report("faults", "the lift stands", nil)
		d.see(id, "question", func(i *timed) bool { return len(i.Deadlines) == 4 && !i.deadline("").Due.IsZero() && i.waits() })
		d.clock.advance(4 * time.Hour)
		i := d.see(id, "alert", func(i *timed) bool { return strings.Contains(i.told(), "has a question that nobody answers") })
		if i.deadline("").Status != engine.DeadlineBreached || i.Questions[0].Status != "open" {
			t.Errorf("got %+v, %s", i.deadline(""), i.Questions[0].Status)
		}
	})
	t.Run("on a section (start, pause, resume, stop: started by step 1, paused at 5, resumed at 7, stopped at 10)", sectionOfSteps)
	t.Run("business hours and time zones count", hoursAndZones)
}

func sectionOfSteps(t *testing.T) {
	t.Parallel()
	d := openDesk(t, fmt.Sprintf(faults, `""`, "alert"))
	id := d.report("faults", "the lift stands", nil)
	d.see(id, "start", func(i *timed) bool { return !i.deadline("work").Due.IsZero() && i.waits() })
	d.clock.advance(2 * time.Hour)
	d.answered(id, "Theirs")
	i := d.see(id, "pause", func(i *timed) bool { return i.deadline("work").Status == engine.DeadlinePaused && i.waits() })
	if left := i.deadline("work").Left; left > 6*time.Hour || left < 6*time.Hour-2*patience {
		t.Errorf("got %s left, want 6 hours", left)
	}
	d.clock.advance(10 * 24 * time.Hour)
	d.answered(id, "Yes")
	d.see(id, "resume", func(i *timed) bool {
		return i.deadline("work").Status == engine.DeadlineRunning && !i.deadline("work").Due.IsZero() && i.waits()
	})
	d.clock.advance(6*time.Hour + time.Minute)
	d.see(id, "breach", func(i *timed) bool { return strings.Contains(i.told(), "was told that it takes long") })
	d.answered(id, "Yes")
	i = d.see(id, "end", func(i *timed) bool { return i.Status == "closed" })
	var run struct{ Steps []engine.Step }
	main := i.Runs[slices.IndexFunc(i.Runs, func(r engine.Run) bool { return r.Purpose == "playbook" })]
	must(t, d.client().get(d.ctx, "/api/v1/runs/"+main.ID, &run))
	var acts []string
	for _, s := range run.Steps {
		if act, ok := strings.CutPrefix(s.Builtin, "timer."); ok {
			acts = append(acts, fmt.Sprint(act, " at ", s.Number))
		}
	}
	if got := strings.Join(acts, ", "); got != "start at 1, pause at 5, resume at 7, stop at 10" {
		t.Errorf("got %s", got)
	}
	if strings.Count(i.told(), "was told that it takes long") != 1 {
		t.Errorf("got more than one breach:\n%s", i.told())
	}
}

// hoursAndZones: what is due is what a clock on the wall of that zone makes of it,
// and moves with the list of holidays.
func hoursAndZones(t *testing.T) {
	t.Parallel()
	for name, zone := range map[string]string{"office": "Europe/London", "sydney": "Australia/Sydney"} {
		d := openDesk(t, fmt.Sprintf(faults, name, "alert"))
		id := d.report("faults", "the lift stands", nil)
		counted := func(i *timed) bool { return !i.deadline("close").Due.IsZero() }
		close := d.see(id, "deadline", counted).deadline("close")
		in, err := calendar.Zone(zone)
		must(t, err)
		if due := counting(close.Since.In(in), 48*time.Hour, nil); !close.Due.Equal(due) {
			t.Errorf("%s: got %s, want %s", name, close.Due.In(in), due)
		}
		if name != "office" {
			continue
		}
		off := map[string]bool{close.Due.In(in).Format(time.DateOnly): true}
		d.put(t, "lists/holidays.txt", close.Due.In(in).Format(time.DateOnly)+"\n")
		want := counting(close.Since.In(in), 48*time.Hour, off)
		d.see(id, "deadline moved by a holiday", func(i *timed) bool { return i.deadline("close").Due.Equal(want) })
	}
}

// counting counts minutes of 09:00 to 17:30 on working days until so much has
// passed, and then seconds back.
func counting(t time.Time, left time.Duration, off map[string]bool) time.Time {
	open := func(t time.Time) bool {
		at := t.Hour()*60 + t.Minute()
		return t.Weekday() != time.Saturday && t.Weekday() != time.Sunday && !off[t.Format(time.DateOnly)] && at >= 9*60 && at < 17*60+30
	}
	for left > 0 {
		next := t.Truncate(time.Minute).Add(time.Minute) // offsets are whole minutes
		step := next.Sub(t)
		if open(t) {
			if step >= left {
				return t.Add(left)
			}
			left -= step
		}
		t = next
	}
	return t
}
