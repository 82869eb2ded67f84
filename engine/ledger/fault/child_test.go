package fault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/eraser"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/store"
)

// planEnv carries the plan of a child: the test binary, started again.
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
	decided      = "decided"      // its transaction is being made
	committed    = "committed"    // on the disk, and nobody was told
	acknowledged = "acknowledged" // the caller was told
	rebuilding   = "in a rebuild" // between two of its pieces; of no kind of record
)

// plan is what a child does until it dies.
type plan struct {
	Dir     string
	Shards  int
	Seed    uint64
	Callers int
	Frames  int  // a caller ends after so many
	Fat     bool // results of many kilobytes, so that memtables are flushed
	Base    time.Time
	Jumps   bool // the clock jumps
	Rebuild bool // projections are made anew meanwhile, again and again
	Erase   bool // incidents are erased meanwhile, one by one and by age
	// Stubborn callers go on after an error, until there were so many.
	Stubborn int

	Kind  record.Kind // 0: it does not kill itself
	Stage string
	Nth   int
}

// line is what a child tells its parent, which keeps it outside the store: the
// callers' side of the truth.
type line struct {
	Say    string // begin, opened, try, ack, failed, signed, die; erase before an erasure is asked for, asked after it
	ID     int    `json:",omitempty"` // of a try, and of its ack
	Shard  uint16 `json:",omitempty"`
	Recs   []seen `json:",omitempty"`
	Text   string `json:",omitempty"` // a signed checkpoint, the stage of a death, why something is erased
	Ledger string `json:",omitempty"`
	About  string `json:",omitempty"` // the incident that is erased, the id of the erasure
}

