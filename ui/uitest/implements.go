package uitest

// The methods of this file implement the interfaces of packages desk and login;
// what each has to do stands there.

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/field"
	"larkspur/ui/desk"
)

func (w *World) Incidents(f engine.IncidentFilter, cursor string, limit int) ([]engine.Incident, string, error) {
	return listed(w, w.Has.Incidents, func(i engine.Incident) bool {
		return fits(f.Status, i.Status) && fits(f.Rule, i.Rule) && fits(f.Type, i.Type) && fits(f.Severity, i.Severity) &&
			fits(f.Owner, i.Owner) && fits(f.Deadline, i.Deadline()) && contains(i.Title, f.Text)
	}, cursor, limit)
}

func (w *World) Incident(id string) (engine.Incident, error) {
	return one(w, w.Has.Incidents, "incident", id, func(i engine.Incident) string { return i.ID })
}

func (w *World) Timeline(incident, cursor string, limit int) ([]engine.TimelineEntry, string, error) {
	return listed(w, w.Has.Stories[incident], func(engine.TimelineEntry) bool { return true }, cursor, limit)
}

func (w *World) Event(id string) (engine.Event, error) {
	e, ok := w.Has.Events[id]
	if !ok {
		return e, engine.Errorf(engine.NotFound, "there is no event %q", id)
	}
	return e, nil
}

func (w *World) IncidentEvents(incident, _ string, _ int) ([]engine.Event, string, error) {
	i, err := w.Incident(incident)
	if err != nil || i.Event == "" {
		return nil, "", err
	}
	return []engine.Event{w.Has.Events[i.Event]}, "", nil
}

func (w *World) Runs(f engine.RunFilter, cursor string, limit int) ([]engine.Run, string, error) {
	return listed(w, w.Has.Runs, func(r engine.Run) bool {
		return fits(f.Status, r.Status) && fits(f.Incident, r.Incident) && fits(f.Rule, r.Rule)
	}, cursor, limit)
}

func (w *World) Run(id string) (engine.Run, error) {
	return one(w, w.Has.Runs, "run", id, func(r engine.Run) string { return r.ID })
}

func (w *World) Steps(run string) ([]engine.Step, error) { return w.Has.Journals[run], nil }

func (w *World) StepsOf(run string, generation int) ([]engine.Step, error) {
	steps := w.Has.Journals[run]
	return steps[:min(len(steps), generation)], nil
}

func (w *World) Questions(f engine.QuestionFilter, cursor string, limit int) ([]engine.Question, string, error) {
	return listed(w, w.Has.Questions, func(q engine.Question) bool {
		return fits(f.Status, q.Status) && fits(f.Incident, q.Incident)
	}, cursor, limit)
}

func (w *World) Question(id string) (engine.Question, error) {
	return one(w, w.Has.Questions, "question", id, func(q engine.Question) string { return q.ID })
}

func (w *World) QuestionByToken(token string) (engine.Question, engine.Addressee, error) {
	link, ok := w.Has.Links[token]
	if !ok {
		return engine.Question{}, engine.Addressee{}, engine.Errorf(engine.NotFound, "no such link")
	}
	q, err := w.Question(link.Question)
	return q, link.To, err
}

func (w *World) Changes(f engine.ChangeFilter, cursor string, limit int) ([]engine.Change, string, error) {
	return listed(w, w.Has.Changes, func(c engine.Change) bool {
		return fits(f.Status, c.Status) && fits(f.Incident, c.Incident)
	}, cursor, limit)
}

func (w *World) Change(id string) (engine.Change, error) {
	return one(w, w.Has.Changes, "change", id, func(c engine.Change) string { return c.ID })
}

func (w *World) Counts() (engine.Counts, error) {
	var c engine.Counts
	for _, i := range w.Has.Incidents {
		if i.Status == engine.IncidentOpen {
			c.OpenIncidents++
		}
	}
	for _, q := range w.Has.Questions {
		if q.Status == engine.QuestionOpen {
			c.OpenQuestions++
		}
	}
	for _, change := range w.Has.Changes {
		if change.Status == engine.ChangeInForce {
			c.ChangesInForce++
		}
	}
	return c, nil
}

func (w *World) Hidden() ([]engine.Hidden, error) {
	teams := map[string]*engine.Hidden{}
	hidden := map[string]*engine.Hidden{} // by incident
	var out []engine.Hidden
	for _, i := range w.Has.Incidents {
		if i.Visible != engine.VisibleToTeam {
			continue
		}
		if teams[i.Team] == nil {
			teams[i.Team] = &engine.Hidden{Team: i.Team}
		}
		hidden[i.ID] = teams[i.Team]
		if i.Status == engine.IncidentOpen {
			teams[i.Team].Counts.OpenIncidents++
		}
	}
	for _, q := range w.Has.Questions {
		if h := hidden[q.Incident]; h != nil && q.Status == engine.QuestionOpen {
			h.Counts.OpenQuestions++
		}
	}
	for _, c := range w.Has.Changes {
		if h := hidden[c.Incident]; h != nil && c.Status == engine.ChangeInForce {
			h.Counts.ChangesInForce++
		}
	}
	for _, h := range teams {
		out = append(out, *h)
	}
	return out, w.Trouble
}

