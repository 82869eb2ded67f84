package chart_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/ui/chart"
)

func at(from time.Time, minutes int, v float64) engine.Point {
	p := engine.Point{Time: from.Add(time.Duration(minutes) * time.Minute)}
	p.Add(v)
	return p
}

func TestLine(t *testing.T) {
	from := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	to := from.Add(48 * time.Hour)
	of := func(points ...engine.Point) chart.Line { return chart.Of("load", points, 5*time.Minute, from, to) }
	l := of(at(from, 0, 0), at(from, 60, 10), at(from, 24*60, 5), at(from, 48*60, 10), at(from, 49*60, 99))
	if len(l.Pieces) != 1 || l.Pieces[0] != "0.0,94.0 10.0,2.0" || len(l.Dots) != 2 || l.Dots[0] != (chart.Dot{X: "240.0", Y: "48.0"}) {
		t.Errorf("got %+v", l)
	}
	if l.Most != "10" || l.Least != "0" || l.From != "Fri 08:00" || l.To != "Sun 08:00" {
		t.Errorf("got %+v", l)
	}
	if l = of(); len(l.Pieces)+len(l.Dots) != 0 || l.Most != "" {
		t.Errorf("got %+v of nothing", l)
	}
	if l = of(at(from, 0, 7), at(from, 5, 7)); l.Pieces[0] != "0.0,48.0 0.8,48.0" || l.Most != "7" || l.Least != "" {
		t.Errorf("got %+v of a value that stays", l)
	}
	l = of(at(from, 0, math.MaxFloat64), at(from, 5, -math.MaxFloat64))
	if strings.ContainsAny(l.Pieces[0], "NI") || l.Pieces[0] != "0.0,2.0 0.8,94.0" {
		t.Errorf("got %+v of the largest range", l)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{1: "1", -2.5: "-2.5", 1.0 / 3: "0.3333", 123456: "123456", 1.5e12: "1.5e+12", 0: "0"} {
		if got := chart.Number(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}
