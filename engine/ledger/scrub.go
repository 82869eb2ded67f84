package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// Fault is something in a ledger that is no longer what was recorded.
type Fault struct {
	Subject string // "record 4711 of shard 0 (step_done of r0-17)", "the checkpoint in the store", …
	What    string
	Means   string
	Do      string
}

// Scrubbing is what Scrub needs.
type Scrubbing struct {
	Store *store.Store
	// Keys are the public keys of checkpoints (VerifierKeys).
	Keys []string
	// Checkpoint is the newest that lies outside the store; may be nil.
	Checkpoint []byte
	// Blob reports whether a blob is there; nil: nobody looks.
	Blob func(sum string) bool
	// Progress is told how many of how many records are read; may be nil.
	Progress func(done, total uint64)
	// Rest is called now and then; it may wait, or end the scrub with an error.
	Rest func() error
}

const (
	meansRecord = "it, or its proof, was changed on the disk after it was recorded. What incidents, runs and pages show was made before that, and goes on; an export shows it as changed"
	doBackup    = "restore the state folder from a backup that larkspur scrub finds whole, and keep this one for whoever asks what happened"
)

// maxFaults bounds what a scrub tells; the rest is counted.
const maxFaults = 200

// Scrub reads every record of a ledger and compares it with the tree, the tree
// with itself and with the signed checkpoints. It needs no open Ledger and may
// go on beside one. more counts faults that are not listed.
func Scrub(ctx context.Context, cfg Scrubbing) (faults []Fault, more uint64, err error) {
	view := cfg.Store.View()
	defer view.Close()
	s := &scrubber{ctx: ctx, cfg: cfg, view: view}
	if s.cfg.Rest == nil {
		s.cfg.Rest = func() error { return nil }
	}
	err = s.run()
	return s.faults, s.more, err
}

type scrubber struct {
	ctx    context.Context
	cfg    Scrubbing
	view   *store.View
	meta   meta
	heads  []*head
	total  uint64
	done   uint64
	faults []Fault
	more   uint64
	gone   []naming
}

// naming is a record that names a blob which is not there.
type naming struct {
	shard   uint16
	number  uint64
	sum     string
	subject string
}

func (s *scrubber) fault(subject, means, what string, args ...any) {
	s.add(Fault{subject, fmt.Sprintf(what, args...), means, doBackup})
}

func (s *scrubber) add(f Fault) {
	if len(s.faults) == maxFaults {
		s.more++
		return
	}
	s.faults = append(s.faults, f)
}

func (s *scrubber) run() error {
	if err := s.loadMeta(); err != nil {
		s.fault("the ledger's description", "the ledger cannot be opened", "%s", engine.AsError(err).Message)
		return nil
	}
	if s.meta.Shards == 0 {
		return nil // a ledger that was never opened
	}
	s.heads = make([]*head, s.meta.Shards)
	for i := range s.heads {
		if err := s.loadHead(uint16(i)); err != nil {
			s.fault(fmt.Sprintf("the end of shard %d", i), "the ledger cannot be opened, since the tree above its last records cannot be made", "%s", engine.AsError(err).Message)
			continue
		}
		s.total += s.heads[i].tree.size
	}
	for shard, h := range s.heads {
		if h == nil {
			continue
		}
		w := &walk{s: s, shard: uint16(shard), tree: h.tree}
		if err := w.run(); err != nil {
			return err
		}
	}
	s.checkpoints()
	s.blobs()
	return nil
}

// maxNamings bounds the records that are kept because of a missing blob.
const maxNamings = 10_000

// named notes a record whose blob is not there.
func (s *scrubber) named(r *Record) {
	if s.cfg.Blob == nil || len(s.gone) >= maxNamings {
		return
	}
	for _, sum := range record.Blobs(r.Header.Kind, r.Payload) {
		if !s.cfg.Blob(sum) {
			s.gone = append(s.gone, naming{r.Header.Shard, r.Header.Record, sum, subjectOf(r)})
		}
	}
}

