package engine

import "time"

// Series is what scripts record under one name with one set of labels.
type Series struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	Value  float64           `json:"value"` // the newest
	At     time.Time         `json:"at"`
	// Count is how many values were recorded.
	Count int64 `json:"count"`
}

// Point sums up what a series recorded in a span of time.
type Point struct {
	Time  time.Time `json:"time"` // when the span begins
	Count int64     `json:"count"`
	Sum   float64   `json:"sum"`
	Min   float64   `json:"min"`
	Max   float64   `json:"max"`
	Last  float64   `json:"last"`
}

// Add adds a value.
func (p *Point) Add(v float64) {
	if p.Count == 0 {
		p.Min, p.Max = v, v
	}
	p.Count++
	p.Sum += v
	p.Min, p.Max, p.Last = min(p.Min, v), max(p.Max, v), v
}

// Spans of points.
const (
	PointsFine = "5m"   // of two days
	PointsHour = "hour" // of 90 days
)
