package appliance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"larkspur/appliance/config"
	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/store"
	"larkspur/scripts"
	"larkspur/ui"
	"larkspur/ui/desk"
)

// A scrub reads every file of the state folder and compares it with its
// checksums, its hashes and the signed checkpoint.

// Scrub reads the state folder of a workspace whose appliance does not run. The
// ledger store is opened only when that loses nothing.
func Scrub(ctx context.Context, dir string, progress func(desk.Scrub)) (desk.Scrub, error) {
	settings, problems := config.Load(dir)
	if scripts.HasError(problems) {
		return desk.Scrub{}, &Problems{problems}
	}
	x := &scrubbing{ctx: ctx, dir: settings.Box.Store, tell: progress, rest: func(int64) error { return nil }}
	if _, err := os.Stat(x.dir); err != nil {
		return x.now, engine.WrapError(engine.NotFound, err, "state folder")
	}
	if err := x.files(false); err != nil || x.fatal {
		return x.now, err
	}
	s, err := store.OpenLedger(filepath.Join(x.dir, "ledger"))
	if err != nil {
		return x.now, err
	}
	return x.now, errors.Join(x.ledger(s), s.Close())
}

// scrubbing is one scrub.
type scrubbing struct {
	ctx   context.Context
	dir   string
	now   desk.Scrub
	tell  func(desk.Scrub)
	rest  func(bytes int64) error // after each so many bytes
	fatal bool                    // the ledger store is not to be opened
}

func (x *scrubbing) found(subject, what, means, do string) {
	x.now.Findings = append(x.now.Findings, desk.ScrubFinding{Subject: subject, What: what, Means: means, Do: do})
	x.tell(x.now)
}

func (x *scrubbing) read(bytes int64) error {
	x.now.Bytes += bytes
	x.tell(x.now)
	if err := x.rest(bytes); err != nil {
		return err
	}
	return x.ctx.Err()
}

// files reads what needs no open store. inUse says that the appliance writes.
func (x *scrubbing) files(inUse bool) error {
	for _, folder := range []string{"ledger", "cache"} {
		damage, err := store.CheckFolder(filepath.Join(x.dir, folder), inUse, x.read)
		if errors.Is(err, fs.ErrNotExist) {
			continue // not made yet
		}
		if err != nil {
			return err
		}
		for _, d := range damage {
			x.damage(folder, d)
		}
	}
	if err := x.blobs(); err != nil {
		return err
	}
	x.keys()
	return nil
}

func (x *scrubbing) damage(folder string, d store.Damage) {
	name, _ := filepath.Rel(x.dir, d.File)
	if folder == "cache" {
		d.Means, d.Do = "the cache holds when paired browsers were last used, and nothing that decides", "nothing is lost: stop the appliance, delete the folder cache, and start it again"
	} else {
		x.fatal = x.fatal || d.Fatal
	}
	if holds := ledger.Holds(d.From, d.To); holds != "" && folder != "cache" {
		d.What += "; it holds " + holds
	}
	x.found(name, d.What, d.Means, d.Do)
}

// blobs compares each with its name, which is its SHA-256.
func (x *scrubbing) blobs() error {
	return filepath.WalkDir(filepath.Join(x.dir, "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || len(d.Name()) != 2*sha256.Size {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // collected meanwhile, or none yet
			}
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if sum := sha256.Sum256(content); err != nil || hex.EncodeToString(sum[:]) != d.Name() {
			x.found("blobs/"+d.Name()[:2]+"/"+d.Name(), "it is not what its name says", "a bundle of scripts or a large result: runs that need it stop with an error; nothing reads it as if it were whole",
				"copy this one file from a backup")
		}
		return x.read(int64(len(content)))
	})
}

func (x *scrubbing) keys() {
	if _, err := ledger.VerifierKeys(filepath.Join(x.dir, "keys", "checkpoint")); err != nil && engine.KindOf(err) != engine.NotFound {
		x.found("keys/checkpoint", engine.AsError(err).Message, "checkpoints and exports cannot be signed; the records are not affected", "copy this one file from a backup")
	}
	if _, err := os.Stat(filepath.Join(x.dir, "keys", "box")); err != nil {
		return
	}
	if err := checkKeySum(filepath.Join(x.dir, "keys", "box")); err != nil {
		x.found("keys/box", engine.AsError(err).Message, "links in mails that are out do not work with another key", engine.AsError(err).Hint)
	}
}

