package page

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

func asError[T error](err error, target *T) bool { return errors.As(err, target) }

// Moment is a time as pages show it.
type Moment struct {
	ISO, Text, Age string
}

// When shows a time in the workspace's zone, with its distance from now.
func (f frame) When(t time.Time) Moment {
	if t.IsZero() {
		return Moment{}
	}
	local := t.In(f.Zone)
	m := Moment{ISO: local.Format(time.RFC3339), Text: local.Format("2 Jan 2006, 15:04 MST")}
	if local.Year() == f.Now.In(f.Zone).Year() {
		m.Text = local.Format("2 Jan, 15:04 MST")
	}
	switch d := t.Sub(f.Now); {
	case d > time.Minute:
		m.Age = "in " + desk.Age(d.Round(time.Minute)) // two hours less a blink are two hours
	case d > time.Second:
		m.Age = "in " + desk.Age(d)
	case d > -5*time.Second:
		m.Age = "just now"
	default:
		m.Age = desk.Age(d) + " ago"
	}
	return m
}

// Exact shows a time with its seconds, for logs.
func (f frame) Exact(t time.Time) Moment {
	m := f.When(t)
	if m.ISO != "" {
		m.Text = t.In(f.Zone).Format("2006-01-02 15:04:05 MST")
	}
	return m
}

// tone is the colour of a status or severity; the word itself is always shown
// beside it.
func tone(status string) string {
	switch status {
	case engine.RunDone, engine.QuestionAnswered, engine.DeadlineMet, desk.HealthOK, "live":
		return "good"
	case engine.RunWaiting, engine.RunHeld, engine.QuestionTimedOut, desk.HealthWarn, "medium", "shadow", engine.ChangeInForce, "warning":
		return "warn"
	case engine.RunFailed, engine.RunInDoubt, engine.RunDiverged, engine.RunQuarantined,
		engine.ChangeUndoFailed, engine.DeadlineBreached, desk.HealthFail, "critical", "high", "error":
		return "bad"
	case engine.RunRunning, engine.QuestionOpen, "low":
		return "info" // an open incident and an open question share the word
	}
	return "mute"
}

// Fact is one line of a list of facts.
type Fact struct {
	Name, Value string
	// Link, when set, is what the value points to, below the base path.
	Link string
}

// facts are an incident's summary in the order of their first setting.
func facts(i engine.Incident, zone *time.Location) []Fact {
	v, err := i.Fields.Value()
	m, ok := v.(map[string]engine.Value)
	if err != nil || !ok {
		return nil
	}
	var out []Fact
	done := map[string]bool{}
	add := func(name string) {
		if value, ok := m[name]; ok && !done[name] {
			done[name] = true
			out = append(out, Fact{Name: label(name), Value: desk.Text(value, zone)})
		}
	}
	for _, name := range i.Order {
		add(name)
	}
	for _, name := range sorted(m) {
		add(name)
	}
	return out
}

// label turns a key into words.
func label(name string) string {
	words := strings.ReplaceAll(name, "_", " ")
	if words == "" {
		return words
	}
	return strings.ToUpper(words[:1]) + words[1:]
}

// Limits of what a page shows of one value.
const (
	maxShown      = 2000
	stepsPerPage  = 100
	maxEventFacts = 40
)

// Shown is a value on a page, with how much of it was left out.
type Shown struct {
	Text string
	Rest string
}

func shown(d engine.Data, zone *time.Location) Shown {
	if len(d) == 0 {
		return Shown{}
	}
	text, rest := desk.Show(d, zone, maxShown)
	if text == "None" || text == "{}" {
		return Shown{} // nothing was given or came back
	}
	s := Shown{Text: text}
	if rest > 0 {
		s.Rest = strconv.Itoa((rest+1023)>>10) + " KB more"
	}
	return s
}

// StepView is a step as pages show it.
type StepView struct {
	engine.Step
	Key    string // PATH/N, or N in the root path
	Source []desk.SourceLine
	In     Shown
	Out    Shown
	Began  Moment
	Took   string
	Said   Moment // when it was resolved
	Doubt  *Doubt // the form of a step in doubt or held, for those who may resolve it
}

