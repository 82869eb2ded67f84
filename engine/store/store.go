// Package store is the only importer of Badger. It opens the two stores of a
// box: the ledger store, whose every commit is on the disk when it returns, and
// the cache store, which may be deleted at any time. Blobs lie beside as files.
//
// Readers use View; the one writer of the ledger store stages its writes in a
// Batch, which sees them at once, and commits it as one transaction.
package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"

	"larkspur/engine"
)

// Sizes of the ledger store. Small memtables keep a Pi's memory free; Badger
// limits a transaction to 15 % of one.
const (
	memTableBytes  = 8 << 20
	maxCommitBytes = memTableBytes * 15 / 100 * 8 / 10
	// valueThreshold keeps every value in the synced log of the memtables: only
	// there does a sync's error reach us.
	valueThreshold = 512 << 10
	blockCacheSize = 4 << 20
)

// MaxValueBytes bounds one value; larger things are blobs.
const MaxValueBytes = 256 << 10

// Store is one Badger database. Safe for concurrent use.
type Store struct {
	db      *badger.DB
	dir     string
	reserve *reserve
	inForce atomic.Uint32 // the Generation that views show
	readers readers
	// gate is held by writers for reading: Badger refuses what is committed while
	// it drops keys, so that writers have to wait meanwhile.
	gate sync.RWMutex

	brokenMu sync.Mutex // guards broken
	broken   error      // of the commit that ended all commits
	breaks   chan struct{}
}

// Broken is closed when a commit failed for another reason than a lack of room.
// Nothing is written from then on: the store must be closed and opened again,
// which puts on the disk again what can be read.
func (s *Store) Broken() <-chan struct{} { return s.breaks }

// BrokenBy returns the error that Broken tells of, nil while there is none.
func (s *Store) BrokenBy() error {
	s.brokenMu.Lock()
	defer s.brokenMu.Unlock()
	return s.broken
}

// breakOff ends all commits. A sync that fails once tells of pages that are
// nowhere but in memory, and the next one says that all is well (fsync(2), and
// Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).
func (s *Store) breakOff(cause error) error {
	s.brokenMu.Lock()
	defer s.brokenMu.Unlock()
	if s.broken == nil {
		s.broken = engine.WrapError(engine.Unavailable, cause, "store: committing").
			WithHint("the disk reported an error; Larkspur has to be started again, and writes nothing before. Look at the disk (dmesg), and have a copy of it")
		close(s.breaks)
	}
	return s.broken
}

// OpenLedger opens the ledger store in dir, which is made if need be: every
// Commit is synced. Zero-byte files that a crash left (badger #2207) are
// removed first; they hold nothing.
//
// A store of an older Schema is kept as a snapshot first; package ledger then
// makes of it what this program wants. One that is newer is refused.
//
// On a full disk the ballast is given up to open, and commits are refused until
// there is room again.
func OpenLedger(dir string) (*Store, error) {
	if err := refuseNewer(dir); err != nil {
		return nil, err
	}
	if err := upgradeNow(dir).run(); err != nil {
		return nil, err
	}
	return open(&reserve{what: "ledger store", dir: dir, ballast: true, logs: true}, openBytes, true)
}

// OpenScratch opens a ledger store that is thrown away afterwards: nothing is
// synced. For trials only.
func OpenScratch(dir string) (*Store, error) {
	if err := refuseNewer(dir); err != nil {
		return nil, err
	}
	if schema, err := schemaOf(dir); err == nil && schema == 0 {
		if err := errors.Join(os.MkdirAll(dir, 0o700), writeSynced(filepath.Join(dir, schemaName), schemaText())); err != nil {
			return nil, engine.WrapError(engine.Unavailable, err, "store")
		}
	}
	return open(&reserve{what: "scratch store", dir: dir, logs: true}, openCacheBytes, false)
}

