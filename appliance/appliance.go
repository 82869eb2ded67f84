// Package appliance wires the rooms into one program: Open, Run, Close. The
// commands, the demo and the end-to-end tests start the very same one.
package appliance

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"larkspur/appliance/config"
	"larkspur/appliance/tunnel"
	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/capture"
	"larkspur/engine/clients"
	"larkspur/engine/eraser"
	"larkspur/engine/intake"
	"larkspur/engine/ledger"
	"larkspur/engine/passivedns"
	"larkspur/engine/runner"
	"larkspur/engine/sandbox"
	"larkspur/engine/state"
	"larkspur/engine/store"
	"larkspur/engine/wire"
	"larkspur/scripts"
	"larkspur/scripts/library"
	"larkspur/ui"
)

// Version of Larkspur; runs, records and pages carry it.
const Version = "0.1.0"

// Config says which workspace to serve, and how.
type Config struct {
	Dir string
	// Out gets what a person should read: where the page is, the sign-in link.
	Out io.Writer
	// Listener takes the place of web.listen.
	Listener net.Listener
	// Worker is the executable of the worker; this very program by default.
	Worker string
	// Clock is the machine's by default. An engine.Machine is watched: when it jumps,
	// time goes on without it.
	Clock engine.Clock
	// Sources are captures besides the configured sensors.
	Sources map[string]capture.Source
	// Watch is told of every committed record, for tests.
	Watch func([]state.Notice)
}

// Appliance is one box: its stores are open from Open to Close, it works in Run.
type Appliance struct {
	cfg   Config
	clock engine.Clock
	// steady is the clock, if it is watched.
	steady *engine.Steady

	settingsMu sync.RWMutex // guards settings
	settings   *config.Config
	source     *config.Source

	store     *store.Store
	cache     *store.Cache
	memory    *passivedns.Memory
	clients   *clients.Clients
	namer     *namer
	ledger    *ledger.Ledger
	state     *state.State
	blobs     *store.Blobs
	eraser    *eraser.Eraser
	pool      *sandbox.Pool
	door      *door
	runner    *runner.Runner
	intake    *intake.Intake
	schedule  *intake.Schedule
	rules     *rulebook
	auditor   *auditor
	rebuilder *rebuilder
	keeper    *keeper
	scrubber  *scrubber
	server    *ui.Server
	web       net.Listener
	control   net.Listener
	tunnel    *tunnel.Tunnel // nil: none
	sensors   []*sensor
	linkKey   []byte
}

// Open opens the stores, the listeners and the configuration; nothing works
// before Run. Problems of the configuration's own files stop it; those of
// scripts are shown on the rules page while the rest works.
func Open(cfg Config) (_ *Appliance, err error) {
	if cfg.Clock == nil {
		cfg.Clock = machine{}
	}
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	a := &Appliance{cfg: cfg, door: &door{}, source: &config.Source{Dir: cfg.Dir}}
	a.setClock(cfg.Clock)
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	settings, problems := config.Load(cfg.Dir)
	if scripts.HasError(problems) {
		return nil, &Problems{problems}
	}
	a.settings = settings
	if err := a.openStores(settings); err != nil {
		return nil, err
	}
	if err := a.openRunner(); err != nil {
		return nil, err
	}
	if err := a.openWeb(settings); err != nil {
		return nil, err
	}
	if err := a.openDoor(settings); err != nil {
		return nil, err
	}
	return a, a.openSensors(settings)
}

// Problems is the error of a configuration that cannot be used.
type Problems struct{ List []engine.Problem }

// Error lists the problems, one a line.
func (p *Problems) Error() string {
	text := "the configuration cannot be used"
	for _, each := range p.List {
		if each.Severity == "error" {
			at := engine.Position{File: each.File, Line: each.Line, Col: each.Col}
			text += "\n" + at.String() + ": " + each.Message
			if each.Hint != "" {
				text += "\n\t" + each.Hint
			}
		}
	}
	return text
}

func (a *Appliance) current() *config.Config {
	a.settingsMu.RLock()
	defer a.settingsMu.RUnlock()
	return a.settings
}

