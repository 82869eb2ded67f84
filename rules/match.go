package rules

import (
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"larkspur/engine"
)

// fieldGlob is one entry of a trigger's `match`.
type fieldGlob struct {
	path string
	glob string
}

// globs compiles a trigger's match.
func (c *compiler) globs(match map[string]string) []fieldGlob {
	globs := make([]fieldGlob, 0, len(match))
	for path, glob := range match {
		if path == "" {
			c.problem("match: a key is empty, want a field's name")
			continue
		}
		globs = append(globs, fieldGlob{path, glob})
	}
	return globs
}

// matches tells whether the field, or one element of it where it is a list, is
// of the glob's form. An absent one is of none.
func (g *fieldGlob) matches(e *engine.Event) bool {
	switch g.path {
	case "kind":
		return Glob(g.glob, e.Kind)
	case "source":
		return Glob(g.glob, e.Source)
	case "time":
		return Glob(g.glob, e.Time.UTC().Format(time.RFC3339Nano))
	}
	path := strings.TrimPrefix(g.path, "fields.")
	return reach(e.Fields, path, func(v engine.Value) bool { return globValue(g.glob, v) })
}

// reach calls accept with what stands at a path of keys joined by dots, and
// tells whether it was accepted anywhere. A key that holds dots itself comes
// before the descent; in a list a key is a position, or is looked for in every
// element.
func reach(v engine.Value, path string, accept func(engine.Value) bool) bool {
	switch v := v.(type) {
	case map[string]engine.Value:
		return reachKey(v, path, accept)
	case engine.Struct:
		return reachKey(v.Fields, path, accept)
	case []engine.Value:
		key, rest, deeper := strings.Cut(path, ".")
		if n, err := strconv.Atoi(key); err == nil {
			if n < 0 || n >= len(v) {
				return false
			}
			if !deeper {
				return accept(v[n])
			}
			return reach(v[n], rest, accept)
		}
		for _, element := range v {
			if reach(element, path, accept) {
				return true
			}
		}
	}
	return false
}

// reachKey goes on in a dict.
func reachKey(m map[string]engine.Value, path string, accept func(engine.Value) bool) bool {
	if v, ok := m[path]; ok && accept(v) {
		return true
	}
	for at := range len(path) {
		if path[at] != '.' {
			continue
		}
		if v, ok := m[path[:at]]; ok && reach(v, path[at+1:], accept) {
			return true
		}
	}
	return false
}

// globValue holds a value against a glob: numbers as they print, bools as true
// and false, of a list any element.
func globValue(glob string, v engine.Value) bool {
	switch v := v.(type) {
	case string:
		return Glob(glob, v)
	case bool:
		return Glob(glob, strconv.FormatBool(v))
	case int64:
		return Glob(glob, strconv.FormatInt(v, 10))
	case *big.Int:
		return Glob(glob, v.String())
	case float64:
		return Glob(glob, strconv.FormatFloat(v, 'f', -1, 64))
	case []engine.Value:
		for _, element := range v {
			if globValue(glob, element) {
				return true
			}
		}
	}
	return false
}

// Glob tells whether text is of the glob's form: * stands for any text, ? for
// one character, \*, \? and \\ for themselves. Case counts. It takes time
// proportional to the product of the lengths at worst.
func Glob(glob, text string) bool {
	star, mark := -1, 0 // after the last *, and where its text ends so far
	g, t := 0, 0
	for t < len(text) {
		token, next := globToken(glob, g)
		size := runeLen(text[t:])
		switch {
		case token == globStar:
			star, mark = next, t
			g = next
			continue
		case token == globAny:
			g, t = next, t+size
			continue
		case token >= 0 && byte(token) == text[t]:
			g, t = next, t+1
			continue
		}
		if star < 0 {
			return false
		}
		mark += runeLen(text[mark:])
		g, t = star, mark
	}
	for g < len(glob) && glob[g] == '*' {
		g++
	}
	return g == len(glob)
}

// What stands in a glob where no byte does.
const (
	globEnd  = -1
	globStar = -2
	globAny  = -3
)

// globToken returns the byte, or the constant, at a place and the next place.
func globToken(glob string, at int) (token, next int) {
	if at >= len(glob) {
		return globEnd, at
	}
	switch c := glob[at]; {
	case c == '*':
		return globStar, at + 1
	case c == '?':
		return globAny, at + 1
	case c == '\\' && at+1 < len(glob) && strings.IndexByte(`*?\`, glob[at+1]) >= 0:
		return int(glob[at+1]), at + 2
	}
	return int(glob[at]), at + 1
}

// runeLen is the length of the first character, 1 for a byte that begins none.
func runeLen(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}
