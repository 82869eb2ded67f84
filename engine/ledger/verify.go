package ledger

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/record"
)

// What can be wrong with an export.
const (
	Changed    = "changed"    // it is there, but not as the ledger holds it
	Missing    = "missing"    // it should be there
	Reordered  = "reordered"  // it stands at another place
	Duplicated = "duplicated" // it is there twice
	Inserted   = "inserted"   // it does not belong there
	Forged     = "forged"     // content and proof were made for each other, but no signature covers them
	Malformed  = "malformed"  // the line is not one of an export
	Truncated  = "truncated"  // the file ends too early
)

// Finding is one thing that is wrong with an export.
type Finding struct {
	Line    int    // of the file, from 1
	Subject string // "record 0/42" (shard and record), "checkpoint", …
	Kind    string
	Why     string
}

// String returns the finding as one line for people.
func (f Finding) String() string {
	return fmt.Sprintf("line %d: %s: %s: %s", f.Line, f.Subject, f.Kind, f.Why)
}

// maxFindings bounds what a report holds; the rest is counted.
const maxFindings = 1000

// Report is what Verify found.
type Report struct {
	Ledger       string
	Scope        string
	Incident     string    // that the export is about
	Since, Until time.Time // the range of the export
	Checkpoint   time.Time
	Covered      uint64   // records that the checkpoint covers
	Keys         []string // that signed it, of those given
	Records      uint64
	Erased       uint64
	Words        []Word    // on which they are erased, the most first
	Unsaid       uint64    // erased records of which no erasure in the file tells
	First, Last  time.Time // of the records
	// Rotations of the box's keys that the export tells of, oldest first.
	Rotations []Rotation
	// UnknownKinds counts records of kinds that this program does not know; the
	// names of such kinds are not verified.
	UnknownKinds uint64
	Findings     []Finding // by line
	More         uint64    // findings that are not listed
}

// Rotation is a record of a change of the box's keys.
type Rotation struct {
	Time time.Time
	record.KeyRotated
}

// maxRotations bounds those that a report lists.
const maxRotations = 100

// OK reports whether the export is what the box signed.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

// Verify reads an export and tells whether it is what the ledger held, offline:
// keys are the public keys (Signer.Verifier) that the reader trusts. Whatever is
// wrong with the file is a finding; an error means that it could not be read, or
// a key not.
//
// A complete export is checked against the root that the checkpoint signs, from
// the top: each tile of the tree must lie under the one above, each record under
// its tile. Others are checked by the proof of each record. Memory does not grow
// with the file.
func Verify(r io.Reader, keys ...string) (*Report, error) {
	return verify(r, false, keys)
}

func verify(r io.Reader, exact bool, keys []string) (*Report, error) {
	known, err := verifiers(keys)
	if err != nil {
		return nil, err
	}
	v := &verifier{report: &Report{}, gone: gone{}, keys: known, digest: sha256.New(), in: bufio.NewReaderSize(r, 64<<10), exact: exact}
	if err := v.run(); err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "reading the export")
	}
	slices.SortStableFunc(v.report.Findings, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	v.report.sortWords()
	return v.report, nil
}

func verifiers(keys []string) (note.Verifiers, error) {
	var list []note.Verifier
	seen := map[string]bool{}
	for _, key := range keys {
		if key = strings.TrimSpace(key); seen[key] {
			continue
		}
		seen[key] = true
		each, err := note.NewVerifier(key)
		if err != nil {
			return nil, engine.Errorf(engine.Invalid, "key %q: it is no public key of checkpoints", key).
				WithHint("larkspur audit key prints the one of a box: NAME+HASH+BASE64")
		}
		list = append(list, each)
	}
	if len(list) == 0 {
		return nil, engine.Errorf(engine.Invalid, "no key to verify with").WithHint("larkspur audit key prints the one of a box")
	}
	return note.VerifierList(list...), nil
}

// verifier reads one export.
type verifier struct {
	gone    gone // erased records that no erasure has named yet
	report  *Report
	keys    note.Verifiers
	in      *bufio.Reader
	digest  hash.Hash // of all lines before the present one
	n       int       // number of the present line
	header  headerLine
	check   checkpoint
	checker checker
	exact   bool   // see lineReader
	long    []byte // the first line, when it is long
	damaged uint64 // lines of records that cannot be read

	end       *endPart
	endLine   int
	endDigest []byte
	after     bool // something follows the end
	cut       bool // the last line has no end
}

