package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
)

// tornTransactions is how many transactions a crash may leave behind a hole in
// the log of a memtable: those that were being written and whose sync had not
// returned. The ledger writes one, and a few small ones of others beside it.
const tornTransactions = 8

// Bits of an entry's first byte (badger/v4 value.go).
const (
	entryInTxn  = 1 << 6
	entryEndTxn = 1 << 7
)

// checkLogAtRest checks the log of a memtable that nobody writes.
func checkLogAtRest(path string) []Damage { return checkLog(path, tornTransactions) }

// checkLog walks the log of a memtable. Badger ends it at the first entry that
// does not have its checksum, which is right after a crash, and cuts off the
// rest. When more whole transactions follow than a crash can leave, the entry was
// damaged later, and the rest must not be cut off.
func checkLog(path string, torn int) []Damage {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(b) <= logHeaderBytes {
		return nil
	}
	d := Damage{File: path, Fatal: torn > 0, Do: doRestore, Means: "opened like this, the store would go on without them"}
	if torn == 0 {
		d.Do, d.Means = doRestart, "if the process dies, they are lost"
	}
	if err != nil {
		d.What = err.Error()
		return []Damage{d}
	}
	if found := headDamage(path, b); found != nil {
		return found
	}
	end := logHeaderBytes
	for {
		n, _ := entryIn(b[end:])
		if n == 0 {
			break
		}
		end += n
	}
	if behind := transactionsIn(b[end:]); behind > torn {
		d.What = fmt.Sprintf("the entry at byte %d does not have its checksum, and %d whole transactions follow it", end, behind)
		return []Damage{d}
	}
	if tail := b[end:min(end+8, len(b))]; torn > 0 && len(bytes.Trim(tail, "\x00")) > 0 {
		return []Damage{{File: path, What: fmt.Sprintf("it ends, at byte %d, in what is no whole entry", end),
			Means: "a power cut or a kill leaves that of a write that nobody was told of, and the next start cuts it off; without one, the last records are damaged",
			Do:    "if the machine did not stop at once: " + doRestore}}
	}
	return nil
}

// checkLogHead checks the first bytes of a value log: nothing else is ever in it.
func checkLogHead(path string) []Damage {
	f, err := os.Open(path)
	if err != nil {
		return nil // deleted meanwhile
	}
	defer f.Close()
	b := make([]byte, logHeaderBytes)
	if n, err := f.Read(b); err != nil || n < len(b) {
		return nil
	}
	return headDamage(path, b)
}

// headDamage checks the id of the key that a log is encrypted with: none. The
// other bytes of the header mean nothing without a key.
func headDamage(path string, b []byte) []Damage {
	if binary.BigEndian.Uint64(b) == 0 {
		return nil
	}
	return []Damage{{File: path, What: "its first eight bytes name a key that there is not", Fatal: true,
		Means: "the store is not opened like this; its data is not touched", Do: doRestore}}
}

// entryIn returns the length of the entry that b begins with, and whether it
// ends a transaction; 0 when there is none, or not with its checksum.
func entryIn(b []byte) (n int, ends bool) {
	if len(b) < 2 {
		return 0, false
	}
	at := 2
	var lengths [3]uint64 // of key and value; expiry
	for i := range lengths {
		v, used := binary.Uvarint(b[at:])
		if used <= 0 {
			return 0, false
		}
		lengths[i], at = v, at+used
	}
	key, value := lengths[0], lengths[1]
	if key == 0 || key > 1<<16 || value > uint64(len(b)) || uint64(len(b)-at) < key+value+crc32.Size {
		return 0, false
	}
	end := at + int(key+value)
	if crc32.Checksum(b[:end], castagnoli()) != binary.BigEndian.Uint32(b[end:]) {
		return 0, false
	}
	return end + crc32.Size, b[0]&entryEndTxn != 0
}

// transactionsIn counts the ends of transactions that are whole somewhere in b.
func transactionsIn(b []byte) (count int) {
	for at, end := 0, endOf(b); at < end; {
		if !mayBegin(b[at:]) {
			at++
			continue
		}
		n, ends := entryIn(b[at:])
		if at += max(n, 1); ends {
			count++
		}
	}
	return count
}

// endOf is where the zeros begin that end b: most of a log is allocated and not
// yet written. The first of them may still belong to an entry.
func endOf(b []byte) int {
	var zeros [4096]byte
	for len(b) >= len(zeros) && bytes.Equal(b[len(b)-len(zeros):], zeros[:]) {
		b = b[:len(b)-len(zeros)]
	}
	return len(bytes.TrimRight(b, "\x00"))
}

// mayBegin tells whether b may begin with an entry: of a transaction, with a key
// of less than 128 bytes whose last eight are a version, counted downwards.
func mayBegin(b []byte) bool {
	if len(b) < 16 || b[0]&(entryInTxn|entryEndTxn) == 0 || b[2] < 9 || b[2] > 127 {
		return false
	}
	_, used := binary.Uvarint(b[3:])
	if used <= 0 || 3+used >= len(b) {
		return false
	}
	_, expiry := binary.Uvarint(b[3+used:])
	version := 3 + used + expiry + int(b[2]) - 8
	return expiry > 0 && version+8 <= len(b) && b[version] == 0xff && b[version+1] == 0xff && b[version+2] == 0xff
}