func (a *Appliance) openStores(c *config.Config) (err error) {
	if a.store, err = store.OpenLedger(filepath.Join(c.Box.Store, "ledger")); err != nil {
		return err
	}
	if a.cache, err = store.OpenCache(filepath.Join(c.Box.Store, "cache")); err != nil {
		return err
	}
	a.clients = clients.New(a.clock, a.cache)
	a.clients.Configure(a.current().Clients)
	a.namer = &namer{clients: a.clients, door: a.door, clock: a.clock, connections: a.unifiConnections}
	a.memory = passivedns.New(passivedns.Config{Cache: a.cache, Clock: a.clock, Settings: func() passivedns.Settings { return a.current().History }})
	blobs, err := store.OpenBlobs(filepath.Join(c.Box.Store, "blobs"))
	if err != nil {
		return err
	}
	keys := filepath.Join(c.Box.Store, "keys")
	signer, err := ledger.LoadSigner(filepath.Join(keys, "checkpoint"), "larkspur")
	if err != nil {
		return err
	}
	if a.linkKey, err = loadKey(filepath.Join(keys, "box")); err != nil {
		return err
	}
	path, last := readCheckpoint(c.Box.Store)
	a.auditor = &auditor{a: a, path: path}
	node, _ := os.Hostname() // only a name for readers
	a.ledger, err = ledger.Open(ledger.Config{
		Store: a.store, Projector: state.NewProjector(a.notice), Clock: a.clock, Node: node,
		Engine: Version, Signer: signer, LastCheckpoint: last, Resumes: a.resume,
	})
	if err != nil {
		return err
	}
	if err := a.noteRotation(context.Background(), filepath.Join(keys, "checkpoint")); err != nil {
		return err
	}
	a.state = state.Open(a.store, blobs, a.ledger)
	a.blobs = blobs
	a.eraser = eraser.New(eraser.Config{
		Ledger: a.ledger, State: a.state, Store: a.store, Blobs: blobs, Cache: a.cache, Memory: a.memory, Clock: a.clock,
		Zone: func() *time.Location { return a.current().Zone }, Keep: a.keep, Elsewhere: a.elsewhere, Snapshots: a.removeSnapshots,
	})
	a.rebuilder = newRebuilder(a)
	a.scrubber = newScrubber(c.Box.Store, a.store, a.clock)
	a.scrubber.compare = a.compareProjections
	a.keeper = &keeper{dir: filepath.Join(c.Box.Store, "ledger"), clock: a.clock}
	return nil
}

// loadKey reads a secret key of the box, and makes it at the first start.
func loadKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		key = make([]byte, 32)
		rand.Read(key)
		if err = os.Remove(path + ".sum"); err == nil || errors.Is(err, os.ErrNotExist) { // of a former one
			err = writeSurely(path, key)
		}
	}
	if err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "the box's key")
	}
	if len(key) != 32 {
		return nil, engine.Errorf(engine.Invalid, "the box's key %q: got %d bytes, want 32", path, len(key))
	}
	return key, checkKeySum(path)
}

