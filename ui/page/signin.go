package page

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/login"
)

type signinView struct {
	frame
	Out  bool   // the visitor has just signed out
	Here bool   // they asked for this page, not for another one
	To   string // where they go afterwards: one of our own pages
	Name string // that was typed
	Code codeView
}

// SignIn is shown in place of a page that needs a sign-in.
func (p *Pages) SignIn(c echo.Context) error {
	v := signinView{frame: p.bare(c)}
	if c.Request().Method == http.MethodGet {
		v.To = ownPage(c.Request().URL.RequestURI())
	}
	return p.signin(c, http.StatusUnauthorized, v)
}

// SignInPage serves GET /signin.
func (p *Pages) SignInPage(c echo.Context) error {
	return p.signin(c, http.StatusOK, signinView{frame: p.bare(c), Here: true, To: ownPage(c.QueryParam("to"))})
}

func (p *Pages) signin(c echo.Context, status int, v signinView) error {
	problem := v.Code.Problem
	v.Code = p.codeView(c, login.Owner{}, true)
	if v.Code.Problem = problem; v.Code.Enter != "" {
		v.Code.Enter = p.base + "/signin/code"
	}
	v.Code.Send, v.Code.Next = p.base+"/signin", v.To
	return p.render(c, status, "signin", v)
}

// ownPage is where a sign-in may lead: a path of ours, never another site; else "".
func ownPage(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || len(to) > 1000 ||
		!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return ""
	}
	return to
}

// SendCode serves POST /signin: it mails a code to whoever was typed. The answer is
// the same whether there is somebody of that name or not.
func (p *Pages) SendCode(c echo.Context) error {
	if err := login.SameOrigin(c.Request(), p.URL); err != nil {
		return err
	}
	name, err := formValue(c, "name")
	if err != nil {
		return err
	}
	v := signinView{frame: p.bare(c), Here: true, To: ownPage(c.Request().PostForm.Get("to")), Name: name}
	if name = strings.TrimSpace(name); name == "" || len(name) > 320 {
		v.Code.Problem = "Type your name or your e-mail address."
		return p.signin(c, http.StatusBadRequest, v)
	}
	to := p.Access.Devices.Typed(name)
	asked := to
	if asked == (login.Owner{}) {
		asked.Email = name // strangers are counted, too
	}
	hush, err := p.Access.MaySignIn(c.Request(), asked)
	if err != nil {
		return err
	}
	if hush {
		to = login.Owner{}
	}
	if err := p.sendCode(c, to); err != nil {
		return err
	}
	return p.back(c, "/signin", "", "to", v.To)
}

// sendCode mails a code and gives the browser the cookie with which it is typed.
func (p *Pages) sendCode(c echo.Context, to login.Owner) error {
	token, err := p.Access.Devices.SendCode(c.Request().Context(), to)
	if err == nil {
		c.SetCookie(p.Access.Devices.WaitCookie(token))
	}
	return err
}

// EnterCode serves POST /signin/code.
func (p *Pages) EnterCode(c echo.Context) error {
	problem, err := p.enterCode(c, nil)
	if err != nil {
		return err
	}
	to := ownPage(c.Request().PostForm.Get("to"))
	if problem != "" {
		return p.signin(c, http.StatusBadRequest, signinView{frame: p.bare(c), Here: true, To: to, Code: codeView{Problem: problem}})
	}
	if to == "" || to == "/" {
		return p.back(c, "/overview", "signed-in")
	}
	return c.Redirect(http.StatusSeeOther, p.base+to)
}

// enterCode pairs the browser with the person whose code was typed, or says what is
// wrong with it. only, when it is given, is whose code it has to be.
func (p *Pages) enterCode(c echo.Context, only *login.Owner) (problem string, err error) {
	if err := p.Access.MayGuess(c.Request()); err != nil {
		return "", err
	}
	if err := login.SameOrigin(c.Request(), p.URL); err != nil {
		return "", err
	}
	form, err := formValue(c, login.FormField)
	if err != nil {
		return "", err
	}
	token := waitToken(c)
	if !login.ValidFormToken(form, token, codeForms) {
		return "This browser has not asked for that code, or did so too long ago. Have one sent to you here.", nil
	}
	if s, _, err := p.Access.Devices.Find(token, engine.ViaCode); err != nil || only != nil && (s.Person != only.Person || s.Email != only.Email) {
		return "That code is for another page. Have one sent to you here.", err
	}
	typed := c.Request().PostForm.Get("code")
	key, s, state, err := p.Access.Devices.Pair(c.Request().Context(), token, engine.ViaCode, typed, c.Request().UserAgent(), login.From(c.Request().Context()).Device)
	if err != nil {
		return "", err
	}
	if key == "" {
		p.Access.Guessed(c.Request())
		return wrongCode(s, state), nil
	}
	c.SetCookie(p.Access.Devices.Cookie(key))
	c.SetCookie(p.Access.Devices.WaitCookie(""))
	return "", nil
}

