package ui_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

// needs skips a test on a machine without a program; where CI is set, every
// program has to be there.
func needs(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("needs %s: %v", program, err)
		}
		t.Skipf("needs %s: %v", program, err)
	}
	return path
}

// browser starts Debian's Chromium with a fresh profile.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := needs(t, "chromium")
	alloc, stop := chromedp.NewExecAllocator(t.Context(),
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("hide-scrollbars", true), chromedp.UserDataDir(t.TempDir()))
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	ctx, timeout := context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(timeout)
	return ctx
}

// served makes the sample world with a real server, and the address of it.
func served(t *testing.T) (*uitest.World, string) { return servedBy(t, uitest.Sample) }

func servedBy(t *testing.T, world func(testing.TB, string) *uitest.World) (*uitest.World, string) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	address := "http://" + s.Listener.Addr().String() + "/larkspur"
	w := world(t, address+"/")
	s.Config.Handler = w.Server.Handler(false)
	s.Start()
	t.Cleanup(s.Close)
	return w, address
}

// size is a screen; phones have a fine one.
type size struct {
	width, height int64
	scale         float64
	mobile        bool
}

func sizes() []size { return []size{{390, 844, 2, true}, {1440, 900, 1, false}} }

// layout is what a page measures in a browser.
type layout struct {
	Title  string   `json:"title"`
	Width  int64    `json:"width"`  // of the content
	Scroll int64    `json:"scroll"` // of the document
	Small  []string `json:"small"`  // targets under 44 px
	Styled bool     `json:"styled"`
	Low    float64  `json:"low"` // where the last choice ends
}

const measure = `(() => {
	const d = document.documentElement, small = [];
	let low = 0;
	for (const e of document.querySelectorAll("main button, main summary, main input:not([type=hidden]):not([type=radio]):not([type=checkbox]), main textarea, main select, main .pick")) {
		const r = e.getBoundingClientRect();
		if (r.height > 0 && (r.height < 44 || r.width < 44)) small.push(e.tagName + " " + e.textContent.trim() + " " + Math.round(r.width) + "x" + Math.round(r.height));
		if (e.matches(".choice")) low = Math.max(low, r.bottom);
	}
	return {title: document.title, width: d.clientWidth, scroll: d.scrollWidth, small: small, low: low,
		styled: getComputedStyle(document.querySelector("header")).borderBottomStyle == "solid"};
})()`

func TestPagesInABrowser(t *testing.T) {
	ctx := browser(t)
	w, address := served(t)
	w.Has.Live.Problems = []engine.Problem{{
		File: "scripts/netflix.star", Line: 6, Col: 9, Severity: "error", Check: "undefined",
		Message: "undefined: aks", Hint: "Did you mean ask?",
	}}
	signIn(ctx, t, w, address)
	pages := map[string]string{
		"incidents": "/", "incident": "/incidents/" + uitest.OpenID, "closed": "/incidents/" + uitest.ClosedID,
		"runs": "/runs", "run": "/runs/" + uitest.RunID, "failed": "/runs/" + uitest.BadRunID, "rules": "/rules",
		"questions": "/questions", "question": "/questions/" + uitest.OpenQ, "changes": "/changes?status=all", "audit": "/audit",
		"status": "/status", "overview": "/overview", "rule": "/rules/netflix-while-away", "missing": "/nothing", "link": "/a/" + uitest.OpenLink, "form": "/a/" + uitest.FormLink,
		"button": "/b/" + uitest.ButtonLink, "pressed": "/b/" + uitest.PressedLink, "badlink": "/a/cut-off", "badsetup": "/setup/cut-off",
	}
	for name, path := range pages {
		for _, s := range sizes() {
			t.Run(fmt.Sprintf("%s at %d", name, s.width), func(t *testing.T) { look(ctx, t, name, address+path, s) })
		}
	}
}

func signIn(ctx context.Context, t *testing.T, w *uitest.World, address string) {
	t.Helper()
	link, _, err := w.Server.SignInLink("dave")
	if err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(address+"/"), chromedp.WaitVisible(chromedp.CSS("h1")),
		chromedp.Navigate(link), chromedp.Click(chromedp.CSS("button.primary")), chromedp.WaitVisible(chromedp.CSS("nav[aria-label=Main]"))); err != nil {
		t.Fatal(err)
	}
}

// TestListsInABrowser looks at the lists of a box with much of everything, in
// long words, and of one with nothing.
func TestListsInABrowser(t *testing.T) {
	ctx := browser(t)
	for name, world := range map[string]func(testing.TB, string) *uitest.World{"crowded": uitest.Crowded, "empty": uitest.New} {
		w, address := servedBy(t, world)
		signIn(ctx, t, w, address)
		for page, path := range map[string]string{
			"overview": "/overview", "incidents": "/?status=all", "search": "/?q=nothing+like+that", "runs": "/runs", "rules": "/rules", "questions": "/questions",
			"changes": "/changes", "audit": "/audit", "status": "/status", "rule": "/rules/netflix-while-away", "incident": "/incidents/" + uitest.OpenID,
		} {
			for _, s := range sizes() {
				t.Run(fmt.Sprintf("%s %s at %d", name, page, s.width), func(t *testing.T) { look(ctx, t, name+"-"+page, address+path, s) })
			}
		}
	}
}

