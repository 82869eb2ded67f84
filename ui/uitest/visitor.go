package uitest

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Page is an answer as a visitor sees it.
type Page struct {
	Status int
	Header http.Header
	Body   string
	t      testing.TB
}

// Visitor asks a world's server for pages, keeping cookies like a browser.
type Visitor struct {
	World   *World
	Cookies map[string]string
	Header  map[string]string
	t       testing.TB
}

// Visit makes a visitor; a name of the world's people signs them in, "" is
// nobody.
func (w *World) Visit(t testing.TB, name string) *Visitor {
	t.Helper()
	v := &Visitor{World: w, Cookies: map[string]string{}, Header: map[string]string{}, t: t}
	if name == "" {
		return v
	}
	link, _, err := w.Server.SignInLink(name)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	p := v.Get(u.Path)
	if p := v.Post(u.Path, p.Form()); p.Status != http.StatusSeeOther {
		t.Fatalf("signing in as %s: got %d, want 303\n%s", name, p.Status, p.Body)
	}
	return v
}

// Get asks for a page.
func (v *Visitor) Get(path string) Page { return v.Do(http.MethodGet, path, "", "") }

// Post sends a form.
func (v *Visitor) Post(path string, form url.Values) Page {
	return v.Do(http.MethodPost, path, "application/x-www-form-urlencoded", form.Encode())
}

// Do sends any request.
func (v *Visitor) Do(method, path, kind, body string) Page {
	v.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for name, value := range v.Header {
		r.Header.Set(name, value)
	}
	for name, value := range v.Cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	v.World.Server.Handler(false).ServeHTTP(w, r)
	answer := w.Result()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, c := range answer.Cookies() {
		v.Cookies[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(v.Cookies, c.Name)
		}
	}
	return Page{Status: answer.StatusCode, Header: answer.Header, Body: string(text), t: v.t}
}

// Want fails unless the page has a status and contains every text, as a reader
// sees it: without entities.
func (p Page) Want(status int, texts ...string) Page {
	p.t.Helper()
	if p.Status != status {
		p.t.Fatalf("got status %d, want %d\n%s", p.Status, status, p.text())
	}
	seen := html.UnescapeString(p.Body)
	for _, text := range texts {
		if !strings.Contains(seen, text) {
			p.t.Errorf("the page does not say %q\n%s", text, p.text())
		}
	}
	return p
}

// text is what the page says, shortened, for the messages of tests.
func (p Page) text() string {
	_, body, found := strings.Cut(p.Body, "<main")
	if !found {
		body = p.Body
	}
	words := strings.Fields(html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(body, " ")))
	if len(words) > 200 {
		words = append(words[:200], "…")
	}
	return strings.Join(words, " ")
}

// Lacks fails when the page contains one of the texts.
func (p Page) Lacks(texts ...string) Page {
	p.t.Helper()
	seen := html.UnescapeString(p.Body)
	for _, text := range texts {
		if strings.Contains(seen, text) {
			p.t.Errorf("the page says %q", text)
		}
	}
	return p
}

// Form returns the hidden inputs of the page's first form that has them, and the given pairs.
func (p Page) Form(pairs ...string) url.Values {
	form := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`).FindAllStringSubmatch(p.Body, -1) {
		if !form.Has(m[1]) { // of the first form, where there are several
			form.Set(m[1], html.UnescapeString(m[2]))
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return form
}

// FormTo is Form for one of several forms of a page: the one that is sent to an
// address that ends so.
func (p Page) FormTo(action string, pairs ...string) url.Values {
	for form := range strings.SplitSeq(p.Body, "<form") {
		head, rest, _ := strings.Cut(form, ">")
		if strings.Contains(head, action+`"`) {
			rest, _, _ = strings.Cut(rest, "</form>")
			return Page{Body: rest}.Form(pairs...)
		}
	}
	if p.t != nil { // else it is of a client of the test's own, which finds nothing sent
		p.t.Helper()
		p.t.Fatalf("no form is sent to %s\n%s", action, p.text())
	}
	return nil
}

// Links returns every address that the page names.
func (p Page) Links() []string {
	var out []string
	for _, m := range regexp.MustCompile(`(?:href|src|action)="([^"]*)"`).FindAllStringSubmatch(p.Body, -1) {
		out = append(out, html.UnescapeString(m[1]))
	}
	return out
}
