package scripts

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"larkspur/engine"
	"larkspur/rules"
)

// Limits of a workspace.
const (
	MaxFiles       = 2000
	MaxFileBytes   = 1 << 20
	MaxBundleBytes = 16 << 20
	MaxListBytes   = 64 << 20
)

// playbooksFile is the name under which the `playbooks` block counts as a file
// of the bundle.
const playbooksFile = "larkspur.yaml#playbooks"

// Hash is the hex SHA-256 of a bundle's files: over the sorted pairs of path and
// file hash, each ended by a zero byte.
func Hash(files map[string]string) string {
	whole := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		part := sha256.Sum256([]byte(files[name]))
		fmt.Fprintf(whole, "%s\x00%s\x00", name, hex.EncodeToString(part[:]))
	}
	return hex.EncodeToString(whole.Sum(nil))
}

// folder reads the files of one workspace.
type folder struct {
	root     *os.Root
	dir      string
	problems []engine.Problem
	// dirs are the folders that were met, and those of files that symbolic links
	// lead to: what a watcher must watch.
	dirs  []string
	count int
	bytes int
}

// openFolder opens a workspace.
func openFolder(dir string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, engine.WrapError(engine.NotFound, err, fmt.Sprintf("workspace %q", dir)).
			WithHint("larkspur init DIR makes one")
	}
	return &folder{root: root, dir: dir}, nil
}

// bundleFiles reads what belongs to the bundle.
func (f *folder) bundleFiles() map[string]string {
	files := map[string]string{}
	f.walk("scripts", func(name string) bool {
		return strings.HasSuffix(name, ".star") && !engine.IsTestFile(name)
	}, func(name string) { f.take(files, name) })
	f.walk("rules", func(name string) bool {
		return strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".yaml")
	}, func(name string) { f.take(files, name) })
	f.refuseRules(files)
	return files
}

// testFiles reads the tests. They are no part of the bundle: a saved test neither
// makes another version of the scripts nor, with a mistake, an unusable one.
func (f *folder) testFiles() map[string]string {
	files := map[string]string{}
	f.walk("scripts", engine.IsTestFile, func(name string) { f.take(files, name) })
	return files
}

// refuseRules says that Sigma rules wait for a later version.
func (f *folder) refuseRules(files map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasPrefix(name, "rules/") {
			f.problem("warning", "unused", name, "declarative rules are not used by this version")
			return
		}
	}
}

// take reads one file into files, within the bundle's limits.
func (f *folder) take(files map[string]string, name string) {
	f.count++
	if f.count > MaxFiles {
		if f.count == MaxFiles+1 {
			f.problem("error", "limit", name, "more than %d files in the bundle", MaxFiles)
		}
		return
	}
	text, ok := f.read(name, MaxFileBytes)
	if !ok {
		return
	}
	if f.bytes += len(text); f.bytes > MaxBundleBytes {
		if f.bytes-len(text) <= MaxBundleBytes {
			f.problem("error", "limit", name, "more than %d bytes in the bundle", MaxBundleBytes)
		}
		return
	}
	files[name] = text
}

// lists reads the watch lists by name. Those whose content is in known are not
// parsed again.
func (f *folder) lists(known map[string]*keptList) map[string]*keptList {
	lists := map[string]*keptList{}
	f.walk("lists", func(name string) bool { return strings.HasSuffix(name, ".txt") }, func(name string) {
		text, ok := f.read(name, MaxListBytes)
		if !ok {
			return
		}
		kept := &keptList{sum: sha256.Sum256([]byte(text))}
		if old := known[rules.ListName(name)]; old != nil && old.sum == kept.sum {
			kept = old
		} else {
			kept.List = rules.ParseList(name, text)
		}
		lists[rules.ListName(name)] = kept
		f.problems = append(f.problems, kept.Problems()...)
	})
	return lists
}

// keptList is a parsed list and the hash of its content.
type keptList struct {
	*rules.List
	sum [sha256.Size]byte
}

// walk visits the wanted files under a folder, in the order of their names. What
// begins with a dot is left out: editors write such files beside ours.
func (f *folder) walk(under string, want func(name string) bool, visit func(name string)) {
	err := fs.WalkDir(f.root.FS(), under, func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // a workspace need not have every folder; files come and go
		case err != nil:
			f.unreadable(name, err)
			return nil
		case strings.HasPrefix(path.Base(name), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			f.dirs = append(f.dirs, filepath.Join(f.dir, name))
		case name == under:
			f.problem("error", "read", name, "is a file, want a folder")
		case want(name) || d.Type()&fs.ModeSymlink != 0:
			f.visit(name, want(name), visit)
		}
		return nil
	})
	if err != nil {
		f.unreadable(under, err)
	}
}

// visit hands a file on, and refuses what is none.
func (f *folder) visit(name string, wanted bool, visit func(name string)) {
	info, err := f.root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if wanted {
			f.problem("error", "read", name, "leads to nothing")
		}
	case err != nil:
		f.unreadable(name, err)
	case info.IsDir():
		f.problem("error", "link", name, "links to a folder, and such links are not followed")
	case !wanted:
	case !info.Mode().IsRegular():
		f.problem("error", "read", name, "is no regular file")
	default:
		f.watchTarget(name)
		visit(name)
	}
}

// watchTarget notes the folder of the file that a link leads to.
func (f *folder) watchTarget(name string) {
	if info, err := f.root.Lstat(name); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return
	}
	if target, err := filepath.EvalSymlinks(filepath.Join(f.dir, name)); err == nil {
		f.dirs = append(f.dirs, filepath.Dir(target))
	}
}

// read reads a file of at most limit bytes of UTF-8.
func (f *folder) read(name string, limit int) (string, bool) {
	in, err := f.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false // it went while we looked
	}
	if err != nil {
		f.unreadable(name, err)
		return "", false
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, int64(limit)+1))
	switch {
	case err != nil:
		f.unreadable(name, err)
	case len(text) > limit:
		f.problem("error", "limit", name, "larger than %d bytes", limit)
	case !utf8.Valid(text):
		at := f.problem("error", "encoding", name, "not UTF-8: save the file in that encoding")
		at.Line, at.Col = invalidAt(text)
	default:
		return string(text), true
	}
	return "", false
}

// invalidAt is the line and column of the first byte that is not UTF-8.
func invalidAt(text []byte) (line, col int) {
	line, col = 1, 1
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			break
		}
		if col++; r == '\n' {
			line, col = line+1, 1
		}
		text = text[n:]
	}
	return line, col
}

func (f *folder) problem(severity, check, name, format string, args ...any) *engine.Problem {
	f.problems = append(f.problems, engine.Problem{
		File: name, Line: 1, Col: 1, Severity: severity, Check: check, Message: fmt.Sprintf(format, args...),
	})
	return &f.problems[len(f.problems)-1]
}

// unreadable says why something cannot be read.
func (f *folder) unreadable(name string, err error) {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err // name says where already
	}
	if strings.Contains(err.Error(), "path escapes") { // os has no value for it
		f.problem("error", "link", name, "leads out of the workspace, or is an absolute link").Hint =
			"a workspace is one repository: copy the file into it, or link it by a relative path"
		return
	}
	f.problem("error", "read", name, "%s", err)
}

// Lines returns the lines of a file of a workspace, for messages; none when it
// cannot be read.
func Lines(dir, name string) []string {
	f, err := openFolder(dir)
	if err != nil {
		return nil
	}
	defer f.root.Close()
	text, ok := f.read(name, MaxFileBytes)
	if !ok {
		return nil
	}
	return strings.Split(text, "\n")
}
