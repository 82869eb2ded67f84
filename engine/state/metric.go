package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// What scripts record with metric is a series for each name and set of labels:
// its newest value, and points, each of which sums up the values of a span. A new
// point takes those with it that are too old; a new series, where there is no room,
// the one that was silent for longest, if its last point is too old as well.

// Bounds of series.
const (
	maxSeries  = 500 // of a shard
	fineLength = 5 * time.Minute
	fineKept   = 2 * 24 * 12
	hourKept   = 90 * 24
)

// TooManySeries is why a value was not recorded: it would begin a series, and
// there is no room for one.
const TooManySeries = "there is no room for another series"

// MaxSeries is how many series a shard holds.
func MaxSeries() int { return maxSeries }

// Parts of classMetric.
const (
	seriesCount = 'n'
	seriesPart  = 's'
	finePart    = 'f'
	hourPart    = 'h'
)

// grain is one length of points.
type grain struct {
	part   byte
	length time.Duration
	keep   uint32
}

func grains() [2]grain {
	return [2]grain{{finePart, fineLength, fineKept}, {hourPart, time.Hour, hourKept}}
}

func (g grain) bucket(at time.Time) uint32 {
	return uint32(max(0, at.Unix()) / int64(g.length/time.Second))
}

// seriesKey is the key of a part of a series.
func seriesKey(shard uint16, part byte, name string, labels map[string]string) []byte {
	names := []string{name}
	for _, l := range slices.Sorted(maps.Keys(labels)) {
		names = append(names, l, labels[l])
	}
	k := hashKey(classMetric, shard, names...)
	return append(append(key(classMetric, shard), part), k[len(k)-16:]...)
}

func pointKey(series []byte, bucket uint32) []byte {
	return binary.BigEndian.AppendUint32(slices.Clone(series), bucket)
}

