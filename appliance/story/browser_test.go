package story

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"larkspur/appliance/demo"
	"larkspur/engine/sandbox/sandboxtest"
	"larkspur/engine/state"
)

// visitor is somebody with a browser.
type visitor struct {
	t     *testing.T
	ctx   context.Context
	shots int
}

// newVisitor starts Debian's Chromium with a fresh profile and the screen of a
// phone.
func newVisitor(t *testing.T, more ...chromedp.ExecAllocatorOption) *visitor {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		needs(t, "chromium", err.Error())
	}
	alloc, stop := chromedp.NewExecAllocator(t.Context(), append(more,
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("hide-scrollbars", true), chromedp.UserDataDir(t.TempDir()))...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	ctx, timeout := context.WithTimeout(ctx, 3*patience)
	t.Cleanup(timeout)
	v := &visitor{t: t, ctx: ctx}
	v.screen(390, 844, 2)
	return v
}

func (v *visitor) screen(width, height int64, scale float64) {
	v.t.Helper()
	_, err := chromedp.Call(v.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: scale, Mobile: width < 600,
	})
	must(v.t, err)
}

func (v *visitor) do(steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	must(v.t, chromedp.Do(v.ctx, steps...))
}

// open goes to an address: once more when the page that it leaves, which looks again
// by itself, did so at that moment.
func (v *visitor) open(address string) {
	v.t.Helper()
	err := chromedp.Do(v.ctx, chromedp.Navigate(address))
	if err != nil && strings.Contains(err.Error(), "ERR_ABORTED") {
		err = chromedp.Do(v.ctx, chromedp.Navigate(address))
	}
	must(v.t, err)
	v.do(chromedp.WaitVisible(chromedp.CSS("body")))
}

