package demo

import (
	"context"
	_ "embed"
	"errors"
	"html/template"
	"net"
	"net/http"
	"time"

	"larkspur/appliance/demo/workspace"
	"larkspur/engine"
)

// guide is the page that leads a newcomer through the story. It needs no
// JavaScript: it shows how far the story has come, and looks again by itself.
type guide struct {
	demo     *Demo
	listener net.Listener
	page     *template.Template
}

//go:embed guide.html
var guideHTML string

func openGuide(d *Demo, address string) (*guide, error) {
	l, err := listen(address)
	if err != nil {
		return nil, err
	}
	return &guide{demo: d, listener: l, page: template.Must(template.New("guide").Parse(guideHTML))}, nil
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
	mux.HandleFunc("GET /{$}", g.show)
	mux.HandleFunc("GET /larkspur", g.signIn)
	mux.Handle("GET /inbox/", http.StripPrefix("/inbox", g.demo.mailbox.Handler()))
	mux.Handle("GET /controller/", http.StripPrefix("/controller", g.demo.controller.Page()))
	mux.HandleFunc("POST /play", g.act(g.demo.tape.Play))
	mux.HandleFunc("POST /home", g.act(func() { g.demo.controller.SetOnline(workspace.OwnerPhone, true) }))
	mux.HandleFunc("POST /away", g.act(func() { g.demo.controller.SetOnline(workspace.OwnerPhone, false) }))
	return http.NewCrossOriginProtection().Handler(mux)
}

// act does something in the simulated house and shows the guide again.
func (g *guide) act(do func()) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		do()
		http.Redirect(w, r, "/", http.StatusSeeOther)
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

// story is how far it has come.
type story struct {
	Larkspur string // its address
	AtHome   bool
	Ready    bool
	Incident *engine.Incident
	Question *engine.Question
	Mails    int
	Change   *engine.Change
	Left     int // seconds until the change ends
	Step     int // the step that comes next, from 1
}

// quietBetween is how often the page looks again.
const quietBetween = "2"

func (g *guide) show(w http.ResponseWriter, _ *http.Request) {
	s, err := g.story()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Refresh", quietBetween)
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	g.page.Execute(w, s)
}

func (g *guide) story() (*story, error) {
	d := g.demo
	s := &story{Larkspur: d.appliance.URL(), Ready: d.appliance.Ready() == nil, Mails: len(d.mailbox.Mails()), Step: 1}
	for _, c := range d.controller.Clients() {
		if c.MAC == workspace.OwnerPhone {
			s.AtHome = c.Online
		}
	}
	return s, d.tell(s)
}

// tell reads the newest incident's story.
func (d *Demo) tell(s *story) error {
	incidents, _, err := d.appliance.State().Incidents(engine.IncidentFilter{}, "", 1)
	if err != nil || len(incidents) == 0 {
		return err
	}
	s.Incident, s.Step = &incidents[0], 2
	questions, _, err := d.appliance.State().Questions(engine.QuestionFilter{Incident: s.Incident.ID}, "", 1)
	if err != nil {
		return err
	}
	if len(questions) > 0 {
		s.Question, s.Step = &questions[0], 3
		if s.Question.Status != engine.QuestionOpen {
			s.Step = 4
		}
	}
	changes, _, err := d.appliance.State().Changes(engine.ChangeFilter{Incident: s.Incident.ID}, "", 1)
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		s.Change, s.Left = &changes[0], max(0, secondsLeft(changes[0].Expires, d.clock.Now()))
		if s.Change.Status == engine.ChangeUndone {
			s.Step = 5
		}
	}
	return nil
}
