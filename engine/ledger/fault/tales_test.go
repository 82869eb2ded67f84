package fault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

// caller appends what the intake, the runner, people and timers would. What it
// does follows from the seed; how callers interleave does not. Several meet in
// the same rules, incidents and runs, so that records are refused, too.
type caller struct {
	*process
	name   string
	rng    *rand.Rand
	frames int
}

func newCaller(p *process, n int) *caller {
	return &caller{process: p, name: fmt.Sprintf("%x-%d", p.plan.Seed, n), rng: rand.New(rand.NewPCG(p.plan.Seed, uint64(n)+1))}
}

func (c *caller) work() {
	for c.frames < c.plan.Frames {
		switch c.rng.IntN(8) {
		case 0, 1, 2:
			c.event()
		case 3:
			c.job()
		case 4:
			c.house()
		case 5:
			if c.sign(); c.plan.Erase {
				c.erase()
			}
		default:
			c.leftovers()
		}
	}
}

func (c *caller) chance(oneIn int) bool { return c.rng.IntN(oneIn) == 0 }

// append appends one frame: told before and after. It returns the outcomes.
func (c *caller) append(shard uint16, records ...ledger.New) []record.Outcome {
	c.frames++
	id := int(c.tries.Add(1))
	try := line{Say: "try", ID: id, Shard: shard}
	for _, r := range records {
		try.Recs = append(try.Recs, seen{Kind: r.Kind, Payload: sum(r.Payload), Left: left(r.Kind, r.Payload)})
	}
	c.say(try)
	got, err := c.ledger.Append(context.Background(), shard, records...)
	for ; err != nil; got, err = c.ledger.Append(context.Background(), shard, records...) {
		c.failed(err)
		c.say(try) // the first may be there, too
	}
	ack := line{Say: "ack", ID: id, Shard: shard}
	outcomes := make([]record.Outcome, len(got))
	for i, r := range got {
		ack.Recs = append(ack.Recs, seenOf(r))
		if outcomes[i], err = record.Unmarshal[record.Outcome](r.Outcome); err != nil {
			give(err)
		}
	}
	c.say(ack)
	for _, r := range got {
		c.reached(acknowledged, r.Header.Kind)
	}
	return outcomes
}

func (c *caller) one(shard uint16, kind record.Kind, payload any) record.Outcome {
	return c.append(shard, rec(kind, payload))[0]
}

func rec(kind record.Kind, payload any) ledger.New {
	return ledger.New{Kind: kind, Payload: record.Marshal(payload)}
}

// text is a result of some size.
func (c *caller) text() string {
	n := c.rng.IntN(400)
	if c.plan.Fat {
		n = c.rng.IntN(40 << 10)
	}
	b := make([]byte, n/2)
	for i := range b {
		b[i] = byte(c.rng.Uint32())
	}
	return hex.EncodeToString(b)
}

func (c *caller) data() engine.Data {
	return engine.MustEncode(map[string]engine.Value{"client": c.client(), "text": c.text()})
}

func (c *caller) client() string { return fmt.Sprintf("192.0.2.%d", c.rng.IntN(20)) }

// event is what intake does of a foreign event, and the run that comes of it.
func (c *caller) event() {
	source, offer := fmt.Sprintf("hook%d", c.rng.IntN(3)), fmt.Sprintf("%s/%d", c.name, c.frames)
	shard := c.ledger.ShardOf(source, offer)
	seen := record.EventSeen{
		Cursor: offer, Fields: c.data(), Kind: "webhook", Logsource: engine.Logsource{Product: "example"},
		Offer: offer, Source: source, Time: c.clock.Now(),
	}
	e := c.one(shard, record.EventSeenKind, seen)
	if c.chance(6) {
		e = c.one(shard, record.EventSeenKind, seen) // sent twice
	}
	m := record.EventMatched{
		Bundle: "b1", Dedup: c.client(), DedupSet: c.chance(2), Do: engine.Handler{File: "netflix.star", Name: "respond"},
		Event: e.Event, EventKind: "webhook", EventTime: seen.Time, Fields: seen.Fields, Mode: "live",
		Offer: e.Event + "/netflix", Rule: fmt.Sprintf("rule%d", c.rng.IntN(4)), Severity: "low", Source: source,
		Title: "Netflix", Type: "streaming",
	}
	if c.chance(2) {
		m.SLA, m.Hours = []record.Limit{{Name: engine.DeadlineClose, Limit: time.Hour}, {Name: engine.DeadlineRespond, Limit: time.Minute}}, "office"
		m.OnBreach = &engine.Handler{File: "netflix.star", Name: "late"}
	}
	if c.chance(4) {
		m.Throttle, m.ThrottleIn = 3, time.Hour
	}
	at := c.ledger.ShardOf(m.Rule, m.Dedup)
	o := c.one(at, record.EventMatchedKind, m)
	c.one(shard, record.EventRoutedKind, record.EventRouted{Event: e.Event, Rules: []string{m.Rule}})
	if o.Run != "" {
		(&run{caller: c, shard: at, id: o.Run, incident: o.Incident}).play()
	}
}

