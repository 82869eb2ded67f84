package ledger

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"sort"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// Selection says what an export holds; its zero value is everything.
type Selection struct {
	Since, Until time.Time // records with Since ≤ time < Until
	// Incident names what Covers selects.
	Incident string
	Covers   func(Record) bool
}

func (s *Selection) scope() string {
	switch {
	case s.Covers != nil:
		return ScopeSelected
	case !s.Since.IsZero() || !s.Until.IsZero():
		return ScopeRange
	}
	return ScopeAll
}

// Export writes the records that a selection holds, oldest first, shard after
// shard, with all that Verify needs: see line.go. It signs a checkpoint of this
// moment and exports what that covers; records that are appended meanwhile are
// not part of it. Memory does not grow with the ledger.
func (l *Ledger) Export(ctx context.Context, w io.Writer, what Selection) (err error) {
	defer store.Guard(&err)
	m := l.moment()
	defer m.Close()
	check, signed, err := l.sign(m)
	if err != nil {
		return err
	}
	what.Since, what.Until = utc(what.Since), utc(what.Until)
	x := &exporter{ctx: ctx, m: m, pace: l.pace(), what: what, scope: what.scope(), digest: sha256.New()}
	x.out = bufio.NewWriterSize(io.MultiWriter(w, x.digest), 256<<10)
	x.line(headerLine{
		Checkpoint: string(signed), Filter: filterLine{what.Incident, what.Since, what.Until}, Format: exportFormat,
		Keys: l.cfg.Signer.names(), Ledger: l.meta.Ledger.String(), Scope: x.scope, Shards: len(m.trees), Version: exportVersion,
	})
	for shard := range m.trees {
		if err := x.shard(uint16(shard)); err != nil {
			return err
		}
	}
	if err := x.out.Flush(); err != nil {
		return err
	}
	statement, err := l.cfg.Signer.sign(statementBody(l.meta.Ledger, x.records, x.digest.Sum(nil), check.Time))
	if err != nil {
		return err
	}
	_, err = w.Write(appendLine(nil, endLine{endPart{string(signed), x.records, string(statement)}}))
	return err
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

const statementPrefix = "larkspur/export/"

// statementBody is what a box signs of an export: that it wrote these bytes, and
// so that this is all that it selected.
func statementBody(id record.LedgerID, records uint64, digest []byte, at time.Time) string {
	return fmt.Sprintf("%s%s\nrecords %d\nsha256 %s\ntime %s\n", statementPrefix, id, records,
		base64.StdEncoding.EncodeToString(digest), at.UTC().Format(time.RFC3339))
}

// exporter writes one export.
type exporter struct {
	ctx     context.Context
	m       *moment
	pace    *pace
	what    Selection
	scope   string
	out     *bufio.Writer
	digest  hash.Hash
	records uint64
	buf     []byte
	hashes  *hashCache  // of the present shard
	leaves  []tlog.Hash // of the present tile, in a complete export
}

func (x *exporter) line(v any) {
	x.buf = appendLine(x.buf[:0], v)
	x.out.Write(x.buf) // its error comes back from Flush
}

func (x *exporter) shard(shard uint16) error {
	x.hashes = newHashCache(x.m, shard)
	size := x.m.trees[shard].size
	if x.scope == ScopeAll {
		x.line(x.tails(shard))
		return x.span(shard, 0, size, x.whole)
	}
	from, until, err := x.bounds(shard, size)
	if err != nil || x.scope == ScopeSelected {
		return firstError(err, func() error { return x.span(shard, from, until, x.selected) })
	}
	if from > 0 {
		err = x.span(shard, from-1, from, x.edge)
	}
	err = firstError(err, func() error { return x.span(shard, from, until, x.proven) })
	if err == nil && until < size {
		err = x.span(shard, until, until+1, x.edge)
	}
	return err
}

func firstError(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

func (x *exporter) tails(shard uint16) tailsLine {
	t := x.m.trees[shard]
	line := tailsLine{Proof: "tails", Shard: shard, Size: t.size, Tails: [][]byte{}}
	for _, tail := range t.tails {
		line.Tails = append(line.Tails, encodeTile(tail))
	}
	return line
}

// bounds finds the records of the time that is wanted: in a shard, time never
// goes back.
func (x *exporter) bounds(shard uint16, size uint64) (from, until uint64, err error) {
	first := func(t time.Time) uint64 {
		return uint64(sort.Search(int(size), func(n int) bool {
			if err != nil {
				return true
			}
			var frame record.Frame
			if frame, err = frameOf(x.m, shard, uint64(n)); err != nil {
				return true
			}
			return !frame.Entries[uint64(n)-frame.First].Time.Before(t)
		}))
	}
	until = size
	if !x.what.Since.IsZero() {
		from = first(x.what.Since)
	}
	if !x.what.Until.IsZero() {
		until = max(from, first(x.what.Until))
	}
	return from, until, err
}

// paceEvery is after how many records an export asks whether it should end or
// give way.
const paceEvery = 256

// span calls write for records from up to before until.
func (x *exporter) span(shard uint16, from, until uint64, write func(*Record) error) error {
	if from >= until {
		return nil
	}
	payloads := payloadsOf(x.m.View, shard, from)
	defer payloads.close()
	start, err := frameOf(x.m, shard, from)
	if err != nil {
		return err
	}
	next := from
	x.m.Scan(key(classFrame, shard), recordKey(classFrame, shard, start.First), false, func(_, value []byte) bool {
		var frame record.Frame
		if frame, err = record.ParseFrame(value); err != nil {
			return false
		}
		if frame.First > next {
			err = engine.Errorf(engine.Internal, "ledger: record %d of shard %d is missing", next, shard)
			return false
		}
		for i := int(next - frame.First); i < len(frame.Entries) && next < until && err == nil; i++ {
			err = x.one(&frame, i, payloads, write)
			next++
		}
		return err == nil && next < until
	})
	if err == nil && next < until {
		err = engine.Errorf(engine.Internal, "ledger: record %d of shard %d is missing", next, shard)
	}
	return err
}

func (x *exporter) one(frame *record.Frame, i int, payloads *payloadScan, write func(*Record) error) error {
	r := Record{Header: frame.Header(i), Outcome: frame.Entries[i].Outcome}
	if r.Header.Record%paceEvery == 0 {
		if err := x.pace.giveWay(x.ctx); err != nil {
			return engine.WrapError(engine.Timeout, err, "ledger: exporting")
		}
	}
	salted := payloads.of(r.Header.Record)
	if len(salted) >= saltBytes {
		r.Salt, r.Payload = salted[:saltBytes:saltBytes], salted[saltBytes:]
		return write(&r)
	}
	if err := loadErased(x.m, &r); err != nil {
		return err
	}
	return write(&r)
}

// whole writes a record of a complete export, after the tiles that begin here.
func (x *exporter) whole(r *Record) error {
	if r.Header.Record%tileWidth == 0 {
		if err := x.tiles(r.Header.Shard, r.Header.Record); err != nil {
			return engine.WrapError(engine.Internal, err, "ledger: exporting")
		}
	}
	return x.record(r, x.leaves[r.Header.Record%tileWidth], nil)
}

// tiles writes the full tiles that begin at a record, the largest first.
func (x *exporter) tiles(shard uint16, first uint64) (err error) {
	t := x.m.trees[shard]
	for level := len(t.tails) - 1; level >= 0; level-- {
		span := uint64(1) << (tileHeight * (level + 1))
		if first%span != 0 || level > 0 && first+span > t.size {
			continue
		}
		hashes, err := t.tile(x.m, shard, level, first/span)
		if err != nil {
			return err
		}
		if first+span <= t.size {
			x.buf = appendTile(x.buf[:0], shard, level, first/span, hashes)
			x.out.Write(x.buf) // its error comes back from Flush
		}
		x.leaves = hashes // of level 0, at last
	}
	return nil
}

func (x *exporter) selected(r *Record) error {
	if !x.what.Covers(*r) {
		return nil
	}
	return x.proven(r)
}

func (x *exporter) proven(r *Record) error {
	leaf, proof, err := x.proof(r)
	if err != nil {
		return err
	}
	return x.record(r, leaf, proof)
}

// proof returns the leaf, as the tree holds it, and its proof.
func (x *exporter) proof(r *Record) (leaf tlog.Hash, proof tlog.RecordProof, err error) {
	if leaf, err = x.hashes.node(0, r.Header.Record); err == nil {
		proof, err = tlog.ProveRecord(int64(x.hashes.tree.size), int64(r.Header.Record), x.hashes)
	}
	if err != nil {
		err = engine.WrapError(engine.Internal, err, "ledger: exporting")
	}
	return leaf, proof, err
}

// record writes a record with the leaf that the tree holds: when its content
// has another one, the file must show it.
func (x *exporter) record(r *Record, leaf tlog.Hash, proof tlog.RecordProof) error {
	if record.SkipValue(r.Payload) != len(r.Payload) || record.SkipValue(r.Outcome) != len(r.Outcome) {
		return engine.Errorf(engine.Internal, "ledger: record %d of shard %d is not JSON", r.Header.Record, r.Header.Shard)
	}
	x.records++
	return x.write(&recordLine{
		Header: r.Header, KindName: r.Header.Kind.String(), Leaf: leaf, Payload: r.Payload, Salt: r.Salt, Outcome: r.Outcome,
		Proof: proof, Erased: r.Erased, PayloadDigest: r.digest,
	})
}

// edge writes of a record just outside of the range what its leaf covers, and
// nothing of what it holds.
func (x *exporter) edge(r *Record) error {
	leaf, proof, err := x.proof(r)
	if err != nil {
		return err
	}
	return x.write(&recordLine{
		Header: r.Header, KindName: r.Header.Kind.String(), Leaf: leaf, Proof: proof, Edge: true,
		PayloadDigest: r.payloadDigest(), OutcomeDigest: sha256.Sum256(r.Outcome),
	})
}

func (x *exporter) write(l *recordLine) error {
	x.buf = l.append(x.buf[:0])
	_, err := x.out.Write(x.buf)
	return err
}

// payloadScan reads salted payloads in order, beside a scan of frames.
type payloadScan struct {
	cursor *store.Cursor
	n      uint64
	value  []byte
	ok     bool
}

func payloadsOf(v *store.View, shard uint16, from uint64) *payloadScan {
	p := &payloadScan{cursor: v.Cursor(key(classPayload, shard), recordKey(classPayload, shard, from))}
	p.read()
	return p
}

func (p *payloadScan) read() {
	var key []byte
	if key, p.value, p.ok = p.cursor.Read(p.value[:0]); p.ok {
		p.n = binary.BigEndian.Uint64(key[len(key)-8:])
	}
}

// of returns the salted payload of a record; nil when it is erased. Ask for
// records in order. It is valid until the next call.
func (p *payloadScan) of(n uint64) []byte {
	for p.ok && p.n < n {
		p.cursor.Next()
		p.read()
	}
	if !p.ok || p.n != n {
		return nil
	}
	return p.value
}

func (p *payloadScan) close() { p.cursor.Close() }
