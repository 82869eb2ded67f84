package state

import (
	"encoding/binary"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/store"
)

// MaxPage bounds one page of a list.
const MaxPage = 500

// maxLooks bounds what one page looks at, nouns and places of indexes together:
// a page that found too few ends early, and the cursor goes on behind it.
const maxLooks = 2_000

// seeker goes down the numbers of one shard.
type seeker interface {
	// seek returns the largest number that is not above n.
	seek(n uint64) (uint64, bool)
}

// listing is a list: in each shard, the numbers that all seekers have, each of
// them loaded.
type listing[T any] struct {
	seekers func(r store.Reader, shard uint16) []seeker
	// load reads an item and its time; ok is false for one that does not belong.
	load func(r store.Reader, shard uint16, n uint64) (item T, at time.Time, ok bool)
	// over, when set, tells of an item that none before it in its shard belongs.
	over func(T) bool
	// cost is how many looks loading takes; 0 is one.
	cost int
	// only, when set, is the one shard that has any.
	only *uint16
}

// found is an item with its place.
type found[T any] struct {
	item T
	at   time.Time
	n    uint64
}

// lane is what one shard gives to a page.
type lane[T any] struct {
	shard uint16
	found []found[T]
	rest  uint64 // where it goes on, if more
	more  bool
	// cut: it ended early, having reached that time; nothing older may be shown
	// before it went on.
	cut     bool
	reached time.Time
}

// paged reads one page: the newest of all shards together.
func paged[T any](s *State, cursor string, limit int, l listing[T]) (items []T, next string, err error) {
	defer guard(&err)
	from, err := parsePlaces(cursor, s.shards)
	if err != nil {
		return nil, "", err
	}
	view := s.view()
	defer view.Close()
	limit = min(max(limit, 1), MaxPage)
	var lanes []lane[T]
	for shard := range uint16(s.shards) {
		n, ok := from[shard]
		if ok && (l.only == nil || *l.only == shard) {
			lanes = append(lanes, l.collect(view, shard, n, limit, maxLooks/s.shards))
		}
	}
	items, next = merge(lanes, limit)
	return items, next, nil
}

// collect reads what one shard can give to a page.
func (l *listing[T]) collect(r store.Reader, shard uint16, n uint64, limit, looks int) lane[T] {
	out := lane[T]{shard: shard}
	seekers := l.seekers(r, shard)
	for {
		at, ok, tried := agree(seekers, n, looks)
		looks -= tried
		out.rest, out.more = at, ok
		if !ok || len(out.found) == limit {
			return out
		}
		if looks <= 0 {
			out.cut = true
			return out
		}
		looks -= max(l.cost, 1)
		item, when, keep := l.load(r, shard, at)
		if !when.IsZero() {
			out.reached = when
		}
		if keep {
			out.found = append(out.found, found[T]{item, when, at})
		}
		if at == 0 || l.over != nil && !when.IsZero() && l.over(item) {
			out.more = false
			return out
		}
		n = at - 1
	}
}

// agree returns the largest number not above n that all seekers have, or the
// number that was reached when so many looks were taken.
func agree(seekers []seeker, n uint64, looks int) (at uint64, ok bool, tried int) {
	for agreed := 0; agreed < len(seekers); {
		for _, s := range seekers {
			m, ok := s.seek(n)
			if !ok {
				return 0, false, tried
			}
			if m != n {
				n, agreed = m, 0
			}
			if agreed++; agreed == len(seekers) {
				break
			}
		}
		if tried++; tried > looks {
			break
		}
	}
	return n, len(seekers) > 0, tried
}