// job is one firing of a schedule.
func (c *caller) job() {
	name, instant := fmt.Sprintf("job%d", c.rng.IntN(5)), c.clock.Now()
	shard := c.ledger.ShardOf("job", name)
	o := c.one(shard, record.JobFiredKind, record.JobFired{
		Args: c.data(), Bundle: "b1", Do: engine.Handler{File: "night.star", Name: "sweep"}, Instant: instant, Job: name,
		Mode: "live", Offer: name + "/" + instant.Format(time.RFC3339Nano), Overlap: c.chance(2),
	})
	if c.chance(2) {
		c.one(shard, record.JobStartedKind, record.JobStarted{Args: c.data(), Bundle: "b1", By: "dave", Do: engine.Handler{File: "night.star", Name: "sweep"}, How: "page", Job: name, Mode: "live", Overlap: true})
	}
	if o.Run == "" {
		return
	}
	r := &run{caller: c, shard: shard, id: o.Run}
	for range c.rng.IntN(4) { // the third quarantines it
		c.one(shard, record.WorkerDiedKind, record.WorkerDied{Generation: 1, Run: o.Run, Why: "out of memory"})
	}
	c.append(shard, r.read(), r.end(engine.RunDone))
}

// house is what people and the appliance do on the first shard.
func (c *caller) house() {
	c.one(0, record.BundleActivatedKind, record.BundleActivated{
		Blob: sum([]byte(c.name)), Bundle: fmt.Sprintf("b%d", c.rng.IntN(5)), Files: []string{"netflix.star " + sum(nil)}, Rules: []string{"rule1"},
	})
	c.append(0, rec(record.LoggedInKind, record.LoggedIn{How: "login link", Who: "dave"}))
	c.append(0, rec(record.LoggedOutKind, record.LoggedOut{Who: "dave"}), rec(record.ExportedKind, record.Exported{By: "dave", Since: c.clock.Now()}),
		rec(record.KeyRotatedKind, record.KeyRotated{By: "dave", New: []string{"k2"}, Old: []string{"k1"}}))
	at := c.clock.Now().Add(time.Hour)
	token := sum(fmt.Appendf(nil, "%s %d", c.name, c.rng.Uint64()))
	c.one(0, record.SignInOfferedKind, record.SignInOffered{Token: token, Person: "dave", How: engine.ViaLink, Expires: at})
	o := c.one(0, record.DevicePairedKind, record.DevicePaired{Token: token, Person: "dave", How: engine.ViaLink, Key: token, Name: "Firefox", Expires: at})
	c.one(0, record.DeviceRevokedKind, record.DeviceRevoked{Device: o.Device, By: "dave", How: "page"})
	c.one(0, record.RebuiltKind, record.Rebuilt{By: "dave", Compared: 7, Equal: true, Records: 3})
}

func (c *caller) sign() {
	c.frames++
	text, err := c.ledger.Sign()
	if err != nil {
		c.failed(err)
		return
	}
	c.say(line{Say: "signed", Text: string(text)})
}

