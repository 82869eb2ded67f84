package state_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

// workload appends records at random, likely ones and impossible ones, in one
// shard. The same seed appends the same.
type workload struct {
	frames int
	b      *box
	rnd    *rand.Rand
	shard  uint16
	ids    map[byte][]string // by letter, what outcomes named
	seen   map[record.Kind]int

	begun   record.StepStarted   // the last one
	wants   []record.StepStarted // steps that want a lock
	expects []record.ExpectSet   // all
	doubted record.StepDoubted   // the last one, until it is resolved
}

func (w *workload) id(letter byte) string {
	list := w.ids[letter]
	if len(list) == 0 || w.rnd.IntN(30) == 0 {
		return engine.FormatID(letter, w.shard, uint64(w.rnd.IntN(50))) // perhaps there is none
	}
	if w.rnd.IntN(2) == 0 {
		list = list[max(0, len(list)-5):] // what is new is what most is done with
	}
	return list[w.rnd.IntN(len(list))]
}

func (w *workload) learn(o record.Outcome) {
	if o.Action == state.ExpectedTaken {
		o.Event = "" // it is none of those that were seen
	}
	ids := append([]string{o.Event, o.Incident, o.Run, o.Question, o.Change, o.Button, o.Timer}, o.Runs...)
	for _, id := range ids {
		if id != "" && !slices.Contains(w.ids[id[0]], id) {
			w.ids[id[0]] = append(w.ids[id[0]], id)
		}
	}
}

func (w *workload) pick(list ...string) string { return list[w.rnd.IntN(len(list))] }
func (w *workload) often(n int) bool           { return w.rnd.IntN(n) > 0 }

// step appends one frame of one to three records.
func (w *workload) step() {
	var list []ledger.New
	for range 1 + w.rnd.IntN(3) {
		list = append(list, w.record())
	}
	if w.frames++; w.frames%5 == 0 {
		list = append(list, w.metric())
	}
	if buttons := w.ids['b']; w.frames%9 == 0 && len(buttons) > 0 {
		list = append(list, rec(record.ButtonPressedKind, record.ButtonPressed{Button: buttons[w.frames%len(buttons)], By: engine.ByLink, How: "link"}))
	}
	list = append(list, w.deadlines()...)
	if w.shard == state.DeviceShard && w.frames%2 == 0 {
		list = append(list, w.signIn())
	}
	for i, o := range w.b.append(w.shard, list...) {
		w.learn(o)
		if o.Applied {
			w.seen[list[i].Kind]++
		}
		if o.Applied && list[i].Kind == record.StepDoubtedKind {
			w.doubted, _ = record.Unmarshal[record.StepDoubted](list[i].Payload)
		}
	}
	w.b.clock.now = w.b.clock.now.Add(time.Duration(w.rnd.IntN(int(20 * time.Minute))))
}

func (w *workload) record() ledger.New {
	if w.doubted.Run != "" && w.often(2) { // most doubts are resolved before all else happens
		return w.resolution()
	}
	switch dice := w.rnd.IntN(100); {
	case dice < 8:
		return w.event()
	case dice < 17:
		return w.match()
	case dice < 20:
		return w.opened()
	case dice < 45:
		return w.done()
	case dice < 60:
		return w.started()
	case dice < 75:
		return w.ofRun()
	case dice < 95:
		return w.fromOutside()
	}
	return w.rare()
}

func (w *workload) event() ledger.New {
	if w.rnd.IntN(3) == 0 {
		return rec(record.EventRoutedKind, record.EventRouted{Event: w.id('e'), Rules: []string{"netflix"}})
	}
	return rec(record.EventSeenKind, record.EventSeen{
		Kind: "dns", Source: w.pick("eth1", "eth2"), Time: w.b.clock.now, Offer: w.pick("", fmt.Sprint("k", w.rnd.IntN(40))),
		Cursor: w.pick("", "c1", "c2"), Fields: engine.MustEncode(map[string]engine.Value{"n": int64(w.rnd.IntN(9))}),
	})
}

