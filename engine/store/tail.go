package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
)

// logHeaderBytes begin each of Badger's logs: the key's id and the IV.
const logHeaderBytes = 20

// mendLogs makes the logs of memtables what can be opened and trusted. It cuts
// them where what a power cut left behind the last synced entry cannot be the
// head of an entry. Badger would refuse to open
// such a log (a varint that overflows), or make a buffer of the length that it
// finds there, up to 4 GB. It ends the log at the same place or before: nothing
// that was synced is behind it.
func mendLogs(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		end, broken, err := readable(path)
		if err != nil {
			return err
		}
		if broken {
			slog.Info("cutting off what a crash left behind the end of a log", "file", filepath.Base(path), "at", end)
			if err := os.Truncate(path, end); err != nil {
				return err
			}
		}
		if err := writeAgain(path, end); err != nil {
			return err
		}
	}
	return nil
}

// writeAgain puts on the disk what can be read of a log. After a sync that failed
// the kernel takes pages for clean that never reached the disk: what is read
// before the next power cut would be gone after it, and what was committed on top
// of it with it.
func writeAgain(path string, end int64) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := make([]byte, 256<<10)
	for at := int64(0); at < end; {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		if err != nil {
			return err
		}
		if _, err := f.WriteAt(buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	return f.Sync()
}

// readable walks the heads of a log's entries (badger/v4 structs.go: meta, user
// meta, lengths of key and value, expiry; then key, value, CRC) and returns
// where they end, and whether something broken follows.
func readable(path string) (end int64, broken bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.Size() <= logHeaderBytes {
		return 0, false, err
	}
	r := &counting{r: bufio.NewReader(io.NewSectionReader(f, logHeaderBytes, fi.Size()-logHeaderBytes))}
	for {
		end = logHeaderBytes + r.read
		key, value, err := entryHead(r)
		rest := fi.Size() - logHeaderBytes - r.read
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return end, false, nil
		case errors.Is(err, errHead):
			return end, true, nil
		case err != nil:
			return 0, false, err
		case key == 0 && value == 0:
			return end, false, nil // the log is zero behind its end
		case key > math.MaxUint16 || value > rest || key+value+4 > rest:
			return end, true, nil
		}
		if err := r.skip(key + value + 4); err != nil {
			return 0, false, err
		}
	}
}

// errHead: not the head of an entry.
var errHead = errors.New("not the head of an entry")

func entryHead(r *counting) (key, value int64, err error) {
	for range 2 { // meta, user meta
		if _, err := r.ReadByte(); err != nil {
			return 0, 0, err
		}
	}
	var n [3]uint64
	for i := range n {
		before := r.failed
		if n[i], err = binary.ReadUvarint(r); err != nil && r.failed == before {
			return 0, 0, errHead // it overflows
		} else if err != nil {
			return 0, 0, err
		}
	}
	if n[0] > math.MaxUint32 || n[1] > math.MaxUint32 {
		return 0, 0, errHead
	}
	return int64(n[0]), int64(n[1]), nil
}

// counting is a reader that knows how much was read, and how often it failed.
type counting struct {
	r      *bufio.Reader
	read   int64
	failed int
}

// ReadByte implements io.ByteReader.
func (c *counting) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err != nil {
		c.failed++
		return 0, err
	}
	c.read++
	return b, nil
}

func (c *counting) skip(n int64) error {
	for n > 0 {
		k, err := c.r.Discard(int(min(n, math.MaxInt32)))
		c.read += int64(k)
		n -= int64(k)
		if err != nil {
			return err
		}
	}
	return nil
}
