// Package page is what people see: server-rendered pages that need no script.
// One page is one .go file, one template of the same name and one test; the
// routes stand in package ui.
//
// Every page is written through Pages.render from a view that embeds frame.
// GET and HEAD change nothing; what acts is a POST and answers with a redirect
// (303) or with the page that tells what became of it.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets/*
var assetFiles embed.FS

// names lists every page; a template without a name here, or a name without a
// template, is refused at start.
func names() []string {
	return []string{
		"audit", "brake", "button", "changes", "charts", "devices", "dns", "error", "incident", "incidents", "overview", "question", "questions",
		"restart", "rule", "rules", "run", "runs", "setup", "signin", "status",
	}
}

// shared lists the templates that pages are built from.
func shared() []string { return []string{"layout", "parts"} }

// Config is what pages need.
type Config struct {
	Desk   *desk.Desk
	Access *login.Access
	// URL is the configured address: links begin with its path.
	URL *url.URL
	// Name is the workspace's name of this moment.
	Name func() string
}

// Pages writes pages. Safe for concurrent use.
type Pages struct {
	Config
	base      string // the URL's path without its last slash
	templates map[string]*template.Template
	assets    map[string]asset // by the name that links carry
	links     map[string]string
}

type asset struct {
	kind    string
	content []byte
}

// New parses the templates. It fails when one is missing, broken, or belongs to
// no page.
func New(c Config) (*Pages, error) {
	return newPages(c, templateFiles, assetFiles)
}

func newPages(c Config, templates, assets fs.FS) (*Pages, error) {
	p := &Pages{
		Config: c, base: strings.TrimSuffix(c.URL.Path, "/"),
		templates: map[string]*template.Template{},
		assets:    map[string]asset{}, links: map[string]string{},
	}
	if err := p.loadAssets(assets); err != nil {
		return nil, err
	}
	if err := declared(templates); err != nil {
		return nil, err
	}
	base := template.New("").Funcs(template.FuncMap{"tone": tone, "words": desk.Status, "said": engine.SayOutcome})
	for _, name := range shared() {
		if err := parse(base, templates, name); err != nil {
			return nil, err
		}
	}
	for _, name := range names() {
		t, err := base.Clone()
		if err == nil {
			err = parse(t, templates, name)
		}
		if err != nil {
			return nil, err
		}
		for _, part := range []string{"title", "main"} {
			if t.Lookup(part) == nil {
				return nil, fmt.Errorf("ui: templates/%s.html does not define %q", name, part)
			}
		}
		p.templates[name] = t
	}
	return p, nil
}

// declared refuses templates that no page names.
func declared(files fs.FS) error {
	found, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return err
	}
	for _, file := range found {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if !slices.Contains(names(), name) && !slices.Contains(shared(), name) {
			return fmt.Errorf("ui: %s belongs to no page; name it in ui/page/page.go", file)
		}
	}
	return nil
}

func parse(t *template.Template, files fs.FS, name string) error {
	text, err := fs.ReadFile(files, "templates/"+name+".html")
	if err != nil {
		return fmt.Errorf("ui: the template of the page %q: %w", name, err)
	}
	if _, err := t.Parse(string(text)); err != nil {
		return fmt.Errorf("ui: templates/%s.html: %w", name, err)
	}
	return nil
}

// loadAssets names each asset by its content, so that browsers may keep it.
func (p *Pages) loadAssets(files fs.FS) error {
	return fs.WalkDir(files, "assets", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		ext := path.Ext(file)
		plain := path.Base(file)
		name := strings.TrimSuffix(plain, ext) + "-" + hex.EncodeToString(sum[:6]) + ext
		kind := map[string]string{".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}[ext]
		if kind == "" {
			return fmt.Errorf("ui: assets/%s: no media type is known for %q", plain, ext)
		}
		p.assets[name] = asset{kind, content}
		p.links[plain] = p.base + "/assets/" + name
		return nil
	})
}

// Asset serves GET /assets/:name.
func (p *Pages) Asset(c echo.Context) error {
	a, ok := p.assets[c.Param("name")]
	if !ok {
		return echo.ErrNotFound
	}
	c.Response().Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	return c.Blob(http.StatusOK, a.kind, a.content)
}

// frame is what every page shows around its own matter.
type frame struct {
	Base      string // what every link begins with
	Assets    map[string]string
	Workspace string
	Who       login.Identity
	FormToken string // of the session's forms
	Nav       string // the page in the navigation
	Counts    engine.Counts
	Brake     engine.Brake
	Clock     engine.ClockHold
	Notice    string
	Bare      bool   // without navigation: for visitors with a link
	Follow    string // the page that a browser goes to by itself in a moment
	Now       time.Time
	Zone      *time.Location
}

