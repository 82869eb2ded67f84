package ledger_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/ledger"
)

// TestProofsVerify holds proofs of random records and trees against tlog's own
// checks, while the ledger grows.
func TestProofsVerify(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		t.Run(fmt.Sprint(shards), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(shards)))
			f := house(t, shards, 1)
			for range 12 {
				shard := uint16(random.IntN(shards))
				appendAll(t, f.ledger, shard, numbered(1+random.IntN(250))...)
				for range 40 {
					size := 1 + random.Uint64N(f.ledger.Size(shard))
					checkProofs(t, f.ledger, shard, random.Uint64N(size), 1+random.Uint64N(size), size)
				}
			}
		})
	}
}

func checkProofs(t *testing.T, l *ledger.Ledger, shard uint16, n, old, size uint64) {
	t.Helper()
	root, err1 := l.Root(shard, size)
	oldRoot, err2 := l.Root(shard, old)
	inclusion, err3 := l.InclusionProof(shard, n, size)
	consistency, err4 := l.ConsistencyProof(shard, old, size)
	text, err5 := l.LeafOf(shard, n)
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			t.Fatal(err)
		}
	}
	raw, _ := base64.StdEncoding.DecodeString(text)
	if err := tlog.CheckRecord(inclusion, int64(size), root, int64(n), tlog.Hash(raw)); err != nil {
		t.Errorf("record %d/%d in %d: %v", shard, n, size, err)
	}
	if err := tlog.CheckTree(consistency, int64(size), root, int64(old), oldRoot); err != nil {
		t.Errorf("shard %d: %d in %d: %v", shard, old, size, err)
	}
}

func TestProofsOfWhatIsNotThere(t *testing.T) {
	f := house(t, 1, 10)
	_, err1 := f.ledger.InclusionProof(0, 10, 10)
	_, err2 := f.ledger.InclusionProof(0, 3, 11)
	_, err3 := f.ledger.ConsistencyProof(0, 0, 10)
	_, err4 := f.ledger.InclusionProof(1, 0, 1)
	for i, want := range map[error]engine.Kind{err1: engine.Invalid, err2: engine.NotFound, err3: engine.Invalid, err4: engine.NotFound} {
		if engine.KindOf(i) != want {
			t.Errorf("got %v, want an error of kind %s", i, want)
		}
	}
}

func TestRotationOverlaps(t *testing.T) {
	f := house(t, 1, 10)
	path := filepath.Join(t.TempDir(), "key")
	first, err := ledger.LoadSigner(path, "larkspur")
	if err != nil {
		t.Fatal(err)
	}
	second, err := ledger.RotateKey(path, "larkspur")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", info.Mode(), err)
	}
	if second.Verifier == first.Verifier || len(second.Older) != 1 || second.Older[0] != first.Verifier {
		t.Fatalf("got %+v after %+v, want a new key in front of the old one", second, first)
	}
	*f.signer = *second
	file := f.export(t, ledger.Selection{})
	for _, keys := range [][]string{{first.Verifier}, {second.Verifier}, {first.Verifier, second.Verifier, first.Verifier}} {
		r := verify(t, file, keys...)
		if wantFine(t, r, 10); len(r.Keys) != min(len(keys), 2) {
			t.Errorf("got signers %v with %d keys", r.Keys, len(keys))
		}
	}
	last, err := ledger.EndRotation(path)
	if err != nil {
		t.Fatal(err)
	}
	*f.signer = *last
	file = f.export(t, ledger.Selection{})
	wantFine(t, verify(t, file, second.Verifier), 10)
	if r := verify(t, file, first.Verifier); r.OK() {
		t.Error("the old key still verifies after the end of the rotation")
	}
	keys, err := ledger.VerifierKeys(path)
	if err != nil || len(keys) != 1 || keys[0] != second.Verifier {
		t.Errorf("got %v, %v, want the new key alone", keys, err)
	}
}

func TestKeysThatAreNone(t *testing.T) {
	for _, keys := range [][]string{nil, {"larkspur"}, {"larkspur+00000000+AAAA"}} {
		if _, err := ledger.Verify(bytes.NewReader(nil), keys...); engine.KindOf(err) != engine.Invalid {
			t.Errorf("%q: got %v, want a refusal", keys, err)
		}
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("one line\nalone\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.LoadSigner(path, "larkspur"); engine.KindOf(err) != engine.Invalid {
		t.Errorf("got %v, want a refusal", err)
	}
}
