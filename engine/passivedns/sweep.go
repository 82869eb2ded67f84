package passivedns

import (
	"context"
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/store"
)

// swept are the classes that have a bound, and what is left of it after a sweep
// that had to make room: 19 parts of 20.
var swept = [...]byte{classRecord, classAsked, classDomain}

// Sweep deletes what was not seen for too long and, of each kind that has more
// entries than are wanted, those that were seen last the longest ago. It counts
// what is there on its way.
func (m *Memory) Sweep(ctx context.Context) error {
	for _, c := range swept {
		if err := m.sweep(ctx, c); err != nil {
			return err
		}
	}
	return m.writeBook()
}

func (m *Memory) sweep(ctx context.Context, c byte) error {
	settings := m.cfg.Settings()
	oldest := m.oldest(settings.Keep)
	times, err := m.lastTimes(c, oldest)
	if err != nil {
		return err
	}
	limit := oldest
	if over := len(times) - settings.Entries; over > 0 {
		slices.Sort(times)
		limit = max(limit, times[over+settings.Entries/20]) // what is as old as that stays
	}
	for start := class(c); start != nil; {
		var gone [][]byte
		if gone, start, err = m.gone(c, start, limit); err != nil {
			return err
		}
		for len(gone) > 0 {
			piece := gone[:min(len(gone), rowsAtOnce)]
			gone = gone[len(piece):]
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := m.remove(piece, limit, oldest); err != nil {
				return err
			}
		}
	}
	return nil
}

// goneAtOnce bounds what is looked for before it is deleted.
const goneAtOnce = 1 << 14

// gone returns entries from start on that were seen last before limit, and where
// to go on; nil at the end.
func (m *Memory) gone(c byte, start []byte, limit uint32) (keys [][]byte, more []byte, err error) {
	v, err := m.cfg.Cache.View()
	if err != nil {
		return nil, nil, err
	}
	defer v.Close()
	err = v.Scan(class(c), start, func(key, text []byte) bool {
		if len(keys) == goneAtOnce {
			more = slices.Clone(key)
			return false
		}
		if val, bad := decodeValue(text); bad != nil || val.last < limit {
			keys = append(keys, slices.Clone(key))
		}
		return true
	})
	return keys, more, err
}

// oldest is the last moment before which nothing is kept.
func (m *Memory) oldest(keep time.Duration) uint32 {
	if keep == 0 {
		return 0
	}
	return uint32(max(m.cfg.Clock.Now().Add(-keep).Unix(), 0))
}

// lastTimes returns when the entries of a class were seen last, without those that
// are too old, and notes how many entries there are.
func (m *Memory) lastTimes(c byte, oldest uint32) (times []uint32, err error) {
	m.writing.Lock()
	defer m.writing.Unlock()
	if _, err := m.beganAnew(); err != nil {
		return nil, err
	}
	v, err := m.cfg.Cache.View()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	all := int64(0)
	err = v.Scan(class(c), nil, func(_, text []byte) bool {
		all++
		if val, bad := decodeValue(text); bad == nil && val.last >= oldest {
			times = append(times, val.last)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	*m.book.of(c) = all
	m.counts.hold(m.book)
	return times, nil
}

// of is the count of a class.
func (b *book) of(c byte) *int64 {
	switch c {
	case classRecord:
		return &b.Records
	case classAsked:
		return &b.Asked
	}
	return &b.Domains
}

// remove deletes entries with what finds them, unless they were seen meanwhile.
func (m *Memory) remove(keys [][]byte, limit, oldest uint32) error {
	if len(keys) == 0 {
		return nil
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	v, err := m.cfg.Cache.View()
	if err != nil {
		return err
	}
	defer v.Close()
	var w store.CacheWrites
	after, expired, evicted := m.book, uint64(0), uint64(0)
	for _, key := range keys {
		text, found, err := v.Get(key)
		if err != nil {
			return err
		}
		val, bad := decodeValue(text)
		if !found || bad == nil && val.last >= limit {
			continue
		}
		w.Delete(key)
		for _, index := range indexes(key, val) {
			w.Delete(index)
		}
		*after.of(key[1])--
		if val.last < oldest {
			expired++
		} else {
			evicted++
		}
	}
	if err := v.Write(&w); err != nil {
		return engine.WrapError(engine.Unavailable, err, "passive DNS: sweeping")
	}
	m.counts.expired.Add(expired)
	m.counts.evicted.Add(evicted)
	m.book = after
	m.counts.hold(m.book)
	return nil
}

// indexes are the keys by which an entry is found.
func indexes(key []byte, v value) [][]byte {
	switch key[1] {
	case classRecord:
		if r, err := parseRecord(key); err == nil {
			if index := r.indexKey(); index != nil {
				return [][]byte{index}
			}
		}
	case classAsked:
		if a, err := parseAsked(key); err == nil {
			return [][]byte{a.askerKey()}
		}
	case classDomain:
		return [][]byte{newKey(v.first, string(key[2:]))}
	}
	return nil
}

// firstOf returns the first error of some.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
