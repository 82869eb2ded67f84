package story

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"larkspur/appliance"
	"larkspur/engine"
	"larkspur/engine/sandbox/sandboxtest"
	"larkspur/engine/state"
)

// estate is what the playbook server_watch meets: a web server of systemd's making
// on a host that is reached by SSH, a mail server, and a host outside by which the
// box is reached. All are real but for systemd, whose commands are scripts that
// really stop and start that web server.
type estate struct {
	paired bool // the phone is, with dave
	*box
	a     *appliance.Appliance
	dir   string // of the web server
	at    string // where its pages are
	certs *authority
	sshd  *sshd
	mails smtpd
	far   *far
	phone *visitor
	read  map[string]bool // mails, by file
}

// watchedHost is the name of the web server.
const watchedHost = "blog.example.org"

// servers are the web server's: one with a good certificate, one whose ends in
// three days, one whose has ended.
func (e *estate) servers(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for name, lasts := range map[string]time.Duration{"good": 60 * 24 * time.Hour, "soon": 3*24*time.Hour + time.Hour, "late": -time.Hour} {
		e.certs.sign(t, e.dir, name, watchedHost, lasts)
		fmt.Fprintf(&all, `server {
		listen 127.0.0.1:%s ssl; ssl_certificate %[2]s/%[3]s.pem; ssl_certificate_key %[2]s/%[3]s.key; root %[2]s/www;
		if (-f %[2]s/sick) { return 503; }
	}
	`, e.port(name), e.dir, name)
	}
	return all.String()
}

// port is fixed: the estate has its network for itself.
func (e *estate) port(name string) string {
	return map[string]string{"good": "8443", "soon": "8444", "late": "8445"}[name]
}

// commands of the host, as the user finds them there first.
func (e *estate) commands(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(e.dir, "bin")
	must(t, os.Mkdir(bin, 0o755))
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		needs(t, "nginx", err.Error())
	}
	start := fmt.Sprintf("%s -e stderr -p %s -c %[2]s/nginx.conf", nginx, e.dir)
	for name, text := range map[string]string{
		"sudo":       `exec "$@"`,
		"journalctl": fmt.Sprintf("echo \"journalctl $*\" >> %[1]s/commands\nexec tail -n 20 %[1]s/journal", e.dir),
		"systemctl": fmt.Sprintf(`echo "systemctl $*" >> %[1]s/commands
stop() {
	[ -f %[1]s/pid ] || return
	old=$(cat %[1]s/pid); kill $old && tail --pid=$old -f /dev/null
}
case $1 in
restart) stop; %[2]s ;;
reboot)
	rm -f %[1]s/sick
	stop; %[2]s
	up=$PPID
	until grep -q ^sshd /proc/$up/comm; do up=$(cut -d ' ' -f 4 /proc/$up/stat); done
	kill -9 $up ;;
esac`, e.dir, start),
	} {
		must(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	}
	return bin
}

// systemctl does on the host what its administrator would.
func (e *estate) systemctl(t *testing.T, words ...string) {
	t.Helper()
	out, err := exec.Command(filepath.Join(e.dir, "bin", "systemctl"), words...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl %v: %v: %s", words, err, out)
	}
}

// stopServer ends the web server as an outage does.
func (e *estate) stopServer(t *testing.T) {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join(e.dir, "pid"))
	if err != nil {
		return // it does not run
	}
	must(t, exec.Command("sh", "-c", fmt.Sprintf("kill %s && tail --pid=%[1]s -f /dev/null", strings.TrimSpace(string(pid)))).Run())
}

