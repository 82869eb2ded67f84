package store_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"larkspur/engine/store"
)

// model is what a batch must look like: a sorted map.
type model map[string]string

// scan lists what Scan must show.
func (m model) scan(prefix, start string, hasStart, reverse bool) []string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(k, prefix) && (!hasStart || !reverse && k >= start || reverse && k <= start) {
			list = append(list, k+"="+m[k])
		}
	}
	if reverse {
		slices.Reverse(list)
	}
	return list
}

func scan(r store.Reader, prefix string, start []byte, reverse bool, limit int) []string {
	var list []string
	r.Scan([]byte(prefix), start, reverse, func(k, v []byte) bool {
		list = append(list, string(k)+"="+string(v))
		return len(list) != limit
	})
	return list
}

// TestABatchIsASortedMap: reading through layers of staged writes over a store
// shows what one map would.
func TestABatchIsASortedMap(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 7))
			s, err := store.OpenScratch(t.TempDir())
			must(t, err)
			defer s.Close()
			want := model{}
			for range 4 {
				view := s.View()
				base := store.NewBatch(view)
				stage(t, rnd, base, want, 2)
				view.Close() // a batch is committed without its view
				must(t, s.Commit(base))
				view = s.View()
				compare(t, rnd, view, want)
				view.Close()
			}
		})
	}
}

// stage writes and reads at random, and stages layers that are merged or
// forgotten.
func stage(t *testing.T, rnd *rand.Rand, b *store.Batch, want model, depth int) {
	t.Helper()
	for range 40 {
		switch k, dice := randomKey(rnd), rnd.IntN(40); {
		case dice < 24:
			v := fmt.Sprint(rnd.IntN(1000))
			b.Set([]byte(k), []byte(v))
			want[k] = v
		case dice < 38:
			b.Delete([]byte(k))
			delete(want, k)
		default:
			if depth == 0 {
				continue
			}
			layer, inner := b.Layer(), maps.Clone(want)
			stage(t, rnd, layer, inner, depth-1)
			if rnd.IntN(2) == 0 {
				b.Merge(layer)
				clear(want)
				maps.Copy(want, inner)
			}
		}
	}
	compare(t, rnd, b, want)
}

func randomKey(rnd *rand.Rand) string {
	n := 1 + rnd.IntN(4)
	var k strings.Builder
	for range n {
		k.WriteByte([]byte{0, 1, 'a', 'b', 0xff}[rnd.IntN(5)])
	}
	return k.String()
}

func compare(t *testing.T, rnd *rand.Rand, r store.Reader, want model) {
	t.Helper()
	for range 30 {
		k := randomKey(rnd)
		v, ok := r.Get([]byte(k))
		if w, there := want[k]; ok != there || ok && string(v) != w {
			t.Fatalf("%q: got %q, %v, want %q, %v", k, v, ok, w, there)
		}
	}
	for range 30 {
		prefix := randomKey(rnd)
		var start []byte
		if rnd.IntN(2) == 0 {
			start = []byte(prefix + randomKey(rnd))
		}
		reverse := rnd.IntN(2) == 0
		wants := want.scan(prefix, string(start), start != nil, reverse)
		limit := 0
		if len(wants) > 1 && rnd.IntN(3) == 0 {
			limit = 1 + rnd.IntN(len(wants)-1)
			wants = wants[:limit]
		}
		if got := scan(r, prefix, start, reverse, limit); !slices.Equal(got, wants) {
			t.Fatalf("prefix %q from %q, reverse %v, at most %d:\ngot  %q\nwant %q", prefix, start, reverse, limit, got, wants)
		}
	}
}

func TestABatchKnowsWhatFits(t *testing.T) {
	t.Parallel()
	s, err := store.OpenScratch(t.TempDir())
	must(t, err)
	defer s.Close()
	view := s.View()
	defer view.Close()
	for name, size := range map[string]int{"many small ones": 10, "some large ones": 100 << 10} {
		b := store.NewBatch(view)
		n := 0
		for ; ; n++ {
			layer := b.Layer()
			layer.Set(fmt.Appendf(nil, "%s %06d", name, n), bytes.Repeat([]byte("x"), size))
			if !b.Fits(layer) {
				break
			}
			b.Merge(layer)
		}
		if n < 5 || b.Len() != n || b.Bytes() < n*size {
			t.Errorf("%s: got %d entries of %d bytes after %d merges", name, b.Len(), b.Bytes(), n)
		}
		must(t, s.Commit(b)) // what fits is not refused by the store
	}
}

func TestOverwritingDoesNotFillABatch(t *testing.T) {
	t.Parallel()
	s, err := store.OpenScratch(t.TempDir())
	must(t, err)
	defer s.Close()
	view := s.View()
	defer view.Close()
	b := store.NewBatch(view)
	for range 100 {
		b.Set([]byte("k"), make([]byte, 1000))
		b.Delete([]byte("k"))
		b.Set([]byte("k"), make([]byte, 10))
	}
	if b.Len() != 1 || b.Bytes() > 100 {
		t.Errorf("got %d entries of %d bytes, want one small one", b.Len(), b.Bytes())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
