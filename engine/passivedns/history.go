package passivedns

import (
	"bytes"
	"container/heap"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"larkspur/engine"
	"larkspur/engine/store"
)

const (
	// sortScan and sortFetch are how many entries are looked at for one page of a
	// list, the newest first: those of a name or client, which lie together, and those
	// of an answer, which are fetched one by one. Where there are more, they come in
	// the order of their names.
	sortScan, sortFetch = 20_000, 4_000
	// maxShownClients bounds the clients of a record.
	maxShownClients = 20
	// DefaultLimit and MaxLimit are of History.
	DefaultLimit, MaxLimit = 100, 10_000
)

// found is an entry with the key by which it is found.
type found struct {
	sort, key string
	v         value
}

// newer orders entries, the newest first.
func newer(a, b found) int {
	if a.v.last != b.v.last {
		return int(min(max(int64(b.v.last)-int64(a.v.last), -1), 1))
	}
	return strings.Compare(a.key, b.key)
}

// search is a query in terms of keys.
type search struct {
	prefix []byte                                          // of the keys to look at
	keeps  func(key []byte) bool                           // of the table of counts: whether a key belongs
	sort   func(key []byte) []byte                         // by which a key of the table is found
	fetch  func(*store.CacheView, []byte) ([]found, error) // nil: they lie there themselves
	bound  int
}

// History returns what is known of a name and all below it, of an address or a
// name that was answered, or of what a client asked. Errors are of kind invalid for
// a query that is none, and of kind not_found never: nothing is an empty page.
func (m *Memory) History(q engine.DNSQuery) (engine.DNSPage, error) {
	s, err := m.search(q)
	if err != nil || s == nil {
		return engine.DNSPage{}, err
	}
	if q.Limit <= 0 {
		q.Limit = DefaultLimit
	}
	q.Limit = min(q.Limit, MaxLimit)
	at, err := parseCursor(q.Cursor)
	if err != nil {
		return engine.DNSPage{}, err
	}
	w, err := m.look(s)
	if err != nil {
		return engine.DNSPage{}, err
	}
	defer w.view.Close()
	list, next, byName, err := w.page(q, at)
	if err != nil {
		return engine.DNSPage{}, err
	}
	records, err := w.records(list)
	return engine.DNSPage{Records: records, Next: next, ByName: byName}, err
}

// search makes a search of a query; nil for one that can find nothing.
func (m *Memory) search(q engine.DNSQuery) (*search, error) {
	given := 0
	for _, text := range []string{q.Domain, q.IP, q.Client, q.Target} {
		if text != "" {
			given++
		}
	}
	if given != 1 {
		return nil, engine.Errorf(engine.Invalid, "want one of domain, ip and client, got %d", given)
	}
	switch {
	case q.Domain != "":
		return searchName(q.Domain)
	case q.Target != "":
		return searchTarget(q.Target)
	case q.IP != "":
		return searchAddress(q.IP)
	}
	return m.searchClient(q.Client)
}

func searchName(domain string) (*search, error) {
	name, err := normalName(domain)
	if err != nil {
		return nil, engine.WrapError(engine.Invalid, err, "domain")
	}
	prefix := below(class(classRecord), []byte(name))
	return &search{prefix: prefix, bound: sortScan, keeps: func(key []byte) bool { return bytes.HasPrefix(key, prefix) }}, nil
}

func parseAddress(field, text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil || a.Zone() != "" {
		return a, engine.Errorf(engine.Invalid, "%s: got %.100q, want an address", field, text).WithHint("such as 192.0.2.7 or 2001:db8::7")
	}
	return a.Unmap(), nil
}

func searchAddress(ip string) (*search, error) {
	a, err := parseAddress("ip", ip)
	if err != nil {
		return nil, err
	}
	kind := dns.TypeA
	if a.Is6() {
		kind = dns.TypeAAAA
	}
	tail := append(binary.BigEndian.AppendUint16(nil, kind), formWire)
	tail = append(tail, a.AsSlice()...)
	return &search{
		prefix: addressPrefix(a), bound: sortFetch,
		keeps: func(key []byte) bool { return key[1] == classRecord && bytes.HasSuffix(key, tail) },
		sort:  recordIndex,
		fetch: func(v *store.CacheView, index []byte) ([]found, error) {
			name, _, err := cutName(index[2+16:])
			if err != nil {
				return nil, nil // not one of ours
			}
			return fetchOne(v, index, recordOf{name, kind, formWire, a.AsSlice()}.appendKey(nil))
		},
	}, nil
}

// recordIndex is the key by which a record is found, nil for none.
func recordIndex(key []byte) []byte {
	r, err := parseRecord(key)
	if err != nil {
		return nil
	}
	return r.indexKey()
}

func fetchOne(v *store.CacheView, index, key []byte) ([]found, error) {
	text, ok, err := v.Get(key)
	if err != nil || !ok {
		return nil, err
	}
	val, err := decodeValue(text)
	if err != nil {
		return nil, nil // what cannot be read is swept
	}
	return []found{{string(index), string(key), val}}, nil
}

