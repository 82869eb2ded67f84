package passivedns

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"larkspur/engine"
	"larkspur/engine/capture"
)

// records tells entries as others read them.
func (w *window) records(list []found) ([]engine.DNSRecord, error) {
	out := make([]engine.DNSRecord, 0, len(list))
	who := askers{w: w, known: map[string][]string{}, fresh: w.freshAskers(list)}
	for _, f := range list {
		r, question, err := describe(f)
		if err != nil {
			continue // a key of another version
		}
		if question == "" {
			r.Clients = who.one(f.key)
		} else if r.Clients, err = who.of(question); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// describe tells an entry. question is the end of the keys of who asked for the
// name and type; "" for what a client asked itself.
func describe(f found) (r engine.DNSRecord, question string, err error) {
	r.First, r.Last, r.Count = moment(f.v.first), moment(f.v.last), f.v.count
	if f.key[1] == classAsked {
		a, err := parseAsked([]byte(f.key))
		r.Name, r.Type = a.Name, capture.TypeName(a.Type)
		return r, "", err
	}
	rec, err := parseRecord([]byte(f.key))
	if err != nil {
		return r, "", err
	}
	r.Name, r.Type, r.Data, r.Rcode = rec.Name, capture.TypeName(rec.Type), rec.text(), "NOERROR"
	if rec.Form == formMissing {
		r.Rcode = "NXDOMAIN"
	}
	return r, string(binary.BigEndian.AppendUint16(appendName(nil, []byte(rec.Name)), rec.Type)), nil
}

// askers finds who asked for names and types.
type askers struct {
	w     *window
	known map[string][]string
	fresh map[string][]uint32
}

// freshAskers are those of a list that are not yet written.
func (w *window) freshAskers(list []found) map[string][]uint32 {
	fresh := map[string][]uint32{}
	for _, f := range list {
		if _, question, err := describeQuestion(f); err == nil && question != "" {
			fresh[question] = nil
		}
	}
	for _, r := range w.asked {
		if numbers, wanted := fresh[r.key[6:]]; wanted {
			fresh[r.key[6:]] = append(numbers, binary.BigEndian.Uint32([]byte(r.key[2:])))
		}
	}
	return fresh
}

// describeQuestion is describe without what costs.
func describeQuestion(f found) (r recordOf, question string, err error) {
	if f.key[1] == classAsked {
		return r, "", nil
	}
	r, err = parseRecord([]byte(f.key))
	return r, string(binary.BigEndian.AppendUint16(appendName(nil, []byte(r.Name)), r.Type)), err
}

// one is the client of a key of what it asked.
func (a *askers) one(key string) []string {
	return a.names([]uint32{binary.BigEndian.Uint32([]byte(key[2:]))})
}

func (a *askers) of(question string) ([]string, error) {
	if list, ok := a.known[question]; ok {
		return list, nil
	}
	numbers := slices.Clone(a.fresh[question])
	prefix := append(class(classAsker), question...)
	err := a.w.view.Scan(prefix, nil, func(key, _ []byte) bool {
		if rest := key[len(prefix):]; len(rest) == 4 {
			numbers = append(numbers, binary.BigEndian.Uint32(rest))
		}
		return len(numbers) < maxShownClients
	})
	list := a.names(numbers)
	a.known[question] = list
	return list, err
}

// names are the addresses of clients, in order; those that were forgotten have
// none.
func (a *askers) names(numbers []uint32) []string {
	slices.Sort(numbers)
	var addresses []netip.Addr
	a.w.m.mu.Lock()
	for _, n := range slices.Compact(numbers) {
		if address, ok := a.w.clients[n]; ok {
			addresses = append(addresses, address)
		}
	}
	a.w.m.mu.Unlock()
	slices.SortFunc(addresses, netip.Addr.Compare)
	var list []string
	for _, address := range addresses[:min(len(addresses), maxShownClients)] {
		list = append(list, address.String())
	}
	return list
}

// Domains returns registrable domains by when they were seen first, the newest
// first.
func (m *Memory) Domains(after string, limit int) (list []engine.DNSDomain, next string, err error) {
	m.Settle()
	if err := m.writeDomains(m.open()); err != nil { // those that are new since the last minute are few
		return nil, "", err
	}
	var start []byte
	if after != "" {
		if start, err = base64.RawURLEncoding.DecodeString(after); err != nil || !bytes.HasPrefix(start, class(classNew)) {
			return nil, "", engine.Errorf(engine.Invalid, "cursor: got %.40q, which is none of this list", after)
		}
	}
	oldest := m.oldest(m.cfg.Settings().Keep)
	v, err := m.cfg.Cache.View()
	if err != nil {
		return nil, "", err
	}
	defer v.Close()
	var failed error
	err = v.Scan(class(classNew), start, func(key, _ []byte) bool {
		if len(key) < 6 {
			return true
		}
		if len(list) == limit {
			next = base64.RawURLEncoding.EncodeToString(key)
			return false
		}
		var val value
		text, ok, err := v.Get(domainKey(string(key[6:])))
		if failed = err; ok && err == nil {
			val, err = decodeValue(text)
		}
		if ok && err == nil && val.last >= oldest {
			list = append(list, engine.DNSDomain{Domain: string(key[6:]), First: moment(val.first), Last: moment(val.last), Lookups: val.count})
		}
		return failed == nil
	})
	return list, next, firstOf(err, failed)
}

// normalName brings a name that people write into the form of keys: lower case, no
// trailing dot, U-labels as A-labels are left to who knows IDNA, bytes that do not
// print as \DDD.
func normalName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "." {
		return name, nil
	}
	wire := make([]byte, 256)
	n, err := dns.PackDomainName(dns.Fqdn(name), wire, 0, nil, false)
	if err != nil || name == "" {
		return "", engine.Errorf(engine.Invalid, "got %.100q, want a name", name).WithHint("such as example.org")
	}
	return capture.NameOf(wire[:n])
}