// did are the commands that ran on the host by SSH since the last look.
func (e *estate) did(t *testing.T) []string {
	t.Helper()
	path := filepath.Join(e.dir, "commands")
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	must(t, err)
	must(t, os.Remove(path))
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// journal is the service's log: 25 lines, of which the last 20 count.
func journalLines() (lines []string) {
	for n := range 25 {
		lines = append(lines, fmt.Sprintf("Nov 22 08:00:%02d web1 nginx[7]: client 198.51.100.%d asked for bad%d.example.net", n, n, n))
	}
	return lines
}

// openEstate builds all of it and starts the box.
func openEstate(t *testing.T) *estate {
	t.Helper()
	must(t, exec.Command("ip", "link", "set", "lo", "up").Run())
	e := &estate{certs: newAuthority(t), read: map[string]bool{}, mails: openSMTPD(t)}
	dir, err := os.MkdirTemp("", "larkspur-estate-") // t.TempDir's parents are closed to nginx's and sshd's users
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	e.dir, e.at = dir, "https://"+net.JoinHostPort(watchedHost, e.port("good"))+"/"
	must(t, os.Mkdir(filepath.Join(dir, "www"), 0o755))
	e.write(t, "www/index.html", "Welcome")
	e.write(t, "journal", strings.Join(journalLines(), "\n")+"\n")
	bin := e.commands(t)
	nginxConf(t, dir, e.servers(t))
	e.systemctl(t, "restart", "nginx")
	t.Cleanup(func() { e.stopServer(t) })
	e.names(t)
	key := newSSHKey(t)
	e.sshd = openSSHD(t, key.public, "SetEnv PATH="+bin+":/usr/sbin:/usr/bin:/sbin:/bin")
	e.far = newFar(t, "soar.example.org")
	e.did(t)
	e.serve(t, key)
	e.phone = newVisitor(t, chromedp.Flag("ignore-certificate-errors", true)) // the authority is of this test
	return e
}

func (e *estate) write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(e.dir, name), []byte(text), 0o644))
}

// names has the machine know the hosts and trust the authority of the web server.
func (e *estate) names(t *testing.T) {
	t.Helper()
	e.write(t, "hosts", "127.0.0.1 localhost "+watchedHost+" soar.example.org\n")
	must(t, syscall.Mount(filepath.Join(e.dir, "hosts"), "/etc/hosts", "", syscall.MS_BIND, ""))
	e.write(t, "authority.pem", string(e.certs.pem))
	t.Setenv("SSL_CERT_FILE", filepath.Join(e.dir, "authority.pem")) // read at the first certificate of this process
}

// serve starts the box, which listens at home alone.
func (e *estate) serve(t *testing.T, key sshKey) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	e.box = &box{t: t, ctx: limited(t), clock: newClock(), bell: newBell(), house: &house{dir: t.TempDir(), url: "http://" + l.Addr().String()}}
	for name, text := range map[string]string{
		"larkspur.yaml": fmt.Sprintf(`name: estate
timezone: Europe/London
people:
  dave: {email: dave@example.org, role: admin}
  ana:  {email: ana@example.org, role: responder}
connections:
  ssh: {web1: {host: 127.0.0.1, port: %d, user: %s, key: secret:web1_key, known_hosts: ./known_hosts}}
  smtp: {default: {host: 127.0.0.1, port: %d, tls: none, from: larkspur@example.org}}
playbooks:
  - server_watch: {name: blog, url: "%s", host: web1, who: dave, says: Welcome, static: true}
`, e.sshd.port, e.sshd.user, e.mails.port, e.at),
		"box.yaml":    fmt.Sprintf("web:\n  url: %s\n  tokens: {ci: {secret: secret:ci_token, role: admin}}\n%segress: {allow: [127.0.0.0/8]}\nadmins: [dave]\n", e.far.url, e.far.tunnel()),
		"known_hosts": e.sshd.known(), "gate_hosts": e.far.sshd.known(),
	} {
		e.put(t, name, text)
	}
	must(t, os.Mkdir(filepath.Join(e.house.dir, "secrets"), 0o700))
	for name, text := range map[string]string{"web1_key": key.private, "tunnel_key": e.far.key.private, "ci_token": apiToken + "\n"} {
		e.put(t, "secrets/"+name, text)
	}
	e.a, err = appliance.Open(appliance.Config{
		Dir: e.house.dir, Listener: l, Worker: sandboxtest.Binary(t), Clock: e.clock, Watch: func([]state.Notice) { e.bell.ring() },
	})
	must(t, err)
	t.Cleanup(func() { must(t, e.a.Close()) })
	background(t, e.a.Run)
	e.eventually("the page, and the way in from outside", func() bool {
		status, _, err := visit(e.ctx, "GET", e.url+"/readyz", nil)
		return err == nil && status == http.StatusOK && e.tunnelHealth(t).Status == "ok"
	})
}

