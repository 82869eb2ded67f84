package page

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/ui/login"
)

type signinView struct {
	frame
	Out bool // the visitor has just signed out
}

// SignIn is shown in place of a page that needs a sign-in.
func (p *Pages) SignIn(c echo.Context) error {
	return p.render(c, http.StatusUnauthorized, "signin", signinView{frame: p.bare(c)})
}

// SignOut serves POST /logout.
func (p *Pages) SignOut(c echo.Context) error {
	found := login.From(c.Request().Context())
	if err := p.Access.Sessions.End(c.Request().Context(), found.Session, found.Name); err != nil {
		return err
	}
	c.SetCookie(p.Access.Sessions.Cookie(""))
	v := signinView{frame: p.bare(c), Out: true}
	v.Who = login.Identity{}
	return p.render(c, http.StatusOK, "signin", v)
}
