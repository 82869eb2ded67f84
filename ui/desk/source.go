package desk

import (
	"strconv"
	"strings"

	"larkspur/engine"
)

// maxCallLines bounds how many lines of one call are shown.
const maxCallLines = 12

// SourceLine is one line of a script.
type SourceLine struct {
	Number int    `json:"line"`
	Text   string `json:"text"`
	// Marked is the line that a position names, and further lines of its call.
	Marked bool `json:"marked,omitempty"`
}

// Sources reads lines of one bundle, each file once. Not safe for concurrent use.
type Sources struct {
	reader Reader
	bundle string
	files  map[string][]string
}

// Sources reads lines of a bundle.
func (d *Desk) Sources(bundle string) *Sources {
	return &Sources{d.Reader, bundle, map[string][]string{}}
}

// At returns the lines of the call at a position "file:line:col", with context
// lines before and after; nil when the position or the file is not known.
func (s *Sources) At(at string, context int) []SourceLine {
	p, ok := ParseAt(at)
	if !ok {
		return nil
	}
	lines := s.file(p.File)
	if p.Line < 1 || p.Line > len(lines) {
		return nil
	}
	last := callEnd(lines, p)
	var out []SourceLine
	for n := max(1, p.Line-context); n <= min(len(lines), last+context); n++ {
		out = append(out, SourceLine{
			Number: n, Text: strings.ReplaceAll(lines[n-1], "\t", "    "),
			Marked: n >= p.Line && n <= last,
		})
	}
	return dedent(out)
}

// dedent takes off the indentation that all lines share: phones are narrow.
func dedent(lines []SourceLine) []SourceLine {
	shared := -1
	for _, l := range lines {
		text := strings.TrimLeft(l.Text, " ")
		if indent := len(l.Text) - len(text); text != "" && (shared < 0 || indent < shared) {
			shared = indent
		}
	}
	for i := range lines {
		lines[i].Text = lines[i].Text[min(max(shared, 0), len(lines[i].Text)):]
	}
	return lines
}

func (s *Sources) file(name string) []string {
	if lines, known := s.files[name]; known {
		return lines
	}
	text, err := s.reader.BundleFile(s.bundle, name)
	if err != nil && !strings.HasPrefix(name, "@") {
		text, err = s.reader.BundleFile(s.bundle, "scripts/"+name)
	}
	var lines []string
	if err == nil {
		lines = strings.Split(strings.ToValidUTF8(text, "\uFFFD"), "\n")
	}
	s.files[name] = lines
	return lines
}

// ParseAt reads "file:line:col" or "file:line".
func ParseAt(at string) (p engine.Position, ok bool) {
	rest, last, found := cutLast(at)
	if !found {
		return p, false
	}
	n, err := strconv.Atoi(last)
	if err != nil {
		return p, false
	}
	if file, line, found := cutLast(rest); found {
		if l, err := strconv.Atoi(line); err == nil {
			return engine.Position{File: file, Line: l, Col: n}, file != ""
		}
	}
	return engine.Position{File: rest, Line: n, Col: 1}, rest != ""
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// callEnd is the line on which the brackets that open at or after a position's
// column close again.
func callEnd(lines []string, p engine.Position) int {
	depth := 0
	for n := p.Line; n <= len(lines) && n < p.Line+maxCallLines; n++ {
		line := lines[n-1]
		if n == p.Line && p.Col > 1 && p.Col <= len(line) {
			line = line[p.Col-1:]
		}
		depth += bracketBalance(line)
		if depth <= 0 {
			return n
		}
	}
	if depth > 0 && p.Line+maxCallLines > len(lines) {
		return p.Line
	}
	return min(len(lines), p.Line+maxCallLines-1)
}

// bracketBalance counts opened minus closed brackets outside strings and comments.
func bracketBalance(line string) int {
	depth := 0
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote != 0 && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			return depth
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			depth--
		}
	}
	return depth
}
