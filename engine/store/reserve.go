package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"larkspur/engine"
)

// A full disk is a fault that Badger does not survive: it writes through mapped
// files with holes, and a page that the disk has no room for is a SIGBUS. So
// nothing is written that could meet one:
//
//   - The log of the memtable in use, and of the next one, are allocated in full
//     before anything is committed to them. A commit needs no new block,
//     whatever other programs do to the disk meanwhile.
//   - Commits are refused while less is free than what Badger's own work after
//     them may need: flushing a memtable, compacting tables.
//   - The ballast, a file without meaning, is given back to the disk when the
//     store could not be opened (or closed) otherwise.

// Sizes of the reserve. Flushing and compacting while appending at full speed
// took 48 MB for a moment at most (docs/RELIABILITY.md); twice that is kept.
const (
	refuseBelow = 96 << 20
	// resumeAbove is more, so that a disk at the edge does not flap.
	resumeAbove = 128 << 20
	// warnBelow is when the status page begins to warn.
	warnBelow = 320 << 20
	// ballastBytes cover openBytes and the compactions that opening begins.
	ballastBytes = 96 << 20
	// openBytes are what opening the ledger store may take: both logs, and three
	// memtables that the process before did not flush; and the same again for
	// the cache store, which opens after it.
	openBytes      = 72 << 20
	openCacheBytes = 16 << 20
	// closeBytes are what the last flush takes.
	closeBytes = 32 << 20
	// logBytes is how long a memtable's log gets: Badger begins the next one
	// before the first transaction after memTableBytes.
	logBytes = memTableBytes + maxCommitBytes + 1<<20
)

const ballastName = "ballast"

// Disk tells how much room a store has.
type Disk struct {
	Dir  string
	Free int64 // bytes that a program without privileges may take
	Need int64 // writes are refused below so many bytes
	// Low is set before writes are refused, Full while they are.
	Low, Full bool
	// Ballast is false while the ballast is given up.
	Ballast bool
	// Err says why nothing is written, with the remedy; nil unless Full.
	Err error
}

// reserve watches the disk of one folder. Safe for concurrent use.
type reserve struct {
	what    string // for people: "ledger store", "blobs"
	dir     string
	ballast bool // whether this folder keeps one
	logs    bool // whether memtables lie here

	mu       sync.Mutex // guards what follows
	refusing bool
	missing  bool // the ballast is given up, or was never made
	spare    int  // number of the allocated next log; 0 before there is one
}

// admit returns nil when a write may begin, and otherwise an error with the
// cause CauseNoRoom: nothing was written. essential is for the few small writes
// without which a store cannot open or a person cannot sign out: they need only
// the room that is allocated already.
func (r *reserve) admit(essential bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	free, err := available(r.dir)
	if err != nil {
		return err
	}
	lack := r.lack(free)
	if lack == nil || essential {
		if err := r.allocateLogs(); err != nil {
			lack, essential = r.refusal(free, err), false
		}
	}
	r.turn(lack, free)
	if essential {
		return nil
	}
	return lack
}

// lack says why there is no room, if so; it makes the ballast again when there
// is room for it too.
func (r *reserve) lack(free int64) error {
	if free < r.need() {
		return r.refusal(free, nil)
	}
	if r.ballast && r.missing {
		if err := makeBallast(r.dir); err != nil {
			return r.refusal(free, err)
		}
		r.missing = false
	}
	return nil
}

// need is how many bytes must be free for writes to be taken.
func (r *reserve) need() int64 {
	switch {
	case r.ballast && r.missing:
		return resumeAbove + ballastBytes
	case r.refusing:
		return resumeAbove
	}
	return refuseBelow
}

// turn notes whether writes are refused, and says so when that changes.
func (r *reserve) turn(lack error, free int64) {
	switch refusing := lack != nil; {
	case refusing && !r.refusing:
		slog.Error("writes are refused until the disk has room, reading goes on", "error", lack)
	case !refusing && r.refusing:
		slog.Info("the disk has room again: writes are taken", "store", r.what, "dir", r.dir, "free_bytes", free)
	}
	r.refusing = lack != nil
}

