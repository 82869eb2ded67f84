package story

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"larkspur/engine"
)

// signed is a request as Standard Webhooks has it.
func signed(secret, id string, at time.Time, body string) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(m, "%s.%s.%s", id, stamp, body)
	return http.Header{
		"Webhook-Id": {id}, "Webhook-Timestamp": {stamp},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))},
	}
}

func bearer(secret string) http.Header { return http.Header{"Authorization": {"Bearer " + secret}} }

// hook sends a request to a hook and returns what came back.
func (b *box) hook(name string, h http.Header, body io.Reader, length int64) (status int, said failure, event string, err error) {
	req, err := http.NewRequestWithContext(b.ctx, "POST", b.url+"/hooks/"+name, body)
	if err != nil {
		return 0, said, "", err
	}
	req.Header, req.ContentLength = h, length
	resp, err := http.DefaultClient.Do(req) // net/http hangs up at once on who says Connection: close
	if err != nil {
		return 0, said, "", err
	}
	defer resp.Body.Close()
	answer := struct {
		Event string
		Error engine.Error
	}{}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return resp.StatusCode, failure{resp.StatusCode, answer.Error}, answer.Event, err
}

func TestWebhooksThatAreRefused(t *testing.T) {
	t.Parallel()
	b := serve(t)
	now := b.clock.Now()
	const body = `{"n": 1}`
	tests := map[string]struct {
		hook   string
		header http.Header
		body   string
		status int
		says   string
		hint   string
	}{
		"unsigned":        {"alarm", http.Header{}, body, 401, "does not show its secret", "webhook-signature"},
		"wrong signature": {"alarm", signed("another", "m1", now, body), body, 401, "does not show its secret", "webhook-signature"},
		"another body":    {"alarm", signed(hookToken, "m2", now, body), `{"n": 2}`, 401, "does not show its secret", "webhook-signature"},
		"old":             {"alarm", signed(hookToken, "m3", now.Add(-6*time.Minute), body), body, 401, "does not show its secret", "within 5 minutes"},
		"of the future":   {"alarm", signed(hookToken, "m4", now.Add(6*time.Minute), body), body, 401, "does not show its secret", "within 5 minutes"},
		"wrong token":     {"alarm", bearer("another"), body, 401, "does not show its secret", "Authorization: Bearer SECRET"},
		"unknown":         {"larm", bearer(hookToken), body, 404, `hook "larm": no rule listens to it`, "mind the spelling"},
		"not JSON":        {"alarm", bearer(hookToken), "n=1", 400, "body: not JSON", "one JSON value"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			status, said, _, err := b.hook(test.hook, test.header, bytes.NewBufferString(test.body), int64(len(test.body)))
			must(t, err)
			if status != test.status {
				t.Errorf("got %d, want %d", status, test.status)
			}
			wantText(t, "message", said.Error.Message, test.says)
			wantText(t, "hint", said.Error.Hint, test.hint)
		})
	}
	if i, err := b.client().story(b.ctx); i != nil || err != nil {
		t.Errorf("a refused call opened %v, %v", i, err)
	}
	var first string
	for range 2 { // sent twice, it is one event
		status, said, event, err := b.hook("alarm", signed(hookToken, "m5", now, body), bytes.NewBufferString(body), int64(len(body)))
		must(t, err)
		if status != http.StatusAccepted || first != "" && event != first {
			t.Errorf("got %d %+v %q, want the event %q", status, said, event, first)
		}
		first = event
	}
	i := b.until("incident", func(i *incident) bool { return i.Status == engine.IncidentClosed })
	if i.Title != "Alarm 1" || i.Events != 1 {
		t.Errorf("got %+v, want one event", i.Incident)
	}
}

// stalled is a body of blanks that stops before its end, until it is released.
type stalled struct {
	sent, stopAt int
	released     chan struct{}
}

func (s *stalled) Read(p []byte) (int, error) {
	if s.sent >= s.stopAt {
		<-s.released
		return 0, io.ErrUnexpectedEOF
	}
	s.sent += len(p)
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// A huge body is refused long before its end.
func TestWebhookOfHugeBody(t *testing.T) {
	t.Parallel()
	b := serve(t)
	const size, sent = 100 << 20, 2 << 20
	tests := map[string]struct {
		header http.Header
		length int64 // -1: not said
		status int
		says   string
	}{
		"length said":     {bearer(hookToken), size, http.StatusRequestEntityTooLarge, "the request's body is too large: at most 1024 KB are taken here"},
		"length not said": {bearer(hookToken), -1, http.StatusRequestEntityTooLarge, "body: more than the limit of 1048576 bytes"},
		"without secret":  {bearer("another"), -1, http.StatusUnauthorized, "does not show its secret"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			body := &stalled{stopAt: sent, released: make(chan struct{})}
			defer close(body.released)
			status, said, _, err := b.hook("alarm", test.header, body, test.length)
			must(t, err)
			if status != test.status {
				t.Errorf("got %d, want %d", status, test.status)
			}
			wantText(t, "message", said.Error.Message, test.says)
		})
	}
}