func (w *World) Tallies(by string, since, until time.Time) (rows []engine.TallyRow, err error) {
	for _, r := range w.Has.Tallies[by] {
		if by == engine.TallyAll || !r.Time.Before(since) && r.Time.Before(until) {
			rows = append(rows, r)
		}
	}
	return rows, w.Trouble
}

// Attachments, Attachment and Indicators implement desk.Reader.
func (w *World) Attachments(incident string) ([]engine.Attachment, error) {
	return w.Has.Attachments[incident], w.Trouble
}

func (w *World) Attachment(incident, sum string) (engine.Attachment, []byte, error) {
	for _, a := range w.Has.Attachments[incident] {
		if a.SHA256 == sum {
			return a, []byte(w.Has.Contents[sum]), nil
		}
	}
	return engine.Attachment{}, nil, engine.Errorf(engine.NotFound, "no attachment %q", sum)
}

func (w *World) Indicators(incident string) ([]engine.Indicator, error) {
	return w.Has.Indicators[incident], w.Trouble
}

func (w *World) WaitingMails(cursor string, limit int) ([]engine.Mail, string, error) {
	return listed(w, w.Has.Waiting, func(engine.Mail) bool { return true }, cursor, limit)
}

func (w *World) Deadlines(incident string) ([]engine.Deadline, error) {
	return w.Has.Deadlines[incident], w.Trouble
}

// Buttons, ButtonByToken and Press are those of Has.Buttons.
func (w *World) Buttons(incident string) (list []engine.Button, err error) {
	for _, b := range w.Has.Buttons {
		if b.Incident == incident {
			list = append(list, b)
		}
	}
	return list, w.Trouble
}

func (w *World) ButtonByToken(token string) (engine.Button, error) {
	if b, ok := w.Has.Buttons[token]; ok {
		return b, nil
	}
	return engine.Button{}, engine.Errorf(engine.NotFound, "no such link")
}

func (w *World) Press(_ context.Context, button, by, how string) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for token, b := range w.Has.Buttons {
		if b.ID == button && b.Pressed.IsZero() {
			b.Pressed, b.By, b.How, b.Pressing = w.now, by, how, "r0-9"
			w.Has.Buttons[token] = b
			return w.decide("press %s by %s how %s", button, by, how)
		}
	}
	return engine.Decision{Why: "it was pressed already"}, nil
}

// Series and Points implement desk.Reader.
func (w *World) Series(name, cursor string, limit int) ([]engine.Series, string, error) {
	return listed(w, w.Has.Series, func(s engine.Series) bool { return name == "" || s.Name == name }, cursor, limit)
}

func (w *World) Points(of engine.Series, by string) ([]engine.Point, error) {
	return w.Has.Points[of.Name+" "+by], w.Trouble
}

func (w *World) RuleMatches(rule, cursor string, limit int) ([]engine.Hit, string, error) {
	return listed(w, w.Has.Hits[rule], func(engine.Hit) bool { return true }, cursor, limit)
}

func (w *World) Audit(f engine.AuditFilter, cursor string, limit int) ([]engine.AuditRecord, string, error) {
	return listed(w, w.Has.Records, func(r engine.AuditRecord) bool {
		return !r.Time.Before(f.Since) && (f.Until.IsZero() || r.Time.Before(f.Until))
	}, cursor, limit)
}

func (w *World) BundleFile(bundle, path string) (string, error) {
	text, ok := w.Has.Bundles[bundle][path]
	if !ok {
		return "", engine.Errorf(engine.NotFound, "no file %q", path)
	}
	return text, nil
}

func (w *World) decide(format string, args ...any) (engine.Decision, error) {
	if w.Late != "" {
		return engine.Decision{Why: w.Late}, nil
	}
	w.log = append(w.log, fmt.Sprintf(format, args...))
	return engine.Decision{Applied: true}, nil
}

