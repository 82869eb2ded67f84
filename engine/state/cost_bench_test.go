package state_test

import (
	"fmt"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/store"
)

// BenchmarkStories appends whole stories, eleven records each from an event to
// a closed incident, to a store that syncs nothing: what a record costs with its
// projections, and what it takes in the tables.
func BenchmarkStories(b *testing.B) {
	dir := b.TempDir()
	s, err := store.OpenScratch(dir)
	must(b, err)
	c := &clock{time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	l, err := ledger.Open(ledger.Config{Store: s, Projector: state.NewProjector(nil), Clock: c, Node: "test"})
	must(b, err)
	x := &box{t: b, store: s, ledger: l, state: state.Open(s, nil, l), clock: c}
	const atOnce = 20
	stories, records := 0, 0
	for b.Loop() {
		records += x.stories(stories, atOnce)
		stories += atOnce
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(records), "µs/record")
	l.Close()
	must(b, s.Close())
	b.ReportMetric(tableBytes(b, dir)/float64(records), "B/record")
	b.ReportMetric(0, "ns/op")
}

// stories appends n stories from first on, and returns how many records.
func (b *box) stories(first, n int) (records int) {
	var list []ledger.New
	for k := first; k < first+n; k++ {
		e := engine.FormatID('e', 0, uint64(k+1))
		list = append(list,
			rec(record.EventSeenKind, record.EventSeen{Kind: "dns", Source: "eth1", Time: b.clock.now, Offer: e}),
			rec(record.EventMatchedKind, record.EventMatched{
				Rule: fmt.Sprint("rule-", k%20), Event: e, EventKind: "dns", Source: "eth1", EventTime: b.clock.now, Offer: e + "/m", Mode: "live",
				Title: fmt.Sprintf("Netflix from 192.0.2.%d", k%250), Severity: "low", Type: "streaming",
				Fields: engine.MustEncode(map[string]engine.Value{"client": fmt.Sprintf("192.0.2.%d", k%250), "query": "www.netflix.com", "client_mac": "02:00:00:00:00:07"}),
				Do:     engine.Handler{File: "netflix.star", Name: "respond"}, Bundle: "b1",
			}))
	}
	opened := b.append(0, list...)
	records = len(list)
	list = nil
	for k := range n {
		o := opened[2*k+1]
		done := func(number int, d record.StepDone) ledger.New {
			d.Run, d.Generation, d.Number, d.At = o.Run, 1, number, "scripts/netflix.star:3:8"
			return rec(record.StepDoneKind, d)
		}
		list = append(list,
			rec(record.EventRoutedKind, record.EventRouted{Event: engine.FormatID('e', 0, uint64(first+k+1))}),
			done(1, record.StepDone{Builtin: "unifi.client", Class: engine.Read, Result: engine.MustEncode(map[string]engine.Value{"online": false})}),
			rec(record.StepStartedKind, record.StepStarted{Run: o.Run, Generation: 1, Number: 2, Builtin: "ask", Question: &record.Question{
				Text: "What now?", To: []engine.Addressee{{Name: "dave"}}, Choices: []engine.Choice{{Name: "Allow"}, {Name: "Block"}}}}),
			rec(record.RunParkedKind, record.RunParked{Run: o.Run, Generation: 1, Number: 2, Waits: "an answer of dave"}),
			rec(record.QuestionAnsweredKind, record.QuestionAnswered{Question: engine.FormatID('q', 0, uint64(first+k+1)), By: "dave", Choice: "Block"}),
			rec(record.StepStartedKind, record.StepStarted{Run: o.Run, Generation: 1, Number: 3, Builtin: "unifi.block", Class: engine.Once}),
			done(3, record.StepDone{Change: &record.Change{Title: "block", Inverse: "unifi.unblock"}}),
			done(4, record.StepDone{Builtin: "incident.close", Incident: &record.IncidentAct{Act: record.ActClose, Incident: o.Incident, By: "run " + o.Run, Text: "Block by dave"}}),
			rec(record.RunEndedKind, record.RunEnded{Run: o.Run, Generation: 1, Status: engine.RunDone}))
	}
	b.append(0, list...)
	b.clock.now = b.clock.now.Add(time.Second)
	return records + len(list)
}
