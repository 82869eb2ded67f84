package state

import (
	"slices"
	"testing"
)

func TestClassesAreDistinctAndNotTheLedgers(t *testing.T) {
	seen := map[byte]bool{}
	for _, c := range classes {
		if c < 0x20 || seen[c] {
			t.Errorf("class %q is the ledger's or there twice", c)
		}
		seen[c] = true
	}
	if !slices.Contains(classes, classPosition) {
		t.Error("the position is not rebuilt")
	}
}
