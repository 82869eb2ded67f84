package capture

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// PairingStats counts what became of queries and responses. It speaks of DNS
// alone: in mDNS and LLMNR a question has any number of answers.
type PairingStats struct {
	// Answered and Unanswered queries; of the latter, 30 seconds have passed.
	Answered   uint64 `json:"answered"`
	Unanswered uint64 `json:"unanswered"`
	// AnsweredTwice counts responses to queries that had been answered.
	AnsweredTwice uint64 `json:"answered_twice"`
	// Retransmitted counts queries that came again while they waited.
	Retransmitted uint64 `json:"retransmitted"`
	// WithoutQuery counts responses whose query was not seen.
	WithoutQuery uint64 `json:"without_query"`
	// Forgotten counts queries that were forgotten before their time, for want of
	// room.
	Forgotten uint64 `json:"forgotten"`
	// OneDirection is "queries" or "responses" when nearly all of the latest
	// messages were of this direction: the other is not mirrored, or lost.
	OneDirection string  `json:"one_direction,omitempty"`
	Latency      Latency `json:"latency"`
}

// Latency says how long answered queries waited, in seconds. The percentiles are
// estimates: they are at most a quarter too high.
type Latency struct {
	Count uint64  `json:"count"`
	Sum   float64 `json:"sum"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`

	buckets [histogramBuckets]uint64
}

// Add adds the counters of o, of another part of the same sensor. Where one part
// sees the queries and another the responses, no direction is missing.
func (s *PairingStats) Add(o PairingStats) {
	s.Answered += o.Answered
	s.Unanswered += o.Unanswered
	s.AnsweredTwice += o.AnsweredTwice
	s.Retransmitted += o.Retransmitted
	s.WithoutQuery += o.WithoutQuery
	s.Forgotten += o.Forgotten
	s.Latency.add(&o.Latency)
	switch {
	case s.OneDirection == "":
		s.OneDirection = o.OneDirection
	case o.OneDirection != "" && o.OneDirection != s.OneDirection:
		s.OneDirection = ""
	}
}

func (l *Latency) add(o *Latency) {
	l.Count += o.Count
	l.Sum += o.Sum
	l.Max = max(l.Max, o.Max)
	for i, n := range o.buckets {
		l.buckets[i] += n
	}
	l.estimate()
}

// estimate fills in the percentiles.
func (l *Latency) estimate() {
	l.P50, l.P90, l.P99 = l.percentile(50), l.percentile(90), l.percentile(99)
}

func (l *Latency) percentile(p uint64) float64 {
	seen := uint64(0)
	for i, n := range l.buckets {
		if seen += n; n > 0 && seen*100 >= l.Count*p {
			return min(bound(i).Seconds(), l.Max)
		}
	}
	return 0
}

// Stats returns what was counted so far.
func (l *Lookups) Stats() PairingStats {
	c := &l.counts
	s := PairingStats{
		Unanswered: c.unanswered.Load(), AnsweredTwice: c.answeredTwice.Load(), Retransmitted: c.retransmitted.Load(),
		WithoutQuery: c.withoutQuery.Load(), Forgotten: c.forgotten.Load(), Latency: c.latency.snapshot(),
	}
	s.Answered = s.Latency.Count
	s.OneDirection = [...]string{"", "queries", "responses"}[c.oneSided.Load()]
	return s
}

// counter is written by one goroutine and read by any.
type counter struct{ atomic.Uint64 }

func (c *counter) add(n uint64) {
	if n > 0 {
		c.Store(c.Load() + n)
	}
}

// pairingCounts are the counters of a Lookups.
type pairingCounts struct {
	unanswered, answeredTwice, retransmitted, withoutQuery, forgotten counter

	latency  histogram
	recent   [2]uint32 // queries and responses, of the latest messages
	oneSided atomic.Uint32
}

const (
	// directionSample is how many messages must have been seen before their
	// direction is judged; twice as many are remembered.
	directionSample = 100
	// directionShare is which part of the messages the rarer direction has at
	// least where both are mirrored.
	directionShare = 50
)

