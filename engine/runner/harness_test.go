package runner_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/runner"
	"larkspur/engine/sandbox"
	"larkspur/engine/sandbox/sandboxtest"
	"larkspur/engine/state"
	"larkspur/engine/store"
	"larkspur/engine/wire"
	"larkspur/scripts/library"
)

// patience is how long a test waits for what must come; nothing waits that long
// unless it fails.
const patience = 30 * time.Second

// clock is virtual: Sleep returns when a test has advanced it far enough.
type clock struct {
	mu       sync.Mutex
	now      time.Time
	sleepers map[*sleeper]bool
	changed  *bell
}

type sleeper struct {
	until time.Time
	wake  chan struct{}
}

func newClock(changed *bell) *clock {
	return &clock{now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), sleepers: map[*sleeper]bool{}, changed: changed}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	s := &sleeper{wake: make(chan struct{})}
	c.mu.Lock()
	if s.until = c.now.Add(d); d <= 0 {
		c.mu.Unlock()
		return ctx.Err()
	}
	c.sleepers[s] = true
	c.mu.Unlock()
	c.changed.ring()
	defer func() {
		c.mu.Lock()
		delete(c.sleepers, s)
		c.mu.Unlock()
	}()
	select {
	case <-s.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// set moves the clock, also back, and wakes those whose time has come.
func (c *clock) set(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = to
	for s := range c.sleepers {
		if !s.until.After(to) {
			close(s.wake)
			delete(c.sleepers, s)
		}
	}
}

// sleeps reports whether somebody sleeps until that moment at the latest.
func (c *clock) sleeps(until time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.sleepers {
		if !s.until.After(until) {
			return true
		}
	}
	return false
}

// bell tells waiting tests that something happened.
type bell struct {
	mu   sync.Mutex
	rung chan struct{}
}

func newBell() *bell { return &bell{rung: make(chan struct{})} }

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.rung)
	b.rung = make(chan struct{})
}

func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rung
}

// until waits until fn is true.
func (b *bell) until(t testing.TB, what string, fn func() bool) {
	t.Helper()
	late := time.After(patience)
	for {
		rung := b.next()
		if fn() {
			return
		}
		select {
		case <-rung:
		case <-late:
			t.Fatalf("gave up waiting until %s", what)
		}
	}
}

// world is the fake door: it records the calls and does what a test says.
type world struct {
	mu      sync.Mutex
	calls   []engine.Call
	does    map[string]func(ctx context.Context, c *engine.Call) (engine.Result, error)
	probes  map[string]func(ctx context.Context, c *engine.Call) (bool, engine.Result, error)
	befores map[string]func(context.Context, *engine.Call) (engine.Value, error)
	quiet   bool        // calls are not kept
	dead    func() bool // the power is out: nothing happens any more
	bell    *bell

	signatures map[string]engine.Signature
	decoders   map[int]func(engine.Value) (engine.Value, error) // of sim.read
}

func newWorld(b *bell) *world {
	signatures := map[string]engine.Signature{}
	for _, s := range simSignatures() {
		signatures[s.Name] = s
	}
	return &world{
		signatures: signatures, bell: b, dead: func() bool { return false },
		does:   map[string]func(context.Context, *engine.Call) (engine.Result, error){"sim.block": doBlock, "sim.mail": doMail, "smtp.deliver": doDeliver},
		probes: map[string]func(context.Context, *engine.Call) (bool, engine.Result, error){},
	}
}

func doBlock(_ context.Context, c *engine.Call) (engine.Result, error) {
	mac := c.Text("mac")
	return engine.Result{
		Value:  engine.Struct{Type: "sim.blocked", Fields: map[string]engine.Value{"mac": mac}},
		Change: &engine.Inverse{Title: "block " + mac, Builtin: "sim.unblock", Args: map[string]engine.Value{"mac": mac}},
	}, nil
}

func doMail(_ context.Context, c *engine.Call) (engine.Result, error) {
	mail := map[string]engine.Value{"to": []engine.Value{c.Text("to")}, "subject": "s"}
	return engine.Result{Value: c.Key, Starts: []engine.Start{{
		Handler: engine.Handler{File: "@larkspur//outbox.star", Name: "mail"}, Args: map[string]engine.Value{"mail": mail}, Purpose: state.PurposeOutbox,
	}}}, nil
}

func doDeliver(context.Context, *engine.Call) (engine.Result, error) {
	return engine.Result{Value: engine.Struct{Type: "smtp.delivered", Fields: map[string]engine.Value{"refused": []engine.Value{}}}}, nil
}