// Doubt is the form of a step in doubt, or of one that is held.
type Doubt struct {
	Action, Token, Step string
}

// RunView is a run with its steps as pages show it.
type RunView struct {
	engine.Run
	What   string // the function, or what the run is for
	Began  Moment
	Finish Moment
	Took   string
	Steps  []StepView
	Total  int
	First  int // the number of the first step shown, counted from 1
	Blame  []desk.SourceLine
	Root   string // what links begin with
	// MayRestart shows the ways to restart it.
	MayRestart bool
}

// HashStart is the part of a bundle's hash that people compare.
func (r RunView) HashStart() string { return short(r.Bundle) }

// CommitStart is the part of a git commit that people compare.
func (r RunView) CommitStart() string { return short(r.Commit) }

func short(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}

// runView brings a run's steps to a page: those from index first on, at most
// most of them; first < 0 means the last ones.
func (p *Pages) runView(f frame, r engine.Run, steps []engine.Step, first, most int) RunView {
	v := RunView{
		Run: r, What: purpose(r), Began: f.Exact(r.Started), Finish: f.Exact(r.Ended), Total: len(steps),
		Root: f.Base,
	}
	v.Waits = waits(f, r.Waits)
	if !r.Ended.IsZero() {
		v.Took = took(r.Ended.Sub(r.Started))
	}
	if first < 0 || first > len(steps) {
		first = max(0, len(steps)-most)
	}
	v.First = first + 1
	sources := p.Desk.Sources(r.Bundle)
	for _, s := range steps[first:min(len(steps), first+most)] {
		step := stepView(f, s, sources)
		if (s.Status == engine.StepInDoubt || s.Held != "") && f.MaySteer() {
			step.Doubt = &Doubt{Action: f.Base + "/runs/" + r.ID + "/resolve", Token: f.FormToken, Step: step.Key}
		}
		v.Steps = append(v.Steps, step)
	}
	if r.Error != nil {
		v.Blame = sources.At(r.Error.At, 3)
	}
	return v
}

func stepView(f frame, s engine.Step, sources *desk.Sources) StepView {
	v := StepView{
		Step: s, Key: s.Path + "/" + strconv.Itoa(s.Number), Source: sources.At(s.At, 0),
		In: shown(s.Args, f.Zone), Out: shown(s.Result, f.Zone), Began: f.Exact(s.Started),
	}
	if s.Path == "" {
		v.Key = strconv.Itoa(s.Number)
	}
	if s.Resolved != nil {
		v.Said = f.When(s.Resolved.At)
	}
	if s.Ended.After(s.Started) { // a read has one record: how long it took is not known
		v.Took = took(s.Ended.Sub(s.Started))
	}
	return v
}

// waits says what a run waits for, a moment in the workspace's zone.
func waits(f frame, what string) string {
	moment, ok := strings.CutPrefix(what, "until ")
	if t, err := time.Parse(time.RFC3339, moment); ok && err == nil {
		return "until " + f.When(t).Text
	}
	if what == "" {
		return ""
	}
	return "for " + what
}

// took rounds a duration for reading.
func took(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "under 1 ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	}
	return desk.Age(d)
}

// purpose says in words what a run is.
func purpose(r engine.Run) string {
	switch r.Purpose {
	case "outbox":
		return "delivers mail"
	case "undo":
		return "takes a change back"
	}
	return r.Handler.Name
}

// MayWork reports whether forms that act on incidents and changes are shown.
func (f frame) MayWork() bool { return f.Who.May(login.Work) }

// MaySteer reports whether forms that act on runs are shown.
func (f frame) MaySteer() bool { return f.Who.May(login.Steer) }

// MayGovern reports whether forms are shown that only administrators may send.
func (f frame) MayGovern() bool { return f.Who.May(login.Govern) }

// MayTrace reports whether the way to the memory of DNS is shown.
func (f frame) MayTrace() bool { return f.Who.May(login.Trace) }

// MayAudit reports whether the way to the audit log is shown.
func (f frame) MayAudit() bool { return f.Who.May(login.Audit) }
