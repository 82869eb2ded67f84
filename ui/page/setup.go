package page

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/login"
)

type setupView struct {
	frame
	State  login.State
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
	s, state, err := p.Access.Devices.Find(c.Param("token"), engine.ViaLink)
	if err != nil {
		return err
	}
	return p.setup(c, s.Whose(), state)
}

func (p *Pages) setup(c echo.Context, person string, state login.State) error {
	token := c.Param("token")
	v := setupView{frame: p.bare(c), State: state, Person: person, Action: p.base + "/setup/" + token}
	status := http.StatusOK
	switch state {
	case login.Fresh:
		v.Token = login.FormToken(token, setupForm)
	case login.Unknown:
		p.Access.Guessed(c.Request())
		status = http.StatusNotFound
	default:
		status = http.StatusGone
	}
	return p.render(c, status, "setup", v)
}

// UseSetup serves POST /setup/:token: it pairs the browser, once.
func (p *Pages) UseSetup(c echo.Context) error {
	if err := p.Access.MayGuess(c.Request()); err != nil {
		return err
	}
	ok, err := p.linkForms(c, setupForm)
	if err != nil {
		return err
	}
	if !ok {
		return engine.Errorf(engine.Denied, "the form does not belong to this link").
			WithHint("Open the sign-in link again and press the button there.")
	}
	r := c.Request()
	key, s, state, err := p.Access.Devices.Pair(r.Context(), c.Param("token"), engine.ViaLink, "", r.UserAgent(), login.From(r.Context()).Device)
	if err != nil {
		return err
	}
	if key == "" {
		return p.setup(c, s.Whose(), state)
	}
	c.SetCookie(p.Access.Devices.Cookie(key))
	if s.Person == "" {
		return p.render(c, http.StatusOK, "setup", setupView{frame: p.bare(c), State: "done", Person: s.Whose()})
	}
	return p.back(c, "/overview", "signed-in")
}
