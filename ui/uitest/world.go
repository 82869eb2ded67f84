// Package uitest is a world in memory behind pages and interface, for their
// tests alone: the product never imports it. New makes an empty world with a
// server on it, Sample one in which something happens.
package uitest

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/ui"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

// Start is when every world begins.
func Start() time.Time { return time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC) }

// Things are what a world holds; lists are newest first, like all lists.
type Things struct {
	Brake       engine.Brake
	Clock       engine.ClockHold
	Incidents   []engine.Incident
	Events      map[string]engine.Event
	Stories     map[string][]engine.TimelineEntry
	Runs        []engine.Run
	Journals    map[string][]engine.Step
	Preview     engine.RestartPreview // of every restart
	Waiting     []engine.Mail
	Questions   []engine.Question
	Links       map[string]Link // by token
	Changes     []engine.Change
	Records     []engine.AuditRecord
	Bundles     map[string]map[string]string
	Live        engine.Snapshot
	Statuses    []engine.RuleStatus
	Jobs        []engine.JobStatus
	DNS         []engine.DNSRecord
	Domains     []engine.DNSDomain
	Health      desk.Check
	Tallies     map[string][]engine.TallyRow // by span
	Hits        map[string][]engine.Hit      // by rule
	Series      []engine.Series
	Attachments map[string][]engine.Attachment // by incident
	Contents    map[string]string              // of attachments
	Indicators  map[string][]engine.Indicator  // by incident
	Buttons     map[string]engine.Button       // by token
	Deadlines   map[string][]engine.Deadline   // by incident
	Points      map[string][]engine.Point      // by the name of a series and the span
	Persons     map[string]engine.Person
}

// World implements every interface that package ui asks for.
type World struct {
	Server *ui.Server

	Has Things

	mu  sync.Mutex
	now time.Time
	log []string // what was decided or recorded
	// Trouble, when set, is what every query returns; Panic makes them panic.
	Trouble error
	Panic   bool
	// Scan, when set, is after how many items a list ends its page early.
	Scan int
	// Late, when set, is why decisions have no effect.
	Late string

	zone *time.Location
	// Mails are the codes that were mailed; NoMail: no mail server is configured.
	Mails  []Mail
	NoMail bool
	// CodeRun is the run that mails codes.
	CodeRun string

	cache   map[string][]byte
	signIns map[string]engine.SignIn
	devices []engine.Device
	keys    map[string]string // the device of a token's hash
	rebuild desk.Rebuild
	scrub   desk.Scrub

	erasures []engine.Erasure
}

// Link is a question's link.
type Link struct {
	Question string
	To       engine.Addressee
}

// The token of the interface.
const Token = "a-token-of-the-tests"

// New makes an empty world, served below the path of url.
func New(t testing.TB, url string) *World {
	t.Helper()
	w := &World{
		now: Start(), cache: map[string][]byte{}, signIns: map[string]engine.SignIn{}, keys: map[string]string{},
		Has: Things{
			Events: map[string]engine.Event{}, Stories: map[string][]engine.TimelineEntry{},
			Journals: map[string][]engine.Step{}, Links: map[string]Link{}, Bundles: map[string]map[string]string{},
			Health: desk.Check{Name: "Larkspur", Status: desk.HealthOK}, Persons: map[string]engine.Person{},
		},
	}
	for name, role := range map[string]string{
		"dave": engine.RoleAdmin, "ana": engine.RoleResponder, "ben": engine.RoleApprover,
		"vic": engine.RoleViewer, "ada": engine.RoleAuditor, "eng": engine.RoleEngineer,
	} {
		w.Has.Persons[name] = engine.Person{Name: name, Email: name + "@example.org", Role: role}
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	w.zone = zone
	var tokens []login.Token
	for name, role := range map[string]string{Token: engine.RoleAdmin, "a-viewer-of-the-tests": engine.RoleViewer} {
		token, err := login.NewToken(role+"-token", role, name)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	w.Server, err = ui.New(ui.Config{
		URL: url, Reader: w, Decider: w, Exporter: w, Rules: w, Jobs: w, Health: w, Rebuilds: w, Eraser: w, Scrubs: w, DNS: w, Hooks: http.HandlerFunc(hook),
		People: w, Cache: w, Clock: w, Version: "1.0",
		Tokens:    func() []login.Token { return tokens },
		Assignees: func() ([]string, []string) { return []string{"ana", "dave"}, []string{"family"} },
		Name:      func() string { return "home" }, Zone: func() *time.Location { return zone },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func hook(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"event":"e0-1","path":"`+r.URL.Path+`"}`)
}

// Now is the world's time.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Pass lets time go by.
func (w *World) Pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Sleep is not used by pages.
func (w *World) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// Logged returns what was decided or recorded so far.
func (w *World) Logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.log, "; ")
}

func (w *World) enter() error {
	if w.Panic {
		panic("the world ends")
	}
	return w.Trouble
}

func listed[T any](w *World, all []T, keep func(T) bool, cursor string, limit int) ([]T, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.enter(); err != nil {
		return nil, "", err
	}
	from := 0
	if cursor != "" {
		n, err := strconv.Atoi(cursor)
		if err != nil || n < 0 {
			return nil, "", engine.Errorf(engine.Invalid, "cursor: got %q, want one that a list gave", cursor)
		}
		from = n
	}
	var out []T
	for i := from; i < len(all); i++ {
		if len(out) == limit || w.Scan > 0 && i-from == w.Scan {
			return out, strconv.Itoa(i), nil
		}
		if keep(all[i]) {
			out = append(out, all[i])
		}
	}
	return out, "", nil
}

func one[T any](w *World, all []T, what, id string, idOf func(T) string) (T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var none T
	if err := w.enter(); err != nil {
		return none, err
	}
	for _, item := range all {
		if idOf(item) == id {
			return item, nil
		}
	}
	return none, engine.Errorf(engine.NotFound, "there is no %s %q", what, id)
}

func fits(filter, value string) bool { return filter == "" || filter == value }

func contains(title, text string) bool {
	return strings.Contains(strings.ToLower(title), strings.ToLower(text))
}
