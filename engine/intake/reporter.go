package intake

import (
	"net/mail"
	"strings"

	"larkspur/engine"
)

// maxReporterBytes bounds a name and an address (RFC 5321 §4.5.3.1.3 gives the
// address 256).
const maxReporterBytes = 320

// reporterOf is who reported what an event tells, nil for nobody: a webhook names
// them in its field reporter, as an address, "Ana <ana@example.org>", or an object
// with name and email. Nothing proves that the address is theirs.
func reporterOf(e engine.Event) *engine.Reporter {
	if e.Kind != "webhook" {
		return nil
	}
	switch v := e.Fields["reporter"].(type) {
	case string:
		return reporterAt(v, "")
	case map[string]engine.Value:
		address, _ := v["email"].(string)
		name, _ := v["name"].(string)
		return reporterAt(address, name)
	}
	return nil
}

// reporterAt is the reporter of an address that mail can go to, else nil.
func reporterAt(address, name string) *engine.Reporter {
	if len(address)+len(name) > maxReporterBytes {
		return nil
	}
	a, err := mail.ParseAddress(address)
	if err != nil {
		return nil
	}
	name = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(name, ""), func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if name == "" {
		name = a.Name
	}
	if name == "" {
		name = a.Address
	}
	return &engine.Reporter{Name: name, Email: a.Address}
}