// writeSurely writes a file that is whole on the disk, or not there, when the
// power goes out.
func writeSurely(path string, content []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// notice hears of every committed record.
func (a *Appliance) notice(n []state.Notice) {
	if a.intake != nil { // not while the ledger opens
		a.intake.Expected.Notice(n)
	}
	if a.runner != nil {
		a.runner.Notice(n)
	}
	if a.cfg.Watch != nil {
		a.cfg.Watch(n)
	}
}

// maxWorkers: more processes would take memory and give nothing; each interprets
// on all processors.
const maxWorkers = 4

func (a *Appliance) openRunner() (err error) {
	keys, current := a.ledger.HashKeys()
	a.pool, err = sandbox.Open(sandbox.Config{Binary: a.cfg.Worker, Workers: min(runtime.NumCPU(), maxWorkers), Hello: wire.Hello{
		Engine: Version, Signatures: signatures(), HashKeys: keys, HashKey: current,
	}})
	if err != nil {
		return err
	}
	a.runner = runner.New(runner.Config{
		Ledger: a.ledger, State: a.state, Pool: a.pool, Builtins: a.door, Clock: a.clock, Engine: Version,
		People: a.people, Calendars: func() map[string]*calendar.Hours { return a.current().Calendars }, Mails: func() bool { return a.current().Mails() }, Link: a.link, LinkKey: a.linkKey,
		Zone: func() *time.Location { return a.current().Zone }, Live: a.liveBundle, Steady: a.steady,
		Expect: func(t engine.Trigger) error { return a.intake.Expected.Check(t) },
	})
	a.rules = &rulebook{state: a.state}
	in := intake.Config{Ledger: a.ledger, State: a.state, Evaluator: Evaluator(a.pool, a.clock), Live: a.rules.rules, Clock: a.clock}
	a.intake, a.schedule = intake.New(in), intake.NewSchedule(in, a.jobs)
	a.rules.intake = a.intake
	return nil
}

// untilBroken ends everything when the ledger store breaks: what is read from it
// may not be on its disk. Started again, it goes on from what is.
func (a *Appliance) untilBroken(ctx context.Context) error {
	select {
	case <-a.store.Broken():
		return a.store.BrokenBy()
	case <-ctx.Done():
		return nil
	}
}

// Run works until ctx ends, then finishes what has begun.
func (a *Appliance) Run(ctx context.Context) error {
	// The last signature covers what the others wrote while they ended, and
	// workers end after the runs that they carry.
	late, endLate := context.WithCancel(context.WithoutCancel(ctx))
	defer endLate()
	var last errgroup.Group
	last.Go(func() error { return a.pool.Run(late) })
	last.Go(func() error { return a.auditor.Run(late) })

	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return a.untilBroken(ctx) })
	work.Go(func() error { return a.runner.Run(ctx) })
	work.Go(func() error { return a.intake.Run(ctx) })
	work.Go(func() error { return a.schedule.Run(ctx) })
	work.Go(func() error { return a.watcher(ctx).Run(ctx) })
	work.Go(func() error { return a.rebuilder.Run(ctx) })
	work.Go(func() error { return a.eraser.Run(ctx) })
	work.Go(func() error { return a.eraser.Nights(ctx) })
	work.Go(func() error { return a.keeper.Run(ctx) })
	work.Go(func() error { return a.scrubber.Run(ctx) })
	work.Go(func() error { return a.memory.Run(ctx) })
	work.Go(func() error { return a.clients.Run(ctx) })
	work.Go(func() error { return a.namer.Run(ctx) })
	work.Go(func() error { return a.server.Run(ctx, a.web) })
	work.Go(func() error { return a.server.RunControl(ctx, a.control) })
	if a.tunnel != nil {
		work.Go(func() error { return a.tunnel.Run(ctx) })
	}
	for _, s := range a.sensors {
		work.Go(func() error { return s.Run(ctx) })
	}
	if err := a.greet(); err != nil {
		slog.Error("no sign-in link", "error", err)
	}
	err := work.Wait()
	endLate()
	err = errors.Join(err, last.Wait())
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// watcher keeps the live scripts equal to the files.
func (a *Appliance) watcher(ctx context.Context) *scripts.Watcher {
	return &scripts.Watcher{
		Loader: &scripts.Loader{
			Dir: a.cfg.Dir, Worker: a.pool, Library: library.Files(), Settings: a.source.Settings, Clock: a.clock,
		},
		Publish: func(live *scripts.Live) { a.publish(ctx, live) },
	}
}

// adopt makes the newest configuration count, once its whole workspace is good:
// people, teams, connections and the zone change at once.
func (a *Appliance) adopt() {
	c := a.source.Newest()
	if c == nil || c == a.current() {
		return
	}
	if err := a.openDoor(c); err != nil {
		slog.Error("the connections could not be opened; the former ones stay", "error", err) // config.Load checked them
		return
	}
	for _, key := range a.current().OnlyAtStart(c) {
		slog.Warn("a change of the configuration counts from the next start", "key", key)
	}
	a.settingsMu.Lock()
	a.settings = c
	a.settingsMu.Unlock()
	a.runner.CalendarsChanged()
	a.clients.Configure(c.Clients)
}

// Close closes what Open opened. Run must have returned.
func (a *Appliance) Close() error {
	var errs []error
	for _, s := range a.sensors {
		errs = append(errs, s.close())
	}
	for _, l := range []net.Listener{a.web, a.control} {
		if l != nil {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if a.pool != nil {
		errs = append(errs, a.pool.Close())
	}
	if d := a.door.now.Load(); d != nil {
		d.Close()
	}
	if a.ledger != nil {
		a.ledger.Close()
	}
	if a.cache != nil {
		errs = append(errs, a.cache.Close())
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	return errors.Join(errs...)
}

// State answers questions about what the appliance knows.
func (a *Appliance) State() *state.State { return a.state }
