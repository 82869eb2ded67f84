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
	if got := x.l.IsLookup(m); got != want {
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
		l.IsLookup(query)
	}
	if got := l.Forgotten(); got < n/2 || got > n {
		t.Errorf("forgotten: got %d of %d", got, n)
	}
	x.want(true, response, 0)
	query, _ = exchange(1)
	x.want(true, query, 0)
	x.want(false, response, 0)
}

func TestAnsweredQueriesAreForgottenFirst(t *testing.T) {
	now := start.UnixNano() &^ 1
	fresh, old := askedQuery{1, now}, askedQuery{1, now - int64(20*time.Second)}
	answered, stale := askedQuery{1, now | 1}, askedQuery{1, now - int64(31*time.Second)}
	order := []askedQuery{stale, answered, old, fresh}
	for i := range order[1:] {
		if order[i].worth(now) >= order[i+1].worth(now) {
			t.Errorf("query %d is worth %d, the next %d; want less", i, order[i].worth(now), order[i+1].worth(now))
		}
	}
}