func (w *World) Answer(_ context.Context, question string, r engine.Reply) (engine.Decision, error) {
	q, err := w.Question(question)
	if err != nil {
		return engine.Decision{}, err
	}
	a, _, problems := field.Answer(q, r, w.zone)
	if len(problems) > 0 {
		return engine.Decision{}, problems
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	a.At, a.Proof, a.Device = w.now, r.Proof, r.Device
	how := strings.TrimSpace(a.How + " " + r.Proof + " " + r.Device)
	d, err := w.decide("answer %s %q by %s how %s reason %q fields %s", question, a.Choice, a.By, how, a.Reason, a.Fields)
	for i := range w.Has.Questions {
		if q := &w.Has.Questions[i]; q.ID == question && d.Applied {
			q.Status, q.Answer = engine.QuestionAnswered, &a
		}
	}
	return d, err
}

func (w *World) setStatus(id, status, reason, by string) {
	for i := range w.Has.Incidents {
		if w.Has.Incidents[i].ID == id {
			x := &w.Has.Incidents[i]
			x.Status, x.Reason, x.ClosedBy, x.Closed = status, reason, by, w.now
		}
	}
}

func (w *World) CloseIncident(_ context.Context, id, reason, code, by string) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, err := w.decide("close %s %q %s by %s", id, reason, code, by)
	if d.Applied {
		w.setStatus(id, engine.IncidentClosed, reason, by)
	}
	return d, err
}

func (w *World) ReopenIncident(_ context.Context, id, reason, by string) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, err := w.decide("reopen %s %q by %s", id, reason, by)
	if d.Applied {
		w.setStatus(id, engine.IncidentOpen, "", "")
	}
	return d, err
}

func (w *World) Note(_ context.Context, id, text, by string) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decide("note %s %q by %s", id, text, by)
}

func (w *World) Assign(_ context.Context, id, to, pick, by string) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.Has.Persons[to]; !known && to != "family" {
		return engine.Decision{}, engine.Errorf(engine.Invalid, "assign: there is no %q", to)
	}
	return w.decide("assign %s to %s pick %q by %s", id, to, pick, by)
}

func (w *World) Escalate(_ context.Context, id, severity, by string) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if severity == "" {
		return engine.Decision{}, engine.Errorf(engine.Invalid, "escalate: severity: got nothing")
	}
	return w.decide("escalate %s to %s by %s", id, severity, by)
}

func (w *World) SetFacts(_ context.Context, id string, facts map[string]engine.Value, order []string, by string) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decide("set %s %v %s by %s", id, order, engine.MustEncode(facts), by)
}

func (w *World) UndoChange(_ context.Context, id, by, why string, current bool) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if current {
		why += " (current)"
	}
	return w.decide("undo %s by %s %q", id, by, why)
}

func (w *World) Brake() (engine.Brake, error) { return w.Has.Brake, nil }

func (w *World) Clock(uint16) (engine.ClockHold, error) { return w.Has.Clock, nil }

func (w *World) AcceptClock(_ context.Context, by, why string) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decide("accept the clock by %s %q", by, why)
}

func (w *World) SetBrake(_ context.Context, on bool, by, why string) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decide("brake %v by %s %q", on, by, why)
}

func (w *World) Restart(_ context.Context, run string, in engine.RestartRequest) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decide("restart %s %q answer %s current %v by %s %q", run, in.Step, in.Answer, in.Current, in.By, in.Why)
}

func (w *World) PreviewRestart(_ context.Context, run string, in engine.RestartRequest) (engine.RestartPreview, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.Has.Preview
	p.Run, p.Step = run, in.Step
	if !in.Current {
		p.Differs = nil
	}
	return p, nil
}

func (w *World) ResolveStep(_ context.Context, run string, in engine.Resolution) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decide("resolve %s %s %s %s by %s %q", run, in.Step, in.Outcome, in.Value, in.By, in.Why)
}

