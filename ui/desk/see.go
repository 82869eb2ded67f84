package desk

import (
	"mime"
	"net/http"

	"larkspur/engine"
	"larkspur/ui/login"
)

// Limits of lists.
const (
	DefaultLimit = 50
	MaxLimit     = 500
	// maxRefills bounds how many further pages are read to replace what the
	// identity may not see.
	maxRefills = 8
)

// VisibleToTeam is Incident.Visible of what only its team may see.
const VisibleToTeam = engine.VisibleToTeam

// maySee reports whether an incident is shown to somebody.
func maySee(who login.Identity, i engine.Incident) bool {
	if i.Visible != VisibleToTeam || who.May(login.SeeAll) {
		return true
	}
	return who.InTeam(i.Team) || i.Owner != "" && i.Owner == who.Name
}

// sight remembers for one request which incidents somebody may see.
type sight struct {
	desk *Desk
	who  login.Identity
	seen map[string]bool
}

func (d *Desk) sight(who login.Identity) *sight {
	return &sight{d, who, map[string]bool{}}
}

// of reports whether what belongs to an incident may be seen; what belongs to
// none may.
func (s *sight) of(incident string) bool {
	if incident == "" || s.who.May(login.SeeAll) {
		return true
	}
	if known, ok := s.seen[incident]; ok {
		return known
	}
	i, err := s.desk.Reader.Incident(incident)
	s.seen[incident] = err == nil && maySee(s.who, i)
	return s.seen[incident]
}

// paged reads pages until limit visible items are found or there are no more. A
// reader may end a page early to bound its work; so does paged then, and the
// cursor goes on from there.
func paged[T any](cursor string, limit int, read func(cursor string, limit int) ([]T, string, error), visible func(T) bool) ([]T, string, error) {
	found := make([]T, 0, min(limit, DefaultLimit))
	for range maxRefills {
		asked := limit - len(found)
		items, next, err := read(cursor, asked)
		if err != nil {
			return nil, "", err
		}
		for _, item := range items {
			if visible(item) {
				found = append(found, item)
			}
		}
		cursor = next
		if cursor == "" || len(found) >= limit || len(items) < asked {
			break
		}
	}
	return found, cursor, nil
}

// Incidents lists incidents that somebody may see.
func (d *Desk) Incidents(who login.Identity, f engine.IncidentFilter, cursor string, limit int) ([]engine.Incident, string, error) {
	return paged(cursor, limit, func(cursor string, limit int) ([]engine.Incident, string, error) {
		return d.Reader.Incidents(f, cursor, limit)
	}, func(i engine.Incident) bool { return maySee(who, i) })
}

// Runs lists runs that somebody may see.
func (d *Desk) Runs(who login.Identity, f engine.RunFilter, cursor string, limit int) ([]engine.Run, string, error) {
	s := d.sight(who)
	return paged(cursor, limit, func(cursor string, limit int) ([]engine.Run, string, error) {
		return d.Reader.Runs(f, cursor, limit)
	}, func(r engine.Run) bool { return s.of(r.Incident) })
}

// Questions lists questions that somebody may see.
func (d *Desk) Questions(who login.Identity, f engine.QuestionFilter, cursor string, limit int) ([]engine.Question, string, error) {
	s := d.sight(who)
	return paged(cursor, limit, func(cursor string, limit int) ([]engine.Question, string, error) {
		return d.Reader.Questions(f, cursor, limit)
	}, func(q engine.Question) bool { return s.of(q.Incident) || Asked(who, q) })
}

// Mails lists the mails that wait for the mail server, as far as somebody may see
// what they are about.
func (d *Desk) Mails(who login.Identity, cursor string, limit int) ([]engine.Mail, string, error) {
	s := d.sight(who)
	return paged(cursor, limit, d.Reader.WaitingMails, func(m engine.Mail) bool { return s.of(m.Incident) })
}

// Changes lists changes that somebody may see.
func (d *Desk) Changes(who login.Identity, f engine.ChangeFilter, cursor string, limit int) ([]engine.Change, string, error) {
	s := d.sight(who)
	return paged(cursor, limit, func(cursor string, limit int) ([]engine.Change, string, error) {
		return d.Reader.Changes(f, cursor, limit)
	}, func(c engine.Change) bool { return s.of(c.Incident) })
}

func missing(what, id string) error {
	return engine.Errorf(engine.NotFound, "there is no %s %q", what, id).
		WithHint("It may be misspelt, or past its retention.")
}

