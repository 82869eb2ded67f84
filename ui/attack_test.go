package ui_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
	"larkspur/ui/uitest"
)

// Each test of this file is an attack on the answering of questions: it decides
// nothing. What is decided stands in the world's log.

const (
	linkPath = "/larkspur/a/" + uitest.OpenLink
	formPath = "/larkspur/a/" + uitest.FormLink
)

// decided lists what was answered.
func decided(w *uitest.World) (answers []string) {
	for line := range strings.SplitSeq(w.Logged(), "; ") {
		if strings.HasPrefix(line, "answer") {
			answers = append(answers, line)
		}
	}
	return answers
}

func wantNothingDecided(t *testing.T, w *uitest.World) {
	t.Helper()
	if got := decided(w); len(got) > 0 {
		t.Errorf("the attack decided something: %s", got)
	}
}

func TestAttackTokenReuse(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "").Pair(linkPath)
	form := dave.Get(linkPath).FormTo(uitest.OpenLink, "choice", "Allow")
	dave.Post(linkPath, form).Want(200, "Thank you")
	other := url.Values{"form_token": form["form_token"], "choice": {"Block"}}
	for _, v := range []*uitest.Visitor{dave, w.Visit(t, ""), w.Visit(t, "ana")} {
		v.Post(linkPath, form).Want(409)
		v.Post(linkPath, other).Want(409).Lacks("Thank you")
		v.Get(linkPath).Want(409).Lacks(`name="choice"`)
	}
	if got := decided(w); len(got) != 1 || !strings.Contains(got[0], "Allow") {
		t.Errorf("got %q, want the first answer alone", got)
	}
}

func TestAttackGuessing(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "")
	// Tokens that differ from a good one in a letter, are cut off, too long, or of
	// another kind are answered alike: what is compared is a hash, by looking it up.
	guesses := []string{"x" + uitest.OpenLink[1:], uitest.OpenLink[:31], uitest.OpenLink + "x", strings.Repeat("a", 32), strings.Repeat("a", 9000), "q0-7", "%00"}
	first := v.Get("/larkspur/a/"+guesses[0]).Want(404, "no question belongs to this link")
	for _, guess := range guesses {
		for _, p := range []uitest.Page{v.Get("/larkspur/a/" + guess), v.Post("/larkspur/a/"+guess, url.Values{"choice": {"Block"}})} {
			if p.Want(404).Body != first.Body {
				t.Errorf("%.40q is answered otherwise:\n%s", guess, p.Body)
			}
		}
	}
	for range login.BadPerWindow {
		v.Get("/larkspur/a/guess")
	}
	for _, path := range []string{"/larkspur/a/guess", linkPath, "/larkspur/setup/guess", "/larkspur/b/guess"} {
		v.Get(path).Want(429, "too many wrong tokens")
	}
	v.Post(linkPath+"/pair", url.Values{}).Want(429)
	wantNothingDecided(t, w)
	w.Pass(login.BadWindow)
	v.Get(linkPath).Want(200)
}

func TestAttackCrossQuestion(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Has.Questions[0].Proof = desk.ProofDevice
	viewer := w.Visit(t, "").Pair(formPath) // to whom another question is put
	good := viewer.Get(formPath).FormTo(uitest.FormLink, "choice", "Block")
	viewer.Post(linkPath, good).Want(409, "Send me a code")
	viewer.Post(linkPath+"/code", viewer.Get(formPath).Form()).Want(403, "does not belong to this link")
	viewer.Post("/larkspur/questions/"+uitest.OpenQ, good).Want(401)
	wantNothingDecided(t, w)
}

func TestAttackCookieOfAnother(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "").Pair(linkPath)
	form := dave.Get(linkPath).FormTo(uitest.OpenLink, "choice", "Block")
	ben := w.Visit(t, "ben") // an approver, who has got hold of dave's link, and of a form
	ben.Get(linkPath).Want(200, "This browser is paired with ben", "this link is for <b>dave</b>").Lacks(`name="choice"`)
	ben.Post(linkPath, form).Want(403, "this link is for <b>dave</b>")
	ben.Post("/larkspur/questions/"+uitest.OpenQ, ben.Get("/larkspur/questions/"+uitest.OpenQ).Form("choice", "Block")).Want(403, "put to dave or ana")
	viewer := w.Visit(t, "")
	w.Has.Questions[0].Proof = desk.ProofDevice
	viewer.Pair(formPath)
	viewer.Post(linkPath, form).Want(403)
	wantNothingDecided(t, w)
}

