package intake

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"larkspur/engine"
)

// maxTitleBytes bounds an incident's title; what outsiders send does not fill a
// page.
const maxTitleBytes = 300

// title fills the fields of an event into a rule's title: "Netflix from
// {client}". Absent ones are empty; {{ and }} stand for braces.
func title(pattern string, e engine.Event) string {
	var b strings.Builder
	for rest := pattern; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			b.WriteString(rest)
			break
		}
		b.WriteString(rest[:i])
		rest = rest[i:]
		switch {
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			b.WriteByte(rest[0])
			rest = rest[2:]
		case rest[0] == '{' && strings.IndexByte(rest, '}') > 0:
			end := strings.IndexByte(rest, '}')
			b.WriteString(plain(Field(e, rest[1:end])))
			rest = rest[end+1:]
		default:
			b.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	return clip(oneLine(b.String()))
}

// oneLine replaces control characters: a title is one line of text.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

func clip(s string) string {
	if len(s) <= maxTitleBytes {
		return s
	}
	cut := maxTitleBytes
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

func plain(v engine.Value) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case time.Time:
		return v.Format(time.RFC3339)
	}
	d, err := engine.Encode(v)
	if err != nil {
		return ""
	}
	return string(d)
}
