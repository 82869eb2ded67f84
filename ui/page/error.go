package page

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

type errorView struct {
	frame
	Status  int
	Heading string
	Error   *engine.Error
	ID      string
}

// Error writes the page of an error; id is what the log calls it.
func (p *Pages) Error(c echo.Context, err error, id string) error {
	status, said := desk.Explain(err, id)
	if status == http.StatusUnauthorized {
		return p.SignIn(c)
	}
	v := errorView{frame: p.frame(c, ""), Status: status, Heading: heading(status), Error: said}
	if !v.Who.Known() {
		v.frame = p.bare(c)
	}
	if status >= http.StatusInternalServerError {
		v.ID = id
	}
	return p.render(c, status, "error", v)
}

func heading(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "That could not be read"
	case http.StatusForbidden:
		return "You may not do this"
	case http.StatusNotFound:
		return "Not found"
	case http.StatusMethodNotAllowed:
		return "Not possible here"
	case http.StatusConflict:
		return "Nothing was changed"
	case http.StatusGone:
		return "This is over"
	case http.StatusRequestEntityTooLarge:
		return "Too large"
	case http.StatusTooManyRequests:
		return "Too many tries"
	case http.StatusServiceUnavailable:
		return "Not available at the moment"
	}
	return "Something went wrong"
}
