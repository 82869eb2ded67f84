package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/record"
)

// An export is JSON lines, each an object in canonical form: sorted keys, no
// white space, hashes in base64. Lines with a "record" are records; the others
// carry the proof:
//
//	header   first line: what this is, and the signed checkpoint
//	tails    before the records of a shard: the unfinished tiles of its tree
//	tile     256 hashes of the tree, before the records below them
//	record   one record, with all that its leaf covers
//	end      last line: the number of records, and a signature of the whole file
//
// tails and tiles are in complete exports; in others each record has a proof of
// its own. Readers may rely on the keys; new ones may come with a new version.

// exportFormat and exportVersion begin every export.
const (
	exportFormat  = "larkspur audit export"
	exportVersion = 1
)

// Scopes of an export: what it holds.
const (
	ScopeAll      = "all"      // every record up to the checkpoint
	ScopeRange    = "range"    // every record of a time
	ScopeSelected = "selected" // what the box selected, of one incident
)

// maxLineBytes bounds a line of an export: a payload and an outcome, each at
// most a frame, with what is around them.
const maxLineBytes = 2 << 20

type headerLine struct {
	Checkpoint string     `json:"checkpoint"`
	Filter     filterLine `json:"filter"`
	Format     string     `json:"format"`
	Keys       []string   `json:"keys"`
	Ledger     string     `json:"ledger"`
	Scope      string     `json:"scope"`
	Shards     int        `json:"shards"`
	Version    int        `json:"version"`
}

type filterLine struct {
	Incident string    `json:"incident,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"`
}

type tailsLine struct {
	Proof string   `json:"proof"` // "tails"
	Shard uint16   `json:"shard"`
	Size  uint64   `json:"size"`
	Tails [][]byte `json:"tails"` // by level, hashes one after the other
}

type tileLine struct {
	Hashes []byte `json:"hashes"`
	Index  uint64 `json:"index"`
	Level  int    `json:"level"`
	Proof  string `json:"proof"` // "tile"
	Shard  uint16 `json:"shard"`
}

type endLine struct {
	End endPart `json:"end"`
}

type endPart struct {
	Checkpoint string `json:"checkpoint"`
	Records    uint64 `json:"records"`
	Statement  string `json:"statement"`
}

// recordLine is a record as a line has it.
type recordLine struct {
	record.Header
	KindName string
	Leaf     tlog.Hash
	Payload  []byte
	Salt     []byte
	salt     [saltBytes + 2]byte // room for Salt
	Outcome  []byte
	Proof    []tlog.Hash
	// Erased: PayloadDigest stands for salt and payload. Never with Edge.
	Erased        bool
	PayloadDigest [sha256.Size]byte
	// Edge: a record just outside of a range, only to show where it ends; both
	// digests stand for what it holds.
	Edge          bool
	OutcomeDigest [sha256.Size]byte
}

// leafHasher computes leaves; its zero value is ready.
type leafHasher struct {
	salted        []byte // scratch
	outcome       []byte // the last one, which most often is the next one too
	outcomeDigest [sha256.Size]byte
}

func (h *leafHasher) leaf(l *recordLine) tlog.Hash {
	payload, outcome := l.PayloadDigest, l.OutcomeDigest
	if !l.Erased && !l.Edge {
		h.salted = append(append(h.salted[:0], l.Salt...), l.Payload...)
		payload = sha256.Sum256(h.salted)
	}
	if !l.Edge {
		if h.outcome == nil || !bytes.Equal(h.outcome, l.Outcome) {
			h.outcome = append(h.outcome[:0], l.Outcome...)
			h.outcomeDigest = sha256.Sum256(l.Outcome)
		}
		outcome = h.outcomeDigest
	}
	return leafHash(l.Header, payload, outcome)
}