// direction notes which way a message went, and judges now and then.
func (c *pairingCounts) direction(response bool) {
	if response {
		c.recent[1]++
	} else {
		c.recent[0]++
	}
	sum := c.recent[0] + c.recent[1]
	if sum%directionSample != 0 {
		return
	}
	verdict := uint32(0)
	switch {
	case c.recent[1] < sum/directionShare:
		verdict = 1
	case c.recent[0] < sum/directionShare:
		verdict = 2
	}
	c.oneSided.Store(verdict)
	if sum == 2*directionSample {
		c.recent[0] /= 2
		c.recent[1] = directionSample - c.recent[0]
	}
}

// histogram counts spans of time in buckets that grow by a quarter of a power of
// two, from microseconds on.
type histogram struct {
	buckets  [histogramBuckets]counter
	sum, max counter // nanoseconds
}

const (
	histogramSteps   = 4  // buckets of a power of two
	histogramPowers  = 26 // 2^26 µs are 67 s, more than any query waits
	histogramBuckets = histogramSteps * histogramPowers
)

func (h *histogram) add(d time.Duration) {
	h.buckets[bucket(d)].add(1)
	h.sum.add(uint64(d))
	if uint64(d) > h.max.Load() {
		h.max.Store(uint64(d))
	}
}

// bucket returns the place of a span that is not negative.
func bucket(d time.Duration) int {
	us := uint64(d / time.Microsecond)
	if us < histogramSteps {
		return int(us)
	}
	power := bits.Len64(us) - 1
	return min((power-1)*histogramSteps+int(us>>(power-2))&(histogramSteps-1), histogramBuckets-1)
}

// bound returns where a bucket ends.
func bound(bucket int) time.Duration {
	if bucket < histogramSteps {
		return time.Duration(bucket+1) * time.Microsecond
	}
	power, step := bucket/histogramSteps+1, bucket%histogramSteps
	return time.Duration(histogramSteps+step+1) << (power - 2) * time.Microsecond
}

func (h *histogram) snapshot() Latency {
	l := Latency{Sum: time.Duration(h.sum.Load()).Seconds(), Max: time.Duration(h.max.Load()).Seconds()}
	for i := range l.buckets {
		l.buckets[i] = h.buckets[i].Load()
		l.Count += l.buckets[i]
	}
	l.estimate()
	return l
}

// waiting counts the queries that wait for an answer by the second in which they
// came, so that those whose time is over are counted without looking for them.
type waiting struct {
	now     int64 // second of the latest message
	seconds [waitingSeconds]uint32
	of      [waitingSeconds]int64 // which second each place holds
}

const (
	waitingSeconds = 64
	// waitingReach is how many seconds off a query may still be answered.
	waitingReach = int64(lookupWindow/time.Second) + 1
)

// second returns the second in which a moment lies, rounded down.
func second(nanos int64) int64 {
	s := nanos / int64(time.Second)
	if nanos%int64(time.Second) < 0 {
		s--
	}
	return s
}

func (w *waiting) place(nanos int64) int { return int(uint64(second(nanos)) % waitingSeconds) }

// enter notes a query that came now.
func (w *waiting) enter(now int64) {
	w.of[w.place(now)] = second(now)
	w.seconds[w.place(now)]++
}

// leave forgets a query that came then and was answered, repeated or forgotten.
func (w *waiting) leave(then int64) {
	if p := w.place(then); w.of[p] == second(then) && w.seconds[p] > 0 {
		w.seconds[p]--
	}
}

// giveUp forgets all queries and returns how many there were.
func (w *waiting) giveUp() (all uint64) {
	for p, n := range w.seconds {
		all += uint64(n)
		w.seconds[p] = 0
	}
	return all
}

// advance returns how many queries' time is over now.
func (w *waiting) advance(now int64) (over uint64) {
	if second(now) == w.now {
		return 0
	}
	w.now = second(now)
	for p := range w.seconds {
		if w.seconds[p] > 0 && w.now-w.of[p] > waitingReach {
			over += uint64(w.seconds[p])
			w.seconds[p] = 0
		}
	}
	return over
}