func wrongCode(s engine.SignIn, state login.State) string {
	switch state {
	case login.Fresh:
		left := engine.CodeTries - s.Tries
		if left == 1 {
			return "That is not the code. You may try once more."
		}
		return "That is not the code. You may try " + inWords(left) + " more times."
	case login.Spent:
		return "That was not the code, for the fifth time: it is worth nothing any more. Have another one sent to you."
	case login.Over:
		return "The code is over: it works for ten minutes. Have another one sent to you."
	case login.Used:
		return "The code was used already: it works once. Have another one sent to you."
	}
	return "The code is not known any more. Have another one sent to you."
}

func inWords(n int) string {
	words := []string{"no", "one", "two", "three", "four"}
	return words[max(0, min(n, len(words)-1))]
}

func waitToken(c echo.Context) string {
	if cookie, err := c.Cookie(login.CodeCookie); err == nil {
		return cookie.Value
	}
	return ""
}

// codeForms is the purpose of the form in which a code is typed.
const codeForms = "code"

// codeView is where somebody has a code sent to them and types it.
type codeView struct {
	Send      string // where a code is asked for
	SendToken string // of that form
	Enter     string // where it is typed; "" when none is on its way
	Token     string // of that form
	Whose     string // address that it is mailed to, shortened; "" for whom somebody types
	Person    string
	Next      string // where somebody goes afterwards
	Until     Moment
	Late      string // why the mail is not there yet
	Problem   string
	NoMail    *engine.Error // why none can be sent
}

// codeView looks at what this browser has asked for. anybody: whoever's code it is.
func (p *Pages) codeView(c echo.Context, to login.Owner, anybody bool) codeView {
	f := p.bare(c)
	v := codeView{Whose: shortened(to.Email), Person: to.Person}
	if err := p.Access.Devices.Decider.CanMail(); err != nil {
		v.NoMail = engine.AsError(err)
		return v
	}
	token := waitToken(c)
	s, state, err := p.Access.Devices.Find(token, engine.ViaCode)
	if err == nil && state == login.Fresh && (anybody || s.Person == to.Person && s.Email == to.Email) {
		v.Enter, v.Token, v.Until = "code", login.FormToken(token, codeForms), f.When(s.Expires)
		if !anybody { // else it would tell who there is
			v.Late = p.late(s)
		}
	}
	return v
}

// late says why a code's mail is not there yet, "" when the mail server has it.
func (p *Pages) late(s engine.SignIn) string {
	run, err := p.Desk.Reader.Run(s.Run)
	switch {
	case err != nil: // the mail may come all the same
	case run.Status == engine.RunWaiting:
		return "The mail server does not take it yet; it is tried again in a moment."
	case !run.Ended.IsZero() && run.Status != engine.RunDone:
		return "It could not be mailed. An administrator sees why under Runs, and can make a sign-in link: larkspur login " + s.Whose()
	}
	return ""
}

// shortened shows of an address what its owner knows it by.
func shortened(address string) string {
	name, host, ok := strings.Cut(address, "@")
	if !ok || name == "" {
		return ""
	}
	first := []rune(name)[:1]
	return string(first) + "…@" + host
}

// SignOut serves POST /logout: the browser is paired no more.
func (p *Pages) SignOut(c echo.Context) error {
	if err := p.CheckForm(c); err != nil { // of whoever's pairing: also of somebody without a role
		return err
	}
	who := login.From(c.Request().Context()).Identity
	if _, err := p.Desk.Revoke(c.Request().Context(), who, who.Device.ID, "signed out"); err != nil {
		return err
	}
	c.SetCookie(p.Access.Devices.Cookie(""))
	v := signinView{frame: p.bare(c), Out: true}
	v.Who, v.FormToken = login.Identity{}, ""
	return p.signin(c, http.StatusOK, v)
}
