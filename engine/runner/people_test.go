package runner_test

import (
	"fmt"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/engine/runner"
)

func TestWhoIsAsked(t *testing.T) {
	t.Parallel()
	p := runner.People{
		ByName: map[string]engine.Person{"dave": {Name: "dave", Email: "dave@example.org"}, "ana": {Name: "ana", Email: "ana@example.org"}, "ben": {Name: "ben"}},
		Teams:  map[string][]string{"family": {"dave", "ana"}},
	}
	person := func(name, email string) engine.Value {
		return engine.Struct{Type: "ldap.person", Fields: map[string]engine.Value{"name": name, "email": email}}
	}
	many := make([]engine.Value, 101)
	for n := range many {
		many[n] = fmt.Sprintf("p%d@example.org", n)
	}
	for _, tt := range []struct {
		to   engine.Value
		want string // who, or the error and its hint
	}{
		{"dave", "dave"},
		{"family", "dave ana"},
		{[]engine.Value{"ana", "family", "dave", "ANA@Example.org"}, "ana dave"},
		{engine.Tuple{engine.Set{"dave"}, []engine.Value{"guest@example.org", "Guest <GUEST@example.org>"}}, "dave guest@example.org"},
		{engine.PersonRef{Name: "dave"}, "dave"},
		{engine.PersonRef{Name: "guest@example.org"}, "guest@example.org"}, // a.by of old records
		{engine.PersonRef{Name: "guest@example.org", Email: "guest@example.org"}, "guest@example.org"},
		{engine.PersonRef{Name: "Dave Example", Email: "dave@example.org"}, "dave"},
		{engine.PersonRef{Name: "dave", Email: "eve@example.org"}, "eve@example.org"}, // who calls herself so is not him
		{[]engine.Value{person("Ana Anders", "ana@example.org"), "ana"}, "ana"},
		{person("Max", "max@example.org"), "max@example.org"},
		{engine.PersonRef{Name: "nobody"}, "ask: to: nobody gave that answer, so nobody can be asked: look at a.timed_out first"},
		{engine.PersonRef{Name: "Max"}, `ask: to: "Max" has no address: people and teams of larkspur.yaml are: ana, ben, dave, family`},
		{"famly", `ask: to: there is no "famly": did you mean family? people and teams of larkspur.yaml are: ana, ben, dave, family`},
		{"x@", `ask: to: got "x@", want an address such as ana@example.org: `},
		{[]engine.Value{}, "ask: to: nobody is named: name a person or a team of larkspur.yaml, or an address"},
		{int64(5), "ask: to: got 5, want a person, a team, an address or a list of these: "},
		{many, "ask: to: 101 people, at most 100: "},
	} {
		found, err := p.Resolve(tt.to)
		names := make([]string, len(found))
		for i, a := range found {
			names[i] = a.String()
		}
		got := strings.Join(names, " ")
		if e := engine.AsError(err); e != nil {
			if got = e.Message + ": " + e.Hint; e.Kind != engine.Invalid {
				t.Errorf("%v: got an error of kind %s", tt.to, e.Kind)
			}
		}
		if got != tt.want {
			t.Errorf("%v:\ngot  %s\nwant %s", tt.to, got, tt.want)
		}
	}
}
