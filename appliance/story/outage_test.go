package story

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"larkspur/engine"
	"larkspur/engine/state"
)

// TestUnstableServer plays U1 of the use cases, from the shipped playbook, with
// nginx, sshd, OpenSMTPD and Chromium.
func TestUnstableServer(t *testing.T) {
	if os.Getenv(inside) == "" {
		enclosed(t, "TestUnstableServer")
		return
	}
	e := openEstate(t)
	for _, part := range []struct {
		sentence string
		test     func(*testing.T)
	}{
		{"a job every 5 minutes fetches a page", e.fetches},
		{"healthy: nothing is left behind but metrics and the audit line", e.leavesNothing},
		{"status", e.seesStatus},
		{"body changed unexpectedly", e.seesChange},
		{"certificate valid and for how long", e.seesCertificates},
		{"down: an incident", e.opensIncident},
		{"the approver gets a message with a link that works on a phone anywhere, without SSH keys and without an inbound port at home", e.asksByMail},
		{"on approval the service is restarted by SSH key (never password)", e.restarts},
		{"last 20 log lines are kept as evidence", e.keepsLog},
		{"wait 180 s; test again", e.waitsAndTests},
		{"close", e.closes},
		{"or escalate", e.escalates},
		{"or the host rebooted", e.reboots},
		{"dashboard of uptime, outages, time to approve, time to fix", e.charts},
	} {
		if !t.Run(part.sentence, part.test) {
			return // what comes next begins where this ended
		}
	}
}

// fetched counts what the web server was asked for.
func (e *estate) fetched(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(e.dir, "access.log"))
	must(t, err)
	return strings.Count(string(text), `"GET / HTTP`)
}

func (e *estate) fetches(t *testing.T) {
	for range 3 {
		before := e.fetched(t)
		e.look(t)
		if got := e.fetched(t) - before; got != 1 {
			t.Errorf("got %d requests in five minutes, want one", got)
		}
	}
}

// kinds counts the records of the log by kind.
func (e *estate) kinds(t *testing.T) map[string]int {
	t.Helper()
	_, text, err := visitAs(t, e.url+"/api/v1/audit?format=jsonl", apiToken)
	must(t, err)
	kinds := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		var r struct{ Kind string }
		must(t, json.Unmarshal([]byte(line), &r))
		kinds[r.Kind]++
	}
	return kinds
}

func (e *estate) leavesNothing(t *testing.T) {
	before := e.kinds(t)
	e.look(t)
	var left []string
	for kind, n := range e.kinds(t) {
		if n > before[kind] {
			left = append(left, kind)
		}
	}
	slices.Sort(left)
	t.Logf("a healthy look leaves %v", left)
	allowed := []string{"", "exported", "job_fired", "metric_set", "run_ended", "run_started", "state_set", "step_done", "step_ended", "step_started", "steps_done"}
	for _, kind := range left {
		if !slices.Contains(allowed, kind) {
			t.Errorf("a healthy look leaves %v, want the line of its run and metrics", left)
		}
	}
	if i := e.newest(t, ""); i != nil {
		t.Errorf("there is an incident: %+v", i)
	}
	if files, _ := filepath.Glob(filepath.Join(e.mails.mail, "new", "*")); len(files) > 0 {
		t.Errorf("there are mails: %v", files)
	}
	e.wantMetric(t, "up", 1)
}

// wantMetric wants the newest value of a metric of blog.
func (e *estate) wantMetric(t *testing.T, name string, want float64) {
	t.Helper()
	var all list[engine.Series]
	must(t, e.client().get(t.Context(), "/api/v1/metrics?name="+name, &all))
	for _, s := range all.Items {
		if s.Labels["server"] == "blog" {
			if s.Value != want {
				t.Errorf("%s: got %v, want %v", name, s.Value, want)
			}
			return
		}
	}
	t.Errorf("nothing recorded %s", name)
}

