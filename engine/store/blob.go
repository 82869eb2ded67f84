package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"larkspur/engine"
)

// Blobs keeps content-addressed files: bundles, large results, attachments. A
// blob is on the disk before the record that names it. Safe for concurrent use.
type Blobs struct {
	dir     string
	reserve *reserve

	mu sync.Mutex // guards what follows, and removing against keeping
	// kept are blobs whose record is still on its way, by how often they were put.
	kept map[string]int
	// late are blobs that were released while somebody sweeps, by the release's
	// number: the records that were read then may not show who names them.
	late     map[string]int
	releases int
	sweeps   int // under way
	writing  int // Puts under way, each with a temporary file
}

// MaxBlobBytes bounds one blob.
const MaxBlobBytes = 64 << 20

// OpenBlobs opens the folder of blobs, made if need be.
func OpenBlobs(dir string) (*Blobs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "blobs")
	}
	return &Blobs{dir: dir, reserve: &reserve{what: "blobs", dir: dir}, kept: map[string]int{}, late: map[string]int{}}, nil
}

func (b *Blobs) path(sum string) string { return filepath.Join(b.dir, sum[:2], sum) }

// Put stores content and returns its hex SHA-256. The file and its folder are
// synced when it returns. On a nearly full disk it is refused like a commit. No
// sweep removes it before Release was called as often as Put.
func (b *Blobs) Put(content []byte) (string, error) {
	if len(content) > MaxBlobBytes {
		return "", engine.Errorf(engine.Invalid, "blob: %d bytes, at most %d", len(content), MaxBlobBytes)
	}
	hash := sha256.Sum256(content)
	sum := hex.EncodeToString(hash[:])
	b.begin(sum)
	defer b.end()
	if _, err := os.Stat(b.path(sum)); err == nil {
		return sum, nil
	}
	err := b.reserve.admit(false)
	if err == nil {
		if err = b.write(sum, content); err != nil {
			err = engine.WrapError(engine.Unavailable, err, "blob "+sum[:12])
		}
	}
	if err != nil {
		b.Release(sum)
		return "", err
	}
	return sum, nil
}

// begin makes a blob safe from sweeps, before it is known whether it is there.
func (b *Blobs) begin(sum string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept[sum]++
	b.writing++
}

func (b *Blobs) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing--
}

// Release says that the record for which a blob was put is written, or will never
// be. One that is not released stays until the process ends.
func (b *Blobs) Release(sum string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept[sum]--; b.kept[sum] <= 0 {
		delete(b.kept, sum)
	}
	if b.sweeps > 0 {
		b.releases++
		b.late[sum] = b.releases
	}
}

func (b *Blobs) write(sum string, content []byte) error {
	dir := filepath.Dir(b.path(sum))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(b.dir, incoming+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), b.path(sum)); err != nil {
		return err
	}
	return errors.Join(syncDir(dir), syncDir(b.dir))
}

// incoming begins the names of temporary files.
const incoming = "incoming-"

// Held says what lies in the folder, and what a collection removed.
type Held struct {
	Files   int   `json:"files"`
	Bytes   int64 `json:"bytes"`
	Removed int   `json:"removed"`
	Freed   int64 `json:"freed"`
}

// Sweep is one look for blobs that nobody needs. Begin it before the records are
// read that say which are needed, and end it.
type Sweep struct {
	blobs *Blobs
	began int // releases before it
}

// Sweep begins one.
func (b *Blobs) Sweep() *Sweep {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweeps++
	return &Sweep{b, b.releases}
}

// End ends a sweep.
func (w *Sweep) End() {
	w.blobs.mu.Lock()
	defer w.blobs.mu.Unlock()
	if w.blobs.sweeps--; w.blobs.sweeps == 0 {
		clear(w.blobs.late)
	}
}

// Collect removes every file that no record names: blobs that used does not
// contain, and what a crash left of writing one. Blobs whose record is on its way,
// or came after the sweep began, stay.
//
// When it returns, what it removed does not come back after a power cut.
func (w *Sweep) Collect(used map[string]bool) (held Held, err error) {
	changed := map[string]bool{}
	err = filepath.WalkDir(w.blobs.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		fi, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		gone, err := w.removeUnless(used, path, d.Name())
		if gone {
			held.Removed++
			held.Freed += fi.Size()
			changed[filepath.Dir(path)] = true
			return err
		}
		held.Files++
		held.Bytes += fi.Size()
		return err
	})
	for dir := range changed {
		err = errors.Join(err, syncDir(dir))
	}
	if err != nil {
		return held, engine.WrapError(engine.Unavailable, err, "collecting blobs")
	}
	return held, nil
}

func (w *Sweep) removeUnless(used map[string]bool, path, name string) (gone bool, err error) {
	b := w.blobs
	b.mu.Lock()
	defer b.mu.Unlock()
	temporary := strings.HasPrefix(name, incoming)
	if used[name] || b.kept[name] > 0 || b.late[name] > w.began || temporary && b.writing > 0 {
		return false, nil
	}
	if raw, err := hex.DecodeString(name); !temporary && (err != nil || len(raw) != sha256.Size) {
		return false, nil // not ours
	}
	return true, ignoreGone(os.Remove(path))
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Get returns a blob's content and verifies it; not_found for an unknown sum.
func (b *Blobs) Get(sum string) ([]byte, error) {
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != sha256.Size {
		return nil, engine.Errorf(engine.Invalid, "blob: %q is not a SHA-256", sum)
	}
	content, err := os.ReadFile(b.path(sum))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, engine.Errorf(engine.NotFound, "blob %s: not here", sum[:12])
	}
	if err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "blob "+sum[:12])
	}
	if hash := sha256.Sum256(content); hex.EncodeToString(hash[:]) != sum {
		return nil, engine.Errorf(engine.Internal, "blob %s: its content was changed on the disk", sum[:12])
	}
	return content, nil
}
