package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/store"
)

// Tallies are counted by hour, by day and for all time, each row for one rule,
// type, severity and (of incidents that only a team sees) team, and by hour once
// more for all of them together, so that charts read one row an hour. What was
// opened is counted by minute, too, by type alone: baselines read these. Old rows
// are swept when a new one begins.

// span is one way to count.
type span struct {
	letter byte
	name   string
	length time.Duration // 0: all time
	keep   uint32        // spans; 0 keeps all
}

// sums is the letter of the span that tells no rules apart.
const sums = 's'

// Retention of tallies.
const (
	hoursKept   = 35 * 24
	minutesKept = hoursKept * 60
	daysKept    = 800
)

// BaselineKept is how far back openings are counted by minute.
const BaselineKept = minutesKept * time.Minute

// minutes is the span by which openings are counted for baselines.
func minutes() span { return span{'m', "minute", time.Minute, minutesKept} }

func spans() [4]span {
	return [4]span{
		{'h', engine.TallyHours, time.Hour, hoursKept},
		{sums, engine.TallySums, time.Hour, hoursKept},
		{'d', engine.TallyDays, 24 * time.Hour, daysKept},
		{'t', engine.TallyAll, 0, 0},
	}
}

func (s span) bucket(at time.Time) uint32 {
	if s.length == 0 || at.Unix() < 0 {
		return 0
	}
	return uint32(at.Unix() / int64(s.length/time.Second))
}

// aspect is what a row counts.
type aspect struct{ rule, kind, severity, team string }

func aspectOf(i engine.Incident) aspect {
	a := aspect{rule: i.Rule, kind: i.Type, severity: i.Severity}
	if i.Visible == engine.VisibleToTeam {
		a.team = i.Team
	}
	return a
}

// aspectOfRun is its incident's; a job's run has none.
func (t *tx) aspectOfRun(r engine.Run) aspect {
	if i, ok := t.incident(r.Incident); ok {
		return aspectOf(i)
	}
	return aspect{rule: r.Rule}
}

func tallyPrefix(shard uint16, letter byte, bucket uint32) []byte {
	return binary.BigEndian.AppendUint32(append(key(classTally, shard), letter), bucket)
}

func tallyKey(shard uint16, letter byte, bucket uint32, a aspect) []byte {
	k := tallyPrefix(shard, letter, bucket)
	for i, part := range []string{a.rule, a.kind, a.severity, a.team} {
		if i > 0 {
			k = append(k, 0)
		}
		k = append(k, strings.ReplaceAll(cutText(part, maxTermBytes), "\x00", "")...)
	}
	return k
}

// tally counts something now.
func (t *tx) tally(a aspect, change func(*engine.Tally)) {
	for _, s := range spans() {
		t.tallyIn(s, t.now, a, change)
	}
}

// tallyIn counts something in one span.
func (t *tx) tallyIn(s span, at time.Time, a aspect, change func(*engine.Tally)) {
	bucket := s.bucket(at)
	k := tallyKey(t.shard, s.letter, bucket, a)
	if s.letter == sums {
		k = tallyKey(t.shard, s.letter, bucket, aspect{team: a.team})
	}
	b, known := t.Get(k)
	row, err := decodeTally(b)
	if err != nil {
		panic(corrupt{k, err})
	}
	change(&row)
	t.Set(k, encodeTally(row))
	if !known && s.keep > 0 {
		t.sweepTallies(s, bucket)
	}
}

// talliesSwept bounds how many old rows a new one takes with it.
const talliesSwept = 16

