package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"larkspur/engine"
)

// available returns the bytes that are free for programs without privileges:
// root's own reserve of a disk is not ours to eat. It takes 2 µs, so that
// nothing is cached.
func available(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, engine.WrapError(engine.Unavailable, err, fmt.Sprintf("the disk of %q", dir))
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// allocate gives a file blocks for its first bytes; EOPNOTSUPP where the file
// system cannot (ZFS, NFS before 4.2).
func allocate(f *os.File, bytes int64, mode uint32) error {
	for {
		err := unix.Fallocate(int(f.Fd()), mode, 0, bytes)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOSYS):
			return unix.EOPNOTSUPP
		}
		return err
	}
}

// fill writes bytes that no file system compresses away.
func fill(f *os.File, bytes int64) error {
	noise := rand.NewChaCha8([32]byte{})
	block := make([]byte, 1<<20)
	for ; bytes > 0; bytes -= int64(len(block)) {
		_, _ = noise.Read(block) // never fails
		if _, err := f.Write(block[:min(bytes, int64(len(block)))]); err != nil {
			return err
		}
	}
	return nil
}

// allocateLogs makes sure that the log of the memtable in use and that of the
// next one lie on blocks of their own. The next one is made beforehand, empty
// but allocated: Badger takes a file of length 0 for a new log and lengthens it
// in place, which keeps the blocks. Where the file system cannot allocate, the
// free space alone has to do.
func (r *reserve) allocateLogs() error {
	if !r.logs {
		return nil
	}
	if r.spare == 0 {
		active, err := r.newestLog()
		if err != nil {
			return err
		}
		if err := allocateLog(r.logPath(active), os.O_RDWR); err != nil {
			return err
		}
		return r.makeSpare(active + 1)
	}
	if sizeOf(r.logPath(r.spare)) > 0 { // Badger has taken it
		return r.makeSpare(r.spare + 1)
	}
	return nil
}

func (r *reserve) makeSpare(number int) error {
	if err := allocateLog(r.logPath(number), os.O_RDWR|os.O_CREATE|os.O_EXCL); err != nil {
		return err
	}
	r.spare = number
	return nil
}

// allocateLog allocates a log without changing its length. One that it made and
// could not allocate, it removes.
func allocateLog(path string, flags int) error {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	err = allocate(f, logBytes, unix.FALLOC_FL_KEEP_SIZE)
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = nil
	}
	err = errors.Join(err, f.Close())
	if err != nil && flags&os.O_CREATE != 0 {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

func (r *reserve) logPath(number int) string {
	return filepath.Join(r.dir, fmt.Sprintf("%05d.mem", number))
}

// newestLog returns the number of the log in use, which is the highest.
func (r *reserve) newestLog() (int, error) {
	paths, err := filepath.Glob(filepath.Join(r.dir, "*.mem"))
	if err != nil {
		return 0, err
	}
	newest := 0
	for _, path := range paths {
		var number int
		if _, err := fmt.Sscanf(filepath.Base(path), "%d.mem", &number); err == nil {
			newest = max(newest, number)
		}
	}
	if newest == 0 {
		return 0, fmt.Errorf("%q holds no memtable's log", r.dir)
	}
	return newest, nil
}

// sizeOf returns the length of a file, -1 for one that is not there.
func sizeOf(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return fi.Size()
}