// erase asks for the erasure of a closed incident, or of all that are closed.
func (c *caller) erase() {
	c.frames++
	req := engine.ErasureRequest{Because: fmt.Sprintf("%s/%d asked", c.name, c.frames), By: "dave", How: "page"}
	if c.chance(8) {
		req.Before = c.clock.Now()
	} else if req.Incident = c.closed(); req.Incident == "" {
		return
	}
	c.say(line{Say: "erase", Text: req.Because, About: req.Incident})
	x, err := c.eraser.Erase(context.Background(), req)
	switch {
	case err == nil:
		c.say(line{Say: "asked", Text: req.Because, About: x.ID})
	case engine.KindOf(err) != engine.Conflict: // it is in use again
		c.failed(err)
	}
}

// closed returns an incident that may be erased, if there is one among a few.
func (c *caller) closed() string {
	list, _, err := c.state.Incidents(engine.IncidentFilter{Status: engine.IncidentClosed}, "", 20)
	if err != nil {
		give(err)
	}
	c.rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, i := range list {
		if why, err := c.state.Unsettled(i.ID); err == nil && why == "" && i.Erased == nil {
			return i.ID
		}
	}
	return ""
}

// leftovers goes on with what others, alive or dead, began.
func (c *caller) leftovers() {
	shard := uint16(c.rng.IntN(c.ledger.Shards()))
	c.frames++
	due, err := c.state.DueTimers(shard, c.clock.Now().AddDate(1, 0, 0), 3)
	if err != nil {
		give(err)
	}
	for _, t := range due {
		if t.For == state.DeadlineTimer {
			c.one(shard, record.DeadlineBreachedKind, record.DeadlineBreached{Deadline: t.Target, Timer: t.ID})
			continue
		}
		c.one(shard, record.TimerFiredKind, record.TimerFired{Timer: t.ID})
	}
	ready, err := c.state.Ready(shard)
	if err != nil {
		give(err)
	}
	for _, id := range ready[:min(len(ready), 3)] {
		r := &run{caller: c, shard: shard, id: id, n: 100 + c.rng.IntN(1000)}
		c.append(shard, r.read(), r.end([]string{engine.RunDone, engine.RunFailed}[c.rng.IntN(2)]))
	}
	var inbox []engine.Event
	if err := c.state.Inbox(shard, func(e engine.Event) { inbox = append(inbox, e) }); err != nil {
		give(err)
	}
	for _, e := range inbox[:min(len(inbox), 3)] {
		c.one(shard, record.EventRoutedKind, record.EventRouted{Event: e.ID})
	}
}

// run is one run that a caller carries: reads, an effect that is a change, a
// question, a sleep, the change taken back, the incident closed.
type run struct {
	*caller
	shard        uint16
	id, incident string
	n            int
}

func (r *run) play() {
	if r.chance(3) {
		r.doubt()
	}
	if r.chance(3) {
		r.braked()
	}
	if r.chance(3) {
		r.heldClock()
	}
	change := r.effect()
	question, timer, outbox := r.ask()
	r.answer(question, timer)
	for _, id := range outbox {
		o := &run{caller: r.caller, shard: r.shard, id: id}
		r.append(r.shard, o.link(question), o.end(engine.RunDone))
	}
	r.nap()
	r.append(r.shard, rec(record.StateSetKind, record.StateSet{
		Expires: r.clock.Now().Add(time.Hour), Generation: 1, Key: fmt.Sprint("key", r.rng.IntN(5)), Run: r.id, Value: r.data(),
	}), r.done(record.StepDone{Builtin: "state.set"}))
	r.lock()
	r.append(r.shard, rec(record.MetricSetKind, record.MetricSet{
		Generation: 1, Name: fmt.Sprint("metric", r.rng.IntN(5)), Labels: map[string]string{"who": "dave"}, Run: r.id, Value: float64(r.rng.IntN(9)),
	}), r.done(record.StepDone{Builtin: "metric"}))
	r.expect()
	r.timer()
	if r.chance(3) {
		r.one(r.shard, record.WorkerDiedKind, record.WorkerDied{Generation: 1, Run: r.id, Why: "killed"})
	}
	r.act(record.ActSet)
	r.one(r.shard, record.IncidentOpenedKind, record.IncidentOpened{
		Bundle: "b1", DedupSet: true, Dedup: fmt.Sprint("key", r.rng.IntN(5)), Do: &engine.Handler{File: "netflix.star", Name: "repair"}, Fields: r.data(),
		Generation: 1, Mode: "live", Offer: r.id + "/1/opens", Rule: "netflix", Run: r.id, Severity: "low", Title: r.text(), Type: "outage",
	})
	r.button()
	undo := r.one(r.shard, record.UndoRequestedKind, record.UndoRequested{By: "dave", Change: change, Why: "enough"})
	if undo.Run != "" {
		u := &run{caller: r.caller, shard: r.shard, id: undo.Run}
		r.append(r.shard, u.read(), u.end([]string{engine.RunDone, engine.RunFailed}[r.rng.IntN(2)]))
	}
	closing := r.done(record.StepDone{Builtin: "incident.close", Incident: r.deed(record.ActClose)})
	large, release := r.large()
	r.append(r.shard, r.read(), large, closing, r.end(engine.RunDone))
	release()
	if r.chance(3) { // all of it, by a person
		r.one(r.shard, record.RunRestartedKind, record.RunRestarted{Bundle: "b1", By: "dave", Generation: 1, How: "page", Run: r.id, Why: r.text()})
	}
	r.act([]string{record.ActNote, record.ActReopen, record.ActClose}[r.rng.IntN(3)])
}

