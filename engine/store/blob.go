package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"larkspur/engine"
)

// Blobs keeps content-addressed files: bundles, large results, attachments. A
// blob is on the disk before the record that names it. Safe for concurrent use.
type Blobs struct {
	dir     string
	reserve *reserve
}

// MaxBlobBytes bounds one blob.
const MaxBlobBytes = 64 << 20

// OpenBlobs opens the folder of blobs, made if need be.
func OpenBlobs(dir string) (*Blobs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "blobs")
	}
	return &Blobs{dir: dir, reserve: &reserve{what: "blobs", dir: dir}}, nil
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

func (b *Blobs) write(sum string, content []byte) error {
	dir := filepath.Dir(b.path(sum))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(b.dir, "incoming-*")
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
