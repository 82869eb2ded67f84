package demo

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"net"
	"net/http"
	"time"

	"larkspur/appliance/demo/workspace"
	"larkspur/engine"
)

// guide is the pages that lead a newcomer through the stories, one each. They need
// no JavaScript: each shows how far its story has come, and looks again by itself.
type guide struct {
	demo     *Demo
	listener net.Listener
	page     *template.Template
}

//go:embed guide.html netflix.html shop.html desk.html
var pages embed.FS

// chapter is one story of the guide.
type chapter struct {
	Path, Title string
	page        string // its template
	tell        func(*Demo, *story) error
}

// chapters is the one list of stories.
func chapters() []chapter {
	return []chapter{
		{"/", "Netflix while I am away", "netflix", (*Demo).tellNetflix},
		{"/shop/", "The shop is down", "shop", (*Demo).tellShop},
		{"/desk/", "A person, please", "desk", (*Demo).tellDesk},
	}
}

func openGuide(d *Demo, address string) (*guide, error) {
	l, err := listen(address)
	if err != nil {
		return nil, err
	}
	return &guide{demo: d, listener: l, page: template.Must(template.ParseFS(pages, "*.html"))}, nil
}

func (g *guide) url() string { return "http://" + g.listener.Addr().String() + "/" }

// Run serves the guide with the simulators' pages until ctx ends.
func (g *guide) Run(ctx context.Context) error {
	server := &http.Server{Handler: g.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(g.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (g *guide) handler() http.Handler {
	mux := http.NewServeMux()
	for _, c := range chapters() {
		mux.HandleFunc("GET "+c.Path+"{$}", g.show(c))
	}
	mux.HandleFunc("GET /larkspur", g.signIn)
	mux.Handle("GET /inbox/", http.StripPrefix("/inbox", g.demo.mailbox.Handler()))
	mux.Handle("GET /controller/", http.StripPrefix("/controller", g.demo.controller.Page()))
	mux.Handle("GET /host/", http.StripPrefix("/host", g.demo.shop.Page()))
	mux.HandleFunc("POST /play", g.act("/", g.demo.tape.Play))
	mux.HandleFunc("POST /home", g.act("/", func() { g.demo.controller.SetOnline(workspace.OwnerPhone, true) }))
	mux.HandleFunc("POST /away", g.act("/", func() { g.demo.controller.SetOnline(workspace.OwnerPhone, false) }))
	mux.HandleFunc("POST /shop/crash", g.act("/shop/", g.demo.shop.Crash))
	mux.HandleFunc("POST /shop/wedge", g.act("/shop/", g.demo.shop.Wedge))
	mux.HandleFunc("POST /shop/mend", g.act("/shop/", g.demo.shop.Mend))
	mux.HandleFunc("POST /desk/report", g.demo.report)
	return http.NewCrossOriginProtection().Handler(mux)
}

// act does something in the simulated house and shows its story again.
func (g *guide) act(story string, do func()) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		do()
		http.Redirect(w, r, story, http.StatusSeeOther)
	}
}

// signIn leads to Larkspur by a one-time link, as its owner would be given one.
func (g *guide) signIn(w http.ResponseWriter, r *http.Request) {
	link, err := g.demo.appliance.SignInLink("dave")
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, link, http.StatusSeeOther)
}

// story is how far one of them has come.
type story struct {
	chapter
	Chapters []chapter
	Larkspur string // its address
	Ready    bool
	Incident *engine.Incident
	Question *engine.Question
	Mails    int
	Step     int // the step that comes next, from 1
	// Of Netflix.
	AtHome bool
	Change *engine.Change
	Left   int // seconds until the change ends, or somebody has to have acted
	// Of the shop.
	Healthy bool
	// Critical is an incident that nobody mended, or acted on, in time.
	Critical bool
}

// quietBetween is how often the page looks again.
const quietBetween = "2"

func (g *guide) show(c chapter) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		d := g.demo
		s := &story{chapter: c, Chapters: chapters(), Larkspur: d.appliance.URL(), Ready: d.appliance.Ready() == nil, Mails: len(d.mailbox.Mails()), Step: 1}
		if err := c.tell(d, s); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("Refresh", quietBetween)
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		g.page.ExecuteTemplate(w, c.page, s)
	}
}

// tellNewest reads the newest incident of a story, and what it asked.
func (d *Demo) tellNewest(s *story, of engine.IncidentFilter) error {
	incidents, _, err := d.appliance.State().Incidents(of, "", 1)
	if err != nil || len(incidents) == 0 {
		return err
	}
	s.Incident, s.Step = &incidents[0], 2
	questions, _, err := d.appliance.State().Questions(engine.QuestionFilter{Incident: s.Incident.ID}, "", 1)
	if err != nil || len(questions) == 0 {
		return err
	}
	s.Question, s.Step = &questions[0], 3
	if s.Question.Status != engine.QuestionOpen {
		s.Step = 4
	}
	return nil
}

func (d *Demo) tellNetflix(s *story) error {
	for _, c := range d.controller.Clients() {
		if c.MAC == workspace.OwnerPhone {
			s.AtHome = c.Online
		}
	}
	if err := d.tellNewest(s, engine.IncidentFilter{Type: "streaming"}); err != nil || s.Incident == nil {
		return err
	}
	changes, _, err := d.appliance.State().Changes(engine.ChangeFilter{Incident: s.Incident.ID}, "", 1)
	if err != nil || len(changes) == 0 {
		return err
	}
	s.Change, s.Left = &changes[0], max(0, secondsLeft(changes[0].Expires, d.clock.Now()))
	if s.Change.Status == engine.ChangeUndone {
		s.Step = 5
	}
	return nil
}

func (d *Demo) tellShop(s *story) error {
	s.Healthy = d.shop.Healthy()
	if err := d.tellNewest(s, engine.IncidentFilter{Type: "outage"}); err != nil || s.Incident == nil {
		return err
	}
	s.Critical = s.Incident.Severity == "critical"
	if s.Incident.Status == engine.IncidentClosed {
		s.Step = 5
	}
	return nil
}