// Incident returns an incident. One that somebody may not see is not_found.
func (d *Desk) Incident(who login.Identity, id string) (engine.Incident, error) {
	if _, _, ok := engine.ParseID('i', id); !ok {
		return engine.Incident{}, missing("incident", id)
	}
	i, err := d.Reader.Incident(id)
	if err != nil {
		return i, err
	}
	if !maySee(who, i) {
		return engine.Incident{}, missing("incident", id)
	}
	return i, nil
}

// Run returns a run.
func (d *Desk) Run(who login.Identity, id string) (engine.Run, error) {
	if _, _, ok := engine.ParseID('r', id); !ok {
		return engine.Run{}, missing("run", id)
	}
	r, err := d.Reader.Run(id)
	if err == nil && !d.sight(who).of(r.Incident) {
		return engine.Run{}, missing("run", id)
	}
	return r, err
}

// Steps returns a run's steps as one of its generations saw them, 0 for the
// present one. The caller has asked for the run.
func (d *Desk) Steps(run string, generation int) ([]engine.Step, error) {
	if generation == 0 {
		return d.Reader.Steps(run)
	}
	return d.Reader.StepsOf(run, generation)
}

// Question returns a question; who is asked sees it whatever its incident shows.
func (d *Desk) Question(who login.Identity, id string) (engine.Question, error) {
	if _, _, ok := engine.ParseID('q', id); !ok {
		return engine.Question{}, missing("question", id)
	}
	q, err := d.Reader.Question(id)
	if err == nil && !Asked(who, q) && !d.sight(who).of(q.Incident) {
		return engine.Question{}, missing("question", id)
	}
	return q, err
}

// Change returns a change.
func (d *Desk) Change(who login.Identity, id string) (engine.Change, error) {
	if _, _, ok := engine.ParseID('c', id); !ok {
		return engine.Change{}, missing("change", id)
	}
	c, err := d.Reader.Change(id)
	if err == nil && !d.sight(who).of(c.Incident) {
		return engine.Change{}, missing("change", id)
	}
	return c, err
}

// Limits of a story: what one page or answer holds.
const (
	StoryTimeline = 200
	StoryItems    = 100
)

// Story is an incident with all that belongs to it, bounded.
type Story struct {
	Incident  engine.Incident
	Timeline  []engine.TimelineEntry
	More      string // the cursor of the timeline's next page
	Runs      []engine.Run
	Questions []engine.Question
	Changes   []engine.Change
	// Attachments and Indicators, the oldest first.
	Attachments []engine.Attachment
	Indicators  []engine.Indicator
	Buttons     []engine.Button
	Deadlines   []engine.Deadline
}

// Story reads an incident with its timeline (from a cursor), runs, questions,
// changes, evidence and deadlines.
func (d *Desk) Story(who login.Identity, id, cursor string) (Story, error) {
	var s Story
	var err error
	if s.Incident, err = d.Incident(who, id); err != nil {
		return s, err
	}
	if s.Timeline, s.More, err = d.Reader.Timeline(id, cursor, StoryTimeline); err != nil {
		return s, err
	}
	if s.Runs, _, err = d.Reader.Runs(engine.RunFilter{Incident: id}, "", StoryItems); err != nil {
		return s, err
	}
	if s.Questions, _, err = d.Reader.Questions(engine.QuestionFilter{Incident: id}, "", StoryItems); err != nil {
		return s, err
	}
	if s.Changes, _, err = d.Reader.Changes(engine.ChangeFilter{Incident: id}, "", StoryItems); err != nil {
		return s, err
	}
	if s.Attachments, err = d.Reader.Attachments(id); err != nil {
		return s, err
	}
	if s.Indicators, err = d.Reader.Indicators(id); err != nil {
		return s, err
	}
	if s.Buttons, err = d.Reader.Buttons(id); err != nil {
		return s, err
	}
	s.Deadlines, err = d.Reader.Deadlines(id)
	return s, err
}

// Attachment reads a file of an incident that somebody may see.
func (d *Desk) Attachment(who login.Identity, incident, sum string) (engine.Attachment, []byte, error) {
	if _, err := d.Incident(who, incident); err != nil {
		return engine.Attachment{}, nil, err
	}
	return d.Reader.Attachment(incident, sum)
}

// Download are the headers of a file: a browser keeps it, and shows nothing of it.
func Download(h http.Header, name string) {
	disposition := mime.FormatMediaType("attachment", map[string]string{"filename": name})
	if disposition == "" {
		disposition = "attachment"
	}
	h.Set("Content-Disposition", disposition)
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}