// sweepTallies deletes rows whose time is over. What was deleted stays in the
// store's tables for a long time, so that sweeping remembers where it was.
func (t *tx) sweepTallies(s span, bucket uint32) {
	fromKey := append(key(classTallyFrom, t.shard), s.letter)
	b, ok := t.Get(fromKey)
	if !ok {
		t.Set(fromKey, binary.BigEndian.AppendUint32(nil, bucket))
		return
	}
	from := binary.BigEndian.Uint32(b)
	if bucket < s.keep || from >= bucket-s.keep {
		return
	}
	limit := bucket - s.keep
	prefix := append(key(classTally, t.shard), s.letter)
	var old [][]byte
	next := limit
	t.Scan(prefix, tallyPrefix(t.shard, s.letter, from), false, func(k, _ []byte) bool {
		at := binary.BigEndian.Uint32(k[len(prefix):])
		if at >= limit || len(old) == talliesSwept {
			next = min(at, limit)
			return false
		}
		old = append(old, bytes.Clone(k))
		return true
	})
	for _, k := range old {
		t.Delete(k)
	}
	t.Set(fromKey, binary.BigEndian.AppendUint32(nil, next))
}

// maxCodes bounds the codes that one row counts; further ones count as other.
const (
	maxCodes  = 16
	otherCode = "other"
)

func (t *tx) tallyClosed(i engine.Incident, code string) {
	open := t.now.Sub(i.Opened)
	t.tally(aspectOf(i), func(c *engine.Tally) {
		c.Closed++
		c.CloseSeconds += int64(open / time.Second)
		c.ClosedWithin = within(c.ClosedWithin, open)
		if c.ClosedAs == nil {
			c.ClosedAs = map[string]int64{}
		}
		name := cutText(code, maxTermBytes)
		if _, known := c.ClosedAs[name]; !known && len(c.ClosedAs) >= maxCodes {
			name = otherCode
		}
		c.ClosedAs[name]++
	})
}

// within counts a duration in its place.
func within(counts []int64, d time.Duration) []int64 {
	bounds := engine.TallyBounds()
	place := len(bounds)
	for i, bound := range bounds {
		if d <= bound {
			place = i
			break
		}
	}
	for len(counts) <= place {
		counts = append(counts, 0)
	}
	counts[place]++
	return counts
}

func (t *tx) tallyQuestion(q engine.Question) {
	i, _ := t.incident(q.Incident)
	took := t.now.Sub(q.Asked)
	t.tally(aspectOf(i), func(c *engine.Tally) {
		switch q.Status {
		case engine.QuestionOpen:
			c.Asked++
		case engine.QuestionAnswered:
			c.Answered++
			c.AnswerSeconds += int64(took / time.Second)
			c.AnsweredWithin = within(c.AnsweredWithin, took)
		case engine.QuestionTimedOut:
			c.TimedOut++
		case engine.QuestionWithdrawn:
			c.Withdrawn++
		}
	})
}

func (t *tx) tallyRun(r engine.Run) {
	if r.Purpose == PurposeUndo {
		return // its change tells
	}
	t.tally(t.aspectOfRun(r), func(c *engine.Tally) {
		switch {
		case r.Purpose == PurposeOutbox && r.Status == engine.RunDone:
			c.MailsSent++
		case r.Purpose == PurposeOutbox:
			c.MailsFailed++
		case r.Status == engine.RunDone:
			c.RunsDone++
			if r.Mode == "live" {
				c.SavedSeconds += int64(r.Saves / time.Second)
			}
		case r.Status == engine.RunFailed:
			c.RunsFailed++
		case r.Status == engine.RunInDoubt:
			c.RunsInDoubt++
		case r.Status == engine.RunDiverged:
			c.RunsDiverged++
		case r.Status == engine.RunQuarantined:
			c.RunsQuarantined++
		}
	})
}

// encodeTally writes the counters as varints, then the lists, then the codes.
func encodeTally(c engine.Tally) []byte {
	b := make([]byte, 0, 64)
	list := func(numbers []int64) {
		b = binary.AppendUvarint(b, uint64(len(numbers)))
		for _, n := range numbers {
			b = binary.AppendVarint(b, n)
		}
	}
	var counters []int64
	last := 0
	for i, n := range c.Numbers() {
		counters = append(counters, *n)
		if *n != 0 {
			last = i + 1
		}
	}
	list(counters[:last])
	list(c.ClosedWithin)
	list(c.AnsweredWithin)
	for _, code := range slices.Sorted(maps.Keys(c.ClosedAs)) {
		b = binary.AppendUvarint(b, uint64(len(code)))
		b = append(b, code...)
		b = binary.AppendVarint(b, c.ClosedAs[code])
	}
	return b
}

