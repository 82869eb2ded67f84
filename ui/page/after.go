package page

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// What stands on a question's page once it was answered, or cannot be any more.

// Outcome tells what became of a question.
type Outcome struct {
	Heading string
	Text    string
	Tone    string
	Answer  *engine.Answer
	Fields  []Fact
	Since   string // how the incident stands
	Votes   []voteView
	// Did is what the run did since the answer, Going that it goes on, Changes what it
	// changed: for those who may know.
	Did     []engine.TimelineEntry
	Going   string
	Changes []engine.Change
	Again   string // where the page is looked at again
}

// voteView is what one of several said.
type voteView struct {
	Who, Choice string
	At          Moment
}

// Limits of what a page tells of a run.
const (
	didShown   = 12
	didLooked  = 5 // pages of the timeline
	followSpan = 10 * time.Minute
)

// settled writes the page of a question that takes no answer any more: 409 when
// somebody was first, 410 when its time is over or it was withdrawn.
func (p *Pages) settled(c echo.Context, q engine.Question, to engine.Addressee) error {
	status := http.StatusConflict
	if q.Status == engine.QuestionTimedOut || q.Status == engine.QuestionWithdrawn {
		status = http.StatusGone
	}
	return p.after(c, status, q, to, func(*Outcome) {})
}

// thanks writes the page of an answer that was just given.
func (p *Pages) thanks(c echo.Context, q engine.Question, to engine.Addressee) error {
	return p.after(c, http.StatusOK, q, to, func(o *Outcome) {
		if o.Heading, o.Tone = "Thank you, your answer is recorded", "good"; q.Status == engine.QuestionOpen {
			o.Text = "It counts. The question waits until " + agree(q) + "; until then you may change your mind here."
		}
	})
}

func (p *Pages) after(c echo.Context, status int, q engine.Question, to engine.Addressee, amend func(*Outcome)) error {
	v := p.view(p.bare(c), q, to)
	v.Outcome = p.outcome(v.frame, q, to)
	v.Outcome.Again = p.base + "/a/" + c.Param("token")
	amend(v.Outcome)
	if v.Outcome.Going != "" && v.Now.Sub(q.Answer.At) < followSpan {
		v.Follow = v.Outcome.Again
	}
	return p.render(c, status, "question", v)
}

// outcome tells an addressee what became of a question.
func (p *Pages) outcome(f frame, q engine.Question, to engine.Addressee) *Outcome {
	o := &Outcome{Answer: q.Answer, Tone: "info", Since: p.since(f, q, to), Votes: votes(f, q)}
	switch {
	case q.Status == engine.QuestionWithdrawn:
		o.Heading, o.Tone = "This question was withdrawn", "mute"
		o.Text = "Nobody needs to answer it any more. Pressing the link changed nothing."
	case q.Status == engine.QuestionTimedOut || q.Answer != nil && q.Answer.TimedOut:
		o.Heading, o.Tone = "The time to answer is over", "warn"
		o.Text = "The playbook went on without an answer."
		if q.Answer != nil && q.Answer.Choice != "" {
			o.Text = "Nobody answered in time, so what was announced was done: " + q.Answer.Choice + "."
		}
	case q.Answer == nil:
		o.Heading = "Your answer is recorded"
		o.Text = "The question waits until " + agree(q) + "."
	case q.Answer.By == addressee(to):
		o.Heading = "You have answered this already"
	default:
		o.Heading = q.Answer.By + " has answered this already"
	}
	if q.Answer != nil && !q.Answer.TimedOut {
		o.Fields = answerFacts(f, q.Answer)
	}
	if p.insider(to) && (p.Access.Devices.Belongs(f.Who.Device, to) || f.Who.Known()) {
		p.addDoings(o, f, q)
	}
	return o
}

// insider reports whether an addressee is one of people: others are told less.
func (p *Pages) insider(to engine.Addressee) bool {
	_, known := p.Access.Devices.People.Person(to.Name)
	return to.Name != "" && known
}

// addDoings tells what a question's run did since it was answered, in the words of the
// incident's story.
func (p *Pages) addDoings(o *Outcome, f frame, q engine.Question) {
	if q.Answer == nil || q.Incident == "" {
		return
	}
	cursor := ""
	for range didLooked {
		list, next, err := p.Desk.Reader.Timeline(q.Incident, cursor, desk.StoryTimeline)
		if err != nil {
			return // the page says what it knows without
		}
		for _, e := range list {
			if e.Run == q.Run && e.Time.After(q.Answer.At) && e.Kind != "question_answered" {
				o.Did = append(o.Did, e)
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	o.Did = o.Did[max(0, len(o.Did)-didShown):]
	if run, err := p.Desk.Reader.Run(q.Run); err == nil && run.Ended.IsZero() {
		o.Going = "The playbook goes on"
		if w := waits(f, run.Waits); run.Status == engine.RunWaiting && w != "" {
			o.Going = "The playbook waits " + w
		}
	}
	changes, _, err := p.Desk.Reader.Changes(engine.ChangeFilter{Incident: q.Incident}, "", desk.StoryItems)
	if err == nil {
		o.Changes = slices.DeleteFunc(changes, func(c engine.Change) bool {
			return c.Run != q.Run || c.Made.Before(q.Answer.At) || c.Status == engine.ChangeUndone
		})
	}
}

// votes are what several people said so far, or in the end.
func votes(f frame, q engine.Question) (list []voteView) {
	for _, a := range q.Answers {
		list = append(list, voteView{a.By, a.Choice, f.When(a.At)})
	}
	return list
}

// said is what an addressee chose so far; "" for nothing yet.
func said(q engine.Question, to engine.Addressee) string {
	for _, a := range q.Answers {
		if a.Seat > 0 && a.Seat <= len(q.To) && q.To[a.Seat-1] == to {
			return a.Choice
		}
	}
	return ""
}

// agree says how many have to.
func agree(q engine.Question) string {
	if q.Quorum < 2 {
		return "somebody answers"
	}
	return strconv.Itoa(q.Quorum) + " people give the same answer"
}

func answerFacts(f frame, a *engine.Answer) []Fact {
	v, err := a.Fields.Value()
	m, ok := v.(map[string]engine.Value)
	if err != nil || !ok {
		return nil
	}
	var out []Fact
	for _, name := range sorted(m) {
		if m[name] != nil {
			out = append(out, Fact{Name: label(name), Value: desk.Text(m[name], f.Zone)})
		}
	}
	return out
}

// since tells how the incident stands. People of the workspace read why it was
// closed; others only that it was.
func (p *Pages) since(f frame, q engine.Question, to engine.Addressee) string {
	if q.Incident == "" {
		return ""
	}
	i, err := p.Desk.Reader.Incident(q.Incident)
	if err != nil {
		return ""
	}
	if i.Status == engine.IncidentOpen {
		return "The incident is still open."
	}
	text := "The incident was closed " + f.When(i.Closed).Age
	if !p.insider(to) {
		return text + "."
	}
	if i.ClosedBy != "" {
		text += " by " + i.ClosedBy
	}
	if i.Reason != "" {
		text += ": " + i.Reason
	}
	return text + "."
}