// append writes the line, with its end.
func (l *recordLine) append(b []byte) []byte {
	b = append(b, '{')
	if l.Erased || l.Edge {
		b = appendHash(append(b, `"digest":`...), l.PayloadDigest)
		b = append(b, ',')
	}
	if l.Edge {
		b = append(b, `"edge":true,`...)
	}
	b = appendNumber(b, `"epoch":`, l.Epoch)
	if l.Erased {
		b = append(b, `,"erased":true`...)
	}
	b = appendNumber(b, `,"frame":`, l.Frame)
	b = appendNumber(b, `,"incarnation":`, uint64(l.Incarnation))
	b = append(append(append(b, `,"kind":"`...), l.KindName...), '"')
	b = appendNumber(b, `,"kind_number":`, uint64(l.Kind))
	b = appendHash(append(b, `,"leaf":`...), l.Leaf)
	if l.Edge {
		b = appendHash(append(b, `,"outcome_digest":`...), l.OutcomeDigest)
	}
	b = appendValue(b, `,"outcome":`, l.Outcome)
	b = appendValue(b, `,"payload":`, l.Payload)
	if len(l.Proof) > 0 {
		b = append(b, `,"proof":[`...)
		for i, h := range l.Proof {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendHash(b, h)
		}
		b = append(b, ']')
	}
	b = appendNumber(b, `,"record":`, l.Record)
	if len(l.Salt) > 0 {
		b = append(b, `,"salt":"`...)
		b = base64.StdEncoding.AppendEncode(b, l.Salt)
		b = append(b, '"')
	}
	b = appendNumber(b, `,"shard":`, uint64(l.Shard))
	b = append(b, `,"time":"`...)
	b = l.Time.AppendFormat(b, time.RFC3339Nano)
	return append(b, "\"}\n"...)
}

// appendTile writes the line of a full tile.
func appendTile(b []byte, shard uint16, level int, index uint64, hashes []tlog.Hash) []byte {
	b = base64.StdEncoding.AppendEncode(append(b, `{"hashes":"`...), encodeTile(hashes))
	b = appendNumber(b, `","index":`, index)
	b = appendNumber(b, `,"level":`, uint64(level))
	b = appendNumber(b, `,"proof":"tile","shard":`, uint64(shard))
	return append(b, "}\n"...)
}

func appendNumber(b []byte, key string, n uint64) []byte {
	return strconv.AppendUint(append(b, key...), n, 10)
}

func appendHash(b []byte, h [sha256.Size]byte) []byte {
	b = base64.StdEncoding.AppendEncode(append(b, '"'), h[:])
	return append(b, '"')
}

func appendValue(b []byte, key string, value []byte) []byte {
	if len(value) == 0 {
		return b
	}
	return append(append(b, key...), value...)
}

// parse reads a line without its end. Parts of l refer to b. It accepts what
// append writes and nothing else: a byte that means nothing could be changed
// unseen. exact reads times by the time package alone: see lineReader.
func (l *recordLine) parse(b []byte, exact bool) error {
	*l = recordLine{Proof: l.Proof[:0]}
	s := scanner{b: b, exact: exact}
	s.want(`{`)
	digest := s.has(`"digest":`)
	if digest {
		l.PayloadDigest = s.hash()
		s.want(`,`)
		l.Edge = s.has(`"edge":true,`)
	}
	l.Epoch = s.number(`"epoch":`, 64)
	if l.Erased = digest && !l.Edge; l.Erased {
		s.want(`,"erased":true`)
	}
	l.Frame = s.number(`,"frame":`, 64)
	l.Incarnation = uint32(s.number(`,"incarnation":`, 32))
	s.want(`,"kind":"`)
	name := s.word()
	l.Kind = record.Kind(s.number(`","kind_number":`, 16))
	if l.KindName = l.Kind.String(); l.KindName != string(name) {
		l.KindName = string(name)
	}
	s.want(`,"leaf":`)
	l.Leaf = s.hash()
	l.parseContent(&s)
	l.Record = s.number(`,"record":`, 64)
	if !l.Erased && !l.Edge {
		s.want(`,"salt":"`)
		l.Salt = s.salt(&l.salt)
	}
	l.Shard = uint16(s.number(`,"shard":`, 16))
	s.want(`,"time":"`)
	l.Time = s.time()
	s.want(`"}`)
	if len(s.b) > s.at {
		s.fail("the end of the line")
	}
	if s.err != nil {
		return s.err
	}
	return nil
}

