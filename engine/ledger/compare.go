package ledger

import (
	"bytes"
	"slices"

	"larkspur/engine/store"
)

// Difference is what a comparison of projections with what the records give
// found.
type Difference struct {
	Compared uint64   // entries of the projections
	Differ   uint64   // of them, or of what the records give: missing in the other, or not equal
	First    [][]byte // keys of the first of those that differ
}

const (
	maxDifferent  = 10
	compareAtOnce = 1000 // entries between two rests
)

// firstProjection is the first byte of keys of projections, as a view shows them.
const firstProjection = 0x21

// difference compares the generations that finish left, and closes its views.
func (b *builder) difference(pause func() error) (d Difference, err error) {
	if !b.compare {
		return d, nil
	}
	defer func() {
		for _, v := range b.views {
			v.Close()
		}
	}()
	defer store.Guard(&err)
	former, made := b.views[0], b.views[1]
	for class := firstProjection; class <= 0xff && err == nil; class++ {
		err = d.class([]byte{byte(class)}, former, made, pause)
	}
	return d, err
}

// class compares the entries of one class. It holds one of them at a time.
func (d *Difference) class(class []byte, former, made *store.View, pause func() error) (err error) {
	both, anew := 0, 0
	former.Scan(class, nil, false, func(k, v []byte) bool {
		got, ok := made.Get(k)
		if ok {
			both++
		}
		if !ok || !bytes.Equal(got, v) {
			d.differs(k)
		}
		if d.Compared++; d.Compared%compareAtOnce == 0 {
			err = pause()
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	made.Scan(class, nil, false, func([]byte, []byte) bool { anew++; return true })
	if anew == both {
		return nil
	}
	made.Scan(class, nil, false, func(k, _ []byte) bool {
		if _, ok := former.Get(k); !ok {
			d.differs(k)
		}
		return true
	})
	return nil
}

func (d *Difference) differs(key []byte) {
	if d.Differ++; len(d.First) < maxDifferent {
		d.First = append(d.First, slices.Clone(key))
	}
}
