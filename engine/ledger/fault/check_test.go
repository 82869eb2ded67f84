package fault

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/store"
)

// checker opens a copy of what a fault left and holds it to the truth.
type checker struct {
	truth  *truth
	dir    string
	store  *store.Store
	blobs  *store.Blobs
	ledger *ledger.Ledger
	state  *state.State
	found  map[place][]seen // without the epoch that opening began
	leaves [][]tlog.Hash    // by shard: stored hashes, computed from the leaves alone
	erased erasures
	wrong  []error
}

func (c *checker) fault(format string, a ...any) { c.wrong = append(c.wrong, fmt.Errorf(format, a...)) }

// check returns what is on the disk, and everything that is wrong with it.
func check(t *truth, dir string) (found map[place][]seen, records int, wrong []error) {
	c := &checker{truth: t, dir: dir, found: map[place][]seen{}, erased: newErasures()}
	if err := c.open(); err != nil {
		return nil, 0, []error{fmt.Errorf("opening: %w", err)}
	}
	defer func() {
		c.ledger.Close()
		if err := c.store.Close(); err != nil {
			wrong = append(wrong, err)
		}
	}()
	for shard := range uint16(c.ledger.Shards()) {
		c.shard(shard)
		c.tree(shard)
		records += int(c.ledger.Size(shard))
	}
	c.kept()
	c.contents()
	c.checkpoints()
	c.erasures()
	c.rebuild()
	return c.found, records, c.wrong
}

func (c *checker) open() (err error) {
	if c.store, err = store.OpenScratch(filepath.Join(c.dir, "ledger")); err != nil {
		return err
	}
	if c.ledger, err = openLedger(c.store, projector(), engine.SystemClock{}, 0, c.dir); err != nil {
		c.store.Close()
		return err
	}
	if c.blobs, err = store.OpenBlobs(filepath.Join(c.dir, "blobs")); err != nil {
		return err
	}
	c.state = state.Open(c.store, c.blobs, c.ledger)
	if id := c.ledger.ID().String(); c.truth.ledger != "" && id != c.truth.ledger {
		c.fault("the ledger is %s, it was %s", id, c.truth.ledger)
	}
	return nil
}

// shard reads a shard in order: numbers without a gap, epochs opened by their
// first frame, times and incarnations that never go back.
func (c *checker) shard(shard uint16) {
	own := c.ledger.Owned()[shard].Epoch
	var last record.Header
	var frame []seen
	flush := func(next record.Header) {
		if len(frame) > 0 && last.Epoch != own {
			h, _ := header(frame[0])
			c.found[place{shard, h.Record}] = frame
		}
		frame = nil
		last = next
	}
	number := uint64(0)
	err := c.ledger.Records(shard, 0, func(r ledger.Record) bool {
		h := r.Header
		first := number == 0
		c.order(h, last, number, first)
		if first || h.Frame != last.Frame {
			flush(h)
		}
		c.payload(r)
		frame, last = append(frame, seenOf(r)), h
		number++
		return true
	})
	if err != nil {
		c.fault("shard %d after record %d: %w", shard, number, err)
	}
	flush(record.Header{})
	if size := c.ledger.Size(shard); number != size {
		c.fault("shard %d: %d records can be read of %d", shard, number, size)
	}
}

func (c *checker) order(h, last record.Header, number uint64, first bool) {
	bad := func(what string) { c.fault("shard %d, record %d: %s: %+v after %+v", h.Shard, number, what, h, last) }
	opens := h.Kind == record.EpochOpenedKind
	switch {
	case h.Record != number:
		bad("a gap in the numbers of records")
	case h.Ledger != c.ledger.ID() || h.Incarnation != 1:
		bad("another ledger or incarnation, and nothing was restored")
	case first && (h.Frame != 0 || !opens):
		bad("the first frame opens no epoch")
	case first:
	case h.Frame != last.Frame && h.Frame != last.Frame+1:
		bad("a gap in the numbers of frames")
	case h.Frame == last.Frame && (h.Epoch != last.Epoch || !h.Time.Equal(last.Time)):
		bad("a frame of two epochs or times")
	case h.Epoch < last.Epoch || opens != (h.Epoch > last.Epoch):
		bad("an epoch that went back, or that no frame opened")
	case h.Time.Before(last.Time):
		bad("time went back")
	}
}

// kept wants every frame that a caller was told of, or that was found before.
func (c *checker) kept() {
	for at, want := range c.truth.kept {
		if got := c.found[at]; !slices.EqualFunc(got, want, stays) {
			c.fault("shard %d, record %d: got the frame %+v, want the acknowledged %+v", at.Shard, at.First, got, want)
		}
	}
}

// stays reports whether a record is what it was: its payload may be erased since,
// for ever.
func stays(got, want seen) bool {
	if got.Erased && !want.Erased {
		want.Erased, want.Payload = true, ""
	}
	return got == want
}

