package api

import (
	"github.com/labstack/echo/v4"
)

// Mails serves GET mails: those that the mail server did not take yet.
func (a *API) Mails(c echo.Context) error {
	q := params(c, "limit", "cursor")
	limit := q.limit()
	if q.err != nil {
		return q.err
	}
	items, next, err := a.Desk.Mails(who(c), q.text("cursor"), limit)
	return page(c, items, next, err)
}
