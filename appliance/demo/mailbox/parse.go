package mailbox

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
)

// Bounds of what is read out of a message.
const (
	maxParts     = 50
	maxPartDepth = 5
	maxTextBytes = 1 << 20
)

// parse reads subject, Message-ID, text and HTML of a message; what cannot be
// read stays empty, and a message that is none is shown as text.
func parse(raw []byte) Mail {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Mail{Subject: "(not a readable mail)", Text: valid(raw[:min(len(raw), maxTextBytes)])}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		subject = m.Header.Get("Subject")
	}
	k := Mail{Subject: valid([]byte(subject)), MessageID: strings.Trim(m.Header.Get("Message-ID"), "<> ")}
	p := partReader{mail: &k, left: maxParts}
	p.read(textproto.MIMEHeader(m.Header), m.Body, 0)
	return k
}

func valid(b []byte) string { return strings.ToValidUTF8(string(b), "�") }

// partReader walks the tree of parts and keeps the first text and HTML.
type partReader struct {
	mail *Mail
	left int
}

func (p *partReader) read(header textproto.MIMEHeader, body io.Reader, depth int) {
	if p.left--; p.left < 0 || depth > maxPartDepth {
		return
	}
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if err != nil {
				return
			}
			p.read(part.Header, part, depth+1)
			if p.left < 0 {
				return
			}
		}
	}
	if d, _, err := mime.ParseMediaType(header.Get("Content-Disposition")); err == nil && d == "attachment" {
		return
	}
	content, _ := io.ReadAll(io.LimitReader(decoded(header.Get("Content-Transfer-Encoding"), body), maxTextBytes))
	switch {
	case kind == "text/plain" && p.mail.Text == "":
		p.mail.Text = strings.ReplaceAll(valid(content), "\r\n", "\n")
	case kind == "text/html" && p.mail.HTML == "":
		p.mail.HTML = valid(content)
	}
}

func decoded(encoding string, r io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	}
	return r
}
