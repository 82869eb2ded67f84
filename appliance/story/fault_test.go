package story

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"larkspur/appliance/demo/controller"
	"larkspur/appliance/demo/mailbox"
	"larkspur/engine"
)

// rules is what the interface says of the live rules.
type rules struct {
	Items    []struct{ Name string }
	Problems []engine.Problem
}

// A file that is saved broken changes nothing, and says where it is broken.
func TestBrokenFileKeepsTheOldRules(t *testing.T) {
	tests := map[string]struct{ file, from, to, at, says string }{
		"script":         {"scripts/netflix.star", "def respond(i,", "def respond(i", "scripts/netflix.star:", "got identifier, want"},
		"undefined name": {"scripts/netflix.star", "unifi.block(", "unify.block(", "scripts/netflix.star:37:9", "unify"},
		"configuration":  {"larkspur.yaml", "people:", "peopel:", "larkspur.yaml:4:1", "peopel: unknown key"},
		"connection":     {"larkspur.yaml", "url: https", "url: gopher", "larkspur.yaml:", "connections.unifi.home.url"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := serve(t)
			whole, err := os.ReadFile(filepath.Join(b.dir, test.file))
			must(t, err)
			b.edit(t, test.file, test.from, test.to)
			var now rules
			b.eventually("problem", func() bool {
				must(t, b.client().get(b.ctx, "/api/v1/rules", &now))
				return len(now.Problems) > 0
			})
			p := now.Problems[0]
			at := fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
			if p.Severity != "error" || !strings.HasPrefix(at, test.at) || p.Line == 0 || p.Col == 0 || !strings.Contains(p.Message, test.says) {
				t.Errorf("got %s: %s: %s, want an error at %s with %q", at, p.Severity, p.Message, test.at, test.says)
			}
			if len(now.Items) != 2 {
				t.Errorf("got the rules %v, want both still", now.Items)
			}
			var health json.RawMessage
			must(t, b.client().get(b.ctx, "/healthz", &health)) // no outage: the box is well
			wantText(t, "/healthz", string(health), `"warn"`, "the newest files have errors", "the rules page shows what is wrong")
			b.play()
			b.until("question of the old rules", func(i *incident) bool { return len(i.Questions) == 1 })

			b.put(t, test.file, string(whole))
			b.eventually("end of the problem", func() bool {
				now = rules{}
				must(t, b.client().get(b.ctx, "/api/v1/rules", &now))
				return len(now.Problems) == 0
			})
		})
	}
}

// What a device does not do fails the run in words, and the incident stays open.
func TestDeviceThatDoesNotAnswer(t *testing.T) {
	tests := map[string]struct {
		fault controller.Fault
		kind  engine.Kind
		says  string
	}{
		"down":          {controller.Down, engine.Unavailable, "unifi home: asking the controller: the connection was lost"},
		"starting":      {controller.Starting, engine.Unavailable, "unifi home: asking the controller: the console is still starting (status 503)"},
		"no permission": {controller.NoPermission, engine.Denied, "unifi home: rest/user: the account may not do that"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := serve(t)
			b.controller.Break(test.fault)
			b.play()
			i := b.until("failed run", func(i *incident) bool { return i.run("playbook").Status == engine.RunFailed })
			e := i.run("playbook").Error
			if e.Kind != test.kind || e.Message != test.says || !strings.HasPrefix(e.At, "scripts/netflix.star:14:") {
				t.Errorf("got %+v, want %s: %s, with its line", e, test.kind, test.says)
			}
			wantText(t, "timeline", i.told(), "run r0-1: the run failed: "+test.says+" (scripts/netflix.star:14:25)")
			if i.Status != engine.IncidentOpen {
				t.Errorf("got an incident that is %s, want it open", i.Status)
			}
		})
	}
}