// TestTheBrakeInABrowser looks at the brake while it is on and holds a run.
func TestTheBrakeInABrowser(t *testing.T) {
	ctx := browser(t)
	w, address := served(t)
	w.Has.Brake = engine.Brake{On: true, Since: uitest.Start(), By: "ana", Why: "blocks go to the wrong devices"}
	for i := range w.Has.Runs {
		if r := &w.Has.Runs[i]; r.ID == uitest.BadRunID {
			r.Status, r.Waits, r.Held, r.Error = engine.RunHeld, "the brake, before ssh.run at scripts/netflix.star:10:9", "2", nil
		}
	}
	s := &w.Has.Journals[uitest.BadRunID][1]
	s.Status, s.Held, s.Error, s.At = engine.StepNotStarted, engine.HeldByBrake, nil, "scripts/netflix.star:10:9"
	signIn(ctx, t, w, address)
	for name, path := range map[string]string{"brake": "/brake", "braked": "/changes", "held": "/runs/" + uitest.BadRunID, "needs": "/overview"} {
		for _, s := range sizes() {
			t.Run(fmt.Sprintf("%s at %d", name, s.width), func(t *testing.T) { look(ctx, t, name, address+path, s) })
		}
	}
}

// TestARestartInABrowser looks at a run's earlier branches, and at what a restart
// and an undo would do.
func TestARestartInABrowser(t *testing.T) {
	ctx := browser(t)
	w, address := served(t)
	w.Has.Journals[uitest.RunID][1].Args = engine.MustEncode(map[string]engine.Value{"choices": []engine.Value{"Allow", "Block", "Ask why"}})
	for i := range w.Has.Runs {
		if r := &w.Has.Runs[i]; r.ID == uitest.RunID {
			r.Generation, r.Branches = 2, []engine.Branch{{Generation: 1, Status: engine.RunFailed, Step: "2", By: "eng", At: uitest.Start(), Why: "he rang and said that it was not him"}}
		}
	}
	w.Has.Preview = engine.RestartPreview{
		Generation: 2, Bundle: uitest.BundleHash, Undone: w.Has.Changes, Closed: true, Questions: w.Has.Questions[:1],
		Cannot:  []engine.Step{{Number: 4, Builtin: "http.post", At: "scripts/netflix.star:4:1", Status: engine.StepDone, Args: engine.MustEncode("a body")}},
		Unknown: []engine.Step{{Number: 5, Builtin: "ssh.run", At: "scripts/netflix.star:5:1", Status: engine.StepInDoubt}},
		Differs: &engine.Difference{Step: "1", Message: "step 1 is not the recorded one: other arguments\n  recorded: unifi.client {\"mac\":\"x\"}\n  now:      unifi.client {\"mac\":\"y\"}", Before: true},
	}
	signIn(ctx, t, w, address)
	run := "/runs/" + uitest.RunID
	for name, path := range map[string]string{"branches": run, "restart": run + "/restart?step=2", "differs": run + "/restart?step=2&script=current", "undo": run + "/restart", "doubt": "/runs/" + uitest.BadRunID} {
		for _, s := range sizes() {
			t.Run(fmt.Sprintf("%s at %d", name, s.width), func(t *testing.T) { look(ctx, t, name, address+path, s) })
		}
	}
}

// look opens a page and judges how it is laid out.
func look(ctx context.Context, t *testing.T, name, address string, s size) {
	_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: s.width, Height: s.height, DeviceScaleFactor: s.scale, Mobile: s.mobile,
	})
	if err == nil {
		err = chromedp.Do(ctx, chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS("#main")))
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := chromedp.Run(ctx, chromedp.Evaluate[layout](measure))
	if err != nil {
		t.Fatal(err)
	}
	if l.Scroll > l.Width {
		t.Errorf("the page scrolls sideways: it is %d px wide on a screen of %d", l.Scroll, l.Width)
	}
	if !l.Styled {
		t.Error("the stylesheet is missing")
	}
	if !strings.Contains(l.Title, "· home") {
		t.Errorf("got the title %q, want one that ends with the workspace's name", l.Title)
	}
	if len(l.Small) > 0 {
		t.Errorf("targets under 44 px: %s", strings.Join(l.Small, ", "))
	}
	if name == "link" && l.Low > float64(s.height) {
		t.Errorf("the last button ends at %.0f px, below the screen's %d", l.Low, s.height)
	}
	shoot(ctx, t, fmt.Sprintf("%s-%d", name, s.width))
}

// shoot keeps a picture of the page where LARKSPUR_SCREENSHOTS names a folder,
// in both colour schemes.
func shoot(ctx context.Context, t *testing.T, name string) {
	dir := os.Getenv("LARKSPUR_SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, scheme := range []string{"light", "dark"} {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		if err != nil {
			t.Fatal(err)
		}
		png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+"-"+scheme+".png"), png, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
