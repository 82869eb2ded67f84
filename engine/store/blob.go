package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"larkspur/engine"
)

// Blobs keeps content-addressed files: bundles, large results, attachments. A
// blob is on the disk before the record that names it. Safe for concurrent use.
type Blobs struct {
	dir     string
	reserve *reserve

	mu sync.Mutex // guards what follows, and removing against keeping
	// fresh are blobs that this process kept lately, by when: the record that
	// names one may still be on its way.
	fresh   map[string]fresh
	writing int // Puts under way, each with a temporary file
}

type fresh struct {
	last time.Time
	puts int
}

// freshFor is how long a blob is safe without a record that names it.
const freshFor = 24 * time.Hour

// MaxBlobBytes bounds one blob.
const MaxBlobBytes = 64 << 20

// OpenBlobs opens the folder of blobs, made if need be.
func OpenBlobs(dir string) (*Blobs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "blobs")
	}
	return &Blobs{dir: dir, reserve: &reserve{what: "blobs", dir: dir}, fresh: map[string]fresh{}}, nil
}

func (b *Blobs) path(sum string) string { return filepath.Join(b.dir, sum[:2], sum) }

// Put stores content and returns its hex SHA-256. The file and its folder are
// synced when it returns. On a nearly full disk it is refused like a commit.
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
	if err := b.reserve.admit(false); err != nil {
		return "", err
	}
	if err := b.write(sum, content); err != nil {
		return "", engine.WrapError(engine.Unavailable, err, "blob "+sum[:12])
	}
	return sum, nil
}

// begin makes a blob safe from collection, and forgets which were so long ago.
func (b *Blobs) begin(sum string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(b.fresh, func(_ string, f fresh) bool { return now.Sub(f.last) > freshFor })
	b.fresh[sum] = fresh{now, b.fresh[sum].puts + 1}
	b.writing++
}

func (b *Blobs) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing--
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

// Collect removes every file that no record names: blobs that used does not
// contain, and what a crash left of writing one. Blobs that this process kept
// within a day stay. used must have been read after the last Put of which it
// does not know.
func (b *Blobs) Collect(used map[string]bool) (held Held, err error) {
	err = filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		fi, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		gone, err := b.removeUnless(used, path, d.Name())
		if gone {
			held.Removed++
			held.Freed += fi.Size()
			return err
		}
		held.Files++
		held.Bytes += fi.Size()
		return err
	})
	if err != nil {
		return held, engine.WrapError(engine.Unavailable, err, "collecting blobs")
	}
	return held, nil
}

func (b *Blobs) removeUnless(used map[string]bool, path, name string) (gone bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, fresh := b.fresh[name]
	temporary := strings.HasPrefix(name, incoming)
	if used[name] || fresh || temporary && b.writing > 0 {
		return false, nil
	}
	if raw, err := hex.DecodeString(name); !temporary && (err != nil || len(raw) != sha256.Size) {
		return false, nil // not ours
	}
	return true, ignoreGone(os.Remove(path))
}

// Remove deletes a blob that only erased records named, so many of them; a
// missing one is no error. One that was put more often lately stays, and false
// comes back: a record that names it may be on its way. A later Collect decides.
func (b *Blobs) Remove(sum string, records int) (gone bool, err error) {
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != sha256.Size {
		return false, engine.Errorf(engine.Invalid, "blob: %q is not a SHA-256", sum)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fresh[sum].puts > records {
		return false, nil
	}
	if err := ignoreGone(os.Remove(b.path(sum))); err != nil {
		return false, engine.WrapError(engine.Unavailable, err, "blob "+sum[:12])
	}
	delete(b.fresh, sum)
	return true, nil
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
