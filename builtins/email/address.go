package email

import (
	"net/mail"
	"strings"

	"golang.org/x/net/idna"

	"larkspur/engine"
)

// maxRecipients bounds one mail.
const maxRecipients = 100

// parseAddress reads one address, with or without a name. The domain comes back
// in ASCII. Line breaks and other control characters never pass.
func parseAddress(s string) (*mail.Address, error) {
	if strings.IndexFunc(s, isControl) >= 0 {
		return nil, engine.Errorf(engine.Invalid, "got %.80q, want an address without control characters", s)
	}
	a, err := mail.ParseAddress(strings.TrimSpace(s))
	if err != nil {
		return nil, engine.Errorf(engine.Invalid, "got %.80q, want an address such as ana@example.org", s)
	}
	at := strings.LastIndexByte(a.Address, '@')
	domain, err := idna.Lookup.ToASCII(a.Address[at+1:])
	if err != nil || strings.IndexFunc(a.Address, isControl) >= 0 || strings.ContainsAny(a.Address, "<> ") {
		return nil, engine.Errorf(engine.Invalid, "got %.80q, want an address such as ana@example.org", s)
	}
	a.Address = a.Address[:at+1] + domain
	return a, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 }

func domainOf(address string) string {
	return address[strings.LastIndexByte(address, '@')+1:]
}

// recipients reads `to`: addresses, people and teams, in any mixture of lists,
// each address once.
func (m *module) recipients(v engine.Value) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	var add func(v engine.Value, depth int) error
	add = func(v engine.Value, depth int) error {
		if depth > 4 {
			return engine.Errorf(engine.Invalid, "to: lists nested deeper than 4")
		}
		var list []engine.Value
		switch v := v.(type) {
		case []engine.Value:
			list = v
		case engine.Tuple:
			list = v
		case engine.Set:
			list = v
		default:
			addresses, err := m.addresses(v)
			for _, a := range addresses {
				if key := strings.ToLower(a); !seen[key] {
					seen[key] = true
					out = append(out, a)
				}
			}
			return err
		}
		for _, e := range list {
			if err := add(e, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(v, 0); err != nil {
		return nil, err
	}
	if len(out) == 0 || len(out) > maxRecipients {
		return nil, engine.Errorf(engine.Invalid, "to: got %d addresses, want 1 to %d", len(out), maxRecipients)
	}
	return out, nil
}

// addresses resolves one word of `to`.
func (m *module) addresses(v engine.Value) ([]string, error) {
	switch v := v.(type) {
	case string:
		if !strings.Contains(v, "@") {
			return m.named(v)
		}
		a, err := parseAddress(v)
		if err != nil {
			return nil, engine.WrapError(engine.Invalid, err, "to")
		}
		return []string{a.Address}, nil
	case engine.PersonRef:
		if v.Email == "" {
			return m.named(v.Name)
		}
		return m.addresses(v.Email)
	case engine.Struct: // a reporter, a directory's person
		if address, _ := v.Fields["email"].(string); address != "" {
			return m.addresses(address)
		}
	}
	return nil, engine.Errorf(engine.Invalid, "to: want an address, a person, a team, or a list of them").
		WithHint("a person of a directory needs an e-mail address")
}

func (m *module) named(name string) ([]string, error) {
	if m.env.People != nil {
		if list := m.env.People(name); len(list) > 0 {
			return list, nil
		}
	}
	return nil, engine.Errorf(engine.Invalid, "to: got %.80q, which is no address and nobody in people or teams", name)
}