func TestAttackForgedForms(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "").Pair(linkPath)
	form := dave.Get(linkPath).FormTo(uitest.OpenLink, "choice", "Block")
	for name, header := range map[string]map[string]string{
		"another origin":        {"Origin": "https://evil.example.org"},
		"another scheme's host": {"Origin": "https://soar.example.org.evil.example.org"},
		"cross-site":            {"Sec-Fetch-Site": "cross-site"},
		"a sister site":         {"Sec-Fetch-Site": "same-site", "Origin": "https://other.example.org"},
		"rubbish":               {"Origin": "::"},
	} {
		dave.Header = header
		for _, path := range []string{linkPath, linkPath + "/code", linkPath + "/pair", "/larkspur/signin", "/larkspur/signin/code", "/larkspur/logout"} {
			if p := dave.Post(path, form); p.Status != http.StatusForbidden {
				t.Errorf("%s to %s: got %d, want 403", name, path, p.Status)
			}
		}
	}
	dave.Header = map[string]string{}
	r := httptest.NewRequest("POST", "http://evil.example.org"+linkPath, strings.NewReader(form.Encode())) // a name that somebody lets lead here
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "http://evil.example.org")
	r.AddCookie(&http.Cookie{Name: login.CookieName, Value: dave.Cookies[login.CookieName]})
	rec := httptest.NewRecorder()
	if w.Server.Handler(false).ServeHTTP(rec, r); rec.Code != http.StatusForbidden {
		t.Errorf("another host: got %d, want 403", rec.Code)
	}
	for name, without := range map[string]url.Values{
		"no form":      {"choice": {"Block"}},
		"an empty one": {"choice": {"Block"}, "form_token": {""}},
		"of a session": {"choice": {"Block"}, "form_token": {login.FormToken(dave.Cookies[login.CookieName], "session")}},
		"a guess":      {"choice": {"Block"}, "form_token": {login.FormToken("guess", uitest.OpenQ+"/1")}},
	} {
		if p := dave.Post(linkPath, without); p.Status != http.StatusConflict {
			t.Errorf("%s: got %d, want 409", name, p.Status)
		}
	}
	dave.Do("PUT", linkPath, "application/x-www-form-urlencoded", form.Encode()).Want(405)
	dave.Do("POST", linkPath, "text/plain", form.Encode()).Want(409)
	dave.Do("GET", linkPath+"?"+form.Encode(), "", "").Want(200)
	wantNothingDecided(t, w)
}

// TestAttackOfLooking: whatever only looks, and says that it only looks ahead, decides
// nothing and asks for nothing.
func TestAttackOfLooking(t *testing.T) {
	w := uitest.Sample(t, address)
	for _, v := range []*uitest.Visitor{w.Visit(t, ""), w.Visit(t, "dave")} {
		for _, header := range []map[string]string{{}, {"Purpose": "prefetch"}, {"Sec-Purpose": "prefetch;prerender"}, {"X-Moz": "prefetch"}, {"User-Agent": "Googlebot"}} {
			v.Header = header
			for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
				for _, path := range []string{linkPath, formPath, "/larkspur/signin", linkPath + "?choice=Block", linkPath + "/code", linkPath + "/pair"} {
					p := v.Do(method, path, "", "")
					if p.Header.Get("Set-Cookie") != "" || p.Status >= 500 {
						t.Errorf("%s %s with %v: got %d and the cookie %q", method, path, header, p.Status, p.Header.Get("Set-Cookie"))
					}
					if p.Status == 200 && (p.Header.Get("Cache-Control") != "no-store" || p.Header.Get("Referrer-Policy") != "no-referrer" ||
						!strings.Contains(p.Header.Get("X-Robots-Tag"), "noindex") || strings.Contains(p.Header.Get("Content-Security-Policy"), "script-src")) {
						t.Errorf("%s %s: got the header %v", method, path, p.Header)
					}
				}
			}
		}
	}
	if len(w.Mails) > 0 {
		t.Errorf("looking had %d mails sent", len(w.Mails))
	}
	wantNothingDecided(t, w)
}

