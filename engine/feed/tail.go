package feed

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// maxLine bounds a line: an AdGuard Home one holds a message of 64 KiB as
	// base64, twice.
	maxLine = 256 << 10
	// readSize is how much of a file is read at once.
	readSize = 64 << 10
	// pollEvery is how often a file is looked at even when the system tells of no
	// change, as it does not for network and some bind mounts.
	pollEvery = time.Second
	// lingerFor is how long a file that was renamed away is read on: its writer
	// learns of the new one a little later.
	lingerFor = time.Second
)

// errQuiet says that no line came within the time given.
var errQuiet = errors.New("no line yet")

// tail gives the lines of a file that grows, is renamed away and begun anew, is
// copied and truncated, or is not there yet. Not safe for concurrent use.
type tail struct {
	path   string
	counts *counts
	notify *fsnotify.Watcher // nil: poll alone
	rest   []string          // rotated files still to be read, before path

	file     *os.File // nil: none is there
	info     os.FileInfo
	buf      []byte // read and not given yet
	offset   int64  // in file, of the end of buf
	last     []byte // what precedes offset, to recognise the file by
	idle     bool   // the end was reached: look before reading on
	skipping bool   // within a line that is too long
	leaving  time.Time
}

// openTail begins to watch; a file need not be there.
func openTail(path string, c *counts) *tail {
	t := &tail{path: filepath.Clean(path), counts: c}
	if w, err := fsnotify.NewWatcher(); err == nil {
		if w.Add(filepath.Dir(t.path)) == nil {
			t.notify = w
		} else {
			w.Close()
		}
	}
	return t
}

// begin opens a file at an offset.
func (t *tail) begin(path string, offset int64) error {
	t.leave()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return err
	}
	t.file, t.info, t.offset, t.last = f, info, offset, before(f, offset)
	return nil
}

// leave closes the file; what there is of a line is lost.
func (t *tail) leave() {
	if len(t.buf) > 0 || t.skipping {
		t.counts.drop(HalfLine, 1)
	}
	if t.file != nil {
		t.file.Close()
	}
	t.file, t.info, t.buf, t.last, t.offset = nil, nil, t.buf[:0], nil, 0
	t.idle, t.skipping, t.leaving = false, false, time.Time{}
}

// markBytes is by how much of what precedes an offset a file is recognised.
const markBytes = 64

// before returns what precedes an offset in a file.
func before(f io.ReaderAt, offset int64) []byte {
	mark := make([]byte, min(offset, markBytes))
	n, _ := f.ReadAt(mark, offset-int64(len(mark)))
	return mark[:n]
}

// position is where in the file the next line begins.
func (t *tail) position() int64 { return t.offset - int64(len(t.buf)) }

// next returns the next line without its end, valid until the following call. It
// waits for one until ctx ends, or for as long as patience says, if that is not 0,
// and returns errQuiet then.
func (t *tail) next(ctx context.Context, patience time.Duration) ([]byte, error) {
	began := time.Now()
	for {
		if line, ok := t.cutLine(); ok {
			t.counts.taken(len(line) + 1)
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if t.read() || t.look() {
			continue
		}
		wait := pollEvery
		if patience > 0 {
			wait = min(wait, patience-time.Since(began))
		}
		if wait <= 0 {
			return nil, errQuiet
		}
		if err := t.wait(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// cutLine takes the next whole line out of the buffer.
func (t *tail) cutLine() (line []byte, ok bool) {
	for {
		i := bytes.IndexByte(t.buf, '\n')
		if i < 0 {
			if len(t.buf) > maxLine {
				t.buf, t.skipping = t.buf[:0], true
			}
			return nil, false
		}
		line, t.buf = t.buf[:i], t.buf[i+1:]
		if !t.skipping && i <= maxLine {
			return line, true
		}
		t.skipping = false
		t.counts.taken(len(line) + 1)
		t.counts.drop(TooLong, 1)
	}
}

// read takes in what follows in the file; false at its end.
func (t *tail) read() bool {
	if t.file == nil {
		return false
	}
	if t.idle && !t.grown() {
		return false
	}
	t.buf = append(make([]byte, 0, len(t.buf)+readSize), t.buf...)
	n, err := t.file.Read(t.buf[len(t.buf):cap(t.buf)])
	if n == 0 || (err != nil && err != io.EOF) {
		t.idle = true
		return false
	}
	t.buf = t.buf[:len(t.buf)+n]
	t.offset += int64(n)
	t.idle, t.leaving = false, time.Time{}
	t.last = append(t.last, t.buf[len(t.buf)-n:]...)
	t.last = append(t.last[:0:0], t.last[max(0, len(t.last)-markBytes):]...)
	return true
}

// grown tells whether there is more in the file than was read. Where what precedes
// the offset is not what was read, the file was truncated, and it begins anew.
func (t *tail) grown() bool {
	info, err := t.file.Stat()
	if err != nil || info.Size() == t.offset {
		return false
	}
	more := info.Size() > t.offset
	if more && bytes.Equal(before(t.file, t.offset), t.last) {
		return true
	}
	if more {
		t.counts.drop(MissedRotation, 1) // who knows what stood there in between
	}
	t.restart()
	return true
}

// restart reads the file from its beginning.
func (t *tail) restart() {
	if len(t.buf) > 0 || t.skipping {
		t.counts.drop(HalfLine, 1)
	}
	t.file.Seek(0, io.SeekStart) // of a file that was read: cannot fail
	t.offset, t.buf, t.last, t.skipping, t.idle = 0, t.buf[:0], nil, false, false
}

// look finds out, at the end of the file, whether another one takes its place; true
// when there may be more to read.
func (t *tail) look() bool {
	info, err := os.Stat(t.path)
	if t.file == nil {
		return err == nil && t.begin(t.path, 0) == nil
	}
	if len(t.rest) > 0 {
		next := t.rest[0]
		t.rest = t.rest[1:]
		return t.begin(next, 0) == nil
	}
	if err != nil || os.SameFile(info, t.info) {
		t.leaving = time.Time{}
		return false
	}
	if t.leaving.IsZero() {
		t.leaving = time.Now()
	}
	if time.Since(t.leaving) < lingerFor {
		return false
	}
	next := t.since()
	t.rest = next[1:]
	return t.begin(next[0], 0) == nil
}

// since returns the files that followed the one that is read: a log may be rotated
// again before we are done with it.
func (t *tail) since() []string {
	files := rotatedOf(t.path)
	for i, path := range files {
		if info, err := os.Stat(path); err == nil && os.SameFile(info, t.info) {
			return append(files[i+1:], t.path)
		}
	}
	return []string{t.path}
}

// behind is how many bytes of the file were not given yet.
func (t *tail) behind() int64 {
	if t.file == nil {
		return 0
	}
	info, err := t.file.Stat()
	if err != nil {
		return 0
	}
	return max(0, info.Size()-t.position())
}

// wait waits until the folder tells of the file, but not longer than most.
func (t *tail) wait(ctx context.Context, most time.Duration) error {
	timer := time.NewTimer(most)
	defer timer.Stop()
	var events chan fsnotify.Event
	var lost chan error
	if t.notify != nil {
		events, lost = t.notify.Events, t.notify.Errors
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case e := <-events:
			if filepath.Base(e.Name) == filepath.Base(t.path) && e.Op != fsnotify.Chmod {
				return nil
			}
		case <-lost: // events were lost: look
			return nil
		}
	}
}

// close ends the watch.
func (t *tail) close() {
	if t.file != nil {
		t.file.Close()
		t.file = nil
	}
	if t.notify != nil {
		t.notify.Close()
		t.notify = nil
	}
}
