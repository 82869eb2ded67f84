package page

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

// askView is the form of a question.
type askView struct {
	frame
	engine.Question
	Action   string // where the form is sent
	Token    string // the form's token
	In       desk.Input
	Problems desk.Problems
	Inputs   []FieldView
	Answers  bool // the visitor may answer
	Here     bool // on the incident's page: the visitor is asked, and a press is enough
}

// FieldView is one input of a question.
type FieldView struct {
	engine.Field
	ID, Title, Problem string
	Value              string
	Chosen             map[string]bool
	Type, Mode, Help   string
}

// Typed reports whether the choice has to be written out.
func (a askView) Typed() bool { return a.Proof == desk.ProofTyped && len(a.Choices) > 0 }

// Upload reports whether the form has a file.
func (a askView) Upload() bool {
	return slices.ContainsFunc(a.Fields, func(f engine.Field) bool { return f.Kind == engine.FieldFile })
}

// Others names who is asked besides the visitor.
func (a askView) Others() string {
	if len(a.To) < 2 {
		return ""
	}
	return desk.Addressees(a.To)
}

func ask(f frame, q engine.Question, in desk.Input, problems desk.Problems) askView {
	a := askView{frame: f, Question: q, In: in, Problems: problems}
	for n, field := range q.Fields {
		a.Inputs = append(a.Inputs, fieldView(q.ID+"-"+strconv.Itoa(n), field, in, problems))
	}
	return a
}

func fieldView(id string, f engine.Field, in desk.Input, problems desk.Problems) FieldView {
	v := FieldView{
		Field: f, ID: id, Title: f.Label, Problem: problems["field."+f.Name],
		Chosen: map[string]bool{}, Type: "text",
	}
	if v.Title == "" {
		v.Title = label(f.Name)
	}
	for _, value := range in.Fields[f.Name] {
		v.Chosen[value] = true
		v.Value = value
	}
	switch f.Kind {
	case "number":
		v.Mode = "decimal"
	case "date":
		v.Type = "date"
	case "duration":
		v.Help = "For example 2h, 3d or 1w."
	case "domain":
		v.Mode, v.Help = "url", "For example example.org."
	case "file":
		v.Type, v.Help = "file", "At most 25 MB; it is put on the incident."
	case "address":
		v.Help = "For example 192.0.2.7 or 2001:db8::7."
	}
	if f.Max != "" {
		v.Help += " At most " + f.Max + "."
	}
	return v
}

// askSignedIn is the form of a question for who is signed in.
func (p *Pages) askSignedIn(f frame, q engine.Question, in desk.Input, problems desk.Problems) askView {
	a := ask(f, q, in, problems)
	a.Action, a.Token = p.base+"/questions/"+q.ID, f.FormToken
	again := q.Proof == desk.ProofLogin && !f.Who.Device.Fresh(f.Now)
	a.Here = desk.Asked(f.Who, q) && len(q.Fields) == 0 && !q.Why && q.Proof != desk.ProofTyped && !again
	a.Answers = f.Who.May(login.Answer) && desk.MayAnswer(f.Who, q) && q.Status == engine.QuestionOpen
	return a
}

// questionView is the page of one question.
type questionView struct {
	frame
	Ask     askView
	By      string // the visitor, by a link
	Title   string // the incident's
	Rule    string // whose playbook asks
	Outcome *Outcome
	Needs   string // what the visitor has to do first: "pair" this browser, or sign in "again"
	Code    codeView
	Paired  string // whose browser it is, if it is paired
	Seen    bool   // the visitor may see the incident
}

// Said says in a sentence what proves who answers.
func (v questionView) Said() string {
	switch {
	case v.Ask.Proof == desk.ProofTyped:
		return "You answer as " + v.By + ". Whoever has this link can, by typing the choice out: do not forward it."
	case v.Ask.Proof == desk.ProofDevice:
		return "You answer as " + v.By + ", with whom this browser is paired. The link alone answers nothing."
	case v.Ask.Proof == desk.ProofLogin:
		return "You answer as " + v.By + ", who signed in here less than 15 minutes ago. The link alone answers nothing."
	}
	return "You answer as " + v.By + ". Whoever has this link can: do not forward it."
}

// Outcome tells what became of a question.
type Outcome struct {
	Heading string
	Text    string
	Tone    string
	Answer  *engine.Answer
	Fields  []Fact
	Since   string // what happened since
}

// Link serves GET /a/:token: it shows and changes nothing.
func (p *Pages) Link(c echo.Context) error {
	q, to, err := p.byToken(c)
	if err != nil {
		return err
	}
	if q.Status != engine.QuestionOpen {
		return p.settled(c, q, to)
	}
	return p.linkForm(c, http.StatusOK, q, to, desk.Input{}, nil)
}