// contents wants every other frame to be one that a caller tried, whole, and not
// more often than it was tried.
func (c *checker) contents() {
	times := map[string]int{}
	for at, recs := range c.found {
		if kind := recs[0].Kind; len(recs) == 1 && (kind == record.EpochOpenedKind || kind == record.ErasedKind) {
			continue // an opening's, an erasure's
		}
		names := []string{remains(at.Shard, recs)}
		if !slices.ContainsFunc(recs, func(r seen) bool { return r.Erased }) {
			names = append(names, content(at.Shard, recs))
		}
		for _, name := range names {
			if times[name]++; times[name] > c.truth.tries[name] {
				c.fault("shard %d, record %d: a frame that is %d times here and was tried %d times: %+v",
					at.Shard, at.First, times[name], c.truth.tries[name], recs)
			}
		}
	}
}

// tree computes a shard's hashes from its leaves.
func (c *checker) tree(shard uint16) {
	var hashes []tlog.Hash
	for n := range c.ledger.Size(shard) {
		text, err := c.ledger.LeafOf(shard, n)
		if err != nil {
			c.fault("shard %d, leaf %d: %w", shard, n, err)
			break
		}
		leaf, err := tlog.ParseHash(text)
		if err != nil {
			c.fault("shard %d, leaf %d: %w", shard, n, err)
			break
		}
		stored, err := tlog.StoredHashesForRecordHash(int64(n), leaf, reader(hashes))
		if err != nil {
			c.fault("shard %d, leaf %d: %w", shard, n, err)
			break
		}
		hashes = append(hashes, stored...)
	}
	c.leaves = append(c.leaves, hashes)
}

func reader(hashes []tlog.Hash) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			if at >= int64(len(hashes)) {
				return nil, fmt.Errorf("hash %d of %d", at, len(hashes))
			}
			out[i] = hashes[at]
		}
		return out, nil
	})
}

// checkpoints holds every checkpoint that was ever signed, and one made now, to
// the leaves.
func (c *checker) checkpoints() {
	signer, err := ledger.LoadSigner(filepath.Join(c.dir, "key"), "larkspur")
	if err != nil {
		c.fault("%w", err)
		return
	}
	verifier, err := note.NewVerifier(signer.Verifier)
	if err != nil {
		c.fault("%w", err)
		return
	}
	now, err := c.ledger.Sign()
	if err != nil {
		c.fault("signing: %w", err)
	}
	for _, text := range append(c.truth.notes[:len(c.truth.notes):len(c.truth.notes)], string(now)) {
		signed, err := note.Open([]byte(text), note.VerifierList(verifier))
		if err != nil {
			c.fault("checkpoint: %w", err)
			continue
		}
		c.contains(signed.Text)
	}
	c.whole(string(now))
}

// contains compares the shards' roots that a checkpoint names with the leaves.
func (c *checker) contains(text string) {
	lines := 0
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) != 4 || w[0] != "shard" {
			continue
		}
		lines++
		shard, err1 := strconv.Atoi(w[1])
		size, err2 := strconv.ParseInt(w[2], 10, 64)
		if err1 != nil || err2 != nil || shard >= len(c.leaves) {
			c.fault("checkpoint: got the line %q", line)
			continue
		}
		root, err := tlog.TreeHash(size, reader(c.leaves[shard]))
		if err != nil || root.String() != w[3] {
			c.fault("checkpoint of %d records of shard %d: the leaves have root %v (%v), it says %s", size, shard, root, err, w[3])
		}
	}
	if lines != len(c.leaves) {
		c.fault("checkpoint: got %d shards, want %d", lines, len(c.leaves))
	}
}

// whole wants the checkpoint made now to be of all records.
func (c *checker) whole(text string) {
	for shard := range c.leaves {
		if size := c.ledger.Size(uint16(shard)); !strings.Contains(text, fmt.Sprintf("\nshard %d %d ", shard, size)) {
			c.fault("the checkpoint made now is not of the %d records of shard %d", size, shard)
		}
	}
}

// rebuild makes the projections anew and wants them equal, byte for byte.
func (c *checker) rebuild() {
	before := c.dump()
	if err := c.ledger.Rebuild(); err != nil {
		c.fault("%w", err)
		return
	}
	after := c.dump()
	if len(before) != len(after) {
		c.fault("got %d keys after a rebuild, %d before", len(after), len(before))
	}
	for k, v := range before {
		if got, ok := after[k]; !ok || got != v {
			c.fault("key %q: got %q after a rebuild, %q before", k, got, v)
		}
	}
}

func (c *checker) dump() map[string]string {
	all := map[string]string{}
	view := c.store.View()
	defer view.Close()
	for _, prefix := range projector().Prefixes() {
		view.Scan(prefix, nil, false, func(k, v []byte) bool {
			all[string(k)] = string(v)
			return true
		})
	}
	return all
}

// bases are what a child's clock may begin with: now, days off, and the year in
// which a Pi without a battery wakes up.
func bases(n int) time.Time {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	return []time.Time{now, now.AddDate(0, 0, 9), now.AddDate(0, 0, -9), now, time.Date(1970, 3, 1, 0, 0, 0, 0, time.UTC)}[n%5]
}