func (w *workload) match() ledger.New {
	m := record.EventMatched{
		Rule: w.pick("netflix", "beacon", "storm"), Event: w.id('e'), Offer: fmt.Sprint("m", w.rnd.IntN(400)), Severity: "low", Type: "t", Title: "T",
		DedupSet: w.often(2), Dedup: w.pick("a", "b", "c"), Do: engine.Handler{File: "a.star", Name: "f"}, Bundle: "b1", Mode: "live",
		Quiet: time.Duration(w.rnd.IntN(3)) * time.Hour, Team: w.pick("family", "office"), Visible: w.pick("all", "team"),
	}
	if m.Rule == "beacon" {
		m.OnAttach = &engine.Handler{File: "a.star", Name: "more"}
	}
	if m.Rule != "beacon" {
		m.SLA, m.Hours = []record.Limit{{Name: engine.DeadlineClose, Limit: 5 * time.Hour}, {Name: engine.DeadlineRespond, Limit: time.Hour}}, "office"
		m.OnBreach = &engine.Handler{File: "a.star", Name: "late"}
	}
	if m.Rule == "storm" {
		m.Throttle, m.ThrottleIn, m.DedupSet = 2, 6*time.Hour, false
	}
	return rec(record.EventMatchedKind, m)
}

func (w *workload) opened() ledger.New {
	p := record.IncidentOpened{
		Run: w.id('r'), Generation: 1, Rule: "check", Offer: fmt.Sprint("o", w.rnd.IntN(400)), Severity: w.pick(engine.Severities...), Type: w.pick("t", "outage"),
		Title: "T", DedupSet: w.often(2), Dedup: w.pick("[]", "[1]"), Bundle: "b1", Mode: "live", Team: "office", Visible: w.pick("", "team"),
		Reporter: &engine.Reporter{Name: "dave"}, Fields: engine.MustEncode(map[string]engine.Value{"why": "it is down"}), Order: []string{"why"},
	}
	if w.often(3) {
		p.Opened = w.b.clock.now.Add(-time.Duration(w.rnd.IntN(40)) * 24 * time.Hour)
	}
	if w.often(2) {
		p.Do = &engine.Handler{File: "a.star", Name: "f"}
	}
	if w.often(4) {
		p.Run = ""
	}
	return rec(record.IncidentOpenedKind, p)
}

func (w *workload) started() ledger.New {
	run := w.id('r')
	s := record.StepStarted{Run: run, Generation: w.generation(run), Path: w.pick("", "", "a/b"), Number: 1 + w.rnd.IntN(8), Builtin: "x", Class: engine.Once, At: "a.star:1:1", Effect: w.often(2)}
	switch w.rnd.IntN(7) {
	case 4:
		s.Expect = &record.Expected{Since: w.b.clock.now, Step: fmt.Sprint(1 + w.rnd.IntN(8))}
	case 3:
		s.Lock = &record.Lock{Name: w.pick("printer", "door"), Shard: w.shard}
		w.wants = append(w.wants, s)
	case 2:
		if s.Await = w.pick("assigned", "touched", "closed", "answered"); w.often(2) {
			s.Until = w.b.clock.now.Add(time.Hour)
		}
	case 0:
		s.Until = w.b.clock.now.Add(time.Duration(w.rnd.IntN(3)) * time.Hour)
	case 1:
		s.Question = &record.Question{Text: "q?", To: []engine.Addressee{{Name: "dave", Email: "dave@example.org"}, {Name: "mute"}}, HasDefault: w.often(2), Default: "yes", SLA: time.Hour}
		if w.often(2) {
			s.Question.Due = w.b.clock.now.Add(time.Hour)
		}
	}
	w.begun = s
	return rec(record.StepStartedKind, s)
}

func (w *workload) done() ledger.New {
	run := w.id('r')
	d := record.StepDone{Run: run, Generation: w.generation(run), Path: w.pick("", "", "a/b"), Number: 1 + w.rnd.IntN(8), Builtin: "x", At: "a.star:1:1", Result: engine.MustEncode("ok")}
	switch w.rnd.IntN(8) {
	case 0:
		d.Error, d.Result = engine.Errorf(engine.Denied, "no"), nil
	case 1, 2:
		d.Change = &record.Change{Title: "block", Inverse: "unblock", InverseArgs: engine.MustEncode(map[string]engine.Value{})}
		if w.often(2) {
			d.Change.Expires = w.b.clock.now.Add(2 * time.Hour)
		}
	case 3:
		if d.Undo = w.id('c'); w.often(2) {
			d.Undo, d.Settled = "", &record.Settled{Change: w.id('c'), Error: w.pick("", "refused")}
		}
	case 4:
		d.Starts = []record.Start{{Handler: engine.Handler{File: "@larkspur//outbox.star", Name: "mail"}, Purpose: state.PurposeOutbox}}
	case 5:
		d.Link = &record.Link{Question: w.id('q'), Person: "dave", Revision: 1, Token: state.TokenSum(fmt.Sprint(w.rnd.IntN(99)))}
	case 6:
		act := w.act()
		d.Incident = &act
	case 7:
		d.Button = &record.Button{Do: engine.Handler{File: "a.star", Name: "out"}, Label: "I need a person", Token: state.TokenSum(fmt.Sprint("b", w.frames))}
	}
	return rec(record.StepDoneKind, d)
}