// TestAttackForgedHost: what a request claims about its host is in no answer.
func TestAttackForgedHost(t *testing.T) {
	w := uitest.Sample(t, address)
	dave := w.Visit(t, "dave")
	forge := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://evil.example.org"+path, strings.NewReader(body))
		r.Host = "evil.example.org"
		for _, name := range []string{"X-Forwarded-Host", "X-Host", "X-Original-URL", "X-Rewrite-URL", "Forwarded"} {
			r.Header.Set(name, "host=evil.example.org")
		}
		r.Header.Set("X-Forwarded-Proto", "javascript")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if strings.HasPrefix(path, "/larkspur/api") {
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+uitest.Token)
		} else {
			r.AddCookie(&http.Cookie{Name: login.CookieName, Value: dave.Cookies[login.CookieName]})
		}
		rec := httptest.NewRecorder()
		w.Server.Handler(false).ServeHTTP(rec, r)
		return rec
	}
	form := dave.Get("/larkspur/overview").Form().Encode()
	for _, tt := range [][3]string{
		{"GET", linkPath}, {"GET", "/larkspur/signin"}, {"GET", "/larkspur/overview"}, {"GET", "/larkspur/nothing"}, {"GET", "/larkspur/a/none"},
		{"POST", "/larkspur/signin", "name=dave"}, {"POST", "/larkspur/brake/on", form}, {"POST", "/larkspur/api/v1/login", `{"person":"dave"}`},
	} {
		rec := forge(tt[0], tt[1], tt[2])
		if seen := fmt.Sprint(rec.Header(), rec.Body.String()); strings.Contains(seen, "evil.example.org") {
			t.Errorf("%s %s: the forged host stands in the answer:\n%s", tt[0], tt[1], seen)
		}
		if to := rec.Header().Get("Location"); to != "" && !strings.HasPrefix(to, "/larkspur/") {
			t.Errorf("%s %s: got a redirect to %q", tt[0], tt[1], to)
		}
	}
	var link struct{ URL string }
	if err := json.Unmarshal(forge("POST", "/larkspur/api/v1/login", `{"person":"dave"}`).Body.Bytes(), &link); err != nil || !strings.HasPrefix(link.URL, address+"setup/") {
		t.Errorf("got the link %q, %v", link.URL, err)
	}
}

func TestAttackOpenRedirect(t *testing.T) {
	w := uitest.Sample(t, address)
	for _, to := range []string{
		"https://evil.example.org/", "//evil.example.org/", `/\evil.example.org`, `\\evil.example.org`, "evil.example.org", "javascript:alert(1)", "/\t/evil.example.org",
		"https:evil.example.org", "/%0d%0aSet-Cookie:%20x=y", "http://evil.example.org\\@soar.example.org/", "///evil.example.org", "/a\r\nLocation: https://evil.example.org",
	} {
		v := w.Visit(t, "")
		p := v.Post("/larkspur/signin", url.Values{"name": {"dave"}, "to": {to}})
		page := v.Get("/larkspur/signin?to=" + url.QueryEscape(to))
		done := v.Post("/larkspur/signin/code", page.FormTo("/signin/code", "code", w.LastCode(), "to", to))
		w.Pass(login.CodeWindow)
		for _, p := range []uitest.Page{p, done} {
			location := p.Want(303).Header.Get("Location")
			u, err := url.Parse(location)
			if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(location, "/larkspur/") || p.Header.Get("Set-Cookie") == "x=y" {
				t.Errorf("%q: got a redirect to %q", to, location)
			}
		}
	}
	v := w.Visit(t, "")
	v.Post("/larkspur/signin", url.Values{"name": {"dave"}})
	page := v.Get("/larkspur/signin?to=/incidents/i0-42%3Ftimeline%3Dx")
	if to := v.Post("/larkspur/signin/code", page.FormTo("/signin/code", "code", w.LastCode())).Header.Get("Location"); to != "/larkspur/incidents/i0-42?timeline=x" {
		t.Errorf("got a redirect to %q, want our own page", to)
	}
}