// checker checks the lines of one scope.
type checker interface {
	record(l *recordLine, leaf tlog.Hash)
	unreadable(why string)
	proves() error // whether lines of proof belong into the export
	proof(p *proofLine)
	finish()
}

func (v *verifier) found(line int, subject, kind, why string, args ...any) {
	if len(v.report.Findings) == maxFindings {
		v.report.More++
		return
	}
	v.report.Findings = append(v.report.Findings, Finding{line, subject, kind, fmt.Sprintf(why, args...)})
}

func recordName(shard uint16, n uint64) string { return fmt.Sprintf("record %d/%d", shard, n) }

func recordsName(shard uint16, first, last uint64) string {
	if first == last {
		return recordName(shard, first)
	}
	return fmt.Sprintf("records %d/%d to %d/%d", shard, first, shard, last)
}

func (v *verifier) run() error {
	first, err := v.first()
	if err != nil {
		return err
	}
	if len(first) == 0 {
		v.found(1, "file", Truncated, "it is empty")
		return nil
	}
	v.n = 1
	if !v.open(bytes.TrimSuffix(first, []byte("\n"))) {
		return nil
	}
	v.digest.Write(first)
	lines := &lineReader{in: v.in, ledger: v.check.Ledger, exact: v.exact}
	if err := lines.each(v.chunk); err != nil {
		return err
	}
	v.checker.finish()
	v.finish()
	return nil
}

// first reads the first line; of one that is too long the beginning.
func (v *verifier) first() ([]byte, error) {
	line, err := v.in.ReadSlice('\n')
	for errors.Is(err, bufio.ErrBufferFull) && len(v.long) < maxLineBytes {
		v.long = append(v.long, line...)
		line, err = v.in.ReadSlice('\n')
	}
	if len(v.long) > 0 {
		line = append(v.long, line...)
	}
	if v.cut = errors.Is(err, io.EOF); err != nil && !v.cut && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	return line, nil
}

// chunk takes the next lines. All before the end is hashed.
func (v *verifier) chunk(c *chunk) {
	hashed := 0
	for i := range c.lines {
		l := &c.lines[i]
		v.n++
		v.cut = c.cut && i == len(c.lines)-1
		if l.kind == lineEnd {
			begin := 0
			if i > 0 {
				begin = c.lines[i-1].until
			}
			v.digest.Write(c.text[hashed:begin])
			hashed = begin
		}
		v.line(l)
	}
	v.digest.Write(c.text[hashed:])
}

// open reads the header; false when nothing else can be checked.
func (v *verifier) open(line []byte) bool {
	h, err := parseStrict[headerLine](line)
	if err != nil && v.cut {
		v.found(1, "file", Truncated, "it ends in its first line")
		return false
	}
	if err != nil || h.Format != exportFormat {
		v.found(1, "header", Malformed, "the first line does not begin an export; nothing else was checked")
		return false
	}
	if h.Version != exportVersion {
		v.found(1, "header", Malformed, "got version %d, this program knows %d; nothing else was checked", h.Version, exportVersion)
		return false
	}
	var fault error
	v.check, v.report.Keys, fault = openCheckpoint([]byte(h.Checkpoint), v.keys)
	if fault != nil {
		v.found(1, "checkpoint", Forged, "%s", engine.AsError(fault).Message)
	}
	if len(v.check.Shards) == 0 {
		v.found(1, "checkpoint", Malformed, "it cannot be read; nothing else was checked")
		return false
	}
	v.header = h
	if id := v.check.Ledger.String(); h.Ledger != id || h.Shards != len(v.check.Shards) {
		v.found(1, "header", Changed, "got ledger %.40q of %d shards, the checkpoint is of %s with %d", h.Ledger, h.Shards, id, len(v.check.Shards))
	}
	v.describe()
	switch {
	case h.Scope == ScopeAll && h.Filter == filterLine{}:
		v.checker = &complete{v: v, shard: -1}
	case h.Scope == ScopeRange && h.Filter.Incident == "" || h.Scope == ScopeSelected:
		v.checker = newPartial(v)
	default:
		v.found(1, "header", Changed, "the scope %.20q does not fit the filter; nothing else was checked", h.Scope)
		return false
	}
	return true
}