func (w *world) Lookup(name string) (engine.Builtin, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.signatures[name]
	b := engine.Builtin{Signature: s, Probe: w.probes[name], Before: w.befores[name]}
	if name == "sim.read" {
		b.Decode = w.decoders
	}
	return b, ok
}

func (w *world) Do(ctx context.Context, c *engine.Call) (engine.Result, error) {
	w.mu.Lock()
	if w.dead() {
		w.mu.Unlock()
		return engine.Result{}, errPower
	}
	if !w.quiet {
		w.calls = append(w.calls, *c)
	}
	do := w.does[c.Name]
	w.mu.Unlock()
	w.bell.ring()
	if do == nil {
		return engine.Result{Value: c.Text("what")}, nil
	}
	return do(ctx, c)
}

func (w *world) Probe(ctx context.Context, c *engine.Call) (bool, engine.Result, error) {
	w.mu.Lock()
	probe := w.probes[c.Name]
	w.mu.Unlock()
	return probe(ctx, c)
}

// did lists the calls of some builtins, "sim.put a"; all of sim by default.
func (w *world) did(names ...string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := []string{}
	for _, c := range w.calls {
		if len(names) == 0 && strings.HasPrefix(c.Name, "sim.") || slices.Contains(names, c.Name) {
			list = append(list, strings.TrimSpace(c.Name+" "+c.Text("what")+c.Text("mac")))
		}
	}
	return list
}

// on says what a builtin does from now on.
func (w *world) on(name string, do func(ctx context.Context, c *engine.Call) (engine.Result, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.does[name] = do
}

// probe gives a builtin a probe.
func (w *world) probe(name string, probe func(ctx context.Context, c *engine.Call) (bool, engine.Result, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probes[name] = probe
}

var errPower = engine.Errorf(engine.Internal, "the power is out")

// simSignatures are the builtins of the fake world.
func simSignatures() []engine.Signature {
	need := func(name string) engine.Param { return engine.Param{Name: name, Kind: "text", Required: true} }
	sim := func(name string, class engine.Class, params ...engine.Param) engine.Signature {
		return engine.Signature{Name: name, Class: class, Positional: len(params), Params: params, Version: 1}
	}
	block := sim("sim.block", engine.Once, need("mac"))
	block.Change, block.Result, block.Type = true, "mac", "sim.blocked"
	deliver := sim("smtp.deliver", engine.Repeatable, engine.Param{Name: "connection", Kind: "connection"}, engine.Param{Name: "mail", Kind: "dict", Required: true})
	deliver.Connection, deliver.Internal = "smtp", true
	return []engine.Signature{
		sim("sim.read", engine.Read, need("what")), sim("sim.put", engine.Once, need("what")), sim("sim.tag", engine.Repeatable, need("what")),
		sim("sim.unblock", engine.Repeatable, need("mac")), sim("sim.mail", engine.Repeatable, need("to")), block, deliver,
	}
}

// power is a projector whose disk stops after so many commits: at once, or when
// the next is tried, so that what lies between the two has happened unrecorded.
type power struct {
	*state.Projector
	bell    *bell
	mu      sync.Mutex
	left    int
	atNext  bool
	cut     bool // there is a limit
	out     bool
	commits int
}

func (p *power) Decide(tx *store.Batch, r ledger.Record) ([]byte, error) {
	p.mu.Lock()
	if p.cut && p.left <= 0 && p.atNext { // less, when one was on its way as the limit was set
		p.out = true
	}
	out := p.out
	p.mu.Unlock()
	if out {
		p.bell.ring()
		return nil, errPower
	}
	return p.Projector.Decide(tx, r)
}

func (p *power) Committed(records []ledger.Record) {
	p.mu.Lock()
	p.commits++
	if p.cut {
		p.left--
		p.out = p.out || p.left == 0 && !p.atNext
	}
	p.mu.Unlock()
	p.Projector.Committed(records)
}

func (p *power) after(commits int, atNext bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.left, p.atNext = true, commits, atNext
}

func (p *power) isOut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out
}

func (p *power) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.commits
}

// box is a runner on a ledger in a temporary directory.
type box struct {
	t      testing.TB
	cfg    boxConfig
	dir    string
	bell   *bell
	clock  *clock
	world  *world
	power  *power
	store  *store.Store
	ledger *ledger.Ledger
	state  *state.State
	runner *runner.Runner
	bundle string
	stop   func()
	cut    int  // the power goes out after so many commits of the next life
	idle   bool // no runner runs

	stopping chan struct{} // closed when the runner was told to stop
	onEnd    atomic.Value  // func(), called for each run that ends
	onNotice atomic.Value  // func(state.Notice), called for each record

	people sync.Mutex
	dave   bool // known
	hours  map[string]*calendar.Hours
}