// ledger reads every record.
func (x *scrubbing) ledger(s *store.Store) error {
	keys, err := ledger.VerifierKeys(filepath.Join(x.dir, "keys", "checkpoint"))
	if err != nil {
		keys = nil // told by keys()
	}
	_, checkpoint := readCheckpoint(x.dir)
	var done, since uint64
	faults, more, err := ledger.Scrub(x.ctx, ledger.Scrubbing{
		Store: s, Keys: keys, Checkpoint: checkpoint, Blob: x.hasBlob,
		Progress: func(n, total uint64) {
			done, since = n, n-done
			x.now.Records, x.now.Total = n, total
		},
		Rest: func() error { return x.read(recordBytes * int64(since)) },
	})
	if err != nil {
		return err
	}
	x.now.Records = x.now.Total
	x.now.More = more
	for _, f := range faults {
		x.found(f.Subject, f.What, f.Means, f.Do)
	}
	return nil
}

// projections compares all of them with what the records give.
func (x *scrubbing) projections(compare func(context.Context) (ledger.Difference, string, error)) error {
	d, notNow, err := compare(x.ctx)
	if err != nil {
		return err
	}
	x.now.Compared, x.now.NotCompared = d.Compared, notNow
	if d.Differ > 0 {
		x.found("projections (what pages show)", fmt.Sprintf("%d of %d entries are not what the records give: %s", d.Differ, d.Compared, strings.Join(described(d), ", ")),
			"pages, lists and counters show something else than was recorded; the records are whole", "make them anew: larkspur rebuild. Please report it, with the finding")
	}
	return nil
}

func (x *scrubbing) hasBlob(sum string) bool {
	_, err := os.Stat(filepath.Join(x.dir, "blobs", sum[:min(2, len(sum))], filepath.Base(sum)))
	return !errors.Is(err, fs.ErrNotExist)
}

// recordBytes is about what a record takes.
const recordBytes = 600

// Pace of scrubs beside a working appliance.
const (
	scrubEvery       = 7 * 24 * time.Hour
	scrubFirst       = time.Hour // after a start, when one is due
	scrubBytesSecond = 16 << 20
)

// scrubber scrubs beside the working appliance: every week, and when somebody
// wishes. It implements ui.Scrubber. Safe for concurrent use.
type scrubber struct {
	dir   string // the state folder
	store *store.Store
	clock engine.Clock
	begin chan struct{} // holds one wish
	// compare compares the projections with what the records give; nil: nobody does.
	compare func(context.Context) (d ledger.Difference, notNow string, err error)

	mu  sync.Mutex // guards now
	now desk.Scrub
}

func newScrubber(dir string, s *store.Store, c engine.Clock) *scrubber {
	x := &scrubber{dir: dir, store: s, clock: c, begin: make(chan struct{}, 1)}
	if b, err := os.ReadFile(x.path()); err == nil {
		_ = json.Unmarshal(b, &x.now) // a damaged one is made anew by the next scrub
		x.now.Running = false
	}
	return x
}

// path is where the last result lies.
func (x *scrubber) path() string { return filepath.Join(x.dir, "scrub") }

// Scrub implements ui.Scrubber.
func (x *scrubber) Scrub(by string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.now.Running {
		return engine.Errorf(engine.Conflict, "a scrub is going on already: %d MB are read", x.now.Bytes>>20)
	}
	began := x.clock.Now().UTC()
	x.now = desk.Scrub{Running: true, Began: &began}
	x.begin <- struct{}{} // nobody else wishes while one is running
	slog.Info("the state folder is scrubbed", "by", by)
	return nil
}

// Scrubbing implements ui.Scrubber.
func (x *scrubber) Scrubbing() desk.Scrub {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.now
}