func (v *verifier) describe() {
	r := v.report
	r.Ledger, r.Scope, r.Checkpoint = v.check.Ledger.String(), v.header.Scope, v.check.Time
	r.Incident, r.Since, r.Until = v.header.Filter.Incident, v.header.Filter.Since, v.header.Filter.Until
	for _, s := range v.check.Shards {
		r.Covered += s.Size
	}
}

func (v *verifier) line(l *line) {
	if v.end != nil && !v.after {
		v.after = true
		v.found(v.n, "line", Inserted, "it follows the end of the export")
	}
	switch l.kind {
	case lineEnd:
		v.readEnd(l.text)
	case lineProof:
		err := v.checker.proves()
		if err == nil {
			err = l.err
		}
		if err != nil {
			v.found(v.n, "proof", Malformed, "%s", engine.AsError(err).Message)
			return
		}
		v.checker.proof(&l.proof)
	default:
		v.readRecord(l)
	}
}

func (v *verifier) readRecord(l *line) {
	if l.err != nil {
		v.damaged++
		v.checker.unreadable(engine.AsError(l.err).Message)
		return
	}
	v.checkKind(&l.record)
	if !l.record.Edge {
		v.count(&l.record)
		v.rotation(&l.record)
	}
	v.checker.record(&l.record, l.leaf)
}

// checkKind compares a kind's name with its number, which the leaf covers.
func (v *verifier) checkKind(l *recordLine) {
	name := l.Kind.String()
	if strings.HasPrefix(name, "kind_") {
		v.report.UnknownKinds++
		return
	}
	if l.KindName != name {
		v.found(v.n, recordName(l.Shard, l.Record), Changed, "it is called %.40q, kind %d is %s", l.KindName, l.Kind, name)
	}
}

func (v *verifier) count(l *recordLine) {
	r := v.report
	r.Records++
	v.heed(l)
	if r.First.IsZero() || l.Time.Before(r.First) {
		r.First = l.Time
	}
	if l.Time.After(r.Last) {
		r.Last = l.Time
	}
}

// rotation keeps what a record tells of the box's keys; it means something when
// the report is without findings.
func (v *verifier) rotation(l *recordLine) {
	if l.Kind != record.KeyRotatedKind || l.Erased || len(v.report.Rotations) == maxRotations {
		return
	}
	if p, err := record.Unmarshal[record.KeyRotated](l.Payload); err == nil {
		v.report.Rotations = append(v.report.Rotations, Rotation{l.Time, p})
	}
}

func (v *verifier) readEnd(line []byte) {
	e, err := parseStrict[endLine](line)
	if err != nil {
		v.found(v.n, "end", Malformed, "%s", engine.AsError(err).Message)
		return
	}
	if v.end != nil {
		v.found(v.n, "end", Duplicated, "there was one before, line %d", v.endLine)
	}
	v.end, v.endLine, v.endDigest, v.after = &e.End, v.n, v.digest.Sum(nil), false
}

// finish checks what only the end of the file can show.
func (v *verifier) finish() {
	switch {
	case v.end == nil:
		v.found(v.n, "file", Truncated, "it ends here, without the end of the export")
		return
	case v.cut:
		v.found(v.n, "file", Truncated, "its last line has no end")
	}
	if v.end.Checkpoint != v.header.Checkpoint {
		v.found(v.endLine, "checkpoint", Changed, "it is not the one of the first line")
	}
	if have := v.report.Records + v.damaged; v.end.Records != have {
		v.found(v.endLine, "end", Changed, "it counts %d records, the file has %d", v.end.Records, have)
	}
	text, _, err := openNote([]byte(v.end.Statement), v.keys)
	if err != nil {
		v.found(v.endLine, "statement", Forged, "%s", engine.AsError(err).Message)
		return
	}
	if v.report.OK() && text != statementBody(v.check.Ledger, v.end.Records, v.endDigest, v.check.Time) {
		v.found(v.endLine, "file", Changed, "it is not the file that the box signed (sha256 %s), though the records in it are in the ledger",
			base64.StdEncoding.EncodeToString(v.endDigest))
	}
}
