package passivedns

import (
	"encoding/binary"
	"slices"

	"larkspur/engine/store"
)

// Forget makes what mentions somebody go away, from the files of the store too:
// what a client asked whose address is meant, and names with an answer that
// mentions them. mentions looks for them in a text.
func (m *Memory) Forget(mentions func(text []byte) bool) error {
	if err := m.Flush(); err != nil {
		return err
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	if _, err := m.beganAnew(); err != nil {
		return err
	}
	prefixes := m.forgetClients(mentions)
	v, err := m.cfg.Cache.View()
	if err != nil {
		return err
	}
	more, err := mentioned(v, mentions)
	v.Close()
	if err != nil {
		return err
	}
	prefixes = append(prefixes, more...)
	m.forgetHot(prefixes)
	if len(prefixes) == 0 {
		return nil
	}
	return m.cfg.Cache.Drop(prefixes)
}

// forgetClients takes numbers from clients, and returns what lies under them.
func (m *Memory) forgetClients(mentions func([]byte) bool) (prefixes [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for address, number := range m.clients.numbers {
		if !mentions([]byte(address.String())) {
			continue
		}
		delete(m.clients.numbers, address)
		delete(m.clients.addresses, number)
		prefixes = append(prefixes, clientKey(address), binary.BigEndian.AppendUint32(class(classAsked), number))
	}
	return prefixes
}

// mentioned returns the beginnings of the keys of names that are mentioned, or
// whose answers are.
func mentioned(v *store.CacheView, mentions func([]byte) bool) (prefixes [][]byte, err error) {
	last := ""
	err = v.Scan(class(classRecord), nil, func(key, _ []byte) bool {
		r, bad := parseRecord(key)
		if bad == nil && r.Name != last && (mentions([]byte(r.Name)) || mentions([]byte(r.text()))) {
			last = r.Name
			prefixes = append(prefixes, appendName(class(classRecord), []byte(r.Name)), appendName(class(classAsker), []byte(r.Name)))
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	for _, p := range slices.Clone(prefixes) {
		if p[1] != classRecord {
			continue
		}
		err = firstOf(err, v.Scan(p, nil, func(key, _ []byte) bool {
			if index := recordIndex(key); index != nil {
				prefixes = append(prefixes, index)
			}
			return true
		}), v.Scan(appendName(class(classAsker), nameIn(p)), nil, func(key, _ []byte) bool {
			if q := key[2:]; len(q) > 6 {
				asked := append(class(classAsked), q[len(q)-4:]...)
				prefixes = append(prefixes, append(asked, q[:len(q)-4]...))
			}
			return true
		}))
	}
	return prefixes, err
}

// nameIn is the name of a beginning of keys.
func nameIn(prefix []byte) []byte {
	name, _, err := cutName(prefix[2:])
	if err != nil {
		return nil
	}
	return []byte(name)
}

// forgetHot empties the slots of keys with one of the prefixes: what came since
// the last writing.
func (m *Memory) forgetHot(prefixes [][]byte) {
	t := m.tables.Load()
	if t == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range t.hot.rows {
		for j := range t.hot.rows[i] {
			if s := &t.hot.rows[i][j]; hasPrefix(s.key, prefixes) {
				*s = slot{}
			}
		}
	}
	for key := range m.leaving {
		if hasPrefix([]byte(key), prefixes) {
			delete(m.leaving, key)
		}
	}
}

func hasPrefix(key []byte, prefixes [][]byte) bool {
	return slices.ContainsFunc(prefixes, func(p []byte) bool { return len(key) >= len(p) && string(key[:len(p)]) == string(p) })
}
