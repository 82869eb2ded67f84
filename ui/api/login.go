package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// LinkBody asks for a sign-in link.
type LinkBody struct {
	Person string `json:"person"`
}

// Link is a one-time sign-in link.
type Link struct {
	URL     string    `json:"url"`
	Expires time.Time `json:"expires"`
}

// NewLink serves POST login: a one-time sign-in link for a person.
func (a *API) NewLink(c echo.Context) error {
	var b LinkBody
	if err := body(c, &b); err != nil {
		return err
	}
	link, err := a.SignInLink(c.Request().Context(), b.Person, who(c).Name)
	if err != nil {
		return err
	}
	return write(c, http.StatusCreated, link)
}

// SignInLink makes a one-time sign-in link for a person of people, or an address; by
// wants it.
func (a *API) SignInLink(ctx context.Context, person, by string) (Link, error) {
	token, expires, err := a.Access.Devices.IssueLink(ctx, person, by)
	if err != nil {
		return Link{}, err
	}
	return Link{URL: strings.TrimSuffix(a.URL.String(), "/") + "/setup/" + token, Expires: expires}, nil
}