func (w *World) Export(_ context.Context, out io.Writer, f engine.AuditFilter, by string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Trouble != nil {
		return w.Trouble
	}
	w.log = append(w.log, fmt.Sprintf("export %s by %s", f.Incident, by))
	for _, r := range w.Has.Records {
		line, err := engine.MarshalJSON(r)
		if err != nil {
			return err
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) Checkpoint() (string, error) {
	return "soar.example.org/ledger\n42\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u2014 soar.example.org/ledger Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n", nil
}

// Rebuild begins one that never ends.
func (w *World) Rebuild(string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rebuild.Running {
		return engine.Errorf(engine.Conflict, "a rebuild is going on already")
	}
	w.rebuild = desk.Rebuild{Running: true, Done: 7, Total: 42, Began: &w.now}
	return nil
}

// Rebuilding tells of it.
func (w *World) Rebuilding() desk.Rebuild {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rebuild
}

// Scrub begins one that never ends.
func (w *World) Scrub(string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.scrub.Running {
		return engine.Errorf(engine.Conflict, "a scrub is going on already")
	}
	w.scrub = desk.Scrub{Running: true, Records: 7, Total: 42, Began: &w.now}
	return nil
}

// Scrubbing tells of it.
func (w *World) Scrubbing() desk.Scrub {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.scrub
}

func (w *World) Snapshot() engine.Snapshot         { return w.Has.Live }
func (w *World) RuleStatuses() []engine.RuleStatus { return w.Has.Statuses }

// Statuses and StartJob are those of Has.Jobs.
func (w *World) Statuses() []engine.JobStatus { return w.Has.Jobs }

func (w *World) StartJob(_ context.Context, name, by, how string) (engine.JobStart, error) {
	for _, j := range w.Has.Jobs {
		if j.Name == name {
			w.mu.Lock()
			defer w.mu.Unlock()
			d, err := w.decide("run job %s by %s how %s", name, by, how)
			return engine.JobStart{Decision: d, Run: "r0-9"}, err
		}
	}
	return engine.JobStart{}, engine.Errorf(engine.NotFound, "job %q: there is none", name)
}

func (w *World) Report() desk.Check { return w.Has.Health }
func (w *World) Ready() error       { return w.Trouble }
func (w *World) Teams(name string) []string {
	if name == "dave" || name == "ana" {
		return []string{"family"}
	}
	return nil
}

func (w *World) Person(name string) (engine.Person, bool) {
	p, ok := w.Has.Persons[name]
	return p, ok
}

func (w *World) Get(key string) ([]byte, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, ok := w.cache[key]
	return v, ok, nil
}

func (w *World) Set(key string, value []byte, _ time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cache[key] = value
	return nil
}

// Plan finds twelve records of whatever is asked for; an open incident is in use.
func (w *World) Plan(_ context.Context, req engine.ErasureRequest) (engine.Erasure, error) {
	if i, err := w.Incident(req.Incident); err == nil && i.Status == engine.IncidentOpen {
		return engine.Erasure{}, engine.Errorf(engine.Conflict, "it cannot be erased yet: incident %s is open: close it first", i.ID)
	}
	return engine.Erasure{
		Incident: req.Incident, Because: req.Because, By: req.By, How: req.How, Records: 12, Incidents: 1, Blobs: 1,
		Waits: []engine.Waiting{{On: "i0-7", Why: "incident i0-7 is open: close it first"}}, Notes: []string{"a snapshot still holds it"},
	}, nil
}

func (w *World) Erase(ctx context.Context, req engine.ErasureRequest) (engine.Erasure, error) {
	e, err := w.Plan(ctx, req)
	if err != nil {
		return e, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf("erase %s%s because %s by %s how %s", req.Incident, req.Person, req.Because, req.By, req.How))
	e.ID, e.Status = "x1", engine.ErasureRunning
	w.erasures = append(w.erasures, e)
	return e, nil
}

func (w *World) Erasure(id string) (engine.Erasure, error) {
	return one(w, w.erasures, "erasure", id, func(e engine.Erasure) string { return e.ID })
}

func (w *World) Erasures(cursor string, limit int) ([]engine.Erasure, string, error) {
	return listed(w, w.erasures, func(engine.Erasure) bool { return true }, cursor, limit)
}

// DNSHistory answers with Has.DNS, whatever address is asked for; it keeps one
// client.
func (w *World) DNSHistory(q engine.DNSQuery) (engine.DNSPage, error) {
	if q.Client != "" && q.Client != "192.0.2.7" {
		return engine.DNSPage{}, engine.Errorf(engine.Conflict, "client: who asked is not kept here").WithHint("larkspur.yaml: history: {clients: true}")
	}
	list, next, err := listed(w, w.Has.DNS, func(r engine.DNSRecord) bool { return q.Domain == "" || contains(r.Name, q.Domain) }, q.Cursor, q.Limit)
	return engine.DNSPage{Records: list, Next: next, ByName: q.Target != ""}, err
}

// DNSDomains are those of Has.
func (w *World) DNSDomains(cursor string, limit int) ([]engine.DNSDomain, string, error) {
	return listed(w, w.Has.Domains, func(engine.DNSDomain) bool { return true }, cursor, limit)
}

// ExportDNS writes one line.
func (w *World) ExportDNS(_ context.Context, out io.Writer, by string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Trouble != nil {
		return w.Trouble
	}
	w.log = append(w.log, "export dns by "+by)
	_, err := io.WriteString(out, `{"rrname":"www.example.org"}`+"\n")
	return err
}

// ImportDNS counts lines.
func (w *World) ImportDNS(_ context.Context, in io.Reader, by string) (engine.DNSImport, error) {
	text, err := io.ReadAll(in)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, "import dns by "+by)
	return engine.DNSImport{Lines: uint64(strings.Count(string(text), "\n"))}, err
}

// ClientName knows one client.
func (w *World) ClientName(address string) string {
	if address == "192.0.2.7" {
		return "living-room TV"
	}
	return ""
}
