package fault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"larkspur/appliance"
	"larkspur/builtins"
	"larkspur/engine"
	"larkspur/engine/intake"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/runner"
	"larkspur/engine/sandbox"
	"larkspur/engine/state"
	"larkspur/engine/store"
	"larkspur/engine/wire"
	"larkspur/rules"
	"larkspur/scripts/library"
)

// planEnv carries the plan of a child: this test binary, started again.
const planEnv = "LARKSPUR_FAULT_PLAN"

func TestMain(m *testing.M) {
	if text := os.Getenv(planEnv); text != "" {
		child(text)
		return
	}
	os.Exit(m.Run())
}

// Stages of a record at which a child kills itself.
const (
	decided   = "decided"   // its transaction is being made
	committed = "committed" // on the disk, and nobody was told
)

// plan is what a child is, and when it dies by its own hand.
type plan struct {
	Dir    string
	Shards int
	Worker string // the worker's executable
	Script string // the playbooks
	Now    time.Time
	// Connections are those of larkspur.yaml.
	Connections map[string]map[string]map[string]any

	Kind  record.Kind // 0: it does not kill itself
	Stage string
	Nth   int
}

// line is what a child tells its parent.
type line struct {
	Say  string // begin, opened, starting, ended, doubted, die, did
	Step string `json:",omitempty"` // RUN STEP, of starting and ended
	Key  string `json:",omitempty"` // its idempotency key
	Kind string `json:",omitempty"` // of the record that it dies at
	// Of did: what came of a command.
	ID    int             `json:",omitempty"`
	Reply json.RawMessage `json:",omitempty"`
	Error string          `json:",omitempty"`
}

// process is the child's side.
type process struct {
	*state.Projector
	plan   plan
	clock  *clock
	store  *store.Store
	ledger *ledger.Ledger
	state  *state.State
	pool   *sandbox.Pool
	runner *runner.Runner
	intake *intake.Intake
	live   *intake.Live
	works  engine.Job

	mu    sync.Mutex // guards what follows
	out   *os.File
	seen  int
	wrote chan struct{} // closed at the next commit
}

func child(text string) {
	p := &process{out: os.NewFile(3, "parent"), wrote: make(chan struct{})}
	give(json.Unmarshal([]byte(text), &p.plan))
	p.clock = newClock(p.plan.Now)
	p.say(line{Say: "begin"})
	p.open()
	ctx, stop := context.WithCancel(context.Background())
	pooled, worked := make(chan error, 1), make(chan error, 2)
	go func() { pooled <- p.pool.Run(context.Background()) }()
	give(p.activate(ctx))
	go func() { worked <- p.runner.Run(ctx) }()
	go func() { worked <- p.intake.Run(ctx) }()
	p.say(line{Say: "opened"})
	p.obey(ctx)
	stop()
	<-worked
	<-worked
	give(p.pool.Close())
	<-pooled
	p.ledger.Close()
	give(p.store.Close())
}

// give ends a child that cannot go on: its parent takes this for a failure.
func give(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(3)
	}
}

func (p *process) open() {
	var err error
	p.store, err = store.OpenLedger(filepath.Join(p.plan.Dir, "ledger"))
	give(err)
	blobs, err := store.OpenBlobs(filepath.Join(p.plan.Dir, "blobs"))
	give(err)
	p.Projector = state.NewProjector(p.notice)
	p.ledger, err = ledger.Open(ledger.Config{Store: p.store, Projector: p, Clock: p.clock, Shards: p.plan.Shards, Node: "fault", Engine: "test"})
	give(err)
	p.state = state.Open(p.store, blobs, p.ledger)
	door, err := builtins.Open(builtins.Config{Connections: p.plan.Connections, Clock: p.clock, Secrets: secrets{}})
	give(err)
	keys, current := p.ledger.HashKeys()
	p.pool, err = sandbox.Open(sandbox.Config{Binary: p.plan.Worker, Hello: wire.Hello{
		Engine: "test", Signatures: append(runner.Signatures(), builtins.Signatures()...), HashKeys: keys, HashKey: current,
	}})
	give(err)
	p.runner = runner.New(runner.Config{
		Ledger: p.ledger, State: p.state, Pool: p.pool, Builtins: &stamping{door}, Clock: p.clock, Engine: "test",
		People: people, Mails: func() bool { return false }, Link: func(page string) string { return "https://soar.example.org/" + page },
		LinkKey: make([]byte, 32), Zone: func() *time.Location { return time.UTC },
		Live:   func() (string, string) { return p.live.Bundle, "" },
		Expect: func(t engine.Trigger) error { return p.intake.Expected.Check(t) },
	})
	p.intake = intake.New(intake.Config{
		Ledger: p.ledger, State: p.state, Evaluator: appliance.Evaluator(p.pool, p.clock), Live: func() *intake.Live { return p.live }, Clock: p.clock,
	})
}

// secrets has the password of the simulated controller.
type secrets struct{}

func (secrets) Get(string) (string, error) { return controllerPassword, nil }

