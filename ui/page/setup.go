package page

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/login"
)

type setupView struct {
	frame
	State  login.SetupState
	Person string
	Action string
	Token  string
}

// setupForm is the purpose of the form of a sign-in link.
const setupForm = "setup"

// Setup serves GET /setup/:token: it shows a button and changes nothing.
func (p *Pages) Setup(c echo.Context) error {
	if err := p.Access.MayGuess(c.Request()); err != nil {
		return err
	}
	person, state, err := p.Access.Sessions.Setup(c.Param("token"))
	if err != nil {
		return err
	}
	return p.setup(c, person, state)
}

func (p *Pages) setup(c echo.Context, person string, state login.SetupState) error {
	token := c.Param("token")
	v := setupView{frame: p.bare(c), State: state, Person: person, Action: p.base + "/setup/" + token}
	status := http.StatusOK
	switch state {
	case login.SetupFresh:
		v.Token = login.FormToken(token, setupForm)
	case login.SetupUnknown:
		p.Access.Guessed(c.Request())
		status = http.StatusNotFound
	default:
		status = http.StatusGone
	}
	return p.render(c, status, "setup", v)
}

// UseSetup serves POST /setup/:token: it signs the device in, once.
func (p *Pages) UseSetup(c echo.Context) error {
	if err := p.Access.MayGuess(c.Request()); err != nil {
		return err
	}
	if err := login.SameOrigin(c.Request(), p.URL); err != nil {
		return err
	}
	form, err := formValue(c, login.FormField)
	if err != nil {
		return err
	}
	if !login.ValidFormToken(form, c.Param("token"), setupForm) {
		return engine.Errorf(engine.Denied, "the form does not belong to this link").
			WithHint("Open the sign-in link again and press the button there.")
	}
	session, state, err := p.Access.Sessions.Consume(c.Request().Context(), c.Param("token"))
	if err != nil {
		return err
	}
	if session == "" {
		return p.setup(c, "", state)
	}
	c.SetCookie(p.Access.Sessions.Cookie(session))
	return p.back(c, "/overview", "signed-in")
}
