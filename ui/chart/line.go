// Package chart turns numbers into what an SVG draws: coordinates, no styles and
// no scripts. Pages write the elements.
package chart

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"larkspur/engine"
)

// Sizes of a line: its own, and of what surrounds it.
const (
	Width    = 480
	Height   = 96
	labelled = 18 // below, for the times
)

// Line is the course of a value: what it was on average in each span of time.
type Line struct {
	Name          string
	Width, Height int
	// Pieces are lists of points "x,y x,y"; between them nothing was recorded.
	Pieces []string
	// Dots are pieces of one point.
	Dots        []Dot
	Most, Least string // what the upper and the lower edge stand for
	From, To    string // what the left and the right one do
}

// Dot is a point that has no neighbours.
type Dot struct{ X, Y string }

// maxGap is how many spans may be missing within a piece: what a job records every
// hour is no row of dots in a chart of five minutes.
const maxGap = 13

// Of draws points of spans of some length between two moments. Times are written
// in the zone of from.
func Of(name string, points []engine.Point, length time.Duration, from, to time.Time) Line {
	l := Line{Name: name, Width: Width, Height: Height + labelled, From: moment(from, to.Sub(from)), To: moment(to.In(from.Location()), to.Sub(from))}
	least, most := math.Inf(1), math.Inf(-1)
	var shown []engine.Point
	for _, p := range points {
		if p.Count > 0 && !p.Time.Before(from.Add(-length)) && !p.Time.After(to) {
			shown = append(shown, p)
			least, most = min(least, mean(p)), max(most, mean(p))
		}
	}
	if len(shown) == 0 {
		return l
	}
	l.Least, l.Most = Number(least), Number(most)
	if least == most {
		least, most = least-1, most+1
		l.Least = ""
	}
	var piece []string
	var last engine.Point
	for _, p := range shown {
		if len(piece) > 0 && p.Time.Sub(last.Time) > maxGap*length {
			l.add(piece)
			piece = nil
		}
		x := float64(p.Time.Sub(from)) / float64(to.Sub(from)) * Width
		// Halves are taken before they are subtracted: the range of two numbers may be none.
		y := 2 + (most/2-mean(p)/2)/(most/2-least/2)*(Height-4)
		piece = append(piece, fmt.Sprintf("%.1f,%.1f", min(max(x, 0), Width), y))
		last = p
	}
	l.add(piece)
	return l
}

func mean(p engine.Point) float64 { return p.Sum / float64(p.Count) }

func (l *Line) add(piece []string) {
	if len(piece) > 1 {
		l.Pieces = append(l.Pieces, strings.Join(piece, " "))
		return
	}
	x, y, _ := strings.Cut(piece[0], ",")
	l.Dots = append(l.Dots, Dot{x, y})
}

func moment(t time.Time, span time.Duration) string {
	if span <= 48*time.Hour {
		return t.Format("Mon 15:04")
	}
	return t.Format("2 Jan")
}

// Number writes a value with as many digits as somebody reads: 1.5, 12 300, 1.2e+09.
func Number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e7 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
