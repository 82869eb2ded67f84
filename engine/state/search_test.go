package state_test

import (
	"fmt"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// found is what a search finds, newest first, all pages of two.
func (b *box) found(f engine.IncidentFilter) string {
	b.t.Helper()
	var ids []string
	for _, i := range every(b.t, func(c string) ([]engine.Incident, string, error) { return b.state.Incidents(f, c, 2) }) {
		ids = append(ids, i.ID)
	}
	return strings.Join(ids, " ")
}

func opening(n int, title, rule string, fields map[string]engine.Value) ledger.New {
	return rec(record.EventMatchedKind, record.EventMatched{
		Rule: rule, Event: fmt.Sprint("e0-", n), Offer: fmt.Sprint("x", n), Severity: "low", Type: "t", Title: title, Fields: engine.MustEncode(fields),
		Do: engine.Handler{File: "a.star", Name: "f"}, Bundle: "b1", Mode: "live",
	})
}

func TestSearch(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	b.append(0,
		opening(1, "Netflix from 192.0.2.7", "netflix", map[string]engine.Value{"query": "www.netflix.com", "client": "192.0.2.7", "client_mac": "02:00:00:00:00:07"}),
		opening(2, "Netflix from 192.0.2.70", "netflix", map[string]engine.Value{"query": "api.netflix.com.", "client": "192.0.2.70"}),
		opening(3, "Phishing reported by Ana", "phishing", map[string]engine.Value{"url": "https://login.münchen.example/reset?u=1", "from_": "Mallory <mallory@example.org>"}),
		opening(4, "Host web-1 answers slowly: the 95th percentile of answers", "blog", map[string]engine.Value{"address": "2001:DB8::7"}),
	)
	set := func(id string, fields map[string]engine.Value) {
		b.append(0, rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActSet, Incident: id, By: "ana", Fields: engine.MustEncode(fields)}))
	}
	set("i0-1", map[string]engine.Value{"device": "Dave's living-room TV", "verdict": "harmless"})
	set("i0-4", map[string]engine.Value{"owner": "Ana", "verdict": "suspicious"})
	b.append(0, rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActClose, Incident: "i0-2", By: "dave", Text: "x"}))
	for q, want := range map[string]string{
		"netflix":                      "i0-2 i0-1",
		"NETF":                         "i0-2 i0-1",
		"netf ":                        "",     // a word that is whole
		"netflix 192.0.2.7":            "i0-1", // an address is whole
		"192.0.2":                      "i0-2 i0-1",
		"192.0.2 netflix":              "i0-2 i0-1",
		"netflix.com":                  "i0-2 i0-1",
		"api.netflix.com":              "i0-2",
		"api.netflix.com. ":            "i0-2",
		"02-00-00-00-00-07":            "i0-1",
		"02:00:00":                     "i0-1",
		"living tv":                    "i0-1",
		`"living room tv"`:             "",
		`"living-room tv"`:             "i0-1",
		`"percentile of answers"`:      "i0-4",
		`"answers percentile"`:         "",
		"ana":                          "i0-4 i0-3",
		"owner:ana":                    "", // the filter: nobody owns one
		"verdict:suspicious":           "i0-4",
		"verdict:harmless netflix":     "i0-1",
		"client:192.0.2.7":             "i0-1",
		"client:netflix":               "",
		"rule:netflix status:open":     "i0-1",
		"status:closed":                "i0-2",
		"login.münchen.example":        "i0-3",
		"login.xn--mnchen-3ya.example": "i0-3",
		"MÜNCHEN ":                     "i0-3",
		"mallory@example.org":          "i0-3",
		"example.org":                  "i0-3",
		"2001:db8:0:0:0::7":            "i0-4",
		"2001:db8":                     "i0-4",
		"i0-3":                         "i0-3",
		"i0-99":                        "",
		"netflix phishing":             "",
		"???":                          "",
		"":                             "i0-4 i0-3 i0-2 i0-1",
	} {
		if got := b.found(engine.IncidentFilter{Text: q}); got != want {
			t.Errorf("%q: got %q, want %q", q, got, want)
		}
	}
	if got := b.found(engine.IncidentFilter{Text: "192.0.2", Status: engine.IncidentClosed, Rule: "netflix"}); got != "i0-2" {
		t.Errorf("with filters: got %q", got)
	}
	set("i0-1", map[string]engine.Value{"device": "phone", "verdict": "192.0.2.7"})
	for q, want := range map[string]string{"living": "", "phone": "i0-1", "harmless": "", "192.0.2.7": "i0-1", "02:00:00:00:00:07": "i0-1"} {
		if got := b.found(engine.IncidentFilter{Text: q}); got != want {
			t.Errorf("after a change, %q: got %q, want %q", q, got, want)
		}
	}
	set("i0-1", map[string]engine.Value{"verdict": "none"})
	if got := b.found(engine.IncidentFilter{Text: "192.0.2.7"}); got != "i0-1" {
		t.Errorf("a word of the event went with a field: got %q", got)
	}
	for _, q := range []string{strings.Repeat("x", 600), strings.Repeat("a1 b2 c3 d4 e5 ", 9)} {
		if _, _, err := b.state.Incidents(engine.IncidentFilter{Text: q}, "", 5); q[:2] == "xx" && engine.KindOf(err) != engine.Invalid {
			t.Errorf("%.20q: got %v, want it refused", q, err)
		}
	}
	before := b.dump()
	must(t, b.ledger.Rebuild())
	compareDumps(t, before, b.dump())
}

// TestListsStandWhileOthersOpen: what a cursor goes on with is what was there.
func TestListsStandWhileOthersOpen(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		b := open(t, t.TempDir(), shards)
		b.incidents(100)
		var want, got []string
		for _, i := range every(t, func(c string) ([]engine.Incident, string, error) {
			return b.state.Incidents(engine.IncidentFilter{}, c, 500)
		}) {
			want = append(want, i.ID)
		}
		n := 1000
		for cursor := ""; ; {
			items, next, err := b.state.Incidents(engine.IncidentFilter{}, cursor, 9)
			must(t, err)
			for _, i := range items {
				got = append(got, i.ID)
			}
			if cursor = next; next == "" {
				break
			}
			for shard := range uint16(shards) {
				n++
				b.append(shard, opening(n, "late", "late", nil))
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d shards: got %v, want %v", shards, got, want)
		}
	}
}

// TestListsAreNewestFirstAcrossShards: the shards of a ledger are one list.
func TestListsAreNewestFirstAcrossShards(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 8)
	for n := range 60 {
		b.clock.now = b.clock.now.Add(1e9)
		b.append(uint16(n*5%8), opening(n, fmt.Sprint("number ", n), "r", nil))
	}
	got := every(t, func(c string) ([]engine.Incident, string, error) {
		return b.state.Incidents(engine.IncidentFilter{Rule: "r"}, c, 7)
	})
	if len(got) != 60 {
		t.Fatalf("got %d incidents", len(got))
	}
	for k, i := range got {
		if i.Title != fmt.Sprint("number ", 59-k) {
			t.Errorf("place %d: got %q", k, i.Title)
		}
	}
	hits := every(t, func(c string) ([]engine.Hit, string, error) { return b.state.RuleMatches("r", c, 7) })
	if len(hits) != 60 || hits[0].Title != "number 59" || hits[0].Action != "opened" || hits[59].Title != "number 0" {
		t.Errorf("got %d hits, %+v first", len(hits), hits[0])
	}
}
