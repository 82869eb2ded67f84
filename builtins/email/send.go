package email

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"larkspur/engine"
)

// Bounds of one mail.
const (
	maxMailBytes    = 64 << 10 // of what is recorded; attachments by hash do not count
	maxSubjectRunes = 250
)

// send validates a mail and starts its delivery run in the very frame that
// records the step, so that it cannot be lost and the playbook waits for no
// mail server. Handles of links stay handles.
func (m *module) send(_ context.Context, c *engine.Call) (engine.Result, error) {
	s, err := m.server(c)
	if err != nil {
		return engine.Result{}, err
	}
	message, err := m.mail(c, s)
	if err != nil {
		return engine.Result{}, engine.WrapError(engine.Invalid, err, c.Name)
	}
	start := engine.Start{
		Handler: engine.Handler{File: "@larkspur//outbox.star", Name: "mail"},
		Args:    map[string]engine.Value{"mail": message},
		Purpose: "outbox",
	}
	return engine.Result{
		Value: engine.Struct{Type: sentType, Fields: map[string]engine.Value{
			"id": message["message_id"], "to": message["to"]}},
		Starts: []engine.Start{start},
	}, nil
}

// mail makes the plain data that smtp.deliver takes, and checks that it can be
// written.
func (m *module) mail(c *engine.Call, s server) (map[string]engine.Value, error) {
	if err := noSecrets(c.Args, 0); err != nil {
		return nil, err
	}
	to, err := m.recipients(c.Args["to"])
	if err != nil {
		return nil, err
	}
	out := map[string]engine.Value{
		"connection": c.Connection,
		"to":         texts(to),
		"subject":    oneLine(c.Text("subject")),
		"text":       c.Text("body"),
		"message_id": messageID(c.Key, s),
	}
	if c.Incident != "" {
		out["references"] = c.Incident
	}
	for _, name := range []string{"html", "sections", "details", "buttons", "attachments", "reply_to"} {
		if v := c.Args[name]; v != nil {
			out[name] = v
		}
	}
	if _, err := readLetter(out, s); err != nil {
		return nil, err
	}
	encoded, err := engine.Encode(out)
	if err != nil {
		return nil, err
	}
	if len(encoded) > maxMailBytes {
		return nil, engine.Errorf(engine.Invalid, "a mail of %d bytes, at most %d", len(encoded), maxMailBytes).
			WithHint("attach what is long, or link to the incident")
	}
	return out, nil
}

// noSecrets refuses secrets in a mail; links of buttons are let through.
func noSecrets(v engine.Value, depth int) error {
	if depth > engine.MaxDepth {
		return engine.Errorf(engine.Invalid, "nested deeper than %d", engine.MaxDepth)
	}
	var inner []engine.Value
	switch v := v.(type) {
	case engine.Secret:
		if !engine.IsLink(v.Name) {
			return engine.Errorf(engine.Invalid, "the secret %q may not go into a mail", v.Name)
		}
	case []engine.Value:
		inner = v
	case engine.Tuple:
		inner = v
	case engine.Set:
		inner = v
	case engine.Dict:
		for _, p := range v {
			inner = append(inner, p.Key, p.Value)
		}
	case map[string]engine.Value:
		for _, e := range v {
			inner = append(inner, e)
		}
	case engine.Struct:
		for _, e := range v.Fields {
			inner = append(inner, e)
		}
	}
	for _, e := range inner {
		if err := noSecrets(e, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// messageID is the same whenever the same step or run makes it.
func messageID(key string, s server) string {
	sum := sha256.Sum256([]byte("message-id\x00" + key))
	return hex.EncodeToString(sum[:16]) + "@" + domainOf(s.from.Address)
}

// oneLine makes text fit for a header: control characters and line breaks become
// spaces.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "�"), func(r rune) bool { return isControl(r) || r == ' ' }), " ")
	if runes := []rune(s); len(runes) > maxSubjectRunes {
		return string(runes[:maxSubjectRunes-1]) + "…"
	}
	return s
}

func texts(list []string) []engine.Value {
	out := make([]engine.Value, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
