package capture

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// told asks for queries (q) and responses (r) in turn whether they are lookups.
type told struct {
	t *testing.T
	l *Lookups
}

func (x told) want(want bool, m *Message, after time.Duration) {
	x.t.Helper()
	m.Time = start.Add(after)
	if got := x.l.Pair(m).Lookup; got != want {
		x.t.Errorf("%s id %d response %v after %v: got %v, want %v", m.Name, m.ID, m.Response(), after, got, want)
	}
}

func exchange(n int) (query, response *Message) {
	messages, _ := decode(LinkEthernet, lookup(n).QueryFrame(), lookup(n).ResponseFrame())
	return messages[0], messages[1]
}

func TestLookupIsOneEvent(t *testing.T) {
	query, response := exchange(1)
	x := told{t, NewLookups()}
	x.want(true, query, 0)
	x.want(true, query, time.Second) // a retry is a query
	x.want(false, response, 2*time.Second)
	x.want(false, response, 2*time.Second) // and so is no second answer
	x.want(false, response, 31*time.Second)
	x.want(true, response, 31*time.Second+2)
}

func TestResponseAloneIsALookup(t *testing.T) {
	query, response := exchange(1)
	for name, change := range map[string]func(m *Message){
		"id":          func(m *Message) { m.ID++ },
		"client port": func(m *Message) { m.Client = netip.AddrPortFrom(m.Client.Addr(), 40001) },
		"name":        func(m *Message) { m.Name = []byte("host2.example.org") },
		"type":        func(m *Message) { m.Type = 28 },
		"class":       func(m *Message) { m.Class = 3 },
		"proto":       func(m *Message) { m.Proto = TCP },
	} {
		t.Run(name, func(t *testing.T) {
			x := told{t, NewLookups()}
			other := response.Clone()
			change(other)
			x.want(true, query, 0)
			x.want(true, other, time.Second)
			x.want(false, response, time.Second)
		})
	}
}

func TestClockThatGoesBack(t *testing.T) {
	query, response := exchange(1)
	x := told{t, NewLookups()}
	x.want(true, query, 0)
	x.want(false, response, -time.Second)
	x.want(true, response, -time.Hour)
}

func TestLookupsAreBounded(t *testing.T) {
	query, response := exchange(1)
	l := NewLookups()
	x := told{t, l}
	const n = 2 * lookupRows * lookupWays
	for i := range n {
		query.Name = binary.BigEndian.AppendUint32(query.Name[:0], uint32(i))
		query.Time = start
		l.Pair(query)
	}
	if got := l.Stats().Forgotten; got < n/2 || got > n {
		t.Errorf("forgotten: got %d of %d", got, n)
	}
	x.want(true, response, 0)
	query, _ = exchange(1)
	x.want(true, query, 0)
	x.want(false, response, 0)
}

func TestAnsweredQueriesAreForgottenFirst(t *testing.T) {
	l := NewLookups()
	l.newest = start.UnixNano()
	ago := func(d time.Duration) int64 { return l.newest - int64(d) }
	order := []askedQuery{{1, ago(31 * time.Second), 0}, {1, ago(0), wasAnswered}, {1, ago(20 * time.Second), 0}, {1, ago(0), 0}}
	for i := range order[1:] {
		if l.worth(&order[i]) >= l.worth(&order[i+1]) {
			t.Errorf("query %d is worth %d, the next %d; want less", i, l.worth(&order[i]), l.worth(&order[i+1]))
		}
	}
}

func TestQueryAndResponsesShareTheirKey(t *testing.T) {
	query, response := exchange(1)
	l := NewLookups()
	at := func(m *Message, after time.Duration) Pairing {
		m.Time = start.Add(after)
		return l.Pair(m)
	}
	first := at(query, 0)
	for _, test := range []struct {
		what  string
		m     *Message
		after time.Duration
		want  Pairing
	}{
		{"repeated", query, time.Second, Pairing{Lookup: true, Key: first.Key, Repeated: true}},
		{"answered", response, 2 * time.Second, Pairing{Key: first.Key, Paired: true, Elapsed: 2 * time.Second}},
		{"again", response, 3 * time.Second, Pairing{Key: first.Key, Paired: true, Elapsed: 3 * time.Second, Answered: true}},
		{"before its query", response, -time.Second, Pairing{Key: first.Key, Paired: true, Answered: true}},
	} {
		if got := at(test.m, test.after); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.what, got, test.want)
		}
	}
	second := at(query, 4*time.Second)
	if second.Repeated || second.Key == first.Key {
		t.Errorf("after its answer: got %+v, want a lookup of its own", second)
	}
	if alone := at(response, time.Hour); !alone.Lookup || alone.Paired || alone.Key == second.Key || alone.Key == 0 {
		t.Errorf("a response alone: got %+v", alone)
	}
	if s := l.Stats(); s.Answered != 1 || s.AnsweredTwice != 2 || s.Retransmitted != 1 || s.WithoutQuery != 1 || s.Unanswered != 1 || s.Latency.Max != 2 {
		t.Errorf("counted: got %+v", s)
	}
}

