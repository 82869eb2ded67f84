package email_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"reflect"
	"strings"
	"testing"
	"time"

	"larkspur/appliance/demo/mailbox"
	"larkspur/builtins/email"
	"larkspur/builtins/reach"
	"larkspur/engine"
)

type secrets map[string]string

func (s secrets) Get(name string) (string, error) {
	if v, ok := s[name]; ok {
		return v, nil
	}
	return "", engine.Errorf(engine.NotFound, "no secret %q", name)
}

// fixed is a clock that stands still.
type fixed struct{}

func (fixed) Now() time.Time                             { return time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC) }
func (fixed) Sleep(context.Context, time.Duration) error { return nil }

func start(t *testing.T, o mailbox.Options) *mailbox.Mailbox {
	t.Helper()
	m, err := mailbox.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("mailbox: %v", err)
		}
	})
	return m
}

// people resolves two names.
func people(name string) []string {
	return map[string][]string{"dave": {"dave@example.org"}, "family": {"dave@example.org", "ana@example.org"}}[name]
}

func open(t *testing.T, values map[string]any) map[string]reach.Builtin {
	t.Helper()
	policy, err := reach.NewPolicy([]string{"127.0.0.1"}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	env := &reach.Env{Secrets: secrets{"smtp": "correct horse"}, Dialer: &reach.Dialer{Policy: policy}, Clock: fixed{}, People: people,
		Blob: func(sha string) ([]byte, error) { return []byte("blob " + sha), nil }}
	m, err := email.Open(env, map[string]map[string]any{"default": values})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]reach.Builtin{}
	for _, b := range m.Builtins {
		out[b.Name] = b
	}
	return out
}

func settingsFor(m *mailbox.Mailbox) map[string]any {
	host, port := m.Address()
	return map[string]any{"host": host, "port": port, "from": "Larkspur <soar@example.org>", "fingerprint": m.Fingerprint()}
}

func letter(change ...any) map[string]engine.Value {
	m := map[string]engine.Value{"to": []engine.Value{"ana@example.org"}, "subject": "Hello", "text": "Hello Ana"}
	for i := 0; i < len(change); i += 2 {
		m[change[i].(string)] = change[i+1]
	}
	return m
}

func deliver(b map[string]reach.Builtin, mail map[string]engine.Value) (engine.Result, error) {
	return b["smtp.deliver"].Do(context.Background(), &engine.Call{Name: "smtp.deliver", Connection: "default", Run: "r0-5", Key: "r0-5/1//1",
		Args: map[string]engine.Value{"mail": mail}})
}

func send(b map[string]reach.Builtin, args map[string]engine.Value) (engine.Result, error) {
	return b["email.send"].Do(context.Background(), &engine.Call{Name: "email.send", Connection: "default", Run: "r0-4", Key: "r0-4/1//3", Incident: "i0-42", Args: args})
}

