package store

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"

	"larkspur/engine"
)

// Damage is something that is wrong with a file.
type Damage struct {
	File  string
	What  string // was found
	Means string
	Do    string
	// Fatal: the store cannot be opened like this without losing data.
	Fatal bool
	// From and To are the first and last key of what cannot be read, in a table.
	From, To []byte
}

// What people are told to do.
const (
	doRestore = "stop the appliance and restore the state folder from a backup; until then, do not delete anything in it"
	doDelete  = "nothing is lost: stop the appliance, delete the folder, and start it again"
	doRestart = "stop the appliance in order and start it again: it holds in memory what the file should, and writes it into a table when it ends"
)

// checkForOpening finds damage that Badger would answer by dying, or by going on
// with less data.
func checkForOpening(dir string) error {
	var list []Damage
	for _, check := range []struct {
		pattern string
		of      func(path string) []Damage
	}{{"MANIFEST", checkManifest}, {"KEYREGISTRY", checkRegistry}, {"*.mem", checkLogAtRest}, {"*.vlog", checkLogHead}, {"*.sst", checkTableEnds}} {
		paths, err := filepath.Glob(filepath.Join(dir, check.pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			list = append(list, check.of(path)...)
		}
	}
	named := namedTables(dir)
	for _, d := range list {
		if d.Fatal && named(d.File) {
			return engine.Errorf(engine.Internal, "store %q: %s is damaged: %s; %s", dir, filepath.Base(d.File), d.What, d.Means).
				WithHint("%s (larkspur scrub looks for more)", d.Do)
		}
	}
	return nil
}

// namedTables tells of a file whether it is part of the store: all are but tables
// that the manifest does not name. A crash leaves those half-written, and opening
// deletes them.
func namedTables(dir string) func(path string) bool {
	all := func(string) bool { return true } // what is wrong with the manifest is told of it
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return all
	}
	defer f.Close()
	m, _, err := badger.ReplayManifestFile(f, 0, badgerOptions(dir, false))
	if err != nil {
		return all
	}
	return func(path string) bool {
		id, isTable := table.ParseFileID(path)
		_, named := m.Tables[id]
		return !isTable || named
	}
}

// CheckFolder reads the files of a store and tells what is damaged. inUse says
// that a process writes into them meanwhile. read is called with the number of
// bytes that were read since the last call: it may rest, or end the check.
func CheckFolder(dir string, inUse bool, read func(bytes int64) error) ([]Damage, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "store: reading its folder")
	}
	var list []Damage
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		found := checkFile(path, inUse)
		if len(found) > 0 && inUse { // it may have been written, or deleted, meanwhile
			found = checkFile(path, inUse)
		}
		if len(found) > 0 && namedTables(dir)(path) {
			list = append(list, found...)
		}
		if err := read(sizeOf(path)); err != nil {
			return list, err
		}
	}
	return list, nil
}

func checkFile(path string, inUse bool) []Damage {
	name := filepath.Base(path)
	switch {
	case name == "MANIFEST":
		return checkManifest(path)
	case name == schemaName:
		return checkSchema(path)
	case name == "KEYREGISTRY":
		return checkRegistry(path)
	case strings.HasSuffix(name, ".mem") && inUse:
		return checkLog(path, 0)
	case strings.HasSuffix(name, ".mem"):
		return checkLogAtRest(path)
	case strings.HasSuffix(name, ".vlog"):
		return checkLogHead(path)
	case strings.HasSuffix(name, ".sst"):
		return checkTable(path)
	case name == ballastName && sizeOf(path) != ballastBytes:
		return []Damage{{File: path, What: fmt.Sprintf("it has %d bytes instead of %d", sizeOf(path), ballastBytes), Means: "it holds no data; a full disk could not be opened", Do: "start the appliance again: it makes it anew"}}
	}
	return nil // LOCK, DISCARD and the content of the ballast mean nothing
}

// checkTable compares every block of a table with its checksum.
func checkTable(path string) []Damage { return withTable(path, (*table.Table).Intact) }

