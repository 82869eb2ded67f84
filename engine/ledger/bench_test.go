package ledger_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// benchPayload is a record of a step as a run of a playbook has it.
func benchPayload(n int64) []byte {
	hash := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	return fmt.Appendf(nil, `{"args":{"connection":"home","mac":"02:00:00:00:%02x:%02x"},"at":"scripts/netflix.star:12:9","builtin":"unifi.block","class":"once","generation":1,"hash":"k1:%x","n":3,"run":"r0-%d","ticks":184}`, hash[0], hash[1], hash, n)
}

// BenchmarkAppend appends single records: 128 callers at once, whose records
// share syncs, against one caller, whose every record is synced alone. ratio is
// the rounds' median. The disk is this machine's, and one whose sync takes 2 ms
// longer, as those of SD cards and small disks do at least.
func BenchmarkAppend(b *testing.B) {
	for _, slower := range []time.Duration{0, 2 * time.Millisecond} {
		b.Run(fmt.Sprintf("sync+%v", slower), func(b *testing.B) { benchmarkAppend(b, slower) })
	}
}

func benchmarkAppend(b *testing.B, slower time.Duration) {
	f := open(b, b.TempDir(), 1, nil)
	defer f.close(b)
	f.count.slower = slower
	var grouped, single, ratios []float64
	f.appendAll(b, 1000, 128)
	for b.Loop() {
		g, s := f.appendAll(b, 20_000, 128), f.appendAll(b, 500, 1)
		grouped, single, ratios = append(grouped, g), append(single, s), append(ratios, g/s)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(grouped), "records/s")
	b.ReportMetric(median(single), "sync-each-records/s")
	b.ReportMetric(median(ratios), "ratio")
}

// BenchmarkBytesOfARecord is what a record of a step takes on the disk with its
// proof, beside its payload, once Badger has written its logs to tables.
func BenchmarkBytesOfARecord(b *testing.B) {
	var each float64
	for b.Loop() {
		dir := b.TempDir()
		f := open(b, dir, 1, nil)
		f.appendAll(b, 1000, 128)
		before := tableBytes(b, f, dir)
		f = open(b, dir, 1, nil)
		f.appendAll(b, 100_000, 128)
		each = (tableBytes(b, f, dir) - before) / 100_000
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(each, "B/record")
	b.ReportMetric(float64(len(benchPayload(4711))), "payload-B")
}

// tableBytes closes a ledger and returns what its tables take.
func tableBytes(b *testing.B, f *fixture, dir string) (sum float64) {
	b.Helper()
	f.close(b)
	err := filepath.WalkDir(dir+"/ledger", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".sst") {
			info, err := d.Info()
			if err != nil {
				return err
			}
			sum += float64(info.Size())
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return sum
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// appendAll appends n records by so many callers and returns how many a second.
func (f *fixture) appendAll(b *testing.B, n int, callers int) float64 {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	begun := time.Now()
	for range callers {
		all.Go(func() {
			for k := next.Add(1); k <= int64(n); k = next.Add(1) {
				_, err := f.ledger.Append(context.Background(), 0, ledger.New{Kind: record.StepStartedKind, Payload: benchPayload(k)})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	return float64(n) / time.Since(begun).Seconds()
}