func TestDelivers(t *testing.T) {
	secured := map[string]func(*testing.T) (*mailbox.Mailbox, map[string]any){
		"STARTTLS with password": func(t *testing.T) (*mailbox.Mailbox, map[string]any) {
			m := start(t, mailbox.Options{User: "soar", Password: "correct horse"})
			values := settingsFor(m)
			values["user"], values["password"] = "soar", "secret:smtp"
			return m, values
		},
		"implicit TLS with password": func(t *testing.T) (*mailbox.Mailbox, map[string]any) {
			m := start(t, mailbox.Options{User: "soar", Password: "correct horse", Implicit: true})
			values := settingsFor(m)
			values["user"], values["password"], values["tls"] = "soar", "secret:smtp", "implicit"
			return m, values
		},
		"in the clear": func(t *testing.T) (*mailbox.Mailbox, map[string]any) {
			m := start(t, mailbox.Options{})
			values := settingsFor(m)
			delete(values, "fingerprint")
			values["tls"] = "none"
			return m, values
		},
	}
	for name, begin := range secured {
		t.Run(name, func(t *testing.T) {
			box, values := begin(t)
			r, err := deliver(open(t, values), letter("message_id", "abc@example.org", "references", "i0-42"))
			if err != nil {
				t.Fatal(err)
			}
			want := engine.Struct{Type: "smtp.delivered", Fields: map[string]engine.Value{
				"id": "abc@example.org", "accepted": []engine.Value{"ana@example.org"}, "refused": []engine.Value{}}}
			if !reflect.DeepEqual(r.Value, want) {
				t.Errorf("got %v, want %v", r.Value, want)
			}
			mails := box.Mails()
			if len(mails) != 1 || mails[0].Subject != "Hello" || mails[0].From != "soar@example.org" || !strings.Contains(mails[0].Text, "Hello Ana") {
				t.Fatalf("got %+v", mails)
			}
			m, err := mail.ReadMessage(bytes.NewReader(mails[0].Raw))
			if err != nil {
				t.Fatal(err)
			}
			for key, want := range map[string]string{
				"Message-Id": "<abc@example.org>", "References": "<incident.i0-42@example.org>", "In-Reply-To": "<incident.i0-42@example.org>",
				"Auto-Submitted": "auto-generated", "Date": "Sun, 22 Nov 2026 08:00:00 +0000", "From": `"Larkspur" <soar@example.org>`, "To": "<ana@example.org>",
			} {
				if got := m.Header.Get(key); got != want {
					t.Errorf("%s: got %q, want %q", key, got, want)
				}
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	cases := []struct {
		fault mailbox.Fault
		kind  engine.Kind
		cause string
		text  string
		maybe bool
		kept  int
	}{
		{mailbox.Greylist, engine.Unavailable, "status", "smtp default: recipient ana@example.org: 451 4.7.1 Greylisted, please try again later", false, 0},
		{mailbox.UnknownUser, engine.Denied, "status", "smtp default: recipient ana@example.org: 550 5.1.1 No such user here", false, 0},
		{mailbox.RefuseMessage, engine.Denied, "status", "smtp default: the message: 554 5.6.0 Message refused by policy", false, 0},
		{mailbox.LostAfterData, engine.Unavailable, "reset", "smtp default: the message: the connection was lost", true, 1},
		{mailbox.HangAfterData, engine.Timeout, "", "smtp default: the message: no answer in time", true, 0},
		{mailbox.Down, engine.Unavailable, "reset", "smtp default: greeting: the connection was lost", false, 0},
		{mailbox.TemporaryLogins, engine.Unavailable, "status", "smtp default: signing in as soar: 454 4.7.0 Temporary authentication failure", false, 0},
	}
	for _, test := range cases {
		t.Run(string(test.fault), func(t *testing.T) {
			box := start(t, mailbox.Options{User: "soar", Password: "correct horse"})
			values := settingsFor(box)
			values["user"], values["password"], values["timeout"] = "soar", "secret:smtp", "10s"
			if test.fault == mailbox.HangAfterData {
				values["timeout"] = "500ms"
			}
			b := open(t, values)
			box.Break(test.fault)
			_, err := deliver(b, letter())
			e := engine.AsError(err)
			if e == nil || e.Kind != test.kind || e.Cause != test.cause || e.Message != test.text || e.Maybe != test.maybe {
				t.Errorf("got %+v, want %s %q %s", e, test.kind, test.cause, test.text)
			}
			if n := len(box.Mails()); n != test.kept {
				t.Errorf("got %d mails, want %d", n, test.kept)
			}
			box.Break(mailbox.Healthy)
			if test.fault == mailbox.Greylist {
				if _, err := deliver(b, letter()); err != nil {
					t.Errorf("tried again: %v", err)
				}
			}
		})
	}
}

func TestOneRefusedRecipientDoesNotKeepTheOthers(t *testing.T) {
	box := start(t, mailbox.Options{})
	box.RefuseRecipient("gone@example.org")
	r, err := deliver(open(t, settingsFor(box)), letter("to", []engine.Value{"gone@example.org", "ana@example.org"}))
	if err != nil {
		t.Fatal(err)
	}
	f := r.Value.(engine.Struct).Fields
	refused := f["refused"].([]engine.Value)
	if !reflect.DeepEqual(f["accepted"], []engine.Value{"ana@example.org"}) || len(refused) != 1 {
		t.Fatalf("got %v", f)
	}
	if one := refused[0].(engine.Struct).Fields; one["address"] != "gone@example.org" || !strings.Contains(one["message"].(string), "550") {
		t.Errorf("got %v", one)
	}
	if m := box.Mails(); len(m) != 1 || !reflect.DeepEqual(m[0].To, []string{"ana@example.org"}) {
		t.Errorf("got %+v", m)
	}
}

func TestSignInRefused(t *testing.T) {
	box := start(t, mailbox.Options{User: "soar", Password: "another"})
	values := settingsFor(box)
	values["user"], values["password"] = "soar", "secret:smtp"
	_, err := deliver(open(t, values), letter())
	e := engine.AsError(err)
	if e == nil || e.Kind != engine.Denied || !strings.Contains(e.Message, "signing in as soar: 535") || !strings.Contains(e.Hint, "connections.smtp.default.password") {
		t.Errorf("got %+v", e)
	}
}

func TestCertificates(t *testing.T) {
	box := start(t, mailbox.Options{})
	values := settingsFor(box)
	delete(values, "fingerprint")
	_, err := deliver(open(t, values), letter())
	if e := engine.AsError(err); e == nil || e.Cause != "tls" || !strings.Contains(e.Hint, "connections.smtp.default.fingerprint") || !strings.Contains(e.Hint, box.Fingerprint()) {
		t.Errorf("without a fingerprint: got %+v", e)
	}
	values["fingerprint"] = "sha256:" + strings.Repeat("00", 32)
	_, err = deliver(open(t, values), letter())
	if e := engine.AsError(err); e == nil || e.Cause != "tls" || !strings.Contains(e.Message, box.Fingerprint()) {
		t.Errorf("with another fingerprint: got %+v", e)
	}
	if len(box.Mails()) != 0 {
		t.Error("a mail was delivered")
	}
}

// scripted is a server that says what it is told, line by line, and notes what
// it hears.
func scripted(t *testing.T, replies ...string) (values map[string]any, heard chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard = make(chan string, len(replies)) // closed when the conversation is over
	go func() {
		defer close(heard)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for _, reply := range replies {
			io.WriteString(conn, reply+"\r\n")
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			heard <- strings.TrimSpace(line)
		}
	}()
	t.Cleanup(func() { l.Close() })
	port := l.Addr().(*net.TCPAddr).Port
	return map[string]any{"host": "127.0.0.1", "port": port, "from": "soar@example.org"}, heard
}

// A server without STARTTLS gets neither a password nor a mail.
func TestWithoutSTARTTLSNothingIsSent(t *testing.T) {
	values, heard := scripted(t, "220 mail.example.org", "250 mail.example.org", "250 fine", "250 fine")
	_, err := deliver(open(t, values), letter())
	e := engine.AsError(err)
	if e == nil || e.Cause != "tls" || !strings.Contains(e.Message, "offers no STARTTLS") || !strings.Contains(e.Hint, "connections.smtp.default.tls: implicit") {
		t.Errorf("got %+v", e)
	}
	for line := range heard {
		if !strings.HasPrefix(line, "EHLO") && line != "QUIT" {
			t.Errorf("the server heard %q", line)
		}
	}
}

func TestGreetingRefused(t *testing.T) {
	for reply, kind := range map[string]engine.Kind{"554 no service for you": engine.Denied, "421 come back later": engine.Unavailable} {
		values, _ := scripted(t, reply)
		_, err := deliver(open(t, values), letter())
		if e := engine.AsError(err); e == nil || e.Kind != kind || e.Message != "smtp default: greeting: "+reply {
			t.Errorf("%s: got %+v", reply, e)
		}
	}
}

func TestEndlessReplyIsCut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		chunk := bytes.Repeat([]byte("a"), 1<<16)
		for {
			if _, err := conn.Write(chunk); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	_, err = deliver(open(t, map[string]any{"host": "127.0.0.1", "port": l.Addr().(*net.TCPAddr).Port, "from": "soar@example.org"}), letter())
	if e := engine.AsError(err); e == nil || !strings.Contains(e.Message, "said more than") {
		t.Errorf("got %+v", e)
	}
}

// parts returns the text and HTML parts of a raw mail.
func parts(t *testing.T, raw []byte) (text, html string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("got %s, %v, want multipart/alternative", kind, err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return text, html
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
			html = string(b)
		} else {
			text = strings.ReplaceAll(string(b), "\r\n", "\n")
		}
	}
}

// Text and HTML say the same; what comes from outside is escaped; nothing is
// loaded from elsewhere.
func TestBothPartsSayTheSame(t *testing.T) {
	box := start(t, mailbox.Options{})
	_, err := deliver(open(t, settingsFor(box)), letter(
		"subject", "Netflix <now>",
		"text", "First & second\nthird\n\nNext <script>alert(1)</script>",
		"details", []engine.Value{"client 192.0.2.7", int64(3), true},
		"sections", []engine.Value{"Plain words", map[string]engine.Value{"title": "Queue", "text": "By severity", "columns": []engine.Value{"severity", "open"},
			"rows": []engine.Value{engine.Tuple{"high", int64(2)}, []engine.Value{"low", int64(0)}}}},
		"buttons", []engine.Value{map[string]engine.Value{"label": "Answer", "url": "https://soar.example.org/a/token", "note": "within 2 hours"}},
	))
	if err != nil {
		t.Fatal(err)
	}
	text, html := parts(t, box.Mails()[0].Raw)
	wantText := `First & second
third

Next <script>alert(1)</script>

- client 192.0.2.7
- 3
- yes

Plain words

Queue
-----
By severity

severity | open
high | 2
low | 0

Answer (within 2 hours):
https://soar.example.org/a/token

-- 
Sent automatically by Larkspur.
`
	if text != wantText {
		t.Errorf("got text\n%s\nwant\n%s", text, wantText)
	}
	for _, want := range []string{"First &amp; second<br>third", "Next &lt;script&gt;", "<li style=\"margin:0 0 4px\">client 192.0.2.7</li>", "Plain words",
		">Queue</h2>", ">high</td>", `<a href="https://soar.example.org/a/token" style="display:block;`, ">Answer</a>", "within 2 hours"} {
		if !strings.Contains(html, want) {
			t.Errorf("HTML lacks %q:\n%s", want, html)
		}
	}
	for _, never := range []string{"<script", "<img", "<link", "@import", "src="} {
		if strings.Contains(html, never) {
			t.Errorf("HTML holds %q", never)
		}
	}
}

func TestHTMLGivesText(t *testing.T) {
	box := start(t, mailbox.Options{})
	_, err := deliver(open(t, settingsFor(box)), letter("text", "", "html", `<style>p{}</style><h1>Report</h1><p>One <b>bold</b> word, <a href="https://example.org/">a link</a>.</p><ul><li>a<li>b</ul>`))
	if err != nil {
		t.Fatal(err)
	}
	text, html := parts(t, box.Mails()[0].Raw)
	if !strings.HasPrefix(text, "Report\n\nOne bold word, a link (https://example.org/) .\n\na\nb\n") {
		t.Errorf("got text %q", text)
	}
	if !strings.Contains(html, "<h1>Report</h1>") {
		t.Errorf("got HTML %s", html)
	}
}

func TestSendStartsTheOutbox(t *testing.T) {
	b := open(t, map[string]any{"host": "192.0.2.25", "from": "soar@example.org"})
	link := engine.LinkSecret("q0-7", "dave", 1)
	args := map[string]engine.Value{
		"to": []engine.Value{"Ana <ana@example.org>", engine.PersonRef{Name: "dave"}, "family"}, "subject": "Two\r\nBcc: x@example.org", "body": "Text",
		"buttons": []engine.Value{engine.Struct{Fields: map[string]engine.Value{"label": "Answer", "url": link}}},
		"html":    nil,
	}
	r, err := send(b, args)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Starts) != 1 || r.Starts[0].Handler != (engine.Handler{File: "@larkspur//outbox.star", Name: "mail"}) || r.Starts[0].Purpose != "outbox" {
		t.Fatalf("got %+v", r.Starts)
	}
	m := r.Starts[0].Args["mail"].(map[string]engine.Value)
	if !reflect.DeepEqual(m["to"], []engine.Value{"ana@example.org", "dave@example.org"}) || m["subject"] != "Two Bcc: x@example.org" ||
		m["references"] != "i0-42" || m["connection"] != "default" {
		t.Errorf("got %v", m)
	}
	if got := m["buttons"].([]engine.Value)[0].(engine.Struct).Fields["url"]; got != link {
		t.Errorf("got link %v, want the handle", got)
	}
	again, err := send(b, args)
	if err != nil || again.Value.(engine.Struct).Fields["id"] != m["message_id"] {
		t.Errorf("the same step has another Message-ID: %v, %v", again.Value, err)
	}
	if _, err := engine.Encode(r.Starts[0].Args); err != nil {
		t.Error(err)
	}
}

func TestSendRefusesMistakes(t *testing.T) {
	b := open(t, map[string]any{"host": "192.0.2.25", "from": "soar@example.org"})
	button := func(label, url engine.Value) []engine.Value {
		return []engine.Value{map[string]engine.Value{"label": label, "url": url}}
	}
	cases := []struct {
		key   string
		value engine.Value
		text  string
	}{
		{"to", "nobody", `email.send: to: got "nobody", which is no address and nobody in people or teams`},
		{"to", "a@b@c", `email.send: to: got "a@b@c", want an address such as ana@example.org`},
		{"to", "ana@example.org\r\nBcc: x@example.org", `want an address without control characters`},
		{"to", []engine.Value{}, "email.send: to: got 0 addresses, want 1 to 100"},
		{"to", int64(3), "email.send: to: want an address, a person, a team, or a list of them"},
		{"subject", "  ", "email.send: subject: is empty"},
		{"reply_to", "x", `email.send: reply_to: got "x"`},
		{"body", engine.Secret{Name: "smtp"}, `email.send: the secret "smtp" may not go into a mail`},
		{"buttons", button("", "https://example.org"), "email.send: buttons[0].label: is empty"},
		{"buttons", button("Go", "javascript:alert(1)"), "email.send: buttons[0].url: want an http or https address"},
		{"buttons", button("Go", engine.Secret{Name: "smtp"}), `email.send: the secret "smtp" may not go into a mail`},
		{"buttons", []engine.Value{"Go"}, "email.send: buttons[0]: want a dict or struct"},
		{"sections", "text", "email.send: sections: want a list"},
		{"sections", []engine.Value{map[string]engine.Value{}}, "email.send: sections[0].text: the section is empty, want title, text, details or rows"},
		{"attachments", []engine.Value{map[string]engine.Value{"name": "a.txt"}}, "email.send: attachments[0].data: neither data nor sha256 is there"},
		{"html", strings.Repeat("x", 70<<10), "at most 65536"},
	}
	for _, test := range cases {
		args := map[string]engine.Value{"to": "ana@example.org", "subject": "Hello", "body": "Text"}
		args[test.key] = test.value
		if test.key == "html" {
			delete(args, "body")
		}
		_, err := send(b, args)
		e := engine.AsError(err)
		if e == nil || e.Kind != engine.Invalid || !strings.Contains(e.Message, test.text) {
			t.Errorf("%s = %.60v: got %v, want %s", test.key, test.value, err, test.text)
		}
	}
}

func TestAttachments(t *testing.T) {
	box := start(t, mailbox.Options{})
	_, err := deliver(open(t, settingsFor(box)), letter("attachments", []engine.Value{
		map[string]engine.Value{"name": "../log\r\n.txt", "type": "text/plain", "data": "line"},
		engine.Struct{Fields: map[string]engine.Value{"name": "report.pdf", "type": "bad\r\ntype", "sha256": "00ff"}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	raw := string(box.Mails()[0].Raw)
	for _, want := range []string{`filename="log .txt"`, `filename="report.pdf"`, "application/octet-stream", "YmxvYiAwMGZm"} {
		if !strings.Contains(raw, want) {
			t.Errorf("the mail lacks %q:\n%s", want, raw)
		}
	}
}

func TestConfigurationMistakes(t *testing.T) {
	cases := []struct {
		key   string
		value any
		text  string
	}{
		{"host", nil, "connections.smtp.default.host: missing"},
		{"host", "smtp://192.0.2.25", `connections.smtp.default.host: got "smtp://192.0.2.25", want a host name or an address alone`},
		{"from", "soar", `connections.smtp.default.from: got "soar", want an address such as soar@example.org`},
		{"port", 70000, "connections.smtp.default.port: got 70000, want a whole number from 1 to 65535"},
		{"tls", "ssl", `connections.smtp.default.tls: got "ssl", want starttls, implicit or none`},
		{"pasword", "secret:x", "connections.smtp.default.pasword: unknown key"},
		{"user", "soar", "connections.smtp.default.user: user and password belong together"},
	}
	policy, _ := reach.NewPolicy(nil, nil, nil, nil)
	env := &reach.Env{Dialer: &reach.Dialer{Policy: policy}, Clock: fixed{}}
	for _, test := range cases {
		values := map[string]any{"host": "192.0.2.25", "from": "soar@example.org"}
		values[test.key] = test.value
		_, err := email.Open(env, map[string]map[string]any{"default": values})
		if err == nil || err.Error() != test.text {
			t.Errorf("%s: got %v, want %s", test.key, err, test.text)
		}
	}
	_, err := email.Open(env, map[string]map[string]any{"default": {"host": "192.0.2.25", "from": "soar@example.org", "tls": "none", "user": "soar", "password": "secret:smtp"}})
	if err == nil || err.Error() != "connections.smtp.default.tls: none would send the password in the clear" {
		t.Errorf("got %v", err)
	}
}
