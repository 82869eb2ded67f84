package email

import (
	"bytes"
	"io"
	"net/mail"
	"slices"
	"testing"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// ours are the headers that a mail of ours may have.
var ours = []string{"Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "In-Reply-To", "Message-Id", "Mime-Version",
	"References", "Reply-To", "Subject", "To", "X-Auto-Response-Suppress"}

// FuzzLetter: whatever stands in a mail, what is written has our headers alone,
// the recipients that were meant, and one Message-ID.
func FuzzLetter(f *testing.F) {
	f.Add("Hello", "Text", "<p>HTML</p>", "ana@example.org", "abc@example.org", "i0-7", "Answer")
	f.Add("Hello\r\nBcc: x@example.org", ".\r\n.", "<a href='x'>", "Ana <ana@example.org>\r\nBcc: x@example.org", "a\r\nb@c", "<x@y>\r\n", "\r\n")
	f.Add("=?utf-8?q?x?=", "\x00\xff", "<script>", `"a\r\nb"@example.org`, "", "", "ü")
	s, err := parse("default", map[string]any{"host": "192.0.2.25", "from": "Larkspur <soar@example.org>"})
	if err != nil {
		f.Fatal(err)
	}
	m := &module{env: &reach.Env{Clock: engine.SystemClock{}}}
	f.Fuzz(func(t *testing.T, subject, text, html, to, id, references, label string) {
		l, err := readLetter(map[string]engine.Value{
			"subject": subject, "text": text, "html": html, "to": []engine.Value{to}, "reply_to": to, "message_id": id, "references": references,
			"details": []engine.Value{text}, "sections": []engine.Value{map[string]engine.Value{"title": subject, "text": text, "rows": []engine.Value{[]engine.Value{text}}}},
			"buttons": []engine.Value{map[string]engine.Value{"label": label, "url": "https://soar.example.org/a/" + "x", "note": text}},
		}, s)
		if err != nil {
			if engine.KindOf(err) != engine.Invalid {
				t.Fatalf("got %v", err)
			}
			return
		}
		raw, err := m.write(l)
		if err != nil {
			t.Fatal(err)
		}
		read, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%v in\n%s", err, raw)
		}
		for key, values := range read.Header {
			if !slices.Contains(ours, key) || len(values) != 1 {
				t.Fatalf("got header %s %q in\n%s", key, values, raw)
			}
		}
		list, err := read.Header.AddressList("To")
		if err != nil || len(list) != 1 || list[0].Address != l.to[0].Address {
			t.Fatalf("got To %v, %v, want %v", list, err, l.to)
		}
		if _, err := io.ReadAll(read.Body); err != nil {
			t.Fatal(err)
		}
	})
}
