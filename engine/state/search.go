package state

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"
	"unicode"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// A search is words, all of which an incident has: `netflix 192.0.2.7`. The
// last is the beginning of one, unless a space follows. "Words in quotes" stand
// beside each other; field:value asks one field of the incident or its event,
// and status:, rule:, type:, severity: and owner: are the filters of lists. An
// incident's id finds it.
type search struct {
	wants   []want
	filters []want // with those of the list
	words   []string
	prefix  string // the beginning of a word
	texts   []string
	found   []inField
	id      string
	// often: in this shard the beginning is too frequent to be looked up.
	often map[uint16]bool
	// hopeless: something was asked for that no word is.
	hopeless bool
}

// inField asks that a field has words.
type inField struct {
	name  string
	words []string
}

// Bounds of a search.
const (
	maxSearchBytes = 512
	maxSearchWords = 16
	// maxGathered bounds how many places a beginning of a word is looked up at;
	// one that is more frequent is looked for in the incidents themselves.
	maxGathered = 10_000
)

func parseSearch(text string) (search, error) {
	q := search{often: map[uint16]bool{}}
	if len(text) > maxSearchBytes {
		return q, engine.Errorf(engine.Invalid, "q: %d bytes, at most %d", len(text), maxSearchBytes).WithHint("search for a few words of it")
	}
	parts := searchParts(text)
	for i, p := range parts {
		if len(q.words) > maxSearchWords {
			return q, engine.Errorf(engine.Invalid, "q: more than %d words", maxSearchWords).WithHint("search for a few of them")
		}
		last := i == len(parts)-1 && !strings.HasSuffix(text, " ")
		q.part(p, last)
	}
	q.hopeless = len(parts) > 0 && len(q.words)+len(q.wants) == 0 && q.prefix == "" && q.id == ""
	return q, nil
}

// searchPart is one part of a search as it was written.
type searchPart struct {
	field, text string
	quoted      bool
}

// searchParts splits at spaces outside quotes.
func searchParts(text string) (parts []searchPart) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		var p searchPart
		if name, rest, ok := strings.Cut(text, ":"); ok && isField(name, rest) {
			p.field, text = name, rest
		}
		if rest, ok := strings.CutPrefix(text, `"`); ok {
			p.quoted = true
			p.text, text, _ = strings.Cut(rest, `"`)
		} else if end := strings.IndexFunc(text, unicode.IsSpace); end >= 0 {
			p.text, text = text[:end], text[end:]
		} else {
			p.text, text = text, ""
		}
		parts = append(parts, p)
	}
	return parts
}

