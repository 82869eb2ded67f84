package ledger_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// counter is a projector that counts records and refuses payloads of "refuse".
type counter struct {
	committed []ledger.Record
	slower    time.Duration // is what a sync takes more than this disk's
}

var countKey = []byte("p\x00\x00")

func (c *counter) Decide(tx *store.Batch, r ledger.Record) ([]byte, error) {
	if string(r.Payload) == `"fail"` {
		return nil, engine.Errorf(engine.Internal, "cannot")
	}
	o := record.Outcome{Applied: string(r.Payload) != `"refuse"`}
	if o.Applied {
		c.add(tx)
	}
	return record.Marshal(o), nil
}

func (c *counter) Apply(tx *store.Batch, r ledger.Record) error {
	if o, _ := record.Unmarshal[record.Outcome](r.Outcome); o.Applied {
		c.add(tx)
	}
	return nil
}

func (c *counter) add(tx *store.Batch) {
	n := uint64(0)
	if b, ok := tx.Get(countKey); ok {
		n = binary.BigEndian.Uint64(b)
	}
	tx.Set(countKey, binary.BigEndian.AppendUint64(nil, n+1))
}

func (c *counter) Committed(rs []ledger.Record) {
	if c.slower > 0 {
		time.Sleep(c.slower) // benchmarks of a slower disk alone
	}
	c.committed = append(c.committed, rs...)
}

type fixture struct {
	store  *store.Store
	ledger *ledger.Ledger
	count  *counter
	signer *ledger.Signer
}

func open(t testing.TB, dir string, shards int, last []byte) *fixture {
	t.Helper()
	s, err := store.OpenLedger(dir + "/ledger")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ledger.LoadSigner(dir+"/key", "larkspur")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{store: s, count: &counter{}, signer: signer}
	f.ledger, err = ledger.Open(ledger.Config{Store: s, Projector: f.count, Clock: engine.SystemClock{}, Shards: shards, Signer: signer, LastCheckpoint: last})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) close(t testing.TB) {
	t.Helper()
	f.ledger.Close()
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
}

func numbered(n int) []ledger.New {
	list := make([]ledger.New, n)
	for i := range list {
		list[i] = ledger.New{Kind: record.EventSeenKind, Payload: fmt.Appendf(nil, "%d", i)}
	}
	return list
}

func appendAll(t *testing.T, l *ledger.Ledger, shard uint16, records ...ledger.New) []ledger.Record {
	t.Helper()
	got, err := l.Append(context.Background(), shard, records...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// naiveRoot computes the root of a shard from its leaves alone.
func naiveRoot(t *testing.T, l *ledger.Ledger, shard uint16) tlog.Hash {
	t.Helper()
	var hashes []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = hashes[x]
		}
		return out, nil
	})
	size := l.Size(shard)
	for n := range size {
		text, err := l.LeafOf(shard, n)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := base64.StdEncoding.DecodeString(text)
		stored, err := tlog.StoredHashesForRecordHash(int64(n), tlog.Hash(raw), read)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, stored...)
	}
	root, err := tlog.TreeHash(int64(size), read)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestTreeEqualsRFC6962AcrossTilesAndReopening(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, 1, nil)
	for _, n := range []int{1, 200, 53, 1, 1, 255, 700} { // around the tiles' edges
		appendAll(t, f.ledger, 0, numbered(n)...)
		want := naiveRoot(t, f.ledger, 0).String()
		if note := signed(t, f); !strings.Contains(note, "\n"+want+"\n") {
			t.Fatalf("at %d records: got checkpoint %q, want root %s", f.ledger.Size(0), note, want)
		}
		f.close(t)
		f = open(t, dir, 0, nil)
	}
	f.close(t)
}

func signed(t *testing.T, f *fixture) string {
	t.Helper()
	text, err := f.ledger.Sign()
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(f.signer.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		t.Fatalf("the checkpoint does not verify: %v", err)
	}
	return n.Text
}