// blobs tells of those that are missing. What was erased meanwhile names none any
// more.
func (s *scrubber) blobs() {
	view := s.cfg.Store.View()
	defer view.Close()
	for _, n := range s.gone {
		if s.cfg.Blob(n.sum) || !stillNames(view, n) {
			continue
		}
		s.add(Fault{
			n.subject, "the blob that it names is missing: " + n.sum,
			"what it held is not there, a large result, a file or a bundle of scripts: runs that need it stop with an error; nothing else is affected",
			"copy the file blobs/" + n.sum[:min(2, len(n.sum))] + "/" + n.sum + " from a backup",
		})
	}
}

// stillNames reports whether a record is not erased; one that cannot be read is
// told of already.
func stillNames(view *store.View, n naming) bool {
	r, err := func() (r Record, err error) {
		defer store.Guard(&err)
		return load(view, n.shard, n.number)
	}()
	return err == nil && !r.Erased
}

func (s *scrubber) loadMeta() (err error) {
	defer store.Guard(&err)
	b, ok := s.view.Get(key(classMeta, noShard))
	if !ok {
		return nil
	}
	var l Ledger
	err = l.parseMeta(b)
	if s.meta = l.meta; err == nil && (s.meta.Shards < 1 || s.meta.Shards > MaxShards) {
		err = engine.Errorf(engine.Internal, "it has %d shards", s.meta.Shards)
	}
	return err
}

func (s *scrubber) loadHead(shard uint16) (err error) {
	defer store.Guard(&err)
	s.heads[shard], _, err = loadHead(s.view, shard)
	return err
}

// walk goes through the records of one shard.
type walk struct {
	s     *scrubber
	shard uint16
	tree  *tree
	next  uint64 // record
	frame uint64 // number of the next frame
	tile  []tlog.Hash
	gap   [2]uint64 // records that cannot be read, from and before
	why   string
}

func (w *walk) run() error {
	for w.next < w.tree.size {
		err := w.some()
		if fatal := w.s.ctx.Err(); fatal != nil {
			return engine.WrapError(engine.Timeout, fatal, "scrub")
		}
		if err == nil {
			continue
		}
		if engine.KindOf(err) == engine.Timeout {
			return err
		}
		w.unreadable(err)
		w.next, w.frame = w.next+1, 0
	}
	w.tellGap()
	w.s.done += w.tree.size
	return nil
}

// unreadable notes that the next record cannot be read.
func (w *walk) unreadable(err error) {
	if w.gap[1] != w.next || w.gap[0] == w.gap[1] {
		w.tellGap()
		w.gap[0], w.why = w.next, engine.AsError(err).Message
	}
	w.gap[1] = w.next + 1
}

func (w *walk) tellGap() {
	from, until := w.gap[0], w.gap[1]
	w.gap = [2]uint64{}
	if from == until {
		return
	}
	subject := fmt.Sprintf("record %d of shard %d", from, w.shard)
	if until > from+1 {
		subject = fmt.Sprintf("records %d to %d of shard %d", from, until-1, w.shard)
	}
	w.s.fault(subject, "what needs them gets an error: their runs cannot go on, an export ends here, and nothing is passed over", "cannot be read: %s", w.why)
}

// some reads records from the next one on until the end, or one that cannot be
// read.
func (w *walk) some() (err error) {
	defer store.Guard(&err)
	payloads := payloadsOf(w.s.view, w.shard, w.next)
	defer payloads.close()
	first, err := frameOf(w.s.view, w.shard, w.next)
	if err != nil {
		return err
	}
	w.s.view.Scan(key(classFrame, w.shard), recordKey(classFrame, w.shard, first.First), false, func(_, value []byte) bool {
		var frame record.Frame
		if frame, err = record.ParseFrame(value); err != nil {
			return false
		}
		if err = w.frameAt(&frame); err != nil {
			return false
		}
		for i := int(w.next - frame.First); i < len(frame.Entries) && w.next < w.tree.size; i++ {
			if err = w.record(&frame, i, payloads); err != nil {
				return false
			}
			w.next++
		}
		return w.next < w.tree.size
	})
	if err == nil && w.next < w.tree.size {
		err = engine.Errorf(engine.Internal, "it is not there")
	}
	return err
}