func (w *workload) act() record.IncidentAct {
	a := record.IncidentAct{
		Act:      w.pick(record.ActSet, record.ActNote, record.ActClose, record.ActReopen, record.ActAssign, record.ActEscalate),
		Incident: w.id('i'), By: w.pick("dave", "ana"), Text: "because", Offer: w.pick("", fmt.Sprint("a", w.rnd.IntN(400))),
	}
	switch a.Act {
	case record.ActEscalate:
		a.Severity = w.pick(engine.Severities...)
	case record.ActAssign:
		if a.Team = w.pick("", "family", "office"); w.often(2) {
			a.Among, a.Busy = []string{"dave", "ana"}, []int{w.rnd.IntN(2), 0}
		} else {
			a.Owner = w.pick("dave", "ana", "")
		}
	}
	if a.Act == record.ActSet {
		key := w.pick("zeta", "alpha", "beta")
		a.Fields, a.Order = engine.MustEncode(map[string]engine.Value{key: int64(w.rnd.IntN(9))}), []string{key}
	}
	if a.Act == record.ActClose && w.often(3) {
		a.Quiet = time.Hour
	}
	return a
}

func (w *workload) ofRun() ledger.New {
	run := w.id('r')
	switch w.rnd.IntN(10) {
	case 6, 7:
		return rec(record.StepDoubtedKind, record.StepDoubted{
			Run: w.begun.Run, Generation: w.begun.Generation, Path: w.begun.Path, Number: w.begun.Number, Error: engine.Errorf(engine.Internal, "who knows"),
		})
	case 8:
		return w.resolution()
	case 9:
		return w.restart(run)
	case 0, 1, 2:
		return rec(record.RunParkedKind, record.RunParked{Run: run, Generation: w.generation(run), Number: 1 + w.rnd.IntN(8), Waits: "something"})
	case 3:
		return rec(record.WorkerDiedKind, record.WorkerDied{Run: run, Generation: w.generation(run), Why: "memory"})
	}
	e := record.RunEnded{Run: run, Generation: w.generation(run), Status: w.pick(engine.RunDone, engine.RunDone, engine.RunFailed, engine.RunInDoubt, engine.RunDiverged)}
	if e.Status != engine.RunDone {
		e.Error = engine.Errorf(engine.Script, "broken")
	}
	return rec(record.RunEndedKind, e)
}

func (w *workload) restart(run string) ledger.New {
	r := record.RunRestarted{Run: run, Generation: 1, Number: w.rnd.IntN(4), Bundle: w.pick("b1", "b2"), By: "ana", How: "page"}
	if r.Answered = w.often(2); r.Answered {
		r.Result = engine.MustEncode("ok")
	}
	if known, err := w.b.state.Run(run); err == nil {
		r.Generation = known.Generation
	}
	return rec(record.RunRestartedKind, r)
}

// generation is the present one of a run, or, rarely, the first.
func (w *workload) generation(run string) int {
	if r, err := w.b.state.Run(run); err == nil && w.often(5) {
		return r.Generation
	}
	return 1
}

func (w *workload) resolution() ledger.New {
	d := w.doubted
	w.doubted.Run = ""
	return rec(record.StepResolvedKind, record.StepResolved{
		Run: d.Run, Generation: d.Generation, Path: d.Path, Number: d.Number, By: "ana", How: "page", Why: "I looked",
		Outcome: w.pick(engine.OutcomeHappened, engine.OutcomeAgain, engine.OutcomeSkip, engine.OutcomeRelease, engine.OutcomeDrop), Result: engine.MustEncode("ok"),
	})
}

