package story

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"larkspur/engine"
	"larkspur/engine/ledger"
)

// visitorAsks puts what a call brings into every place of an incident: its
// title, its facts, a note, a large result, a question, mails.
const visitorAsks = `def seen(i):
    who = i.event.who
    i.set(who = who, also = [who, who])
    i.note("about " + who)
    attempt(lambda: http.get("https://" + who + ".invalid/" + who))
    print((who + " ") * 40)
    email.send("dave", "News of " + who, "It is about " + who + ".")
    a = ask("dave", "What of %s?" % who, details = [who], choices = ["Leave " + who])
    i.close(a.choice)

rule(name = "alarm", when = on.webhook("alarm"), do = seen, title = "Alarm of {who}")
`

// marker is a text that stands nowhere else.
func marker() string {
	b := make([]byte, 12)
	rand.Read(b)
	return "m" + hex.EncodeToString(b)
}

// found lists the files below a folder in which a text stands, in clear or in
// base64.
func found(t *testing.T, dir, text string) (files []string) {
	t.Helper()
	forms := [][]byte{[]byte(text)}
	for skip := range 3 {
		encoded := base64.StdEncoding.EncodeToString(append(make([]byte, skip), text...))
		forms = append(forms, []byte(encoded[4:len(encoded)-4]))
	}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if slices.ContainsFunc(forms, func(form []byte) bool { return bytes.Contains(content, form) }) {
			files = append(files, path)
		}
		return err
	}))
	return files
}

// TestErasingAnIncident: what a call brought, a playbook made of it and people
// said goes everywhere, while the appliance works on.
func TestErasingAnIncident(t *testing.T) {
	t.Parallel()
	b := serve(t)
	who := marker()
	closed := b.visited(who)
	state := filepath.Join(b.dir, "state")
	if len(found(t, state, who)) == 0 {
		t.Fatal("it is in no file even before")
	}

	var would, done engine.Erasure
	request := map[string]any{"incident": closed.ID, "because": "the visitor asked for it", "dry_run": true}
	b.postFor(&would, "/api/v1/erasures", request)
	if would.Records < 10 || would.Incidents != 1 || len(would.Waits) > 0 || len(found(t, state, who)) == 0 {
		t.Errorf("got the plan %+v", would)
	}
	request["dry_run"] = false
	b.postFor(&done, "/api/v1/erasures", request)
	id := done.ID
	b.eventually("end of the erasure", func() bool {
		return b.client().get(b.ctx, "/api/v1/erasures/"+id, &done) == nil && done.Status != engine.ErasureRunning
	})
	if done.Status != engine.ErasureDone || done.Records != would.Records || done.By == "" {
		t.Errorf("got %+v, want %d records", done, would.Records)
	}
	if files := found(t, state, who); len(files) > 0 {
		t.Errorf("it is still in %v", files)
	}
	b.showsErased(closed, who)
	b.exportVerifies(who)
}

// TestErasingInABrowser: an administrator sees what would go, and then that it is
// gone.
func TestErasingInABrowser(t *testing.T) {
	b := serve(t)
	v := newVisitor(t)
	who := marker()
	closed := b.visited(who)
	var link struct{ URL string }
	b.postFor(&link, "/api/v1/login", map[string]any{"person": "dave"})
	v.open(link.URL)
	v.do(chromedp.Click(chromedp.CSS("main button")), chromedp.WaitVisible(chromedp.CSS("nav")))
	page := b.url + "/incidents/" + closed.ID
	v.open(page)
	v.see("before", "Alarm of "+who, "Show what would go")
	v.do(chromedp.SetValue(chromedp.CSS("#because"), "the visitor asked for it"), chromedp.Click(chromedp.CSS("form[action$='/erase'] button")), chromedp.WaitVisible(chromedp.CSS("#erase")))
	v.see("plan", "Erase this incident?", "records lose their content", "erased because the visitor asked for it")
	v.do(chromedp.Click(chromedp.CSS("#erase button")), chromedp.WaitVisible(chromedp.CSS("nav")))
	b.eventually("end of the erasure", func() bool {
		var all list[engine.Erasure]
		return b.client().get(b.ctx, "/api/v1/erasures", &all) == nil && len(all.Items) == 1 && all.Items[0].Status == engine.ErasureDone
	})
	for name, address := range map[string]string{"incident": page, "run": b.url + "/runs/" + closed.run("playbook").ID, "audit": b.url + "/audit", "question": b.url + "/questions/" + closed.Questions[0].ID, "list": b.url + "/?status=all"} {
		v.open(address)
		v.see("erased-"+name, "because the visitor asked for it")
		if _, text, err := visit(b.ctx, "GET", address, nil); err != nil || strings.Contains(text, who) {
			t.Errorf("%s: the page still holds it (%v)", name, err)
		}
	}
}

