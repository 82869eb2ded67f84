package rules

import (
	"fmt"
	"strings"

	"larkspur/engine"
)

// maxListProblems bounds what one bad list reports.
const maxListProblems = 20

// List is a watch list, parsed: domains, addresses and networks; hashes are
// accepted and wait for triggers that know them. Immutable, safe for concurrent
// use.
type List struct {
	domains  *table
	networks networks
	problems []engine.Problem
}

// ListName is the name by which rules know a list: its path from lists/,
// without .txt.
func ListName(path string) string {
	return strings.TrimSuffix(strings.TrimPrefix(path, "lists/"), ".txt")
}

// ParseList reads a list: one entry a line, # begins a comment. file names it in
// problems. A line that is nothing we know is a warning, and left out.
func ParseList(file, content string) *List {
	l := &List{domains: newTable(strings.Count(content, "\n")+1, len(content)+1)}
	number, bad := 0, 0
	for line := range strings.Lines(content) {
		number++
		entry := strings.TrimSpace(line)
		if at := strings.IndexByte(entry, '#'); at >= 0 {
			entry = strings.TrimSpace(entry[:at])
		}
		if entry == "" {
			continue
		}
		if err := l.add(entry); err != nil {
			bad++
			l.note(file, number, bad, err)
		}
	}
	if bad > maxListProblems {
		l.problems = append(l.problems, engine.Problem{File: file, Line: 1, Col: 1, Severity: "warning", Check: "list",
			Message: fmt.Sprintf("%d more lines cannot be used", bad-maxListProblems)})
	}
	l.domains.clip()
	return l
}

// Problems are the warnings of ParseList.
func (l *List) Problems() []engine.Problem { return l.problems }

func (l *List) add(entry string) error {
	var room [maxName]byte
	if name, ok := plainDomain(room[:0], entry); ok {
		l.domains.add(name)
		return nil
	}
	if p, ok, err := parseNetwork(entry); ok || err != nil {
		if err == nil {
			l.networks.add(p)
		}
		return err
	}
	if isHash(entry) {
		return nil
	}
	name, err := parseDomain(entry)
	if err != nil {
		return err
	}
	l.domains.add([]byte(name))
	return nil
}

// plainDomain appends the canonical name of what nearly all lines hold: letters,
// digits, hyphens and dots, at least one, and a letter in the last label, so that
// it is no address and no hash.
func plainDomain(dst []byte, entry string) (name []byte, ok bool) {
	if len(entry) > maxName {
		return nil, false
	}
	start, letter := 0, false
	for i := range len(entry) {
		c := entry[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		switch {
		case c >= 'a' && c <= 'z':
			letter = true
		case c == '.' && i > start && i-start <= maxLabel:
			start, letter = i+1, false
		case !hostByte(c):
			return nil, false
		}
		dst = append(dst, c)
	}
	n := len(entry) - start
	return dst, start > 0 && letter && n > 0 && n <= maxLabel
}

func (l *List) note(file string, line, bad int, err error) {
	if bad > maxListProblems {
		return
	}
	l.problems = append(l.problems, engine.Problem{File: file, Line: line, Col: 1, Severity: "warning", Check: "list",
		Message: err.Error(), Hint: "a line holds one domain, address, network or hash; # begins a comment"})
}

// isHash tells an MD5, SHA-1 or SHA-2 in hex.
func isHash(s string) bool {
	switch len(s) {
	case 32, 40, 56, 64, 96, 128:
	default:
		return false
	}
	return strings.Trim(s, "0123456789abcdefABCDEF") == ""
}
