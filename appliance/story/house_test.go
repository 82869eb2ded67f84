package story

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/appliance/demo/controller"
	"larkspur/appliance/demo/mailbox"
	"larkspur/appliance/demo/workspace"
	"larkspur/engine"
	"larkspur/engine/capture/capturetest"
)

// patience bounds every wait; what is waited for comes in a blink, or never.
const patience = 60 * time.Second

const (
	television = "02:00:00:00:00:07"
	password   = "simulated"
	apiToken   = "a-token-of-the-tests-alone"
)

// house is a workspace of the demo's story, and the controller and mail server
// that it names.
type house struct {
	dir        string
	url        string // of Larkspur's page
	controller *controller.Controller
	mailbox    *mailbox.Mailbox
}

// newHouse builds a house whose devices run until the test ends. listen is the
// address of Larkspur's page; edit changes files of the workspace by pairs of
// what is there and what takes its place.
func newHouse(t *testing.T, listen string, clock engine.Clock, edit ...string) *house {
	t.Helper()
	h := &house{dir: t.TempDir(), url: "http://" + listen}
	var err error
	h.controller, err = controller.Open(controller.Options{
		OS: true, User: "larkspur", Password: password, Clock: clock,
		Clients: []controller.Client{
			{MAC: workspace.OwnerPhone, Name: "Dave's phone", IP: netip.MustParseAddr("192.0.2.10"), SSID: "home"},
			{MAC: television, Name: "Living-room TV", IP: netip.MustParseAddr("192.0.2.7"), Online: true, SSID: "home"},
		},
	})
	must(t, err)
	h.mailbox, err = mailbox.Open(mailbox.Options{User: "larkspur", Password: password, Clock: clock})
	must(t, err)
	background(t, h.controller.Run)
	background(t, h.mailbox.Run)
	host, port := h.mailbox.Address()
	h.write(t, workspace.Values{
		Listen: listen, URL: h.url,
		UnifiURL: h.controller.URL(), UnifiFingerprint: h.controller.Fingerprint(), UnifiUser: "larkspur", UnifiPassword: password,
		MailHost: host, MailPort: port, MailFingerprint: h.mailbox.Fingerprint(), MailUser: "larkspur", MailPassword: password,
	}, edit...)
	return h
}

// write writes the workspace with a token for the API.
func (h *house) write(t *testing.T, v workspace.Values, edit ...string) {
	t.Helper()
	must(t, workspace.Write(h.dir, v))
	h.put(t, "secrets/ci_token", apiToken+"\n")
	h.edit(t, "box.yaml", "web:\n", "web:\n  tokens: {ci: {secret: secret:ci_token, role: admin}}\n")
	for i := 0; i < len(edit); i += 2 {
		h.edit(t, "scripts/netflix.star", edit[i], edit[i+1])
	}
}

// put writes a file of the workspace.
func (h *house) put(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600))
}

// edit replaces a text in a file of the workspace, which must be there.
func (h *house) edit(t *testing.T, name, from, to string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, name))
	must(t, err)
	if !bytes.Contains(text, []byte(from)) {
		t.Fatalf("%s does not contain %q", name, from)
	}
	h.put(t, name, strings.Replace(string(text), from, to, 1))
}

// lookups is DNS of a house: of its three lookups, one is the television's of
// Netflix.
func lookups(t *testing.T) []capturetest.Lookup {
	t.Helper()
	start := time.Date(2026, 11, 14, 19, 30, 0, 0, time.UTC)
	server := capturetest.At(0x35, "192.0.2.53:53")
	list := []capturetest.Lookup{}
	for i, name := range []string{"www.example.org", "www.netflix.com", "notnetflix.example"} {
		list = append(list, capturetest.Lookup{
			Time: start.Add(time.Duration(i) * time.Millisecond), ID: uint16(i), Name: name,
			Client: capturetest.At(7, fmt.Sprintf("192.0.2.7:%d", 40000+i)), Server: server,
		})
	}
	return list
}

// tape writes the lookups as a capture file.
func tape(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := capturetest.NewWriter(&out)
	for _, l := range lookups(t) {
		w.Exchange(l)
	}
	must(t, w.Err())
	return out.Bytes()
}

// browser keeps no connection: who serves a page may be killed and followed by
// another.
var browser = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// client asks Larkspur as a program with a token does.
type client struct{ base, token string }

func (h *house) client() client { return client{h.url, apiToken} }

// failure is how the interface says no.
type failure struct {
	Status int
	Error  engine.Error
}