// lock takes a lock, perhaps from a queue, and gives it up, or has its end do so.
func (r *run) lock() {
	name := fmt.Sprint("lock", r.rng.IntN(3))
	want := r.started(record.StepStarted{Builtin: "lock", Class: engine.Repeatable, Lock: &record.Lock{Name: name, Shard: r.shard}})
	change := record.LockChanged{Act: record.LockTake, Generation: 1, Name: name, Run: r.id, Step: fmt.Sprint(r.n), Token: fmt.Sprint(r.id, "/1/", r.n)}
	r.append(r.shard, want, rec(record.LockChangedKind, change))
	if r.chance(2) {
		change.Act = record.LockRelease
		r.append(r.shard, r.done(record.StepDone{Builtin: "lock.release"}), rec(record.LockChangedKind, change))
	}
}

// button offers a button, and somebody presses it, perhaps twice.
func (r *run) button() {
	offered := r.append(r.shard, r.done(record.StepDone{
		Builtin: "incident.button", Button: &record.Button{Do: engine.Handler{File: "netflix.star", Name: "out"}, Label: r.text(), Token: sum([]byte(r.id))},
	}))[0]
	press := record.ButtonPressed{Button: offered.Button, By: r.client(), How: "link"}
	r.one(r.shard, record.ButtonPressedKind, press)
	if r.chance(2) {
		r.one(r.shard, record.ButtonPressedKind, press)
	}
}

// timer times a section, pauses it, has it go on, and perhaps breaches or stops it.
func (r *run) timer() {
	p := record.DeadlineSet{
		Act: record.DeadlineStart, Bundle: "b1", Deadline: engine.DeadlineID(engine.DeadlineOfSection, r.incident, "contain"), Generation: 1,
		Handler: &engine.Handler{File: "netflix.star", Name: "late"}, Incident: r.incident, Limit: time.Hour, Mode: "live", Run: r.id, Step: fmt.Sprint(r.n),
	}
	r.one(r.shard, record.DeadlineSetKind, p)
	for _, act := range []string{record.DeadlineDue, record.DeadlinePause, record.DeadlineResume, record.DeadlineDue} {
		d, err := r.state.Deadline(p.Deadline)
		if err != nil {
			return // the incident is closed, or was erased
		}
		step := record.DeadlineSet{Act: act, Deadline: d.ID, Incident: r.incident, Left: time.Minute, Revision: d.Revision}
		if act == record.DeadlineDue {
			step.Due = r.clock.Now().Add(time.Hour)
		}
		o := r.one(r.shard, record.DeadlineSetKind, step)
		if act == record.DeadlineDue && o.Timer != "" && r.chance(3) {
			r.one(r.shard, record.DeadlineBreachedKind, record.DeadlineBreached{Deadline: d.ID, Timer: o.Timer})
		}
	}
	if r.chance(2) {
		p.Act = record.DeadlineStop
		r.one(r.shard, record.DeadlineSetKind, p)
	}
}

