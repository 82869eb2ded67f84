package api

import (
	"time"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// maxStats bounds the rows of one answer.
const maxStats = 10_000

// Stats serves GET stats: what was counted, by hour, day or in all.
func (a *API) Stats(c echo.Context) error {
	q := params(c, "by", "since", "until", "rule", "type", "severity", "group")
	f := desk.TallyFilter{
		By: q.oneOf("by", engine.TallyHours, engine.TallyDays, engine.TallyAll), Since: q.time("since"), Until: q.time("until"),
		Rule: q.text("rule"), Type: q.text("type"), Severity: q.oneOf("severity", engine.Severities...), Group: q.oneOf("group", "rule", "type", "severity"),
	}
	if q.err != nil {
		return q.err
	}
	if f.By == "" {
		f.By = engine.TallyDays
	}
	if f.Until.IsZero() {
		f.Until = a.Desk.Clock.Now().Add(time.Second) // the hour that begins now, too
	}
	if f.Since.IsZero() {
		f.Since = f.Until.AddDate(0, 0, -7)
	}
	rows, err := a.Desk.Tallies(who(c), f)
	if err == nil && len(rows) > maxStats {
		return engine.Errorf(engine.Invalid, "stats: %d rows, at most %d", len(rows), maxStats).WithHint("Ask for a shorter time, or for days instead of hours.")
	}
	return page(c, rows, "", err)
}

// RuleHits serves GET rules/:name/hits.
func (a *API) RuleHits(c echo.Context) error {
	q := params(c, "limit", "cursor")
	limit := q.limit()
	if q.err != nil {
		return q.err
	}
	items, next, err := a.Desk.Hits(who(c), c.Param("name"), q.text("cursor"), limit)
	return page(c, items, next, err)
}
