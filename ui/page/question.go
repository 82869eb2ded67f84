package page

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

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
	Fill               string // what the browser may fill in
	Most               int    // characters
	Spell              bool
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
	v.native()
	if f.Max != "" && f.Kind != engine.FieldText {
		v.Help = strings.TrimSpace(v.Help + " At most " + f.Max + ".")
	}
	return v
}

// native picks the input of a browser that suits a field: its keyboard on a phone, and
// what the browser may fill in by itself.
func (v *FieldView) native() {
	v.Fill = "off"
	switch v.Kind {
	case engine.FieldText:
		v.Most, _ = strconv.Atoi(v.Max) // 0: as the form has room
		v.Spell = true
		for part, fill := range map[string]string{"email": "email", "phone": "tel", "full_name": "name"} {
			if v.Name == part {
				v.Fill, v.Spell = fill, false
			}
		}
		if v.Fill == "email" || v.Fill == "tel" {
			v.Mode = v.Fill
		}
	case engine.FieldNumber:
		v.Mode = "decimal" // a text: what a browser makes of a number depends on its language
	case engine.FieldDate:
		v.Type = "date"
	case engine.FieldDuration:
		v.Help = "For example 2h, 3d or 1w."
	case engine.FieldDomain:
		v.Mode, v.Help = "url", "For example example.org."
	case engine.FieldAddress:
		v.Help = "For example 192.0.2.7."
	case engine.FieldFile:
		v.Help = "At most 25 MB; it is put on the incident."
	}
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
	Stale   bool   // the form that was sent asked something else
	Mine    string // what the visitor said so far, where others have to agree
}

// SoFar is what several people said so far.
func (v questionView) SoFar() []voteView { return votes(v.frame, v.Ask.Question) }

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
	v.Stale, v.Mine = status == http.StatusConflict, said(q, to)
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
	ok, err := p.linkForms(c, askForms)
	if err != nil {
		return err
	}
	if !ok {
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
		return p.linkForm(c, http.StatusConflict, q, to, desk.Input{}, nil)
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
	return p.thanks(c, q, to)
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
