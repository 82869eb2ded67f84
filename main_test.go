package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms is the import table (docs/ARCHITECTURE.md): which rooms of the house a
// room may import, and which of the outside libraries that only some may touch.
// A room stands for its subfolders unless they have a row of their own. Where the
// table proves wrong, change it here and there, with the reason.
var rooms = map[string][]string{
	".":                         {"appliance", "appliance/command"},
	"engine":                    {},
	"engine/record":             {"engine"},
	"engine/wire":               {"engine"},
	"engine/store":              {"engine"},
	"engine/ledger":             {"engine", "engine/record", "engine/store"},
	"engine/state":              {"engine", "engine/record", "engine/ledger", "engine/store", "engine/calendar"},
	"engine/calendar":           {"engine"},
	"engine/field":              {"engine", "engine/calendar"},
	"engine/sandbox":            {"engine", "engine/wire"},
	"engine/runner":             {"engine", "engine/record", "engine/wire", "engine/sandbox", "engine/state", "engine/ledger", "engine/calendar", "engine/field"},
	"engine/eraser":             {"engine", "engine/record", "engine/state", "engine/ledger", "engine/store"},
	"engine/intake":             {"engine", "engine/record", "engine/state", "engine/ledger", "engine/calendar", "rules"},
	"engine/capture":            {"engine"},
	"engine/feed":               {"engine", "engine/capture"},
	"engine/clients":            {"engine", "engine/capture"},
	"engine/trigger":            {"engine", "engine/capture", "engine/calendar"},
	"engine/passivedns":         {"engine", "engine/capture", "engine/store"},
	"rules":                     {"engine"},
	"scripts":                   {"engine", "engine/wire", "engine/sandbox", "rules", "engine/calendar", "scripts/library"},
	"scripts/library":           {},
	"scripts/pure":              {"engine", "engine/calendar"},
	"scripts/worker":            {"engine", "engine/wire", "engine/calendar", "engine/field", "scripts/pure"},
	"builtins":                  {"engine", "engine/calendar", "builtins"},
	"ui":                        {"engine", "engine/state", "engine/calendar", "engine/field", "ui"},
	"appliance/demo/controller": {"engine"},
	"appliance/demo/mailbox":    {"engine"},
	"appliance/demo/shop":       {"engine"},
	"appliance":                 {"*"},
	// The worker's program for tests, built without the race detector.
	"engine/sandbox/sandboxtest": {"engine/sandbox", "scripts/worker"},
}

// outside libraries that belong to one room.
var owners = map[string][]string{
	"github.com/dgraph-io/badger": {"engine/store"},
	"go.starlark.net":             {"scripts/worker", "scripts/pure"},
	"github.com/labstack/echo":    {"ui"},
	"github.com/fsnotify":         {"scripts", "engine/feed"},
	"github.com/goccy/go-yaml":    {"appliance"},
	"github.com/miekg/dns":        {"engine/capture", "engine/clients", "engine/passivedns", "rules"},
}

// roomOf returns the row that governs a package path.
func roomOf(pkg string) string {
	for p := pkg; ; p = filepath.Dir(p) {
		if _, ok := rooms[p]; ok || p == "." {
			return p
		}
	}
}

func TestRoomsImportOnlyWhatTheTableAllows(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		hidden := strings.HasPrefix(path, ".") && path != "."
		if err != nil || d.IsDir() && (hidden || path == "third_party") { // what others wrote has rooms of its own
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		checkImports(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkImports(t *testing.T, path string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	room := roomOf(filepath.Dir(path))
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		for library, allowed := range owners {
			if strings.HasPrefix(imported, library) && !slices.ContainsFunc(allowed, func(a string) bool { return room == a || strings.HasPrefix(room, a+"/") }) {
				t.Errorf("%s (room %s) imports %s, which belongs to %v", path, room, imported, allowed)
			}
		}
		target, ours := strings.CutPrefix(imported, "larkspur/")
		if ours && !mayImport(room, target) {
			t.Errorf("%s (room %s) imports %s, which the table does not allow", path, room, imported)
		}
	}
}

func mayImport(room, target string) bool {
	to := roomOf(target)
	for _, allowed := range rooms[room] {
		if allowed == "*" || allowed == to {
			return true
		}
	}
	return room == to
}