func people() runner.People {
	return runner.People{ByName: map[string]engine.Person{
		"dave": {Name: "dave", Email: "dave@example.org", Role: engine.RoleEngineer},
		"ana":  {Name: "ana", Email: "ana@example.org", Role: engine.RoleResponder},
	}}
}

// stamping is the real door. Of what goes out by http it says which step it is:
// the peer must know that of effects of class once, too.
type stamping struct{ *builtins.Door }

// stepHeader carries the key of a step to the peer.
const stepHeader = "X-Step"

func (d *stamping) Do(ctx context.Context, c *engine.Call) (engine.Result, error) {
	if _, ok := c.Args["url"]; ok {
		stamped := *c
		stamped.Args = maps.Clone(c.Args)
		stamped.Args["headers"] = map[string]engine.Value{stepHeader: c.Key}
		c = &stamped
	}
	return d.Door.Do(ctx, c)
}

// activate makes the playbooks the live ones, as each start of the appliance does.
func (p *process) activate(ctx context.Context) error {
	b := engine.Bundle{Files: library.Files()}
	b.Files["scripts/plays.star"] = p.plan.Script
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		fmt.Fprintf(sum, "%s\x00%s\x00", name, b.Files[name])
	}
	b.Hash = hex.EncodeToString(sum.Sum(nil))
	loaded, err := p.pool.Load(ctx, wire.Load{Bundle: b, Timezone: "UTC"})
	if err != nil {
		return err
	}
	if !loaded.Good() {
		return fmt.Errorf("the playbooks have problems: %+v", loaded.Declarations.Problems)
	}
	blob, err := p.state.KeepBundle(b)
	if err != nil {
		return err
	}
	defer p.state.ReleaseBlob(blob)
	p.live = &intake.Live{Bundle: b.Hash, Set: rules.Compile(loaded.Declarations, nil)}
	p.works = loaded.Declarations.Jobs[0]
	_, err = p.ledger.Append(ctx, 0, ledger.New{Kind: record.BundleActivatedKind, Payload: record.Marshal(record.BundleActivated{Blob: blob, Bundle: b.Hash})})
	return err
}

// say writes one line in one write: what was said before a kill is read.
func (p *process) say(l line) {
	b, err := json.Marshal(l)
	give(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err = p.out.Write(append(b, '\n'))
	give(err)
}

// reached counts a record at a stage, and dies at the planned one.
func (p *process) reached(stage string, kind record.Kind) {
	if stage != p.plan.Stage || kind != p.plan.Kind {
		return
	}
	p.mu.Lock()
	p.seen++
	now := p.seen == p.plan.Nth
	p.mu.Unlock()
	if now {
		p.say(line{Say: "die", Kind: kind.String()})
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// Decide implements ledger.Projector by the real one, like all three. That an
// effect begins is told before it stands in the ledger.
func (p *process) Decide(b *store.Batch, r ledger.Record) ([]byte, error) {
	outcome, err := p.Projector.Decide(b, r)
	if err == nil && r.Header.Kind == record.StepStartedKind {
		p.begins(r, outcome)
	}
	p.reached(decided, r.Header.Kind)
	return outcome, err
}

func (p *process) begins(r ledger.Record, outcome []byte) {
	s, err := record.Unmarshal[record.StepStarted](r.Payload)
	give(err)
	o, err := record.Unmarshal[record.Outcome](outcome)
	give(err)
	if s.Effect && s.Class == engine.Once && o.Applied && o.Action == "" {
		step := engine.StepID(s.Path, s.Number)
		p.say(line{Say: "starting", Step: s.Run + " " + step, Key: keyOf(s.Run, s.Generation, s.Path, s.Number)})
	}
}

// Committed implements ledger.Projector. That an effect has its result is told
// after it stands in the ledger.
func (p *process) Committed(records []ledger.Record) {
	for _, r := range records {
		p.reached(committed, r.Header.Kind)
	}
	for _, r := range records {
		if r.Header.Kind == record.StepDoneKind {
			s, err := record.Unmarshal[record.StepDone](r.Payload)
			give(err)
			p.say(line{Say: "ended", Step: s.Run + " " + engine.StepID(s.Path, s.Number)})
		}
	}
	p.Projector.Committed(records)
	p.mu.Lock()
	close(p.wrote)
	p.wrote = make(chan struct{})
	p.mu.Unlock()
}

// await returns after the next commit, or soon.
func (p *process) await() {
	p.mu.Lock()
	wrote := p.wrote
	p.mu.Unlock()
	select {
	case <-wrote:
	case <-time.After(10 * time.Millisecond):
	}
}

func (p *process) notice(n []state.Notice) {
	if p.intake != nil { // nor then
		p.intake.Expected.Notice(n)
	}
	if p.runner != nil { // not while the ledger opens
		p.runner.Notice(n)
	}
}

func keyOf(run string, generation int, path string, n int) string {
	return fmt.Sprintf("%s/%d/%s", run, generation, engine.StepID(path, n))
}
