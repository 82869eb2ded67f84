package state

import (
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"larkspur/engine"
)

// Words are what search finds incidents by: letters and digits in lower case and
// normal form (NFKC). Addresses, hardware addresses and domain names are words as
// a whole, in one spelling; a domain's parents and labels, and the first bytes of
// an address, are words too.

// Bounds of what is indexed of an incident.
const (
	maxWordBytes  = 64
	maxWords      = 64      // of its title and fields
	maxEventWords = 32      // more, of the event that opened it
	maxWordText   = 4 << 10 // bytes of one value
	maxParents    = 6       // of a domain
)

// idn maps names to A-labels as browsers do, without a zone's further rules.
var idn = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))

// wordList collects distinct words up to a limit.
type wordList struct {
	words []string
	limit int
}

func (l *wordList) full() bool { return len(l.words) >= l.limit }

func (l *wordList) add(words ...string) {
	for _, w := range words {
		if w = cutText(w, maxWordBytes); w != "" && !l.full() && !slices.Contains(l.words, w) {
			l.words = append(l.words, w)
		}
	}
}

// cutText cuts a text to so many bytes, between runes.
func cutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// normal is a text as it is compared.
func normal(text string) string {
	return strings.ToLower(norm.NFKC.String(strings.ToValidUTF8(cutText(text, maxWordText), " ")))
}

// text adds the words of a text.
func (l *wordList) text(text string) {
	for _, chunk := range chunks(normal(text)) {
		if l.full() {
			return
		}
		l.add(chunkWords(chunk)...)
	}
}

// value adds the words of a value. Secrets have none.
func (l *wordList) value(v engine.Value) {
	eachText(v, func(text string) bool {
		l.text(text)
		return !l.full()
	})
}

// eachText calls fn with the texts in a value, until it returns false.
func eachText(v engine.Value, fn func(text string) bool) bool {
	list := func(items []engine.Value) bool {
		for _, item := range items {
			if !eachText(item, fn) {
				return false
			}
		}
		return true
	}
	switch v := v.(type) {
	case string:
		return fn(v)
	case int64:
		return fn(strconv.FormatInt(v, 10))
	case *big.Int:
		return fn(v.String())
	case float64:
		return fn(fmt.Sprint(v))
	case time.Time:
		return fn(v.Format("2006-01-02"))
	case engine.PersonRef:
		return fn(v.Name) && fn(v.Email)
	case engine.IncidentRef:
		return fn(v.ID)
	case []engine.Value:
		return list(v)
	case engine.Tuple:
		return list(v)
	case engine.Set:
		return list(v)
	case map[string]engine.Value:
		return eachOf(v, fn)
	case engine.Struct:
		return eachOf(v.Fields, fn)
	case engine.Dict:
		for _, p := range v {
			if !eachText(p.Key, fn) || !eachText(p.Value, fn) {
				return false
			}
		}
	}
	return true
}

func eachOf(m map[string]engine.Value, fn func(text string) bool) bool {
	for _, k := range sortedNames(m) {
		if !eachText(m[k], fn) {
			return false
		}
	}
	return true
}

func sortedNames(m map[string]engine.Value) []string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

// chunks are the parts of a text between spaces and brackets.
func chunks(text string) []string {
	list := strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune("\"'`<>()[]{},;|=\\", r)
	})
	for i, chunk := range list {
		list[i] = strings.Trim(chunk, ".:!?*-_/…“”„’")
	}
	return slices.DeleteFunc(list, func(c string) bool { return c == "" })
}

// chunkWords are the words of one chunk: the whole, if it is an address or a
// name, and its parts.
func chunkWords(chunk string) []string {
	if whole, parts, _ := address(chunk); whole != "" {
		return append([]string{whole}, parts...)
	}
	if _, rest, ok := strings.Cut(chunk, "://"); ok {
		chunk = rest
	}
	if strings.ContainsAny(chunk, "/?&#%") {
		return eachChunk(strings.FieldsFunc(chunk, func(r rune) bool { return strings.ContainsRune("/?&#%", r) }))
	}
	if local, domain, ok := strings.Cut(chunk, "@"); ok && local != "" && domain != "" {
		return append([]string{chunk}, eachChunk([]string{local, domain})...)
	}
	if ascii, ok := domainName(chunk); ok {
		return domainWords(ascii)
	}
	return plainWords(chunk)
}

