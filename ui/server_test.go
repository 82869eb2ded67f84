package ui_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"larkspur/engine"
	"larkspur/ui"
	"larkspur/ui/api"
	"larkspur/ui/uitest"
)

const address = "https://soar.example.org/larkspur/"

func TestNewRefuses(t *testing.T) {
	w := uitest.New(t, address)
	whole := ui.Config{URL: address, Reader: w, Decider: w, Exporter: w, Rules: w, Jobs: w, Health: w, Rebuilds: w, Eraser: w, Scrubs: w, DNS: w, Hooks: http.NotFoundHandler(), People: w, Cache: w}
	for _, tt := range []struct {
		change func(*ui.Config)
		want   string
	}{
		{func(c *ui.Config) { c.Decider = nil }, "ui: Config.Decider is missing"},
		{func(c *ui.Config) { c.URL = "soar.example.org" }, `web.url: got "soar.example.org", want an address like https://soar.example.org/`},
		{func(c *ui.Config) { c.URL = "https://soar.example.org/?x" }, "want no user, query or fragment"},
		{func(c *ui.Config) { c.URL = "https://soar.example.org/runs/" }, `the path "/runs" begins like a page of Larkspur's own`},
		{func(c *ui.Config) { c.URL = "https://soar.example.org/a;b/" }, "is not plain"},
		{func(*ui.Config) {}, ""},
	} {
		c := whole
		tt.change(&c)
		_, err := ui.New(c)
		if got := fmt.Sprint(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("got %s, want %q", got, tt.want)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "dave")
	for _, path := range []string{"/larkspur/", "/larkspur/a/" + uitest.OpenLink, "/larkspur/nothing", "/larkspur/api/v1/incidents", "/healthz"} {
		h := v.Get(path).Header
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s: got %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestPagesCarryNoScriptOrInlineStyle(t *testing.T) {
	v := uitest.Sample(t, address).Visit(t, "dave")
	for _, path := range pagePaths() {
		body := v.Get("/larkspur" + path).Body
		for _, banned := range []string{"<script", " style=", "<style", " onclick", "javascript:"} {
			if strings.Contains(body, banned) {
				t.Errorf("%s contains %q", path, banned)
			}
		}
	}
}

// pagePaths are the addresses of all pages of the sample.
func pagePaths() []string {
	return []string{
		"/", "/incidents/" + uitest.OpenID, "/incidents/" + uitest.ClosedID, "/runs", "/runs/" + uitest.RunID, "/runs/" + uitest.BadRunID,
		"/rules", "/questions", "/questions/" + uitest.OpenQ, "/questions/" + uitest.FormQ, "/changes", "/changes?status=all", "/audit", "/status", "/overview", "/rules/netflix-while-away",
		"/a/" + uitest.OpenLink, "/a/" + uitest.FormLink,
	}
}

func TestAssetsMayBeKept(t *testing.T) {
	v := uitest.Sample(t, address).Visit(t, "")
	for _, link := range v.Get("/larkspur/a/" + uitest.OpenLink).Links() {
		if strings.Contains(link, "/assets/") {
			if got := v.Get(link).Want(200).Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
				t.Errorf("%s: got %q, want a year", link, got)
			}
		}
	}
	v.Get("/larkspur/assets/style.css").Want(404)
	v.Get("/larkspur/assets/..%2ftemplates%2frun.html").Want(404)
}

func TestBasePathKeptOrStripped(t *testing.T) {
	for _, address := range []string{"https://soar.example.org/larkspur/", "https://soar.example.org/larkspur", "https://soar.example.org", "http://192.0.2.1:8420/x/y/"} {
		u, _ := url.Parse(address)
		base := strings.TrimSuffix(u.Path, "/")
		w := uitest.Sample(t, address)
		v := w.Visit(t, "dave")
		for _, path := range []string{base + "/", "/", base} {
			if path == "" {
				continue
			}
			for _, link := range v.Get(path).Want(200, "Netflix").Links() {
				if !strings.HasPrefix(link, base+"/") && !strings.HasPrefix(link, "?") && !strings.HasPrefix(link, "#") {
					t.Errorf("%s: the link %q does not begin with the base path", address, link)
				}
			}
		}
	}
}

func TestForgedHostIsHarmless(t *testing.T) {
	w := uitest.Sample(t, address)
	for _, path := range append(pagePaths(), "/api/v1/openapi.json", "/nothing") {
		r := httptest.NewRequest("GET", "/larkspur"+path, nil)
		r.Host = "evil.example.org"
		r.Header.Set("X-Forwarded-Host", "evil.example.org")
		r.Header.Set("Authorization", "Bearer "+uitest.Token)
		rec := httptest.NewRecorder()
		w.Server.Handler(false).ServeHTTP(rec, r)
		if strings.Contains(rec.Body.String()+fmt.Sprint(rec.Header()), "evil") {
			t.Errorf("%s repeats the forged host", path)
		}
	}
}

func TestLargeBodiesAreRefusedEarly(t *testing.T) {
	w := uitest.Sample(t, address)
	for _, path := range []string{"/a/" + uitest.OpenLink, "/incidents/i0-42/close", "/api/v1/incidents/i0-42/close", "/hooks/x", "/", "/api/v1/incidents"} {
		method := http.MethodPost
		if path == "/" || path == "/api/v1/incidents" {
			method = http.MethodGet
		}
		r := httptest.NewRequest(method, "/larkspur"+path, unread{t})
		r.ContentLength = 100 << 20
		rec := httptest.NewRecorder()
		w.Server.Handler(false).ServeHTTP(rec, r)
		if rec.Code != http.StatusRequestEntityTooLarge || !strings.Contains(rec.Body.String(), "body is too large: at most") {
			t.Errorf("%s: got %d %.300s, want 413 and a sentence", path, rec.Code, rec.Body)
		}
	}
}

// unread is a body that nobody may read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestUndeclaredLargeBodiesAreCut(t *testing.T) {
	w := uitest.Sample(t, address)
	for path, kind := range map[string]string{"/a/" + uitest.OpenLink: "application/x-www-form-urlencoded", "/api/v1/incidents/i0-42/note": "application/json"} {
		r := httptest.NewRequest("POST", "/larkspur"+path, io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), bytes.NewReader(make([]byte, 1<<20))))
		r.ContentLength = -1
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Authorization", "Bearer "+uitest.Token)
		rec := httptest.NewRecorder()
		w.Server.Handler(false).ServeHTTP(rec, r)
		if rec.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: got %d, want 413", path, rec.Code)
		}
	}
}

