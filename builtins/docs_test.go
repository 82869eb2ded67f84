package builtins

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.starlark.net/syntax"

	"larkspur/engine"
)

// sections that every page has, in this order.
var sections = []string{"Synopsis", "Arguments", "Returns", "Effect", "Errors", "Example"}

var (
	heading  = regexp.MustCompile(`(?m)^## (.+)$`)
	example  = regexp.MustCompile("(?s)```python\n(.*?)```")
	argument = regexp.MustCompile("(?m)^- `([a-z_]+)`: ")
)

func TestEveryBuiltinHasItsPage(t *testing.T) {
	for _, s := range Signatures() {
		page, ok := Doc(s.Name)
		if !ok {
			t.Errorf("%s has no page", s.Name)
			continue
		}
		var found []string
		for _, m := range heading.FindAllStringSubmatch(page, -1) {
			found = append(found, m[1])
		}
		if !slices.Equal(found, sections) {
			t.Errorf("%s: got sections %v, want %v", s.Name, found, sections)
		}
		checkArguments(t, s, page)
		examples := example.FindAllStringSubmatch(page, -1)
		if len(examples) == 0 {
			t.Errorf("%s has no example", s.Name)
		}
		for _, e := range examples {
			if _, err := (&syntax.FileOptions{TopLevelControl: true}).Parse(s.Name, e[1], 0); err != nil {
				t.Errorf("%s: example: %v", s.Name, err)
			}
			if !strings.Contains(e[1], strings.Replace(s.Name, "incident.", "i.", 1)+"(") {
				t.Errorf("%s: the example does not call it", s.Name)
			}
		}
	}
	if _, ok := Doc("unifi.blok"); ok {
		t.Error("got a page for what does not exist")
	}
}

// checkArguments holds a page's list and synopsis against the signature.
func checkArguments(t *testing.T, s engine.Signature, page string) {
	t.Helper()
	want := map[string]bool{}
	for _, p := range s.Params {
		want[p.Name] = true
	}
	if s.EffectParam {
		want["effect"] = true
	}
	if s.Change {
		want["expires"], want["why"] = true, true
	}
	body := page[strings.Index(page, "## Arguments"):strings.Index(page, "## Returns")]
	for _, m := range argument.FindAllStringSubmatch(body, -1) {
		if !want[m[1]] {
			t.Errorf("%s: the page explains %s, which is no argument", s.Name, m[1])
		}
		delete(want, m[1])
	}
	for name := range want {
		t.Errorf("%s: the page does not explain %s", s.Name, name)
	}
	synopsis := page[strings.Index(page, "## Synopsis"):strings.Index(page, "## Arguments")]
	for _, p := range s.Params {
		if !regexp.MustCompile(`\b` + p.Name + `\b`).MatchString(synopsis) {
			t.Errorf("%s: the synopsis lacks %s", s.Name, p.Name)
		}
	}
}

// TestOldResultsAreRead: what any released version of a builtin returned stands in
// journals, and is read by the present one.
func TestOldResultsAreRead(t *testing.T) {
	d, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Signatures() {
		if b, _ := d.Lookup(s.Name); len(b.Undecoded()) > 0 {
			t.Errorf("%s has version %d, and nothing in Decode reads the versions %v", s.Name, b.Version, b.Undecoded())
		}
	}
}

func TestSignaturesAreSound(t *testing.T) {
	all := Signatures()
	if len(all) < 12 || !slices.IsSortedFunc(all, func(a, b engine.Signature) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("got %d signatures, want all, by name", len(all))
	}
	for _, s := range all {
		if s.Doc == "" || s.Version < 1 || s.Result == "" || s.Positional > len(s.Params) {
			t.Errorf("%s: got %+v", s.Name, s)
		}
		if s.Connection != "" && !slices.Contains(Kinds(), s.Connection) {
			t.Errorf("%s: connection of an unknown kind %q", s.Name, s.Connection)
		}
	}
}
