package mailbox

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"golang.org/x/net/html"
)

func start(t *testing.T, o Options) *Mailbox {
	t.Helper()
	m, err := Open(o)
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

func get(t *testing.T, h http.Handler, path string) (int, string, http.Header) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String(), w.Header()
}

const rich = "From: soar@example.org\r\nTo: ana@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <a@example.org>\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nText =C3=BC\r\n" +
	"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p onclick=x>Press <a href=\"https://soar.example.org/a/x?y=1&amp;z=2\">here</a><script>alert(1)</script><img src=x></p>\r\n--b--\r\n"

func TestTakesMailAfterSigningIn(t *testing.T) {
	m := start(t, Options{User: "soar", Password: "secret"})
	host, port := m.Address()
	c, err := smtp.DialStartTLS(host+":"+strconv.Itoa(port), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SendMail("soar@example.org", []string{"ana@example.org"}, strings.NewReader(rich)); err == nil {
		t.Fatal("took mail without a password")
	}
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(sasl.NewPlainClient("", "soar", "secret")); err != nil {
		t.Fatal(err)
	}
	if err := c.SendMail("soar@example.org", []string{"ana@example.org"}, strings.NewReader(rich)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	mails, err := m.Wait(ctx, 1)
	if err != nil || len(mails) != 1 {
		t.Fatalf("got %v, %v", mails, err)
	}
	if k := mails[0]; k.Subject != "Grüße" || k.MessageID != "a@example.org" || k.Text != "Text ü" || !strings.Contains(k.HTML, "Press") {
		t.Errorf("got %+v", k)
	}
}

func TestPasswordNeedsEncryption(t *testing.T) {
	m := start(t, Options{User: "soar", Password: "secret"})
	host, port := m.Address()
	c, err := smtp.Dial(host + ":" + strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", "soar", "secret")); err == nil {
		t.Error("took a password in the clear")
	}
}

func TestPages(t *testing.T) {
	m, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	h := http.StripPrefix("/inbox", m.Handler())
	if _, body, _ := get(t, h, "/inbox/"); !strings.Contains(body, "No mail yet") || !strings.Contains(body, "simulated") {
		t.Errorf("empty: got %s", body)
	}
	m.keep("soar@example.org", []string{"ana@example.org"}, []byte(rich))
	m.keep("soar@example.org", []string{"dave@example.org"}, []byte("Subject: <b>plain</b>\r\n\r\nSee https://soar.example.org/a/x?y=1&z=2 <now>\r\n"))
	_, list, header := get(t, h, "/inbox/")
	first, second := strings.Index(list, `href="mail/2"`), strings.Index(list, `href="mail/1"`)
	if first < 0 || second < first || !strings.Contains(list, "&lt;b&gt;plain") || !strings.Contains(list, `name="viewport"`) {
		t.Errorf("list: got %s", list)
	}
	if csp := header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("got policy %q", csp)
	}
	_, one, _ := get(t, h, "/inbox/mail/1")
	if !strings.Contains(one, `<p>Press <a href="https://soar.example.org/a/x?y=1&amp;z=2" rel="noreferrer">here</a></p>`) || strings.Contains(one, "alert(1)") || strings.Contains(one, "<img") {
		t.Errorf("mail 1: got %s", one)
	}
	_, two, _ := get(t, h, "/inbox/mail/2")
	if !strings.Contains(two, `See <a href="https://soar.example.org/a/x?y=1&amp;z=2" rel="noreferrer">https://soar.example.org/a/x?y=1&amp;z=2</a> &lt;now&gt;`) {
		t.Errorf("mail 2: got %s", two)
	}
	if _, raw, header := get(t, h, "/inbox/mail/1/raw"); raw != rich || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Errorf("source: got %q", raw)
	}
	for _, path := range []string{"/inbox/mail/9", "/inbox/mail/x", "/inbox/nothing"} {
		if status, _, _ := get(t, h, path); status != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, status)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for range maxMails + 5 {
		m.keep("a@example.org", nil, []byte("Subject: x\r\n\r\ntext\r\n"))
	}
	if mails := m.Mails(); len(mails) != maxMails || mails[0].ID != 6 {
		t.Errorf("got %d mails from %d", len(mails), mails[0].ID)
	}
	large := append([]byte("Subject: x\r\n\r\n"), bytes.Repeat([]byte("x"), maxMessageBytes)...)
	for range 10 {
		m.keep("a@example.org", nil, large)
	}
	if m.kept > maxKeptBytes {
		t.Errorf("got %d bytes kept, want at most %d", m.kept, maxKeptBytes)
	}
}

func TestSanitize(t *testing.T) {
	cases := []struct{ in, want string }{
		{`<p>a<br>b</p>`, `<p>a<br>b</p>`},
		{`<b>open`, `<b>open</b>`},
		{`</p></div>x`, `x`},
		{`<a href="javascript:alert(1)">x</a>`, `<a>x</a>`},
		{`<a href=" https://example.org">x</a>`, `<a>x</a>`},
		{`<a href="mailto:ana@example.org">x</a>`, `<a href="mailto:ana@example.org" rel="noreferrer">x</a>`},
		{`<img src=x onerror=alert(1)>x`, `x`},
		{`<style>p{}</style><script>if(a<b)</script>x`, `x`},
		{`<svg><script>x</script><a href="https://e">y</a></svg>z`, `z`},
		{`<div style="position:fixed;color:red;background:url(x)">x</div>`, `<div style="color:red">x</div>`},
		{`<div style="color:expression(alert(1))" onload=x>x</div>`, `<div>x</div>`},
		{`a &lt;script&gt; b`, `a &lt;script&gt; b`},
		{`<i><b>x</i>y</b>`, `<i><b>x</b></i>y`},
	}
	for _, test := range cases {
		if got := string(sanitize(test.in)); got != test.want {
			t.Errorf("%s: got %s, want %s", test.in, got, test.want)
		}
	}
}

// FuzzSanitize: whatever comes out parses to allowed tags and attributes alone,
// and stays as it is when sanitized again.
func FuzzSanitize(f *testing.F) {
	for _, seed := range []string{rich, `<p><a href="https://x" style="color:red">`, `<svg><style><a title="</style><img src=x>">`, `<table><b><tr><math>`, "<\x00p>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out := string(sanitize(in))
		z := html.NewTokenizer(strings.NewReader(out))
		for z.Next() != html.ErrorToken {
			token := z.Token()
			if token.Type == html.CommentToken || token.Type == html.DoctypeToken {
				t.Fatalf("%q: got %v", in, token)
			}
			if (token.Type == html.StartTagToken || token.Type == html.EndTagToken) && !allowed[token.DataAtom] {
				t.Fatalf("%q: got <%s>", in, token.Data)
			}
			for _, a := range token.Attr {
				if a.Key != "href" && a.Key != "style" && a.Key != "rel" || a.Key == "href" && !link.MatchString(a.Val) {
					t.Fatalf("%q: got %s=%q", in, a.Key, a.Val)
				}
			}
		}
		if again := string(sanitize(out)); again != out {
			t.Fatalf("%q: got %q, then %q", in, out, again)
		}
	})
}

// FuzzParse: no message makes parsing fail or grow.
func FuzzParse(f *testing.F) {
	f.Add([]byte(rich))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n"))
	f.Add([]byte("Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		k := parse(raw)
		if len(k.Text) > 3*maxTextBytes || len(k.HTML) > 3*maxTextBytes {
			t.Fatalf("got %d and %d bytes", len(k.Text), len(k.HTML))
		}
	})
}