func TestHooksSeeTheirOwnPath(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "")
	v.Header["Authorization"] = "Bearer the hook's own secret"
	v.Do("POST", "/larkspur/hooks/wazuh", "application/json", "{}").Want(202, `"path":"/hooks/wazuh"`)
	v.Do("POST", "/hooks/wazuh", "application/json", "{}").Want(202, `"path":"/hooks/wazuh"`)
}

func TestControlSocketIsAdministrator(t *testing.T) {
	w := uitest.Sample(t, address)
	do := func(method, path, body string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		w.Server.Handler(true).ServeHTTP(rec, httptest.NewRequest(method, path, strings.NewReader(body)))
		return rec
	}
	if rec := do("POST", "/api/v1/questions/q0-7/answer", `{"choice": "Block"}`); rec.Code != 200 {
		t.Errorf("got %d %s, want 200", rec.Code, rec.Body)
	}
	if got, want := w.Logged(), `answer q0-7 "Block" by administrator how command command reason "" fields `; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if rec := do("GET", "/", ""); rec.Code != 404 {
		t.Errorf("a page on the control socket: got %d, want 404", rec.Code)
	}
	if rec := do("GET", "/api/v1/nothing", ""); rec.Code != 404 || !strings.Contains(rec.Body.String(), `"kind":"not_found"`) {
		t.Errorf("got %d %s, want 404", rec.Code, rec.Body)
	}
}

func TestRunServesUntilItsContextEnds(t *testing.T) {
	w := uitest.Sample(t, address)
	for name, run := range map[string]func(context.Context, net.Listener) error{"people": w.Server.Run, "control": w.Server.RunControl} {
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s.sock"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- run(ctx, l) }()
		client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", l.Addr().String())
		}}}
		answer, err := client.Get("http://larkspur/readyz")
		if err != nil || answer.StatusCode != 200 {
			t.Errorf("%s: got %v, %v, want 200", name, answer, err)
		} else {
			answer.Body.Close()
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%s: got %v, want nil", name, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := w.Server.Run(t.Context(), l); err == nil {
		t.Error("a closed listener is no error")
	}
}

// broken is an Exporter that ends half way.
type broken struct{ *uitest.World }

func (broken) Export(_ context.Context, w io.Writer, _ engine.AuditFilter, _ string) error {
	if _, err := io.WriteString(w, strings.Repeat("{}\n", 1000)); err != nil {
		return err
	}
	return engine.Errorf(engine.Unavailable, "the disk is gone")
}

