package ledger

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine/record"
)

// LeafOfParts computes a leaf as a forger can.
func LeafOfParts(h record.Header, salt, payload, outcome []byte) tlog.Hash {
	return leafHash(h, sha256.Sum256(append(append([]byte(nil), salt...), payload...)), sha256.Sum256(outcome))
}
