package runner

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"larkspur/engine"
	"larkspur/engine/record"
)

// How somebody of a team is picked. Who is on duty is said by calendars.
const (
	pickLessBusy = "less-busy"
	pickRandom   = "random"
	pickOnDuty   = "on-duty"
)

func checkSeverity(word, severity string) error {
	if slices.Contains(engine.Severities, severity) {
		return nil
	}
	return engine.Errorf(engine.Invalid, "%s: severity: got %q, want info, low, medium, high or critical", word, severity)
}

// assignment is the act that gives an incident to a person or a team, or to
// somebody of a team. The least busy one is chosen where it is recorded.
func (r *Runner) assignment(incident string, to engine.Value, pick string) (a record.IncidentAct, err error) {
	a = record.IncidentAct{Act: record.ActAssign, Incident: incident}
	people := r.cfg.People()
	name := people.ownerName(to)
	if _, known := people.ByName[name]; known {
		if a.Owner = name; pick != "" {
			err = engine.Errorf(engine.Invalid, "assign: pick: %q is a person", name).WithHint("somebody of a team is picked: name the team")
		}
		return a, err
	}
	members, team := people.Teams[name]
	if !team {
		return a, engine.Errorf(engine.Invalid, "assign: there is no %q", name).
			WithHint("people and teams of larkspur.yaml are: %s", strings.Join(append(sortedNames(people.ByName), sortedNames(people.Teams)...), ", "))
	}
	a.Team = name
	able := slices.DeleteFunc(slices.Clone(members), func(m string) bool { _, known := people.ByName[m]; return !known })
	if pick != "" && len(able) == 0 {
		return a, engine.Errorf(engine.Invalid, "assign: the team %q has no members", name)
	}
	switch pick {
	case "":
	case pickRandom:
		a.Owner = able[rand.IntN(len(able))]
	case pickLessBusy:
		a.Among = able
		a.Busy, err = r.busyElsewhere(incident, able)
	case pickOnDuty:
		err = engine.Errorf(engine.Invalid, "assign: pick: this version does not know yet who of a team is on duty").WithHint("pick less-busy or random, or leave it to the team")
	default:
		err = engine.Errorf(engine.Invalid, "assign: pick: got %q, want less-busy, random or on-duty", pick)
	}
	return a, err
}

// busyElsewhere counts the open incidents of people in the other shards.
func (r *Runner) busyElsewhere(incident string, names []string) (list []int, err error) {
	if r.cfg.Ledger.Shards() == 1 {
		return nil, nil
	}
	shard, _, _ := engine.ParseID('i', incident)
	list = make([]int, len(names))
	for n, name := range names {
		if list[n], err = r.cfg.State.Busy(name, shard); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// ownerName is the name of somebody as owners have it: the key of people for who
// has one, whatever they are called by.
func (p People) ownerName(v engine.Value) string {
	name, email := text(v), text(v)
	if ref, ok := v.(engine.PersonRef); ok {
		name, email = ref.Name, ref.Email
	}
	if _, known := p.ByName[name]; known {
		return name
	}
	if person, known := p.byEmail(email); known {
		return person.Name
	}
	if name == "" {
		return email
	}
	return name
}

func (p People) byEmail(email string) (engine.Person, bool) {
	for _, name := range sortedNames(p.ByName) {
		if person := p.ByName[name]; email != "" && strings.EqualFold(person.Email, email) {
			person.Name = name
			return person, true
		}
	}
	return engine.Person{}, false
}

// reporter is who reported an incident; nil for nobody.
func (p People) reporter(v engine.Value) (*engine.Reporter, error) {
	if v == nil {
		return nil, nil
	}
	name := p.ownerName(v)
	if person, known := p.ByName[name]; known {
		return &engine.Reporter{Name: name, Email: person.Email}, nil
	}
	if ref, ok := v.(engine.PersonRef); ok {
		return &engine.Reporter{Name: name, Email: ref.Email}, nil
	}
	if strings.Contains(name, "@") {
		return &engine.Reporter{Name: name, Email: name}, nil
	}
	return nil, engine.Errorf(engine.Invalid, "incidents.open: reporter: there is no %q", name).
		WithHint("a person of larkspur.yaml, an address, or a person such as ldap.person returns; people are: %s", strings.Join(sortedNames(p.ByName), ", "))
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