// see wants texts on the page, fits it on the screen, and keeps a picture of it.
func (v *visitor) see(name string, texts ...string) {
	v.t.Helper()
	text, err := chromedp.Run(v.ctx, chromedp.Text(chromedp.CSS("body")))
	must(v.t, err)
	for _, want := range texts {
		if !strings.Contains(text, want) {
			v.t.Errorf("%s: the page does not say %q:\n%s", name, want, text)
		}
	}
	wide, err := chromedp.Run(v.ctx, chromedp.Evaluate[bool]("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
	must(v.t, err)
	if wide {
		v.t.Errorf("%s: the page scrolls sideways", name)
	}
	v.shoot(name)
}

// shoot keeps pictures where LARKSPUR_SCREENSHOTS names a folder: of a phone
// and of a desk.
func (v *visitor) shoot(name string) {
	v.t.Helper()
	dir := os.Getenv("LARKSPUR_SCREENSHOTS")
	if dir == "" {
		return
	}
	v.shots++
	save := func(size string) {
		png, err := chromedp.Run(v.ctx, chromedp.FullScreenshot(100))
		must(v.t, err)
		must(v.t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d-%s-%s.png", v.shots, name, size)), png, 0o600))
	}
	save("phone")
	v.screen(1440, 900, 1)
	save("desk")
	v.screen(390, 844, 2)
}

// target is where a link leads.
func (v *visitor) target(selector string) string {
	v.t.Helper()
	href, err := chromedp.Run(v.ctx, chromedp.JavascriptAttribute[string](chromedp.CSS(selector), "href"))
	must(v.t, err)
	return href
}

func TestDemoInABrowser(t *testing.T) {
	worker := sandboxtest.Binary(t)
	v := newVisitor(t)
	t.Setenv("TMPDIR", t.TempDir())
	before := traces(t, worker)
	clock, bell := newClock(), newBell()
	d, err := demo.Open(demo.Config{
		Out: new(bytes.Buffer), Listen: "127.0.0.1:0", Worker: worker, Clock: clock,
		Watch: func([]state.Notice) { bell.ring() },
	})
	must(t, err)
	stop := background(t, d.Run)
	if now := traces(t, worker); now == before {
		t.Fatal("the demo leaves no trace while it runs: this test looks in the wrong place")
	}
	guide := strings.TrimSuffix(d.URL(), "/")
	v.playDemo(guide)
	v.signIn(guide)
	v.see("larkspur", "dave", "Nothing. No question waits for you", "of hand work saved", "netflix-while-away")
	home := v.address()
	v.open(home)
	v.see("open", "All quiet")
	v.open(home + "?status=closed")
	v.see("incidents", "Netflix from 192.0.2.7")
	v.open(home + "changes")
	v.see("changes", "block 02:00:00:00:00:07 on home (Living-room TV)", "in force")

	clock.advance(2 * time.Minute)
	v.open(guide)
	v.do(chromedp.WaitVisible(chromedp.CSS("li:nth-child(5) .mark"))) // the page follows by itself
	v.see("guide-end", "The TV is on the network again", "taken back")
	v.open(guide + "/controller/")
	v.see("controller-end", "unblock-sta")
	v.open(home + "incidents/i0-1")
	v.see("incident", "Block by dave", "asks dave: Living-room TV is watching Netflix. What now?", "answers: Block", "taken back: block")
	v.open(home + "changes")
	v.see("changes-end", "Nothing to take back")
	v.open(home + "audit")
	v.see("audit", "question answered")

	stop()
	must(t, d.Close())
	if after := traces(t, worker); after != before {
		t.Errorf("the demo left something behind: got %+v, want %+v as before", after, before)
	}
}

// TestShopOfTheDemoInABrowser plays the second story: a restart that helps, then one
// that does not and a reboot.
func TestShopOfTheDemoInABrowser(t *testing.T) {
	v := newVisitor(t)
	d, err := demo.Open(demo.Config{Out: new(bytes.Buffer), Listen: "127.0.0.1:0", Worker: sandboxtest.Binary(t), Clock: newClock()})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	background(t, d.Run)
	guide := strings.TrimSuffix(d.URL(), "/")
	v.open(guide)
	v.do(chromedp.WaitVisible(chromedp.CSS("form[action='/play']")), chromedp.Click(chromedp.CSS("nav a[href='/shop/']")), chromedp.WaitVisible(chromedp.CSS("form[action='/shop/crash']")))
	v.see("shop", "The shop is down", "every 5 seconds; in real life, every 5 minutes", "The page answers: welcome.")

	v.breakShop(guide, "/shop/crash", "Restart")
	v.open(guide + "/shop/")
	v.do(chromedp.WaitVisible(chromedp.CSS("li:nth-child(5).next")))
	v.see("shop-mended", "shop: status 500: closed, “Restart by dave”.", "Dave answered: Restart", "The page answers: welcome.")
	v.open(guide + "/host/")
	v.see("host", "sudo systemctl restart nginx", "journalctl --no-pager -n20 -u nginx", "200, welcome")

	v.breakShop(guide, "/shop/wedge", "Restart")
	v.open(guide + "/shop/")
	v.do(chromedp.WaitVisible(chromedp.CSS("form[action='/shop/mend']")), chromedp.WaitVisible(chromedp.CSS("#critical")))
	v.see("shop-critical", "still in trouble")
	v.do(chromedp.Click(chromedp.CSS("form[action='/shop/mend'] button")), chromedp.WaitVisible(chromedp.CSS("li:nth-child(5).next")))
	v.see("shop-healthy", "closed, “healthy again”")

	v.breakShop(guide, "/shop/wedge", "Reboot")
	v.open(guide + "/shop/")
	v.do(chromedp.WaitVisible(chromedp.CSS("li:nth-child(5).next")))
	v.see("shop-rebooted", "“Reboot by dave”")
	v.signIn(guide)
	v.open(v.address() + "charts")
	v.see("shop-charts", "outages", "seconds_to_approve", "seconds_to_fix", "up", "server shop")
}

// TestDeskOfTheDemoInABrowser plays the third story: Eve gets a person, who acts in
// time; then one who does not.
func TestDeskOfTheDemoInABrowser(t *testing.T) {
	v := newVisitor(t)
	clock := newClock()
	d, err := demo.Open(demo.Config{Out: new(bytes.Buffer), Listen: "127.0.0.1:0", Worker: sandboxtest.Binary(t), Clock: clock})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	background(t, d.Run)
	guide := strings.TrimSuffix(d.URL(), "/")
	v.callDesk(guide, 3)
	v.see("desk-person", "Severity high, assigned to", "Somebody has to act within")
	v.signIn(guide)
	v.open(v.address() + "?status=open")
	v.open(v.target("a[href*='/incidents/']"))
	v.see("desk-incident", "The printer is on fire", "Eve", "response")
	v.do(chromedp.SendKeys(chromedp.CSS("form[action$='/note'] textarea"), "I am on my way."), chromedp.Click(chromedp.CSS("form[action$='/note'] button")), chromedp.WaitVisible(chromedp.CSS(".notice.good")))
	v.see("desk-noted", "Your note is on the incident.")
	v.open(guide + "/desk/")
	v.do(chromedp.WaitVisible(chromedp.CSS("li:nth-child(4).next")))
	v.see("desk-acted", "Its question is still open")

	v.callDesk(guide, 7) // and one for whom it was given to
	clock.advance(2 * time.Minute)
	v.do(chromedp.WaitVisible(chromedp.CSS("#owner b")))
	v.see("desk-late", "Nobody acted in time.")
}

// callDesk reports something, and asks for a person; then the inbox has so many mails.
func (v *visitor) callDesk(guide string, mails int) {
	v.t.Helper()
	v.open(guide + "/desk/")
	v.do(chromedp.WaitVisible(chromedp.CSS("form[action='/desk/report']")), chromedp.Click(chromedp.CSS("form[action='/desk/report'] button")), chromedp.WaitVisible(chromedp.CSS("li:nth-child(2).next")))
	v.see("desk", "A person, please", "She is answered at once")
	v.open(guide + "/inbox/")
	v.do(chromedp.WaitVisible(chromedp.CSS(fmt.Sprintf("li:nth-child(%d)", mails)))) // hers, and one for each of the team
	v.see("desk-inbox", "Re: The printer is on fire", "Eve reports: The printer is on fire")
	v.open(v.named("Re: The printer is on fire"))
	v.see("desk-mail", "Thank you, your report is here", "I need a person now")
	v.open(v.target("a[href*='/b/']"))
	v.see("desk-button", "Opening this page told nobody yet")
	v.do(chromedp.Click(chromedp.CSS("button.primary")), chromedp.WaitVisible(chromedp.CSS(".outcome")))
	v.see("desk-pressed", "Thank you, it is told")
	v.open(guide + "/desk/")
	v.do(chromedp.WaitVisible(chromedp.CSS("li:nth-child(3).next"))) // the page follows by itself
}

// named is where the first link with a text leads.
func (v *visitor) named(text string) string {
	v.t.Helper()
	href, err := chromedp.Run(v.ctx, chromedp.Evaluate[string](fmt.Sprintf("[...document.querySelectorAll('a')].find(a => a.textContent.includes(%q)).href", text)))
	must(v.t, err)
	return href
}

// breakShop breaks the page and answers what comes of it.
func (v *visitor) breakShop(guide, how, choice string) {
	v.t.Helper()
	v.open(guide + "/shop/")
	v.do(chromedp.WaitVisible(chromedp.CSS("form[action='"+how+"']")), chromedp.Click(chromedp.CSS("form[action='"+how+"'] button")),
		chromedp.WaitVisible(chromedp.CSS("li.next a[href='/inbox/']")))
	v.see("shop-broken", "shop: status 500: open", "internal server error")
	v.open(v.target("a[href='/inbox/']"))
	v.see("shop-inbox", "shop: status 500. What now?")
	v.open(v.target("a[href*='mail/']"))
	link := v.target("a[href*='/a/']")
	v.open(link)
	v.see("shop-question", "shop: status 500. What now?", "restarts nginx on shop")
	if how == "/shop/crash" { // the first time
		v.pair(guide, link, choice)
	}
	v.do(chromedp.Click(chromedp.CSS("button[value='"+choice+"']")), chromedp.WaitVisible(chromedp.CSS(".outcome")))
	v.see("shop-answered", choice+" by dave")
}

// playDemo goes from the guide to the answer.
func (v *visitor) playDemo(guide string) {
	v.t.Helper()
	v.open(guide)
	v.do(chromedp.WaitVisible(chromedp.CSS("form[action='/play']")))
	v.see("guide", "Netflix while I am away", "he is away")
	v.do(chromedp.Click(chromedp.CSS("form[action='/play'] button")))
	v.do(chromedp.WaitVisible(chromedp.CSS("li.next a[href='/inbox/']"))) // the page follows by itself
	v.see("guide-asked", "Netflix from 192.0.2.7", "Open the inbox (1)")
	v.open(v.target("a[href='/inbox/']"))
	v.see("inbox", "Living-room TV is watching Netflix. What now?")
	v.open(v.target("a[href*='mail/']"))
	v.see("mail", "Living-room TV is watching Netflix. What now?", "Answer")
	link := v.target("a[href*='/a/']")
	v.open(link)
	v.open(link)
	v.see("question", "Living-room TV is watching Netflix. What now?", "takes Living-room TV off the network for 2m", "If nobody does, Allow is taken")
	v.open(guide + "/controller/")
	v.see("controller", "Living-room TV", "online")
	v.pair(guide, link, "Block")
	v.do(chromedp.Click(chromedp.CSS("button[value='Block']")), chromedp.WaitVisible(chromedp.CSS(".outcome")))
	v.see("answered", "Thank you, your answer is recorded", "Block by dave")
	v.open(link)
	v.see("again", "You have answered this already")
	v.open(guide)
	v.do(chromedp.WaitVisible(chromedp.CSS("li:nth-child(4).next")))
	v.see("guide-blocked", "Living-room TV", "taken back by itself in")
	v.open(guide + "/controller/")
	v.see("controller-blocked", "blocked", "block-sta")
}

// pair has a code mailed, types it, and sees the choices.
func (v *visitor) pair(guide, link, choice string) {
	v.t.Helper()
	v.open(link)
	v.do(chromedp.Click(chromedp.CSS("form[action$='/code'] button")), chromedp.WaitVisible(chromedp.CSS("#code")))
	v.see("code", "It was sent to d…@example.org", "once, in this browser")
	v.open(guide + "/inbox/")
	v.do(chromedp.WaitVisible(chromedp.CSS("li:nth-child(2)"))) // the page follows by itself
	v.open(v.target("li:has(a[href*='mail/']) a"))
	v.see("codemail", "Your sign-in code", "Type this code on the page that asked for it")
	code, err := chromedp.Run(v.ctx, chromedp.Text(chromedp.CSS(".body h2")))
	must(v.t, err)
	v.open(link)
	v.do(chromedp.SendKeys(chromedp.CSS("#code"), code), chromedp.Click(chromedp.CSS("form[action$='/pair'] button")), chromedp.WaitVisible(chromedp.CSS("button[value='"+choice+"']")))
	v.see("paired", "with whom this browser is paired")
}

// signIn opens Larkspur as the guide's button does.
func (v *visitor) signIn(guide string) {
	v.t.Helper()
	v.open(guide + "/larkspur")
	v.see("signin", "dave")
	v.do(chromedp.Click(chromedp.CSS("button.primary")), chromedp.WaitVisible(chromedp.CSS("a[href$='/changes']")))
}

func (v *visitor) address() string {
	v.t.Helper()
	address, err := chromedp.Run(v.ctx, chromedp.Location())
	must(v.t, err)
	address, _, _ = strings.Cut(address, "?")
	return strings.TrimSuffix(strings.TrimRight(address, "/"), "/overview") + "/"
}

// trace is what of a program can be left behind.
type trace struct {
	files     int // in the folder for temporary ones
	workers   int // processes
	listeners int // of this process
}

func traces(t *testing.T, worker string) trace {
	t.Helper()
	files, err := os.ReadDir(os.TempDir())
	must(t, err)
	found := trace{files: len(files), listeners: len(listeners(t))}
	for _, child := range childrenOf(os.Getpid()) {
		if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", child)); exe == worker {
			found.workers++
		}
	}
	return found
}

// listeners returns the sockets of this process that listen, by inode.
func listeners(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("/proc/self/net/tcp")
	must(t, err)
	inodes := map[string]bool{}
	for _, line := range strings.Split(string(text), "\n") {
		const stateField, inodeField, listen = 3, 9, "0A"
		if f := strings.Fields(line); len(f) > inodeField && f[stateField] == listen {
			inodes["socket:["+f[inodeField]+"]"] = true
		}
	}
	ours := map[string]bool{}
	descriptors, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	for _, d := range descriptors {
		if to, _ := os.Readlink(d); inodes[to] {
			ours[to] = true
		}
	}
	return ours
}
