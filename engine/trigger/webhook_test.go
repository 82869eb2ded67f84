package trigger

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
)

var testNow = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

type fixedClock struct{ now time.Time }

func (c fixedClock) Now() time.Time                                   { return c.now }
func (c fixedClock) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// sink keeps what it is given; err is answered instead.
type sink struct {
	events []engine.Event
	err    error
}

func (s *sink) Deliver(_ context.Context, e engine.Event) (string, error) {
	if s.err != nil {
		return "", s.err
	}
	s.events = append(s.events, e)
	return "e0-" + strconv.Itoa(len(s.events)), nil
}

// hooks maps names to secrets; an empty secret is one that is missing.
type hooks map[string]string

func (h hooks) Secret(name string) (string, bool, error) {
	secret, ok := h[name]
	if h == nil {
		return "", false, errors.New("no rules yet")
	}
	if ok && secret == "" {
		return "", true, errors.New(`secret "empty" is not set`)
	}
	return secret, ok, nil
}

// The key of the secret below, as text: what the Standard Webhooks libraries
// use in their own tests.
const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func signedHeader(secret, id string, at time.Time, body string) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	h := http.Header{}
	h.Set(headerID, id)
	h.Set(headerTimestamp, stamp)
	h.Set(headerSignature, "v1,"+base64.StdEncoding.EncodeToString(sign(secret, id, stamp, []byte(body))))
	return h
}

func bearer(secret string) http.Header {
	return http.Header{"Authorization": {"Bearer " + secret}}
}

func with(h http.Header, key, value string) http.Header {
	h.Set(key, value)
	return h
}

func post(t *testing.T, s *sink, path string, header http.Header, body string) *httptest.ResponseRecorder {
	t.Helper()
	h := &Webhook{Sink: s, Hooks: hooks{"alerts": testSecret, "plain": "s3cret-of-plain", "empty": ""}, Clock: fixedClock{testNow}}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header = header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestSignatureVector(t *testing.T) {
	// The example of the specification's reference libraries.
	got := base64.StdEncoding.EncodeToString(sign(testSecret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)))
	if want := "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWebhookAccepts(t *testing.T) {
	body := `{"severity": "high", "count": 3, "nested": {"a": [1, 2.5, null]}, "$": "secret", "v": "unifi"}`
	fields := map[string]engine.Value{
		"severity": "high", "count": int64(3), "$": "secret", "v": "unifi",
		"nested": map[string]engine.Value{"a": []engine.Value{int64(1), 2.5, nil}},
	}
	signed := signedHeader(testSecret, "msg_1", testNow, body)
	rotated := signedHeader(testSecret, "msg_1", testNow, body)
	rotated.Set(headerSignature, "v1,"+base64.StdEncoding.EncodeToString([]byte("of the older secret"))+" v1a,xyz "+rotated.Get(headerSignature))
	for _, c := range []struct {
		name, path string
		header     http.Header
		body       string
		want       engine.Event
	}{
		{"signed", "/hooks/alerts", signed, body, engine.Event{Source: "alerts", Fields: fields, Key: "msg_1"}},
		{"several signatures", "/hooks/alerts", rotated, body, engine.Event{Source: "alerts", Fields: fields, Key: "msg_1"}},
		{"raw secret", "/hooks/plain", signedHeader("s3cret-of-plain", "m", testNow, body), body, engine.Event{Source: "plain", Fields: fields, Key: "m"}},
		{"under a sub-path", "/soar/hooks/plain", bearer("s3cret-of-plain"), body, engine.Event{Source: "plain", Fields: fields}},
		{"five minutes old", "/hooks/alerts", signedHeader(testSecret, "m", testNow.Add(-5*time.Minute), "{}"), "{}", engine.Event{Source: "alerts", Fields: map[string]engine.Value{}, Key: "m"}},
		{"five minutes ahead", "/hooks/alerts", signedHeader(testSecret, "m", testNow.Add(5*time.Minute), "{}"), "{}", engine.Event{Source: "alerts", Fields: map[string]engine.Value{}, Key: "m"}},
		{"bearer with key", "/hooks/plain", with(bearer("s3cret-of-plain"), "Idempotency-Key", "k1"), "[1]", engine.Event{Source: "plain", Fields: map[string]engine.Value{"body": []engine.Value{int64(1)}}, Key: "k1"}},
		{"bearer with id", "/hooks/plain", with(bearer("s3cret-of-plain"), headerID, "k2"), `"x"`, engine.Event{Source: "plain", Fields: map[string]engine.Value{"body": "x"}, Key: "k2"}},
		{"signed id beats the unsigned key", "/hooks/alerts", with(signedHeader(testSecret, "m", testNow, "null"), "Idempotency-Key", "other"), "null", engine.Event{Source: "alerts", Fields: map[string]engine.Value{"body": nil}, Key: "m"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &sink{}
			w := post(t, s, c.path, c.header, c.body)
			if w.Code != http.StatusAccepted || w.Body.String() != `{"event":"e0-1"}`+"\n" {
				t.Fatalf("got %d %s, want 202", w.Code, w.Body)
			}
			c.want.Kind, c.want.Time = "webhook", testNow
			if !reflect.DeepEqual(s.events[0], c.want) {
				t.Errorf("got  %#v\nwant %#v", s.events[0], c.want)
			}
		})
	}
}