func TestAttackRevokedDevice(t *testing.T) {
	w := uitest.Sample(t, address)
	phone, dave := w.Visit(t, "").Pair(linkPath), w.Visit(t, "dave")
	form := phone.Get(linkPath).FormTo(uitest.OpenLink, "choice", "Block")
	stolen := phone.Cookies[login.CookieName]
	dave.Post("/larkspur/devices/d0-1/revoke", dave.Get("/larkspur/devices").Form()).Want(303)
	phone.Cookies[login.CookieName] = stolen
	phone.Post(linkPath, form).Want(403, "Send me a code")
	phone.Get("/larkspur/overview").Want(401)
	out := dave.Cookies[login.CookieName]
	dave.Post("/larkspur/logout", dave.Get("/larkspur/overview").Form()).Want(200)
	dave.Cookies[login.CookieName] = out // replayed after signing out
	dave.Get("/larkspur/overview").Want(401)
	wantNothingDecided(t, w)
}

func TestAttackExpiredDevice(t *testing.T) {
	w := uitest.Sample(t, address)
	w.Has.Questions[1].Due = w.Now().Add(10 * engine.DeviceLife)
	phone := w.Visit(t, "").Pair(linkPath)
	form := phone.Get(linkPath).FormTo(uitest.OpenLink, "choice", "Block")
	w.Pass(engine.DeviceLife)
	phone.Post(linkPath, form).Want(403, "Send me a code")
	wantNothingDecided(t, w)
}

func TestAttackCodeBruteForce(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "")
	v.Post(linkPath+"/code", v.Get(linkPath).FormTo("/code")).Want(303)
	form := v.Get(linkPath).FormTo("/pair")
	for n := range engine.CodeTries {
		p := v.Post(linkPath+"/pair", with(form, "code", fmt.Sprintf("BCDF-GHJ%d", n+2))).Want(400)
		if n < engine.CodeTries-1 != strings.Contains(p.Body, "That is not the code") {
			t.Errorf("try %d: %s", n, p.Body)
		}
	}
	v.Post(linkPath+"/pair", with(form, "code", w.LastCode())).Want(400, "worth nothing any more")
	if v.Cookies[login.CookieName] != "" {
		t.Error("a spent code paired the browser")
	}
	for n := range login.CodesPerLink - 1 { // nor by asking for many
		v.Post(linkPath+"/code", v.Get(linkPath).FormTo("/code")).Want(303)
		if len(w.Mails) != n+2 {
			t.Fatalf("got %d mails", len(w.Mails))
		}
	}
	v.Post(linkPath+"/code", v.Get(linkPath).FormTo("/code")).Want(429, "too many codes were asked for")
	w.Visit(t, "").Get(linkPath).Want(200) // who reads it is not kept out
	w.Pass(login.CodeWindow)
	v.Post(linkPath+"/code", v.Get(linkPath).FormTo("/code")).Want(303)
	last := w.LastCode()
	form = v.Get(linkPath).FormTo("/pair")
	w.Pass(engine.CodeLife)
	v.Post(linkPath+"/pair", with(form, "code", last)).Want(400, "works for ten minutes")
	wantNothingDecided(t, w)
}

func TestAttackCodeOfAnotherBrowser(t *testing.T) {
	w := uitest.Sample(t, address)
	dave, thief := w.Visit(t, ""), w.Visit(t, "")
	dave.Post(linkPath+"/code", dave.Get(linkPath).FormTo("/code")).Want(303)
	form := dave.Get(linkPath).FormTo("/pair", "code", w.LastCode())
	thief.Post(linkPath+"/pair", form).Want(400, "has not asked for that code")
	thief.Post(linkPath+"/code", thief.Get(linkPath).FormTo("/code")).Want(303)
	thief.Post(linkPath+"/pair", thief.Get(linkPath).FormTo("/pair", "code", w.Mails[0].Code)).Want(400, "That is not the code")

	// A code that the thief had sent to their own address pairs nobody else's link.
	w.Has.Questions[0].Proof = desk.ProofDevice
	thief.Post(formPath+"/code", thief.Get(formPath).FormTo("/code")).Want(303)
	theirs := thief.Get(formPath).FormTo("/pair", "code", w.LastCode())
	thief.Post(linkPath+"/pair", theirs).Want(400, "for another page")
	waited := dave.Cookies[login.CodeCookie]
	dave.Post(linkPath+"/pair", form).Want(303)
	again := w.Visit(t, "")
	again.Cookies[login.CodeCookie] = waited // the same cookie, once more
	again.Post(linkPath+"/pair", form).Want(400, "it works once")
	wantNothingDecided(t, w)
}