// frameAt checks that a frame follows the one before.
func (w *walk) frameAt(f *record.Frame) error {
	if f.First > w.next {
		return engine.Errorf(engine.Internal, "it is not there")
	}
	if w.frame > 0 && f.Number != w.frame {
		w.s.fault(fmt.Sprintf("frame %d of shard %d", w.frame, w.shard), meansRecord, "the next frame is number %d", f.Number)
	}
	w.frame = f.Number + 1
	return nil
}

func (w *walk) record(f *record.Frame, i int, payloads *payloadScan) error {
	r := Record{Header: f.Header(i), Outcome: f.Entries[i].Outcome}
	if r.Header.Record%paceEvery == 0 {
		if err := w.pause(r.Header.Record); err != nil {
			return err
		}
		w.openTile(r.Header.Record / tileWidth)
	}
	salted := payloads.of(r.Header.Record)
	if len(salted) >= saltBytes {
		r.Salt, r.Payload = salted[:saltBytes:saltBytes], salted[saltBytes:]
	} else if err := loadErased(w.s.view, &r); err != nil {
		return err
	}
	if !r.Erased {
		w.s.named(&r)
	}
	if w.tile == nil || r.Header.Record/tileWidth >= w.tree.size>>tileHeight {
		return nil // no stored hash: the checkpoints cover it
	}
	digest := r.digest
	if !r.Erased {
		digest = sha256.Sum256(salted)
	}
	if leafHash(r.Header, digest, sha256.Sum256(r.Outcome)) != w.tile[r.Header.Record%tileWidth] {
		w.s.fault(subjectOf(&r), meansRecord, "it no longer matches its proof")
	}
	return nil
}

func (w *walk) pause(done uint64) error {
	if w.s.cfg.Progress != nil {
		w.s.cfg.Progress(w.s.done+done, w.s.total)
	}
	if err := w.s.cfg.Rest(); err != nil {
		return engine.WrapError(engine.Timeout, err, "scrub")
	}
	return w.s.ctx.Err()
}

// openTile reads the stored hashes above the next records, and checks that they
// lie below those above.
func (w *walk) openTile(index uint64) {
	w.tile = nil
	if index < w.tree.size>>tileHeight { // finished
		w.tile = w.checkTile(0, index)
	}
}

// checkTile compares a full tile with the one above, and once that one with the
// next; nil when it cannot be read.
func (w *walk) checkTile(level int, index uint64) []tlog.Hash {
	const means = "the records below it are there, but cannot be proven"
	hashes, err := w.tree.tile(w.s.view, w.shard, level, index)
	if err != nil {
		w.s.fault(w.tileName(level, index), means, "%v", err)
		return nil
	}
	parent := index >> tileHeight
	if index%tileWidth == 0 && parent < w.tree.size>>(tileHeight*(level+2)) {
		w.checkTile(level+1, parent)
	}
	above, err := w.tree.tile(w.s.view, w.shard, level+1, parent)
	if err == nil && fold(hashes) != above[index%tileWidth] {
		w.s.fault(w.tileName(level, index), means, "its hashes do not lie below those of the level above")
	}
	return hashes
}

func (w *walk) tileName(level int, index uint64) string {
	span := uint64(1) << (tileHeight * (level + 1))
	return fmt.Sprintf("the proof of records %d to %d of shard %d", index*span, (index+1)*span-1, w.shard)
}

// subjectOf names a record by what people know of it.
func subjectOf(r *Record) string {
	about := r.Header.Kind.String()
	record.Fields(r.Payload, func(key, value []byte) bool {
		for _, name := range []string{`"run"`, `"incident"`, `"question"`, `"event"`} {
			if string(key) == name && value[0] == '"' { // an act on an incident is none
				about += " of " + strings.Trim(string(value[:min(len(value), 60)]), `"`)
				return false
			}
		}
		return true
	})
	return fmt.Sprintf("record %d of shard %d (%s)", r.Header.Record, r.Header.Shard, about)
}

