package email

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// maxReplyBytes bounds all that a server may say in one conversation.
const maxReplyBytes = 1 << 20

// deliver is one conversation with the mail server. A recipient that is refused
// for good does not keep the others from their mail; one that is refused for now
// postpones it for all, so that nobody gets it twice.
func (m *module) deliver(ctx context.Context, c *engine.Call) (engine.Result, error) {
	s, err := m.server(c)
	if err != nil {
		return engine.Result{}, err
	}
	fields, ok := fieldsOf(c.Args["mail"])
	if !ok {
		return engine.Result{}, engine.Errorf(engine.Invalid, "%s: mail: want a dict", c.Name)
	}
	l, err := readLetter(fields, s)
	if err != nil {
		return engine.Result{}, engine.WrapError(engine.Invalid, err, c.Name)
	}
	if l.id == "" { // the run is the same in every try
		l.id = messageID(c.Run+"\x00"+l.subject, s)
	}
	content, err := m.write(l)
	if err != nil {
		return engine.Result{}, engine.WrapError(engine.Invalid, err, c.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	t := &talk{server: s, name: c.Connection, secrets: m.env.Secrets}
	if err := t.open(ctx, m.env.Dialer); err != nil {
		return engine.Result{}, err
	}
	defer t.close()
	return t.send(l, content)
}

// write makes the message as it goes over the wire.
func (m *module) write(l letter) ([]byte, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(l.from)
	msg.ToMailAddress(l.to...)
	if l.replyTo != nil {
		if err := msg.ReplyTo(l.replyTo.String()); err != nil {
			return nil, err
		}
	}
	msg.Subject(l.subject)
	msg.SetDateWithValue(m.env.Clock.Now())
	msg.SetMessageIDWithValue(l.id)
	if l.references != "" {
		msg.SetGenHeader(gomail.HeaderReferences, "<"+l.references+">")
		msg.SetGenHeader(gomail.HeaderInReplyTo, "<"+l.references+">")
	}
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5
	msg.SetGenHeader(gomail.HeaderXAutoResponseSuppress, "All")
	rich, err := l.rich()
	if err != nil {
		return nil, err
	}
	msg.SetBodyString(gomail.TypeTextPlain, l.plain())
	msg.AddAlternativeString(gomail.TypeTextHTML, rich)
	if err := m.attach(msg, l.attachments); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = msg.WriteTo(&b)
	return b.Bytes(), err
}

func (m *module) attach(msg *gomail.Msg, list []attachment) error {
	total := 0
	for _, a := range list {
		data := a.data
		if data == nil {
			if m.env.Blob == nil {
				return engine.Errorf(engine.Invalid, "attachment %q: its content is not to be had here", a.name)
			}
			var err error
			if data, err = m.env.Blob(a.sha256); err != nil {
				return engine.WrapError(engine.NotFound, err, "attachment "+strconv.Quote(a.name))
			}
		}
		if total += len(data); total > maxAttachmentBytes {
			return engine.Errorf(engine.Invalid, "attachments of more than %d MB", maxAttachmentBytes>>20)
		}
		if err := msg.AttachReader(a.name, bytes.NewReader(data), gomail.WithFileContentType(gomail.ContentType(a.kind))); err != nil {
			return err
		}
	}
	return nil
}

// talk is one conversation.
type talk struct {
	server
	name    string
	secrets reach.Secrets
	conn    net.Conn
	client  *smtp.Client
	stop    func() bool
}

// boundedConn ends a conversation in which the server says too much.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, engine.Errorf(engine.Unavailable, "the server said more than %d bytes", maxReplyBytes)
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// open connects, encrypts and signs in.
func (t *talk) open(ctx context.Context, d *reach.Dialer) error {
	address := net.JoinHostPort(t.host, strconv.Itoa(t.port))
	raw, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return t.fault(err, "connecting to "+address)
	}
	if deadline, ok := ctx.Deadline(); ok {
		raw.SetDeadline(deadline)
	}
	t.stop = context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) { // a deadline ends the reads by itself, and says that it was one
			raw.Close()
		}
	})
	t.conn = &boundedConn{raw, maxReplyBytes}
	if err := t.greet(ctx, d.TLS(t.host, t.trust)); err != nil {
		t.close()
		return err
	}
	return nil
}

