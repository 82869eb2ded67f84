package state

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"larkspur/engine"
	"larkspur/engine/store"
)

// A run's generations are a chain: a journal is what the present one holds and,
// of each before it, what began before the places where it was cut.

// placed is a step with the generation that holds it.
type placed struct {
	path       string
	number     int
	generation int
	stepEntry
}

func (p placed) id() string { return engine.StepID(p.path, p.number) }

// cuts calls fn with each generation of the chain, from one on backwards, and
// with the place where it was cut, until fn returns false.
func cuts(r engine.Run, generation int, fn func(generation int, until uint64) bool) {
	until := uint64(math.MaxUint64)
	for g := generation; g >= 1; g-- {
		if g <= len(r.Branches) && g < generation {
			until = min(until, r.Branches[g-1].Until)
		}
		if !fn(g, until) {
			return
		}
	}
}

// placeOf finds a step as one of the run's generations sees it. found is false
// when that generation has none: it then is the one to put it into.
func placeOf(r store.Reader, run engine.Run, generation int, path string, n int) (p placed, found bool) {
	p = placed{path: path, number: n, generation: generation}
	cuts(run, generation, func(g int, until uint64) bool {
		b, ok := r.Get(stepKey(run.ID, g, path, n))
		if !ok {
			return true
		}
		if e := decodeStep(b); e.began() < until {
			p.generation, p.stepEntry, found = g, e, true
		}
		return !found
	})
	return p, found
}

// chainOf lists the steps that one of the run's generations sees, in the order
// of the journal: that of the results.
func chainOf(r store.Reader, run engine.Run, generation int) []placed {
	var list []placed
	newer := map[string]bool{}
	cuts(run, generation, func(g int, until uint64) bool {
		prefix := stepPrefix(run.ID, g)
		r.Scan(prefix, nil, false, func(k, v []byte) bool {
			p := placed{generation: g, stepEntry: decodeStep(v)}
			p.path, p.number = splitStepKey(k[len(prefix):])
			if p.began() < until && !(len(newer) > 0 && newer[p.id()]) {
				list = append(list, p)
			}
			return true
		})
		if g > 1 {
			for _, p := range list {
				newer[p.id()] = true
			}
		}
		return true
	})
	slices.SortStableFunc(list, func(a, b placed) int { return cmp.Compare(a.order(), b.order()) })
	return list
}

// place finds a step as the run's present generation sees it.
func (t *tx) place(r engine.Run, path string, n int) (placed, bool) {
	return placeOf(t, r, r.Generation, path, n)
}

// keep stores a step in the generation that holds it.
func (t *tx) keep(run string, p placed) {
	t.putStep(run, p.generation, p.path, p.number, p.stepEntry)
}

func splitStepKey(rest []byte) (path string, n int) {
	i := slices.Index(rest, 0)
	return string(rest[:i]), int(binary.BigEndian.Uint32(rest[i+1:]))
}
