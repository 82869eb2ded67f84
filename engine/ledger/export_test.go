package ledger_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// minutes is a clock that goes on a minute with each reading.
type minutes struct {
	engine.SystemClock
	at time.Time
}

func (m *minutes) Now() time.Time {
	m.at = m.at.Add(time.Minute + time.Nanosecond)
	return m.at
}

var morning = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// house is a ledger whose frames of three records are a minute apart.
func house(t testing.TB, shards, records int) *fixture {
	t.Helper()
	dir := t.TempDir()
	s, err := store.OpenScratch(dir + "/ledger")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{store: s, count: &counter{}}
	if f.signer, err = ledger.LoadSigner(dir+"/key", "larkspur"); err != nil {
		t.Fatal(err)
	}
	f.ledger, err = ledger.Open(ledger.Config{
		Store: s, Projector: f.count, Clock: &minutes{at: morning}, Shards: shards, Signer: f.signer, Engine: "0.1.0", Node: "box",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.ledger.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for shard := range shards {
		for n := 1; n < records; n += 3 {
			var frame []ledger.New
			for i := n; i < min(n+3, records); i++ {
				payload := fmt.Appendf(nil, `{"fields":{"n":%d,"text":"a \"quoted\" brace }"},"run":"r0-%d"}`, i, i%7)
				frame = append(frame, ledger.New{Kind: record.EventSeenKind, Payload: payload})
			}
			if _, err := f.ledger.Append(context.Background(), uint16(shard), frame...); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

// erase does what an erasure of a payload does.
func (f *fixture) erase(t testing.TB, shard uint16, n uint64) {
	t.Helper()
	at := func(class byte) []byte {
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint16([]byte{class}, shard), n)
	}
	view := f.store.View()
	defer view.Close()
	salted, ok := view.Get(at(3))
	if !ok {
		t.Fatalf("record %d/%d has no payload", shard, n)
	}
	digest := sha256.Sum256(salted)
	b := store.NewBatch(view)
	b.Delete(at(3))
	b.Set(at(4), digest[:])
	if err := f.store.Commit(b); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) export(t testing.TB, what ledger.Selection) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f.ledger.Export(context.Background(), &b, what); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func verify(t testing.TB, file []byte, keys ...string) *ledger.Report {
	t.Helper()
	report, err := ledger.Verify(bytes.NewReader(file), keys...)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func wantFine(t *testing.T, r *ledger.Report, records int) {
	t.Helper()
	for _, f := range r.Findings {
		t.Errorf("got finding: %s", f)
	}
	if int(r.Records) != records {
		t.Errorf("got %d records, want %d", r.Records, records)
	}
}

func TestExportVerifies(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 3} {
		for _, records := range []int{1, 2, 256, 257, 700} {
			t.Run(fmt.Sprintf("%d shards of %d", shards, records), func(t *testing.T) {
				f := house(t, shards, records)
				if records > 300 {
					f.erase(t, 0, 7)
					f.erase(t, 0, 299)
				}
				r := verify(t, f.export(t, ledger.Selection{}), f.signer.Verifier)
				wantFine(t, r, shards*records)
				if records > 300 && r.Erased != 2 {
					t.Errorf("got %d erased, want 2", r.Erased)
				}
				since := ledger.Selection{Since: morning.Add(50 * time.Minute), Until: morning.Add(150 * time.Minute)}
				if r := verify(t, f.export(t, since), f.signer.Verifier); !r.OK() || records > 300 && shards == 1 && r.Records != 300 {
					t.Errorf("range: got %d records and %v", r.Records, r.Findings)
				}
				one := ledger.Selection{Incident: "i0-1", Covers: func(r ledger.Record) bool { return strings.Contains(string(r.Payload), `"r0-3"`) }}
				if r := verify(t, f.export(t, one), f.signer.Verifier); !r.OK() || int(r.Records) < shards*((records-1)/7-1) || r.Incident != "i0-1" {
					t.Errorf("selected: got %d records and %v", r.Records, r.Findings)
				}
			})
		}
	}
}

// TestExportAcrossLevels crosses the tiles of the second level.
func TestExportAcrossLevels(t *testing.T) {
	if testing.Short() {
		t.Skip("66,000 records")
	}
	t.Parallel()
	f := house(t, 1, 1)
	for f.ledger.Size(0) < 66_000 {
		appendAll(t, f.ledger, 0, numbered(300)...)
	}
	file := f.export(t, ledger.Selection{})
	wantFine(t, verify(t, file, f.signer.Verifier), int(f.ledger.Size(0)))
	lines := bytes.SplitAfter(file, []byte("\n"))
	cut := bytes.Join(append(lines[:2:2], lines[3:]...), nil) // without the tile of the second level
	r := verify(t, cut, f.signer.Verifier)
	if len(r.Findings) != 1 || r.Findings[0].Kind != ledger.Missing || r.Findings[0].Subject != "proof" {
		t.Errorf("got %v, want the tile that is missing", r.Findings)
	}
}

func TestKeysThatConsumersRead(t *testing.T) {
	f := house(t, 1, 4)
	f.erase(t, 0, 2)
	records := 0
	for line := range bytes.Lines(f.export(t, ledger.Selection{})) {
		var r engine.AuditRecord
		var raw map[string]any
		if err := json.Unmarshal(line, &raw); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		again, _ := engine.MarshalJSON(raw)
		if string(again)+"\n" != string(line) {
			t.Errorf("got %s, want canonical JSON %s", line, again)
		}
		if _, ok := raw["record"]; !ok {
			continue
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		stored, err := f.ledger.Record(0, uint64(records))
		if err != nil {
			t.Fatal(err)
		}
		if r.Record != uint64(records) || r.Leaf != stored.Leaf().String() || r.Kind != stored.Header.Kind.String() || !r.Time.Equal(stored.Header.Time) ||
			string(r.Payload) != string(stored.Payload) || string(r.Outcome) != string(stored.Outcome) || r.Erased != (records == 2) {
			t.Errorf("got %+v, want %+v", r, stored)
		}
		records++
	}
	if records != 4 {
		t.Errorf("got %d records, want 4", records)
	}
}