// frame makes the frame of a page; nav names its place in the navigation.
func (p *Pages) frame(c echo.Context, nav string) frame {
	found := login.From(c.Request().Context())
	f := frame{
		Base: p.base, Assets: p.links, Workspace: p.Name(), Who: found.Identity, Nav: nav,
		Now: p.Desk.Clock.Now(), Zone: p.Desk.Zone(), Notice: notice(c.QueryParam("done")),
	}
	if found.Session != "" {
		f.FormToken = login.FormToken(found.Session, sessionForms)
	}
	if f.Who.May(login.See) {
		if counts, err := p.Desk.Counts(f.Who); err == nil {
			f.Counts = counts // a frame without numbers is better than no page
		}
		f.Brake, _ = p.Desk.Reader.Brake()
		f.Clock, _ = p.Desk.ClockHold()
	}
	return f
}

// bare is the frame of pages for visitors with a link.
func (p *Pages) bare(c echo.Context) frame {
	f := p.frame(c, "")
	f.Bare, f.Counts, f.Brake, f.Clock = true, engine.Counts{}, engine.Brake{}, engine.ClockHold{}
	return f
}

// sessionForms is the purpose of the token that forms of a session carry.
const sessionForms = "session"

// CheckForm refuses a POST whose form was not made for the session that sends
// it. Errors: denied, and what reading the form gives.
func (p *Pages) CheckForm(c echo.Context) error {
	r := c.Request()
	if err := login.SameOrigin(r, p.URL); err != nil {
		return err
	}
	token, err := formValue(c, login.FormField)
	if err != nil {
		return err
	}
	if !login.ValidFormToken(token, login.From(r.Context()).Session, sessionForms) {
		return engine.Errorf(engine.Denied, "the form is not from your session").
			WithHint("Nothing was changed. Go back, reload the page and press the button again.")
	}
	return nil
}

// formValue reads one value of a posted form. Errors: those of ParseForm, so
// that a body over its limit is told apart.
func formValue(c echo.Context, name string) (string, error) {
	r := c.Request()
	if err := desk.ParseForm(r); err != nil {
		return "", badForm(err)
	}
	return r.PostForm.Get(name), nil
}

func badForm(err error) error {
	if tooBig := (*http.MaxBytesError)(nil); asError(err, &tooBig) {
		return tooBig
	}
	return engine.Errorf(engine.Invalid, "the form could not be read").
		WithHint("Go back, reload the page and send it again.")
}

// render writes a page.
func (p *Pages) render(c echo.Context, status int, name string, view any) error {
	var b bytes.Buffer
	if err := p.templates[name].ExecuteTemplate(&b, "layout", view); err != nil {
		return engine.WrapError(engine.Internal, err, "page "+name)
	}
	return c.Blob(status, "text/html; charset=utf-8", b.Bytes())
}

// back answers a form with a redirect to one of our own pages, with parameters.
func (p *Pages) back(c echo.Context, to, done string, more ...string) error {
	q := url.Values{}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			q.Set(more[i], more[i+1])
		}
	}
	if done != "" {
		q.Set("done", done)
	}
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	return c.Redirect(http.StatusSeeOther, p.base+to)
}

// notice is the line that a page shows after a redirect. Only these are shown:
// an address cannot put words on a page.
func notice(done string) string {
	return map[string]string{
		"closed":         "The incident is closed.",
		"reopened":       "The incident is open again.",
		"erasing":        "It is being erased. Pages show it in a moment.",
		"started":        "The job runs.",
		"noted":          "Your note is on the incident.",
		"pressed":        "The button is pressed; its run is below.",
		"assigned":       "The incident is assigned.",
		"escalated":      "The severity is changed.",
		"set":            "The fact is in the summary.",
		"answered":       "Your answer is recorded.",
		"restarted":      "The run is restarted: what it had changed since is taken back first.",
		"undone":         "What the run changed is being taken back.",
		"resolved":       "That is recorded. The run goes on once nothing of it is in doubt or held.",
		"braked":         "The brake is on: nothing is changed until it is let go.",
		"let-go":         "The brake is off. What it held is done now.",
		"clock-accepted": "What the clock says is the time now. What fell due by then fires.",
		"undoing":        "The change is being taken back.",
		"signed-in":      "You are signed in on this device for 30 days.",
		"revoked":        "That browser is paired no more.",
	}[done]
}
