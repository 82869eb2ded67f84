package ledger

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// meta is what was fixed when the ledger was made, and what changes rarely.
type meta struct {
	Ledger      record.LedgerID   `json:"ledger"`
	Shards      int               `json:"shards"`
	Incarnation uint32            `json:"incarnation"`
	HashKeys    map[string][]byte `json:"hash_keys"` // for argument hashes, by name
	HashKey     string            `json:"hash_key"`  // the one in use
	// Remake says that the projections are those of an older schema.
	Remake bool `json:"remake,omitempty"`
	// Upgrades tells what there was before each upgrade, oldest first.
	Upgrades []Upgrade `json:"upgrades,omitempty"`
}

// MaxShards bounds the shards of a ledger.
const MaxShards = 256

// Open opens the ledger in cfg.Store, makes it if the store is empty, and opens
// a new epoch in every shard.
func Open(cfg Config) (_ *Ledger, err error) {
	defer store.Guard(&err)
	l := &Ledger{cfg: cfg, arrived: make(chan struct{}, 1)}
	if err := cfg.Store.DropOther(); err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "ledger: removing an unfinished rebuild")
	}
	if err := l.loadMeta(); err != nil {
		return nil, err
	}
	l.shards = l.meta.Shards
	if l.heads, l.epoch, err = l.loadHeads(); err != nil {
		return nil, err
	}
	l.trees = make([]*tree, l.shards)
	l.publish(l.heads)
	if cfg.Resumes != nil {
		cfg.Resumes(newest(l.heads))
	}
	if err := l.upgrade(); err != nil {
		return nil, err
	}
	if err := l.meetCheckpoint(); err != nil {
		return nil, err
	}
	l.epoch++
	opened := record.Marshal(record.EpochOpened{Engine: cfg.Engine, Node: cfg.Node})
	for shard := range l.shards {
		if _, err := l.Append(context.Background(), uint16(shard), New{record.EpochOpenedKind, opened}); err != nil {
			return nil, err
		}
	}
	l.opened = true
	return l, nil
}

func (l *Ledger) loadMeta() error {
	view := l.cfg.Store.View()
	defer view.Close()
	b, ok := view.Get(key(classMeta, noShard))
	if !ok {
		return l.create()
	}
	if err := l.parseMeta(b); err != nil {
		return err
	}
	if l.cfg.Shards != 0 && l.cfg.Shards != l.meta.Shards {
		return engine.Errorf(engine.Invalid, "ledger: it was made with %d shards, not %d; their number is fixed", l.meta.Shards, l.cfg.Shards)
	}
	return nil
}

func (l *Ledger) create() error {
	l.schema = store.Schema
	l.meta = meta{Shards: max(l.cfg.Shards, 1), Incarnation: 1, HashKey: "k1"}
	if l.meta.Shards > MaxShards {
		return engine.Errorf(engine.Invalid, "ledger: %d shards, at most %d", l.meta.Shards, MaxShards)
	}
	rand.Read(l.meta.Ledger[:])
	secret := make([]byte, 32)
	rand.Read(secret)
	l.meta.HashKeys = map[string][]byte{l.meta.HashKey: secret}
	return l.storeMeta()
}

func (l *Ledger) storeMeta() error {
	view := l.cfg.Store.View()
	defer view.Close()
	b := store.NewBatch(view)
	b.Set(key(classMeta, noShard), formatMeta(l.meta))
	return l.save(b)
}

// HashKeys returns the keys for argument hashes by name, and the name of the
// one that new hashes use. Old ones stay while journals refer to them.
func (l *Ledger) HashKeys() (keys map[string][]byte, current string) {
	return l.meta.HashKeys, l.meta.HashKey
}

// loadHeads reads where the shards end, and the last epoch.
func (l *Ledger) loadHeads() (heads []*head, last uint64, err error) {
	view := l.cfg.Store.View()
	defer view.Close()
	heads = make([]*head, l.meta.Shards)
	for i := range heads {
		h, epoch, err := loadHead(view, uint16(i))
		if err != nil {
			return nil, 0, err
		}
		heads[i] = h
		last = max(last, epoch)
	}
	return heads, last, nil
}

// newest returns the time of the newest record; zero for none.
func newest(heads []*head) (last time.Time) {
	for _, h := range heads {
		if h.last.After(last) {
			last = h.last
		}
	}
	return last
}