// refusal is the error of a write that did not begin. cause is what the file
// system said when the reserve was to be allocated, if it was asked.
func (r *reserve) refusal(free int64, cause error) error {
	limit := max(r.need(), resumeAbove)
	e := engine.Errorf(engine.Unavailable, "%s: the disk of %q is nearly full: %s free", r.what, r.dir, inMB(free))
	if cause != nil {
		e = engine.Errorf(engine.Unavailable, "%s: the disk of %q gives no room: %w", r.what, r.dir, cause)
	}
	return e.WithCause(engine.CauseNoRoom).
		WithHint("free space there until df shows at least %s; writing then goes on by itself, without a restart, and reading works meanwhile", inMB(limit))
}

// inMB rounds up, so that doing what a hint says suffices.
func inMB(bytes int64) string { return fmt.Sprintf("%d MB", (max(bytes, 0)+1<<20-1)>>20) }

// disk tells how things stand now.
func (r *reserve) disk() (Disk, error) {
	err := r.admit(false)
	free, statErr := available(r.dir)
	if statErr != nil {
		return Disk{}, statErr
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return Disk{Dir: r.dir, Free: free, Need: r.need(), Low: free < warnBelow, Full: err != nil, Ballast: !r.missing, Err: err}, nil
}

// makeRoom is called before Badger opens the folder: on a full disk it gives the
// ballast up, and when even that is too little, it says so rather than let the
// process die.
func (r *reserve) makeRoom(bytes int64) error {
	r.missing = r.ballast && !intactBallast(r.dir)
	free, err := available(r.dir)
	if err != nil || free >= bytes {
		return err
	}
	if free, err = r.giveUpBallast(free); err != nil || free >= bytes {
		return err
	}
	return engine.Errorf(engine.Unavailable, "%s: the disk of %q is full: %s free, opening needs %s", r.what, r.dir, inMB(free), inMB(bytes)).
		WithCause(engine.CauseNoRoom).
		WithHint("free at least %s there (df shows it) and start again", inMB(bytes-free))
}

// giveUpBallast returns what is free then.
func (r *reserve) giveUpBallast(free int64) (int64, error) {
	if !r.ballast {
		return free, nil
	}
	r.missing = true
	err := os.Remove(filepath.Join(r.dir, ballastName))
	if errors.Is(err, os.ErrNotExist) {
		return free, nil
	}
	if err = errors.Join(err, syncDir(r.dir)); err != nil { // the sync makes the blocks usable
		return free, engine.WrapError(engine.Unavailable, err, r.what+": giving up the ballast")
	}
	slog.Warn("the disk is full: the ballast is given up", "store", r.what, "dir", r.dir, "free_bytes", free)
	return available(r.dir)
}

// beforeClose makes room for the last flush. Nothing may be written after it.
func (r *reserve) beforeClose() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	free, err := available(r.dir)
	if err != nil || free >= closeBytes {
		return err
	}
	_, err = r.giveUpBallast(free)
	return err
}

// afterClose removes the log that was never used, and keeps the ballast for the
// next opening when it still fits.
func (r *reserve) afterClose() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if path := r.logPath(r.spare); r.spare > 0 && sizeOf(path) == 0 {
		err = os.Remove(path)
	}
	if r.ballast && r.missing {
		r.missing = makeBallast(r.dir) != nil // too little room: the next opening says so
	}
	return err
}

func intactBallast(dir string) bool {
	fi, err := os.Stat(filepath.Join(dir, ballastName))
	return err == nil && fi.Size() == ballastBytes
}

// makeBallast makes the ballast of really allocated blocks, or nothing.
func makeBallast(dir string) error {
	path := filepath.Join(dir, ballastName)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = allocate(f, ballastBytes, 0)
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = fill(f, ballastBytes)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(path+".new"))
	}
	return nil
}