// visited plays an incident about somebody until it is closed.
func (b *box) visited(who string) *incident {
	t := b.t
	t.Helper()
	b.put(t, "scripts/alarm.star", visitorAsks)
	b.eventually("the new script", func() bool {
		var rules struct{ Items []engine.RuleStatus }
		err := b.client().get(b.ctx, "/api/v1/rules", &rules)
		return err == nil && slices.ContainsFunc(rules.Items, func(r engine.RuleStatus) bool { return r.Title == "Alarm of {who}" })
	})
	body := `{"who": "` + who + `"}`
	status, said, _, err := b.hook("alarm", signed(hookToken, "m1", b.clock.Now(), body), strings.NewReader(body), int64(len(body)))
	if err != nil || status != http.StatusAccepted {
		t.Fatalf("got %d %+v, %v", status, said, err)
	}
	asked := b.until("question", func(i *incident) bool { return len(i.Questions) == 1 && i.run("playbook").Status == engine.RunWaiting })
	path := "/api/v1/incidents/" + asked.ID
	b.post(path+"/note", map[string]any{"text": "seen " + who})
	b.refused("/api/v1/erasures", map[string]any{"incident": asked.ID, "because": "x"}, http.StatusConflict, "is open: close it first")
	b.post("/api/v1/questions/"+asked.Questions[0].ID+"/answer", map[string]any{"choice": "Leave " + who, "reason": "why, " + who})
	return b.until("end of all runs", func(i *incident) bool {
		return i.Status == engine.IncidentClosed && len(i.Runs) == 3 && !slices.ContainsFunc(i.Runs, func(r engine.Run) bool { return r.Ended.IsZero() })
	})
}

// post does an act by the interface, which must work.
func (b *box) post(path string, body any) {
	b.t.Helper()
	b.postFor(nil, path, body)
}

func (b *box) postFor(out any, path string, body any) {
	b.t.Helper()
	no, err := b.client().call(b.ctx, "POST", path, body, out)
	must(b.t, err)
	if no != nil {
		b.t.Fatalf("%s: got %d %+v", path, no.Status, no.Error)
	}
}

func (b *box) refused(path string, body any, status int, says string) {
	b.t.Helper()
	no, err := b.client().call(b.ctx, "POST", path, body, nil)
	must(b.t, err)
	if no == nil || no.Status != status || !strings.Contains(no.Error.Message, says) {
		b.t.Errorf("%s: got %+v, want %d: %s", path, no, status, says)
	}
}

// showsErased looks at what the interface says of an erased incident.
func (b *box) showsErased(before *incident, who string) {
	b.t.Helper()
	const sentence = "the visitor asked for it"
	i, err := b.client().story(b.ctx)
	must(b.t, err)
	if !strings.Contains(i.Title, sentence) || i.Erased == nil || i.Status != engine.IncidentClosed || len(i.Runs) != len(before.Runs) || len(i.Timeline) != len(before.Timeline) {
		b.t.Errorf("got %+v", i.Incident)
	}
	paths := []string{"/api/v1/incidents", "/api/v1/incidents/" + i.ID, "/api/v1/incidents/" + i.ID + "/events", "/api/v1/audit?incident=" + i.ID, "/api/v1/questions"}
	for _, r := range i.Runs {
		paths = append(paths, "/api/v1/runs/"+r.ID)
	}
	for _, path := range paths {
		var answer any
		if err := b.client().get(b.ctx, path, &answer); err != nil {
			b.t.Error(err)
		}
		text, err := engine.MarshalJSON(answer)
		must(b.t, err)
		if strings.Contains(string(text), who) || !strings.Contains(string(text), sentence) {
			b.t.Errorf("%s: it does not say %q alone:\n%s", path, sentence, text)
		}
	}
	no, err := b.client().call(b.ctx, "POST", "/api/v1/incidents/"+i.ID+"/reopen", map[string]any{}, nil)
	must(b.t, err)
	if no == nil || no.Status != http.StatusConflict || !strings.Contains(no.Error.Message, sentence) {
		b.t.Errorf("reopening: got %+v, want a refusal", no)
	}
}

// exportVerifies exports everything and verifies it as an auditor does.
func (b *box) exportVerifies(who string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.ctx, "GET", b.url+"/api/v1/audit?format=jsonl", nil)
	must(b.t, err)
	req.Header.Set("Authorization", "Bearer "+apiToken)
	resp, err := browser.Do(req)
	must(b.t, err)
	defer resp.Body.Close()
	var file bytes.Buffer
	_, err = file.ReadFrom(resp.Body)
	must(b.t, err)
	if strings.Contains(file.String(), who) {
		b.t.Error("the export still holds it")
	}
	keys, err := ledger.VerifierKeys(filepath.Join(b.dir, "state", "keys", "checkpoint"))
	must(b.t, err)
	report, err := ledger.Verify(&file, keys...)
	must(b.t, err)
	if !report.OK() || report.Erased == 0 {
		b.t.Errorf("got %+v", report)
	}
}
