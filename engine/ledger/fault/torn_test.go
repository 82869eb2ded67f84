package fault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// What a power cut may leave of the newest memtable's log, Badger's write-ahead
// log: everything up to the last acknowledged commit was synced, what is after
// it may be gone, half there, or anything else.
var tears = []string{"lost", "cut", "short", "sectors", "bits", "ones", "noise"}

const (
	logHeaderBytes = 20 // key id and IV
	sectorBytes    = 512
	finished       = 1 << 7 // meta of the entry that ends a transaction
)

// newest returns the log with the highest number; "" for none.
func newest(dir, ext string) string {
	ids := numbers(dir, ext)
	if len(ids) == 0 {
		return ""
	}
	return logPath(dir, ext, slices.Max(ids))
}

func logPath(dir, ext string, id int) string {
	width := 5
	if ext == ".vlog" {
		width = 6
	}
	return filepath.Join(dir, fmt.Sprintf("%0*d%s", width, id, ext))
}

func numbers(dir, ext string) (ids []int) {
	paths, _ := filepath.Glob(filepath.Join(dir, "*"+ext))
	for _, p := range paths {
		if id, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(p), ext)); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// entry is one key and value of Badger's log (badger/v4 memtable.go).
type entry struct {
	meta       byte
	key, value []byte
	end        int
}

// walk calls fn for the entries of a log up to the first that is not whole.
func walk(log []byte, fn func(entry)) {
	for at := logHeaderBytes; at+2 < len(log); {
		e := entry{meta: log[at]}
		head := at + 2
		var lengths [3]uint64 // key, value, expiry
		for i := range lengths {
			n, used := binary.Uvarint(log[head:])
			if used <= 0 {
				return
			}
			lengths[i], head = n, head+used
		}
		k, v := lengths[0], lengths[1]
		if k == 0 || k > 1<<16 || v > uint64(len(log)) || uint64(head)+k+v+4 > uint64(len(log)) {
			return
		}
		body := head + int(k+v)
		if crc32.Checksum(log[at:body], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(log[body:]) {
			return
		}
		e.key, e.value, e.end = log[head:head+int(k)], log[head+int(k):body], body+4
		fn(e)
		at = e.end
	}
}

// synced returns the end of the last transaction in a log that somebody was told
// of: behind it anything may have happened.
func (t *truth) synced(log []byte) int {
	end, told := logHeaderBytes, false
	walk(log, func(e entry) {
		told = told || t.told(e)
		if e.meta&finished != 0 && told {
			end, told = e.end, false
		}
	})
	return end
}

// told reports whether an entry is of what somebody was told: a frame, a
// checkpoint, the ledger's own description. Keys end with eight bytes of
// version; engine/ledger/keys.go has the classes.
func (t *truth) told(e entry) bool {
	if len(e.key) < 3+8 {
		return false
	}
	key := e.key[:len(e.key)-8]
	switch key[0] {
	case 0x01:
		return t.ledger != ""
	case 0x02:
		_, ok := t.kept[place{binary.BigEndian.Uint16(key[1:]), binary.BigEndian.Uint64(key[3:])}]
		return ok && len(key) == 11
	case 0x07:
		return slices.Contains(t.notes, string(e.value))
	}
	return false
}

// tear does to the newest log what a power cut may do, and says how much of it
// could be hurt.
func (t *truth) tear(rng *rand.Rand, dir, how string) (tail int, err error) {
	path := newest(dir, ".mem")
	if path == "" {
		return 0, nil
	}
	log, err := os.ReadFile(path)
	if err != nil || len(log) <= logHeaderBytes {
		return 0, err
	}
	from := t.synced(log)
	end := len(log)
	for end > from && log[end-1] == 0 {
		end--
	}
	return end - from, rewrite(path, damage(rng, log, from, end, how))
}

func damage(rng *rand.Rand, log []byte, from, end int, how string) []byte {
	point := from + rng.IntN(end-from+1)
	switch how {
	case "lost":
		clear(log[from:])
	case "cut":
		clear(log[point:])
	case "short":
		return log[:point]
	case "sectors":
		for at := from; at < end; {
			next := min((at/sectorBytes+1)*sectorBytes, end)
			if rng.IntN(2) == 0 {
				clear(log[at:next])
			}
			at = next
		}
	case "bits":
		for range 1 + rng.IntN(8) {
			if end > from {
				log[from+rng.IntN(end-from)] ^= 1 << rng.IntN(8)
			}
		}
	case "ones":
		for i := range log[point:min(point+8*sectorBytes, len(log))] {
			log[point+i] = 0xff
		}
	case "noise":
		for i := range log[point:min(point+1+rng.IntN(8*sectorBytes), len(log))] {
			log[point+i] = byte(rng.Uint32())
		}
	}
	return log
}

// rewrite writes a file with holes where it is zero.
func rewrite(path string, content []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	const block = 4096
	zero := make([]byte, block)
	for at := 0; at < len(content); at += block {
		b := content[at:min(at+block, len(content))]
		if !slices.Equal(b, zero[:len(b)]) {
			if _, err := f.WriteAt(b, int64(at)); err != nil {
				return err
			}
		}
	}
	return errors.Join(f.Truncate(int64(len(content))), f.Close())
}

// litter leaves empty files where there are none, as a crash between making and
// filling a log does: before, between and after the numbers in use. It also
// empties the newest log of each sort if it holds nothing that counts.
func (t *truth) litter(rng *rand.Rand, dir string) (made int, err error) {
	for _, ext := range []string{".mem", ".vlog"} {
		ids := numbers(dir, ext)
		top := 2
		if len(ids) > 0 {
			top = slices.Max(ids) + 2
		}
		for id := range top + 1 {
			if slices.Contains(ids, id) || rng.IntN(3) == 0 {
				continue
			}
			if err := os.WriteFile(logPath(dir, ext, id), nil, 0o600); err != nil {
				return made, err
			}
			made++
		}
		if len(ids) == 0 || rng.IntN(2) == 0 {
			continue
		}
		emptied, err := t.empty(logPath(dir, ext, slices.Max(ids)), int64(rng.IntN(2)*rng.IntN(logHeaderBytes)))
		if err != nil {
			return made, err
		}
		made += emptied
	}
	return made, nil
}

// empty cuts a log that holds nothing that anybody was told of to size.
func (t *truth) empty(path string, size int64) (int, error) {
	log, err := os.ReadFile(path)
	if err != nil || int64(len(log)) <= size {
		return 0, err
	}
	if t.synced(log) > logHeaderBytes {
		return 0, nil
	}
	return 1, os.Truncate(path, size)
}

// duplicate copies a folder that nobody writes. Nothing is linked: Badger empties
// tables before it removes them.
func duplicate(from, to string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o700)
		case filepath.Base(path) == "LOCK":
			return nil
		}
		return copySparse(path, target)
	})
}

// copySparse copies what is in a file and leaves its holes.
func copySparse(from, to string) error {
	const seekData, seekHole = 3, 4 // lseek(2), Linux
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	fi, err := src.Stat()
	if err != nil {
		return err
	}
	for at := int64(0); at < fi.Size(); {
		if at, err = src.Seek(at, seekData); errors.Is(err, syscall.ENXIO) {
			break // a hole up to the end
		} else if err != nil {
			return err
		}
		hole, err := src.Seek(at, seekHole)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, at), io.NewSectionReader(src, at, hole-at)); err != nil {
			return err
		}
		at = hole
	}
	return dst.Truncate(fi.Size())
}
