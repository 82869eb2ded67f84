// Package library holds the shipped scripts: the ones that Larkspur itself runs
// (mail, taking changes back), and those that a workspace may load. A bundle
// carries their text, so that a run keeps the version that it began with.
package library

import (
	"embed"
	"strings"
)

//go:embed *.star
var scripts embed.FS

// Prefix begins the paths of shipped scripts in bundles and in load().
const Prefix = "@larkspur//"

// Files returns the text of every shipped script by its path: "@larkspur//x.star".
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