// expect has the run expect an event, and one come.
func (r *run) expect() {
	r.n++
	set := record.ExpectSet{Due: r.clock.Now().Add(time.Hour), Generation: 1, Kind: "webhook", Run: r.id, Step: fmt.Sprint(r.n)}
	r.append(r.shard, rec(record.ExpectSetKind, set), r.done(record.StepDone{Builtin: "expect", At: "netflix.star:1:1", Number: r.n}))
	r.one(r.shard, record.EventExpectedKind, record.EventExpected{
		Event: "e99-1", EventKind: "webhook", EventTime: r.clock.Now(), Fields: r.data(), Run: r.id, Seen: r.clock.Now().Add(time.Hour), Source: "probe", Step: set.Step,
	})
}

func (r *run) done(p record.StepDone) ledger.New {
	if p.At == "" && p.Number == 0 {
		r.n++
		p.At = fmt.Sprintf("netflix.star:%d:5", r.n)
	}
	p.Run, p.Generation = r.id, 1
	if p.Number == 0 {
		p.Number = r.n
	}
	return rec(record.StepDoneKind, p)
}

func (r *run) started(p record.StepStarted) ledger.New {
	r.n++
	p.Run, p.Generation, p.Number, p.At = r.id, 1, r.n, fmt.Sprintf("netflix.star:%d:5", r.n)
	p.Hash = "k1:" + sum(p.Args)
	return rec(record.StepStartedKind, p)
}

func (r *run) read() ledger.New {
	return r.done(record.StepDone{Builtin: "unifi.client", Class: engine.Read, Result: r.data()})
}

// large is a read whose result lies as a blob, the same for some of the runs.
func (r *run) large() (n ledger.New, release func()) {
	sum, err := r.state.KeepBlob(fmt.Appendf(nil, "result %d of %s", r.rng.IntN(4), r.client()))
	if err != nil {
		r.failed(err)
		return r.read(), func() {}
	}
	return r.done(record.StepDone{Builtin: "unifi.clients", Class: engine.Read, Blob: sum}), func() { r.state.ReleaseBlob(sum) }
}

func (r *run) end(status string) ledger.New {
	p := record.RunEnded{Generation: 1, Run: r.id, Status: status}
	if status == engine.RunFailed {
		p.Error = &engine.Error{Kind: engine.Unavailable, Message: "the controller does not answer"}
	}
	return rec(record.RunEndedKind, p)
}

func (r *run) parked(waits string) ledger.New {
	return rec(record.RunParkedKind, record.RunParked{Generation: 1, Number: r.n, Run: r.id, Waits: waits})
}

// effect records reads with the start of an effect, and its result: a change,
// with a mail that starts in the same frame.
func (r *run) effect() (change string) {
	r.append(r.shard, r.read(), r.read(), r.started(record.StepStarted{Builtin: "unifi.block", Class: engine.Once, Args: r.data()}))
	done := record.StepDone{
		Number: r.n, Result: r.data(),
		Change: &record.Change{Title: "block", Inverse: "unifi.unblock", InverseArgs: r.data()},
		Starts: []record.Start{{Args: r.data(), Handler: engine.Handler{File: "@larkspur//outbox.star", Name: "mail"}, Purpose: "outbox"}},
	}
	if r.chance(2) {
		done.Change.Expires = r.clock.Now().Add(time.Hour)
	}
	return r.append(r.shard, r.done(done))[0].Change
}

// doubt is a step that a death left without a result, which a person resolves.
func (r *run) doubt() {
	r.append(r.shard, r.started(record.StepStarted{Builtin: "http.post", Class: engine.Once, Args: r.data()}))
	r.one(r.shard, record.StepDoubtedKind, record.StepDoubted{
		Error: &engine.Error{Kind: engine.Internal, Message: "nothing says whether it happened"}, Generation: 1, Number: r.n, Run: r.id,
	})
	said := record.StepResolved{By: "ana", Generation: 1, How: "page", Number: r.n, Run: r.id, Why: r.text()}
	said.Outcome = []string{engine.OutcomeHappened, engine.OutcomeAgain, engine.OutcomeSkip}[r.rng.IntN(3)]
	if said.Outcome != engine.OutcomeAgain {
		said.Result = r.data()
	}
	r.one(r.shard, record.StepResolvedKind, said)
	if said.Outcome == engine.OutcomeAgain {
		r.n--
		r.append(r.shard, r.started(record.StepStarted{Builtin: "http.post", Class: engine.Once, Args: r.data()}))
		r.append(r.shard, r.done(record.StepDone{Number: r.n, Result: r.data()}))
	}
}

