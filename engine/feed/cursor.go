package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Cursors keep how far logs were read; *store.Cache is one. What is lost costs the
// lines written while Larkspur did not run.
type Cursors interface {
	Get(key string) (value []byte, found bool, err error)
	Set(key string, value []byte, ttl time.Duration) error
}

const (
	// saveEvery is how often the cursor of a log is saved while it is read.
	saveEvery = 5 * time.Second
	// cursorFor is how long it is kept.
	cursorFor = 30 * 24 * time.Hour
	// printBytes is how much of a file's beginning, and of what precedes the cursor,
	// makes its fingerprint.
	printBytes = 256
)

// cursor says how far a log was read. The file is recognised by what it holds, so
// that it is found again under another name, and on file systems that number files
// anew.
type cursor struct {
	Offset int64  `json:"offset"`
	Print  string `json:"print"`
}

// fingerprint is over the beginning of a file and what precedes an offset; "" when
// the file is shorter.
func fingerprint(f io.ReaderAt, offset int64) string {
	part := make([]byte, min(offset, printBytes))
	h := sha256.New()
	for _, at := range [...]int64{0, offset - int64(len(part))} {
		if n, _ := f.ReadAt(part, at); n < len(part) {
			return ""
		}
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// matches tells whether a file is the one that the cursor speaks of.
func (c cursor) matches(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return c.Offset >= 0 && fingerprint(f, c.Offset) == c.Print
}

// cursor returns where the tail stands.
func (t *tail) cursor() (cursor, bool) {
	if t.file == nil {
		return cursor{}, false
	}
	c := cursor{Offset: t.position()}
	c.Print = fingerprint(t.file, c.Offset)
	return c, c.Print != ""
}

// resume goes on where a cursor says, in the file itself or in one that it was
// renamed to. Without a cursor it begins at the end of the file; with one whose file
// is gone, at the beginning.
func (t *tail) resume(c cursor, found bool) {
	if !found {
		if info, err := os.Stat(t.path); err == nil {
			t.begin(t.path, info.Size()) // look tries again
		}
		return
	}
	if c.matches(t.path) {
		t.begin(t.path, c.Offset)
		return
	}
	rotated := rotatedOf(t.path)
	i := slices.IndexFunc(rotated, c.matches)
	if i < 0 {
		t.counts.drop(MissedRotation, 1)
		t.begin(t.path, 0)
		return
	}
	t.rest = rotated[i+1:]
	if _, err := os.Stat(t.path); err == nil {
		t.rest = append(t.rest, t.path)
	}
	t.begin(rotated[i], c.Offset)
}

// rotatedOf returns the files that a log was renamed to, oldest first; compressed
// ones are left out.
func rotatedOf(path string) []string {
	type rotated struct {
		path string
		at   time.Time
	}
	var files []rotated
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		name := e.Name()
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.HasPrefix(name, filepath.Base(path)) || name == filepath.Base(path) || compressed(name) {
			continue
		}
		files = append(files, rotated{filepath.Join(filepath.Dir(path), name), info.ModTime()})
	}
	slices.SortFunc(files, func(a, b rotated) int { return a.at.Compare(b.at) })
	var paths []string
	for _, f := range files {
		paths = append(paths, f.path)
	}
	return paths
}

func compressed(name string) bool {
	switch filepath.Ext(name) {
	case ".gz", ".xz", ".zst", ".bz2":
		return true
	}
	return false
}

// loadCursor reads what was saved for a log.
func loadCursor(from Cursors, key string) (c cursor, found bool) {
	if from == nil {
		return c, false
	}
	value, found, err := from.Get(key)
	if err != nil {
		slog.Warn("where a log was read to is not known: it is read from its end", "log", key, "error", err)
		return c, false
	}
	return c, found && json.Unmarshal(value, &c) == nil
}

// saveCursor saves where a tail stands.
func saveCursor(to Cursors, key string, t *tail) {
	c, ok := t.cursor()
	if to == nil || !ok {
		return
	}
	value, _ := json.Marshal(c) // of plain values: cannot fail
	if err := to.Set(key, value, cursorFor); err != nil {
		slog.Warn("where a log was read to is not saved", "log", key, "error", err)
	}
}