// Run scrubs until ctx ends.
func (x *scrubber) Run(ctx context.Context) error {
	for {
		wait, cancel := context.WithCancel(ctx)
		due := make(chan struct{})
		var timer sync.WaitGroup
		timer.Go(func() {
			defer close(due)
			_ = x.clock.Sleep(wait, x.untilDue())
		})
		select {
		case <-x.begin:
		case <-due:
			if ctx.Err() == nil && x.Scrub("schedule") == nil {
				<-x.begin
			}
		}
		cancel()
		timer.Wait()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if x.Scrubbing().Running {
			x.end(x.scrub(ctx))
		}
	}
}

func (x *scrubber) untilDue() time.Duration {
	last := x.Scrubbing().Ended
	if last == nil {
		return scrubFirst
	}
	return max(scrubFirst, scrubEvery-x.clock.Now().Sub(*last))
}

func (x *scrubber) scrub(ctx context.Context) error {
	one := &scrubbing{ctx: ctx, dir: x.dir, now: x.Scrubbing(), tell: x.tell, rest: func(bytes int64) error {
		return x.clock.Sleep(ctx, time.Duration(bytes)*time.Second/scrubBytesSecond)
	}}
	err := one.files(true)
	if err == nil {
		err = one.ledger(x.store)
	}
	if err == nil && x.compare != nil {
		err = one.projections(x.compare)
	}
	x.tell(one.now)
	return err
}

func (x *scrubber) tell(now desk.Scrub) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now = now
}

func (x *scrubber) end(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ended := x.clock.Now().UTC()
	x.now.Running, x.now.Ended = false, &ended
	if err != nil {
		x.now.Error = err.Error()
	}
	for _, f := range x.now.Findings {
		slog.Error("the scrub found damage", "subject", f.Subject, "what", f.What, "means", f.Means, "do", f.Do)
	}
	slog.Info("the scrub ended", "findings", len(x.now.Findings), "records", x.now.Records, "bytes", x.now.Bytes, "error", x.now.Error)
	b, err := engine.MarshalJSON(x.now)
	if err == nil {
		err = writeSurely(x.path(), b)
	}
	if err != nil {
		slog.Warn("the result of the scrub could not be kept", "error", err)
	}
}

// health tells of the last scrub, and of one that goes on.
func (x *scrubber) health() (c ui.Check, tell bool) {
	c = ui.Check{Name: "scrub", Status: desk.HealthOK}
	now := x.Scrubbing()
	switch {
	case len(now.Findings) > 0:
		f := now.Findings[0]
		c.Status, c.Hint = desk.HealthFail, f.Do
		c.Message = fmt.Sprintf("%d findings; %s: %s; %s", uint64(len(now.Findings))+now.More, f.Subject, f.What, f.Means)
	case now.Running:
		c.Message = fmt.Sprintf("goes on: %d MB and %d of %d records are read", now.Bytes>>20, now.Records, now.Total)
	case now.Error != "":
		c.Status, c.Message, c.Hint = desk.HealthWarn, "the last one did not end: "+now.Error, "begin again with: larkspur scrub"
	case now.Ended != nil:
		c.Message = fmt.Sprintf("%s: %d records and all files are whole", now.Ended.Format(time.DateOnly), now.Records)
	default:
		return c, false
	}
	return c, true
}

// checkKeySum compares a key of random bytes with the sum beside it, which is
// made when it is missing.
func checkKeySum(path string) error {
	key, err := os.ReadFile(path)
	if err != nil {
		return engine.WrapError(engine.Unavailable, err, "the box's key")
	}
	sum := sha256.Sum256(key)
	text := hex.EncodeToString(sum[:])
	kept, err := os.ReadFile(path + ".sum")
	if errors.Is(err, fs.ErrNotExist) {
		return writeSurely(path+".sum", []byte(text))
	}
	if err == nil && string(kept) == text {
		return nil
	}
	return engine.Errorf(engine.Internal, "the box's key %q is not the one whose sum lies beside it", path).
		WithHint("copy keys/box and keys/box.sum from a backup; or delete both: links in mails that are out, and codes that were just sent, stop working; nothing else is lost")
}
