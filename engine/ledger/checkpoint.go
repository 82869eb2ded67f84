package ledger

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
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

// Sign signs a checkpoint of what is committed now, keeps it, and returns the
// note.
func (l *Ledger) Sign() (_ []byte, err error) {
	defer store.Guard(&err)
	moment := l.moment()
	defer moment.Close()
	_, signed, err := l.sign(moment)
	if err != nil {
		return nil, err
	}
	b := store.NewBatch(moment)
	b.Set(key(classNote, noShard), signed)
	return signed, l.cfg.Store.Commit(b)
}

func (l *Ledger) sign(m *moment) (c checkpoint, signed []byte, err error) {
	c = checkpoint{Ledger: l.meta.Ledger, Time: l.cfg.Clock.Now().UTC().Truncate(time.Second)}
	for shard, t := range m.trees {
		root, err := t.root(m, uint16(shard), t.size)
		if err != nil {
			return c, nil, engine.WrapError(engine.Internal, err, "ledger")
		}
		c.Shards = append(c.Shards, shardRoot{t.size, root})
	}
	signed, err = l.cfg.Signer.sign(c.body())
	return c, signed, err
}

// moment is one consistent reading: the trees, and a view that holds all that
// they refer to.
type moment struct {
	*store.View
	trees []*tree
}

// moment takes the trees first: a view that is newer holds their tiles, one that
// is older may lack the last.
func (l *Ledger) moment() *moment {
	trees := l.snapshot()
	// An export may take long: it reads the ledger's own keys alone, and holds no
	// generation of projections.
	return &moment{l.cfg.Store.ViewOf(0), trees}
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
	if len(c.Shards) == 0 || len(c.Shards) > MaxShards {
		return checkpoint{}, bad
	}
	if rest := lines[3+len(c.Shards):]; len(rest) > 0 {
		at, _ := strings.CutPrefix(rest[0], "time ")
		if c.Time, err = time.Parse(time.RFC3339, at); err != nil {
			return checkpoint{}, bad
		}
	}
	return c, nil
}

// openCheckpoint verifies a signed checkpoint and returns it with the names of
// the keys that signed it. With an error of kind denied the checkpoint is what
// an unknown or wrong signature claims.
func openCheckpoint(signed []byte, known note.Verifiers) (c checkpoint, keys []string, err error) {
	text, keys, fault := openNote(signed, known)
	if c, err = parseCheckpointBody([]byte(text)); err != nil {
		return c, nil, err
	}
	if c.body() != text {
		return c, nil, engine.Errorf(engine.Invalid, "checkpoint: size and root do not follow from its shards")
	}
	return c, keys, fault
}

// openNote verifies a note, and returns its text even when nobody that is known
// signed it.
func openNote(signed []byte, known note.Verifiers) (text string, keys []string, err error) {
	text, _, _ = strings.Cut(string(signed), "\n\n")
	text += "\n"
	n, err := note.Open(signed, known)
	var unknown *note.UnverifiedNoteError
	var wrong *note.InvalidSignatureError
	switch {
	case err == nil:
		for _, sig := range slices.Concat(n.Sigs, n.UnverifiedSigs) {
			// The note package passes over the bits that base64 leaves unused.
			if _, err := strictBase64.DecodeString(sig.Base64); err != nil {
				return text, nil, engine.Errorf(engine.Denied, "the signature of %s is not written as signatures are", keyName(sig.Name, sig.Hash))
			}
		}
		for _, sig := range n.Sigs {
			keys = append(keys, keyName(sig.Name, sig.Hash))
		}
		return n.Text, keys, nil
	case errors.As(err, &wrong):
		return text, nil, engine.Errorf(engine.Denied, "the signature of %s does not fit the text", keyName(wrong.Name, wrong.Hash))
	case errors.As(err, &unknown):
		for _, sig := range unknown.Note.UnverifiedSigs {
			keys = append(keys, keyName(sig.Name, sig.Hash))
		}
		return text, nil, engine.Errorf(engine.Denied, "none of the given keys signed it, but %s", strings.Join(keys, ", "))
	}
	return text, nil, engine.Errorf(engine.Denied, "it is no signed note")
}
