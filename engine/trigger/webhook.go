package trigger

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"larkspur/engine"
)

// Bounds of what a webhook takes.
const (
	maxBodyBytes = 1 << 20
	maxKeyBytes  = 256
	hookPath     = "/hooks/"
	retryAfter   = "5" // seconds, with 503
)

// Hooks knows the webhooks that rules listen to. Safe for concurrent use.
type Hooks interface {
	// Secret returns the secret of a hook. known is false for a name that no rule
	// listens to; with an error, it is not known yet whether one does. An error
	// of a known hook says that its secret is not to be had.
	Secret(name string) (secret string, known bool, err error)
}

// Webhook answers POST /hooks/NAME, LANGUAGE section 7: it checks the request's
// signature or bearer token and answers 202 {"event": ID} once the event is
// durable. What it answers a request that shows no right secret is always the
// same, whatever was wrong with it.
type Webhook struct {
	Sink  Sink
	Hooks Hooks
	Clock engine.Clock
}

// ServeHTTP answers one request.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	e, err := h.event(w, r)
	if err == nil {
		e.ID, err = h.deliver(r, e)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusAccepted, map[string]string{"event": e.ID})
}

// event makes an event of a request that may send one.
func (h *Webhook) event(w http.ResponseWriter, r *http.Request) (engine.Event, error) {
	var e engine.Event
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return e, refusal{http.StatusMethodNotAllowed, engine.Errorf(engine.Invalid, "method %.20q: a webhook takes POST", r.Method)}
	}
	_, name, _ := strings.Cut(r.URL.Path, hookPath)
	secret, err := h.secret(name)
	if err != nil {
		return e, err
	}
	shown := readCredentials(r.Header)
	now := h.Clock.Now()
	if !shown.plausible(secret, now) {
		return e, denied(name)
	}
	body, err := readBody(w, r)
	if err != nil {
		return e, err
	}
	if shown.signed() && !shown.authentic(secret, body) {
		return e, denied(name)
	}
	key, err := idempotencyKey(r.Header, shown)
	if err != nil {
		return e, err
	}
	fields, err := readFields(body)
	return engine.Event{Kind: "webhook", Source: name, Time: now, Fields: fields, Key: key}, err
}

// secret returns the secret of a hook that exists and has one.
func (h *Webhook) secret(name string) (string, error) {
	secret, known, err := h.Hooks.Secret(name)
	switch {
	case !known && err != nil:
		return "", refusal{http.StatusServiceUnavailable, engine.Errorf(engine.Unavailable, "hook %.80q: the rules are not loaded yet", name).
			WithHint("send it again in a moment")}
	case !known:
		return "", refusal{http.StatusNotFound, engine.Errorf(engine.NotFound, "hook %.80q: no rule listens to it", name).
			WithHint("declare a rule with when = on.webhook(NAME), or mind the spelling")}
	case err != nil || secret == "":
		slog.Warn("webhook refused: its secret is missing", "trigger", name, "error", err)
		return "", denied(name)
	}
	return secret, nil
}

// deliver hands the event over and hides internal causes from the sender.
func (h *Webhook) deliver(r *http.Request, e engine.Event) (string, error) {
	id, err := h.Sink.Deliver(r.Context(), e)
	if err == nil {
		return id, nil
	}
	if !engine.NoRoom(err) { // the store has told of that, once
		slog.Error("webhook not taken", "trigger", e.Source, "error", err)
	}
	switch engine.KindOf(err) {
	case engine.Unavailable, engine.Timeout:
		return "", refusal{http.StatusServiceUnavailable, engine.Errorf(engine.Unavailable, "hook %q: the event could not be stored", e.Source).
			WithHint("send it again, with the same webhook-id or Idempotency-Key")}
	}
	return "", refusal{http.StatusInternalServerError, engine.Errorf(engine.Internal, "hook %q: the event could not be stored", e.Source).
		WithHint("the log of this box says why")}
}

// readBody reads a body of at most maxBodyBytes. One that says that it is longer
// is refused unread; the connection is closed after either.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLarge := refusal{http.StatusRequestEntityTooLarge, engine.Errorf(engine.Invalid, "body: more than the limit of %d bytes", maxBodyBytes).
		WithHint("send a reference to large data instead of the data")}
	if r.ContentLength > maxBodyBytes {
		w.Header().Set("Connection", "close")
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, tooLarge
	case err != nil:
		return nil, refusal{http.StatusBadRequest, engine.Errorf(engine.Invalid, "body: ended early")}
	}
	return body, nil
}

// idempotencyKey is the sender's own name for the event. Of a signed request
// only the webhook-id counts, because it is signed too: a recorded request must
// not become a second event under another Idempotency-Key.
func idempotencyKey(h http.Header, shown credentials) (string, error) {
	key := shown.id
	if other := h.Get("Idempotency-Key"); other != "" && !shown.signed() {
		key = other
	}
	if len(key) > maxKeyBytes {
		return "", refusal{http.StatusBadRequest, engine.Errorf(engine.Invalid, "idempotency key: %d bytes, want at most %d", len(key), maxKeyBytes)}
	}
	return key, nil
}

// readFields reads a JSON body: an object's keys are the fields, anything else
// is the field "body".
func readFields(body []byte) (map[string]engine.Value, error) {
	if !json.Valid(body) {
		return nil, refusal{http.StatusBadRequest, engine.Errorf(engine.Invalid, "body: not JSON").
			WithHint("send one JSON value in UTF-8")}
	}
	v, err := engine.DecodeJSON(body)
	if err != nil {
		return nil, refusal{http.StatusBadRequest, engine.AsError(err)}
	}
	fields, ok := v.(map[string]engine.Value)
	if !ok {
		fields = map[string]engine.Value{"body": v}
	}
	data, err := engine.Encode(fields)
	if err != nil {
		return nil, refusal{http.StatusBadRequest, engine.AsError(err)}
	}
	if len(data) > engine.MaxEventBytes {
		return nil, refusal{http.StatusRequestEntityTooLarge, engine.Errorf(engine.Invalid,
			"body: %d bytes of fields, an event holds at most %d", len(data), engine.MaxEventBytes).
			WithHint("send the fields that rules read, and a link to the rest")}
	}
	return fields, nil
}

// denied is the one answer to a request without the right secret.
func denied(name string) error {
	return refusal{http.StatusUnauthorized, engine.Errorf(engine.Denied, "hook %q: the request does not show its secret", name).
		WithHint("sign it as in Standard Webhooks (webhook-id, webhook-timestamp within 5 minutes, webhook-signature), or send Authorization: Bearer SECRET")}
}

// refusal is an error with the HTTP status that it is answered with.
type refusal struct {
	status int
	cause  *engine.Error
}

func (r refusal) Error() string { return r.cause.Error() }

// refuse answers with an error in the shape of the API.
func refuse(w http.ResponseWriter, err error) {
	var r refusal
	if !errors.As(err, &r) {
		r = refusal{http.StatusInternalServerError, engine.Errorf(engine.Internal, "internal error")}
	}
	switch r.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	}
	answer(w, r.status, map[string]any{"error": r.cause})
}

// answer writes a JSON answer. A sender that is gone is nobody's error.
func answer(w http.ResponseWriter, status int, body any) {
	text, err := engine.MarshalJSON(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":{"kind":"internal","message":"internal error"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}
