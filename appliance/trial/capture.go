package trial

import (
	"context"
	"io"
	"path/filepath"
	"runtime"

	"larkspur/engine"
	"larkspur/engine/capture"
)

// maxWorkers is how many read a capture at once; more than these wait for the file.
const maxWorkers = 4

// capture replays a capture file.
func (x *Replay) capture(ctx context.Context, path string, in io.Reader) error {
	src, err := capture.NewFile(ctx, path, in)
	if err != nil {
		return err
	}
	defer src.Close()
	scan, lookups := capture.NewScan(src, min(runtime.GOMAXPROCS(0), maxWorkers), x.judge), capture.NewLookups()
	var seen engine.Sighting
	err = scan.Run(ctx, func(m *capture.Message) error {
		return x.lookup(ctx, filepath.Base(path), m, lookups.Pair(m), &seen)
	})
	stats := scan.Stats()
	x.counts.Events += int(stats.Messages)
	for reason, n := range stats.Undecodable {
		x.counts.Undecodable[reason] += n
	}
	return err
}

// judge says which messages are taken in order: those of names that a rule wants,
// for the query tells what the response is, and those without a name, which may
// answer any query. What runs expect comes and goes, so with runs it is all, and
// so it is for the memory.
func (x *Replay) judge() func(*capture.Message) bool {
	if x.player != nil || x.memory != nil {
		return func(*capture.Message) bool { return true }
	}
	return func(m *capture.Message) bool { return !m.Question || x.rules.Set.WantsName(m.Name) }
}
