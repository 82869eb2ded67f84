package main

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"larkspur/appliance/config"
	"larkspur/engine"
	"larkspur/engine/wire"
	"larkspur/scripts"
	"larkspur/scripts/library"
)

// playbooksFolder has a page for each playbook of the library, NAME.md.
const playbooksFolder = "docs/playbooks/"

func playbookPages() (pages []string) {
	for _, name := range library.Playbooks() {
		pages = append(pages, playbooksFolder+name+".md")
	}
	return pages
}

// sections are those that each page has, in this order.
func sections() []string {
	return []string{"## What it does", "## Parameters", "## What it asks", "## What it changes", "## Metrics"}
}

// TestLibraryPlaybooksAreDocumentedAndTested: each has its page, of one form and
// linked from the guide, and its test.
func TestLibraryPlaybooksAreDocumentedAndTested(t *testing.T) {
	guide, err := os.ReadFile("docs/GUIDE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range library.Playbooks() {
		page, err := os.ReadFile(playbooksFolder + name + ".md")
		if err != nil {
			t.Errorf("%s has no page: %v", name, err)
			continue
		}
		if !strings.HasPrefix(string(page), "# "+name+"\n") {
			t.Errorf("%s%s.md does not begin with its name", playbooksFolder, name)
		}
		if got := regexp.MustCompile(`(?m)^## .*$`).FindAllString(string(page), -1); !slices.Equal(got, sections()) {
			t.Errorf("%s: got the sections %q, want %q", name, got, sections())
		}
		if !strings.Contains(string(guide), "("+path.Join("playbooks", name+".md")+")") {
			t.Errorf("the guide does not link to the page of %s", name)
		}
		if _, err := os.Stat("scripts/library/" + name + "_test.star"); err != nil {
			t.Errorf("%s has no test: %v", name, err)
		}
	}
	entries, err := os.ReadDir(playbooksFolder)
	if err != nil || len(entries) != len(library.Playbooks()) {
		t.Errorf("got %d pages and %v, want one for each of %v", len(entries), err, library.Playbooks())
	}
}

// TestPagesOfPlaybooksListTheirParameters holds a page's table against what the
// playbook takes.
func TestPagesOfPlaybooksListTheirParameters(t *testing.T) {
	files := library.Files()
	loaded, err := newChecker(t).pool.Load(t.Context(), wire.Load{Bundle: engine.Bundle{Hash: scripts.Hash(files), Files: files}, Timezone: "UTC"})
	if err != nil || len(loaded.Declarations.Playbooks) != len(library.Playbooks()) {
		t.Fatalf("got %v, %+v", err, loaded.Declarations)
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|")
	for _, p := range loaded.Declarations.Playbooks {
		page, _ := os.ReadFile(playbooksFolder + p.Name + ".md") // the other test says that there is none
		_, table, _ := strings.Cut(string(page), "## Parameters")
		table, _, _ = strings.Cut(table, "\n## ")
		var takes, listed []string
		for _, param := range p.Params {
			takes = append(takes, param.Name)
			if param.Doc == "" {
				t.Errorf("%s: %s has no doc", p.Name, param.Name)
			}
		}
		for _, m := range row.FindAllStringSubmatch(table, -1) {
			listed = append(listed, m[1])
		}
		if !slices.Equal(takes, listed) {
			t.Errorf("%s: the page lists %v, the playbook takes %v", p.Name, listed, takes)
		}
	}
}

// TestPagesOfPlaybooksSwitchThemOn: the block of each page, in the guide's house.
func TestPagesOfPlaybooksSwitchThemOn(t *testing.T) {
	c := newChecker(t)
	for _, name := range library.Playbooks() {
		shown := 0
		for _, b := range blocks(t, "yaml") {
			if b.file != playbooksFolder+name+".md" {
				continue
			}
			shown += strings.Count(b.text, "- "+name+":")
			for _, p := range c.problems(t, map[string]string{config.WorkspaceFile: home(t) + b.text}) {
				t.Errorf("%s: %s:%d: %s (%s)", b, p.File, p.Line, p.Message, p.Hint)
			}
		}
		if shown == 0 {
			t.Errorf("the page of %s does not switch it on", name)
		}
	}
}

// TestUseCasesNameTheirTests holds the table of use cases: each is listed once, in
// order, a command names a test that there is, and each playbook of the library
// stands in a row.
func TestUseCasesNameTheirTests(t *testing.T) {
	text, err := os.ReadFile("docs/USE-CASES.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| U(\d+) \|.*$`).FindAllStringSubmatch(string(text), -1)
	if len(rows) != 20 {
		t.Fatalf("got %d use cases, want 20", len(rows))
	}
	command := regexp.MustCompile("`go test \\./([a-z/]+) -run '(Test[A-Za-z0-9]+)\\$'`")
	for n, row := range rows {
		if row[1] != strconv.Itoa(n+1) {
			t.Errorf("got U%s in row %d", row[1], n+1)
		}
		named := command.FindStringSubmatch(row[0])
		switch {
		case named == nil && strings.Contains(row[0], "| works"):
			t.Errorf("U%s works, and names no test", row[1])
		case named != nil && !hasTest(t, named[1], named[2]):
			t.Errorf("U%s: %s has no %s", row[1], named[1], named[2])
		}
	}
	for _, name := range library.Playbooks() {
		if !strings.Contains(string(text), "["+name+"](playbooks/"+name+".md)") {
			t.Errorf("docs/USE-CASES.md: no row has the playbook %s: say which use case it makes work, and by which test", name)
		}
	}
}

// hasTest tells whether a package has a test of a name.
func hasTest(t *testing.T, pkg, name string) bool {
	t.Helper()
	files, err := filepath.Glob(pkg + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(f string) bool {
		text, err := os.ReadFile(f)
		return err == nil && strings.Contains(string(text), "func "+name+"(t *testing.T)")
	})
}