func open(r *reserve, needBytes int64, synced bool) (*Store, error) {
	dir := r.dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "store")
	}
	if err := checkForOpening(dir); err != nil {
		return nil, err
	}
	if err := repair(dir); err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "store: repairing")
	}
	if err := r.makeRoom(needBytes); err != nil {
		return nil, err
	}
	db, err := openLocked(badgerOptions(dir, synced))
	if err != nil {
		return nil, openError(dir, err)
	}
	s := &Store{db: db, dir: dir, reserve: r, breaks: make(chan struct{})}
	if err := s.loadGeneration(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// A process that is being started holds copies of what its parent had open until
// it executes, a lock that was given back among them; and a service that is
// started again may meet its former self. Both are over in a moment.
const (
	lockPause = 20 * time.Millisecond
	lockTries = 200
)

// openLocked opens Badger, and tries for four seconds to get its lock: a busy
// machine may take more than one to start a process.
func openLocked(o badger.Options) (db *badger.DB, err error) {
	for try := 1; ; try++ {
		if db, err = badger.Open(o); err == nil || !isLocked(err) || try == lockTries {
			return db, err
		}
		time.Sleep(lockPause)
	}
}

func isLocked(err error) bool { return strings.Contains(err.Error(), "Cannot acquire directory lock") }

func badgerOptions(dir string, synced bool) badger.Options {
	o := badger.DefaultOptions(dir).
		WithSyncWrites(synced).
		WithDetectConflicts(false). // one writer, which batches
		WithNumVersionsToKeep(1).
		WithMemTableSize(memTableBytes).
		WithNumMemtables(2).
		WithValueThreshold(valueThreshold).
		WithValueLogFileSize(16 << 20).
		WithBlockCacheSize(blockCacheSize).
		WithIndexCacheSize(0).
		WithCompression(options.Snappy).
		WithChecksumVerificationMode(options.OnBlockRead). // a damaged block is an error, never less data
		WithNumCompactors(2).
		WithMetricsEnabled(false).
		WithLogger(badgerLog{})
	// A compaction holds some tables in memory: they are small on every level, where
	// Badger's own doubles from one to the next.
	o.BaseTableSize, o.TableSizeMultiplier = 2<<20, 1
	return o
}

func openError(dir string, err error) error {
	e := engine.WrapError(engine.Unavailable, err, fmt.Sprintf("store %q", dir))
	if isLocked(err) {
		return e.WithHint("another larkspur serves this workspace; stop it, or give this one its own store.dir in box.yaml")
	}
	return e
}

// repair removes zero-byte memtable and value logs (the log of the next memtable
// is one), and a ballast that was not finished.
func repair(dir string) error {
	if err := os.Remove(filepath.Join(dir, ballastName+".new")); err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			fi, err := os.Stat(path)
			if err != nil || fi.Size() > 0 {
				continue
			}
			slog.Info("removing an empty file that a crash left", "file", filepath.Base(path))
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return mendLogs(dir)
}

// Close closes the store. Views must be closed before. A broken one is left as a
// crash leaves it: closing would flush what may not be on the disk, and delete the
// logs that it was flushed from. The process should end then.
func (s *Store) Close() error {
	if err := s.BrokenBy(); err != nil {
		return err
	}
	return errors.Join(s.reserve.beforeClose(), s.db.Close(), s.reserve.afterClose())
}

// Disk tells how much room the store has.
func (s *Store) Disk() (Disk, error) { return s.reserve.disk() }

// Commit writes a batch as one transaction, on the disk when it returns (ledger
// store). An error with the cause CauseNoRoom means that nothing was written:
// the disk is nearly full. Any other leaves the outcome unknown: read what is
// there.
func (s *Store) Commit(b *Batch) error { return s.commit(b, false) }

// CommitReserved is Commit into the room that is kept for it: for the few small
// writes without which nothing could be opened on a full disk.
func (s *Store) CommitReserved(b *Batch) error { return s.commit(b, true) }

func (s *Store) commit(b *Batch, essential bool) error {
	if b.Len() == 0 {
		return nil
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := s.BrokenBy(); err != nil {
		return err
	}
	if err := s.db.ManifestError(); err != nil {
		return s.breakOff(err)
	}
	if err := s.reserve.admit(essential); err != nil {
		return err
	}
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	if err := b.stage(txn); err != nil {
		return engine.WrapError(engine.Internal, err, "store: staging")
	}
	if err := txn.Commit(); err != nil && s.db.Opts().SyncWrites {
		return s.breakOff(err)
	} else if err != nil {
		return engine.WrapError(engine.Unavailable, err, "store: committing")
	}
	return nil
}

// Reader reads one consistent moment. Values returned are the caller's.
type Reader interface {
	// Get returns nil, false for a key that is not there.
	Get(key []byte) ([]byte, bool)
	// Scan calls fn for each key with the prefix, which is not empty, in order, from the first key
	// that is not before start (nil: the first of the prefix; when reverse: the
	// last that is not after start), until fn returns false. Key and value are
	// valid during the call only.
	Scan(prefix, start []byte, reverse bool, fn func(key, value []byte) bool)
	// space is what stands before the keys of the generation that is shown.
	space() []byte
}

// View is a Reader of the moment at which it was made, and of one Generation.
// Close it soon.
type View struct {
	txn        *badger.Txn
	store      *Store // nil once it is closed
	generation Generation
	under      []byte // its space
}

// View returns a reader of what is committed now, in the generation in force.
func (s *Store) View() *View {
	for {
		g := s.InForce()
		v := s.ViewOf(g)
		// Whoever switches holds appends back until InForce tells: a view of the
		// former generation holds all that was appended before it was made.
		if g == s.InForce() {
			return v
		}
		v.Close()
	}
}

// ViewOf returns a reader of what is committed now, in the generation g.
func (s *Store) ViewOf(g Generation) *View {
	s.readers.add(g, 1)
	return &View{txn: s.db.NewTransaction(false), store: s, generation: g, under: g.space()}
}

// Generation returns the generation that is shown.
func (v *View) Generation() Generation { return v.generation }

func (v *View) space() []byte { return v.under }

// Close releases the view.
func (v *View) Close() {
	v.txn.Discard()
	if v.store != nil {
		v.store.readers.add(v.generation, -1)
		v.store = nil
	}
}

// Get implements Reader. A read error of the disk panics with readFault, which
// Guard turns into an error at the room's door: no caller can go on without
// its state, and none should mistake a fault for absence.
func (v *View) Get(key []byte) ([]byte, bool) {
	item, err := v.txn.Get(physical(v.under, key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false
	}
	if err != nil {
		panic(readFault{err})
	}
	value, err := item.ValueCopy(nil)
	if err != nil {
		panic(readFault{err})
	}
	return value, true
}

// Scan implements Reader.
func (v *View) Scan(prefix, start []byte, reverse bool, fn func(key, value []byte) bool) {
	opts := badger.DefaultIteratorOptions
	opts.Reverse = reverse
	opts.PrefetchValues = false // they lie beside their keys; fetching ahead starts a goroutine for each
	opts.Prefix = physical(v.under, prefix)
	it := v.txn.NewIterator(opts)
	defer it.Close()
	hidden := len(opts.Prefix) - len(prefix)
	for it.Seek(physical(v.under, seekKey(prefix, start, reverse))); it.Valid(); it.Next() {
		item := it.Item()
		more := true
		err := item.Value(func(value []byte) error {
			more = fn(item.Key()[hidden:], value)
			return nil
		})
		if err != nil {
			panic(readFault{err})
		}
		if !more {
			return
		}
	}
}

// Cursor walks the keys of a prefix one by one, beside other readers. Close it
// before its view.
type Cursor struct{ it *badger.Iterator }

// Cursor returns a cursor at the first key with the prefix that is not before
// start.
func (v *View) Cursor(prefix, start []byte) *Cursor {
	opts := badger.DefaultIteratorOptions
	opts.PrefetchValues = false
	opts.Prefix = prefix
	c := &Cursor{v.txn.NewIterator(opts)}
	defer c.closeOnFault()
	c.it.Seek(start)
	return c
}

// closeOnFault closes a cursor that met a block that cannot be read: who made it
// may not come to do so.
func (c *Cursor) closeOnFault() {
	if r := recover(); r != nil {
		c.it.Close()
		panic(r)
	}
}

// Read appends the value of the present key to room; false behind the last key.
// The key is valid until Next.
func (c *Cursor) Read(room []byte) (key, value []byte, ok bool) {
	if !c.it.Valid() {
		return nil, room, false
	}
	defer c.closeOnFault()
	item := c.it.Item()
	value, err := item.ValueCopy(room)
	if err != nil {
		panic(readFault{err})
	}
	return item.Key(), value, true
}

// Next goes to the next key.
func (c *Cursor) Next() {
	defer c.closeOnFault()
	c.it.Next()
}

// Close releases the cursor.
func (c *Cursor) Close() { c.it.Close() }

// seekKey is where a scan begins. Badger seeks backwards to the last key not
// after the given one, so that a reverse scan of a prefix begins behind it.
func seekKey(prefix, start []byte, reverse bool) []byte {
	if start != nil {
		return start
	}
	if !reverse {
		return prefix
	}
	return append(append([]byte(nil), prefix...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
}

// readFault carries a disk's read error through code that reads.
type readFault struct{ err error }

// Guard turns a read fault into an error of kind unavailable: `defer
// store.Guard(&err)` at the doors of rooms that read.
func Guard(err *error) {
	switch r := recover().(type) {
	case nil:
	case readFault:
		*err = engine.WrapError(engine.Unavailable, r.err, "store: reading")
	case table.Unreadable:
		*err = engine.WrapError(engine.Unavailable, r.Err, "store: reading").WithHint("a file of the state folder is damaged: larkspur scrub says which, and what to do")
	default:
		panic(r)
	}
}

// badgerLog sends Badger's words to slog; its chatter is not for people.
type badgerLog struct{}

func (badgerLog) Errorf(f string, a ...any) {
	slog.Error("store", "badger", strings.TrimSpace(fmt.Sprintf(f, a...)))
}
func (badgerLog) Warningf(f string, a ...any) {
	slog.Warn("store", "badger", strings.TrimSpace(fmt.Sprintf(f, a...)))
}
func (badgerLog) Infof(f string, a ...any) {
	slog.Debug("store", "badger", strings.TrimSpace(fmt.Sprintf(f, a...)))
}
func (badgerLog) Debugf(string, ...any) {}
