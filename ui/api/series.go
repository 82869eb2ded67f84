package api

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// Series is what scripts recorded under a name and labels.
type Series struct {
	engine.Series
	Points []engine.Point `json:"points,omitempty"`
}

// maxWithPoints bounds the series of an answer that has their points.
const maxWithPoints = 20

// Series serves GET metrics.
func (a *API) Series(c echo.Context) error {
	q := params(c, "name", "by", "limit", "cursor")
	name, by, limit := q.text("name"), q.oneOf("by", engine.PointsFine, engine.PointsHour), q.limit()
	if q.err != nil {
		return q.err
	}
	if by != "" {
		limit = min(limit, maxWithPoints)
	}
	items, next, err := a.Desk.Reader.Series(name, q.text("cursor"), limit)
	if err != nil {
		return err
	}
	list := make([]Series, len(items))
	for n, s := range items {
		if list[n].Series = s; by == "" {
			continue
		}
		if list[n].Points, err = a.Desk.Reader.Points(s, by); err != nil {
			return err
		}
	}
	return page(c, list, next, nil)
}

// recordedPrefix begins the names of what scripts record, so that none is one of
// ours.
const recordedPrefix = "larkspur_metric_"

// recorded writes the newest values of what scripts recorded. Names that are equal
// once they are written as Prometheus wants them are one family; of two series that
// are, the newer counts.
func (a *API) recorded(b *strings.Builder) error {
	families := map[string]map[string]engine.Series{}
	for cursor, more := "", true; more; more = cursor != "" {
		items, next, err := a.Desk.Reader.Series("", cursor, desk.MaxLimit)
		if err != nil {
			return err
		}
		for _, s := range items {
			family, labels := recordedPrefix+sanitize(s.Name), seriesLabels(s)
			if families[family] == nil {
				families[family] = map[string]engine.Series{}
			}
			if other, twice := families[family][labels]; !twice || other.At.Before(s.At) {
				families[family][labels] = s
			}
		}
		cursor = next
	}
	for _, family := range slices.Sorted(maps.Keys(families)) {
		fmt.Fprintf(b, "# HELP %s Recorded by scripts.\n# TYPE %s gauge\n", family, family)
		for _, labels := range slices.Sorted(maps.Keys(families[family])) {
			fmt.Fprintf(b, "%s%s %s\n", family, labels, strconv.FormatFloat(families[family][labels].Value, 'g', -1, 64))
		}
	}
	return nil
}

// sanitize writes a name as Prometheus wants it: what is no letter, digit,
// underscore or colon is an underscore.
func sanitize(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == ':' {
			return r
		}
		return '_'
	}, name)
}

// seriesLabels writes the labels of a series; their names are as they must be.
func seriesLabels(s engine.Series) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		parts = append(parts, label(name, strings.ToValidUTF8(s.Labels[name], "\uFFFD")))
	}
	if len(parts) == 0 {
		return ""
	}
	return "{" + strings.Join(parts, ",") + "}"
}
