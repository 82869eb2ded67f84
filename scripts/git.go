package scripts

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Bounds of what is read of git's files.
const (
	maxRefBytes    = 4 << 10
	maxPackedBytes = 64 << 20
	maxIndexBytes  = 256 << 20
)

// repository is where git keeps what belongs to a working tree. See
// gitrepository-layout(5).
type repository struct {
	tree   string // the working tree's top
	git    string // HEAD and index
	common string // refs
}

// findRepository looks for the repository that dir lies in, upwards.
func findRepository(dir string) (repository, bool) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return repository{}, false
	}
	for {
		if git, ok := gitDir(filepath.Join(at, ".git")); ok {
			r := repository{tree: at, git: git, common: git}
			if common := firstLine(filepath.Join(git, "commondir")); common != "" {
				r.common = resolve(git, common)
			}
			return r, true
		}
		above := filepath.Dir(at)
		if above == at {
			return repository{}, false
		}
		at = above
	}
}

// gitDir follows a .git that is a file, as in further working trees.
func gitDir(path string) (string, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return "", false
	}
	if info.IsDir() {
		return path, true
	}
	target, ok := strings.CutPrefix(firstLine(path), "gitdir: ")
	return resolve(filepath.Dir(path), target), ok
}

func resolve(base, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

// firstLine is the first line of a small file, "" when there is none.
func firstLine(path string) string {
	in, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer in.Close()
	text, _ := io.ReadAll(io.LimitReader(in, maxRefBytes))
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// Commit returns the git commit that is checked out where dir lies, in hex; ""
// when it lies in no repository or there is no commit. Git is not run.
func Commit(dir string) string {
	commit, _ := head(dir)
	return commit
}

// head returns the commit, and the files whose change can change it.
func head(dir string) (commit string, files []string) {
	r, ok := findRepository(dir)
	if !ok {
		return "", nil
	}
	files = []string{filepath.Join(r.git, "HEAD"), filepath.Join(r.common, "packed-refs")}
	line := firstLine(files[0])
	ref, symbolic := strings.CutPrefix(line, "ref: ")
	if !symbolic {
		return hexHash(line), files
	}
	if !strings.HasPrefix(ref, "refs/") || strings.Contains(ref, "..") {
		return "", files
	}
	loose := filepath.Join(r.common, filepath.FromSlash(ref))
	files = append(files, loose)
	if commit := hexHash(firstLine(loose)); commit != "" {
		return commit, files
	}
	return packedRef(files[1], ref), files
}

// packedRef looks a ref up in packed-refs: lines of HASH REF.
func packedRef(path, ref string) string {
	in, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer in.Close()
	lines := bufio.NewScanner(io.LimitReader(in, maxPackedBytes))
	for lines.Scan() {
		if hash, name, ok := strings.Cut(lines.Text(), " "); ok && name == ref {
			return hexHash(hash)
		}
	}
	return ""
}

// hexHash returns text if it is a SHA-1 or SHA-256 in hex, else "".
func hexHash(text string) string {
	if (len(text) != 40 && len(text) != 64) || strings.Trim(text, "0123456789abcdef") != "" {
		return ""
	}
	return text
}

// Tracked tells whether git tracks a file of dir. It reads the index
// (gitformat-index(5)) and does not run git; false where there is none.
func Tracked(dir, name string) bool {
	r, ok := findRepository(dir)
	if !ok {
		return false
	}
	full, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return false
	}
	rel, err := filepath.Rel(r.tree, full)
	if err != nil {
		return false
	}
	in, err := os.Open(filepath.Join(r.git, "index"))
	if err != nil {
		return false
	}
	defer in.Close()
	index, err := io.ReadAll(io.LimitReader(in, maxIndexBytes))
	return err == nil && indexHolds(index, filepath.ToSlash(rel), hashBytes(r.common))
}

// hashBytes is the length of the repository's object names.
func hashBytes(common string) int {
	text, _ := os.ReadFile(filepath.Join(common, "config"))
	for line := range strings.Lines(strings.ToLower(string(text))) {
		key, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(key) == "objectformat" && strings.TrimSpace(value) == "sha256" {
			return 32
		}
	}
	return 20
}

// indexHolds looks for a path in an index of version 2, 3 or 4.
func indexHolds(index []byte, path string, hash int) bool {
	const statBytes = 40 // of each entry, before the object name
	if len(index) < 12 || string(index[:4]) != "DIRC" {
		return false
	}
	version := binary.BigEndian.Uint32(index[4:])
	count := binary.BigEndian.Uint32(index[8:])
	rest := index[12:]
	var name []byte
	for range count {
		fixed := statBytes + hash + 2
		if len(rest) < fixed {
			return false
		}
		if extended := rest[fixed-2]&0x40 != 0; extended && version >= 3 {
			fixed += 2
		}
		size, ok := 0, false
		if len(rest) >= fixed {
			name, size, ok = entryName(rest[fixed:], name, version)
		}
		if !ok {
			return false
		}
		if string(name) == path {
			return true
		}
		size += fixed
		if version < 4 { // padded to eight bytes, the zero that ends the name included
			size = (size + 7) &^ 7
		}
		rest = rest[min(size, len(rest)):]
	}
	return false
}

// entryName reads an entry's path and tells how many bytes it takes. Version 4
// says how much of the path before to drop, and what to put in its place.
func entryName(rest, before []byte, version uint32) (name []byte, size int, ok bool) {
	keep := 0
	if version >= 4 {
		drop, n := offsetVarint(rest)
		if n == 0 || drop > len(before) {
			return nil, 0, false
		}
		keep, rest, size = len(before)-drop, rest[n:], n
	}
	end := bytes.IndexByte(rest, 0)
	if end < 0 {
		return nil, 0, false
	}
	return append(append([]byte(nil), before[:keep]...), rest[:end]...), size + end + 1, true
}

// offsetVarint reads git's variable-width integer, 0 bytes when it is cut.
func offsetVarint(b []byte) (value, n int) {
	for i, c := range b {
		if i > 4 {
			return 0, 0
		}
		if i > 0 {
			value++
		}
		value = value<<7 | int(c&0x7f)
		if c&0x80 == 0 {
			return value, i + 1
		}
	}
	return 0, 0
}
