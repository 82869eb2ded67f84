// Package library holds the shipped scripts: the ones that Larkspur itself runs
// (mail, taking changes back), and those that a workspace may load. A bundle
// carries their text, so that a run keeps the version that it began with.
package library

import (
	"embed"
	"maps"
	"regexp"
	"slices"
	"strings"
)

//go:embed *.star
var scripts embed.FS

// Prefix begins the paths of shipped scripts in bundles and in load().
const Prefix = "@larkspur//"

// declares finds a playbook that larkspur.yaml can switch on: NAME = playbook(.
var declares = regexp.MustCompile(`(?m)^([a-z][a-z0-9_]*) = playbook\(`)

// Playbooks lists the names of the shipped playbooks.
func Playbooks() (names []string) {
	files := Files()
	for _, path := range slices.Sorted(maps.Keys(files)) {
		for _, m := range declares.FindAllStringSubmatch(files[path], -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// Own returns, of Files, the scripts that Larkspur itself runs: those without a
// playbook.
func Own() map[string]string {
	files := Files()
	maps.DeleteFunc(files, func(_, text string) bool { return declares.MatchString(text) })
	return files
}

// Files returns the text of every shipped script by its path: "@larkspur//x.star".
// The tests beside them belong to none.
func Files() map[string]string {
	entries, err := scripts.ReadDir(".")
	if err != nil {
		panic(err) // embedded: it cannot fail
	}
	files := make(map[string]string, len(entries))
	for _, e := range entries {
		text, err := scripts.ReadFile(e.Name())
		if err != nil {
			panic(err)
		}
		if !strings.HasSuffix(e.Name(), "_test.star") {
			files[Prefix+e.Name()] = string(text)
		}
	}
	return files
}
