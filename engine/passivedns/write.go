package passivedns

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"

	"larkspur/engine"
	"larkspur/engine/store"
)

// rowsAtOnce is how many counts are written in one piece: messages are taken in
// between two pieces.
const rowsAtOnce = 256

// row is what is to be written of a key.
type row struct {
	key string
	v   value
}

// book is what the memory knows of itself: JSON in the store.
type book struct {
	Since   uint32 `json:"since"` // seconds since 1970
	Client  uint32 `json:"client"`
	Records int64  `json:"records"`
	Asked   int64  `json:"asked"`
	Domains int64  `json:"domains"`
}

// loadBook reads the book and the numbers of clients, once. m.writing is held.
func (m *Memory) loadBook() error {
	if m.loaded {
		return nil
	}
	text, known, err := m.readBook()
	if err != nil {
		return err
	}
	m.renewed, _ = m.cfg.Cache.Renewed()
	m.loaded = true
	if text == nil || json.Unmarshal(text, &m.book) != nil {
		return nil // it begins anew
	}
	m.begin(m.book.Since)
	m.counts.hold(m.book)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clients.last = m.book.Client
	for address, number := range known {
		m.clients.add(address, number)
	}
	return nil
}

func (m *Memory) readBook() (text []byte, known map[netip.Addr]uint32, err error) {
	v, err := m.cfg.Cache.View()
	if err != nil {
		return nil, nil, err
	}
	defer v.Close()
	if text, _, err = v.Get(class(classBook)); err != nil {
		return nil, nil, err
	}
	known = map[netip.Addr]uint32{}
	return text, known, v.Scan(class(classClient), nil, func(key, value []byte) bool {
		if len(key) == 2+16 && len(value) == 4 {
			known[netip.AddrFrom16([16]byte(key[2:])).Unmap()] = binary.BigEndian.Uint32(value)
		}
		return true
	})
}

// loadDomain reads what is stored of a domain.
func (m *Memory) loadDomain(domain string) (value, error) {
	text, found, err := m.cfg.Cache.Get(string(domainKey(domain)))
	if err != nil || !found {
		return value{}, err
	}
	return decodeValue(text)
}

// Flush writes down all that was counted. What could not be written is kept for
// the next time, as far as there is room.
func (m *Memory) Flush() error {
	m.Settle()
	t := m.tables.Load()
	if t == nil {
		return nil
	}
	if err := m.writeLeaving(); err != nil {
		return err
	}
	for begin := 0; begin < hotRows; {
		next, err := m.writeSome(t, begin)
		if err != nil {
			return err
		}
		begin = next
		m.Settle()
	}
	if err := m.writeDomains(t); err != nil {
		return err
	}
	m.mu.Lock()
	m.budget = leavingBudget
	m.mu.Unlock()
	return m.writeBook()
}

// writeSome writes what rows of the hot table hold from begin on, and returns
// where it stopped.
func (m *Memory) writeSome(t *tables, begin int) (next int, err error) {
	m.writing.Lock()
	defer m.writing.Unlock()
	var rows []row
	m.mu.Lock()
	for next = begin; next < hotRows && len(rows) < rowsAtOnce; next++ {
		for i := range t.hot.rows[next] {
			if s := &t.hot.rows[next][i]; s.since.last > 0 {
				rows = append(rows, row{string(s.key), s.since})
				s.since = value{}
			}
		}
	}
	m.mu.Unlock()
	return next, m.write(rows)
}

// writeLeaving writes what left the hot table.
func (m *Memory) writeLeaving() error {
	for {
		more, err := m.writeSomeLeaving()
		if err != nil || !more {
			return err
		}
	}
}

func (m *Memory) writeSomeLeaving() (more bool, err error) {
	m.writing.Lock()
	defer m.writing.Unlock()
	var rows []row
	m.mu.Lock()
	for key, v := range m.leaving {
		if len(rows) == rowsAtOnce {
			break
		}
		rows = append(rows, row{key, v})
		delete(m.leaving, key)
	}
	more = len(m.leaving) > 0
	m.mu.Unlock()
	return more, m.write(rows)
}

// write merges counts into the store. m.writing is held. When it fails, they wait
// for the next time.
func (m *Memory) write(rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	err := m.tryWrite(rows)
	if err == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rows {
		v, waits := m.leaving[r.key]
		if !waits && len(m.leaving) >= maxLeavingKeys {
			m.counts.unwritten.Add(1)
			continue
		}
		v.add(r.v)
		m.leaving[r.key] = v
	}
	return err
}

func (m *Memory) tryWrite(rows []row) error {
	if anew, err := m.beganAnew(); err != nil || anew {
		return err
	}
	w, clients := m.stageClients()
	after := m.book
	if err := m.stageRows(&w, &after, rows); err != nil {
		return err
	}
	m.counts.written.Add(uint64(len(rows)))
	m.turn(after)
	m.mu.Lock()
	m.clients.fresh = m.clients.fresh[clients:]
	m.mu.Unlock()
	return nil
}

