// Package passivedns is the memory of what DNS said: every name, type and answer
// that sensors saw, when first, when last and how often; on request who asked; and
// the registrable domains with when they were seen.
//
// Begin with New. Observe is told of every message and costs its caller a copy;
// Run takes in what was copied, counts it in a table of fixed size and writes that
// down every minute. History, Domains and Export read both the table and what is
// written. It lies in the cache store: it may be deleted at any time, then the
// memory begins anew, and it decides no effect.
//
// What is kept: of responses with NOERROR or NXDOMAIN, in the class of the
// Internet, each record of the answer section, so a chain of CNAMEs link by link;
// of a name without a record of the type asked for, or that does not exist, that
// it was so. mDNS and LLMNR are left out: their names are those of one link, and
// everybody on it may claim them. So are signatures and proofs of DNSSEC.
package passivedns

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/store"
)

const (
	// writeEvery is how much of the counts a crash may take.
	writeEvery = time.Minute
	// sweepEvery is how often what is too old is looked for.
	sweepEvery = time.Hour
	// gather is how long the first message of a batch waits for others.
	gather = 20 * time.Millisecond
)

// Settings say how much is remembered.
type Settings struct {
	Keep    time.Duration // after it was seen last; 0 is for ever
	Clients bool          // who asked, too
	// Entries bounds the records, what clients asked, and the domains, each.
	Entries int
}

// Defaults of Settings.
const (
	DefaultKeep    = 30 * 24 * time.Hour
	DefaultEntries = 1_000_000
	MinEntries     = 1_000
)

// Defaults returns what counts where nothing is said.
func Defaults() Settings { return Settings{Keep: DefaultKeep, Clients: true, Entries: DefaultEntries} }

// Config is what a Memory needs.
type Config struct {
	Cache *store.Cache
	Clock engine.Clock
	// Settings returns those in force; nil: Defaults.
	Settings func() Settings
}

// Memory is the passive DNS memory. Safe for concurrent use. Its tables take
// memory from the first message on.
type Memory struct {
	cfg     Config
	seed    maphash.Seed
	batches *batches
	counts  counts
	since   atomic.Uint32 // when the memory began; 0: nothing seen yet
	full    chan struct{} // much left the hot table

	tables atomic.Pointer[tables]

	// writing is held while counts are on their way to the store, and by who opens
	// a view of it; it is taken before mu. It guards what follows.
	writing sync.Mutex
	book    book
	renewed time.Time // of the cache, as of book
	loaded  bool      // book was read

	mu sync.Mutex // guards what follows, and hot of tables
	// leaving are counts of slots that another key took, to be written soon.
	leaving map[string]value
	clients clients
	budget  int // newcomers that may still displace others before the next writing
}

// tables are what a Memory holds once there is something to see.
type tables struct {
	hot     *hot
	domains *domains
	key     []byte // room for keys, guarded by mu of the memory
	names   [2][]byte
}

// New returns a memory in a cache. It reads nothing yet.
func New(cfg Config) *Memory {
	if cfg.Settings == nil {
		cfg.Settings = Defaults
	}
	seed := maphash.MakeSeed()
	m := &Memory{cfg: cfg, seed: seed, batches: newBatches(seed), leaving: map[string]value{}, clients: newClients(), budget: leavingBudget, full: make(chan struct{}, 1)}
	return m
}

// open makes the tables, and reads the book.
func (m *Memory) open() *tables {
	if t := m.tables.Load(); t != nil {
		return t
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	if t := m.tables.Load(); t != nil {
		return t
	}
	if err := m.loadBook(); err != nil { // what it holds is met again at each writing
		slog.Error("the passive DNS memory cannot be read; it begins without what it knew", "error", err)
	}
	t := &tables{hot: newHot(m.seed), domains: newDomains(m.seed, m.loadDomain)}
	t.domains.keep = m.keepSeconds()
	m.tables.Store(t)
	return t
}

func (m *Memory) keepSeconds() uint32 { return uint32(m.cfg.Settings().Keep / time.Second) }

// begin notes when the memory began.
func (m *Memory) begin(at uint32) {
	if m.since.Load() == 0 {
		m.since.CompareAndSwap(0, at)
	}
}

// Observe takes note of a message. It waits for nothing, keeps nothing of msg, and
// allocates nothing but the first batches; what finds no room is counted. The
// memory is one of all sensors: it does not keep which of them saw a message.
func (m *Memory) Observe(_ string, msg *capture.Message) {
	switch {
	case !concerns(msg):
		m.counts.leftOut.Add(1)
	case m.batches.put(msg):
		m.counts.observed.Add(1)
	default:
		m.counts.behind.Add(1)
	}
}

// Run takes in what is observed and writes it down, until ctx ends; then all that
// is left, and returns the context's error.
func (m *Memory) Run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return m.takeIn(ctx) })
	work.Go(func() error { return m.writeDown(ctx) })
	work.Go(func() error { return m.spill(ctx) })
	err := work.Wait()
	if m.tables.Load() != nil || m.batches.behind() > 0 {
		m.Settle()
		if failed := m.Flush(); failed != nil {
			slog.Error("the passive DNS memory lost what it counted last", "error", failed)
		}
	}
	return err
}

// takeIn empties the batches.
func (m *Memory) takeIn(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.batches.wake:
		}
		if err := m.cfg.Clock.Sleep(ctx, gather); err != nil {
			return err
		}
		m.Settle()
	}
}

// writeDown writes every minute, and sweeps after the first and every hour.
func (m *Memory) writeDown(ctx context.Context) error {
	var swept time.Time
	for {
		if err := m.cfg.Clock.Sleep(ctx, writeEvery); err != nil {
			return err
		}
		if err := m.Flush(); err != nil {
			slog.Error("the passive DNS memory could not be written; it is tried again", "error", err)
			continue
		}
		if now := m.cfg.Clock.Now(); now.Sub(swept) >= sweepEvery || m.over() {
			swept = now
			if err := m.Sweep(ctx); err != nil && ctx.Err() == nil {
				slog.Error("the passive DNS memory could not be swept; it is tried again", "error", err)
			}
		}
	}
}

// hurry has what left the hot table written now.
func (m *Memory) hurry() {
	select {
	case m.full <- struct{}{}:
	default:
	}
}

// spill writes what left the hot table, whenever much did.
func (m *Memory) spill(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.full:
		}
		if err := m.writeLeaving(); err != nil {
			slog.Error("the passive DNS memory could not be written; it is tried again", "error", err)
		}
	}
}

// Settle takes in all that was observed.
func (m *Memory) Settle() {
	for batch := m.batches.take(); batch != nil; batch = m.batches.take() {
		t := m.open()
		m.mu.Lock()
		m.learn(t, batch)
		m.mu.Unlock()
		m.batches.give(batch)
	}
}