func TestMissingSecret(t *testing.T) {
	t.Parallel()
	b := serve(t)
	must(t, os.Remove(filepath.Join(b.dir, "secrets", "unifi")))
	b.edit(t, "larkspur.yaml", "name: demo", "name: house") // what was read of it is read anew
	b.play()
	i := b.until("failed run", func(i *incident) bool { return i.run("playbook").Status == engine.RunFailed })
	e := i.run("playbook").Error
	wantText(t, "error", e.Message, `connections.unifi.home.password: there is no secret "unifi"`)
	wantText(t, "hint", e.Hint, "secrets/unifi", "LARKSPUR_SECRET_UNIFI")
	wantText(t, "timeline", i.told(), `secret "unifi"`)
	out, err := exec.Command(program(t, larkspur), "check", b.dir).CombinedOutput()
	if err == nil {
		t.Error("check finds nothing wrong")
	}
	wantText(t, "check", string(out), "larkspur.yaml:", "connections.unifi.home.password", `secret "unifi"`, "secrets/unifi")
}

// A server that cannot take mail now gets it later.
func TestMailIsTriedAgain(t *testing.T) {
	for _, fault := range []mailbox.Fault{mailbox.Greylist, mailbox.Down} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			b := serve(t)
			b.mailbox.Break(fault)
			b.play()
			waits := func(i *incident) bool { return i.run("outbox").Status == engine.RunWaiting }
			i := b.until("mail that waits", waits)
			if n := len(b.mailbox.Mails()); n != 0 {
				t.Fatalf("got %d mails from a server that takes none", n)
			}
			b.mailbox.Break(mailbox.Healthy)
			b.clock.advance(time.Minute)
			mails, err := b.mailbox.Wait(b.ctx, 1)
			must(t, err)
			status, _, err := b.client().answer(b.ctx, mails[0].Text, "Allow")
			must(t, err)
			if status != http.StatusOK {
				t.Errorf("the link of the late mail: got %d", status)
			}
			i = b.until("end", func(i *incident) bool {
				return i.run("outbox").Status == engine.RunDone && i.Status == engine.IncidentClosed
			})
			if i.Reason != "Allow by dave" {
				t.Errorf("got the reason %q", i.Reason)
			}
		})
	}
}

// A mail that the server will never take is told on the incident, and the
// question stays: it can be answered on the page.
func TestMailIsRefused(t *testing.T) {
	t.Parallel()
	b := serve(t)
	b.mailbox.Break(mailbox.UnknownUser)
	b.play()
	i := b.until("refused mail", func(i *incident) bool { return i.run("outbox").Status == engine.RunFailed })
	wantText(t, "timeline", i.told(), "mail to dave@example.org could not be delivered", "550", "No such user here")
	if i.Status != engine.IncidentOpen || len(i.Questions) != 1 || i.Questions[0].Status != engine.QuestionOpen {
		t.Errorf("got %+v, want the question still open", i)
	}
	no, err := b.client().call(b.ctx, "POST", "/api/v1/questions/"+i.Questions[0].ID+"/answer", map[string]string{"choice": "Allow"}, nil)
	must(t, err)
	if no != nil {
		t.Errorf("answering on the page: %+v", no)
	}
	b.until("end", func(i *incident) bool { return i.Status == engine.IncidentClosed })
}