// checkTableEnds reads what Badger reads when it opens a table.
func checkTableEnds(path string) []Damage {
	return withTable(path, func(*table.Table) error { return nil })
}

func withTable(path string, check func(*table.Table) error) []Damage {
	err := openTable(path, check)
	if err == nil || errors.Is(err, fs.ErrNotExist) { // compacted away meanwhile
		return nil
	}
	d := Damage{File: path, What: "its end, which says where everything lies, is not what was written", Means: "nothing of what the table holds could be read", Do: doRestore, Fatal: true}
	var block *table.BlockError
	if errors.As(err, &block) {
		d.Means = "what the block holds cannot be read: who asks for it gets an error, and nothing is passed over"
		d.What = fmt.Sprintf("block %d is not what was written", block.Block)
		d.From, d.To, d.Fatal = block.From, block.To, false
	}
	return []Damage{d}
}

func openTable(path string, check func(*table.Table) error) (err error) {
	defer func() {
		if r := recover(); r != nil { // lengths that cannot be
			err = fmt.Errorf("its end cannot be decoded (%.80v)", r)
		}
	}()
	f, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	t, err := table.OpenTable(f, table.Options{ReadOnly: true, Compression: options.Snappy, BlockSize: 4 << 10, ChkMode: options.OnBlockRead})
	if err != nil {
		return err
	}
	return errors.Join(check(t), t.Close(-1))
}

// checkManifest reads the list of tables. Badger takes a length that reaches
// behind the end of the file for a write that a crash cut off, forgets the tables
// named from there on, and deletes them.
func checkManifest(path string) []Damage {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	d := Damage{File: path, Means: "it lists the tables of the store; with less of it, tables would be deleted", Do: doRestore, Fatal: true}
	const head, part = 8, 8
	if err != nil || len(b) < head || string(b[:4]) != "Bdgr" || b[4] != 0 || b[5] != 0 || b[6] != 0 || b[7] != 8 {
		d.What = "it does not begin as such a list does"
		return []Damage{d}
	}
	for at := head; len(b)-at >= part; {
		length, sum, rest := int(bigUint32(b[at:])), bigUint32(b[at+4:]), b[at+part:]
		if length <= len(rest) && crc32.Checksum(rest[:length], castagnoli()) == sum {
			at += part + length
			continue
		}
		if length <= len(rest) || fitsSome(rest, sum) || length > len(b) {
			d.What = fmt.Sprintf("the part at byte %d does not have its checksum or length", at)
			return []Damage{d}
		}
		return nil // cut off by a crash
	}
	return nil
}

// fitsSome tells whether a checksum is that of some beginning of b.
func fitsSome(b []byte, sum uint32) bool {
	crc := uint32(0)
	for i := range b {
		if crc = crc32.Update(crc, castagnoli(), b[i:i+1]); crc == sum {
			return true
		}
	}
	return false
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func bigUint32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// checkSchema reads the number of the store's schema: this program's, in a store
// that it opened.
func checkSchema(path string) []Damage {
	n, err := schemaOf(filepath.Dir(path))
	if err == nil && n == Schema {
		return nil
	}
	return []Damage{{File: path, What: fmt.Sprintf("it does not hold the number of this program's schema, %d", Schema), Fatal: true,
		Means: "the store is not opened like this, or is upgraded; its data is not touched", Do: fmt.Sprintf("if this program wrote the store: stop the appliance and write %d into the file", Schema)}}
}

// checkRegistry reads the registry of Badger's keys, which holds none: 16 bytes
// without meaning, and a text.
func checkRegistry(path string) []Damage {
	const iv, text = 16, "Hello Badger"
	b, err := os.ReadFile(path)
	if err == nil && len(b) == iv+len(text) && string(b[iv:]) == text {
		return nil
	}
	return []Damage{{File: path, What: "it is not the registry of a store without keys", Fatal: true,
		Means: "the store is not opened like this; its data is not touched", Do: "stop the appliance and delete this file: it holds nothing, and is made anew"}}
}