func loadHead(r store.Reader, shard uint16) (*head, uint64, error) {
	b, ok := r.Get(key(classHead, shard))
	if !ok {
		return &head{tree: &tree{}}, 0, nil
	}
	if len(b) != 32 {
		return nil, 0, engine.Errorf(engine.Internal, "ledger: the head of shard %d is damaged", shard)
	}
	size := binary.BigEndian.Uint64(b[8:])
	tree, err := loadTree(r, shard, size, func(n uint64) (tlog.Hash, error) { return loadLeaf(r, shard, n) })
	if err != nil {
		return nil, 0, engine.WrapError(engine.Internal, err, "ledger")
	}
	last := time.Unix(0, int64(binary.BigEndian.Uint64(b[24:]))).UTC()
	h := &head{frame: binary.BigEndian.Uint64(b), tree: tree, last: last}
	return h, binary.BigEndian.Uint64(b[16:]), nil
}

// loadLeaf computes the leaf of a stored record.
func loadLeaf(r store.Reader, shard uint16, n uint64) (tlog.Hash, error) {
	rec, err := load(r, shard, n)
	return rec.Leaf(), err
}

func load(r store.Reader, shard uint16, n uint64) (Record, error) {
	frame, err := frameOf(r, shard, n)
	if err != nil {
		return Record{}, err
	}
	return loadFrom(r, &frame, int(n-frame.First))
}

func loadFrom(r store.Reader, frame *record.Frame, i int) (Record, error) {
	rec := Record{Header: frame.Header(i), Outcome: frame.Entries[i].Outcome}
	salted, ok := r.Get(recordKey(classPayload, frame.Shard, rec.Header.Record))
	if !ok || len(salted) < saltBytes {
		err := loadErased(r, &rec)
		return rec, err
	}
	rec.Salt, rec.Payload = salted[:saltBytes:saltBytes], salted[saltBytes:]
	return rec, nil
}

// loadErased reads what is left of an erased record's payload.
func loadErased(r store.Reader, rec *Record) error {
	h := rec.Header
	left, ok := r.Get(recordKey(classErased, h.Shard, h.Record))
	if !ok {
		return engine.Errorf(engine.Internal, "ledger: record %d of shard %d is missing", h.Record, h.Shard)
	}
	parsed, err := parseRemains(left)
	if err != nil {
		return engine.WrapError(engine.Internal, err, "ledger: record "+recordName(h.Shard, h.Record))
	}
	rec.Erased, rec.digest, rec.Erasure = true, parsed.digest, &parsed.Erasure
	return nil
}

// frameOf finds the frame that holds a record: the last whose first record is
// not after it.
func frameOf(r store.Reader, shard uint16, n uint64) (frame record.Frame, err error) {
	found := false
	r.Scan(key(classFrame, shard), recordKey(classFrame, shard, n), true, func(_, value []byte) bool {
		found = true
		frame, err = record.ParseFrame(value)
		return false
	})
	if err == nil && (!found || n >= frame.First+uint64(len(frame.Entries))) {
		err = engine.Errorf(engine.NotFound, "ledger: shard %d has no record %d", shard, n)
	}
	return frame, err
}

// meetCheckpoint compares the ledger with the newest checkpoint that was seen of
// it. One that went back (a restored disk) begins a new incarnation, so that two
// histories never carry equal headers.
func (l *Ledger) meetCheckpoint() error {
	seen, err := parseCheckpointBody(l.cfg.LastCheckpoint)
	if err != nil || seen.Ledger != l.meta.Ledger {
		return nil // none, or of another ledger
	}
	if l.contains(seen) {
		return nil
	}
	slog.Warn("the ledger is older than its last checkpoint: a restored disk? beginning a new incarnation",
		"incarnation", l.meta.Incarnation+1)
	l.meta.Incarnation++
	return l.storeMeta()
}

func (l *Ledger) contains(c checkpoint) bool {
	view := l.cfg.Store.View()
	defer view.Close()
	for shard, want := range c.Shards {
		if shard >= l.shards || want.Size > l.heads[shard].tree.size {
			return false
		}
		root, err := l.heads[shard].tree.root(view, uint16(shard), want.Size)
		if err != nil || root != want.Root {
			return false
		}
	}
	return true
}
