package ledger

import (
	"crypto/sha256"
	"io"

	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine/record"
)

// LeafOfParts computes a leaf as a forger can.
func LeafOfParts(h record.Header, salt, payload, outcome []byte) tlog.Hash {
	return leafHash(h, sha256.Sum256(append(append([]byte(nil), salt...), payload...)), sha256.Sum256(outcome))
}

// VerifyExactly is Verify by the parsers that define the format.
func VerifyExactly(r io.Reader, keys ...string) (*Report, error) { return verify(r, true, keys) }

// Held stages records as a group that is on its way to the disk, and returns what
// lets its commit fail with nothing written.
func (l *Ledger) Held(records ...New) (fail func()) {
	req := &request{records: records, done: make(chan struct{})}
	l.mu.Lock()
	l.queue, l.leading = append(l.queue, req), true
	l.mu.Unlock()
	g, before := l.begin()
	l.gather(g, before)
	g.next = l.cfg.Store.View()
	l.handOver(g)
	return func() {
		g.view.Close()
		l.land(g, nil, true)
	}
}

// Waiting is how many requests are queued.
func (l *Ledger) Waiting() int { return l.waiting() }