// merge takes the newest of all lanes, and says where the next page begins.
func merge[T any](lanes []lane[T], limit int) (items []T, next string) {
	var floor time.Time // nothing older can be shown yet
	blind := false      // nor anything at all
	for _, l := range lanes {
		blind = blind || l.cut && l.reached.IsZero()
		if l.cut && l.reached.After(floor) {
			floor = l.reached
		}
	}
	taken := make([]int, len(lanes))
	for len(items) < limit && !blind {
		best := -1
		for i, l := range lanes {
			if taken[i] == len(l.found) || l.found[taken[i]].at.Before(floor) {
				continue
			}
			if best < 0 || l.found[taken[i]].at.After(lanes[best].found[taken[best]].at) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		items = append(items, lanes[best].found[taken[best]].item)
		taken[best]++
	}
	var places []string
	for i, l := range lanes {
		switch {
		case taken[i] < len(l.found):
			places = append(places, formatCursor(int(l.shard), l.found[taken[i]].n))
		case l.more:
			places = append(places, formatCursor(int(l.shard), l.rest))
		}
	}
	return items, strings.Join(places, "_")
}

// parsePlaces reads where each shard goes on; one that is not there has no more.
func parsePlaces(cursor string, shards int) (map[uint16]uint64, error) {
	from := map[uint16]uint64{}
	if cursor == "" {
		for shard := range shards {
			from[uint16(shard)] = math.MaxUint64
		}
		return from, nil
	}
	for place := range strings.SplitSeq(cursor, "_") {
		shard, n, err := parseCursor(place, shards)
		if err != nil {
			return nil, err
		}
		from[uint16(shard)] = binary.BigEndian.Uint64(n)
	}
	return from, nil
}

func formatCursor(shard int, n uint64) string {
	return strconv.Itoa(shard) + "." + strconv.FormatUint(n, 36)
}

// parseCursor reads one place; nil is the beginning.
func parseCursor(cursor string, shards int) (shard int, place []byte, err error) {
	if cursor == "" {
		return shards - 1, nil, nil
	}
	a, b, _ := strings.Cut(cursor, ".")
	shard, err1 := strconv.Atoi(a)
	n, err2 := strconv.ParseUint(b, 36, 64)
	if err1 != nil || err2 != nil || shard < 0 || shard >= shards {
		return 0, nil, engine.Errorf(engine.Invalid, "cursor: got %.40q, want one that a list returned as next", cursor)
	}
	return shard, binary.BigEndian.AppendUint64(nil, n), nil
}

// posts goes down the numbers that end the keys of a prefix, reading ahead.
type posts struct {
	r      store.Reader
	prefix []byte
	ahead  []uint64 // read, downwards
	asked  int      // how many the last reading asked for
	ended  bool     // there is nothing below what was read
}

// Bounds of reading ahead.
const (
	leastAhead = 8
	mostAhead  = 512
)

// listed returns the seeker of a prefix.
func listed(r store.Reader, prefix []byte) *posts { return &posts{r: r, prefix: prefix} }

func (p *posts) seek(n uint64) (uint64, bool) {
	if at, ok := p.known(n); ok {
		return at, true
	}
	if p.ended {
		return 0, false
	}
	p.read(n)
	return p.known(n)
}

// any reports whether there is a number at all.
func (p *posts) any() bool {
	_, ok := p.seek(math.MaxUint64)
	return ok
}

func (p *posts) known(n uint64) (uint64, bool) {
	i := sort.Search(len(p.ahead), func(i int) bool { return p.ahead[i] <= n })
	p.ahead = p.ahead[i:]
	if len(p.ahead) == 0 {
		return 0, false
	}
	return p.ahead[0], true
}

// read reads from n downwards, more each time.
func (p *posts) read(n uint64) {
	p.asked = min(max(2*p.asked, leastAhead), mostAhead)
	p.ahead = p.ahead[:0]
	p.ended = true
	p.r.Scan(p.prefix, numbered(p.prefix, n), true, func(k, _ []byte) bool {
		if len(k) != len(p.prefix)+8 {
			return true // of a longer name
		}
		p.ahead = append(p.ahead, binary.BigEndian.Uint64(k[len(p.prefix):]))
		p.ended = len(p.ahead) < p.asked
		return p.ended
	})
}

// numbers goes down a list of numbers, which is sorted downwards.
type numbers []uint64

func (l numbers) seek(n uint64) (uint64, bool) {
	i := sort.Search(len(l), func(i int) bool { return l[i] <= n })
	if i == len(l) {
		return 0, false
	}
	return l[i], true
}

// gathered collects the numbers that end the keys of several prefixes, if they
// are at most so many.
func gathered(r store.Reader, prefix []byte, most int) (numbers, bool) {
	var list numbers
	r.Scan(prefix, nil, false, func(k, _ []byte) bool {
		if len(k) >= len(prefix)+8 {
			list = append(list, binary.BigEndian.Uint64(k[len(k)-8:]))
		}
		return len(list) <= most
	})
	if len(list) > most {
		return nil, false
	}
	slices.SortFunc(list, func(a, b uint64) int {
		switch {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	return slices.Compact(list), true
}

// Each calls fn with every item of a list, page by page, until fn returns an
// error. page asks for the page at a cursor.
func Each[T any](page func(cursor string) (items []T, next string, err error), fn func(T) error) error {
	for cursor := ""; ; {
		items, next, err := page(cursor)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := fn(item); err != nil {
				return err
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// All returns every item of a list.
func All[T any](page func(cursor string) (items []T, next string, err error)) (all []T, err error) {
	err = Each(page, func(item T) error {
		all = append(all, item)
		return nil
	})
	return all, err
}
