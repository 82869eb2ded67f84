package bench

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Of one round: enough for a median.
const (
	badgerCommits = 2000
	appendRounds  = 40 // of 50 appends each
)

// BenchmarkBadger sets a key of Badger as it is published, synced, and in turns with
// that appends a record to our ledger (BenchmarkAppendIdle of engine/ledger), each by
// a lone caller on the same disk. ratio is the median of the rounds': how many of
// Badger's commits an append takes.
func BenchmarkBadger(b *testing.B) {
	ledger := build(b, "./engine/ledger")
	db, err := badger.Open(badger.DefaultOptions(b.TempDir()).WithSyncWrites(true).WithLogger(nil))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	var theirs, appends, ratios []float64
	for b.Loop() {
		t := commits(b, db)
		o := ledger.figure(b, "^BenchmarkAppendIdle$", appendRounds, "p50-append-µs")
		theirs, appends, ratios = append(theirs, t), append(appends, o), append(ratios, o/t)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(theirs), "badger-p50-µs")
	b.ReportMetric(median(appends), "p50-append-µs")
	b.ReportMetric(median(ratios), "ratio")
}

// commits commits one key after the other, each with a value as long as that of a
// step, and returns the median time in microseconds.
func commits(b *testing.B, db *badger.DB) float64 {
	b.Helper()
	value := bytes.Repeat([]byte("x"), 250)
	var took []float64
	for n := range badgerCommits {
		key := binary.BigEndian.AppendUint64([]byte("key"), uint64(n))
		begun := time.Now()
		err := db.Update(func(txn *badger.Txn) error { return txn.Set(key, value) })
		took = append(took, float64(time.Since(begun))/float64(time.Microsecond))
		if err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(took)
	return took[len(took)/2]
}
