package page

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/chart"
	"larkspur/ui/desk"
)

type overviewView struct {
	frame
	desk.Overview
	TodayTiles tileList
	WeekTiles  tileList
	HourChart  Chart
	DayChart   Chart
	ByRule     []ruleTally
	Recorded   []Tile // what scripts record
}

// seriesOnOverview is how many of them are shown there.
const seriesOnOverview = 8

// Tile is a number with what it counts.
type Tile struct {
	Number, Text, Link, Tone string
}

// tileList is tiles with what their links begin with.
type tileList struct {
	Base  string
	Items []Tile
}

// Chart is bars as an SVG draws them: coordinates, no styles.
type Chart struct {
	Name          string
	Width, Height int
	Bars          []ChartBar
	Ticks         []ChartTick
	Most          int64
}

// ChartBar is what opened, and beside it what closed.
type ChartBar struct {
	X, Wide int
	OpenedY int
	OpenedH int
	ClosedX int
	ClosedY int
	ClosedH int
	Text    string
}

// ChartTick is a label below the bars.
type ChartTick struct {
	X      int
	Anchor string // middle; end for the last, which has no room on its right
	Text   string
}

type ruleTally struct {
	engine.TallyRow
	CloseTime, Saved string
}

// Overview serves GET /overview.
func (p *Pages) Overview(c echo.Context) error {
	v := overviewView{frame: p.frame(c, "overview")}
	var err error
	if v.Overview, err = p.Desk.Overview(v.Who); err != nil {
		return err
	}
	v.TodayTiles, v.WeekTiles = tileList{v.Base, tiles(v.Today)}, tileList{v.Base, tiles(v.Week)}
	v.HourChart = bars("Incidents opened and closed in each of the last 24 hours", v.Hours, func(i int, b desk.Bar) string {
		if i%6 != 5 {
			return ""
		}
		return b.From.Format("15:04")
	}, "15:04")
	v.DayChart = bars("Incidents opened and closed on each of the last 14 days", v.Days, func(i int, b desk.Bar) string {
		if i%2 == 0 {
			return ""
		}
		return b.From.Format("2 Jan")
	}, "Mon 2 Jan")
	for _, r := range v.Rules {
		v.ByRule = append(v.ByRule, ruleTally{r, mean(r.CloseSeconds, r.Closed), span(r.SavedSeconds)})
	}
	series, _, err := p.Desk.Reader.Series("", "", seriesOnOverview)
	if err != nil {
		return err
	}
	for _, s := range series {
		v.Recorded = append(v.Recorded, Tile{Number: chart.Value(s.Name, s.Value), Text: strings.TrimSpace(s.Name + " " + labelsOf(s)), Link: "/charts?name=" + url.QueryEscape(s.Name)})
	}
	return p.render(c, http.StatusOK, "overview", v)
}

// tiles are the numbers of a span that are worth a look.
func tiles(t engine.Tally) []Tile {
	list := []Tile{
		{count(t.Opened), "opened", "/?status=all", ""},
		{count(t.Closed), "closed", "/?status=closed", ""},
		{count(t.RunsDone), "runs went well", "/runs?status=done", ""},
		{count(t.RunsFailed), "runs failed", "/runs?status=failed", ""},
		{count(t.Answered), "answered", "/questions?status=answered", ""},
		{count(t.Changes), "changes made", "/changes?status=all", ""},
	}
	if t.RunsFailed > 0 {
		list[3].Tone = "bad"
	}
	if t.Breached > 0 {
		list = append(list, Tile{count(t.Breached), "deadlines breached", "", "bad"})
	}
	if took := mean(t.AnswerSeconds, t.Answered); took != "" {
		list[4].Text += ", after " + took
	}
	if t.SavedSeconds > 0 {
		list = append(list, Tile{span(t.SavedSeconds), "of hand work saved", "", "good"})
	}
	return list
}

func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

// span writes seconds in one unit, "" for none.
func span(seconds int64) string {
	if seconds <= 0 {
		return ""
	}
	return desk.Age(time.Duration(seconds) * time.Second)
}

// mean is how long each took, "" for none.
func mean(seconds, n int64) string {
	if n == 0 {
		return ""
	}
	return desk.Age(time.Duration(seconds/n) * time.Second)
}

// Sizes of a chart.
const (
	chartHeight = 96
	chartWidth  = 480
)

func bars(name string, list []desk.Bar, tick func(int, desk.Bar) string, layout string) Chart {
	c := Chart{Name: name, Width: chartWidth, Height: chartHeight + 18}
	for _, b := range list {
		c.Most = max(c.Most, b.Opened, b.Closed)
	}
	step := chartWidth / len(list)
	for i, b := range list {
		bar := ChartBar{X: i*step + 1, Wide: (step - 4) / 2, Text: b.From.Format(layout) + ": " + count(b.Opened) + " opened, " + count(b.Closed) + " closed"}
		bar.ClosedX = bar.X + bar.Wide + 1
		bar.OpenedY, bar.OpenedH = height(b.Opened, c.Most)
		bar.ClosedY, bar.ClosedH = height(b.Closed, c.Most)
		c.Bars = append(c.Bars, bar)
		if text := tick(i, b); text != "" {
			c.Ticks = append(c.Ticks, ChartTick{bar.X + bar.Wide, "middle", text})
			if i == len(list)-1 {
				c.Ticks[len(c.Ticks)-1] = ChartTick{chartWidth - 1, "end", text}
			}
		}
	}
	return c
}

// height is where a bar begins and how high it is; one of few is still seen.
func height(n, most int64) (y, h int) {
	if n == 0 {
		return chartHeight, 0
	}
	h = max(3, int(n*chartHeight/most))
	return chartHeight - h, h
}
