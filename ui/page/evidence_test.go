package page_test

import (
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

func TestEvidence(t *testing.T) {
	w := uitest.Sample(t, address)
	id := w.Has.Incidents[0].ID
	w.Has.Attachments = map[string][]engine.Attachment{id: {{Name: `<b>"log".html`, Type: "text/html", Size: 12345, SHA256: "aa11", At: w.Now()}}}
	w.Has.Contents = map[string]string{"aa11": "<script>alert(1)</script>"}
	w.Has.Indicators = map[string][]engine.Indicator{id: {{Value: "bad.example.org", Kind: "domain", Verdict: "malicious", Sources: []string{"urlhaus", "dave"}, At: w.Now()}}}
	c := w.Visit(t, "dave")
	shown := c.Get("/larkspur/incidents/"+id).Want(200, "bad.example.org", "malicious", "urlhaus, dave", "12.3 kB", `/attachments/aa11"`)
	if !strings.Contains(shown.Body, "&lt;b&gt;") || strings.Contains(shown.Body, "<b>&#34;log") {
		t.Error("the name of a file is not written as text")
	}
	p := c.Get("/larkspur/incidents/"+id+"/attachments/aa11").Want(200, "<script>alert(1)</script>")
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'",
		"Content-Disposition": `attachment; filename="<b>\"log\".html"`,
	} {
		if got := p.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	c.Get("/larkspur/incidents/" + id + "/attachments/bb22").Want(404)
}
