package trial

import (
	"maps"
	"slices"
	"sync"

	"larkspur/engine"
	"larkspur/engine/wire"
)

// Cover collects which lines of scripts were executed. Safe for concurrent use.
type Cover struct {
	mu      sync.Mutex // guards what follows
	lines   map[string]map[int]bool
	reached map[string]map[int]bool
}

// Covered is one script: how many lines hold a statement, and which of them were
// not reached.
type Covered struct {
	File    string
	Lines   int
	Missing []int
}

// Percent is the share of the lines that were reached.
func (c Covered) Percent() int {
	if c.Lines == 0 {
		return 100
	}
	return 100 * (c.Lines - len(c.Missing)) / c.Lines
}

// NewCover begins a collection.
func NewCover() *Cover {
	return &Cover{lines: map[string]map[int]bool{}, reached: map[string]map[int]bool{}}
}

// Add takes what a worker says.
func (c *Cover) Add(w wire.Covered) {
	c.mu.Lock()
	defer c.mu.Unlock()
	note(c.lines, w.Lines)
	note(c.reached, w.Reached)
}

func note(all map[string]map[int]bool, lines map[string][]int) {
	for file, list := range lines {
		if all[file] == nil {
			all[file] = map[int]bool{}
		}
		for _, n := range list {
			all[file][n] = true
		}
	}
}

// Files returns the workspace's scripts by path, their tests aside.
func (c *Cover) Files() []Covered {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Covered
	for _, file := range slices.Sorted(maps.Keys(c.lines)) {
		if engine.IsTestFile(file) {
			continue
		}
		f := Covered{File: file, Lines: len(c.lines[file])}
		for _, n := range slices.Sorted(maps.Keys(c.lines[file])) {
			if !c.reached[file][n] {
				f.Missing = append(f.Missing, n)
			}
		}
		list = append(list, f)
	}
	return list
}