func TestWebhookRefuses(t *testing.T) {
	body := `{"a": 1}`
	signed := func() http.Header { return signedHeader(testSecret, "m", testNow, body) }
	broad := strings.Repeat("x", engine.MaxEventBytes)
	for _, c := range []struct {
		name, path string
		header     http.Header
		body       string
		status     int
		says       string
	}{
		{"unknown hook", "/hooks/nobody", signed(), body, 404, `hook \"nobody\": no rule listens to it`},
		{"no name", "/hooks/", signed(), body, 404, "no rule"},
		{"deeper path", "/hooks/alerts/x", signed(), body, 404, "no rule"},
		{"nothing shown", "/hooks/alerts", http.Header{}, body, 401, "does not show its secret"},
		{"wrong bearer", "/hooks/alerts", bearer("nearly"), body, 401, "does not show its secret"},
		{"empty bearer", "/hooks/alerts", bearer(""), body, 401, "does not show its secret"},
		{"basic", "/hooks/plain", http.Header{"Authorization": {"Basic s3cret-of-plain"}}, body, 401, "does not show its secret"},
		{"our secret is missing", "/hooks/empty", bearer(""), body, 401, "does not show its secret"},
		{"other body", "/hooks/alerts", signed(), `{"a": 2}`, 401, "does not show its secret"},
		{"other hook's signature", "/hooks/plain", signed(), body, 401, "does not show its secret"},
		{"other id", "/hooks/alerts", with(signed(), headerID, "n"), body, 401, "does not show its secret"},
		{"no id", "/hooks/alerts", with(signed(), headerID, ""), body, 401, "does not show its secret"},
		{"other version", "/hooks/alerts", with(signed(), headerSignature, strings.Replace(signed().Get(headerSignature), "v1", "v2", 1)), body, 401, "does not show its secret"},
		{"signature cut short", "/hooks/alerts", with(signed(), headerSignature, signed().Get(headerSignature)[:20]), body, 401, "does not show its secret"},
		{"wrong signature, right bearer", "/hooks/alerts", with(with(signed(), headerSignature, "v1,AAAA"), "Authorization", "Bearer "+testSecret), body, 401, "does not show its secret"},
		{"too many signatures", "/hooks/alerts", with(signed(), headerSignature, strings.Repeat("v1,AAAA ", maxSignatures)+signed().Get(headerSignature)), body, 401, "does not show its secret"},
		{"old", "/hooks/alerts", signedHeader(testSecret, "m", testNow.Add(-5*time.Minute-time.Second), body), body, 401, "does not show its secret"},
		{"from the future", "/hooks/alerts", signedHeader(testSecret, "m", testNow.Add(5*time.Minute+time.Second), body), body, 401, "does not show its secret"},
		{"time that overflows", "/hooks/alerts", with(signed(), headerTimestamp, "-9223372036854775808"), body, 401, "does not show its secret"},
		{"not JSON", "/hooks/plain", bearer("s3cret-of-plain"), "a=1", 400, "not JSON"},
		{"empty", "/hooks/plain", bearer("s3cret-of-plain"), "", 400, "not JSON"},
		{"text after it", "/hooks/plain", bearer("s3cret-of-plain"), "{}]", 400, "not JSON"},
		{"deep", "/hooks/plain", bearer("s3cret-of-plain"), strings.Repeat("[", 300) + strings.Repeat("]", 300), 400, "nested deeper"},
		{"long key", "/hooks/plain", with(bearer("s3cret-of-plain"), "Idempotency-Key", strings.Repeat("k", 257)), body, 400, "want at most 256"},
		{"broad", "/hooks/plain", bearer("s3cret-of-plain"), `{"a": "` + broad + `"}`, 413, "an event holds at most 16384"},
		{"large", "/hooks/plain", bearer("s3cret-of-plain"), strings.Repeat(" ", maxBodyBytes+1), 413, "limit of 1048576 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &sink{}
			w := post(t, s, c.path, c.header, c.body)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || len(s.events) != 0 {
				t.Errorf("got %d %s (%d events), want %d %s", w.Code, w.Body, len(s.events), c.status, c.says)
			}
			for _, secret := range []string{testSecret, "s3cret-of-plain"} {
				if strings.Contains(w.Body.String(), secret) {
					t.Errorf("the answer shows the secret: %s", w.Body)
				}
			}
			var shape struct{ Error engine.Error }
			if err := json.Unmarshal(w.Body.Bytes(), &shape); err != nil || shape.Error.Kind == "" || shape.Error.Message == "" {
				t.Errorf("got %s, want the shape of an API error", w.Body)
			}
		})
	}
}

