package page

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/chart"
)

// chartsOnPage is how many series a page shows.
const chartsOnPage = 24

type chartsView struct {
	frame
	Name   string // of the series that are shown; all of them without
	By     string
	Spans  []chartSpan
	Items  []seriesView
	Closed closedView
	Next   string
	Later  bool
}

// chartSpan is how far back charts go.
type chartSpan struct {
	By, Text string
	length   time.Duration
	back     time.Duration
}

type seriesView struct {
	Name, Labels, Value string
	At                  time.Time
	Sums                []chart.Sum
	Chart               chart.Line
}

func chartSpans() []chartSpan {
	return []chartSpan{
		{engine.PointsFine, "2 days", 5 * time.Minute, 48 * time.Hour},
		{"week", "7 days", time.Hour, 7 * 24 * time.Hour},
		{engine.PointsHour, "90 days", time.Hour, 90 * 24 * time.Hour},
	}
}

// Charts serves GET /charts: what scripts record with metric, and how long
// incidents took.
func (p *Pages) Charts(c echo.Context) error {
	q := c.QueryParams()
	v := chartsView{frame: p.frame(c, "overview"), Name: q.Get("name"), By: q.Get("by"), Spans: chartSpans(), Later: q.Get("cursor") != ""}
	span := v.Spans[0]
	for _, s := range v.Spans {
		if s.By == v.By {
			span = s
		}
	}
	v.By = span.By
	items, next, err := p.Desk.Reader.Series(v.Name, q.Get("cursor"), chartsOnPage)
	if err != nil {
		return err
	}
	to := p.Desk.Clock.Now().In(p.Desk.Zone())
	for _, s := range items {
		one, err := p.series(s, span, to)
		if err != nil {
			return err
		}
		v.Items = append(v.Items, one)
	}
	v.Next = nextPage(q, next)
	if v.Name == "" && !v.Later {
		rows, err := p.Desk.Closed(v.Who)
		if err != nil {
			return err
		}
		v.Closed = closed(rows)
	}
	return p.render(c, http.StatusOK, "charts", v)
}

// series charts one series and sums it up.
func (p *Pages) series(s engine.Series, span chartSpan, to time.Time) (v seriesView, err error) {
	fine, err := p.Desk.Reader.Points(s, engine.PointsFine)
	if err != nil {
		return v, err
	}
	hours, err := p.Desk.Reader.Points(s, engine.PointsHour)
	if err != nil {
		return v, err
	}
	points := hours
	if span.By == engine.PointsFine {
		points = fine
	}
	v = seriesView{Name: s.Name, Labels: labelsOf(s), Value: chart.Value(s.Name, s.Value), At: s.At, Sums: chart.Sums(s.Name, fine, hours, to)}
	v.Chart = chart.Of(strings.TrimSpace(s.Name+" "+v.Labels)+", the last "+span.Text, points, span.length, to.Add(-span.back), to)
	return v, nil
}

// labelsOf writes labels as people read them.
func labelsOf(s engine.Series) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		list = append(list, name+" "+s.Labels[name])
	}
	return strings.Join(list, ", ")
}
