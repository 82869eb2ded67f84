package ui_test

import (
	"context"
	"fmt"

	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/store"
	"larkspur/ui"
	"larkspur/ui/uitest"
)

// benchIncidents is how many incidents BenchmarkPages fills a ledger with, with
// ten records each.
const benchIncidents = 100_000

// filled is a ledger that much has happened in.
type filled struct {
	b      *testing.B
	now    time.Time
	ledger *ledger.Ledger
	state  *state.State
	n      int // of incidents
	size   int // of records
}

func (f *filled) Now() time.Time                                   { return f.now }
func (f *filled) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func openFilled(b *testing.B) *filled {
	b.Helper()
	s, err := store.OpenScratch(b.TempDir())
	must(b, err)
	b.Cleanup(func() { must(b, s.Close()) })
	f := &filled{b: b, now: uitest.Start().AddDate(0, 0, -30)}
	f.ledger, err = ledger.Open(ledger.Config{Store: s, Projector: state.NewProjector(nil), Clock: f, Node: "bench"})
	must(b, err)
	b.Cleanup(f.ledger.Close)
	f.state = state.Open(s, nil, f.ledger)
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f *filled) append(list ...ledger.New) []record.Outcome {
	got, err := f.ledger.Append(f.b.Context(), 0, list...)
	must(f.b, err)
	f.size += len(got)
	out := make([]record.Outcome, len(got))
	for i, r := range got {
		out[i], err = record.Unmarshal[record.Outcome](r.Outcome)
		must(f.b, err)
	}
	return out
}

func benchRecord(k record.Kind, payload any) ledger.New {
	return ledger.New{Kind: k, Payload: record.Marshal(payload)}
}

// incidents opens n incidents whose runs look, ask, change something and close;
// one of ten still waits for its answer.
func (f *filled) incidents(n int) {
	severities := []string{"low", "low", "medium", "high", "info", "critical", "low"}
	var list []ledger.New
	for k := f.n; k < f.n+n; k++ {
		address := fmt.Sprintf("198.%d.%d.%d", 18+k>>16&1, k>>8&255, k&255)
		e := engine.FormatID('e', 0, uint64(k+1))
		list = append(list,
			benchRecord(record.EventSeenKind, record.EventSeen{Kind: "dns", Source: "eth1", Time: f.now, Offer: e}),
			benchRecord(record.EventMatchedKind, record.EventMatched{
				Rule: fmt.Sprint("rule-", k%20), Event: e, EventKind: "dns", Source: "eth1", EventTime: f.now, Offer: e + "/m", Mode: "live",
				Title:    fmt.Sprintf("Lookup of host%d.example.org from %s, which nobody expected here", k%5000, address),
				Severity: severities[k%20%len(severities)], Type: fmt.Sprint("type-", k%20%6), Saves: 5 * time.Minute,
				Fields: engine.MustEncode(map[string]engine.Value{"client": address, "query": fmt.Sprintf("host%d.example.org", k%5000), "client_mac": fmt.Sprintf("02:00:00:%02x:%02x:%02x", k>>16&255, k>>8&255, k&255)}),
				Do:     engine.Handler{File: "netflix.star", Name: "respond"}, Bundle: strings.Repeat("0123456789abcdef", 4),
			}))
	}
	opened := f.append(list...)
	list = nil
	for i := 1; i < len(opened); i += 2 {
		list = append(list, f.runOf(f.n+i/2, opened[i])...)
	}
	f.append(list...)
	f.n += n
	f.now = f.now.Add(time.Duration(n) * 25 * time.Second)
}

func (f *filled) runOf(k int, o record.Outcome) []ledger.New {
	hash := "k1:" + strings.Repeat("0123456789abcdef", 4)
	list := []ledger.New{
		benchRecord(record.EventRoutedKind, record.EventRouted{Event: engine.FormatID('e', 0, uint64(k+1))}),
		benchRecord(record.StepDoneKind, record.StepDone{Run: o.Run, Generation: 1, Number: 1, Builtin: "unifi.client", Class: engine.Read, At: "scripts/netflix.star:3:8", Hash: hash, Result: engine.MustEncode(map[string]engine.Value{"online": false})}),
		benchRecord(record.StepStartedKind, record.StepStarted{Run: o.Run, Generation: 1, Number: 2, Builtin: "ask", At: "scripts/netflix.star:4:9", Hash: hash, Question: &record.Question{
			Text: "What now?", To: []engine.Addressee{{Name: "dave"}}, Choices: []engine.Choice{{Name: "Allow"}, {Name: "Block"}}}}),
	}
	if k%10 == 9 {
		return append(list, benchRecord(record.RunParkedKind, record.RunParked{Run: o.Run, Generation: 1, Number: 2, Waits: "an answer of dave"}))
	}
	status := engine.RunDone
	if k%50 == 3 {
		status = engine.RunFailed
	}
	return append(list,
		benchRecord(record.QuestionAnsweredKind, record.QuestionAnswered{Question: engine.FormatID('q', 0, uint64(k+1)), By: "dave", Choice: "Block", How: "link"}),
		benchRecord(record.StepDoneKind, record.StepDone{Run: o.Run, Generation: 1, Number: 3, Builtin: "unifi.block", Hash: hash, Change: &record.Change{Title: "block a client", Inverse: "unifi.unblock"}}),
		benchRecord(record.StepDoneKind, record.StepDone{Run: o.Run, Generation: 1, Number: 4, Builtin: "incident.set", Hash: hash, Incident: &record.IncidentAct{
			Act: record.ActSet, Incident: o.Incident, By: "run " + o.Run, Order: []string{"device"}, Fields: engine.MustEncode(map[string]engine.Value{"device": fmt.Sprint("tablet ", k%700)})}}),
		benchRecord(record.StepDoneKind, record.StepDone{Run: o.Run, Generation: 1, Number: 5, Builtin: "incident.close", Hash: hash, Incident: &record.IncidentAct{
			Act: record.ActClose, Incident: o.Incident, By: "run " + o.Run, Text: "Block by dave", Code: "resolved"}}),
		benchRecord(record.RunEndedKind, record.RunEnded{Run: o.Run, Generation: 1, Status: status}))
}