func (t *tx) seriesCount() uint64 {
	b, ok := t.Get(append(key(classMetric, t.shard), seriesCount))
	if !ok {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (t *tx) setSeriesCount(n uint64) {
	t.Set(append(key(classMetric, t.shard), seriesCount), binary.BigEndian.AppendUint64(nil, n))
}

func decideMetric(t *tx, p record.MetricSet) record.Outcome {
	if _, ok := t.offered(p.Offer); ok {
		return refuse("it was recorded already")
	}
	if shard, _, _ := engine.ParseID('r', p.Run); shard == t.shard {
		if _, why := t.live(p.Run, p.Generation); why != "" {
			return refuse(why)
		}
	}
	_, known := t.Get(seriesKey(t.shard, seriesPart, p.Name, p.Labels))
	if !known && t.seriesCount() >= maxSeries {
		if _, found := t.silent(); !found {
			return refuse(TooManySeries)
		}
	}
	return record.Outcome{Applied: true}
}

func applyMetric(t *tx, p record.MetricSet, _ record.Outcome) {
	t.remember(p.Offer, "")
	if p.Name == "" {
		return // it is erased
	}
	k := seriesKey(t.shard, seriesPart, p.Name, p.Labels)
	s, known := get[engine.Series](t, k)
	if !known {
		s = engine.Series{Name: p.Name, Labels: p.Labels, At: t.now}
		t.makeRoom()
	}
	for _, g := range grains() {
		t.addPoint(g, p, s.At)
	}
	s.Value, s.At = p.Value, t.now
	s.Count++
	t.put(k, s)
}

// addPoint adds a value to the point of now, and takes away those that are too old
// since the series had its last value.
func (t *tx) addPoint(g grain, p record.MetricSet, last time.Time) {
	series, bucket := seriesKey(t.shard, g.part, p.Name, p.Labels), g.bucket(t.now)
	k := pointKey(series, bucket)
	point, known := get[engine.Point](t, k)
	if point.Time = time.Unix(int64(bucket)*int64(g.length/time.Second), 0).UTC(); !known && bucket >= g.keep {
		from := uint32(0)
		if before := g.bucket(last); before > g.keep {
			from = before - g.keep
		}
		t.dropPoints(series, from, bucket-g.keep)
	}
	point.Add(p.Value)
	t.put(k, point)
}

// dropPoints deletes the points from one to another, both included.
func (t *tx) dropPoints(series []byte, from, to uint32) {
	var old [][]byte
	t.Scan(series, pointKey(series, from), false, func(k, _ []byte) bool {
		if binary.BigEndian.Uint32(k[len(series):]) > to {
			return false
		}
		old = append(old, bytes.Clone(k))
		return true
	})
	for _, k := range old {
		t.Delete(k)
	}
}

// makeRoom counts a new series, and drops the silent one that it replaces.
func (t *tx) makeRoom() {
	n := t.seriesCount()
	if s, found := t.silent(); n >= maxSeries && found {
		for _, g := range grains() {
			t.dropPoints(seriesKey(t.shard, g.part, s.Name, s.Labels), 0, g.bucket(t.now))
		}
		t.Delete(seriesKey(t.shard, seriesPart, s.Name, s.Labels))
		n--
	}
	t.setSeriesCount(n + 1)
}

// silent is the series that was silent for longest, if none of its points is kept
// any more.
func (t *tx) silent() (s engine.Series, found bool) {
	if t.seriesCount() < maxSeries {
		return s, false
	}
	oldest := t.now.Add(-hourKept * time.Hour)
	for _, each := range seriesOf(t, t.shard) {
		if each.At.Before(oldest) {
			s, found, oldest = each, true, each.At
		}
	}
	return s, found
}

// seriesOf lists the series of a shard.
func seriesOf(r store.Reader, shard uint16) (list []engine.Series) {
	r.Scan(append(key(classMetric, shard), seriesPart), nil, false, func(k, _ []byte) bool {
		if s, ok := get[engine.Series](r, k); ok {
			list = append(list, s)
		}
		return true
	})
	return list
}

// HasSeries tells whether a value under a name and labels begins no series.
func (s *State) HasSeries(shard uint16, name string, labels map[string]string) (known bool, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	_, known = view.Get(seriesKey(shard, seriesPart, name, labels))
	return known, nil
}

// Series lists what scripts recorded, by name and labels; of one name alone, if it
// is given.
func (s *State) Series(name, cursor string, limit int) (page []engine.Series, next string, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	var all []engine.Series
	for shard := range uint16(s.ledger.Shards()) {
		all = append(all, seriesOf(view, shard)...)
	}
	all = slices.DeleteFunc(all, func(each engine.Series) bool {
		return name != "" && each.Name != name || cursor != "" && seriesName(each) <= cursor
	})
	slices.SortFunc(all, func(a, b engine.Series) int { return cmp.Compare(seriesName(a), seriesName(b)) })
	if limit = min(max(limit, 1), MaxPage); len(all) > limit {
		all, next = all[:limit], seriesName(all[limit-1])
	}
	return all, next, nil
}

// seriesName is what a series is sorted by, and a cursor.
func seriesName(s engine.Series) string {
	name := fmt.Sprintf("%q", s.Name)
	for _, l := range slices.Sorted(maps.Keys(s.Labels)) {
		name += fmt.Sprintf(" %q %q", l, s.Labels[l])
	}
	return name
}

// Points are those of a series, the oldest first: of five minutes
// (engine.PointsFine) or of hours.
func (s *State) Points(of engine.Series, by string) (points []engine.Point, err error) {
	defer guard(&err)
	part := byte(hourPart)
	if by == engine.PointsFine {
		part = finePart
	}
	view := s.view()
	defer view.Close()
	shard := s.ledger.ShardOf("metric", of.Name)
	view.Scan(seriesKey(shard, part, of.Name, of.Labels), nil, false, func(k, _ []byte) bool {
		if p, ok := get[engine.Point](view, k); ok {
			points = append(points, p)
		}
		return true
	})
	return points, nil
}