func (l *recordLine) parseContent(s *scanner) {
	if l.Edge {
		s.want(`,"outcome_digest":`)
		l.OutcomeDigest = s.hash()
	} else if s.has(`,"outcome":`) {
		l.Outcome = s.value()
	}
	if !l.Edge && !l.Erased && s.has(`,"payload":`) {
		l.Payload = s.value()
	}
	if !s.has(`,"proof":[`) {
		return
	}
	for more := true; more && s.err == nil; more = s.has(`,`) {
		l.Proof = append(l.Proof, s.hash())
	}
	s.want(`]`)
}

// scanner reads canonical JSON; after its first error it reads nothing.
type scanner struct {
	b     []byte
	at    int
	err   *engine.Error
	exact bool // see lineReader
}

func (s *scanner) fail(want string) {
	if s.err == nil {
		s.err = engine.Errorf(engine.Invalid, "column %d: want %s", s.at+1, want)
		s.at = len(s.b)
	}
}

func (s *scanner) has(text string) bool {
	if s.err != nil || len(s.b)-s.at < len(text) || string(s.b[s.at:s.at+len(text)]) != text {
		return false
	}
	s.at += len(text)
	return true
}

func (s *scanner) want(text string) {
	if !s.has(text) {
		s.fail(text)
	}
}

func (s *scanner) number(key string, bits int) uint64 {
	s.want(key)
	if s.err != nil {
		return 0
	}
	begin, n := s.at, uint64(0)
	for s.at < len(s.b) && s.b[s.at]-'0' <= 9 {
		n = n*10 + uint64(s.b[s.at]-'0')
		s.at++
	}
	digits := s.at - begin
	if digits == 0 || digits > 1 && s.b[begin] == '0' || digits > 20 || digits > 18 && !fits(s.b[begin:s.at]) || bits < 64 && n>>bits != 0 {
		s.at = begin
		s.fail("a number of " + strconv.Itoa(bits) + " bits")
	}
	return n
}

func fits(digits []byte) bool {
	_, err := strconv.ParseUint(string(digits), 10, 64)
	return err == nil
}

// word reads lower-case letters, digits and underscores.
func (s *scanner) word() []byte {
	begin := s.at
	for s.at < len(s.b) && (s.b[s.at]-'a' < 26 || s.b[s.at]-'0' < 10 || s.b[s.at] == '_') {
		s.at++
	}
	return s.b[begin:s.at]
}

const hashChars = 44 // of base64

func (s *scanner) hash() (h [sha256.Size]byte) {
	if s.err != nil {
		return h
	}
	if len(s.b)-s.at < hashChars+2 || s.b[s.at] != '"' || s.b[s.at+hashChars+1] != '"' {
		s.fail("a hash in base64")
		return h
	}
	var room [sha256.Size + 1]byte
	n, err := strictBase64.Decode(room[:], s.b[s.at+1:s.at+1+hashChars])
	if err != nil || n != sha256.Size {
		s.fail("a hash in base64")
		return h
	}
	s.at += hashChars + 2
	return [sha256.Size]byte(room[:])
}

// strictBase64 has one encoding for each value.
var strictBase64 = base64.StdEncoding.Strict()

const saltChars = 24

