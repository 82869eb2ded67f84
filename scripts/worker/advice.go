package worker

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/syntax"

	"larkspur/engine"
)

// maxNesting bounds brackets: the parser recurses, and 60 million of them
// overflow its stack.
const maxNesting = 200

// checkText refuses what should not come near the parser.
func checkText(path, text string) *engine.Problem {
	if len(text) > maxFileBytes {
		p := problemAt(engine.Position{File: path, Line: 1, Col: 1}, "error", "syntax",
			fmt.Sprintf("the file has %d bytes, at most %d", len(text), maxFileBytes), "")
		return &p
	}
	if line := tooDeep(text); line > 0 {
		p := problemAt(engine.Position{File: path, Line: line, Col: 1}, "error", "syntax",
			fmt.Sprintf("brackets nested deeper than %d", maxNesting), "")
		return &p
	}
	return nil
}

// tooDeep returns the line where brackets nest too deep, or 0. It skips strings
// and comments as the scanner does.
func tooDeep(text string) int {
	depth, line := 0, 1
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\n':
			line++
		case '#':
			if end := strings.IndexByte(text[i:], '\n'); end >= 0 {
				i += end - 1
			} else {
				return 0
			}
		case '"', '\'':
			end := stringEnd(text, i)
			line += strings.Count(text[i:end], "\n")
			i = end - 1
		case '(', '[', '{':
			if depth++; depth > maxNesting {
				return line
			}
		case ')', ']', '}':
			depth--
		}
	}
	return 0
}

// stringEnd returns the position after the string that begins at i.
func stringEnd(text string, i int) int {
	quote := text[i : i+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(text[i:], triple) {
		quote = triple
	}
	for i += len(quote); i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case strings.HasPrefix(text[i:], quote):
			return i + len(quote)
		case text[i] == '\n' && len(quote) == 1:
			return i // not closed: the parser will say so
		}
	}
	return len(text)
}

// habit is a way of Python that Starlark has not, and ours.
type habit struct {
	pattern *regexp.Regexp
	hint    string
}

// habits are tried in order on the line that does not parse.
func habits() []habit {
	list := []struct{ pattern, hint string }{
		{`^\s*(import|from)\b`, `there is no import: json, re, time and the others are there already; own files are loaded with load("file.star", "name")`},
		{`^\s*(try|except|finally)\b`, `there is no try: r = attempt(lambda: …) gives r.ok, r.value and r.error`},
		{`^\s*raise\b`, `there is no raise: fail("message") ends the run`},
		{`^\s*del\b`, `there is no del: use d.pop(key) or list.pop(index)`},
		{`^\s*with\b`, `there is no with: call what you need and go on`},
		{`^\s*class\b`, `there are no classes: use struct(a = 1) and functions`},
		{`^\s*(global|nonlocal)\b`, `globals are frozen after loading: return values, or keep them in a dict of the caller`},
		{`^\s*assert\b`, `there is no assert: if not …: fail("message")`},
		{`\b(async|await|yield)\b`, `calls simply wait: there is no async, await or yield`},
		{`\b[rb]?f["']`, `there are no f-strings: write "%s is %d" % (a, b) or "{} is {}".format(a, b)`},
		{`\bis\s+(not\s+)?\w`, `there is no "is": compare with == or !=`},
		{`[\w)\]]\s*\*\*\s*[\w(]`, `there is no power operator: multiply, or use math.pow(x, y)`},
		{`:=`, `there is no :=: assign on a line of its own`},
		{`["']\s+["']`, `strings do not join by standing side by side: write + between them`},
		{`^\s*\w+\s*:\s*\w+\s*=`, `there are no type annotations`},
		{`^\s*@`, `there are no decorators`},
		{`^\s*print\s+[^(\s]`, `print is a function: print("…")`},
		{`^\s*def\b.*(->|[(,]\s*\w+\s*:)`, `there are no type annotations`},
		{`\(.*\bfor\s+\w.*\bin\b`, `there are no generators: write a list, [x for x in …]`},
		{`^\s*(elif|else)\b`, `it belongs to an if in the same column`},
	}
	out := make([]habit, len(list))
	for i, h := range list {
		out[i] = habit{regexp.MustCompile(h.pattern), h.hint}
	}
	return out
}

// reportSyntax makes a finding of a parse error, with our way of saying it.
func (l *loader) reportSyntax(f *file, err error) {
	var e syntax.Error
	if !errors.As(err, &e) {
		l.add(problemAt(engine.Position{File: f.path, Line: 1, Col: 1}, "error", "syntax", err.Error(), ""))
		return
	}
	l.add(problemAt(enginePosition(e.Pos), "error", "syntax", strings.TrimPrefix(e.Msg, "syntax error: "), l.syntaxHint(f, e)))
}

func (l *loader) syntaxHint(f *file, e syntax.Error) string {
	switch {
	case strings.Contains(e.Msg, "does not associate"):
		return "comparisons do not chain: write a < b and b < c"
	case strings.Contains(e.Msg, "got indent"):
		return "this line is indented further than the one above it"
	}
	lines := strings.Split(f.text, "\n")
	n := int(e.Pos.Line)
	if n < 1 || n > len(lines) {
		return ""
	}
	for _, h := range habits() {
		if h.pattern.MatchString(lines[n-1]) {
			return h.hint
		}
	}
	return ""
}

// later are words of LANGUAGE that come with later versions.
var later = map[string]bool{
	"form":      true,
	"incidents": true, "dns": true,
	"tcp": true, "ldap": true, "rdap": true, "intel": true, "notify": true, "report": true, "lists": true, "audit": true,
	"csv": true, "ip": true, "url": true, "html": true, "text": true, "pprint": true,
}

// reportResolve makes a finding of a name that is not there, or of another
// mistake that the resolver sees.
func (l *loader) reportResolve(f *file, e resolve.Error) {
	message, hint := e.Msg, ""
	if m, near, ok := strings.Cut(message, " (did you mean "); ok {
		message, hint = m, "did you mean "+strings.TrimSuffix(near, "?)")+"?"
	}
	check := "resolve"
	if name, ok := strings.CutPrefix(message, "undefined: "); ok {
		check = "undefined"
		switch {
		case later[name]:
			hint = "this version has no " + name + " yet"
		case name == "None" || name == "null" || name == "nil":
			hint = "did you mean None?"
		case name == "true" || name == "false":
			hint = "did you mean " + strings.ToUpper(name[:1]) + name[1:] + "?"
		case hint == "":
			if near := engine.Nearest(name, l.predeclared(f).Keys()); near != "" {
				hint = "did you mean " + near + "?"
			}
		}
	}
	l.add(problemAt(enginePosition(e.Pos), "error", check, message, hint))
}
