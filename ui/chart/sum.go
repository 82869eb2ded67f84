package chart

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
)

// Sum says what a series was in a span of time.
type Sum struct{ Span, Text string }

// sumSpans are the spans of Sums; the first is made of fine points.
func sumSpans() []struct {
	name string
	back time.Duration
} {
	const day = 24 * time.Hour
	return []struct {
		name string
		back time.Duration
	}{{"24 hours", day}, {"7 days", 7 * day}, {"30 days", 30 * day}}
}

// Sums sums a series up, in words that fit what it holds: of values that are 0 or
// 1 how many are 1, of seconds (its name says so) how often and how long, of others
// mean and extremes. Spans without a value are left out.
func Sums(name string, fine, hours []engine.Point, now time.Time) (list []Sum) {
	tell := measured
	switch {
	case IsSeconds(name):
		tell = lasting
	case areFlags(fine) && areFlags(hours):
		tell = counted
	}
	for n, span := range sumSpans() {
		points := hours
		if n == 0 {
			points = fine
		}
		points = slices.DeleteFunc(slices.Clone(points), func(p engine.Point) bool {
			return p.Count == 0 || p.Time.Before(now.Add(-span.back)) || p.Time.After(now)
		})
		if len(points) > 0 {
			list = append(list, Sum{span.name, tell(points)})
		}
	}
	return list
}

// IsSeconds tells whether the name of a series says that it holds seconds, as
// names for Prometheus do.
func IsSeconds(name string) bool {
	return slices.Contains(strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == ' ' || r == '.' || r == '-' }), "seconds")
}

// Value writes a value of a series.
func Value(name string, v float64) string {
	if IsSeconds(name) {
		return lastsFor(v)
	}
	return Number(v)
}

// maxSeconds is the longest time that is written as one.
const maxSeconds = 1e9

func lastsFor(seconds float64) string {
	if math.Abs(seconds) > maxSeconds {
		return Number(seconds) + "s"
	}
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d.Abs() >= 10*time.Second:
		d = d.Round(time.Second)
	case d.Abs() >= time.Second:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Millisecond)
	}
	return calendar.FormatDuration(d)
}

// areFlags: all of them are 0 or 1, as far as points tell.
func areFlags(points []engine.Point) bool {
	return !slices.ContainsFunc(points, func(p engine.Point) bool {
		return p.Min != 0 && p.Min != 1 || p.Max != 0 && p.Max != 1 || p.Sum != math.Trunc(p.Sum)
	})
}

func total(points []engine.Point) (n int64, sum float64) {
	for _, p := range points {
		n, sum = n+p.Count, sum+p.Sum
	}
	return n, sum
}

// counted tells how many of some values are 1.
func counted(points []engine.Point) string {
	n, ones := total(points)
	return fmt.Sprintf("%s %%: %.0f of %d", percent(ones/float64(n)), ones, n)
}

// percent writes a share so that only all is 100 and only none is 0.
func percent(share float64) string {
	tenths := math.Round(share * 1000)
	switch {
	case share <= 0:
		return "0"
	case share < 1:
		tenths = min(max(tenths, 1), 999)
	}
	return Number(tenths / 10)
}

// lasting tells how often and for how long.
func lasting(points []engine.Point) string {
	n, _ := total(points)
	most := points[0].Max
	for _, p := range points {
		most = max(most, p.Max)
	}
	if n == 1 {
		return "once, " + lastsFor(most)
	}
	return fmt.Sprintf("%d times, median %s, at most %s", n, lastsFor(median(points)), lastsFor(most))
}

// median is the value in the middle, as far as points tell: each stands for as many
// values as it sums up.
func median(points []engine.Point) float64 {
	sorted := slices.Clone(points)
	slices.SortFunc(sorted, func(a, b engine.Point) int {
		switch x, y := mean(a), mean(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	n, _ := total(sorted)
	for _, p := range sorted {
		if n -= 2 * p.Count; n <= 0 {
			return mean(p)
		}
	}
	return 0
}

// measured tells mean and extremes.
func measured(points []engine.Point) string {
	n, sum := total(points)
	least, most := points[0].Min, points[0].Max
	for _, p := range points {
		least, most = min(least, p.Min), max(most, p.Max)
	}
	return fmt.Sprintf("mean %s, %s to %s", Number(sum/float64(n)), Number(least), Number(most))
}
