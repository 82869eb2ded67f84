package runner_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/runner"
)

// TestEvidence: files and indicators of an incident, read back, found by search,
// the same after a crash and a rebuild.
func TestEvidence(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    i.attach("log.txt", "last words")
    i.attach("../etc/\x00raw.bin", b"\xff\x00")
    i.attach("log.txt", "last words")
    i.attach("report.pdf", struct(name = "x", type = "application/pdf", data = "%PDF"))
    i.attach("large.txt", "x" * 3000000)
    i.indicator("hxxps://Bad[.]Example.org/Path", "malicious", "urlhaus")
    i.indicator("192.0.2.66", "suspicious", ["dnsbl", "feed"])
    i.indicator("192.0.2.66", "malicious", "dave")
    sleep("1h")
    i.set(got = ["%s %s %s %s" % (x.kind, x.value, x.verdict, "+".join(x.sources)) for x in i.indicators])
`)
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.reopen()
	b.advance(time.Hour)
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{})
	if got := fmt.Sprint(b.fact(incident, "got")); got != "[ip 192.0.2.66 malicious dnsbl+feed+dave url https://bad.example.org/Path malicious urlhaus]" {
		t.Errorf("got %s", got)
	}
	files, err := b.state.Attachments(incident)
	must(t, err)
	var names []string
	for _, a := range files {
		names = append(names, fmt.Sprint(a.Name, " ", a.Type, " ", a.Size))
	}
	equal(t, "files", names, []string{"large.txt text/plain 3000000", "log.txt text/plain 10", "raw.bin application/octet-stream 2", "report.pdf application/pdf 4"})
	if _, content, err := b.state.Attachment(incident, files[0].SHA256); err != nil || !bytes.Equal(content, bytes.Repeat([]byte("x"), 3000000)) {
		t.Errorf("got %d bytes, %v", len(content), err)
	}
	if _, _, err := b.state.Attachment("i0-9", files[0].SHA256); engine.KindOf(err) != engine.NotFound {
		t.Errorf("got %v of another incident", err)
	}
	for _, q := range []string{"192.0.2.66", "bad.example.org", "192.0.2"} {
		if found, _, err := b.state.Incidents(engine.IncidentFilter{Text: q}, "", 10); err != nil || len(found) != 1 {
			t.Errorf("%s: got %d incidents, %v", q, len(found), err)
		}
	}
	contains(t, "story", b.story(incident), "attaches log.txt", "ip 192.0.2.66 is suspicious, says dnsbl, feed")
	for _, s := range b.steps(run) {
		if s.Builtin == "incident.attach" && len(s.Args) > 500 {
			t.Errorf("the record holds what is a blob: %d bytes", len(s.Args))
		}
	}
	b.rebuilds()
}

func TestWrongEvidence(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    for n, fn in enumerate([
        lambda: i.attach("", "x"), lambda: i.attach("x", {"name": "y"}), lambda: i.attach("x", "y" * 26300000),
        lambda: i.indicator("hello", "clean", "me"), lambda: i.indicator("192.0.2.1", "bad", "me"), lambda: i.indicator("192.0.2.1", "clean", [1]),
    ]):
        r = attempt(fn)
        i.set(**{"e%d" % n: r.error.message if r.error else "none"})
`)
	incident, _ := b.play()
	for n, want := range []string{
		"i.attach: name: got", "neither data nor sha256", "has 26300000 bytes, at most 25 MB",
		`i.indicator: value: got "hello"`, `verdict: got "bad", want malicious`, "source: got",
	} {
		contains(t, fmt.Sprint(n), fmt.Sprint(b.fact(incident, fmt.Sprint("e", n))), want)
	}
	if files, err := b.state.Attachments(incident); err != nil || len(files) != 0 {
		t.Errorf("got %+v, %v", files, err)
	}
}

func TestShadowRunsKeepNoEvidence(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    i.attach('x', 'y')\n    i.indicator('192.0.2.1', 'clean', 'me')\n")
	incident, run := b.startWith(record.EventMatched{Mode: "shadow"})
	b.status(run, engine.RunDone)
	files, err1 := b.state.Attachments(incident)
	indicators, err2 := b.state.Indicators(incident)
	if len(files)+len(indicators) != 0 || err1 != nil || err2 != nil {
		t.Errorf("got %+v and %+v", files, indicators)
	}
}

func TestRecognize(t *testing.T) {
	for given, want := range map[string]string{
		"192.0.2.1": "ip 192.0.2.1", "2001:DB8::1": "ip 2001:db8::1", "192.0.2.0/24": "ip 192.0.2.0/24", "::ffff:192.0.2.1": "ip 192.0.2.1",
		"Example.ORG.": "domain example.org", "bücher.example": "domain xn--bcher-kva.example", "example[.]org": "domain example.org",
		"hxxp://example[.]org/A": "url http://example.org/A", "https://EXAMPLE.org": "url https://example.org",
		"Ana@Example.org": "email ana@example.org", "44D88612FEA8A8F36DE82E1278ABB02F": "hash 44d88612fea8a8f36de82e1278abb02f",
		"hello": " ", "": " ", "1.2.3": " ", "a b.org": " ", "@example.org": " ", "http://": " ", "x@y@example.org": " ",
	} {
		kind, value := runner.Recognize(given)
		if got := kind + " " + value; got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}
