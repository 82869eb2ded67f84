package capture

import (
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Registrable returns the registrable domain of a name, by the list of public
// suffixes ("example.co.uk" of "www.example.co.uk"); false and the name itself
// where it has none: a public suffix, a name of one label, the root.
func Registrable(name string) (string, bool) {
	if strings.IndexByte(name, '.') <= 0 {
		return name, false
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return name, false
	}
	return domain, true
}