type boxConfig struct {
	pool   *sandbox.Pool // the shared one by default
	shards int
	atOnce int
	steps  int           // the journal's limit; 0 the product's
	slower time.Duration // is what a sync takes more than this disk's
	watch  *machine      // whose clock is watched; nil watches none
	dir    string        // of an older box; a new one by default
}

func hello() wire.Hello {
	return wire.Hello{
		Engine: "test", Signatures: append(runner.Signatures(), simSignatures()...),
		HashKeys: map[string][]byte{"k1": []byte("key")}, HashKey: "k1",
	}
}

// shared is one worker pool for all tests that do not harm it.
var shared struct {
	sync.Mutex
	pool *sandbox.Pool
}

// pool returns the shared worker pool; it ends with the test's process.
func pool(t testing.TB) *sandbox.Pool {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.pool == nil {
		p, err := sandbox.Open(sandbox.Config{Binary: sandboxtest.Binary(t), Hello: hello()})
		must(t, err)
		go func() { _ = p.Run(context.Background()) }()
		shared.pool = p
	}
	return shared.pool
}

// ownPool returns a pool that a test may harm.
func ownPool(t testing.TB, change func(*sandbox.Config)) *sandbox.Pool {
	t.Helper()
	cfg := sandbox.Config{Binary: sandboxtest.Binary(t), Hello: hello()}
	if change != nil {
		change(&cfg)
	}
	p, err := sandbox.Open(cfg)
	must(t, err)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = p.Run(context.Background()) }()
	t.Cleanup(func() { _ = p.Close(); <-ended })
	return p
}

// playbook returns a running box with a bundle of one script, a.star, live.
func playbook(t testing.TB, source string) *box { return playbookWith(t, boxConfig{}, source) }

func playbookWith(t testing.TB, cfg boxConfig, source string) *box {
	t.Helper()
	if cfg.pool == nil {
		cfg.pool = pool(t)
	}
	ring := newBell()
	if cfg.dir == "" {
		cfg.dir = t.TempDir()
	}
	b := &box{t: t, cfg: cfg, dir: cfg.dir, bell: ring, clock: newClock(ring), world: newWorld(ring), dave: true}
	t.Cleanup(func() { b.close() })
	b.open()
	b.activate(source)
	return b
}

// activate makes a bundle of one script the live one.
func (b *box) activate(source string) {
	b.t.Helper()
	files := library.Own()
	files["scripts/a.star"] = source
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(sum, "%s\x00%s\x00", name, files[name])
	}
	b.bundle = hex.EncodeToString(sum.Sum(nil))
	blob, err := b.state.KeepBundle(engine.Bundle{Hash: b.bundle, Files: files})
	must(b.t, err)
	b.append(0, record.BundleActivatedKind, record.BundleActivated{Blob: blob, Bundle: b.bundle})
}

// open opens the stores and starts the runner.
func (b *box) open() {
	b.t.Helper()
	var err error
	b.store, err = store.OpenLedger(b.dir + "/ledger")
	must(b.t, err)
	blobs, err := store.OpenBlobs(b.dir + "/blobs")
	must(b.t, err)
	var run *runner.Runner
	b.power = &power{bell: b.bell, Projector: state.NewProjector(func(n []state.Notice) {
		b.notice(run, n)
	})}
	clock, steady := b.watched()
	cfg := ledger.Config{Store: b.store, Projector: b.power, Clock: clock, Shards: b.cfg.shards, Node: "test"}
	if steady != nil {
		cfg.Resumes = steady.Resume
	}
	b.ledger, err = ledger.Open(cfg)
	must(b.t, err)
	b.state = state.Open(b.store, blobs, b.ledger)
	if b.cut > 0 {
		b.power.after(b.cut, false)
	}
	b.world.dead = b.power.isOut
	run = runner.New(runner.Config{
		Ledger: b.ledger, State: b.state, Pool: b.cfg.pool, Builtins: b.world, Clock: clock, Steady: steady, Engine: "test",
		People: b.team, Link: func(page string) string { return "https://soar.example.org/" + page },
		LinkKey: []byte("link key"), AtOnce: b.cfg.atOnce, Zone: func() *time.Location { return time.UTC },
		MaxSteps: b.cfg.steps, Calendars: b.calendars, Live: func() (string, string) { return b.bundle, "" },
	})
	b.runner = run
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	stopping := make(chan struct{})
	b.stopping = stopping
	if b.idle {
		ended <- nil
	} else {
		go func() { ended <- run.Run(ctx) }()
	}
	b.stop = func() {
		cancel()
		close(stopping)
		if err := <-ended; err != nil {
			b.t.Errorf("the runner ended with %v", err)
		}
	}
}

