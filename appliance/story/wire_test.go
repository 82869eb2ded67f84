package story

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"larkspur/engine"
)

// inside marks the copy of the test that runs in namespaces of its own, and names
// the program that it tests.
const inside = "LARKSPUR_STORY_INSIDE"

// TestNetflixFromTheWire plays the whole story with the program that is shipped,
// a wire and a real mail server, in namespaces that vanish with it.
func TestNetflixFromTheWire(t *testing.T) {
	if os.Getenv(inside) == "" {
		enclosed(t, "TestNetflixFromTheWire")
		return
	}
	w := wire(t, "  - dns: {interface: span0}\n")
	w.play(t, w.showWire)
	w.wantStory(t, w.alive, "span0")
	wantCommand(t, "Netflix from 192.0.2.7", "incidents", "-C", w.dir)
	w.stop(t)
	wantCommand(t, "rebuilt all projections", "rebuild", w.dir)
	reopen(t, w.dir).ended(t)
}

// wired is a house whose Larkspur is a process of its own, at the end of a cable,
// and whose mails go by a real mail server.
type wired struct {
	*house
	*process
	span  span
	mails smtpd
}

// wire starts one, with these entries under `sensors`.
func wire(t *testing.T, sensors string) *wired {
	t.Helper()
	w := &wired{span: addSpan(t), mails: openSMTPD(t)}
	w.house = newHouse(t, freeAddress(t), nil, `"block_for": "2m"`, `"block_for": "1s"`)
	w.put(t, "larkspur.yaml", fmt.Sprintf(`name: wire
timezone: Europe/London
people:
  dave: {email: dave@example.org, role: admin}
  ana:  {email: ana@example.org, role: approver}
connections:
  unifi: {home: {url: %s, user: larkspur, password: secret:unifi, fingerprint: "%s"}}
  smtp: {default: {host: 127.0.0.1, port: %d, tls: none, from: larkspur@example.org}}
sensors:
%s`, w.controller.URL(), w.controller.Fingerprint(), w.mails.port, sensors))
	w.process = start(t, exec.Command(program(t, larkspur), "serve", w.dir))
	must(t, w.ready(w.url))
	return w
}

// showWire sends the house's lookups over the cable.
func (w *wired) showWire(t *testing.T) {
	t.Helper()
	for _, l := range lookups(t) {
		w.span.send(t, l.QueryFrame(), l.ResponseFrame())
	}
}

// play has the lookups seen, answers the mail that comes of them, and waits until
// all that follows has happened.
func (w *wired) play(t *testing.T, show func(*testing.T)) {
	t.Helper()
	show(t)
	link := linkInMail.FindString(w.mails.next(t, w.alive, linkInMail))
	w.lookAt(t, w.alive, link)
	w.press(t, w.alive, w.mails, link)
	must(t, eventually(w.alive, func() bool {
		i, err := w.client().story(w.alive)
		return err == nil && i.over()
	}))
}

// enclosed runs a test of this program again, where it may do to the network and
// to the folders of a mail server as it likes.
func enclosed(t *testing.T, name string) {
	t.Helper()
	if os.Getuid() != 0 {
		needs(t, "root", "to make a network namespace")
	}
	for program, of := range map[string]string{"ip": "iproute2", "smtpd": "opensmtpd"} {
		if _, err := exec.LookPath(program); err != nil {
			needs(t, program, "Debian's package "+of)
		}
	}
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self, "-test.run=^"+name+"$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), inside+"="+program(t, larkspur))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil || testing.Verbose() {
		t.Logf("%s", out)
	}
	must(t, err)
}

// farEnd is the house's end of the cable.
const farEnd = "house0"

// span is the house's end of a cable; Larkspur listens at the other, span0.
type span struct{ index int }

func addSpan(t *testing.T) span {
	t.Helper()
	os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0) // the kernel shall say nothing of its own accord
	for _, words := range []string{"link set lo up", "link add span0 mtu 9000 type veth peer name house0 mtu 9000", "link set span0 up", "link set house0 up"} {
		if out, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", words, err, out)
		}
	}
	i, err := net.InterfaceByName(farEnd)
	must(t, err)
	return span{i.Index}
}

// send puts frames on the wire.
func (s span) send(t *testing.T, frames ...[]byte) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	defer syscall.Close(fd)
	for _, f := range frames {
		to := &syscall.SockaddrLinklayer{Ifindex: s.index, Protocol: binary.BigEndian.Uint16(f[12:])}
		must(t, syscall.Sendto(fd, f, 0, to))
	}
}