func with(form url.Values, pairs ...string) url.Values {
	out := url.Values{}
	for k, v := range form {
		out[k] = slices.Clone(v)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		out.Set(pairs[i], pairs[i+1])
	}
	return out
}

// TestAttackScannerInABrowser: a scanner that runs scripts opens the link of a mail,
// fills every form in, presses every button, and follows every link that it finds, in
// Chromium. Of questions that take more than the link it decides none.
func TestAttackScannerInABrowser(t *testing.T) {
	ctx := browser(t)
	for _, proof := range []string{desk.ProofDevice, desk.ProofTyped, desk.ProofLogin} {
		t.Run(proof, func(t *testing.T) {
			w, site := served(t)
			w.Has.Questions[1].Proof = proof
			scanned := scan(ctx, t, site, site+"/a/"+uitest.OpenLink)
			t.Logf("%d presses, %d codes mailed", scanned, len(w.Mails))
			if scanned < 3 {
				t.Errorf("the scanner pressed %d buttons: it is blind", scanned)
			}
			if len(w.Mails) > login.CodesPerLink+login.CodesPerOwner {
				t.Errorf("it had %d codes mailed", len(w.Mails))
			}
			wantNothingDecided(t, w)
		})
	}
	t.Run("and of one that takes the link alone it does", func(t *testing.T) {
		w, site := served(t)
		w.Has.Questions[1].Proof = desk.ProofLink
		if scan(ctx, t, site, site+"/a/"+uitest.OpenLink); len(decided(w)) != 1 {
			t.Error("the scanner decides nothing at all: this test looks in the wrong place")
		}
	})
}

// pressAll fills the forms of a page in as a machine does, and presses its nth button.
// It returns how many there are, and where its links lead.
const pressAll = `((n) => {
	const all = [...document.querySelectorAll("button, input[type=submit]")];
	for (const e of document.querySelectorAll("details")) e.open = true;
	for (const e of document.querySelectorAll("input, textarea, select")) {
		if (e.type == "hidden") continue;
		if (e.type == "radio" || e.type == "checkbox") { e.checked = true; continue; }
		e.value = e.type == "email" || e.name == "name" ? "dave" : e.name == "code" ? "BCDFGHJK" : "yes";
	}
	const links = [...document.querySelectorAll("a[href]")].map(a => a.href);
	if (n >= 0 && n < all.length) { window.pressed = true; all[n].form.noValidate = true; all[n].click() }
	return {buttons: all.length, links: links};
})(%d)`

type pressed struct {
	Buttons int      `json:"buttons"`
	Links   []string `json:"links"`
}

// scan presses and follows all that it finds below a site.
func scan(ctx context.Context, t *testing.T, site, start string) (presses int) {
	t.Helper()
	run := func(n int) (p pressed) {
		p, err := chromedp.Run(ctx, chromedp.Evaluate[pressed](fmt.Sprintf(pressAll, n)))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	open := func(address string) {
		if err := chromedp.Do(ctx, chromedp.Navigate(address), chromedp.WaitReady(chromedp.CSS("body"))); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{start: true}
	// arrive waits until the page that was pressed on is gone, and the next one there.
	arrive := func() {
		for ctx.Err() == nil {
			there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`!window.pressed && document.readyState == "complete"`))
			if err == nil && there {
				return
			}
		}
		t.Fatal(ctx.Err())
	}
	for queue := []string{start}; len(queue) > 0 && len(seen) < 40; queue = queue[1:] {
		for depth := range 2 { // what stands there after a press is pressed, too
			open(queue[0])
			found := run(-1)
			for n := range found.Buttons {
				presses++
				open(queue[0])
				if run(n).Buttons > n { // the page may have changed since
					arrive()
				}
			}
			if depth == 0 {
				for _, link := range found.Links {
					link, _, _ = strings.Cut(link, "#")
					if strings.HasPrefix(link, site) && !seen[link] {
						seen[link] = true
						queue = append(queue, link)
					}
				}
			}
		}
	}
	return presses
}