func (w *workload) fromOutside() ledger.New {
	switch w.rnd.IntN(8) {
	case 7:
		if w.often(2) {
			return w.expected()
		}
		return w.rare()
	case 6:
		return w.lock()
	case 5:
		return w.memory()
	case 4:
		return w.resolution()
	case 0:
		return rec(record.QuestionAnsweredKind, record.QuestionAnswered{Question: w.id('q'), By: w.pick("dave", "ana"), Choice: "yes", How: "page"})
	case 1:
		return rec(record.TimerFiredKind, record.TimerFired{Timer: w.id('t')})
	case 2:
		return rec(record.UndoRequestedKind, record.UndoRequested{Change: w.id('c'), By: "dave"})
	}
	return rec(record.IncidentChangedKind, w.act())
}

// metric records a value, some of them a second time, without a throw of the dice.
func (w *workload) metric() ledger.New {
	return rec(record.MetricSetKind, record.MetricSet{
		Run: engine.FormatID('r', w.shard, uint64(w.frames/100+1)), Generation: 1, Name: fmt.Sprint("m", w.frames%3), Value: float64(w.frames % 7),
		Labels: map[string]string{"who": fmt.Sprint(w.frames % 4)}, Offer: fmt.Sprint("m", w.frames/10),
	})
}

// deadlines does something to one, says when they are over, and has them be over:
// without a throw of the dice.
func (w *workload) deadlines() (list []ledger.New) {
	if ids := w.ids['i']; len(ids) > 0 && w.frames%3 == 0 {
		incident := ids[w.frames%len(ids)]
		acts := []string{record.DeadlineStart, record.DeadlinePause, record.DeadlineResume, record.DeadlineStart, record.DeadlineStop}
		d := record.DeadlineSet{
			Act: acts[w.frames/3%len(acts)], Deadline: engine.DeadlineID(engine.DeadlineOfSection, incident, fmt.Sprint("part ", w.frames%2)), Incident: incident,
			Limit: time.Duration(w.frames%4+1) * time.Hour, Hours: []string{"", "office"}[w.frames%2], Offer: fmt.Sprint("d", w.frames/2), Left: time.Hour,
			Handler: &engine.Handler{File: "a.star", Name: "late"}, Bundle: "b1", Mode: "live", Run: engine.FormatID('r', w.shard+1, 1),
		}
		if now, err := w.b.state.Deadline(d.Deadline); err == nil {
			d.Revision = now.Revision
		}
		list = append(list, rec(record.DeadlineSetKind, d))
	}
	if w.frames%40 == 0 {
		list = append(list, rec(record.JobStartedKind, record.JobStarted{Job: "by hand", By: "dave", How: "page", Do: engine.Handler{File: "a.star", Name: "g"}, Bundle: "b1", Mode: "live", Overlap: true}))
	}
	counted, err := w.b.state.Uncounted(w.shard, w.frames%50 == 0)
	must(w.b.t, err)
	for _, d := range counted[:min(len(counted), 5)] {
		due := d.Since.Add(d.Left + time.Duration(w.frames%3)*time.Minute)
		list = append(list, rec(record.DeadlineSetKind, record.DeadlineSet{Act: record.DeadlineDue, Deadline: d.ID, Due: due, Incident: d.Incident, Revision: d.Revision}))
	}
	due, err := w.b.state.DueTimers(w.shard, w.b.clock.now, 5)
	must(w.b.t, err)
	for _, tm := range due {
		switch {
		case tm.For == state.DeadlineTimer:
			list = append(list, rec(record.DeadlineBreachedKind, record.DeadlineBreached{Deadline: tm.Target, Timer: tm.ID}))
		case w.frames%8 == 0:
			list = append(list, rec(record.TimerFiredKind, record.TimerFired{Timer: tm.ID}))
		}
	}
	return list
}

func (w *workload) memory() ledger.New {
	p := record.StateSet{Run: w.id('r'), Generation: 1, Key: w.pick("a", "b"), Offer: w.pick("", fmt.Sprint("s", w.rnd.IntN(40)))}
	if w.often(3) {
		p.Value = engine.MustEncode(int64(w.rnd.IntN(9)))
	}
	if w.often(2) {
		p.Expires = w.b.clock.now.Add(time.Hour)
	}
	return rec(record.StateSetKind, p)
}