func TestHalfAnExportIsCut(t *testing.T) {
	w := uitest.Sample(t, address)
	s, err := ui.New(ui.Config{URL: address, Reader: w, Decider: w, Exporter: broken{w}, Rules: w, Jobs: w, Health: w, Rebuilds: w, Eraser: w, Scrubs: w, DNS: w, Hooks: http.NotFoundHandler(), People: w, Cache: w})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler(true))
	defer server.Close()
	answer, err := http.Get(server.URL + "/api/v1/audit?format=jsonl")
	if err != nil {
		return // cut before the headers went out
	}
	defer answer.Body.Close()
	if _, err := io.ReadAll(answer.Body); err == nil {
		t.Error("half an export reads like a whole one")
	}
}

func TestOpenAPIDescribesEveryRoute(t *testing.T) {
	w := uitest.Sample(t, address)
	var document struct {
		OpenAPI    string
		Servers    []struct{ URL string }
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Schemas map[string]json.RawMessage }
	}
	text := w.Visit(t, "").Get("/api/v1/openapi.json").Want(200).Body
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	if document.OpenAPI != "3.1.0" || document.Servers[0].URL != "https://soar.example.org/larkspur" {
		t.Errorf("got %s at %v", document.OpenAPI, document.Servers)
	}
	described := map[string]bool{}
	for path, methods := range document.Paths {
		for method := range methods {
			described[strings.ToUpper(method)+" "+path] = true
		}
	}
	for _, r := range w.Server.InterfaceRoutes() {
		if !described[r] {
			t.Errorf("the document lacks %s", r)
		}
		delete(described, r)
	}
	for r := range described {
		t.Errorf("the document has %s, which is no route", r)
	}
	for _, ref := range strings.Split(text, `"$ref":"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(ref, `"`)
		if document.Components.Schemas[name] == nil {
			t.Errorf("the schema %q is not defined", name)
		}
	}
	seen := map[string]bool{}
	for _, op := range api.Operations() {
		if key := op.Method + op.Path; seen[key] {
			t.Errorf("%s is described twice", key)
		} else {
			seen[key] = true
		}
	}
}

// weight is what an address weighs compressed.
func weight(t *testing.T, v *uitest.Visitor, path string) int {
	t.Helper()
	v.Header["Accept-Encoding"] = "gzip"
	defer delete(v.Header, "Accept-Encoding")
	p := v.Get(path)
	if p.Status != 200 {
		t.Fatalf("%s: got %d, want 200", path, p.Status)
	}
	return len(p.Body)
}

func TestPagesAreLight(t *testing.T) {
	w := uitest.Sample(t, address)
	for i := range 60 {
		w.Has.Incidents = append(w.Has.Incidents, engine.Incident{
			ID: engine.FormatID('i', 1, uint64(i)), Status: "open", Severity: "low", Type: "streaming", Opened: uitest.Start(),
			Title: fmt.Sprintf("Netflix from 192.0.2.%d, which is a longer title (%d)", i, i*i*7919),
		})
	}
	long := w.Has.Journals[uitest.RunID]
	for i := range 5000 {
		s := long[i%2]
		s.Number = i + 3
		s.Result = engine.MustEncode(strings.Repeat(fmt.Sprint(i*7919, " "), 300))
		w.Has.Journals[uitest.RunID] = append(w.Has.Journals[uitest.RunID], s)
	}
	v := w.Visit(t, "dave")
	assets := 0
	for _, link := range v.Get("/larkspur/a/" + uitest.OpenLink).Links() {
		if strings.Contains(link, "/assets/") {
			assets += weight(t, v, link)
		}
	}
	for _, path := range pagePaths() {
		limit := 100 << 10
		if strings.HasPrefix(path, "/a/") {
			limit = 30 << 10
		}
		got := weight(t, v, "/larkspur"+path) + assets
		if got > limit {
			t.Errorf("%s weighs %d bytes with its assets, want at most %d", path, got, limit)
		}
		t.Logf("%s: %d bytes, %d of them assets", path, got, assets)
	}
}

func TestCompressedPagesCanBeRead(t *testing.T) {
	v := uitest.Sample(t, address).Visit(t, "dave")
	v.Header["Accept-Encoding"] = "gzip"
	p := v.Get("/larkspur/")
	if p.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("got the encoding %q, want gzip", p.Header.Get("Content-Encoding"))
	}
	r, err := gzip.NewReader(bufio.NewReader(strings.NewReader(p.Body)))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || !bytes.Contains(text, []byte("Netflix")) {
		t.Errorf("got %v, want the page", err)
	}
}
