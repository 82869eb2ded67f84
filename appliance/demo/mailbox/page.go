package mailbox

import (
	"embed"
	"html/template"
	"net/http"
	"slices"
	"strconv"
)

//go:embed inbox.html mail.html
var pages embed.FS

// Handler shows the inbox: a list at /, one mail at /mail/N, its source at
// /mail/N/raw. Links are relative, so that it can be mounted below a path with
// http.StripPrefix.
func (m *Mailbox) Handler() http.Handler {
	t := template.Must(template.ParseFS(pages, "*.html"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		mails := m.Mails()
		slices.Reverse(mails)
		headers(w, "text/html; charset=utf-8")
		t.ExecuteTemplate(w, "inbox.html", mails)
	})
	mux.HandleFunc("GET /mail/{id}", m.one(func(w http.ResponseWriter, k Mail) {
		headers(w, "text/html; charset=utf-8")
		body := linked(k.Text)
		if k.HTML != "" {
			body = sanitize(k.HTML)
		}
		t.ExecuteTemplate(w, "mail.html", struct {
			Mail
			Rich bool
			Body template.HTML
		}{k, k.HTML != "", body})
	}))
	mux.HandleFunc("GET /mail/{id}/raw", m.one(func(w http.ResponseWriter, k Mail) {
		headers(w, "text/plain; charset=utf-8")
		w.Write(k.Raw)
	}))
	return mux
}

func (m *Mailbox) one(show func(http.ResponseWriter, Mail)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		k, ok := m.Mail(id)
		if err != nil || !ok {
			http.Error(w, "There is no such mail; old ones are forgotten.", http.StatusNotFound)
			return
		}
		show(w, k)
	}
}

func headers(w http.ResponseWriter, kind string) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}
