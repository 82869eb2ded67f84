// Package builtins is the one list of what scripts can call in the world, and
// the one door through which every call goes. Use Open; nothing else performs a
// builtin.
//
// A builtin is one package below this one (code, page, test) and one line in
// packages. The door replaces handles of secrets by their values on the way out,
// keeps every known secret value out of what comes back, bounds time, number and
// size, and turns whatever goes wrong into an error with a kind.
package builtins

import (
	"embed"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"larkspur/builtins/dns"
	"larkspur/builtins/email"
	"larkspur/builtins/hmac"
	"larkspur/builtins/http"
	"larkspur/builtins/reach"
	"larkspur/builtins/ssh"
	"larkspur/builtins/tls"
	"larkspur/builtins/unifi"
	"larkspur/engine"
)

// pack is one package of builtins.
type pack struct {
	module  string // the word that scripts write before the dot
	section string // its part of `connections`, empty where it has none
	open    func(*reach.Env, map[string]map[string]any) (reach.Module, error)
	docs    embed.FS
}

// packages is the list. Adding a builtin's package is one line here.
func packages() []pack {
	return []pack{
		{"dns", "", dns.Open, dns.Docs},
		{"email", email.Section, email.Open, email.Docs},
		{"hmac", "", hmac.Open, hmac.Docs},
		{"http", http.Section, http.Open, http.Docs},
		{"ssh", ssh.Section, ssh.Open, ssh.Docs},
		{"tls", "", tls.Open, tls.Docs},
		{"unifi", unifi.Section, unifi.Open, unifi.Docs},
	}
}

// elsewhere are the kinds of connections that other rooms read.
func elsewhere() []string { return []string{"imap", "ldap"} }

// Kinds returns the kinds of connections that there are, sorted.
func Kinds() []string {
	kinds := elsewhere()
	for _, p := range packages() {
		if p.section != "" {
			kinds = append(kinds, p.section)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// Signatures returns those of all builtins by name, without a configuration: for
// `check`, `test` and `doc`.
func Signatures() []engine.Signature {
	d, err := Open(Config{})
	if err != nil {
		panic(err) // an empty configuration is a good one
	}
	return d.Signatures()
}

// Doc returns the page of a builtin ("unifi.block") in Markdown; ok is false
// where there is none.
func Doc(name string) (page string, ok bool) {
	module, word, _ := strings.Cut(name, ".")
	for _, p := range packages() {
		text, err := fs.ReadFile(p.docs, word+".md")
		if err == nil && strings.HasPrefix(string(text), "# "+module+"."+word+"\n") {
			return string(text), true
		}
	}
	return "", false
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