// clock is held rarely: nothing fires meanwhile.
func (w *workload) clock() ledger.New {
	now := w.b.clock.now
	if !w.often(2) {
		return rec(record.ClockHeldKind, record.ClockHeld{On: true, From: now, To: now.AddDate(10, 0, 0), Why: "it jumped"})
	}
	return rec(record.ClockHeldKind, record.ClockHeld{By: "dave", How: engine.ClockAccepted, From: now, To: now})
}

// expected sets an expectation, or brings an event that somebody expects.
func (w *workload) expected() ledger.New {
	run, step := w.id('r'), fmt.Sprint(1+w.rnd.IntN(8))
	if len(w.expects) > 0 && w.often(2) {
		last := w.expects[max(0, len(w.expects)-1-w.rnd.IntN(4))]
		run, step = last.Run, last.Step
		event := engine.FormatID('e', w.shard, uint64(5000+w.rnd.IntN(90))) // after all others
		e := record.EventExpected{Event: event, EventKind: "webhook", Run: run, Step: step, Seen: w.b.clock.now, Source: "probe", Offer: fmt.Sprint("x", w.rnd.IntN(90))}
		return rec(record.EventExpectedKind, e)
	}
	p := record.ExpectSet{Generation: w.generation(run), Kind: "webhook", Run: run, Step: step, Take: w.often(2)}
	if w.often(2) {
		p.Due = w.b.clock.now.Add(9 * time.Hour)
	}
	w.expects = append(w.expects, p)
	return rec(record.ExpectSetKind, p)
}

// lock takes, releases or passes on what some step wanted.
func (w *workload) lock() ledger.New {
	if len(w.wants) == 0 {
		return w.started()
	}
	s := w.wants[max(0, len(w.wants)-1-w.rnd.IntN(6))]
	step := engine.StepID(s.Path, s.Number)
	p := record.LockChanged{
		Act: w.pick(record.LockTake, record.LockTake, record.LockRelease, record.LockFree, record.LockGrant, record.LockAwaited), Generation: s.Generation,
		Name: s.Lock.Name, Run: s.Run, Step: step, Token: fmt.Sprint(s.Run, "/", s.Generation, "/", step),
	}
	if p.Act == record.LockTake && w.rnd.IntN(4) == 0 {
		p.Run = engine.FormatID('r', w.shard+1, 1) // of another shard
	}
	return rec(record.LockChangedKind, p)
}

func (w *workload) rare() ledger.New {
	switch w.rnd.IntN(8) {
	case 7:
		return w.clock()
	case 5:
		return rec(record.RebuiltKind, record.Rebuilt{By: "ana", Equal: true, Records: 7})
	case 6:
		e := record.Erased{
			Erasure: w.pick("a", "b"), By: "ana", Because: "of a test", Done: w.often(2),
			What: record.Selection{Incident: "i0-1"}, Waits: []record.Waiting{{On: "i0-2", Why: "it is open"}},
		}
		if w.often(2) {
			e.Incidents = []string{w.id('i')}
		}
		return rec(record.ErasedKind, e)
	case 0:
		return rec(record.BundleActivatedKind, record.BundleActivated{Bundle: w.pick("b1", "b2"), Blob: "x", Files: []string{"a.star 1"}})
	case 1:
		return rec(record.LoggedInKind, record.LoggedIn{Who: "dave", How: "login link"})
	case 2:
		if w.often(2) {
			return rec(record.BrakeSetKind, record.BrakeSet{By: "dave", On: w.often(2), Why: "looking"})
		}
		return rec(record.LoggedOutKind, record.LoggedOut{Who: "dave"})
	case 3:
		if w.often(2) {
			return rec(record.KeyRotatedKind, record.KeyRotated{By: "ana", New: []string{"k2"}, Old: []string{"k1"}})
		}
		return rec(record.ExportedKind, record.Exported{By: "ana"})
	}
	return rec(record.JobFiredKind, record.JobFired{
		Job: w.pick("check", "queue"), Instant: w.b.clock.now.Truncate(time.Minute), Offer: fmt.Sprint("j", w.rnd.IntN(30)), Do: engine.Handler{File: "a.star", Name: "f"},
		Bundle: "b1", Mode: "live", Overlap: w.often(2),
	})
}