func (s *scanner) salt(room *[saltBytes + 2]byte) []byte {
	if s.err != nil || len(s.b)-s.at < saltChars+1 || s.b[s.at+saltChars] != '"' {
		s.fail("a salt in base64")
		return nil
	}
	n, err := strictBase64.Decode(room[:], s.b[s.at:s.at+saltChars])
	if err != nil || n != saltBytes {
		s.fail("a salt in base64")
		return nil
	}
	s.at += saltChars + 1
	return room[:n]
}

func (s *scanner) value() []byte {
	if s.err != nil {
		return nil
	}
	n := record.SkipValue(s.b[s.at:])
	if n == 0 {
		s.fail("a JSON value")
	}
	s.at += n
	return s.b[s.at-n : s.at]
}

// time reads a moment as time.RFC3339Nano writes it in UTC.
func (s *scanner) time() time.Time {
	if s.err != nil {
		return time.Time{}
	}
	end := bytes.IndexByte(s.b[s.at:], '"')
	if end < 0 || end > len(time.RFC3339Nano) {
		s.fail("a time in UTC")
		return time.Time{}
	}
	text := s.b[s.at : s.at+end]
	if t, ok := parseTime(text); ok && !s.exact {
		s.at += end
		return t
	}
	t, err := time.Parse(time.RFC3339Nano, string(text))
	var room [len(time.RFC3339Nano)]byte
	if err != nil || !bytes.Equal(t.AppendFormat(room[:0], time.RFC3339Nano), text) || !time.Unix(0, t.UnixNano()).Equal(t) {
		s.fail("a time in UTC")
		return time.Time{}
	}
	s.at += end
	return t
}

// parseTime reads a moment of the years 1700 to 2199 as time.RFC3339Nano writes
// it in UTC; false for anything else, which the time package judges.
func parseTime(text []byte) (time.Time, bool) {
	const form = "2006-01-02T15:04:05"
	if len(text) < len(form)+1 || text[len(text)-1] != 'Z' || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' {
		return time.Time{}, false
	}
	century, y := twoDigits(text), twoDigits(text[2:])
	month, day := twoDigits(text[5:]), twoDigits(text[8:])
	hour, minute, second := twoDigits(text[11:]), twoDigits(text[14:]), twoDigits(text[17:])
	if century < 17 || century > 21 || y < 0 || month < 1 || month > 12 || day < 1 || day > 30 || month == 2 && day > 28 ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return time.Time{}, false
	}
	nanos, ok := fraction(text[len(form) : len(text)-1])
	return time.Date(100*century+y, time.Month(month), day, hour, minute, second, nanos, time.UTC), ok
}

// twoDigits returns a number below 100, or less than 0.
func twoDigits(b []byte) int {
	x, y := int(b[0])-'0', int(b[1])-'0'
	if x < 0 || x > 9 || y < 0 || y > 9 {
		return -1
	}
	return 10*x + y
}

// fraction reads the fraction of a second with its point, as nanoseconds; no
// zero ends it.
func fraction(b []byte) (nanos int, ok bool) {
	if len(b) == 0 {
		return 0, true
	}
	if len(b) < 2 || len(b) > 10 || b[0] != '.' || b[len(b)-1] == '0' {
		return 0, false
	}
	unit := 1_000_000_000
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return 0, false
		}
		unit /= 10
		nanos += int(c-'0') * unit
	}
	return nanos, true
}

// parseStrict reads a line of proof: canonical, and without unknown keys.
func parseStrict[T any](b []byte) (T, error) {
	var v T
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, engine.Errorf(engine.Invalid, "it cannot be read")
	}
	again, err := engine.MarshalJSON(v)
	if err != nil || !bytes.Equal(again, b) {
		return v, engine.Errorf(engine.Invalid, "it is not written as exports are")
	}
	return v, nil
}

func appendLine(b []byte, line any) []byte { return append(append(b, record.Marshal(line)...), '\n') }

// hashesOf splits hashes that lie one after the other.
func hashesOf(b []byte) ([]tlog.Hash, bool) {
	return decodeTile(b), len(b)%tlog.HashSize == 0
}