// comesAndGoes: trouble opens an incident with a title, and its end closes it.
func (e *estate) comesAndGoes(t *testing.T, title string, hurt, heal func()) {
	t.Helper()
	hurt()
	e.look(t)
	i := e.newest(t, title)
	if i == nil || i.Status != engine.IncidentOpen || i.Type != "outage" {
		t.Fatalf("got %+v, want an open incident %q", i, title)
	}
	e.mail(t, title)
	heal()
	e.look(t)
	i = e.newest(t, title)
	if i.Status != engine.IncidentClosed || !strings.Contains(i.told(), "healthy again") || i.Questions[0].Status != engine.QuestionWithdrawn {
		t.Errorf("got %s, question %s: %s", i.Status, i.Questions[0].Status, i.told())
	}
}

func (e *estate) seesStatus(t *testing.T) {
	e.comesAndGoes(t, "blog: status 503", func() { e.write(t, "sick", "") }, func() { must(t, os.Remove(filepath.Join(e.dir, "sick"))) })
}

func (e *estate) seesChange(t *testing.T) {
	e.comesAndGoes(t, "blog: the page changed", func() { e.write(t, "www/index.html", "Welcome, says somebody else") }, func() { e.write(t, "www/index.html", "Welcome") })
}

func (e *estate) seesCertificates(t *testing.T) {
	for _, name := range []string{"soon", "late"} {
		address := "https://" + net.JoinHostPort(watchedHost, e.port(name)) + "/"
		e.edit(t, "larkspur.yaml", "playbooks:\n", fmt.Sprintf("playbooks:\n  - server_watch: {name: %s, url: %q, host: web1, who: ana}\n", name, address))
	}
	e.eventually("jobs of the saved file", func() bool {
		_, text, err := visitAs(t, e.url+"/api/v1/rules", apiToken)
		return err == nil && strings.Contains(text, `"late"`)
	})
	e.look(t)
	for title, says := range map[string]string{"soon: ": "the certificate ends in 3 days", "late: ": "the certificate is not to be trusted"} {
		e.pass(t, "incident "+title, func() bool { return e.newest(t, title) != nil })
		if i := e.newest(t, title); !strings.Contains(i.Title, says) {
			t.Errorf("got %q, want that %s", i.Title, says)
		}
	}
}

func (e *estate) opensIncident(t *testing.T) {
	e.stopServer(t)
	e.did(t)
	e.look(t)
	e.look(t)
	i := e.newest(t, "blog: ")
	if i.Status != engine.IncidentOpen || !strings.Contains(i.Title, "refused") || i.Severity != "high" || len(i.Runs) == 0 {
		t.Fatalf("got %+v", i)
	}
	e.wantMetric(t, "up", 0)
}

func (e *estate) asksByMail(t *testing.T) {
	mail := e.mail(t, "refused. What now?")
	wantText(t, "mail", mail, "To: dave@example.org", "Restart: restarts nginx on web1", "bad24.example.net")
	if strings.Contains(mail, strings.TrimPrefix(e.url, "http://")) {
		t.Error("the mail names the address at home")
	}
	e.decide(t, mail, "Restart", "connection was refused", "What now?", "restarts nginx on web1", "bad24.example.net")
}