// TestARebuildIsEqualWhateverHappened: the projections of a long story of every
// kind of record are made again from the ledger alone, byte for byte, and the
// counters agree with what they count.
func TestARebuildIsEqualWhateverHappened(t *testing.T) {
	for _, shards := range []int{1, 8} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			t.Parallel()
			b := open(t, t.TempDir(), shards)
			seen := map[record.Kind]int{record.EpochOpenedKind: 1}
			var loads []*workload
			for shard := range shards {
				loads = append(loads, &workload{b: b, rnd: rand.New(rand.NewPCG(42, uint64(shard))), shard: uint16(shard), ids: map[byte][]string{}, seen: seen})
			}
			for n := range 800 {
				if n%100 == 99 {
					b.checkTimers()
				}
				loads[n%shards].step()
			}
			for _, k := range record.Kinds() {
				if seen[k] == 0 {
					t.Errorf("no %s had an effect: the story is too short", k)
				}
			}
			b.checkCounts()
			b.checkTimers()
			before := b.dump()
			must(t, b.ledger.Rebuild())
			compareDumps(t, before, b.dump())
		})
	}
}

func compareDumps(t *testing.T, before, after map[string]string) {
	t.Helper()
	differ := 0
	for k, v := range before {
		if after[k] != v {
			t.Errorf("key %q: got %q, want %q", k, after[k], v)
			differ++
		}
	}
	for k, v := range after {
		if _, ok := before[k]; !ok {
			t.Errorf("key %q: got %q, want none", k, v)
			differ++
		}
	}
	t.Logf("%d keys, %d differ", len(before), differ)
}

// checkCounts compares the maintained counters and indexes with the nouns.
func (b *box) checkCounts() {
	b.t.Helper()
	var want engine.Counts
	severities, busy := map[string]int64{}, map[string]int{}
	for _, i := range every(b.t, func(c string) ([]engine.Incident, string, error) {
		return b.state.Incidents(engine.IncidentFilter{}, c, 100)
	}) {
		if i.Status == engine.IncidentOpen {
			want.OpenIncidents++
			severities[i.Severity]++
			busy[i.Owner]++
		}
		if b.checkDeadlines(i) > 0 {
			want.Overdue++
		}
	}
	b.checkOpen(severities, busy)
	for _, q := range every(b.t, func(c string) ([]engine.Question, string, error) {
		return b.state.Questions(engine.QuestionFilter{}, c, 100)
	}) {
		if q.Status == engine.QuestionOpen {
			want.OpenQuestions++
		}
	}
	for _, x := range every(b.t, func(c string) ([]engine.Change, string, error) { return b.state.Changes(engine.ChangeFilter{}, c, 100) }) {
		if x.Status == engine.ChangeInForce {
			want.ChangesInForce++
		}
	}
	ready := 0
	for _, r := range every(b.t, func(c string) ([]engine.Run, string, error) { return b.state.Runs(engine.RunFilter{}, c, 100) }) {
		if r.Status == engine.RunWaiting {
			want.WaitingRuns++
		}
		if r.Status == engine.RunRunning {
			ready++
		}
	}
	b.checkTallies(want)
	got, err := b.state.Counts()
	must(b.t, err)
	if got.Logins = 0; got != want {
		b.t.Errorf("got counts %+v, want %+v", got, want)
	}
	for shard := range b.ledger.Shards() {
		list, err := b.state.Ready(uint16(shard))
		must(b.t, err)
		ready -= len(list)
	}
	if ready != 0 {
		b.t.Errorf("%d runs that want a worker are not in their index", ready)
	}
	for status, list := range map[string]int{
		"incidents": len(every(b.t, func(c string) ([]engine.Incident, string, error) {
			return b.state.Incidents(engine.IncidentFilter{Status: engine.IncidentOpen}, c, 50)
		})) - want.OpenIncidents,
		"questions": len(every(b.t, func(c string) ([]engine.Question, string, error) {
			return b.state.Questions(engine.QuestionFilter{Status: engine.QuestionOpen}, c, 50)
		})) - want.OpenQuestions,
		"changes": len(every(b.t, func(c string) ([]engine.Change, string, error) {
			return b.state.Changes(engine.ChangeFilter{Status: engine.ChangeInForce}, c, 50)
		})) - want.ChangesInForce,
	} {
		if list != 0 {
			b.t.Errorf("the index of open %s has %d too many", status, list)
		}
	}
}

