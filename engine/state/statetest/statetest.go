// Package statetest makes large boxes for benchmarks, and says what they take.
package statetest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/store"
)

// Wait opens n incidents whose runs sleep, from number first on; their timers are
// due a second after each other, the first after so long. add appends a frame to
// shard 0.
func Wait(add func(...ledger.New) []record.Outcome, now time.Time, after time.Duration, first, n int) {
	matches := make([]ledger.New, 0, n)
	for k := first; k < first+n; k++ {
		fields := engine.MustEncode(map[string]engine.Value{"client": fmt.Sprintf("192.0.2.%d", k%250), "query": "www.netflix.com"})
		matches = append(matches, rec(record.EventMatchedKind, record.EventMatched{
			Rule: "netflix", Event: fmt.Sprint("e0-", k), Offer: fmt.Sprint("waits/", k), EventKind: "dns", Source: "eth1", EventTime: now,
			Fields: fields, Severity: "low", Type: "streaming", Title: "Netflix from 192.0.2.7", Mode: "live",
			Do: engine.Handler{File: "netflix.star", Name: "respond"}, Bundle: strings.Repeat("0123456789abcdef", 4),
		}))
	}
	var steps []ledger.New
	for k, o := range add(matches...) {
		steps = append(steps, sleeping(o.Run, now.Add(after+time.Duration(first+k)*time.Second))...)
	}
	add(steps...)
}

// sleeping are the records of a run that read something and went to sleep.
func sleeping(run string, until time.Time) []ledger.New {
	hash := "k1:" + strings.Repeat("0123456789abcdef", 4)
	return []ledger.New{
		rec(record.StepDoneKind, record.StepDone{
			Run: run, Generation: 1, Number: 1, Builtin: "unifi.client", Class: engine.Read, At: "scripts/netflix.star:3:8", Hash: hash, Ticks: 40,
			Args: engine.MustEncode(map[string]engine.Value{"mac": "02:00:00:00:00:07"}), Result: engine.MustEncode(map[string]engine.Value{"online": false}),
		}),
		rec(record.StepStartedKind, record.StepStarted{
			Run: run, Generation: 1, Number: 2, Builtin: "sleep", Class: engine.Repeatable, At: "scripts/netflix.star:5:8", Hash: hash, Ticks: 80,
			Args: engine.MustEncode(map[string]engine.Value{"duration": time.Hour}), Until: until,
		}),
		rec(record.RunParkedKind, record.RunParked{Run: run, Generation: 1, Number: 2, Waits: "until 2026-11-22T09:00:00Z"}),
	}
}

func rec(k record.Kind, payload any) ledger.New {
	return ledger.New{Kind: k, Payload: record.Marshal(payload)}
}

// Box is one that the appliance would open.
type Box struct {
	Store  *store.Store
	Ledger *ledger.Ledger
	State  *state.State
}

// Open opens the box of a folder.
func Open(dir string, clock engine.Clock) (*Box, error) {
	s, err := store.OpenLedger(dir + "/ledger")
	if err != nil {
		return nil, err
	}
	blobs, err := store.OpenBlobs(dir + "/blobs")
	if err != nil {
		return nil, err
	}
	l, err := ledger.Open(ledger.Config{Store: s, Projector: state.NewProjector(nil), Clock: clock, Node: "bench"})
	if err != nil {
		return nil, err
	}
	return &Box{s, l, state.Open(s, blobs, l)}, nil
}

// Close closes what Open opened.
func (b *Box) Close() error {
	b.Ledger.Close()
	return b.Store.Close()
}

// Memory is what this process holds, in MB: its own, pages of files, which the
// kernel takes back when it wants, and the most that both ever were.
func Memory() (own, files, most int, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "RssAnon: %d kB", &own)
		fmt.Sscanf(line, "RssFile: %d kB", &files)
		fmt.Sscanf(line, "VmHWM: %d kB", &most)
	}
	return own >> 10, files >> 10, most >> 10, nil
}

// TableBytes is what the tables of a store take.
func TableBytes(dir string) (sum float64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".sst") {
			info, err := d.Info()
			if err != nil {
				return err
			}
			sum += float64(info.Size())
		}
		return err
	})
	return sum, err
}
