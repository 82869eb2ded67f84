package record

import (
	"encoding/binary"
	"math/bits"
)

// SkipValue returns the length of the JSON value that b begins with; 0 when it
// ends in the middle or begins with none. It is for compact JSON, as payloads
// are: it finds ends, it does not judge what lies between them.
func SkipValue(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"':
		return skipString(b)
	case '{', '[':
		return skipNested(b)
	}
	n := 0
	for n < len(b) && isScalar(b[n]) {
		n++
	}
	return n
}

func isScalar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '+' || c == '.'
}

// skipString skips a string with its quotes, eight bytes at a time.
func skipString(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	n := 1
	for n+8 <= len(b) {
		word := binary.LittleEndian.Uint64(b[n:])
		quotes, slashes := word^'"'*ones, word^'\\'*ones
		found := ((quotes-ones)&^quotes | (slashes-ones)&^slashes) & tops // its lowest bit is the first one's
		if found == 0 {
			n += 8
			continue
		}
		n += bits.TrailingZeros64(found) / 8
		if b[n] == '"' {
			return n + 1
		}
		n += 2 // what is escaped
	}
	for ; n < len(b); n++ {
		switch b[n] {
		case '"':
			return n + 1
		case '\\':
			n++
		}
	}
	return 0
}

// skipNested skips an object or a list.
func skipNested(b []byte) int {
	depth := 0
	for n := 0; n < len(b); {
		switch c := b[n]; c {
		case '"':
			used := skipString(b[n:])
			if used == 0 {
				return 0
			}
			n += used
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return n + 1
			}
		case '\n', '\r':
			return 0
		}
		n++
	}
	return 0
}

// Fields calls fn with the raw keys (in their quotes) and values of a compact
// JSON object, until fn returns false. Anything else has none.
func Fields(object []byte, fn func(key, value []byte) bool) {
	if len(object) < 2 || object[0] != '{' {
		return
	}
	for b := object[1:]; len(b) > 0 && b[0] == '"'; b = b[1:] {
		key := b[:skipString(b)]
		if b = b[len(key):]; len(key) == 0 || len(b) < 2 {
			return
		}
		value := b[1 : 1+SkipValue(b[1:])]
		if b = b[1+len(value):]; len(value) == 0 || len(b) == 0 || !fn(key, value) || b[0] != ',' {
			return
		}
	}
}
