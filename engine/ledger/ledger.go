// Package ledger keeps the one append-only log that everything else is made
// from. It knows no nouns: it stores frames of records, salts and hashes them
// into a Merkle tree (RFC 6962), and lets a Projector write its keys in the
// same transaction.
//
// Use Append for what we decided, Offer for what comes from outside. Both
// return when the records are on the disk and every projection includes them.
package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// Projector turns records into keys, none of which begins below 0x20. Its writes
// land in the transaction of the record. Each method is called by one goroutine
// at a time, and beside the others: Decide is shown what was decided before, also
// while that is on its way to the disk; Apply shows the others nothing, because a
// rebuild makes a generation of keys of its own.
type Projector interface {
	// Decide applies a new record and returns its outcome in canonical JSON. It
	// depends on r and what the reader shows, on nothing else.
	Decide(tx *store.Batch, r Record) ([]byte, error)
	// Apply applies a record whose outcome stands, for a rebuild: it decides
	// nothing. The payload of an erased record is nil.
	Apply(tx *store.Batch, r Record) error
	// Committed is told of records that are on the disk, in order.
	Committed(records []Record)
}

// Record is one record with all its parts.
type Record struct {
	Header  record.Header
	Payload []byte // nil when erased
	Outcome []byte
	Erased  bool
	// Erasure says of an erased record by which it is gone, and what is left.
	Erasure *Erasure
	// Salt is hashed before the payload, so that a digest says nothing about what
	// was erased. It is not there before the record is stored, nor when erased.
	Salt []byte

	digest [sha256.Size]byte // of an erased one: SHA256(salt ‖ payload)
}

// Leaf returns what the tree holds of a stored record:
// tlog.RecordHash(header ‖ SHA256(salt ‖ payload) ‖ SHA256(outcome)).
func (r *Record) Leaf() tlog.Hash {
	return leafHash(r.Header, r.payloadDigest(), sha256.Sum256(r.Outcome))
}

func (r *Record) payloadDigest() [sha256.Size]byte {
	if r.Erased {
		return r.digest
	}
	return sha256.Sum256(append(append(make([]byte, 0, 512), r.Salt...), r.Payload...))
}

// New is a record to be appended. Payload is canonical JSON.
type New struct {
	Kind    record.Kind
	Payload []byte
}

// MaxPayloadBytes bounds a payload; larger results are blobs.
const MaxPayloadBytes = 192 << 10

// maxFrameBytes bounds one Append: it must fit one transaction with its
// projections.
const maxFrameBytes = 384 << 10

// Config opens a ledger.
type Config struct {
	Store     *store.Store
	Projector Projector
	Clock     engine.Clock
	Shards    int    // fixed when the ledger is made; 0: as it is, 1 for a new one
	Node      string // which machine writes
	Engine    string // Larkspur's version
	Signer    *Signer
	// LastCheckpoint is the newest checkpoint that anybody saw of this ledger, kept
	// outside the store: a ledger that went back begins a new incarnation.
	LastCheckpoint []byte
	// Resumes is told the time of the newest record, zero for none, before anything
	// is written; nil is not asked.
	Resumes func(last time.Time)
}

// Ledger is an open ledger. Safe for concurrent use.
type Ledger struct {
	cfg    Config
	meta   meta
	schema int // of what was found in the store
	epoch  uint64
	opened bool // Open has finished

	mu      sync.Mutex // guards queue, leading, flying, heads, closed
	queue   []*request
	leading bool    // somebody stages
	flying  *group  // on its way to the disk
	heads   []*head // by shard; replaced after a commit
	closed  bool

	arrived chan struct{}  // tells the leader that the queue grew
	callers sync.WaitGroup // whose requests are not settled

	shards int

	readMu sync.RWMutex // guards trees, for readers beside the leader
	trees  []*tree

	rebuilding sync.Mutex    // held by a rebuild
	appended   atomic.Uint64 // commits
	noticed    atomic.Uint64 // of them, by a rebuild
}

// head is where a shard ends.
type head struct {
	frame uint64 // number of the next frame
	tree  *tree  // its size is the number of the next record
	last  time.Time
}

type request struct {
	shard   uint16
	records []New
	erase   *erasing // what the one record, an erased, erases
	result  []Record
	err     error
	act     func() error // in place of records
	done    chan struct{}
	lead    chan struct{}
}

// Own is what lets a process start work on a shard: DESIGN section 7. On one
// box every shard is owned from Open to Close.
type Own struct {
	Shard uint16
	Epoch uint64
}

// Owned returns the shards that this process owns.
func (l *Ledger) Owned() []Own {
	own := make([]Own, l.shards)
	for i := range own {
		own[i] = Own{uint16(i), l.epoch}
	}
	return own
}

// Shards returns how many shards the ledger has.
func (l *Ledger) Shards() int { return l.shards }

// ID names the ledger.
func (l *Ledger) ID() record.LedgerID { return l.meta.Ledger }