func searchTarget(target string) (*search, error) {
	name, err := normalName(target)
	if err != nil {
		return nil, engine.WrapError(engine.Invalid, err, "target")
	}
	prefix := appendName(class(classTarget), []byte(name))
	return &search{
		prefix: prefix, bound: sortFetch,
		keeps: func(key []byte) bool {
			return key[1] == classRecord && bytes.HasSuffix(key, []byte(name)) && bytes.HasPrefix(recordIndex(key), prefix)
		},
		sort:  recordIndex,
		fetch: func(v *store.CacheView, index []byte) ([]found, error) { return fetchTargets(v, index, len(prefix)) },
	}, nil
}

// fetchTargets fetches the records that an entry of the index stands for: MX
// records may differ in their preference alone.
func fetchTargets(v *store.CacheView, index []byte, cut int) (list []found, err error) {
	if len(index) < cut+2 {
		return nil, nil
	}
	owner, _, err := cutName(index[cut+2:])
	if err != nil {
		return nil, nil
	}
	prefix := recordOf{Name: owner, Type: binary.BigEndian.Uint16(index[cut:]), Form: formText}.appendKey(nil)
	err = v.Scan(prefix, nil, func(key, text []byte) bool {
		if val, bad := decodeValue(text); bad == nil && bytes.Equal(recordIndex(key), index) {
			list = append(list, found{string(index), string(key), val})
		}
		return true
	})
	return list, err
}

func (m *Memory) searchClient(client string) (*search, error) {
	a, err := parseAddress("client", client)
	if err != nil {
		return nil, err
	}
	if !m.cfg.Settings().Clients {
		return nil, engine.Errorf(engine.Conflict, "client: who asked is not kept here").
			WithHint("larkspur.yaml: history: {clients: true}")
	}
	m.Settle()
	m.open()
	m.mu.Lock()
	number, known := m.clients.numbers[a]
	m.mu.Unlock()
	if !known {
		return nil, nil
	}
	prefix := binary.BigEndian.AppendUint32(class(classAsked), number)
	return &search{prefix: prefix, bound: sortScan, keeps: func(key []byte) bool { return bytes.HasPrefix(key, prefix) }}, nil
}

// window is a search at one moment: what is written, and what is not yet.
type window struct {
	*search
	m       *Memory
	view    *store.CacheView
	fresh   []found // not yet written, by sort and key
	asked   []row   // of clients, not yet written
	oldest  uint32
	clients map[uint32]netip.Addr
}

// look takes what is not yet written, then a view of the rest. Close the view.
func (m *Memory) look(s *search) (*window, error) {
	m.Settle()
	t := m.open()
	w := &window{search: s, m: m, oldest: m.oldest(m.cfg.Settings().Keep)}
	m.writing.Lock()
	defer m.writing.Unlock()
	m.mu.Lock()
	w.clients = m.clients.addresses
	t.hot.each(func(key []byte, v value) { w.take(key, v) })
	for key, v := range m.leaving {
		w.take([]byte(key), v)
	}
	m.mu.Unlock()
	w.merge()
	var err error
	w.view, err = m.cfg.Cache.View()
	return w, err
}

// each calls fn with what is not yet written.
func (h *hot) each(fn func(key []byte, v value)) {
	for i := range h.rows {
		for j := range h.rows[i] {
			if s := &h.rows[i][j]; s.since.last > 0 {
				fn(s.key, s.since)
			}
		}
	}
}

func (w *window) take(key []byte, v value) {
	if key[1] == classAsked {
		w.asked = append(w.asked, row{string(key), v})
	}
	if !w.keeps(key) {
		return
	}
	f := found{key: string(key), v: v}
	f.sort = f.key
	if w.sort != nil {
		f.sort = string(w.sort(key))
	}
	w.fresh = append(w.fresh, f)
}

// merge orders what is fresh; a key may have left the table and be back.
func (w *window) merge() {
	slices.SortFunc(w.fresh, bySort)
	w.fresh = merged(w.fresh)
}

func bySort(a, b found) int {
	if c := strings.Compare(a.sort, b.sort); c != 0 {
		return c
	}
	return strings.Compare(a.key, b.key)
}

// merged adds up neighbours with the same key.
func merged(list []found) []found {
	out := list[:0]
	for _, f := range list {
		if n := len(out); n > 0 && out[n-1].key == f.key {
			out[n-1].v.add(f.v)
			continue
		}
		out = append(out, f)
	}
	return out
}

