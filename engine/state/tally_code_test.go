package state

import (
	"fmt"
	"testing"
)

func FuzzTallies(f *testing.F) {
	f.Add([]byte{3, 2, 0, 4, 1, 2, 0, 1, 'x', 2})
	f.Add([]byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeTally(b)
		if err != nil {
			return
		}
		again, err := decodeTally(encodeTally(c))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(c) {
			t.Errorf("got %+v, %v, want %+v", again, err, c)
		}
	})
}