// ShardOf returns the shard of parts of a name: hash(rule, dedup values), …
func (l *Ledger) ShardOf(parts ...string) uint16 {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.AppendUvarint(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return uint16(binary.BigEndian.Uint64(h.Sum(nil)) % uint64(l.shards))
}

// Append writes records as one frame of a shard: all or nothing, durable and
// projected when it returns. Each returned record has its outcome: applied, or
// no effect. ctx is asked before, not while the disk works. An error of kind
// unavailable means that nothing was written, unless its Maybe is set; its cause
// is CauseNoRoom while the disk is nearly full.
func (l *Ledger) Append(ctx context.Context, shard uint16, records ...New) ([]Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, engine.WrapError(engine.Timeout, err, "ledger: appending")
	}
	if err := l.check(shard, records); err != nil {
		return nil, err
	}
	return l.enqueue(&request{shard: shard, records: records})
}

// Offer appends one record that came from outside. Its payload carries the id
// that makes it idempotent; offered twice, the second has no effect.
func (l *Ledger) Offer(ctx context.Context, shard uint16, r New) (Record, error) {
	records, err := l.Append(ctx, shard, r)
	if err != nil {
		return Record{}, err
	}
	return records[0], nil
}

func errClosed() *engine.Error {
	return engine.Errorf(engine.Unavailable, "ledger: closed")
}

func (l *Ledger) check(shard uint16, records []New) error {
	if int(shard) >= l.shards {
		return engine.Errorf(engine.Internal, "ledger: shard %d of %d", shard, l.shards)
	}
	if len(records) == 0 || len(records) > record.MaxEntries {
		return engine.Errorf(engine.Internal, "ledger: a frame of %d records, want 1 to %d", len(records), record.MaxEntries)
	}
	total := 0
	for _, r := range records {
		total += len(r.Payload) + 128
		if len(r.Payload) > MaxPayloadBytes {
			return engine.Errorf(engine.Invalid, "ledger: a %s of %d bytes, at most %d", r.Kind, len(r.Payload), MaxPayloadBytes)
		}
	}
	if total > maxFrameBytes {
		return engine.Errorf(engine.Invalid, "ledger: a frame of %d bytes, at most %d", total, maxFrameBytes)
	}
	return nil
}

// stage writes one frame into a layer and returns the head after it.
func (l *Ledger) stage(tx *store.Batch, at *head, req *request) (_ *head, err error) {
	defer store.Guard(&err)
	next := &head{frame: at.frame + 1, tree: at.tree.clone(), last: l.now(at.last)}
	frame := record.Frame{
		Ledger: l.meta.Ledger, Incarnation: l.meta.Incarnation, Shard: req.shard, Epoch: l.epoch,
		Number: at.frame, First: at.tree.size, Node: l.cfg.Node,
	}
	salts := make([]byte, saltBytes*len(req.records))
	rand.Read(salts)
	req.result = make([]Record, 0, len(req.records))
	for i, n := range req.records {
		frame.Entries = append(frame.Entries, record.Entry{Kind: n.Kind, Time: next.last})
		var gone []remains
		if req.erase != nil {
			if gone, n.Payload, err = req.erase.plan(tx, req.shard); err != nil {
				return nil, err
			}
		}
		r := Record{Header: frame.Header(i), Payload: n.Payload}
		if r.Outcome, err = l.cfg.Projector.Decide(tx, r); err != nil {
			return nil, engine.WrapError(engine.Internal, err, "ledger: "+n.Kind.String())
		}
		frame.Entries[i].Outcome = r.Outcome
		r.Salt = salts[i*saltBytes : (i+1)*saltBytes : (i+1)*saltBytes]
		salted := append(r.Salt, n.Payload...)
		tx.Set(recordKey(classPayload, req.shard, r.Header.Record), salted)
		if gone != nil {
			req.erase.do(tx, r, gone)
		}
		next.tree.grow(tx, req.shard, leafHash(r.Header, sha256.Sum256(salted), sha256.Sum256(r.Outcome)))
		req.result = append(req.result, r)
	}
	tx.Set(recordKey(classFrame, req.shard, frame.First), frame.Append(nil))
	tx.Set(key(classHead, req.shard), encodeHead(next, l.epoch))
	return next, nil
}

// saltBytes make a payload's hash say nothing about it once it is erased.
const saltBytes = 16

// now returns the clock's time, never before the shard's last record.
func (l *Ledger) now(last time.Time) time.Time {
	if t := l.cfg.Clock.Now(); t.After(last) {
		return t
	}
	return last
}

// leafHash is tlog.RecordHash(header ‖ digest of the payload ‖ digest of the
// outcome), written out so that nothing is allocated.
func leafHash(h record.Header, payload, outcome [sha256.Size]byte) tlog.Hash {
	b := make([]byte, 1, 1+record.HeaderBytes+2*sha256.Size) // 0x00: a leaf, RFC 6962 §2.1
	b = h.Append(b)
	b = append(b, payload[:]...)
	return sha256.Sum256(append(b, outcome[:]...))
}

func encodeHead(h *head, epoch uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, h.frame)
	b = binary.BigEndian.AppendUint64(b, h.tree.size)
	b = binary.BigEndian.AppendUint64(b, epoch)
	return binary.BigEndian.AppendUint64(b, uint64(h.last.UnixNano()))
}

// Close waits for what is queued, ends a rebuild, and refuses what comes after.
// The store stays open.
func (l *Ledger) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.callers.Wait()
	l.rebuilding.Lock()
	defer l.rebuilding.Unlock()
}
