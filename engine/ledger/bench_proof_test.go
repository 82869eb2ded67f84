package ledger_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

const benchmarked = 200_000

// steps is a ledger of records of steps.
func steps(b *testing.B) *fixture {
	f := house(b, 1, 1)
	f.appendAll(b, benchmarked-1, 512)
	return f
}

// cost is what one round took: of the clock, and of all processors.
type cost struct{ wall, cpu float64 }

func costOf(do func()) cost {
	cpu, begun := processors(), time.Now()
	do()
	return cost{time.Since(begun).Seconds(), processors() - cpu}
}

func processors() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkVerify verifies exports of records of steps. The ratios are medians of
// rounds: to the SHA-256 of the same bytes, and to decoding the same lines with
// encoding/json; cpu-µs/record is what all processors spent.
func BenchmarkVerify(b *testing.B) {
	f := steps(b)
	for name, what := range map[string]ledger.Selection{"all": {}, "range": {Since: morning}} {
		b.Run(name, func(b *testing.B) { benchVerify(b, f, f.export(b, what)) })
	}
}

func benchVerify(b *testing.B, f *fixture, file []byte) {
	var rates, spent, sha, decode []float64
	for b.Loop() {
		verifying := costOf(func() {
			if r := verify(b, file, f.signer.Verifier); !r.OK() || r.Records != benchmarked {
				b.Fatalf("got %d records and %v", r.Records, r.Findings)
			}
		})
		hashing := costOf(func() { sha256.Sum256(file) })
		decoding := costOf(func() { decodeLines(file[:len(file)/8]) })
		rates = append(rates, benchmarked/verifying.wall)
		spent = append(spent, verifying.cpu/benchmarked*1e6)
		sha = append(sha, verifying.wall/hashing.wall)
		decode = append(decode, 8*decoding.wall/verifying.wall)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(rates), "records/s")
	b.ReportMetric(median(spent), "cpu-µs/record")
	b.ReportMetric(median(sha), "times-sha256")
	b.ReportMetric(median(decode), "ratio-to-json")
	b.ReportMetric(float64(len(file))/benchmarked, "B/record")
}

func decodeLines(file []byte) {
	for line := range bytes.Lines(file) {
		var v map[string]any
		if json.Unmarshal(line, &v) != nil {
			return // the last one was cut
		}
	}
}

// BenchmarkExport exports while nobody appends.
func BenchmarkExport(b *testing.B) {
	f := steps(b)
	for name, what := range map[string]ledger.Selection{"all": {}, "range": {Since: morning}} {
		b.Run(name, func(b *testing.B) {
			var rates, spent []float64
			for b.Loop() {
				c := costOf(func() { f.exportAway(b, what) })
				rates, spent = append(rates, benchmarked/c.wall), append(spent, c.cpu/benchmarked*1e6)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(rates), "records/s")
			b.ReportMetric(median(spent), "cpu-µs/record")
		})
	}
}

func (f *fixture) exportAway(b *testing.B, what ledger.Selection) {
	if err := f.ledger.Export(context.Background(), io.Discard, what); err != nil {
		b.Error(err)
	}
}

// BenchmarkExportBesideAppends appends to a synced store with and without an
// export beside it, alternating, a second each: kept is how much of the appends'
// speed is left over all rounds. One round says little: Badger's compactions stall
// appends for part of a second, with an export or without.
func BenchmarkExportBesideAppends(b *testing.B) {
	for name, callers := range map[string]int{"8 callers": 8, "128 callers": 128} {
		b.Run(name, func(b *testing.B) {
			f := open(b, b.TempDir(), 1, nil)
			defer f.close(b)
			f.appendAll(b, benchmarked, 512)
			var with, alone, exported, rounds float64
			for export := false; b.Loop(); export = !export {
				for range 2 { // each comes first in every other round
					n, lines := f.appendFor(b, time.Second, callers, export)
					if export {
						with, exported = with+n, exported+lines
					} else {
						alone += n
					}
					export = !export
				}
				rounds++
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(alone/rounds, "appends/s")
			b.ReportMetric(with/alone, "kept")
			b.ReportMetric(exported/rounds, "exported/s")
		})
	}
}

// appendFor appends for a time, and returns records a second, of appends and of
// exports that went on meanwhile.
func (f *fixture) appendFor(b *testing.B, span time.Duration, callers int, export bool) (appended, exported float64) {
	ctx, cancel := context.WithTimeout(context.Background(), span)
	defer cancel()
	var n, lines atomic.Int64
	var all sync.WaitGroup
	begun := time.Now()
	if export {
		all.Go(func() {
			for ctx.Err() == nil {
				_ = f.ledger.Export(ctx, lineCounter{&lines}, ledger.Selection{}) // ends with ctx
			}
		})
	}
	for range callers {
		all.Go(func() {
			for ctx.Err() == nil {
				k := n.Add(1)
				if _, err := f.ledger.Append(context.Background(), 0, ledger.New{Kind: record.StepStartedKind, Payload: benchPayload(k)}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	seconds := time.Since(begun).Seconds()
	return float64(n.Load()) / seconds, float64(lines.Load()) / seconds
}

type lineCounter struct{ n *atomic.Int64 }

func (c lineCounter) Write(p []byte) (int, error) {
	c.n.Add(int64(bytes.Count(p, []byte("\n"))))
	return len(p), nil
}

// BenchmarkAppendIdle is one caller's append against one sync of as many bytes
// by Badger alone (a transaction of one key), alternating: ratio is that of the medians.
func BenchmarkAppendIdle(b *testing.B) {
	f := open(b, b.TempDir(), 1, nil)
	defer f.close(b)
	raw, err := store.OpenLedger(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer raw.Close()
	f.appendAll(b, 200, 1)
	var appends, syncs []float64
	for k := int64(0); b.Loop(); k++ {
		for i := range int64(50) {
			payload := benchPayload(50*k + i)
			appends = append(appends, costOf(func() {
				if _, err := f.ledger.Append(context.Background(), 0, ledger.New{Kind: record.StepStartedKind, Payload: payload}); err != nil {
					b.Error(err)
				}
			}).wall)
			syncs = append(syncs, costOf(func() { commitOne(b, raw, payload) }).wall)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(appends)*1e6, "p50-append-µs")
	b.ReportMetric(median(syncs)*1e6, "p50-sync-µs")
	b.ReportMetric(median(appends)/median(syncs), "ratio")
}

func commitOne(b *testing.B, s *store.Store, value []byte) {
	view := s.View()
	defer view.Close()
	batch := store.NewBatch(view)
	batch.Set([]byte("key"), value)
	if err := s.Commit(batch); err != nil {
		b.Error(err)
	}
}