// Links that are wrong, used or too late say so, and decide nothing.
func TestLinksThatLeadNowhere(t *testing.T) {
	t.Parallel()
	b := serve(t)
	status, page, err := visit(b.ctx, "GET", b.url+"/a/abcdefghijklmnopqrstuvwxyz234567", nil)
	must(t, err)
	wantPage(t, "wrong", status, page, http.StatusNotFound, "no question belongs to this link", "it may have been cut off", "Open the newest mail")

	b.play()
	mails, err := b.mailbox.Wait(b.ctx, 1)
	must(t, err)
	link := linkInMail.FindString(mails[0].Text)
	theirs, err := b.client().paired(b.ctx, "dave")
	must(t, err)
	_, page, err = visitBy(b.ctx, theirs, "GET", link, nil)
	must(t, err)
	form := url.Values{"form_token": {formToken.FindStringSubmatch(page)[1]}, "choice": {"Block"}}
	status, page, err = visit(b.ctx, "POST", link, url.Values{"choice": {"Block"}})
	must(t, err)
	wantPage(t, "without the form", status, page, http.StatusConflict, "The question changed", "Nothing was decided")

	b.clock.advance(2 * time.Hour)
	b.until("time-out", func(i *incident) bool { return i.Status == engine.IncidentClosed })
	for _, method := range []string{"GET", "POST"} {
		status, page, err = visit(b.ctx, method, link, form)
		must(t, err)
		wantPage(t, "too late", status, page, http.StatusGone, "The time to answer is over", "Nobody answered in time", "Allow")
	}
	if n := len(b.controller.Commands()); n > 0 {
		t.Errorf("the controller got %d commands after a time-out", n)
	}
}

func wantPage(t *testing.T, name string, status int, page string, want int, says ...string) {
	t.Helper()
	if status != want {
		t.Errorf("%s: got %d, want %d", name, status, want)
	}
	wantText(t, name, page, says...)
}

// Commands say what is wrong with a file, where and what to do.
func TestCommandsOnBadFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, content, 0o600))
		return path
	}
	whole := tape(t)
	cut := put("cut.pcap", whole[:len(whole)-9])
	none := put("none.pcap", []byte("hello"))
	workspace := filepath.Join(dir, "workspace")
	wantCommand(t, "larkspur serve", "init", workspace)
	broken := filepath.Join(dir, "broken")
	wantCommand(t, "larkspur serve", "init", broken)
	(&house{dir: broken}).edit(t, "larkspur.yaml", "people:", "peopel:")
	early := []string{"cut.pcap", "after packet 5, byte", "the file ends too early: 9 bytes", "the packets before this point were read"}
	tests := map[string]struct {
		args []string
		says []string
	}{
		"dns, cut off":     {[]string{"dns", cut}, append(early, "notnetflix.example", "5 messages")},
		"replay, cut off":  {[]string{"replay", workspace, cut}, append(early, "5 events")},
		"dns, no capture":  {[]string{"dns", none}, []string{"none.pcap", "not a capture file", "68656c6c", "want pcap or pcapng"}},
		"replay, none":     {[]string{"replay", workspace, none}, []string{"none.pcap", "not a capture file", "want pcap or pcapng"}},
		"dns, missing":     {[]string{"dns", filepath.Join(dir, "gone")}, []string{"no such file or directory", "check the path"}},
		"check":            {[]string{"check", broken}, []string{"larkspur.yaml:7:1: peopel: unknown key", `did you mean "people"?`}},
		"serve":            {[]string{"serve", broken}, []string{"the configuration cannot be used", "larkspur.yaml:7:1: peopel: unknown key", `did you mean "people"?`}},
		"serve, nothing":   {[]string{"serve", filepath.Join(dir, "nowhere")}, []string{"larkspur.yaml", "larkspur init DIR"}},
		"check, nothing":   {[]string{"check", filepath.Join(dir, "nowhere")}, []string{"nowhere", "no such file or directory", "larkspur init DIR"}},
		"nobody serves":    {[]string{"incidents", "-C", workspace}, []string{"no appliance serves this workspace", "larkspur serve"}},
		"init, not empty":  {[]string{"init", workspace}, []string{workspace}},
		"an unknown word":  {[]string{"sevre"}, []string{`there is no command "sevre"`, "larkspur help"}},
		"rebuild, nothing": {[]string{"rebuild", filepath.Join(dir, "nowhere")}, []string{"larkspur.yaml", "larkspur init DIR"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := exec.CommandContext(limited(t), program(t, larkspur), test.args...).CombinedOutput()
			if err == nil {
				t.Error("got exit code 0")
			}
			wantText(t, name, string(out), test.says...)
			if strings.Contains(string(out), "goroutine ") {
				t.Errorf("it panicked: %s", out)
			}
		})
	}
}
