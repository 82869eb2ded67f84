package rules

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// A canonical name is a domain name in lower case, without a trailing dot,
// with A-labels for IDN. Every dot in it ends a label; what else a label may
// hold (RFC 1035 §3.1 allows any byte) is written \DDD. Two spellings of one
// name have one canonical name.

// Bounds of names, RFC 1035 §2.3.4, in presentation form.
const (
	maxLabel = 63
	maxName  = 253
)

// idn maps what people write to A-labels, as a browser's address bar does.
var idn = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))

// parseDomain makes the canonical name of a domain in a rule or a list.
func parseDomain(text string) (string, error) {
	name := strings.TrimSuffix(text, ".")
	switch {
	case name == "":
		return "", fmt.Errorf("%q is no domain", text)
	case strings.Contains(name, "*"):
		return "", fmt.Errorf("%q: write %q, which matches the name and all below it", text, strings.TrimLeft(name, "*."))
	case strings.HasPrefix(name, "."):
		return "", fmt.Errorf("%q: write %q, which matches the name and all below it", text, strings.TrimLeft(name, "."))
	case strings.ContainsAny(name, "/:@"):
		return "", fmt.Errorf("%q is no domain: want a name alone, such as example.org", text)
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return "", fmt.Errorf("%q is an address, not a domain", text)
	}
	if !isASCII(name) {
		ascii, err := idn.ToASCII(name)
		if err != nil {
			return "", fmt.Errorf("%q is no domain: %w", text, err)
		}
		name = ascii
	}
	return checkDomain(text, strings.ToLower(name))
}

// checkDomain holds a lower-case ASCII name against the bounds.
func checkDomain(text, name string) (string, error) {
	if len(name) > maxName {
		return "", fmt.Errorf("%.60q… is no domain: %d bytes, at most %d", text, len(name), maxName)
	}
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '.' {
			if !hostByte(name[i]) {
				return "", fmt.Errorf("%q is no domain: it holds %q", text, name[i])
			}
			continue
		}
		if n := i - start; n == 0 || n > maxLabel {
			return "", fmt.Errorf("%.60q is no domain: a label of %d bytes, want 1 to %d", text, n, maxLabel)
		}
		start = i + 1
	}
	return name, nil
}

func hostByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// canonical makes the canonical name of one in presentation form (RFC 1035
// §5.1), as events carry it. It takes any text.
func canonical(name string) string {
	if plain(name) {
		return strings.ToLower(strings.TrimRight(name, "."))
	}
	var out, label []byte
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '.':
			out = append(appendLabel(out, label), '.')
			label = label[:0]
		case c == '\\':
			b, n := unescape(name[i+1:])
			label = append(label, b...)
			i += n
		default:
			label = append(label, c)
		}
	}
	return strings.TrimRight(string(appendLabel(out, label)), ".")
}

// canonicalBytes is canonical for a name in lower case without a trailing dot, as
// capture has it: nearly always it is the name itself.
func canonicalBytes(name []byte) []byte {
	if plainBytes(name) {
		return name
	}
	return []byte(canonical(string(name)))
}

// plainBytes tells whether a name holds no escape and nothing beyond ASCII. It
// looks at eight bytes at once.
func plainBytes(name []byte) bool {
	n := len(name)
	if n < 8 {
		return plain(string(name)) && (n == 0 || name[n-1] != '.')
	}
	last := binary.LittleEndian.Uint64(name[n-8:])
	found := special(last)
	for i := 0; i < n-8; i += 8 {
		found |= special(binary.LittleEndian.Uint64(name[i:]))
	}
	return found == 0 && last>>56 != '.'
}

// special is not zero where one of eight bytes is a backslash or beyond ASCII.
func special(word uint64) uint64 {
	x := word ^ '\\'*ones
	return ((x-ones)&^x | word) & (0x80 * ones)
}

// plain tells whether a name is ASCII without escapes.
func plain(name string) bool {
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' || name[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// unescape reads what follows a backslash, \DDD or \X: the byte it stands for
// and the length of the escape.
func unescape(rest string) ([]byte, int) {
	if len(rest) >= 3 {
		n := 0
		for _, c := range []byte(rest[:3]) {
			if c < '0' || c > '9' {
				return []byte{rest[0]}, 1
			}
			n = n*10 + int(c-'0')
		}
		if n < 256 {
			return []byte{byte(n)}, 3
		}
	}
	if rest == "" {
		return []byte{'\\'}, 0
	}
	return []byte{rest[0]}, 1
}

// appendLabel appends one label in canonical form.
func appendLabel(out, label []byte) []byte {
	if text := string(label); !isASCII(text) && utf8.Valid(label) {
		if ascii, err := idn.ToASCII(text); err == nil && !strings.Contains(ascii, ".") {
			label = []byte(ascii)
		}
	}
	for _, c := range label {
		switch {
		case c >= 'A' && c <= 'Z':
			out = append(out, c|0x20)
		case c == '.' || c == '\\' || c <= ' ' || c >= 0x7f:
			out = append(out, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		default:
			out = append(out, c)
		}
	}
	return out
}