// turn puts a new book in the place of the former. m.writing is held.
func (m *Memory) turn(after book) {
	m.counts.added.Add(uint64(max(after.sum()-m.book.sum(), 0)))
	m.book = after
	m.counts.hold(m.book)
}

func (b book) sum() int64 { return b.Records + b.Asked + b.Domains }

// stageRows writes rows, and what is staged already.
func (m *Memory) stageRows(w *store.CacheWrites, after *book, rows []row) error {
	v, err := m.cfg.Cache.View()
	if err != nil {
		return err
	}
	defer v.Close()
	for _, r := range rows {
		old, found, err := v.Get([]byte(r.key))
		if err != nil {
			return err
		}
		sum := r.v
		if before, err := decodeValue(old); found && err == nil {
			sum.add(before)
		} else if !found {
			stageIndex(w, after, r.key)
		}
		w.Set([]byte(r.key), sum.encode(), 0)
	}
	return v.Write(w)
}

// stageIndex stages what finds a new entry, and counts it.
func stageIndex(w *store.CacheWrites, b *book, key string) {
	switch key[1] {
	case classRecord:
		b.Records++
		if r, err := parseRecord([]byte(key)); err == nil {
			if index := r.indexKey(); index != nil {
				w.Set(index, nil, 0)
			}
		}
	case classAsked:
		b.Asked++
		if a, err := parseAsked([]byte(key)); err == nil {
			w.Set(a.askerKey(), nil, 0)
		}
	}
}

// stageClients stages the numbers of new clients, which entries refer to.
func (m *Memory) stageClients() (w store.CacheWrites, staged int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.clients.fresh {
		w.Set(clientKey(a), binary.BigEndian.AppendUint32(nil, m.clients.numbers[a]), 0)
	}
	return w, len(m.clients.fresh)
}

// writeDomains writes down the domains that were seen.
func (m *Memory) writeDomains(t *tables) error {
	m.writing.Lock()
	defer m.writing.Unlock()
	if anew, err := m.beganAnew(); err != nil || anew {
		return err
	}
	t.domains.setKeep(m.keepSeconds())
	for rows := t.domains.pending(); len(rows) > 0; {
		piece := rows[:min(len(rows), rowsAtOnce)]
		rows = rows[len(piece):]
		if err := m.writeDomainRows(piece); err != nil {
			return err
		}
		t.domains.written(piece)
	}
	return nil
}

func (m *Memory) writeDomainRows(rows []row) error {
	v, err := m.cfg.Cache.View()
	if err != nil {
		return err
	}
	defer v.Close()
	var w store.CacheWrites
	after := m.book
	for _, r := range rows {
		if err := stageDomain(v, &w, &after, r, m.keepSeconds()); err != nil {
			return err
		}
	}
	if err := v.Write(&w); err != nil {
		return err
	}
	m.counts.written.Add(uint64(len(rows)))
	m.turn(after)
	return nil
}

// stageDomain merges what was seen of a domain, unless what is stored is older
// than what is kept.
func stageDomain(v *store.CacheView, w *store.CacheWrites, b *book, r row, keep uint32) error {
	key := domainKey(r.key)
	text, found, err := v.Get(key)
	if err != nil {
		return err
	}
	sum := r.v
	old, err := decodeValue(text)
	switch {
	case !found:
		b.Domains++
	case err == nil && (keep == 0 || r.v.first <= old.last || r.v.first-old.last <= keep):
		sum.add(old)
	}
	if found && err == nil && old.first != sum.first {
		w.Delete(newKey(old.first, r.key))
	}
	if !found || err != nil || old.first != sum.first {
		w.Set(newKey(sum.first, r.key), nil, 0)
	}
	w.Set(key, sum.encode(), 0)
	return nil
}

// writeBook writes the book.
func (m *Memory) writeBook() error {
	m.writing.Lock()
	defer m.writing.Unlock()
	if anew, err := m.beganAnew(); err != nil || anew {
		return err
	}
	m.mu.Lock()
	m.book.Since, m.book.Client = m.since.Load(), m.clients.last
	m.mu.Unlock()
	text, err := json.Marshal(m.book)
	if err != nil {
		return engine.WrapError(engine.Internal, err, "passive DNS")
	}
	var w store.CacheWrites
	w.Set(class(classBook), text, 0)
	return m.cfg.Cache.Write(&w)
}

// beganAnew forgets everything when the cache did, because its folder was deleted.
// m.writing is held.
func (m *Memory) beganAnew() (bool, error) {
	v, err := m.cfg.Cache.View() // makes it anew, where need be
	if err != nil {
		return false, err
	}
	v.Close()
	if err := m.loadBook(); err != nil {
		return false, err
	}
	at, _ := m.cfg.Cache.Renewed()
	if at.Equal(m.renewed) {
		return false, nil
	}
	m.renewed, m.book = at, book{}
	m.counts.hold(m.book)
	m.since.Store(0)
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.leaving)
	m.clients = newClients()
	if t := m.tables.Load(); t != nil {
		t.hot.clear()
		t.domains.clear()
	}
	return true, nil
}