// BenchmarkPages asks for every page and every list of a box with 100,000
// incidents and a million records: the server's time of each, and its weight
// with compression.
func BenchmarkPages(b *testing.B) {
	f := openFilled(b)
	begun := time.Now()
	for f.n < benchIncidents {
		f.incidents(20)
	}
	b.Logf("%d incidents, %d records in %.0f s", f.n, f.size, time.Since(begun).Seconds())
	w := uitest.Sample(b, address)
	w.Pass(f.now.Sub(w.Now()))
	var err error
	w.Server, err = ui.New(ui.Config{
		URL: address, Reader: benchReader{f.state, w}, Decider: w, Exporter: w, Rules: w, Jobs: w, Health: w, Rebuilds: w, Hooks: http.NotFoundHandler(), Eraser: w, Scrubs: w, DNS: w,
		People: w, Cache: w, Clock: w,
	})
	must(b, err)
	admin, viewer := w.Visit(b, "dave"), w.Visit(b, "vic")
	worst := map[string]float64{}
	heaviest := 0
	for b.Loop() {
		for group, paths := range benchPaths(f) {
			for _, path := range paths {
				for _, v := range []*uitest.Visitor{admin, viewer} {
					if v == viewer && group == "audit" {
						continue
					}
					ms, weight := f.ask(v, path)
					worst[group] = max(worst[group], ms)
					heaviest = max(heaviest, weight)
				}
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for group, ms := range worst {
		b.ReportMetric(ms, group+"-worst-ms")
	}
	b.ReportMetric(float64(heaviest)/1024, "heaviest-KB")
}

// ask asks some times for a path and returns the median time and the weight.
func (f *filled) ask(v *uitest.Visitor, path string) (ms float64, weight int) {
	const times = 5
	v.Header["Accept-Encoding"] = "gzip"
	var took []float64
	for range times {
		begun := time.Now()
		p := v.Get("/larkspur" + path)
		took = append(took, time.Since(begun).Seconds()*1000)
		if p.Status != 200 {
			f.b.Fatalf("%s: got %d", path, p.Status)
		}
		weight = len(p.Body)
	}
	slices.Sort(took)
	if os.Getenv("LARKSPUR_BENCH_EACH") != "" {
		fmt.Fprintf(os.Stderr, "%7.1f ms  %6d B  %s\n", took[times/2], weight, path)
	}
	return took[times/2], weight
}

func benchPaths(f *filled) map[string][]string {
	last := func(letter byte) string { return engine.FormatID(letter, 0, benchIncidents-4) }
	return map[string][]string{
		"pages": {
			"/overview", "/", "/?status=all", "/?status=closed", "/incidents/" + last('i'), "/incidents/i0-5", "/runs", "/runs?status=waiting", "/runs?status=failed", "/runs?status=done",
			"/runs?status=quarantined", "/runs?rule=rule-7", "/runs/" + last('r'), "/rules", "/rules/rule-7", "/questions", "/questions?status=answered", "/questions?status=timed_out",
			"/questions/" + last('q'), "/changes", "/changes?status=undone", "/status",
		},
		"audit": {"/audit", "/audit?since=2026-11-01T00:00&until=2026-11-01T01:00", "/audit?incident=i0-70000", "/api/v1/audit?limit=500"},
		"lists": {
			"/api/v1/incidents?limit=500", "/api/v1/incidents?rule=rule-7&limit=500", "/api/v1/incidents?status=open&severity=critical", "/api/v1/incidents?rule=rule-7&type=type-1&status=open",
			"/api/v1/incidents?rule=rule-7&type=type-2", "/api/v1/incidents?type=type-1&severity=low&status=closed", "/api/v1/incidents?owner=nobody", "/api/v1/incidents?cursor=0.64", "/api/v1/runs?limit=500", "/api/v1/questions?limit=500",
			"/api/v1/changes?limit=500", "/api/v1/rules/rule-3/hits?limit=500", "/api/v1/stats?by=hour&group=rule", "/api/v1/stats?by=day&since=2026-01-01", "/metrics", "/api/v1/incidents/" + last('i'),
		},
		"search": {
			"/?q=host4999.example.org&status=all", "/?q=198.18.77.7&status=all", "/?q=198.18&status=all", "/?q=198.1&status=all", "/?q=lookup&status=all", "/?q=tab&status=all", "/?q=tablet+699&status=all",
			"/?q=h&status=all", "/?q=%22nobody+expected%22&status=all", "/?q=device%3Atablet&status=all", "/?q=device%3Anothing&status=all", "/?q=client%3A198.18.0.1&status=all", "/?q=nothing&status=all",
			"/?q=02%3A00%3A00%3A01&status=all", "/?q=host1+critical&severity=critical", "/?q=host17+rule%3Arule-7&status=all", "/?q=%22never+said%22&status=all", "/?q=expected+lookup+nobody+which+her",
		},
	}
}

// benchReader reads a real state, in which nobody has signed in: that is the world's.
type benchReader struct {
	*state.State
	w *uitest.World
}

func (r benchReader) SignIn(sum string) (engine.SignIn, error)      { return r.w.SignIn(sum) }
func (r benchReader) DeviceByKey(sum string) (engine.Device, error) { return r.w.DeviceByKey(sum) }