// pass lets time go on, in steps that let pauses of seconds be seen, until
// something is so.
func (e *estate) pass(t *testing.T, what string, yes func() bool) {
	t.Helper()
	ctx := limited(t)
	if err := eventually(ctx, func() bool {
		if yes() {
			return true
		}
		e.clock.advance(time.Second)
		return false
	}); err != nil {
		t.Fatalf("no %s", what)
	}
}

// look fires the job, whose every five minutes are over, and waits until it is done
// so often.
func (e *estate) look(t *testing.T) {
	t.Helper()
	before := e.jobRuns(t)
	now := e.clock.Now()
	e.clock.advance(now.Truncate(5 * time.Minute).Add(5 * time.Minute).Sub(now))
	e.pass(t, "end of the job", func() bool { return e.jobRuns(t) > before })
}

// jobRuns counts the runs of the job that are done.
func (e *estate) jobRuns(t *testing.T) (n int) {
	t.Helper()
	var all list[engine.Run]
	must(t, e.client().get(t.Context(), "/api/v1/runs?limit=500&rule=blog&status=done", &all))
	for _, r := range all.Items {
		if r.Purpose == state.PurposeJob {
			n++
		}
	}
	return n
}

// newest is the newest incident whose title begins so; nil for none.
func (e *estate) newest(t *testing.T, title string) *incident {
	t.Helper()
	var all list[engine.Incident]
	must(t, e.client().get(t.Context(), "/api/v1/incidents?limit=500", &all))
	for _, i := range all.Items {
		if strings.HasPrefix(i.Title, title) {
			found := new(incident)
			must(t, e.client().get(t.Context(), "/api/v1/incidents/"+i.ID, found))
			return found
		}
	}
	return nil
}

// mail waits for a mail whose subject says so, that was not read before.
func (e *estate) mail(t *testing.T, subject string) (text string) {
	t.Helper()
	e.pass(t, "mail of "+subject, func() bool {
		files, _ := filepath.Glob(filepath.Join(e.mails.mail, "new", "*"))
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil || e.read[f] || !strings.Contains(string(raw), subject) {
				continue
			}
			e.read[f] = true
			text = strings.NewReplacer("=\r\n", "", "=\n", "", "=3D", "=").Replace(string(raw)) // quoted-printable folds lines
			return true
		}
		return false
	})
	return text
}

// pair has a code mailed and types it on the phone, the first time.
func (e *estate) pair(t *testing.T) {
	t.Helper()
	if e.paired {
		return
	}
	e.phone.do(chromedp.Click(chromedp.CSS("form[action$='/code'] button")), chromedp.WaitVisible(chromedp.CSS("#code")))
	code := strings.TrimSpace(codeInMail.FindString(e.mails.next(t, e.ctx, codeInMail)))
	e.phone.do(chromedp.SendKeys(chromedp.CSS("#code"), code), chromedp.Click(chromedp.CSS("form[action$='/pair'] button")), chromedp.WaitVisible(chromedp.CSS(".ask .choice[value]")))
	e.paired = true
}

// decide opens the link of a mail on the phone, looks, and presses a choice.
func (e *estate) decide(t *testing.T, mail, choice string, says ...string) {
	t.Helper()
	link := linkInMail.FindString(mail)
	if !strings.HasPrefix(link, e.far.url+"/a/") {
		t.Fatalf("got the link %q, want one at %s", link, e.far.url)
	}
	e.phone.t = t
	e.phone.open(link)
	e.phone.see("asked", says...)
	e.pair(t)
	e.phone.do(chromedp.Click(chromedp.CSS("button[value='"+choice+"']")), chromedp.WaitVisible(chromedp.CSS(".outcome")))
	e.phone.see("answered", choice+" by dave")
}