// heldClock is a clock that jumped, and that a person accepts.
func (r *run) heldClock() {
	now := r.clock.Now()
	r.one(r.shard, record.ClockHeldKind, record.ClockHeld{On: true, From: now, To: now.AddDate(10, 0, 0), Why: r.text()})
	r.one(r.shard, record.ClockHeldKind, record.ClockHeld{By: "dave", How: engine.ClockAccepted, From: now, To: now, Why: r.text()})
}

// braked is an effect that the brake holds, unless somebody else lets it go first,
// and that a person drops.
func (r *run) braked() {
	r.one(r.shard, record.BrakeSetKind, record.BrakeSet{By: "dave", On: true, Why: r.text()})
	o := r.append(r.shard, r.started(record.StepStarted{Builtin: "http.post", Class: engine.Once, Args: r.data(), Effect: true}))
	if o[0].Action == "" {
		r.append(r.shard, r.done(record.StepDone{Number: r.n, Result: r.data()}))
	} else {
		r.append(r.shard, r.parked("the brake"))
		r.one(r.shard, record.StepResolvedKind, record.StepResolved{
			By: "ana", Generation: 1, How: "page", Number: r.n, Outcome: engine.OutcomeDrop, Run: r.id, Why: r.text(),
		})
	}
	r.one(r.shard, record.BrakeSetKind, record.BrakeSet{By: "ana"})
}

func (r *run) ask() (question, timer string, outbox []string) {
	q := &record.Question{
		Text: "What now?", To: []engine.Addressee{{Name: "dave", Email: "dave@example.org"}},
		Choices: []engine.Choice{{Name: "Allow"}, {Name: "Block"}}, Due: r.clock.Now().Add(2 * time.Hour), Default: "Allow", HasDefault: true,
		SLA: time.Hour, OnBreach: &engine.Handler{File: "netflix.star", Name: "late"},
	}
	o := r.append(r.shard, r.read(), r.started(record.StepStarted{Builtin: "ask", Question: q}), r.parked("an answer"))
	return o[1].Question, o[1].Timer, o[1].Runs
}

// answer answers, or lets the time end, or both: the first counts.
func (r *run) answer(question, timer string) {
	answer := rec(record.QuestionAnsweredKind, record.QuestionAnswered{By: "dave", Choice: "Block", How: "link", Question: question})
	fired := rec(record.TimerFiredKind, record.TimerFired{Timer: timer})
	switch r.rng.IntN(3) {
	case 0:
		r.append(r.shard, answer)
		r.append(r.shard, answer)
	case 1:
		r.append(r.shard, answer, fired)
	case 2:
		r.append(r.shard, fired)
		r.append(r.shard, answer)
	}
}

func (r *run) link(question string) ledger.New {
	token := sha256.Sum256([]byte(strings.Join([]string{question, r.id}, "/")))
	return r.done(record.StepDone{Builtin: "question.link", Link: &record.Link{Person: "dave", Question: question, Revision: 1, Token: hex.EncodeToString(token[:])}})
}

func (r *run) nap() {
	o := r.append(r.shard, r.started(record.StepStarted{Builtin: "sleep", Until: r.clock.Now().Add(time.Minute)}), r.parked("a moment"))
	r.one(r.shard, record.TimerFiredKind, record.TimerFired{Timer: o[0].Timer})
}

func (r *run) deed(act string) *record.IncidentAct {
	a := &record.IncidentAct{Act: act, By: "run " + r.id, Incident: r.incident, Text: r.text()}
	if act == record.ActSet {
		a.Fields, a.Order = engine.MustEncode(map[string]engine.Value{"client": r.client(), r.client(): int64(r.n)}), []string{"client"}
	}
	if act == record.ActClose && r.chance(2) {
		a.Quiet = time.Hour
	}
	return a
}

func (r *run) act(act string) {
	r.one(r.shard, record.IncidentChangedKind, *r.deed(act))
}
