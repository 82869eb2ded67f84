package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"larkspur/engine"
)

// Snapshot is a ledger store as it was before an upgrade or a rollback, in a
// folder beside it. Files that never change are hard links and take no room of
// their own until the store no longer needs them.
type Snapshot struct {
	Name   string    `json:"name"`
	Made   time.Time `json:"made"`
	Schema int       `json:"schema"`
	Why    string    `json:"why"`
	// Bytes is what removing it frees.
	Bytes int64 `json:"bytes"`
}

const (
	snapshotsName = "snapshots"
	aboutName     = "about" // of a snapshot: itself, as JSON
	partSuffix    = ".part" // of one that is being made or removed
)

func snapshotsDir(dir string) string { return filepath.Join(filepath.Dir(dir), snapshotsName) }

// newName returns a name that no snapshot has.
func (u *upgrade) newName(schema int, end string) string {
	first := fmt.Sprintf("%s-schema-%d%s", u.now.UTC().Format("2006-01-02T15-04-05Z"), schema, end)
	name := first
	for n := 2; sizeOf(filepath.Join(snapshotsDir(u.dir), name)) >= 0; n++ {
		name = fmt.Sprintf("%s-%d", first, n)
	}
	return name
}

// keep makes a snapshot of a store that nobody has open. It is there as a whole,
// or not at all.
func (u *upgrade) keep(schema int, why string) (Snapshot, error) {
	files, err := os.ReadDir(u.dir)
	if err != nil {
		return Snapshot{}, err
	}
	if err := roomToCopy(u.dir, files); err != nil {
		return Snapshot{}, err
	}
	s := Snapshot{Name: u.newName(schema, ""), Made: u.now.Truncate(time.Second), Schema: schema, Why: why}
	path := filepath.Join(snapshotsDir(u.dir), s.Name)
	part := path + partSuffix
	if err := os.MkdirAll(part, 0o700); err != nil {
		return s, err
	}
	for _, f := range files {
		if !belongs(f) {
			continue
		}
		if err := u.reached("file " + f.Name()); err != nil {
			return s, err
		}
		if err := keepFile(filepath.Join(u.dir, f.Name()), filepath.Join(part, f.Name())); err != nil {
			return s, err
		}
	}
	about, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	if err := u.reached("about"); err != nil {
		return s, err
	}
	if err := errors.Join(writeSynced(filepath.Join(part, aboutName), append(about, '\n')), syncDir(part)); err != nil {
		return s, err
	}
	if err := u.reached("name"); err != nil {
		return s, err
	}
	if err := os.Rename(part, path); err != nil {
		return s, err
	}
	return s, errors.Join(syncDir(snapshotsDir(u.dir)), syncDir(filepath.Dir(u.dir)))
}

// belongs tells files of a store from those that are made anew.
func belongs(f os.DirEntry) bool {
	return f.Type().IsRegular() && f.Name() != ballastName && f.Name() != "LOCK" && f.Name() != aboutName && !strings.HasSuffix(f.Name(), ".new")
}

// immutable tells files that Badger writes once.
func immutable(name string) bool { return filepath.Ext(name) == ".sst" }

// roomToCopy returns nil when the disk has room for the files that are no links.
func roomToCopy(dir string, files []os.DirEntry) error {
	free, err := available(dir)
	if err != nil {
		return err
	}
	need := int64(refuseBelow)
	for _, f := range files {
		if belongs(f) && !immutable(f.Name()) {
			need += blocksOf(filepath.Join(dir, f.Name()))
		}
	}
	if free >= need {
		return nil
	}
	return engine.Errorf(engine.Unavailable, "the disk of %q has %s free, too little for a snapshot", dir, inMB(free)).
		WithCause(engine.CauseNoRoom).WithHint("free space there until df shows at least %s, and start again; nothing was changed", inMB(need))
}

// blocksOf is what a file takes on the disk, without its holes.
func blocksOf(path string) int64 {
	var s unix.Stat_t
	if unix.Stat(path, &s) != nil {
		return 0
	}
	return s.Blocks * 512
}

// keepFile links a file that never changes, and copies any other.
func keepFile(from, to string) error {
	if immutable(from) {
		err := os.Link(from, to)
		if err == nil || errors.Is(err, os.ErrExist) {
			return err
		} // a file system without links
	}
	return copyFile(from, to)
}

// copyFile copies a file with its holes, and syncs it.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(copyBlocks(out, in), out.Sync(), out.Close())
}