// byToken finds a link's question; wrong tokens are counted by client.
func (p *Pages) byToken(c echo.Context) (engine.Question, engine.Addressee, error) {
	token := c.Param("token")
	if err := p.Access.MayGuess(c.Request()); err != nil {
		return engine.Question{}, engine.Addressee{}, err
	}
	if len(token) > 100 {
		return engine.Question{}, engine.Addressee{}, p.unknownLink(c)
	}
	q, to, err := p.Desk.Reader.QuestionByToken(token)
	if err != nil && engine.KindOf(err) == engine.NotFound {
		err = p.unknownLink(c)
	}
	return q, to, err
}

func (p *Pages) unknownLink(c echo.Context) error {
	p.Access.Guessed(c.Request())
	return engine.Errorf(engine.NotFound, "no question belongs to this link").
		WithHint("Links are long: it may have been cut off when it was copied, or the question is past its retention. Open the newest mail about it.")
}

// linkForm writes the form of a question for whoever has its link: or, before they can
// answer, what they have to do first.
func (p *Pages) linkForm(c echo.Context, status int, q engine.Question, to engine.Addressee, in desk.Input, problems desk.Problems) error {
	return p.linkPage(c, status, q, to, in, problems, "")
}

func (p *Pages) linkPage(c echo.Context, status int, q engine.Question, to engine.Addressee, in desk.Input, problems desk.Problems, wrong string) error {
	f := p.bare(c)
	token := c.Param("token")
	v := p.view(f, q, to)
	v.Ask = ask(f, q, in, problems)
	v.Ask.Action = p.base + "/a/" + token
	v.Ask.Token = login.FormToken(token, formOf(q))
	v.Needs = p.Desk.Lacks(q, to, f.Who)
	if v.Ask.Answers = v.Needs == ""; !v.Ask.Answers {
		v.Paired = f.Who.Device.Owner()
		v.Code = p.codeView(c, p.Access.Devices.OwnerOf(to), false)
		v.Code.Send, v.Code.SendToken, v.Code.Problem = v.Ask.Action+"/code", login.FormToken(token, askForms), wrong
		if v.Code.Enter != "" {
			v.Code.Enter = v.Ask.Action + "/pair"
		}
	}
	return p.render(c, status, "question", v)
}

// askForms is the purpose of the form that asks for a code.
const askForms = "send a code"

// SendLinkCode serves POST /a/:token/code: it mails a code to the addressee's own
// address, never to one that the visitor names.
func (p *Pages) SendLinkCode(c echo.Context) error {
	q, to, err := p.byToken(c)
	if err != nil {
		return err
	}
	if err := login.SameOrigin(c.Request(), p.URL); err != nil {
		return err
	}
	form, err := formValue(c, login.FormField)
	if err != nil {
		return err
	}
	if !login.ValidFormToken(form, c.Param("token"), askForms) {
		return engine.Errorf(engine.Denied, "the form does not belong to this link").
			WithHint("Nothing was sent. Open the link again and press the button there.")
	}
	if q.Status != engine.QuestionOpen {
		return p.settled(c, q, to)
	}
	owner := p.Access.Devices.OwnerOf(to)
	if owner.Email == "" {
		return engine.Errorf(engine.Conflict, "no address is known of %s", addressee(to)).
			WithHint("An administrator can make a link that signs this browser in: larkspur login %s", addressee(to))
	}
	if err := p.Access.MayAskForCode(c.Request(), c.Param("token"), owner); err != nil {
		return err
	}
	if err := p.sendCode(c, owner); err != nil {
		return err
	}
	return p.back(c, "/a/"+c.Param("token"), "")
}

// PairLink serves POST /a/:token/pair: the code that was mailed pairs this browser
// with the addressee.
func (p *Pages) PairLink(c echo.Context) error {
	q, to, err := p.byToken(c)
	if err != nil {
		return err
	}
	owner := p.Access.Devices.OwnerOf(to)
	problem, err := p.enterCode(c, &owner)
	switch {
	case err != nil:
		return err
	case problem != "" && q.Status == engine.QuestionOpen && p.Desk.Lacks(q, to, login.From(c.Request().Context()).Identity) != "":
		return p.linkPage(c, http.StatusBadRequest, q, to, desk.Input{}, nil, problem)
	}
	return p.back(c, "/a/"+c.Param("token"), "")
}

// formOf binds a form to its question's revision.
func formOf(q engine.Question) string { return q.ID + "/" + strconv.Itoa(q.Revision) }

func addressee(to engine.Addressee) string {
	if to.Name != "" {
		return to.Name
	}
	return to.Email
}

// view begins the page of a question: with who asks.
func (p *Pages) view(f frame, q engine.Question, to engine.Addressee) questionView {
	v := questionView{frame: f, Ask: askView{Question: q}, By: addressee(to)}
	if q.Incident != "" {
		if i, err := p.Desk.Reader.Incident(q.Incident); err == nil {
			v.Title, v.Rule = i.Title, i.Rule
			_, unseen := p.Desk.Incident(f.Who, i.ID)
			v.Seen = f.Who.May(login.See) && unseen == nil
		}
	}
	return v
}

// smallForm bounds an answer without files.
const smallForm = 256 << 10