// watched returns the clock of the box's rooms, and that it is watched.
func (b *box) watched() (engine.Clock, *engine.Steady) {
	if b.cfg.watch == nil {
		return b.clock, nil
	}
	b.cfg.watch.clock = b.clock
	s := engine.NewSteady(b.cfg.watch)
	return s, s
}

// notice hears of every commit, before its callers do.
func (b *box) notice(run *runner.Runner, notices []state.Notice) {
	if b.cfg.slower > 0 {
		time.Sleep(b.cfg.slower) // benchmarks of a slower disk alone
	}
	if run != nil { // not while the ledger opens
		run.Notice(notices)
	}
	if onNotice, ok := b.onNotice.Load().(func(state.Notice)); ok {
		for _, n := range notices {
			onNotice(n)
		}
	}
	if onEnd, ok := b.onEnd.Load().(func()); ok {
		for _, n := range notices {
			if n.Kind == record.RunEndedKind {
				onEnd()
			}
		}
	}
	b.bell.ring()
}

// close ends what open began; the disk stays.
func (b *box) close() {
	if b.stop == nil {
		return
	}
	b.stop()
	b.stop = nil
	b.ledger.Close()
	if err := b.store.Close(); err != nil {
		b.t.Errorf("closing the store: %v", err)
	}
}

// reopen is a crash and a new start.
func (b *box) reopen() {
	b.t.Helper()
	b.close()
	b.open()
}

// calendars are those of the box's configuration.
func (b *box) calendars() map[string]*calendar.Hours {
	b.people.Lock()
	defer b.people.Unlock()
	return maps.Clone(b.hours)
}

// setHours changes the calendar office, or, given nothing, takes it away.
func (b *box) setHours(hours, zone string, holidays ...string) {
	b.t.Helper()
	in, err := calendar.Zone(zone)
	must(b.t, err)
	var free calendar.Holidays
	for _, day := range holidays {
		must(b.t, free.ParseHoliday(day))
	}
	h, err := calendar.ParseHours(hours, in, free)
	must(b.t, err)
	b.people.Lock()
	b.hours = map[string]*calendar.Hours{"office": h}
	b.people.Unlock()
}

func (b *box) team() runner.People {
	b.people.Lock()
	defer b.people.Unlock()
	p := runner.People{
		ByName: map[string]engine.Person{
			"ana":  {Name: "ana", Email: "ana@example.org"},
			"mute": {Name: "mute"},
		},
		Teams: map[string][]string{"family": {"dave", "ana"}},
	}
	if b.dave {
		p.ByName["dave"] = engine.Person{Name: "dave", Email: "dave@example.org", Role: engine.RoleEngineer}
	}
	return p
}

func (b *box) append(shard uint16, k record.Kind, payload any) record.Outcome {
	b.t.Helper()
	o, err := b.offer(shard, k, payload)
	must(b.t, err)
	return o
}

func (b *box) offer(shard uint16, k record.Kind, payload any) (record.Outcome, error) {
	r, err := b.ledger.Offer(context.Background(), shard, ledger.New{Kind: k, Payload: record.Marshal(payload)})
	if err != nil {
		return record.Outcome{}, err
	}
	return record.Unmarshal[record.Outcome](r.Outcome)
}

// start opens an incident whose playbook is f of a.star.
func (b *box) start() (incident, run string) {
	b.t.Helper()
	return b.startWith(record.EventMatched{})
}

func (b *box) startWith(m record.EventMatched) (incident, run string) {
	b.t.Helper()
	e := b.append(0, record.EventSeenKind, record.EventSeen{Kind: "dns", Source: "eth1", Time: b.clock.Now(), Fields: engine.MustEncode(map[string]engine.Value{"client": "192.0.2.7"})})
	m.Rule, m.Event, m.Offer, m.Bundle = "netflix", e.Event, e.Event+"/netflix", b.bundle
	m.Severity, m.Type, m.Title = "low", "streaming", "Netflix"
	m.EventKind, m.Source, m.EventTime, m.Fields = "dns", "eth1", b.clock.Now(), engine.MustEncode(map[string]engine.Value{"client": "192.0.2.7"})
	if m.Mode == "" {
		m.Mode = "live"
	}
	if m.Do.Name == "" {
		m.Do = engine.Handler{File: "a.star", Name: "f"}
	}
	o := b.append(0, record.EventMatchedKind, m)
	return o.Incident, o.Run
}

