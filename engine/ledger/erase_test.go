package ledger_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// marker is a text that stands nowhere else, and that no compression breaks.
func marker() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// found lists the files below dir in which a text stands: in clear, or in
// base64, whatever stands before it.
func found(t testing.TB, dir, text string) (files []string) {
	t.Helper()
	forms := [][]byte{[]byte(text)}
	for skip := range 3 {
		encoded := base64.StdEncoding.EncodeToString(append(make([]byte, skip), text...))
		forms = append(forms, []byte(encoded[4:len(encoded)-4]))
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, form := range forms {
			if bytes.Contains(content, form) && !slices.Contains(files, path) {
				files = append(files, path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func event(text string) ledger.New {
	return ledger.New{Kind: record.EventSeenKind, Payload: record.Marshal(record.EventSeen{
		Kind: "webhook", Source: "alarm", Time: time.Unix(1790000000, 0).UTC(), Fields: engine.MustEncode(map[string]engine.Value{"text": text}),
	})}
}

func (f *fixture) append(t testing.TB, shard uint16, records ...ledger.New) uint64 {
	t.Helper()
	done, err := f.ledger.Append(context.Background(), shard, records...)
	if err != nil {
		t.Fatal(err)
	}
	return done[0].Header.Record
}

func erasure() record.Erased {
	return record.Erased{Because: "of a test", By: "ana", Erasure: "x", How: "command", What: record.Selection{Incident: "i0-1"}}
}

func numbersOf(records []ledger.Record) (numbers []uint64) {
	for _, r := range records {
		numbers = append(numbers, r.Header.Record)
	}
	return numbers
}

// TestErasedPayloadsAreInNoFile: neither in tables nor in logs, whether they lay
// in one or the other; what was not erased is still there, and all of it verifies.
func TestErasedPayloadsAreInNoFile(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, 1, nil)
	gone, kept := marker(), marker()
	var erased []uint64
	for i := range 700 { // more than one record of an erasure takes
		erased = append(erased, f.append(t, 0, event(fmt.Sprint(gone, i))))
		f.append(t, 0, event(kept))
		if i == 300 { // into tables
			f.close(t)
			f = open(t, dir, 1, nil)
		}
	}
	if len(found(t, dir, gone)) < 2 {
		t.Fatalf("the marker stands in %v, want it in a table and a log", found(t, dir, gone))
	}
	root, err := f.ledger.Root(0, f.ledger.Size(0))
	if err != nil {
		t.Fatal(err)
	}
	size := f.ledger.Size(0)
	by, err := f.ledger.Erase(t.Context(), 0, erasure(), erased)
	if err != nil || len(by) < 2 {
		t.Fatalf("got %d records, %v, want more than one", len(by), err)
	}
	if err := f.ledger.Purge(0, numbersOf(by), nil); err != nil {
		t.Fatal(err)
	}
	if files := found(t, dir, gone); len(files) > 0 {
		t.Errorf("what was erased is still in %v", files)
	}
	if len(found(t, dir, kept)) == 0 {
		t.Error("what was not erased is gone, too")
	}
	if again, err := f.ledger.Root(0, size); err != nil || again != root {
		t.Errorf("got root %v (%v), want the one before, %v", again, err, root)
	}
	wantFine(t, verify(t, f.export(t, ledger.Selection{}), f.signer.Verifier), int(f.ledger.Size(0)))
	f.close(t)
	f = open(t, dir, 1, nil)
	defer f.close(t)
	if files := found(t, dir, gone); len(files) > 0 {
		t.Errorf("after another start it is in %v", files)
	}
	r, err := f.ledger.Record(0, erased[0])
	if err != nil || !r.Erased || r.Erasure.Because != "of a test" || string(r.Erasure.Left) == "" {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestErasuresOverlap: what is erased stays as its first erasure left it.
func TestErasuresOverlap(t *testing.T) {
	f := open(t, t.TempDir(), 1, nil)
	defer f.close(t)
	for range 10 {
		f.append(t, 0, event("x"))
	}
	first, second := erasure(), erasure()
	second.Because, second.Erasure = "of another", "y"
	for _, each := range []struct {
		e       record.Erased
		numbers []uint64
	}{{first, []uint64{3, 4, 5}}, {second, []uint64{0, 5, 6, 6, 4}}, {second, nil}} {
		if _, err := f.ledger.Erase(t.Context(), 0, each.e, each.numbers); err != nil {
			t.Fatal(err)
		}
	}
	want := map[uint64]string{3: "of a test", 4: "of a test", 5: "of a test", 6: "of another"}
	for n := range f.ledger.Size(0) {
		r, err := f.ledger.Record(0, n)
		if err != nil || r.Erased != (want[n] != "") || r.Erased && r.Erasure.Because != want[n] {
			t.Errorf("record %d: got %+v, %v, want %q", n, r.Erasure, err, want[n])
		}
	}
	report := verify(t, f.export(t, ledger.Selection{}), f.signer.Verifier)
	wantFine(t, report, int(f.ledger.Size(0)))
	words := []ledger.Word{{By: "ana", Because: "of a test", Records: 3}, {By: "ana", Because: "of another", Records: 1}}
	if !slices.Equal(report.Words, words) || report.Erased != 4 || report.Unsaid != 0 {
		t.Errorf("got %+v of %d erased, %d unsaid, want %+v", report.Words, report.Erased, report.Unsaid, words)
	}
}

func TestErasingWhatIsNotThere(t *testing.T) {
	f := open(t, t.TempDir(), 1, nil)
	defer f.close(t)
	if _, err := f.ledger.Erase(t.Context(), 0, erasure(), []uint64{99}); engine.KindOf(err) != engine.NotFound {
		t.Errorf("got %v, want not_found", err)
	}
	if size := f.ledger.Size(0); size != 1 {
		t.Errorf("got %d records, want that nothing was written", size)
	}
}

// BenchmarkPurge tells how long appends wait, at most, while one record in a
// hundred of a ledger is dropped from the files.
func BenchmarkPurge(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		f := house(b, 1, 1)
		frame := make([]ledger.New, 200)
		for n := range 100_000 / len(frame) {
			for i := range frame {
				frame[i] = event(fmt.Sprint(marker(), marker(), n, i))
			}
			f.append(b, 0, frame...)
		}
		var every []uint64
		for n := uint64(1); n < 100_000; n += 100 {
			every = append(every, n)
		}
		b.StartTimer()
		begun := time.Now()
		by, err := f.ledger.Erase(b.Context(), 0, erasure(), every)
		if err != nil {
			b.Fatal(err)
		}
		erased := time.Since(begun)
		var longest atomic.Int64
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				begun := time.Now()
				f.append(b, 0, event("x"))
				longest.Store(max(longest.Load(), int64(time.Since(begun))))
			}
		}()
		begun = time.Now()
		if err := f.ledger.Purge(0, numbersOf(by), nil); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(begun).Milliseconds()), "purge-ms")
		b.ReportMetric(float64(erased.Milliseconds()), "erase-ms")
		stop()
		<-done
		b.ReportMetric(float64(longest.Load())/1e6, "longest-append-ms")
	}
}