// walk calls fn with every entry of the search in the order of sort, from start on
// (""): all, until fn returns false.
func (w *window) walk(start string, fn func(found) bool) error {
	from, _ := slices.BinarySearchFunc(w.fresh, start, func(f found, start string) int { return strings.Compare(f.sort, start) })
	fresh, stopped := w.fresh[from:], false
	upTo := func(limit string, all bool) (part []found) {
		n := 0
		for n < len(fresh) && (all || fresh[n].sort <= limit) {
			n++
		}
		part, fresh = fresh[:n], fresh[n:]
		return part
	}
	emit := func(list []found) bool {
		for _, f := range list {
			if f.v.last >= w.oldest && !fn(f) {
				stopped = true
				return false
			}
		}
		return true
	}
	var begin []byte
	if start > string(w.prefix) {
		begin = []byte(start)
	}
	var failed error
	err := w.view.Scan(w.prefix, begin, func(key, text []byte) bool {
		var list []found
		if list, failed = w.stored(key, text); failed != nil {
			return false
		}
		if part := upTo(string(key), false); len(part) > 0 {
			list = slices.Concat(list, part)
			slices.SortFunc(list, bySort)
			list = merged(list)
		}
		return emit(list)
	})
	if err = firstOf(err, failed); err == nil && !stopped {
		emit(upTo("", true))
	}
	return err
}

// stored is what a key of the store stands for.
func (w *window) stored(key, text []byte) ([]found, error) {
	if w.fetch != nil {
		return w.fetch(w.view, key)
	}
	v, err := decodeValue(text)
	if err != nil {
		return nil, nil // what cannot be read is swept
	}
	k := string(key)
	return []found{{k, k, v}}, nil
}

// page returns a page of entries and the cursor of the next.
func (w *window) page(q engine.DNSQuery, at cursor) (list []found, next string, byName bool, err error) {
	if at.byName {
		list, next, err = w.byName(q.Limit, at)
		return list, next, true, err
	}
	newest, all := &newestFound{limit: q.Limit + 1}, 0
	err = w.walk("", func(f found) bool {
		all++
		if at.key == "" || newer(f, found{key: at.key, v: value{last: at.last}}) > 0 {
			newest.add(f)
		}
		return q.Whole || all <= w.bound
	})
	if err != nil {
		return nil, "", false, err
	}
	if !q.Whole && all > w.bound {
		list, next, err = w.byName(q.Limit, cursor{})
		return list, next, true, err
	}
	list = newest.sorted()
	if len(list) > q.Limit {
		list = list[:q.Limit]
		last := list[q.Limit-1]
		next = cursor{last: last.v.last, key: last.key}.String()
	}
	return list, next, false, nil
}

// byName returns a page in the order of sort.
func (w *window) byName(limit int, at cursor) (list []found, next string, err error) {
	err = w.walk(at.sort, func(f found) bool {
		if f.sort == at.sort && f.key <= at.key {
			return true
		}
		if len(list) == limit {
			last := list[limit-1]
			next = cursor{byName: true, sort: last.sort, key: last.key}.String()
			return false
		}
		list = append(list, f)
		return true
	})
	return list, next, err
}

// newestFound keeps the newest of many.
type newestFound struct {
	limit int
	list  []found
}

func (n *newestFound) Len() int           { return len(n.list) }
func (n *newestFound) Less(i, j int) bool { return newer(n.list[i], n.list[j]) > 0 }
func (n *newestFound) Swap(i, j int)      { n.list[i], n.list[j] = n.list[j], n.list[i] }
func (n *newestFound) Push(x any)         { n.list = append(n.list, x.(found)) }
func (n *newestFound) Pop() any           { panic("unused") }

func (n *newestFound) add(f found) {
	switch {
	case len(n.list) < n.limit:
		heap.Push(n, f)
	case newer(f, n.list[0]) < 0:
		n.list[0] = f
		heap.Fix(n, 0)
	}
}

func (n *newestFound) sorted() []found {
	slices.SortFunc(n.list, newer)
	return n.list
}

// cursor is the last entry of a page.
type cursor struct {
	byName    bool
	last      uint32
	sort, key string
}

// String returns a cursor as text.
func (c cursor) String() string {
	b := []byte{'t'}
	if c.byName {
		b[0] = 'n'
	}
	b = binary.BigEndian.AppendUint32(b, c.last)
	b = binary.AppendUvarint(b, uint64(len(c.sort)))
	return base64.RawURLEncoding.EncodeToString(append(append(b, c.sort...), c.key...))
}

func parseCursor(text string) (c cursor, err error) {
	if text == "" {
		return c, nil
	}
	bad := engine.Errorf(engine.Invalid, "cursor: got %.40q, which is none of this list", text)
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 6 || b[0] != 't' && b[0] != 'n' {
		return c, bad
	}
	c.byName, c.last = b[0] == 'n', binary.BigEndian.Uint32(b[1:])
	length, n := binary.Uvarint(b[5:])
	if b = b[5:]; n <= 0 || length > uint64(len(b)-n) {
		return c, bad
	}
	c.sort, c.key = string(b[n:n+int(length)]), string(b[n+int(length):])
	if len(c.key) < 2 || c.key[0] != apart || c.byName && c.sort == "" {
		return c, bad
	}
	return c, nil
}