// AnswerLink serves POST /a/:token.
func (p *Pages) AnswerLink(c echo.Context) error {
	q, to, err := p.byToken(c)
	if err != nil {
		return err
	}
	if !(askView{Question: q}).Upload() { // a link is open to whoever has it: only files are large
		r := c.Request()
		r.Body = http.MaxBytesReader(c.Response(), r.Body, smallForm)
	}
	if err := login.SameOrigin(c.Request(), p.URL); err != nil {
		return err
	}
	token, err := formValue(c, login.FormField)
	if err != nil {
		return err
	}
	if q.Status != engine.QuestionOpen {
		return p.settled(c, q, to)
	}
	if !login.ValidFormToken(token, c.Param("token"), formOf(q)) {
		return engine.Errorf(engine.Conflict, "the question changed after this page was opened").
			WithHint("Nothing was decided. Open the link again and answer what it asks now.")
	}
	in, err := desk.FormInput(c.Request())
	if err != nil {
		return err
	}
	who := login.From(c.Request().Context()).Identity
	d, err := p.Desk.AnswerLink(c.Request().Context(), q, to, who, in)
	var problems desk.Problems
	switch {
	case errors.As(err, &problems):
		return p.linkForm(c, http.StatusUnprocessableEntity, q, to, in, problems)
	case err != nil && engine.KindOf(err) == engine.Denied:
		return p.linkForm(c, http.StatusForbidden, q, to, in, nil)
	case err != nil:
		return err
	}
	if q, to, err = p.byToken(c); err != nil {
		return err
	}
	if !d.Applied {
		return p.settled(c, q, to)
	}
	v := p.view(p.bare(c), q, to)
	v.Outcome = p.outcome(v.frame, q, to)
	v.Outcome.Heading, v.Outcome.Tone = "Thank you, your answer is recorded", "good"
	return p.render(c, http.StatusOK, "question", v)
}

// settled writes the page of a question that takes no answer any more: 409 when
// somebody was first, 410 when its time is over or it was withdrawn.
func (p *Pages) settled(c echo.Context, q engine.Question, to engine.Addressee) error {
	v := p.view(p.bare(c), q, to)
	v.Outcome = p.outcome(v.frame, q, to)
	status := http.StatusConflict
	if q.Status == engine.QuestionTimedOut || q.Status == engine.QuestionWithdrawn {
		status = http.StatusGone
	}
	return p.render(c, status, "question", v)
}

// outcome tells an addressee what became of a question.
func (p *Pages) outcome(f frame, q engine.Question, to engine.Addressee) *Outcome {
	o := &Outcome{Answer: q.Answer, Tone: "info", Since: p.since(f, q, to)}
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
		o.Text = "More than one answer is needed; the question waits for the others."
	case q.Answer.By == addressee(to):
		o.Heading = "You have answered this already"
	default:
		o.Heading = q.Answer.By + " has answered this already"
	}
	if q.Answer != nil && !q.Answer.TimedOut {
		o.Fields = answerFacts(f, q.Answer)
	}
	return o
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
	if to.Name == "" {
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

// Question serves GET /questions/:id, for who is signed in.
func (p *Pages) Question(c echo.Context) error {
	f := p.frame(c, "questions")
	q, err := p.Desk.Question(f.Who, c.Param("id"))
	if err != nil {
		return err
	}
	return p.question(c, http.StatusOK, f, q, desk.Input{}, nil)
}

func (p *Pages) question(c echo.Context, status int, f frame, q engine.Question, in desk.Input, problems desk.Problems) error {
	v := p.view(f, q, engine.Addressee{})
	v.Ask = p.askSignedIn(f, q, in, problems)
	if v.Ask.Answers && q.Proof == desk.ProofLogin && !f.Who.Device.Fresh(f.Now) {
		v.Needs, v.Ask.Answers = "signin", false
	}
	if q.Status != engine.QuestionOpen {
		v.Outcome = p.outcome(f, q, engine.Addressee{Name: f.Who.Name})
	}
	return p.render(c, status, "question", v)
}

// AnswerQuestion serves POST /questions/:id.
func (p *Pages) AnswerQuestion(c echo.Context) error {
	f := p.frame(c, "questions")
	q, err := p.Desk.Question(f.Who, c.Param("id"))
	if err != nil {
		return err
	}
	in, err := desk.FormInput(c.Request())
	if err != nil {
		return err
	}
	d, err := p.Desk.Answer(c.Request().Context(), f.Who, q.ID, in)
	var problems desk.Problems
	switch {
	case errors.As(err, &problems):
		return p.question(c, http.StatusUnprocessableEntity, f, q, in, problems)
	case err != nil:
		return err
	case !d.Applied:
		if q, err = p.Desk.Question(f.Who, q.ID); err != nil {
			return err
		}
		return p.question(c, http.StatusConflict, f, q, in, nil)
	case q.Incident != "":
		return p.back(c, "/incidents/"+q.Incident, "answered")
	}
	return p.back(c, "/questions/"+q.ID, "answered")
}

// Decision says in one line what came of a question.
func (a askView) Decision() string { return decision(a.Question) }