// call performs a call and decodes its answer into out, which may be nil. err is
// set when there was no answer; no when it was an error.
func (c client) call(ctx context.Context, method, path string, body, out any) (no *failure, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	if body == nil {
		text = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := browser.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 400 {
		no = &failure{Status: resp.StatusCode}
		return no, json.Unmarshal(answer, no)
	}
	if out == nil {
		return nil, nil
	}
	return nil, json.Unmarshal(answer, out)
}

// get reads from the interface; what goes wrong is an error.
func (c client) get(ctx context.Context, path string, out any) error {
	no, err := c.call(ctx, "GET", path, nil, out)
	if err == nil && no != nil {
		err = fmt.Errorf("%s: %d: %s", path, no.Status, no.Error.Message)
	}
	return err
}

// list is an answer of the interface.
type list[T any] struct{ Items []T }

// incident is one with all that belongs to it, as the interface tells it.
type incident struct {
	engine.Incident
	Timeline  []engine.TimelineEntry
	Runs      []engine.Run
	Questions []engine.Question
	Changes   []engine.Change
	Deadlines []engine.Deadline
}

// story reads the one incident that there is, beside those of the clock and of mails;
// nil for none yet.
func (c client) story(ctx context.Context) (*incident, error) {
	var all list[engine.Incident]
	err := c.get(ctx, "/api/v1/incidents", &all)
	all.Items = slices.DeleteFunc(all.Items, func(i engine.Incident) bool { return i.Type == "clock" || i.Type == "undelivered-mail" })
	if err != nil || len(all.Items) == 0 {
		return nil, err
	}
	if len(all.Items) > 1 {
		return nil, fmt.Errorf("got %d incidents, want one", len(all.Items))
	}
	i := new(incident)
	return i, c.get(ctx, "/api/v1/incidents/"+all.Items[0].ID, i)
}

// told is the incident's story as lines of who and what.
func (i *incident) told() string {
	lines := make([]string, len(i.Timeline))
	for n, e := range i.Timeline {
		lines[n] = e.By + ": " + e.Text
	}
	return strings.Join(lines, "\n")
}

// over tells whether nothing of the incident is under way.
func (i *incident) over() bool {
	if i == nil || i.Status != engine.IncidentClosed || len(i.Changes) == 0 {
		return false
	}
	for _, r := range i.Runs {
		if r.Status == engine.RunRunning || r.Status == engine.RunWaiting {
			return false
		}
	}
	for _, c := range i.Changes {
		if c.Status == engine.ChangeInForce {
			return false
		}
	}
	return true
}

var (
	linkInMail = regexp.MustCompile(`https?://[^\s"<>]+/a/[A-Za-z0-9_-]+`)
	formToken  = regexp.MustCompile(`name="form_token" value="([^"]+)"`)
)

// visit opens a page as a browser without JavaScript does.
func visit(ctx context.Context, method, address string, form url.Values) (status int, page string, err error) {
	return visitBy(ctx, browser, method, address, form)
}

// visitBy is visit by somebody's own browser.
func visitBy(ctx context.Context, browser *http.Client, method, address string, form url.Values) (status int, page string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := browser.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// paired returns a browser that is paired with somebody, by a link that an
// administrator made.
func (c client) paired(ctx context.Context, person string) (*http.Client, error) {
	var link struct{ URL string }
	no, err := c.call(ctx, "POST", "/api/v1/login", map[string]string{"person": person}, &link)
	if err == nil && no != nil {
		err = &no.Error
	}
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	theirs := &http.Client{Jar: jar, Transport: browser.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	_, page, err := visitBy(ctx, theirs, "GET", link.URL, nil)
	if err != nil {
		return nil, err
	}
	token := formToken.FindStringSubmatch(page)
	if token == nil {
		return nil, fmt.Errorf("there is no form on the page: %s", page)
	}
	status, page, err := visitBy(ctx, theirs, "POST", link.URL, url.Values{"form_token": {token[1]}})
	if err == nil && status != http.StatusSeeOther {
		err = fmt.Errorf("signing in: %d: %s", status, page)
	}
	return theirs, err
}

// answer opens the link of a mail in dave's browser and presses a choice: 200, or
// 409 when the question had an answer already.
func (c client) answer(ctx context.Context, mail, choice string) (status int, page string, err error) {
	link := linkInMail.FindString(mail)
	if link == "" {
		return 0, "", fmt.Errorf("there is no link in the mail: %s", mail)
	}
	theirs, err := c.paired(ctx, "dave")
	if err != nil {
		return 0, "", err
	}
	status, page, err = visitBy(ctx, theirs, "GET", link, nil)
	if err != nil || status != http.StatusOK {
		return status, page, err
	}
	token := formToken.FindStringSubmatch(page)
	if token == nil {
		return status, page, fmt.Errorf("there is no form on the page: %s", page)
	}
	return visitBy(ctx, theirs, "POST", link, url.Values{"form_token": {token[1]}, "choice": {choice}})
}

// bell wakes who waits for something that it may announce.
type bell struct {
	mu   sync.Mutex // guards rung
	rung chan struct{}
}

func newBell() *bell { return &bell{rung: make(chan struct{})} }

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.rung)
	b.rung = make(chan struct{})
}

func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rung
}

// until looks again at each ring until done is true, ctx ends or done fails.
func (b *bell) until(ctx context.Context, done func() (bool, error)) error {
	for {
		rung := b.next()
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-rung:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// eventually looks every few milliseconds until yes, for what gives no signal:
// another process, the watching of files.
func eventually(ctx context.Context, yes func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// limited bounds a test's waiting.
func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// background runs something until the test ends.
func background(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// needs skips a test on a machine that lacks something; in CI it fails.
func needs(t *testing.T, what, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("needs %s: %s", what, why)
	}
	t.Skipf("needs %s: %s", what, why)
}

// freeAddress is an address of the loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}