func TestAppendIsGroupedAndOrdered(t *testing.T) {
	f := open(t, t.TempDir(), 8, nil)
	defer f.close(t)
	var callers sync.WaitGroup
	for c := range 64 {
		callers.Go(func() {
			for range 20 {
				if _, err := f.ledger.Append(context.Background(), uint16(c%8), numbered(3)...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	for shard := range uint16(8) {
		next, frame := uint64(0), uint64(0)
		err := f.ledger.Records(shard, 0, func(r ledger.Record) bool {
			h := r.Header
			if h.Record != next || h.Frame < frame {
				t.Errorf("shard %d: got record %d of frame %d, want record %d", shard, h.Record, h.Frame, next)
			}
			next, frame = next+1, h.Frame
			return true
		})
		if err != nil || next != 1+8*20*3 {
			t.Errorf("shard %d: got %d records and error %v, want %d", shard, next, err, 1+8*20*3)
		}
	}
}

func TestRefusedAndFailedRecords(t *testing.T) {
	f := open(t, t.TempDir(), 1, nil)
	defer f.close(t)
	before := f.ledger.Size(0)
	got := appendAll(t, f.ledger, 0, ledger.New{Kind: record.EventSeenKind, Payload: []byte(`"refuse"`)})
	if o, _ := record.Unmarshal[record.Outcome](got[0].Outcome); o.Applied {
		t.Errorf("got %+v, want no effect", o)
	}
	_, err := f.ledger.Append(context.Background(), 0, append(numbered(2), ledger.New{Kind: record.EventSeenKind, Payload: []byte(`"fail"`)})...)
	if err == nil {
		t.Fatal("got no error, want the projector's")
	}
	if got, want := f.ledger.Size(0), before+1; got != want {
		t.Errorf("got %d records, want %d: a frame is all or nothing", got, want)
	}
	_, err = f.ledger.Append(context.Background(), 0, ledger.New{Kind: record.EventSeenKind, Payload: make([]byte, ledger.MaxPayloadBytes+1)})
	if engine.KindOf(err) != engine.Invalid {
		t.Errorf("got %v, want a refusal of what cannot fit", err)
	}
	var many []ledger.New
	for range 60 {
		many = append(many, ledger.New{Kind: record.EventSeenKind, Payload: make([]byte, 15<<10)})
	}
	if _, err = f.ledger.Append(context.Background(), 0, many...); engine.KindOf(err) != engine.Invalid {
		t.Errorf("got %v, want a refusal of a frame that cannot fit", err)
	}
}

func TestLedgerThatWentBackBeginsAnIncarnation(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, 1, nil)
	appendAll(t, f.ledger, 0, numbered(3)...)
	f.close(t)
	if err := os.CopyFS(dir+"/backup", os.DirFS(dir+"/ledger")); err != nil {
		t.Fatal(err)
	}
	f = open(t, dir, 0, nil)
	appendAll(t, f.ledger, 0, numbered(5)...)
	note, err := f.ledger.Sign()
	if err != nil {
		t.Fatal(err)
	}
	f.close(t)
	f = open(t, dir, 0, note)
	same := appendAll(t, f.ledger, 0, numbered(1)...)[0].Header.Incarnation
	f.close(t)
	if err := os.RemoveAll(dir + "/ledger"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"/backup", dir+"/ledger"); err != nil {
		t.Fatal(err)
	}
	f = open(t, dir, 0, note)
	defer f.close(t)
	if got := appendAll(t, f.ledger, 0, numbered(1)...)[0].Header.Incarnation; same != 1 || got != 2 {
		t.Errorf("got incarnations %d and %d, want 1 and, after the restore, 2", same, got)
	}
}

func TestZeroByteFilesOfACrashAreRepaired(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, 1, nil)
	appendAll(t, f.ledger, 0, numbered(3)...)
	f.close(t)
	for _, name := range []string{"00099.mem", "000099.vlog"} {
		if err := os.WriteFile(dir+"/ledger/"+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f = open(t, dir, 0, nil)
	defer f.close(t)
	if got := f.ledger.Size(0); got != 5 {
		t.Errorf("got %d records, want 5", got)
	}
}

func TestTimeOfRecordsNeverGoesBack(t *testing.T) {
	f := open(t, t.TempDir(), 1, nil)
	defer f.close(t)
	last := time.Time{}
	appendAll(t, f.ledger, 0, numbered(4)...)
	err := f.ledger.Records(0, 0, func(r ledger.Record) bool {
		if r.Header.Time.Before(last) {
			t.Errorf("record %d: %v is before %v", r.Header.Record, r.Header.Time, last)
		}
		last = r.Header.Time
		return true
	})
	if err != nil {
		t.Error(err)
	}
	if id := f.ledger.ID(); len(hex.EncodeToString(id[:])) != 32 {
		t.Errorf("got ledger id %s", id)
	}
}
