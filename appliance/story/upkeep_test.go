package story

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// TestRebuildWhileServing rebuilds in the middle of the story, which then goes on.
func TestRebuildWhileServing(t *testing.T) {
	t.Parallel()
	b := serve(t)
	b.play()
	before := b.until("question", func(i *incident) bool {
		return len(i.Questions) == 1 && i.run("playbook").Status == engine.RunWaiting && i.run("outbox").Status == engine.RunDone
	})
	_, err := b.client().call(b.ctx, "POST", "/api/v1/rebuild", nil, nil)
	must(t, err)
	var now desk.Rebuild
	b.eventually("end of the rebuild", func() bool {
		return b.client().get(b.ctx, "/api/v1/rebuild", &now) == nil && !now.Running && now.Ended != nil
	})
	if now.Error != "" || now.Done == 0 || now.Done != now.Total || now.Compared == 0 || now.Differ > 0 {
		t.Errorf("got %+v, want all records, and that nothing differed", now)
	}
	if log := b.download(url.Values{"format": {"jsonl"}}); !strings.Contains(log, `"kind":"rebuilt"`) || !strings.Contains(log, `"equal":true`) {
		t.Error("no record says that the projections were made anew, and were equal")
	}
	after := b.until("question", func(i *incident) bool { return len(i.Questions) == 1 })
	if before.Questions[0].ID != after.Questions[0].ID || before.told() != after.told() || before.Title != after.Title {
		t.Errorf("got %s after the rebuild, %s before", after.told(), before.told())
	}
	no, err := b.client().call(b.ctx, "POST", "/api/v1/questions/"+after.Questions[0].ID+"/answer", map[string]any{"choice": "Block"}, nil)
	must(t, err)
	if no != nil {
		t.Fatalf("the answer: got %+v", no)
	}
	b.until("close", func(i *incident) bool { return i.Status == engine.IncidentClosed })
}

// TestTheCacheIsDeletedWhileServing takes the cache's folder away from a running
// box: it decides nothing, so that whoever is signed in stays so, and all goes on.
func TestTheCacheIsDeletedWhileServing(t *testing.T) {
	t.Parallel()
	b := serve(t)
	dave := b.signedIn()
	if got := b.status(dave); got != http.StatusOK {
		t.Fatalf("the status page: got %d, want 200", got)
	}
	must(t, os.RemoveAll(filepath.Join(b.dir, "state", "cache")))
	if got := b.status(dave); got != http.StatusOK {
		t.Errorf("the status page: got %d without a cache, want 200", got)
	}
	b.play()
	b.until("question", func(i *incident) bool { return len(i.Questions) == 1 }) // the ledger goes on
	var report struct {
		Children []struct{ Name, Message string }
	}
	must(t, b.client().get(b.ctx, "/healthz", &report))
	said := ""
	for _, c := range report.Children {
		if c.Name == "cache" {
			said = c.Message
		}
	}
	wantText(t, "the health of the cache", said, "begun anew at ", "its folder was deleted")
}

// signedIn returns the browser of somebody who has just signed in.
func (b *box) signedIn() *http.Client {
	b.t.Helper()
	var link struct{ URL string }
	no, err := b.client().call(b.ctx, "POST", "/api/v1/login", map[string]string{"person": "dave"}, &link)
	must(b.t, err)
	if no != nil {
		b.t.Fatalf("a sign-in link: got %+v", no)
	}
	_, page, err := visit(b.ctx, "GET", link.URL, nil)
	must(b.t, err)
	jar, err := cookiejar.New(nil)
	must(b.t, err)
	person := &http.Client{Jar: jar, Transport: browser.Transport}
	resp, err := person.PostForm(link.URL, url.Values{"form_token": {formToken.FindStringSubmatch(page)[1]}})
	must(b.t, err)
	resp.Body.Close()
	return person
}

func (b *box) status(person *http.Client) int {
	b.t.Helper()
	resp, err := person.Get(b.url + "/status")
	must(b.t, err)
	resp.Body.Close()
	return resp.StatusCode
}
