package email

import (
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"strings"

	"larkspur/engine"
)

// letter is a mail read from its plain data, ready to be written.
type letter struct {
	from        *mail.Address
	to          []*mail.Address
	replyTo     *mail.Address
	subject     string
	id          string // without angle brackets
	references  string
	text, html  string
	details     []string
	sections    []section
	buttons     []button
	attachments []attachment
}

// section is a part of a mail under a title of its own.
type section struct {
	Title, Text string
	Details     []string
	Columns     []string
	Rows        [][]string
}

// button is a link that looks like one.
type button struct{ Label, URL, Note string }

// attachment has its content or, in SHA256, its hash.
type attachment struct {
	name, kind, sha256 string
	data               []byte
}

// idPattern is what we let through as a Message-ID, a small part of RFC 5322 §3.6.4.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9._+=-]{1,200}@[A-Za-z0-9.-]{1,200}$`)

// reader reads the keys of a mail and keeps the first mistake.
type reader struct {
	fields map[string]engine.Value
	where  string
	err    error
}

func (r *reader) fail(key, format string, args ...any) {
	if r.err == nil {
		r.err = engine.Errorf(engine.Invalid, r.where+key+": "+format, args...)
	}
}

func (r *reader) text(key string) string {
	switch v := r.fields[key].(type) {
	case nil:
		return ""
	case string:
		return strings.ToValidUTF8(v, "�")
	}
	r.fail(key, "want a text")
	return ""
}

// list returns a list's elements; one that is no list is a mistake.
func (r *reader) list(key string) []engine.Value {
	switch v := r.fields[key].(type) {
	case nil:
		return nil
	case []engine.Value:
		return v
	case engine.Tuple:
		return v
	}
	r.fail(key, "want a list")
	return nil
}

func (r *reader) texts(key string) []string {
	var out []string
	for _, v := range r.list(key) {
		out = append(out, show(v))
	}
	return out
}

// show writes a plain value for people.
func show(v engine.Value) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return strings.ToValidUTF8(v, "�")
	case bool:
		return map[bool]string{true: "yes", false: "no"}[v]
	case engine.PersonRef:
		if v.Name != "" {
			return v.Name
		}
		return v.Email
	case engine.Secret, engine.Struct, map[string]engine.Value, []engine.Value, engine.Dict:
		return "…"
	}
	return fmt.Sprint(v)
}

func (r *reader) address(key string) *mail.Address {
	text := r.text(key)
	if text == "" {
		return nil
	}
	a, err := parseAddress(text)
	if err != nil {
		r.fail(key, "%s", err.Error())
		return nil
	}
	return a
}

// readLetter reads what email.send or the runner made. Errors are of kind
// invalid.
func readLetter(fields map[string]engine.Value, s server) (letter, error) {
	r := &reader{fields: fields}
	l := letter{
		from:       s.from,
		replyTo:    r.address("reply_to"),
		subject:    oneLine(r.text("subject")),
		id:         r.id("message_id", domainOf(s.from.Address)),
		references: r.id("references", domainOf(s.from.Address)),
		text:       r.text("text"),
		html:       r.text("html"),
		details:    r.texts("details"),
	}
	if from := r.address("from"); from != nil {
		l.from = from
	}
	for _, v := range r.list("to") {
		text, _ := v.(string)
		a, err := parseAddress(text)
		if err != nil {
			r.fail("to", "%s", err.Error())
			continue
		}
		l.to = append(l.to, a)
	}
	if len(l.to) == 0 || len(l.to) > maxRecipients {
		r.fail("to", "got %d addresses, want 1 to %d", len(l.to), maxRecipients)
	}
	if l.subject == "" {
		r.fail("subject", "is empty")
	}
	for i, v := range r.list("sections") {
		l.sections = append(l.sections, r.section(i, v))
	}
	for i, v := range r.list("buttons") {
		l.buttons = append(l.buttons, r.button(i, v))
	}
	for i, v := range r.list("attachments") {
		l.attachments = append(l.attachments, r.attachment(i, v))
	}
	return l, r.err
}

// id reads a Message-ID with or without brackets; a bare word ("i0-42") gets our
// domain.
func (r *reader) id(key, domain string) string {
	text := strings.Trim(strings.TrimSpace(r.text(key)), "<>")
	if text == "" {
		return ""
	}
	if !strings.Contains(text, "@") {
		text = "incident." + text + "@" + domain
	}
	if !idPattern.MatchString(text) {
		r.fail(key, "got %.80q, want a Message-ID", text)
		return ""
	}
	return text
}

// fieldsOf returns the fields of a dict or struct.
func fieldsOf(v engine.Value) (map[string]engine.Value, bool) {
	switch v := v.(type) {
	case map[string]engine.Value:
		return v, true
	case engine.Struct:
		return v.Fields, true
	}
	return nil, false
}

// inner reads one element of a list.
func (r *reader) inner(key string, i int, v engine.Value) *reader {
	fields, ok := fieldsOf(v)
	if !ok {
		r.fail(fmt.Sprintf("%s[%d]", key, i), "want a dict or struct")
	}
	return &reader{fields: fields, where: fmt.Sprintf("%s[%d].", key, i), err: r.err}
}

func (r *reader) section(i int, v engine.Value) section {
	if text, ok := v.(string); ok {
		return section{Text: strings.ToValidUTF8(text, "�")}
	}
	n := r.inner("sections", i, v)
	s := section{Title: oneLine(n.text("title")), Text: n.text("text"), Details: n.texts("details"), Columns: n.texts("columns")}
	for _, row := range n.list("rows") {
		one := &reader{fields: map[string]engine.Value{"row": row}, where: n.where, err: n.err}
		s.Rows = append(s.Rows, one.texts("row"))
		n.err = one.err
	}
	if n.err == nil && s.Title == "" && s.Text == "" && s.Details == nil && s.Rows == nil {
		n.fail("text", "the section is empty, want title, text, details or rows")
	}
	r.err = n.err
	return s
}

func (r *reader) button(i int, v engine.Value) button {
	n := r.inner("buttons", i, v)
	b := button{Label: oneLine(n.text("label")), Note: n.text("note")}
	if b.Label == "" {
		n.fail("label", "is empty")
	}
	if _, handle := n.fields["url"].(engine.Secret); !handle { // expanded when delivered
		b.URL = n.text("url")
		u, err := url.Parse(b.URL)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			n.fail("url", "want an http or https address")
		}
	}
	r.err = n.err
	return b
}

// maxAttachmentBytes bounds all attachments of a mail together.
const maxAttachmentBytes = 25 << 20

func (r *reader) attachment(i int, v engine.Value) attachment {
	n := r.inner("attachments", i, v)
	a := attachment{name: oneLine(n.text("name")), kind: oneLine(n.text("type")), sha256: n.text("sha256")}
	a.name = a.name[strings.LastIndexAny(a.name, `/\`)+1:]
	switch data := n.fields["data"].(type) {
	case string:
		a.data = []byte(data)
	case engine.Bytes:
		a.data = data
	}
	if a.name == "" {
		n.fail("name", "is empty")
	}
	if a.data == nil && a.sha256 == "" {
		n.fail("data", "neither data nor sha256 is there")
	}
	if !mediaType.MatchString(a.kind) {
		a.kind = "application/octet-stream"
	}
	r.err = n.err
	return a
}

// mediaType is RFC 6838 §4.2 without parameters.
var mediaType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)
