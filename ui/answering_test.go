package ui_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/uitest"
)

// TestAnsweringInABrowser looks at every state of a question's page on the way of
// somebody who answers for the first time, and at what they find when they are late.
func TestAnsweringInABrowser(t *testing.T) {
	ctx := browser(t)
	w, site := served(t)
	link := site + "/a/" + uitest.OpenLink
	q := &w.Has.Questions[1]
	seen := func(name, path string) {
		t.Helper()
		for _, s := range sizes() {
			t.Run(fmt.Sprintf("%s at %d", name, s.width), func(t *testing.T) { look(ctx, t, name, path, s) })
		}
	}
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	code := func(text string) {
		t.Helper()
		do(chromedp.SendKeys(chromedp.CSS("#code"), text), chromedp.Click(chromedp.CSS("form[action$='/pair'] button")))
	}
	seen("unpaired", link)
	do(chromedp.Navigate(link), chromedp.Click(chromedp.CSS("form[action$='/code'] button")), chromedp.WaitVisible(chromedp.CSS("#code")))
	seen("code", link)
	code("BCDF-GHJK")
	do(chromedp.WaitVisible(chromedp.CSS("#code-p")))
	shoot(ctx, t, "wrong-code")
	code(w.LastCode())
	do(chromedp.WaitVisible(chromedp.CSS("button[value=Block]")))
	seen("paired", link)
	q.Proof = desk.ProofTyped
	seen("typed", link)
	q.Proof = desk.ProofDevice
	q.Quorum, q.Why = 2, true
	q.Answers = []engine.Answer{{Choice: "Allow", By: "ana", Seat: 2, At: w.Now()}, {Choice: "Block", By: "dave", Seat: 1, At: w.Now()}}
	seen("quorum", link)
	q.Quorum, q.Answers, q.Why = 0, nil, false
	do(chromedp.Navigate(link), chromedp.Click(chromedp.CSS("button[value=Block]")), chromedp.WaitVisible(chromedp.CSS(".outcome")))
	shoot(ctx, t, "thanks")
	w.Has.Stories[uitest.OpenID] = append(w.Has.Stories[uitest.OpenID], engine.TimelineEntry{
		Record: 9, Time: w.Now().Add(1), Kind: "step_done", By: "run r0-17", Text: "changed: block 02:00:00:00:00:07 on home (Living-room TV)", Run: uitest.RunID,
	})
	w.Has.Changes[0].Made = w.Now().Add(1)
	seen("answered", link)
	q.Status, q.Answer = engine.QuestionTimedOut, &engine.Answer{Choice: "Allow", By: "nobody", TimedOut: true, At: w.Now()}
	seen("timed-out", link)
	q.Status, q.Answer = engine.QuestionWithdrawn, nil
	seen("withdrawn", link)
	w.Has.Questions[0].Fields = append(w.Has.Questions[0].Fields, engine.Field{Name: "invoice", Kind: engine.FieldFile})
	seen("fields", site+"/a/"+uitest.FormLink)
	seen("signin", site+"/signin")
	do(chromedp.Navigate(site+"/signin"), chromedp.SendKeys(chromedp.CSS("#name"), "dave"), chromedp.Click(chromedp.CSS(".choice.primary")), chromedp.WaitVisible(chromedp.CSS("#code")))
	seen("signin-code", site+"/signin")
	seen("devices", site+"/devices")
}