func eachChunk(parts []string) (words []string) {
	for _, p := range parts {
		if p = strings.Trim(p, ".:-_"); p != "" {
			words = append(words, chunkWords(p)...)
		}
	}
	return words
}

// plainWords are the runs of letters and digits.
func plainWords(chunk string) []string {
	return strings.FieldsFunc(chunk, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
}

// address returns the one spelling of an IP address, prefix or hardware address,
// and its parts; complete is false for what may be the beginning of one. The
// whole is "" for anything else.
func address(chunk string) (whole string, parts []string, complete bool) {
	if chunk == "" || chunk[0] > 'f' || strings.Trim(chunk, "0123456789abcdef.:-/%") != "" || !strings.ContainsAny(chunk, ".:-") {
		return "", nil, false
	}
	if a, err := netip.ParseAddr(chunk); err == nil {
		whole, parts = addressWords(a.WithZone("").Unmap())
		return whole, parts, true
	}
	if ap, err := netip.ParseAddrPort(chunk); err == nil {
		whole, parts = addressWords(ap.Addr().Unmap())
		return whole, append(parts, strconv.Itoa(int(ap.Port()))), true
	}
	if p, err := netip.ParsePrefix(chunk); err == nil {
		whole, parts = addressWords(p.Addr().Unmap())
		return p.String(), append(parts, whole), true
	}
	if mac, err := net.ParseMAC(chunk); err == nil {
		return mac.String(), nil, true
	}
	if strings.Trim(chunk, "0123456789.") == "" {
		return chunk, above(chunk), false
	}
	if strings.Trim(chunk, "0123456789abcdef:") == "" {
		return chunk, nil, false
	}
	return "", nil, false
}

// above are what stands before the dots of a number: of 1.26.0, 1.26.
func above(number string) (list []string) {
	for len(list) < maxParents {
		number = number[:max(0, strings.LastIndexByte(number, '.'))]
		if !strings.Contains(number, ".") {
			break
		}
		list = append(list, number)
	}
	return list
}

// addressWords are an address and the networks that people think of: the first
// two and three bytes, or the first half.
func addressWords(a netip.Addr) (whole string, parts []string) {
	whole = a.String()
	if a.Is4() {
		return whole, above(whole)
	}
	if p, err := a.Prefix(64); err == nil {
		parts = []string{p.Addr().String()}
	}
	return whole, parts
}

// domainName returns the A-labels of what looks like a domain name.
func domainName(chunk string) (ascii string, ok bool) {
	if !strings.Contains(chunk, ".") || len(chunk) > 253 {
		return "", false
	}
	ascii, err := idn.ToASCII(chunk)
	if err != nil {
		return "", false
	}
	labels := strings.Split(ascii, ".")
	for _, label := range labels {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	last := labels[len(labels)-1]
	return ascii, len(labels) > 1 && strings.Trim(last, "0123456789") != ""
}

// domainWords are a name, the names above it, and its labels as people read
// them.
func domainWords(ascii string) []string {
	words := []string{ascii}
	for parent := ascii; len(words) < maxParents; {
		_, rest, _ := strings.Cut(parent, ".")
		if !strings.Contains(rest, ".") {
			break
		}
		words = append(words, rest)
		parent = rest
	}
	readable, err := idn.ToUnicode(ascii)
	if err != nil {
		readable = ascii
	}
	return append(words, plainWords(readable)...)
}

// incidentWords are the words of an incident's title and fields: what its noun
// holds, so that they can be taken out of the index again.
func incidentWords(i engine.Incident) []string {
	l := &wordList{limit: maxWords}
	l.text(i.Title)
	if len(i.Fields) > 0 && !l.full() {
		fields, _ := decoded(i.Fields).(map[string]engine.Value)
		for _, name := range i.Order {
			l.value(fields[name])
		}
		for _, name := range sortedNames(fields) {
			if !slices.Contains(i.Order, name) {
				l.value(fields[name])
			}
		}
	}
	return l.words
}

// eventWords are the words of the event that opened an incident.
func eventWords(fields engine.Data) []string {
	l := &wordList{limit: maxEventWords}
	if len(fields) > 0 {
		l.value(decoded(fields))
	}
	return l.words
}
