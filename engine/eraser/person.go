package eraser

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"larkspur/engine"
)

// A person is an address or a user name. It is never stored: what is kept is its
// keyed hash, with which mentions are found again when an erasure goes on later.

// sealed is the keyed hash of a person, KEYNAME:HEX.
func sealed(keys map[string][]byte, name, person string) string {
	m := hmac.New(sha256.New, keys[name])
	m.Write([]byte("larkspur person\x00" + strings.ToLower(strings.TrimSpace(person))))
	return name + ":" + hex.EncodeToString(m.Sum(nil))
}

// mentions finds a person in texts, as a whole word or address, whatever the
// case. It remembers words that it has looked at.
type mentions struct {
	keys map[string][]byte
	name string
	want string
	seen map[string]bool
}

func newMentions(keys map[string][]byte, want string) *mentions {
	name, _, _ := strings.Cut(want, ":")
	return &mentions{keys: keys, name: name, want: want, seen: map[string]bool{}}
}

// maxSeen bounds the words that are remembered.
const maxSeen = 100_000

// in reports whether JSON text mentions the person.
func (m *mentions) in(text []byte) bool {
	return words(text, m.is) || m.inBytes(text)
}

func (m *mentions) is(word []byte) bool {
	if len(word) > maxWord {
		return false
	}
	if known, ok := m.seen[string(word)]; ok {
		return known
	}
	if len(m.seen) >= maxSeen {
		clear(m.seen)
	}
	is := sealed(m.keys, m.name, string(word)) == m.want
	m.seen[string(word)] = is
	return is
}

// inBytes looks into values that are bytes, which JSON holds in base64.
func (m *mentions) inBytes(text []byte) bool {
	const begin = `{"$":"bytes","v":"`
	for {
		at := bytes.Index(text, []byte(begin))
		if at < 0 {
			return false
		}
		text = text[at+len(begin):]
		end := bytes.IndexByte(text, '"')
		if end < 0 {
			return false
		}
		content, err := base64.StdEncoding.DecodeString(string(text[:end]))
		if err == nil && words(content, m.is) {
			return true
		}
	}
}

// maxWord bounds what can be a person: an address has at most 254 characters.
const maxWord = 320

// words calls fn with each word of a text until it returns true. Letters, digits
// and what stands within addresses and names make a word; a backslash and what
// it escapes do not.
func words(text []byte, fn func(word []byte) bool) bool {
	begin := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if inWord(r) {
			i += size
			continue
		}
		if word := bytes.Trim(text[begin:i], ".-_+@"); len(word) > 0 && fn(word) {
			return true
		}
		i += size
		if r == '\\' {
			i += escaped(text[i:])
		}
		begin = i
	}
	word := bytes.Trim(text[min(begin, len(text)):], ".-_+@")
	return len(word) > 0 && fn(word)
}

func inWord(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r) || strings.ContainsRune(".-_+@", r))
}

// escaped is how many bytes belong to the backslash before them.
func escaped(text []byte) int {
	switch {
	case len(text) == 0:
		return 0
	case text[0] == 'u':
		return min(5, len(text))
	}
	return 1
}

// checkPerson refuses what would select nothing, or everything.
func checkPerson(person string) error {
	person = strings.TrimSpace(person)
	whole := words([]byte(person), func(word []byte) bool { return string(word) == person })
	if !whole || len(person) > maxWord || utf8.RuneCountInString(person) < 2 {
		return engine.Errorf(engine.Invalid, "person: got %.80q, want one mail address or user name", person).
			WithHint("one word of at least two characters, such as dave@example.org; erase each address of somebody by itself")
	}
	return nil
}
