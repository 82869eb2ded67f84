package page

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/login"
)

// buttonView is the page of a button's link: for somebody who has no account.
type buttonView struct {
	frame
	Button engine.Button
	Title  string // the incident's
	Owner  string // who looks after it, once somebody does
	Open   bool
	Action string
	Token  string // the form's token; none when there is nothing to press
	Fresh  bool   // it was pressed by this very request
}

// buttonForm is the purpose of a button's form.
const buttonForm = "button"

// Button serves GET /b/:token: it shows the button and changes nothing, whoever
// follows the link.
func (p *Pages) Button(c echo.Context) error {
	b, err := p.buttonOf(c)
	if err != nil {
		return err
	}
	return p.button(c, b, false)
}

// PressButton serves POST /b/:token.
func (p *Pages) PressButton(c echo.Context) error {
	b, err := p.buttonOf(c)
	if err != nil {
		return err
	}
	ok, err := p.linkForms(c, buttonForm)
	if err != nil {
		return err
	}
	if !ok {
		return engine.Errorf(engine.Denied, "the form does not belong to this link").
			WithHint("Nothing was pressed. Open the link of the mail again and press the button there.")
	}
	d, err := p.Desk.PressLink(c.Request().Context(), login.From(c.Request().Context()).Identity, b)
	if err != nil {
		return err
	}
	if b, err = p.Desk.Reader.ButtonByToken(c.Param("token")); err != nil {
		return err
	}
	return p.button(c, b, d.Applied)
}

// linkForms reports whether a posted form is of the page that its link showed; a
// request of another site is an error of kind denied.
func (p *Pages) linkForms(c echo.Context, purpose string) (ok bool, err error) {
	if err := login.SameOrigin(c.Request(), p.URL); err != nil {
		return false, err
	}
	form, err := formValue(c, login.FormField)
	return login.ValidFormToken(form, c.Param("token"), purpose), err
}

// buttonOf finds a link's button; wrong tokens are counted by client, as those of
// questions are.
func (p *Pages) buttonOf(c echo.Context) (engine.Button, error) {
	token := c.Param("token")
	if err := p.Access.MayGuess(c.Request()); err != nil {
		return engine.Button{}, err
	}
	b, err := engine.Button{}, error(engine.Errorf(engine.NotFound, "no button belongs to this link"))
	if len(token) <= 100 {
		b, err = p.Desk.Reader.ButtonByToken(token)
	}
	if err != nil && engine.KindOf(err) == engine.NotFound {
		p.Access.Guessed(c.Request())
		return b, engine.Errorf(engine.NotFound, "no button belongs to this link").
			WithHint("Links are long: it may have been cut off when it was copied. Open it as it stands in the mail, or answer the mail.")
	}
	return b, err
}

// button writes the page: 410 for one that can start nothing any more.
func (p *Pages) button(c echo.Context, b engine.Button, fresh bool) error {
	v := buttonView{frame: p.bare(c), Button: b, Action: p.base + "/b/" + c.Param("token"), Fresh: fresh}
	if i, err := p.Desk.Reader.Incident(b.Incident); err == nil {
		v.Title, v.Owner, v.Open = i.Title, i.Owner, i.Status == engine.IncidentOpen
	}
	status := http.StatusOK
	switch {
	case b.Erased != nil:
		status = http.StatusGone
	case b.Pressed.IsZero():
		v.Token = login.FormToken(c.Param("token"), buttonForm)
	}
	return p.render(c, status, "button", v)
}

// PressIncident serves POST /incidents/:id/press.
func (p *Pages) PressIncident(c echo.Context) error {
	return p.act(c, "pressed", func(who login.Identity, form map[string]string) (engine.Decision, error) {
		return p.Desk.Press(c.Request().Context(), who, c.Param("id"), form["button"])
	})
}
