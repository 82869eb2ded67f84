package runner

import (
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

// Resolve turns what a script says of whom to ask (a person, a team, an address,
// a person value, or a list of these) into people, each once.
func (p People) Resolve(to engine.Value) ([]engine.Addressee, error) {
	var found []engine.Addressee
	add := func(a engine.Addressee) {
		if !slices.Contains(found, a) {
			found = append(found, a)
		}
	}
	err := p.resolve(to, add)
	if err == nil && len(found) == 0 {
		err = engine.Errorf(engine.Invalid, "ask: to: nobody is named").WithHint("name a person or a team of larkspur.yaml, or an address")
	}
	return found, err
}

func (p People) resolve(to engine.Value, add func(engine.Addressee)) error {
	switch to := to.(type) {
	case string:
		return p.resolveName(to, add)
	case engine.PersonRef:
		if known, ok := p.ByName[to.Name]; ok {
			add(engine.Addressee{Name: known.Name, Email: known.Email})
			return nil
		}
		if to.Email == "" {
			return engine.Errorf(engine.Invalid, "ask: to: %q has no address", to.Name)
		}
		add(engine.Addressee{Name: to.Name, Email: to.Email})
		return nil
	case []engine.Value, engine.Tuple, engine.Set:
		for _, each := range listOf(to) {
			if err := p.resolve(each, add); err != nil {
				return err
			}
		}
		return nil
	}
	return engine.Errorf(engine.Invalid, "ask: to: got %s, want a person, a team, an address or a list of these", display(to))
}

func (p People) resolveName(name string, add func(engine.Addressee)) error {
	if known, ok := p.ByName[name]; ok {
		add(engine.Addressee{Name: known.Name, Email: known.Email})
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
		add(engine.Addressee{Name: name, Email: name})
		return nil
	}
	var known []string
	for n := range p.ByName {
		known = append(known, n)
	}
	for n := range p.Teams {
		known = append(known, n)
	}
	slices.Sort(known)
	return engine.Errorf(engine.Invalid, "ask: to: there is no %q", name).
		WithHint("people and teams of larkspur.yaml are: %s", strings.Join(known, ", "))
}
