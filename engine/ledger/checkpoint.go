package ledger

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// A checkpoint says how far the ledger had grown and what it held, in the form
// of C2SP tlog-checkpoint, signed as a note. With one shard, size and root are
// those of its tree. With several they are those of a tree whose leaves are the
// "shard N SIZE ROOT" lines that follow. The last line is the time.
type checkpoint struct {
	Ledger record.LedgerID
	Shards []shardRoot
	Time   time.Time
}

type shardRoot struct {
	Size uint64
	Root tlog.Hash
}

const originPrefix = "larkspur/ledger/"

// Signer signs checkpoints with an Ed25519 key that lies in a file.
type Signer struct {
	signer   note.Signer
	Verifier string // the public key, as auditors keep it
}

// LoadSigner reads the key in path, and makes one if there is none. The file is
// the box's own (mode 0600).
func LoadSigner(path, name string) (*Signer, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return createSigner(path, name)
	}
	if err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "checkpoint key")
	}
	private, public, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, engine.WrapError(engine.Invalid, err, fmt.Sprintf("checkpoint key %q", path))
	}
	return &Signer{signer, public}, nil
}

func createSigner(path, name string) (*Signer, error) {
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, engine.WrapError(engine.Internal, err, "checkpoint key")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "checkpoint key")
	}
	if err := os.WriteFile(path, []byte(private+"\n"+public+"\n"), 0o600); err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "checkpoint key")
	}
	signer, err := note.NewSigner(private)
	return &Signer{signer, public}, err
}

// Sign signs a checkpoint of what is committed now, keeps it, and returns the
// note.
func (l *Ledger) Sign() (_ []byte, err error) {
	defer store.Guard(&err)
	view := l.cfg.Store.View()
	defer view.Close()
	c := checkpoint{Ledger: l.meta.Ledger, Time: l.cfg.Clock.Now()}
	for shard, t := range l.snapshot() {
		root, err := t.root(view, uint16(shard), t.size)
		if err != nil {
			return nil, engine.WrapError(engine.Internal, err, "ledger")
		}
		c.Shards = append(c.Shards, shardRoot{t.size, root})
	}
	signed, err := note.Sign(&note.Note{Text: c.body()}, l.cfg.Signer.signer)
	if err != nil {
		return nil, engine.WrapError(engine.Internal, err, "ledger: signing")
	}
	b := store.NewBatch(view)
	b.Set(key(classNote, noShard), signed)
	return signed, l.cfg.Store.Commit(b)
}

// snapshot returns the trees as readers may use them: never changed afterwards.
func (l *Ledger) snapshot() []*tree {
	l.readMu.RLock()
	defer l.readMu.RUnlock()
	return append([]*tree(nil), l.trees...)
}

func (c *checkpoint) body() string {
	var lines []string
	for shard, s := range c.Shards {
		lines = append(lines, fmt.Sprintf("shard %d %d %s", shard, s.Size, s.Root))
	}
	size, root := c.Shards[0].Size, c.Shards[0].Root
	if len(lines) > 1 {
		size, root = uint64(len(lines)), rootOfLines(lines)
	}
	return fmt.Sprintf("%s%s\n%d\n%s\n%s\ntime %s\n", originPrefix, c.Ledger, size, root,
		strings.Join(lines, "\n"), c.Time.UTC().Format(time.RFC3339))
}

func rootOfLines(lines []string) tlog.Hash {
	var hashes []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			out[i] = hashes[index]
		}
		return out, nil
	})
	for i, line := range lines {
		stored, err := tlog.StoredHashes(int64(i), []byte(line), read)
		if err != nil {
			panic("ledger: " + err.Error()) // all hashes are in memory
		}
		hashes = append(hashes, stored...)
	}
	root, err := tlog.TreeHash(int64(len(lines)), read)
	if err != nil {
		panic("ledger: " + err.Error())
	}
	return root
}

// parseCheckpointBody reads a checkpoint, signed or not; signatures are not
// looked at.
func parseCheckpointBody(text []byte) (checkpoint, error) {
	bad := engine.Errorf(engine.Invalid, "checkpoint: not one of a Larkspur ledger")
	lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
	id, ok := strings.CutPrefix(lines[0], originPrefix)
	raw, err := hex.DecodeString(id)
	if !ok || err != nil || len(raw) != len(record.LedgerID{}) || len(lines) < 4 {
		return checkpoint{}, bad
	}
	c := checkpoint{Ledger: record.LedgerID(raw)}
	for _, line := range lines[3:] {
		words := strings.Fields(line)
		if len(words) != 4 || words[0] != "shard" {
			break
		}
		size, err1 := strconv.ParseUint(words[2], 10, 64)
		root, err2 := base64.StdEncoding.DecodeString(words[3])
		if err1 != nil || err2 != nil || len(root) != tlog.HashSize || words[1] != strconv.Itoa(len(c.Shards)) {
			return checkpoint{}, bad
		}
		c.Shards = append(c.Shards, shardRoot{size, tlog.Hash(root)})
	}
	if len(c.Shards) == 0 {
		return checkpoint{}, bad
	}
	return c, nil
}