var errTally = errors.New("a tally is cut short")

func decodeTally(b []byte) (c engine.Tally, err error) {
	if len(b) == 0 {
		return c, nil
	}
	counters, b, err1 := decodeNumbers(b)
	within, b, err2 := decodeNumbers(b)
	answered, b, err3 := decodeNumbers(b)
	if err := errors.Join(err1, err2, err3); err != nil {
		return c, err
	}
	into := c.Numbers()
	if len(counters) > len(into) {
		return c, errTally
	}
	for i, n := range counters {
		*into[i] = n
	}
	c.ClosedWithin, c.AnsweredWithin = within, answered
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return c, errTally
		}
		code := string(b[n : n+int(size)])
		b = b[n+int(size):]
		count, n := binary.Varint(b)
		if n <= 0 {
			return c, errTally
		}
		b = b[n:]
		if c.ClosedAs == nil {
			c.ClosedAs = map[string]int64{}
		}
		c.ClosedAs[code] = count
	}
	return c, nil
}

func decodeNumbers(b []byte) (list []int64, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)) {
		return nil, nil, errTally
	}
	b = b[n:]
	for range size {
		v, n := binary.Varint(b)
		if n <= 0 {
			return nil, nil, errTally
		}
		list = append(list, v)
		b = b[n:]
	}
	return list, b, nil
}

// Tallies returns what was counted in the spans that begin in a range of time,
// oldest first: by hour for the last 35 days, by day of UTC for 800, or for all
// time. A row that several shards counted is there several times.
func (s *State) Tallies(by string, since, until time.Time) (rows []engine.TallyRow, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	for _, sp := range spans() {
		if sp.name != by {
			continue
		}
		for shard := range uint16(s.shards) {
			rows = append(rows, readTallies(view, shard, sp, since, until)...)
		}
		slices.SortStableFunc(rows, func(a, b engine.TallyRow) int { return a.Time.Compare(b.Time) })
		return rows, nil
	}
	return nil, engine.Errorf(engine.Invalid, "by: got %q, want hour, sum, day or all", by)
}

// Opened counts the incidents of a type that were opened in a span of time, to
// the minute: after the one of from, up to that of to. What is older than
// BaselineKept is not counted any more.
func (s *State) Opened(kind string, from, to time.Time) (n int64, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	for shard := range uint16(s.shards) {
		for _, row := range readTallies(view, shard, minutes(), from.Truncate(time.Minute).Add(time.Minute), to.Add(1)) {
			if row.Type == cutText(kind, maxTermBytes) {
				n += row.Opened
			}
		}
	}
	return n, nil
}

func readTallies(r store.Reader, shard uint16, s span, since, until time.Time) (rows []engine.TallyRow) {
	prefix := append(key(classTally, shard), s.letter)
	last := s.bucket(until)
	r.Scan(prefix, tallyPrefix(shard, s.letter, s.bucket(since)), false, func(k, v []byte) bool {
		bucket := binary.BigEndian.Uint32(k[len(prefix):])
		row := engine.TallyRow{}
		if s.length > 0 {
			row.Time = time.Unix(int64(bucket)*int64(s.length/time.Second), 0).UTC()
			if bucket > last || row.Time.Before(since) || !row.Time.Before(until) {
				return bucket <= last
			}
		}
		parts := strings.SplitN(string(k[len(prefix)+4:]), "\x00", 4)
		if len(parts) == 4 {
			row.Rule, row.Type, row.Severity, row.Team = parts[0], parts[1], parts[2], parts[3]
		}
		var err error
		if row.Tally, err = decodeTally(v); err != nil {
			panic(corrupt{k, err})
		}
		rows = append(rows, row)
		return true
	})
	return rows
}