func (t *talk) greet(ctx context.Context, config *tls.Config) error {
	if t.tls == tlsImplicit {
		secure := tls.Client(t.conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return t.fault(err, "encrypting")
		}
		t.conn = secure
	}
	var err error
	if t.client, err = smtp.NewClient(t.conn, t.host); err != nil {
		return t.fault(err, "greeting")
	}
	if err := t.client.Hello(t.helo); err != nil {
		return t.fault(err, "greeting")
	}
	if t.tls == tlsStart {
		if ok, _ := t.client.Extension("STARTTLS"); !ok {
			return engine.Errorf(engine.Unavailable, "%s: the server offers no STARTTLS", t.doing("encrypting")).WithCause("tls").
				WithHint("%s.tls: implicit (usually on port 465), or none to go unencrypted", t.key)
		}
		if err := t.client.StartTLS(config); err != nil {
			return t.fault(err, "encrypting")
		}
	}
	if t.user == "" {
		return nil
	}
	return t.signIn()
}

func (t *talk) signIn() error {
	password, err := t.secrets.Get(t.password)
	if err != nil {
		return engine.WrapError(engine.Invalid, err, t.passwordKey)
	}
	_, mechanisms := t.client.Extension("AUTH")
	words := strings.Fields(strings.ToUpper(mechanisms))
	auth := smtp.PlainAuth("", t.user, password, t.host, false)
	if !contains(words, "PLAIN") {
		if !contains(words, "LOGIN") {
			return engine.Errorf(engine.Denied, "%s: the server offers neither PLAIN nor LOGIN", t.doing("signing in")).
				WithHint("leave out %s.user where the server wants no password", t.key)
		}
		auth = smtp.LoginAuth(t.user, password, t.host, false)
	}
	if err := t.client.Auth(auth); err != nil {
		e := t.fault(err, "signing in as "+t.user)
		if e.Kind == engine.Denied {
			_ = e.WithHint("compare %s.user and the secret in %s with the server's account", t.key, t.passwordKey)
		}
		return e
	}
	return nil
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

// send hands over one message.
func (t *talk) send(l letter, content []byte) (engine.Result, error) {
	t.client.SkipSMTPUTF8(allASCII(l))
	if err := t.client.Mail("<" + l.from.Address + ">"); err != nil {
		return engine.Result{}, t.fault(err, "sender "+l.from.Address)
	}
	accepted, refused := []engine.Value{}, []engine.Value{}
	var last *engine.Error
	for _, to := range l.to {
		err := t.client.Rcpt("<" + to.Address + ">")
		if err == nil {
			accepted = append(accepted, to.Address)
			continue
		}
		if last = t.fault(err, "recipient "+to.Address); last.Kind != engine.Denied {
			return engine.Result{}, last
		}
		refused = append(refused, engine.Struct{Fields: map[string]engine.Value{"address": to.Address, "message": last.Message}})
	}
	if len(accepted) == 0 {
		return engine.Result{}, last
	}
	if err := t.data(content); err != nil {
		return engine.Result{}, err
	}
	return engine.Result{Value: engine.Struct{Type: deliveredType, Fields: map[string]engine.Value{
		"id": l.id, "accepted": accepted, "refused": refused}}}, nil
}

func allASCII(l letter) bool {
	for _, a := range append(l.to[:len(l.to):len(l.to)], l.from) {
		for _, r := range a.Address {
			if r > 0x7f {
				return false
			}
		}
	}
	return true
}

// data sends the message. An answer that does not come after its end leaves it
// open whether the server has it.
func (t *talk) data(content []byte) error {
	w, err := t.client.Data()
	if err != nil {
		return t.fault(err, "the message")
	}
	if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
		return t.fault(err, "the message")
	}
	if err := w.Close(); err != nil {
		e := t.fault(err, "the message")
		var reply *textproto.Error
		e.Maybe = !errors.As(err, &reply)
		return e
	}
	return nil
}

// close says goodbye where the conversation got that far; nobody waits for the
// answer.
func (t *talk) close() {
	if t.client != nil {
		t.client.Text.PrintfLine("QUIT")
	}
	t.stop()
	t.conn.Close()
}

func (t *talk) doing(what string) string { return "smtp " + t.name + ": " + what }

// fault gives an error of the conversation a kind: replies 4xx are unavailable,
// 5xx denied (RFC 5321 §4.2.1), both with the server's sentence.
func (t *talk) fault(err error, what string) *engine.Error {
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		return reach.Fault(err, t.doing(what), t.trust.Key)
	}
	kind := engine.Denied
	if reply.Code < 500 {
		kind = engine.Unavailable
	}
	return engine.Errorf(kind, "%s: %d %s", t.doing(what), reply.Code, oneLine(reply.Msg)).WithCause("status")
}
