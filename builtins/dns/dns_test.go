package dns

import (
	"reflect"
	"testing"
	"time"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

type args = map[string]engine.Value

func call(t *testing.T, history History, a args) (engine.Value, *engine.Error) {
	t.Helper()
	m, err := Open(&reach.Env{History: history}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Builtins[0].Do(t.Context(), &engine.Call{Name: "dns.history", Args: a})
	return r.Value, engine.AsError(err)
}

func TestHistory(t *testing.T) {
	first := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	var asked engine.DNSQuery
	history := func(q engine.DNSQuery) (engine.DNSPage, error) {
		asked = q
		return engine.DNSPage{Records: []engine.DNSRecord{
			{Name: "www.example.org", Type: "A", Data: "192.0.2.80", Rcode: "NOERROR", First: first, Last: first.Add(time.Hour), Count: 3, Clients: []string{"192.0.2.7"}},
			{Name: "www.example.org", Type: "AAAA", First: first, Last: first, Count: 1},
		}}, nil
	}
	got, err := call(t, history, args{"domain": "example.org", "limit": int64(2)})
	if err != nil {
		t.Fatal(err)
	}
	if want := (engine.DNSQuery{Domain: "example.org", Limit: 2, Whole: true}); asked != want {
		t.Errorf("asked %+v, want %+v", asked, want)
	}
	want := []engine.Value{
		engine.Struct{Type: "dns.record", Fields: args{"name": "www.example.org", "type": "A", "data": "192.0.2.80", "rcode": "NOERROR",
			"first_seen": first, "last_seen": first.Add(time.Hour), "count": int64(3), "clients": []engine.Value{"192.0.2.7"}}},
		engine.Struct{Type: "dns.record", Fields: args{"name": "www.example.org", "type": "AAAA", "data": nil, "rcode": nil,
			"first_seen": first, "last_seen": first, "count": int64(1), "clients": []engine.Value{}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestErrors(t *testing.T) {
	none := func(engine.DNSQuery) (engine.DNSPage, error) {
		return engine.DNSPage{}, engine.Errorf(engine.Invalid, "want one of domain, ip and client, got 0")
	}
	for _, c := range []struct {
		history History
		args    args
		kind    engine.Kind
		message string
	}{
		{none, args{}, engine.Invalid, "dns.history: want one of domain, ip and client, got 0"},
		{none, args{"limit": int64(0)}, engine.Invalid, "dns.history: limit: got 0, want 1 to 10000"},
		{nil, args{"ip": "192.0.2.1"}, engine.Unavailable, "dns.history: there is no memory of DNS here"},
	} {
		if _, err := call(t, c.history, c.args); err == nil || err.Kind != c.kind || err.Message != c.message {
			t.Errorf("%v: got %v, want %s: %s", c.args, err, c.kind, c.message)
		}
	}
}