// smtpd is a running OpenSMTPD. It speaks in the clear: the TLS of Debian's
// version is broken (OpenSMTPD issue 1239).
type smtpd struct {
	port int
	mail string // its maildir
}

// openSMTPD starts one with a queue and a control socket of its own.
func openSMTPD(t *testing.T) smtpd {
	t.Helper()
	nobody, err := user.Lookup("nobody")
	must(t, err)
	for _, dir := range []string{"/run", "/var/spool/smtpd"} {
		must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0711"))
	}
	dir, err := os.MkdirTemp("", "larkspur-smtpd-") // t.TempDir's parents are closed to others
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	_, port, err := net.SplitHostPort(freeAddress(t))
	must(t, err)
	m := smtpd{mail: filepath.Join(dir, "mail")}
	m.port, _ = strconv.Atoi(port)
	conf := filepath.Join(dir, "smtpd.conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, `listen on 127.0.0.1 port %s
table people { "ana@example.org" = "nobody", "dave@example.org" = "nobody" }
action "keep" maildir "%s" virtual <people>
match from any for domain "example.org" action "keep"
`, port, m.mail), 0o600))
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	must(t, os.Mkdir(m.mail, 0o700))
	must(t, os.Chown(m.mail, uid, gid))
	must(t, os.Chmod(dir, 0o711))
	m.run(t, exec.Command("smtpd", "-d", "-f", conf))
	return m
}

func (m smtpd) run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	p := start(t, cmd)
	t.Cleanup(func() {
		children := childrenOf(cmd.Process.Pid)
		cmd.Process.Signal(syscall.SIGTERM)
		<-p.ended
		gone(t, children)
	})
	must(t, eventually(p.alive, func() bool {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port)))
		if err == nil {
			conn.Close()
		}
		return err == nil
	}))
}

// next waits for a mail in which something stands and returns it with its lines whole.
func (m smtpd) next(t *testing.T, ctx context.Context, with *regexp.Regexp) (text string) {
	t.Helper()
	must(t, eventually(ctx, func() bool {
		files, _ := filepath.Glob(filepath.Join(m.mail, "new", "*"))
		for _, file := range files {
			raw, err := os.ReadFile(file)
			text = strings.NewReplacer("=\r\n", "", "=\n", "").Replace(string(raw)) // quoted-printable folds lines
			if err == nil && with.MatchString(text) {
				return true
			}
		}
		return false
	}))
	return text
}

// lookAt follows the link as a scanner of mails does: nothing is decided.
func (h *house) lookAt(t *testing.T, ctx context.Context, link string) {
	t.Helper()
	for _, method := range []string{"HEAD", "GET", "HEAD", "GET"} {
		status, page, err := visit(ctx, method, link, nil)
		must(t, err)
		if status != http.StatusOK || method == "GET" && !strings.Contains(page, "Living-room TV is watching Netflix") {
			t.Errorf("%s: got %d: %s", method, status, page)
		}
	}
	i, err := h.client().story(ctx)
	must(t, err)
	if i.Status != engine.IncidentOpen || len(i.Questions) != 1 || i.Questions[0].Status != engine.QuestionOpen || len(h.controller.Commands()) > 0 {
		t.Errorf("looking at the page decided something: %+v", i)
	}
}

// codeInMail is a sign-in code.
var codeInMail = regexp.MustCompile(`(?m)^[2-9BCDFGHJKMNPQRSTVWXYZ]{4}-[2-9BCDFGHJKMNPQRSTVWXYZ]{4}\r?$`)

// press pairs a browser by the code that is mailed, and answers by the link, twice:
// the second press finds what came of the first.
func (h *house) press(t *testing.T, ctx context.Context, mails smtpd, link string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	phone := &http.Client{Jar: jar, Transport: browser.Transport}
	form := func(page string) url.Values { return url.Values{"form_token": {formToken.FindStringSubmatch(page)[1]}} }
	visit := func(ctx context.Context, method, address string, form url.Values) (int, string, error) {
		return visitBy(ctx, phone, method, address, form)
	}
	_, page, err := visit(ctx, "GET", link, nil)
	must(t, err)
	_, page, err = visit(ctx, "POST", link+"/code", form(page))
	must(t, err)
	code := form(page)
	code.Set("code", strings.TrimSpace(codeInMail.FindString(mails.next(t, ctx, codeInMail))))
	_, page, err = visit(ctx, "POST", link+"/pair", code)
	must(t, err)
	h.keepsSecret(t, ctx, code.Get("code"))
	answer := form(page)
	answer.Set("choice", "Block")
	answer.Set("reason", "homework first")
	status, page, err := visit(ctx, "POST", link, answer)
	must(t, err)
	if status != http.StatusOK || !strings.Contains(page, "your answer is recorded") {
		t.Errorf("got %d: %s", status, page)
	}
	status, page, err = visit(ctx, "POST", link, answer)
	must(t, err)
	if status != http.StatusConflict || !strings.Contains(page, "You have answered this already") {
		t.Errorf("pressed again: got %d: %s", status, page)
	}
	commands, err := h.controller.Wait(ctx, 2)
	must(t, err)
	if commands[0].Name != "block-sta" || commands[1].Name != "unblock-sta" || commands[0].MAC != television || commands[1].MAC != television {
		t.Errorf("got commands %+v, want the television blocked, and let in again by itself", commands)
	}
}

// keepsSecret wants a code in no record, journal or page.
func (h *house) keepsSecret(t *testing.T, ctx context.Context, code string) {
	t.Helper()
	_, text, err := visitAs(t, h.url+"/api/v1/audit?format=jsonl", apiToken)
	must(t, err)
	var runs list[engine.Run]
	must(t, h.client().get(ctx, "/api/v1/runs", &runs))
	for _, r := range runs.Items {
		_, journal, err := visitAs(t, h.url+"/api/v1/runs/"+r.ID, apiToken)
		must(t, err)
		text += journal
	}
	for _, want := range []string{"sign_in_offered", "device_paired", `"Your sign-in code"`, "code:"} {
		if !strings.Contains(text, want) {
			t.Errorf("records and journals lack %s: this test looks in the wrong place", want)
		}
	}
	for _, form := range []string{code, strings.ReplaceAll(code, "-", ""), strings.ToLower(code)} {
		if form == "" || strings.Contains(text, form) {
			t.Errorf("the code %q can be read afterwards", form)
		}
	}
}

// wantStory reads incident and journal from the interface; sensor is what saw the
// lookup.
func (h *house) wantStory(t *testing.T, ctx context.Context, sensor string) {
	t.Helper()
	i, err := h.client().story(ctx)
	must(t, err)
	for _, line := range []string{
		"rule netflix-while-away: opened by dns event e0-1 from " + sensor,
		"asks dave: Living-room TV is watching Netflix. What now?",
		"mail handed to the mail server for dave@example.org",
		"dave: answers: Block",
		"changed: block 02:00:00:00:00:07 on home (Living-room TV)",
		"closes: Block by dave",
		"taken back: block 02:00:00:00:00:07 on home (Living-room TV)",
	} {
		if !strings.Contains(i.told(), line) {
			t.Errorf("the timeline does not say %q:\n%s", line, i.told())
		}
	}
	run := i.Runs[len(i.Runs)-1] // the first
	var journal struct{ Steps []engine.Step }
	must(t, h.client().get(ctx, "/api/v1/runs/"+run.ID, &journal))
	var got []string
	for _, s := range journal.Steps {
		got = append(got, s.Builtin+" "+s.Status)
		if !strings.HasPrefix(s.At, "scripts/netflix.star:") {
			t.Errorf("step %d stands at %q, want a line of scripts/netflix.star", s.Number, s.At)
		}
	}
	want := "unifi.client done, unifi.client done, incident.set done, ask done, unifi.block done, incident.set done, incident.close done"
	if strings.Join(got, ", ") != want {
		t.Errorf("got the steps %v, want %s", got, want)
	}
	e := h.events(t, ctx, i.ID)
	mac, told := e[0]["client_mac"] // a feed tells none
	if len(e) != 1 || e[0]["query"] != "www.netflix.com" || told && mac != television || e[0]["client"] != "192.0.2.7" {
		t.Errorf("got events %v, want the television's lookup", e)
	}
}

// wantCommand runs a command of Larkspur and wants a text in what it says.
func wantCommand(t *testing.T, says string, args ...string) {
	t.Helper()
	out, err := exec.Command(program(t, larkspur), args...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), says) {
		t.Errorf("larkspur %s: got %v: %s", strings.Join(args, " "), err, out)
	}
}