func copyBlocks(out *os.File, in io.Reader) error {
	block, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	at := int64(0)
	for {
		n, err := io.ReadFull(in, block)
		if n > 0 && !bytes.Equal(block[:n], zeros[:n]) {
			if _, err := out.WriteAt(block[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return out.Truncate(at)
		case err != nil:
			return err
		}
	}
}

// Snapshots lists the snapshots of the ledger store in dir, oldest first.
func Snapshots(dir string) ([]Snapshot, error) {
	entries, err := os.ReadDir(snapshotsDir(dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, engine.WrapError(engine.Unavailable, err, "snapshots")
	}
	var list []Snapshot
	for _, e := range entries {
		if !e.IsDir() || strings.HasSuffix(e.Name(), partSuffix) {
			continue
		}
		s, err := readSnapshot(filepath.Join(snapshotsDir(dir), e.Name()))
		if err != nil {
			return nil, engine.WrapError(engine.Unavailable, err, "snapshots")
		}
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(a, b Snapshot) int { return a.Made.Compare(b.Made) })
	return list, nil
}

// readSnapshot reads what a snapshot says of itself. One that says nothing is
// what a rollback took out of force when the power went out.
func readSnapshot(path string) (s Snapshot, err error) {
	b, err := os.ReadFile(filepath.Join(path, aboutName))
	if err != nil || json.Unmarshal(b, &s) != nil {
		s.Why = "it says nothing of itself"
		if s.Schema, err = schemaOf(path); err != nil {
			return s, err
		}
		fi, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		s.Made = fi.ModTime().UTC()
	}
	s.Name = filepath.Base(path)
	s.Bytes, err = ownBytes(path)
	return s, err
}

// ownBytes is what the files take that nothing else links to.
func ownBytes(dir string) (sum int64, err error) {
	files, err := os.ReadDir(dir)
	for _, f := range files {
		fi, err := f.Info()
		if err != nil {
			return 0, err
		}
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Nlink == 1 {
			sum += st.Blocks * 512
		}
	}
	return sum, err
}

func findSnapshot(dir, name string) (Snapshot, error) {
	list, err := Snapshots(dir)
	if err != nil {
		return Snapshot{}, err
	}
	var names []string
	for _, s := range list {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	e := engine.Errorf(engine.NotFound, "snapshot %q: there is none", name)
	if len(names) > 0 {
		e = e.WithHint("there is: %s", strings.Join(names, ", "))
	}
	return Snapshot{}, e
}

// RemoveSnapshot removes a snapshot of the ledger store in dir.
func RemoveSnapshot(dir, name string) error {
	s, err := findSnapshot(dir, name)
	if err != nil {
		return err
	}
	path := filepath.Join(snapshotsDir(dir), s.Name)
	err = os.Rename(path, path+partSuffix) // half of one is none
	if err == nil {
		err = os.RemoveAll(path + partSuffix)
	}
	if err != nil {
		return engine.WrapError(engine.Unavailable, err, "snapshot "+s.Name)
	}
	return nil
}

// removeParts removes what is left of snapshots that were not finished.
func removeParts(dir string) error {
	parts, err := filepath.Glob(filepath.Join(snapshotsDir(dir), "*"+partSuffix))
	for _, path := range parts {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// RollBack puts a snapshot in the place of the ledger store in dir, which nobody
// may have open, and keeps what was there as a snapshot of its own. What is in
// force is the one or the other at any moment.
func RollBack(dir, name string) (kept Snapshot, err error) {
	return rollBack(upgradeNow(dir), name)
}

func rollBack(u *upgrade, name string) (kept Snapshot, err error) {
	back, err := findSnapshot(u.dir, name)
	if err != nil {
		return kept, err
	}
	unlock, err := lock(u.dir)
	if err != nil {
		return kept, err
	}
	defer unlock()
	if kept, err = u.exchange(back); err != nil {
		return kept, engine.WrapError(engine.Unavailable, err, "rolling back to "+back.Name)
	}
	return kept, nil
}

// unshare makes the files of a snapshot its own: a former program may empty a
// file before it removes its name.
func (u *upgrade) unshare(path string) error {
	files, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	if err := roomToUnshare(path, files); err != nil {
		return err
	}
	for _, f := range files {
		if !immutable(f.Name()) {
			continue
		}
		if err := u.reached("own " + f.Name()); err != nil {
			return err
		}
		name := filepath.Join(path, f.Name())
		if err := os.Remove(name + ".new"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := copyFile(name, name+".new"); err != nil {
			return err
		}
		if err := os.Rename(name+".new", name); err != nil {
			return err
		}
	}
	return syncDir(path)
}

func roomToUnshare(path string, files []os.DirEntry) error {
	free, err := available(path)
	if err != nil {
		return err
	}
	need := int64(refuseBelow)
	for _, f := range files {
		if immutable(f.Name()) {
			need += blocksOf(filepath.Join(path, f.Name()))
		}
	}
	if free >= need {
		return nil
	}
	return engine.Errorf(engine.Unavailable, "the disk of %q has %s free, too little to put a snapshot back", path, inMB(free)).
		WithCause(engine.CauseNoRoom).WithHint("free space there until df shows at least %s, and try again; nothing was changed", inMB(need))
}

func (u *upgrade) exchange(back Snapshot) (kept Snapshot, err error) {
	schema, err := schemaOf(u.dir)
	if err != nil {
		return kept, err
	}
	kept = Snapshot{
		Name: u.newName(schema, "-rolled-back"), Made: u.now.Truncate(time.Second), Schema: schema, Why: "rolled back to " + back.Name,
	}
	about, err := json.Marshal(kept)
	if err != nil {
		return kept, err
	}
	path := filepath.Join(snapshotsDir(u.dir), back.Name)
	if err := u.unshare(path); err != nil {
		return kept, err
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"about", func() error { return writeSynced(filepath.Join(u.dir, aboutName), append(about, '\n')) }},
		{"exchange", func() error { return unix.Renameat2(unix.AT_FDCWD, u.dir, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE) }},
		{"sync", func() error { return errors.Join(syncDir(snapshotsDir(u.dir)), syncDir(filepath.Dir(u.dir))) }},
		{"forget", func() error { return os.Remove(filepath.Join(u.dir, aboutName)) }},
		{"name", func() error { return os.Rename(path, filepath.Join(snapshotsDir(u.dir), kept.Name)) }},
	} {
		if err := u.reached(step.name); err != nil {
			return kept, err
		}
		if err := step.do(); err != nil {
			return kept, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return kept, syncDir(snapshotsDir(u.dir))
}