// isField tells NAME:VALUE from an address, a URL or a time.
func isField(name, rest string) bool {
	if name == "" || rest == "" || rest[0] == '/' || rest[0] == ':' || unicode.IsSpace(rune(rest[0])) {
		return false
	}
	for i, r := range name {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	value, _, _ := strings.Cut(rest, " ")
	whole, _, _ := address(strings.ToLower(name + ":" + value))
	return whole == ""
}

func (q *search) part(p searchPart, last bool) {
	if filter := filterNamed(p.field); filter != 0 {
		q.wants = append(q.wants, want{filter, p.text})
		return
	}
	if _, _, ok := engine.ParseID('i', p.text); ok && p.field == "" && !p.quoted {
		q.id = p.text
		return
	}
	words, complete := searchWords(p.text)
	if p.field != "" && len(words) > 0 {
		q.found = append(q.found, inField{p.field, words})
	}
	if p.quoted && len(words) > 1 {
		q.texts = append(q.texts, strings.Join(strings.Fields(normal(p.text)), " "))
	}
	if last && !complete && !p.quoted && p.field == "" && len(words) > 0 {
		q.prefix = words[len(words)-1]
		words = words[:len(words)-1]
	}
	q.words = append(q.words, words...)
}

func filterNamed(name string) byte {
	switch name {
	case "status":
		return byStatus
	case "rule":
		return byRule
	case "type":
		return byType
	case "severity":
		return bySeverity
	case "owner":
		return byOwner
	}
	return 0
}

// searchWords are the words that a text asks for; complete: the last of them is
// an address, not the beginning of one.
func searchWords(text string) (words []string, complete bool) {
	l := &wordList{limit: maxSearchWords}
	for _, chunk := range chunks(normal(text)) {
		var whole string
		if whole, _, complete = address(chunk); whole != "" {
			l.add(whole)
		} else if ascii, ok := domainName(chunk); ok {
			l.add(ascii)
		} else if strings.Contains(chunk, "@") && !strings.Contains(chunk, "/") {
			l.add(chunk)
		} else {
			l.add(chunkWords(chunk)...)
		}
	}
	return l.words, complete
}

// seekers adds those of the words.
func (q *search) seekers(r store.Reader, shard uint16, list []seeker) []seeker {
	if _, n, ok := engine.ParseID('i', q.id); ok {
		list = append(list, numbers{n})
	}
	for _, w := range q.words {
		list = append(list, listed(r, wordPrefix(shard, w)))
	}
	if whole, _, _ := address(q.prefix); whole != "" {
		// 192.0.2 and 192.0 are words of all addresses that begin with them.
		if exact := listed(r, wordPrefix(shard, whole)); exact.any() {
			return append(list, exact)
		}
	}
	if q.prefix != "" {
		begin := append(key(classWord, shard), cutText(q.prefix, maxWordBytes)...)
		n, few := gathered(r, begin, maxGathered)
		if q.often[shard] = !few; few {
			list = append(list, n)
		}
	}
	return list
}

// sift looks at what the index cannot tell: fields, words beside each other, and
// beginnings of words that are everywhere.
func (q *search) sift(load func(store.Reader, uint16, uint64) (engine.Incident, time.Time, bool)) func(store.Reader, uint16, uint64) (engine.Incident, time.Time, bool) {
	return func(r store.Reader, shard uint16, n uint64) (engine.Incident, time.Time, bool) {
		i, at, ok := load(r, shard, n)
		if !ok || len(q.found)+len(q.texts) == 0 && !q.often[shard] {
			return i, at, ok
		}
		return i, at, q.holds(r, shard, n, i)
	}
}

// holds reports whether an incident has what a search asks for.
func (q *search) holds(r store.Reader, shard uint16, n uint64, i engine.Incident) bool {
	fields, _ := decoded(i.Fields).(map[string]engine.Value)
	event := openingFields(r, shard, n)
	for _, f := range q.found {
		if !has(fields[f.name], f.words) && !has(event[f.name], f.words) {
			return false
		}
	}
	for _, text := range q.texts {
		if !says(i.Title, text) && !says(fields, text) && !says(event, text) {
			return false
		}
	}
	if q.often[shard] {
		begins := func(w string) bool { return strings.HasPrefix(w, q.prefix) }
		l := &wordList{limit: maxEventWords}
		l.value(event)
		return slices.ContainsFunc(incidentWords(i), begins) || slices.ContainsFunc(l.words, begins)
	}
	return true
}

// has reports whether a value has all the words.
func has(v engine.Value, words []string) bool {
	l := &wordList{limit: maxWords}
	l.value(v)
	for _, w := range words {
		if !slices.Contains(l.words, w) {
			return false
		}
	}
	return true
}

// says reports whether a text of a value has the words beside each other.
func says(v engine.Value, words string) bool {
	return !eachText(v, func(text string) bool {
		return !strings.Contains(strings.Join(strings.Fields(normal(text)), " "), words)
	})
}

// openingFields are the fields of the event that opened an incident: the first
// record of its story holds them, until it is erased.
func openingFields(r store.Reader, shard uint16, incident uint64) (fields map[string]engine.Value) {
	prefix := nounKey(classTimeline, shard, incident)
	r.Scan(prefix, nil, false, func(k, _ []byte) bool {
		payload, ok := ledger.ReadPayload(r, shard, binary.BigEndian.Uint64(k[len(prefix):]))
		if p, err := unmarshalIf[record.EventMatched](payload); ok && err == nil {
			fields, _ = decoded(p.Fields).(map[string]engine.Value)
		}
		return false
	})
	return fields
}
