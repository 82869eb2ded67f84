package runner

import (
	"net/mail"
	"slices"
	"strings"

	"larkspur/engine"
)

// People are the people and teams of the configuration, read live. Immutable.
type People struct {
	ByName map[string]engine.Person
	Teams  map[string][]string
}

// List returns all people, by name.
func (p People) List() []engine.Person {
	list := make([]engine.Person, 0, len(p.ByName))
	for _, person := range p.ByName {
		list = append(list, person)
	}
	slices.SortFunc(list, func(a, b engine.Person) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// maxAddressees bounds who is asked at once.
const maxAddressees = 100

// Resolve turns what a script says of whom to ask (a person, a team, an address,
// a person value, or a list of these) into people. Each is there once, whatever
// they are called by.
func (p People) Resolve(to engine.Value) ([]engine.Addressee, error) {
	var found []engine.Addressee
	add := func(a engine.Addressee) {
		if !slices.ContainsFunc(found, a.Same) {
			found = append(found, a)
		}
	}
	if err := p.resolve(to, add, 0); err != nil {
		return nil, err
	}
	switch {
	case len(found) == 0:
		return nil, engine.Errorf(engine.Invalid, "ask: to: nobody is named").WithHint("name a person or a team of larkspur.yaml, or an address")
	case len(found) > maxAddressees:
		return nil, engine.Errorf(engine.Invalid, "ask: to: %d people, at most %d", len(found), maxAddressees)
	}
	return found, nil
}

func (p People) resolve(to engine.Value, add func(engine.Addressee), depth int) error {
	switch to := to.(type) {
	case string:
		return p.resolveName(to, add)
	case engine.PersonRef:
		return p.resolvePerson(to, add)
	case engine.Struct: // ldap.person
		name, _ := to.Fields["name"].(string)
		email, ok := to.Fields["email"].(string)
		if ok {
			return p.resolvePerson(engine.PersonRef{Name: name, Email: email}, add)
		}
	case []engine.Value, engine.Tuple, engine.Set:
		if depth == maxListDepth {
			return engine.Errorf(engine.Invalid, "ask: to: lists nested deeper than %d", maxListDepth)
		}
		for _, each := range listOf(to) {
			if err := p.resolve(each, add, depth+1); err != nil {
				return err
			}
		}
		return nil
	case nil:
		return engine.Errorf(engine.Invalid, "ask: to: got None, want a person, a team, an address or a list of these").
			WithHint("what a directory does not know is None: name who is asked then")
	}
	return engine.Errorf(engine.Invalid, "ask: to: got %s, want a person, a team, an address or a list of these", display(to))
}

// maxListDepth bounds lists of lists of people.
const maxListDepth = 4

// resolvePerson takes a person value. The address says who somebody is, where
// there is one: a reporter may call themselves as they like.
func (p People) resolvePerson(ref engine.PersonRef, add func(engine.Addressee)) error {
	if ref.Email != "" {
		return p.resolveAddress(ref.Email, add)
	}
	if ref.Name == nobody {
		return engine.Errorf(engine.Invalid, "ask: to: nobody gave that answer, so nobody can be asked").WithHint("look at a.timed_out first")
	}
	if _, known := p.ByName[ref.Name]; !known && !strings.Contains(ref.Name, "@") {
		return engine.Errorf(engine.Invalid, "ask: to: %q has no address", ref.Name).WithHint("%s", p.meant(ref.Name))
	}
	return p.resolveName(ref.Name, add)
}

// nobody gives the answers of questions whose time is over.
const nobody = "nobody"

// resolveAddress takes a mail address: of a person of larkspur.yaml, or of anybody.
func (p People) resolveAddress(given string, add func(engine.Addressee)) error {
	a, err := mail.ParseAddress(given)
	if err != nil || strings.ContainsAny(a.Address, " <>\"") {
		return engine.Errorf(engine.Invalid, "ask: to: got %.80q, want an address such as ana@example.org", given)
	}
	if known, ok := p.byEmail(a.Address); ok {
		add(engine.Addressee{Name: known.Name, Email: known.Email})
		return nil
	}
	add(engine.Addressee{Name: a.Address, Email: a.Address})
	return nil
}

func (p People) resolveName(name string, add func(engine.Addressee)) error {
	if known, ok := p.ByName[name]; ok {
		add(engine.Addressee{Name: name, Email: known.Email})
		return nil
	}
	if team, ok := p.Teams[name]; ok {
		for _, member := range team {
			if err := p.resolveName(member, add); err != nil {
				return err
			}
		}
		return nil
	}
	if strings.Contains(name, "@") {
		return p.resolveAddress(name, add)
	}
	return engine.Errorf(engine.Invalid, "ask: to: there is no %q", name).WithHint("%s", p.meant(name))
}

// meant is the hint for a name that nobody has.
func (p People) meant(name string) string {
	known := append(sortedNames(p.ByName), sortedNames(p.Teams)...)
	slices.Sort(known)
	hint := "people and teams of larkspur.yaml are: " + strings.Join(known, ", ")
	if near := engine.Nearest(name, known); near != "" {
		return "did you mean " + near + "? " + hint
	}
	return hint
}