// status waits until the run has one of the statuses, and returns it.
func (b *box) status(run string, want ...string) engine.Run {
	b.t.Helper()
	var r engine.Run
	b.bell.until(b.t, fmt.Sprintf("run %s is %v", run, want), func() bool {
		r = b.run(run)
		if over := slices.Contains([]string{engine.RunDone, engine.RunFailed, engine.RunDiverged, engine.RunQuarantined, engine.RunInDoubt}, r.Status); over && !slices.Contains(want, r.Status) {
			b.t.Fatalf("run %s is %s: %s, want %v", run, r.Status, describe(r.Error), want)
		}
		return slices.Contains(want, r.Status)
	})
	return r
}

// settled waits until the run is anything but running.
func (b *box) settled(run string) engine.Run {
	b.t.Helper()
	var r engine.Run
	b.bell.until(b.t, "run "+run+" is settled", func() bool {
		r = b.run(run)
		return r.Status != engine.RunRunning
	})
	return r
}

// play starts f, waits until it is settled, and wants it done.
func (b *box) play() (incident, run string) {
	b.t.Helper()
	incident, run = b.start()
	if r := b.settled(run); r.Status != engine.RunDone {
		b.t.Fatalf("got run %s: %v, want done", r.Status, describe(r.Error))
	}
	return incident, run
}

func describe(e *engine.Error) string {
	if e == nil {
		return "no error"
	}
	return fmt.Sprintf("%s: %s (%s) at %s", e.Kind, e.Message, e.Hint, e.At)
}

func (b *box) run(id string) engine.Run {
	b.t.Helper()
	r, err := b.state.Run(id)
	must(b.t, err)
	return r
}

func (b *box) incident(id string) engine.Incident {
	b.t.Helper()
	i, err := b.state.Incident(id)
	must(b.t, err)
	return i
}

// fact returns what i.set(name = …) set.
func (b *box) fact(incident, name string) engine.Value {
	b.t.Helper()
	v, err := b.incident(incident).Fields.Value()
	must(b.t, err)
	m, _ := v.(map[string]engine.Value)
	return m[name]
}

// question waits for the one open question.
func (b *box) question() engine.Question {
	b.t.Helper()
	var q []engine.Question
	b.bell.until(b.t, "a question is open", func() bool {
		var err error
		q, _, err = b.state.Questions(engine.QuestionFilter{Status: engine.QuestionOpen}, "", 10)
		must(b.t, err)
		return len(q) > 0
	})
	return q[0]
}

func (b *box) answer(question string, a engine.Reply) engine.Decision {
	b.t.Helper()
	d, err := b.runner.Answer(context.Background(), question, a)
	must(b.t, err)
	return d
}

// advance waits until somebody sleeps no longer than d, and lets d go by.
func (b *box) advance(d time.Duration) {
	b.t.Helper()
	to := b.clock.Now().Add(d)
	b.bell.until(b.t, "somebody sleeps for "+d.String(), func() bool { return b.clock.sleeps(to) })
	b.clock.set(to)
}

func (b *box) steps(run string) []engine.Step {
	b.t.Helper()
	steps, err := b.state.Steps(run)
	must(b.t, err)
	return steps
}

// story lists an incident's timeline: "by | text".
func (b *box) story(incident string) string {
	b.t.Helper()
	entries, _, err := b.state.Timeline(incident, "", 500)
	must(b.t, err)
	var s strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&s, "%s | %s\n", e.By, e.Text)
	}
	return s.String()
}

func (b *box) changes(incident string) []engine.Change {
	b.t.Helper()
	list, _, err := b.state.Changes(engine.ChangeFilter{Incident: incident}, "", 100)
	must(b.t, err)
	return list
}

// change waits until the incident's only change has a status.
func (b *box) change(incident, status string) engine.Change {
	b.t.Helper()
	var list []engine.Change
	b.bell.until(b.t, "the change is "+status, func() bool {
		list = b.changes(incident)
		return len(list) == 1 && list[0].Status == status
	})
	return list[0]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot  %v\nwant %v", what, got, want)
	}
}

func contains(t testing.TB, what, got string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %q:\n%s", what, want, got)
		}
	}
}
