package chart

import (
	"reflect"
	"testing"
	"time"

	"larkspur/engine"
)

func TestSums(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	at := func(ago time.Duration, values ...float64) engine.Point {
		p := engine.Point{Time: now.Add(-ago)}
		for _, v := range values {
			p.Add(v)
		}
		return p
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		name        string
		fine, hours []engine.Point
		want        []Sum
	}{
		{"up", []engine.Point{at(time.Hour, 1, 1, 0)}, []engine.Point{at(20*day, 1, 1, 1, 1, 1), at(time.Hour, 1, 1, 0)},
			[]Sum{{"24 hours", "66.7 %: 2 of 3"}, {"7 days", "66.7 %: 2 of 3"}, {"30 days", "87.5 %: 7 of 8"}}},
		{"up", nil, []engine.Point{at(40*day, 1)}, nil},
		{"seconds_to_fix", nil, []engine.Point{at(3*day, 60), at(2*day, 600, 600), at(day+time.Hour, 7200)},
			[]Sum{{"7 days", "4 times, median 10m, at most 2h"}, {"30 days", "4 times, median 10m, at most 2h"}}},
		{"seconds to fix", []engine.Point{at(0, 1.25)}, nil, []Sum{{"24 hours", "once, 1.3s"}}},
		{"load", []engine.Point{at(0, 1, 0.5)}, []engine.Point{at(0, 1, 0.5)},
			[]Sum{{"24 hours", "mean 0.75, 0.5 to 1"}, {"7 days", "mean 0.75, 0.5 to 1"}, {"30 days", "mean 0.75, 0.5 to 1"}}},
		{"none", nil, nil, nil},
	} {
		if got := Sums(c.name, c.fine, c.hours, now); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestPercentIsWholeForAllAndNothingAlone(t *testing.T) {
	for share, want := range map[float64]string{1: "100", 0: "0", 0.99999: "99.9", 0.00001: "0.1", 0.5: "50"} {
		if got := percent(share); got != want {
			t.Errorf("%v: got %s, want %s", share, got, want)
		}
	}
}