// checkOpen compares the counters of open incidents by severity and by owner with
// the nouns.
func (b *box) checkOpen(severities map[string]int64, busy map[string]int) {
	b.t.Helper()
	for _, severity := range engine.Severities {
		sum := b.total(engine.TallyAll, time.Time{}, b.clock.now, func(r engine.TallyRow) bool { return r.Severity == severity })
		if got := sum.Open(); got != severities[severity] {
			b.t.Errorf("open incidents of severity %s: the tallies say %d, the nouns %d", severity, got, severities[severity])
		}
	}
	for _, owner := range []string{"dave", "ana"} {
		got, err := b.state.Busy(owner, uint16(b.ledger.Shards()))
		must(b.t, err)
		if got != busy[owner] {
			b.t.Errorf("open incidents of %s: the counter says %d, the nouns %d", owner, got, busy[owner])
		}
	}
}

// checkTallies compares what was counted in all with what there is.
func (b *box) checkTallies(open engine.Counts) {
	b.t.Helper()
	sum := b.total(engine.TallyAll, time.Time{}, b.clock.now, nil)
	for name, pair := range map[string][2]int64{
		"open incidents": {sum.Open(), int64(open.OpenIncidents)},
		"open questions": {sum.Asked - sum.Answered - sum.TimedOut - sum.Withdrawn, int64(open.OpenQuestions)},
	} {
		if pair[0] != pair[1] {
			b.t.Errorf("%s: the tallies say %d, the nouns %d", name, pair[0], pair[1])
		}
	}
}

// checkTimers compares the sorted index, which does not begin at its beginning,
// with the timers that there are.
// checkDeadlines holds what an incident says of its deadlines against them, and
// counts those that are breached.
func (b *box) checkDeadlines(i engine.Incident) (breached int) {
	b.t.Helper()
	list, err := b.state.Deadlines(i.ID)
	must(b.t, err)
	var due time.Time
	for _, d := range list {
		if d.Status == engine.DeadlineBreached {
			breached++
		}
		if !d.Due.IsZero() && (due.IsZero() || d.Due.Before(due)) {
			due = d.Due
		}
		if d.Ends() && i.Status == engine.IncidentClosed && d.Of != engine.DeadlineOfQuestion { // what takes changes back may ask
			b.t.Errorf("incident %s is closed, and %s is %s", i.ID, d.ID, d.Status)
		}
	}
	if i.Breached != breached || !i.Due.Equal(due) {
		b.t.Errorf("incident %s: got %d breached, due %s, want %d and %s", i.ID, i.Breached, i.Due, breached, due)
	}
	return breached
}

func (b *box) checkTimers() {
	b.t.Helper()
	for shard := range uint16(b.ledger.Shards()) {
		var want []engine.Timer
		view := b.store.View()
		view.Scan([]byte{'t', byte(shard >> 8), byte(shard)}, nil, false, func(_, v []byte) bool {
			tm, err := record.Unmarshal[engine.Timer](v)
			must(b.t, err)
			want = append(want, tm)
			return true
		})
		view.Close()
		slices.SortStableFunc(want, func(a, b engine.Timer) int { return a.Due.Compare(b.Due) })
		got, err := b.state.DueTimers(shard, b.clock.now.Add(1000*time.Hour), 10_000)
		must(b.t, err)
		if !slices.EqualFunc(got, want, func(a, b engine.Timer) bool { return a.Due.Equal(b.Due) }) {
			b.t.Fatalf("shard %d: got %d timers, want %d:\ngot  %v\nwant %v", shard, len(got), len(want), got, want)
		}
		next, ok, err := b.state.NextTimer(shard)
		must(b.t, err)
		if ok != (len(want) > 0) || ok && !next.Due.Equal(want[0].Due) {
			b.t.Fatalf("shard %d: got %+v next, %v", shard, next, ok)
		}
	}
}

// every reads all pages of a list.
func every[T any](t testing.TB, page func(cursor string) ([]T, string, error)) (all []T) {
	t.Helper()
	for cursor := ""; ; {
		items, next, err := page(cursor)
		must(t, err)
		all = append(all, items...)
		if cursor = next; cursor == "" {
			return all
		}
	}
}