// checkpoints compares the tree with what was signed of it.
func (s *scrubber) checkpoints() {
	known, err := verifiers(s.cfg.Keys)
	if err != nil {
		s.fault("the key of checkpoints", "checkpoints cannot be verified", "%s", engine.AsError(err).Message)
		return
	}
	stored, ok := s.noteInStore()
	if ok {
		s.checkpoint("the checkpoint in the store", stored, known)
	}
	if s.cfg.Checkpoint != nil {
		s.checkpoint("the file checkpoint", s.cfg.Checkpoint, known)
	}
}

func (s *scrubber) noteInStore() (b []byte, ok bool) {
	var err error
	defer func() {
		if err != nil {
			s.fault("the checkpoint in the store", "the newest one is signed anew within a minute", "cannot be read: %s", engine.AsError(err).Message)
		}
	}()
	defer store.Guard(&err)
	return s.view.Get(key(classNote, noShard))
}

func (s *scrubber) checkpoint(name string, signed []byte, known note.Verifiers) {
	c, _, err := openCheckpoint(signed, known)
	switch {
	case err != nil:
		s.fault(name, "the records are not affected; the next one is signed within a minute. Only a changed key or a changed file explains it", "%s", engine.AsError(err).Message)
		return
	case c.Ledger != s.meta.Ledger:
		s.fault(name, "the file belongs to another ledger: was one half of the state folder restored?", "it is of ledger %s, this is %s", c.Ledger, s.meta.Ledger)
		return
	}
	for shard, want := range c.Shards {
		if shard >= len(s.heads) || s.heads[shard] == nil {
			continue
		}
		s.root(name, uint16(shard), want, c.Time)
	}
}

func (s *scrubber) root(name string, shard uint16, want shardRoot, at time.Time) {
	have := s.heads[shard].tree.size
	if want.Size > have {
		s.fault(fmt.Sprintf("shard %d", shard), "records that were acknowledged are gone: the folder, or a part of it, is older than its checkpoint",
			"it has %d records, %s of %s covers %d", have, name, at.Format(time.RFC3339), want.Size)
		return
	}
	var got tlog.Hash
	err := func() (err error) {
		defer store.Guard(&err)
		got, err = s.heads[shard].tree.root(s.view, shard, want.Size)
		return err
	}()
	if err == nil && got == want.Root {
		return
	}
	subject := fmt.Sprintf("the last %d of the %d records of shard %d that %s covers", want.Size%tileWidth, want.Size, shard, name)
	if want.Size%tileWidth == 0 {
		subject = fmt.Sprintf("the %d records of shard %d that %s covers", want.Size, shard, name)
	}
	s.fault(subject, meansRecord, "at least one of them no longer is what was signed on %s", at.Format(time.RFC3339))
}

// Holds says in words what lies between two keys of the store, as a damaged
// block has them; "" without keys.
func Holds(from, to []byte) string {
	first, last := keyInWords(from), keyInWords(to)
	switch {
	case first == "" || last == "":
		return first
	case first == last:
		return first
	}
	return first + ", up to " + last
}

// versionBytes stand behind each key in the store's tables.
const versionBytes = 8

func keyInWords(key []byte) string {
	if len(key) <= versionBytes {
		return ""
	}
	key = key[:len(key)-versionBytes]
	if key[0] >= 0x20 {
		return "projections (what pages show)"
	}
	names := map[byte]string{classFrame: "the frame", classPayload: "the payload", classErased: "what is left of the payload"}
	if name, ok := names[key[0]]; ok && len(key) >= 11 {
		return fmt.Sprintf("%s of record %d of shard %d", name, binary.BigEndian.Uint64(key[3:]), binary.BigEndian.Uint16(key[1:]))
	}
	if key[0] == classTile {
		return "hashes of the tree"
	}
	return "the ledger's description or end"
}