// seen is one record as a caller knows it: hashes of payload and outcome.
type seen struct {
	Kind    record.Kind
	Payload string
	Left    string `json:",omitempty"` // hash of what an erasure leaves of it; "" when it leaves all
	Header  string `json:",omitempty"` // hex; of acknowledged ones, like Outcome
	Outcome string `json:",omitempty"`
	Erased  bool   `json:",omitempty"` // found erased: the payload is gone
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// left is the hash of what an erasure leaves of a payload.
func left(kind record.Kind, payload []byte) string {
	rest, err := record.Residue(kind, payload)
	if err != nil {
		give(err)
	}
	if rest == nil {
		return ""
	}
	return sum(rest)
}

func seenOf(r ledger.Record) seen {
	s := seen{Kind: r.Header.Kind, Header: hex.EncodeToString(r.Header.Append(nil)), Outcome: sum(r.Outcome)}
	if s.Erased = r.Erased; r.Erased {
		s.Left = sum(r.Erasure.Left)
	} else {
		s.Payload, s.Left = sum(r.Payload), left(s.Kind, r.Payload)
	}
	return s
}

// process is the child's side.
type process struct {
	plan   plan
	store  *store.Store
	blobs  *store.Blobs
	ledger *ledger.Ledger
	state  *state.State
	eraser *eraser.Eraser
	clock  *jumpy
	tries  atomic.Int64

	mu     sync.Mutex // guards out, counts
	out    *os.File
	counts map[string]int
	errors int
}

func child(text string) {
	p := &process{out: os.NewFile(3, "parent"), counts: map[string]int{}}
	if err := json.Unmarshal([]byte(text), &p.plan); err != nil {
		give(err)
	}
	p.clock = &jumpy{rng: rand.New(rand.NewPCG(p.plan.Seed, 0)), base: p.plan.Base, jumps: p.plan.Jumps, began: time.Now()}
	p.open()
	if p.plan.Rebuild {
		go p.rebuild()
	}
	if p.plan.Erase {
		go p.eraser.Run(context.Background())
	}
	var callers sync.WaitGroup
	for n := range p.plan.Callers {
		callers.Go(func() { newCaller(p, n).work() })
	}
	callers.Wait()
}

// rebuild makes the projections anew until the process ends.
func (p *process) rebuild() {
	for {
		err := p.ledger.Reproject(context.Background(), func(uint64, uint64) { p.reached(rebuilding, 0) })
		if err != nil {
			give(err)
		}
	}
}

// give ends a child that cannot go on: its parent takes this for a failure.
func give(err error) {
	fmt.Fprintln(os.Stderr, "child:", err)
	os.Exit(3)
}

// failed ends a child that an append failed, unless it is stubborn.
func (p *process) failed(err error) {
	if p.plan.Stubborn == 0 {
		give(err)
	}
	p.say(line{Say: "failed", Text: err.Error()})
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.errors++; p.errors >= p.plan.Stubborn {
		os.Exit(exitStubborn)
	}
}

// exitStubborn is how a stubborn child ends.
const exitStubborn = 4

func (p *process) open() {
	p.say(line{Say: "begin"})
	var err error
	if p.store, err = store.OpenLedger(filepath.Join(p.plan.Dir, "ledger")); err != nil {
		give(err)
	}
	if p.blobs, err = store.OpenBlobs(filepath.Join(p.plan.Dir, "blobs")); err != nil {
		give(err)
	}
	if p.ledger, err = openLedger(p.store, p, p.clock, p.plan.Shards, p.plan.Dir); err != nil {
		give(err)
	}
	p.state = state.Open(p.store, p.blobs, p.ledger)
	p.eraser = newEraser(p.store, p.blobs, p.ledger, p.state, p.clock)
	p.say(line{Say: "opened", Ledger: p.ledger.ID().String()})
	for shard := range uint16(p.ledger.Shards()) {
		r, err := p.ledger.Record(shard, p.ledger.Size(shard)-1)
		if err != nil {
			give(err)
		}
		p.say(line{Say: "ack", Shard: shard, Recs: []seen{seenOf(r)}})
		p.reached(acknowledged, r.Header.Kind)
	}
}

func newEraser(s *store.Store, b *store.Blobs, l *ledger.Ledger, st *state.State, c engine.Clock) *eraser.Eraser {
	return eraser.New(eraser.Config{Ledger: l, State: st, Store: s, Blobs: b, Clock: c, Zone: func() *time.Location { return time.UTC }})
}

// openLedger opens a ledger as the appliance does, with the newest checkpoint
// that anybody saw, which lies beside the store.
func openLedger(s *store.Store, p ledger.Projector, clock engine.Clock, shards int, dir string) (*ledger.Ledger, error) {
	signer, err := ledger.LoadSigner(filepath.Join(dir, "key"), "larkspur")
	if err != nil {
		return nil, err
	}
	last, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return ledger.Open(ledger.Config{
		Store: s, Projector: p, Clock: clock, Shards: shards, Node: "fault", Engine: "test", Signer: signer, LastCheckpoint: last,
	})
}

// say writes one line in one write: what was said before a kill is read.
func (p *process) say(l line) {
	b, err := json.Marshal(l)
	if err != nil {
		give(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.out.Write(append(b, '\n')); err != nil {
		give(err)
	}
}

// reached counts a record at a stage, and dies at the planned one.
func (p *process) reached(stage string, kind record.Kind) {
	if stage != p.plan.Stage || kind != p.plan.Kind {
		return
	}
	p.mu.Lock()
	p.counts[stage]++
	now := p.counts[stage] == p.plan.Nth
	p.mu.Unlock()
	if now {
		p.say(line{Say: "die", Text: stage, Recs: []seen{{Kind: kind}}})
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// Decide implements ledger.Projector by the real one, like all three.
func (p *process) Decide(b *store.Batch, r ledger.Record) ([]byte, error) {
	outcome, err := projector().Decide(b, r)
	p.reached(decided, r.Header.Kind)
	return outcome, err
}

// Apply implements ledger.Projector.
func (p *process) Apply(b *store.Batch, r ledger.Record) error { return projector().Apply(b, r) }

// Committed implements ledger.Projector. The eraser tells nobody of its records,
// but builds on them: they are told here.
func (p *process) Committed(records []ledger.Record) {
	for _, r := range records {
		p.reached(committed, r.Header.Kind)
		if r.Header.Kind == record.ErasedKind {
			p.say(line{Say: "ack", Shard: r.Header.Shard, Recs: []seen{seenOf(r)}})
			p.reached(acknowledged, r.Header.Kind)
		}
	}
}

func projector() *state.Projector { return state.NewProjector(nil) }

// jumpy is a clock that is set forward and back, by minutes mostly and by weeks
// at times.
type jumpy struct {
	began time.Time
	base  time.Time
	jumps bool

	mu     sync.Mutex // guards rng, offset
	rng    *rand.Rand
	offset time.Duration
}

func (j *jumpy) Now() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.jumps && j.rng.IntN(8) == 0 {
		span := 2 * time.Hour
		if j.rng.IntN(10) == 0 {
			span = 30 * 24 * time.Hour
		}
		j.offset = time.Duration(j.rng.Int64N(int64(2*span))) - span
	}
	return j.base.Add(time.Since(j.began) + j.offset).UTC()
}

func (j *jumpy) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }
