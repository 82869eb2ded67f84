package engine

import (
	"strconv"
	"strings"
)

// An ID names a noun: a letter (i incident, r run, q question, c change,
// e event, t timer), the shard, and the number that shard's projector counted:
// "i0-42".

// FormatID writes an id.
func FormatID(letter byte, shard uint16, number uint64) string {
	b := make([]byte, 0, 16)
	b = append(b, letter)
	b = strconv.AppendUint(b, uint64(shard), 10)
	b = append(b, '-')
	return string(strconv.AppendUint(b, number, 10))
}

// ParseID reads an id of the given letter. ok is false for anything else.
func ParseID(letter byte, id string) (shard uint16, number uint64, ok bool) {
	if len(id) < 4 || id[0] != letter {
		return 0, 0, false
	}
	s, n, found := strings.Cut(id[1:], "-")
	if !found {
		return 0, 0, false
	}
	sh, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, 0, false
	}
	number, err = strconv.ParseUint(n, 10, 64)
	return uint16(sh), number, err == nil && FormatID(letter, uint16(sh), number) == id
}

// StepID writes the place of a step in its run: PATH/N, a bare N at the root.
func StepID(path string, n int) string {
	if path == "" {
		return strconv.Itoa(n)
	}
	return path + "/" + strconv.Itoa(n)
}

// ParseStepID reads what StepID wrote.
func ParseStepID(id string) (path string, n int, ok bool) {
	number := id
	if i := strings.LastIndexByte(id, '/'); i >= 0 {
		path, number = id[:i], id[i+1:]
	}
	n, err := strconv.Atoi(number)
	return path, n, err == nil && n > 0
}

// BranchPath is the path of branch k, from 0, of the parallel that is step n of
// a path: P/N.k.
func BranchPath(path string, n, k int) string {
	return StepID(path, n) + "." + strconv.Itoa(k)
}