// Every refusal for want of the secret is the same, so that nobody learns what
// was right.
func TestWebhookDenialsAreEqual(t *testing.T) {
	body := "{}"
	bad := []http.Header{
		{}, bearer("x"),
		signedHeader("wrong", "m", testNow, body),
		signedHeader(testSecret, "m", testNow.Add(-time.Hour), body),
		with(signedHeader(testSecret, "m", testNow, body), headerID, ""),
	}
	first := post(t, &sink{}, "/hooks/alerts", bad[0], body).Body.String()
	for i, h := range bad[1:] {
		if got := post(t, &sink{}, "/hooks/alerts", h, body).Body.String(); got != first {
			t.Errorf("%d: got %s, want %s", i+1, got, first)
		}
	}
}

// A box that has just started must not have senders give up.
func TestWebhookBeforeTheRules(t *testing.T) {
	h := &Webhook{Sink: &sink{}, Hooks: hooks(nil), Clock: fixedClock{testNow}}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/hooks/plain", strings.NewReader("{}")))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q, want 503 with one", w.Code, w.Header().Get("Retry-After"))
	}
}

func TestWebhookOnlyPost(t *testing.T) {
	h := &Webhook{Sink: &sink{}, Hooks: hooks{"plain": "x"}, Clock: fixedClock{testNow}}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/hooks/plain", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
		t.Errorf("got %d, Allow %q, want 405, POST", w.Code, w.Header().Get("Allow"))
	}
}

func TestWebhookStoreFails(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		retry  string
	}{
		{engine.Errorf(engine.Unavailable, "disk %q is full", "/dev/x"), 503, retryAfter},
		{engine.Errorf(engine.Timeout, "no sync in time"), 503, retryAfter},
		{errors.New("/var/lib/x: broken"), 500, ""},
	} {
		w := post(t, &sink{err: c.err}, "/hooks/plain", bearer("s3cret-of-plain"), "{}")
		if w.Code != c.status || w.Header().Get("Retry-After") != c.retry {
			t.Errorf("%v: got %d, Retry-After %q, want %d, %q", c.err, w.Code, w.Header().Get("Retry-After"), c.status, c.retry)
		}
		if strings.Contains(w.Body.String(), "/dev/x") || strings.Contains(w.Body.String(), "/var/lib") {
			t.Errorf("the answer shows our insides: %s", w.Body)
		}
	}
}

// counter counts what is read of a body.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// endless is a body without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestWebhookHugeBodyIsNotRead(t *testing.T) {
	for _, c := range []struct {
		name   string
		length int64
		most   int64
		header http.Header
	}{
		{"announced", 100 << 20, 0, bearer("s3cret-of-plain")},
		{"chunked", -1, 2 * maxBodyBytes, bearer("s3cret-of-plain")},
		{"not ours at all", -1, 0, bearer("wrong")},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := &counter{Reader: io.LimitReader(endless{}, 100<<20)}
			r := httptest.NewRequest(http.MethodPost, "/hooks/plain", body)
			r.ContentLength, r.Header = c.length, c.header
			h := &Webhook{Sink: &sink{}, Hooks: hooks{"plain": "s3cret-of-plain"}, Clock: fixedClock{testNow}}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if body.n > c.most || w.Code/100 != 4 {
				t.Errorf("got %d with %d bytes read, want a refusal and at most %d", w.Code, body.n, c.most)
			}
		})
	}
}

func TestWebhookOverTheWire(t *testing.T) {
	h := &Webhook{Sink: &sink{}, Hooks: hooks{"plain": "s3cret-of-plain"}, Clock: fixedClock{testNow}}
	server := httptest.NewServer(h)
	defer server.Close()
	r, err := http.NewRequest(http.MethodPost, server.URL+"/hooks/plain", io.LimitReader(endless{}, 100<<20))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength, r.Header = 100<<20, bearer("s3cret-of-plain")
	r.Header.Set("Expect", "100-continue")
	client := server.Client()
	client.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute // as curl: ask before sending
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %s, want 413", answer.Status)
	}
}

func FuzzWebhook(f *testing.F) {
	good := signedHeader(testSecret, "m", testNow, "{}")
	f.Add("m", good.Get(headerTimestamp), good.Get(headerSignature), "Bearer x", []byte("{}"))
	f.Add("", "-1", "v1,", "bearer ", []byte(`{"a":[1]}`))
	f.Add("m", "99999999999999999999", "v1,AAAA v1a,x ,", "Bearer s3cret", []byte("[[[["))
	f.Fuzz(func(t *testing.T, id, stamp, signature, authorization string, body []byte) {
		s := &sink{}
		header := http.Header{headerID: {id}, headerTimestamp: {stamp}, headerSignature: {signature}, "Authorization": {authorization}}
		w := post(t, s, "/hooks/alerts", header, string(body))
		right := authorization == "Bearer "+testSecret ||
			strings.Contains(signature, base64.StdEncoding.EncodeToString(sign(testSecret, id, stamp, body)))
		if w.Code == http.StatusAccepted && !right {
			t.Errorf("accepted without the secret: %q %q %q %q", id, stamp, signature, authorization)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("answer %q is not JSON", w.Body)
		}
	})
}