func (e *estate) restarts(t *testing.T) {
	e.eventually("restart", func() bool {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", e.port("good")))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	if got, want := e.did(t), []string{"journalctl --no-pager -n20 -u nginx", "systemctl restart nginx"}; !slices.Equal(got[len(got)-2:], want) {
		t.Errorf("got %q, want %q", got, want)
	}
	log := e.sshd.log()
	if !strings.Contains(log, "Accepted publickey for "+e.sshd.user) || regexp.MustCompile(`(?i)(accepted|failed) (password|keyboard)`).MatchString(log) {
		t.Errorf("sshd says: %s", log)
	}
}

func (e *estate) keepsLog(t *testing.T) {
	i := e.newest(t, "blog: ")
	var kept struct{ Attachments []engine.Attachment }
	must(t, e.client().get(t.Context(), "/api/v1/incidents/"+i.ID, &kept))
	if len(kept.Attachments) != 1 || kept.Attachments[0].Name != "log.txt" {
		t.Fatalf("got %+v", kept)
	}
	_, log, err := visitAs(t, e.url+"/api/v1/incidents/"+i.ID+"/attachments/"+kept.Attachments[0].SHA256, apiToken)
	must(t, err)
	if got, want := strings.Split(strings.TrimSpace(log), "\n"), journalLines()[5:]; !slices.Equal(got, want) {
		t.Errorf("got %q, want the last twenty lines", got)
	}
}

func (e *estate) waitsAndTests(t *testing.T) {
	i := e.newest(t, "blog: ")
	run := i.run(state.PurposePlaybook)
	e.eventually("wait", func() bool {
		must(t, e.client().get(t.Context(), "/api/v1/runs/"+run.ID, &run))
		return strings.HasPrefix(run.Waits, "until ")
	})
	until, err := time.Parse(time.RFC3339, strings.TrimPrefix(run.Waits, "until "))
	must(t, err)
	if wait := until.Sub(e.clock.Now()); wait > 180*time.Second || wait < 100*time.Second {
		t.Errorf("it waits for %s more, want 180 s from the restart", wait)
	}
	before := e.fetched(t)
	e.pass(t, "second test", func() bool { return e.fetched(t) > before })
	if now := e.clock.Now(); now.Before(until) {
		t.Errorf("it was tested at %s, want not before %s", now, until)
	}
}

func (e *estate) closes(t *testing.T) {
	e.pass(t, "end", func() bool { return e.newest(t, "blog: ").Status == engine.IncidentClosed })
	wantText(t, "story", e.newest(t, "blog: ").told(), "closes: Restart by dave")
	e.look(t)
	e.wantMetric(t, "up", 1)
}

func (e *estate) escalates(t *testing.T) {
	e.write(t, "sick", "")
	e.look(t)
	e.decide(t, e.mail(t, "blog: status 503. What now?"), "Restart", "status 503")
	e.pass(t, "escalation", func() bool { return e.newest(t, "blog: ").Severity == "critical" })
	i := e.newest(t, "blog: ")
	wantText(t, "story", i.told(), "still in trouble: status 503")
	if i.Status != engine.IncidentOpen {
		t.Errorf("got %s", i.Status)
	}
	must(t, os.Remove(filepath.Join(e.dir, "sick")))
	e.look(t)
	if i := e.newest(t, "blog: "); i.Status != engine.IncidentClosed {
		t.Errorf("got %s once the page is healthy", i.Status)
	}
}

func (e *estate) reboots(t *testing.T) {
	e.write(t, "sick", "") // a reboot helps
	e.look(t)
	mail := e.mail(t, "blog: status 503. What now?")
	e.did(t)
	e.decide(t, mail, "Reboot", "reboots web1")
	e.pass(t, "end", func() bool { return e.newest(t, "blog: ").Status == engine.IncidentClosed })
	wantText(t, "story", e.newest(t, "blog: ").told(), "closes: Reboot by dave")
	if got := e.did(t); !slices.Contains(got, "systemctl reboot") {
		t.Errorf("got %q", got)
	}
}

func (e *estate) charts(t *testing.T) {
	link, err := e.a.SignInLink("dave")
	must(t, err)
	e.phone.t = t
	e.phone.open(link)
	e.phone.do(chromedp.Click(chromedp.CSS("button.primary")), chromedp.WaitVisible(chromedp.CSS("nav")))
	e.phone.open(e.far.url + "/charts")
	e.phone.see("charts", "up", "outages", "seconds_to_approve", "seconds_to_fix", "server blog", "30 days", "times, median", "%: 5 of ")
}