// A client that repeats the same bytes for ever makes a lookup every 30 seconds.
func TestRepetitionsEndWithTheWindow(t *testing.T) {
	query, _ := exchange(1)
	l := NewLookups()
	keys := map[uint64]bool{}
	for i := range 10 {
		query.Time = start.Add(time.Duration(i) * 10 * time.Second)
		keys[l.Pair(query).Key] = true
	}
	if s := l.Stats(); len(keys) != 3 || s.Retransmitted != 7 {
		t.Errorf("got %d lookups and %+v, want 3 and 7 repetitions", len(keys), s)
	}
	query.Time = start.Add(time.Hour)
	l.Pair(query)
	if s := l.Stats(); s.Unanswered != 3 {
		t.Errorf("unanswered: got %d, want 3", s.Unanswered)
	}
}

func TestResponseWithoutQuestionAnswersItsQuery(t *testing.T) {
	query, response := exchange(1)
	l := NewLookups()
	asked := l.Pair(query)
	response.Question, response.Name, response.Type, response.Class = false, nil, 0, 0
	if got := l.Pair(response); got.Lookup || got.Key != asked.Key {
		t.Errorf("got %+v, want the query's key %d", got, asked.Key)
	}
	response.ID++
	if got := l.Pair(response); !got.Lookup {
		t.Errorf("another id: got %+v, want a lookup of its own", got)
	}
}

func TestTransfersAndGroupsAreNotAnsweredTwice(t *testing.T) {
	query, response := exchange(1)
	l := NewLookups()
	query.Proto, query.Type, response.Proto, response.Type = TCP, 252, TCP, 252
	for _, m := range []*Message{query, response, response, response} {
		l.Pair(m)
	}
	query, response = exchange(2)
	query.Service, response.Service = LLMNR, LLMNR
	query.Server = netip.MustParseAddrPort("224.0.0.252:5355")
	response.Server = netip.AddrPortFrom(response.Server.Addr(), 5355)
	asked := l.Pair(query)
	for range 2 {
		if got := l.Pair(response); got.Lookup || got.Key != asked.Key {
			t.Errorf("LLMNR: got %+v, want the query's key %d", got, asked.Key)
		}
	}
	if s := l.Stats(); s.AnsweredTwice != 0 || s.Answered != 1 || s.Latency.Count != 1 {
		t.Errorf("got %+v, want one answered query, none twice", s)
	}
}

func TestOneDirectionIsNoticed(t *testing.T) {
	query, response := exchange(1)
	for name, test := range map[string]struct {
		queries, responses int
		want               string
	}{
		"both":           {200, 200, ""},
		"few":            {directionSample - 1, 0, ""},
		"queries":        {1000, 5, "queries"},
		"responses":      {0, 300, "responses"},
		"half are heard": {200, 100, ""},
	} {
		l := NewLookups()
		for i := range test.queries {
			query.ID = uint16(i)
			l.Pair(query)
			if response.ID = uint16(i); i%max(test.queries, 1)*test.responses/max(test.queries, 1) != (i+1)*test.responses/max(test.queries, 1) {
				l.Pair(response)
			}
		}
		for i := test.queries; i < test.responses; i++ {
			response.ID = uint16(i)
			l.Pair(response)
		}
		if got := l.Stats().OneDirection; got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestPairingOfTwoInterfacesAddsUp(t *testing.T) {
	query, response := exchange(1)
	a, b := NewLookups(), NewLookups()
	for i := range 2 * directionSample {
		query.ID, response.ID = uint16(i), uint16(i)
		a.Pair(query)
		b.Pair(response)
	}
	sum, part := Stats{Pairing: ptr(a.Stats())}, Stats{Pairing: ptr(b.Stats())}
	sum.Add(part)
	if sum.Pairing.OneDirection != "" || sum.Pairing.WithoutQuery != 2*directionSample {
		t.Errorf("got %+v, want both directions", sum.Pairing)
	}
}

func ptr[T any](v T) *T { return &v }

func TestLatency(t *testing.T) {
	var h histogram
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	l := h.snapshot()
	for _, test := range []struct{ got, want float64 }{{l.P50, .5}, {l.P90, .9}, {l.P99, .99}, {l.Max, 1}} {
		if test.got < test.want || test.got > test.want*1.25 {
			t.Errorf("got %v, want %v to %v", test.got, test.want, test.want*1.25)
		}
	}
	if l.Count != 1000 || l.Sum != 500.5 {
		t.Errorf("got %+v, want 1000 in 500.5 s", l)
	}
	for d := time.Duration(0); d < 2*time.Minute; d = d*9/8 + 1 {
		b := bucket(d)
		if d > bound(b) && b < histogramBuckets-1 || b > 0 && d < bound(b-1) {
			t.Fatalf("%v is in bucket %d, which ends at %v", d, b, bound(b))
		}
	}
}
