package trial

import (
	"context"
	"maps"
	"strconv"
	"strings"

	"larkspur/builtins/settings"
	"larkspur/engine"
	"larkspur/scripts"
)

// playbook switches a playbook on for the rest of the test, as an entry under
// `playbooks` of larkspur.yaml does: the bundle with it is the one that jobs and
// events meet from now on.
func (t *trialTest) playbook(ctx context.Context, args map[string]engine.Value) error {
	if t.scene != nil {
		return nil // a replay meets what the workspace has switched on
	}
	name := text(args["playbook"])
	if err := t.knowsPlaybook(name); err != nil {
		return err
	}
	with, err := t.withEntry(name, args["fields"])
	if err != nil {
		return err
	}
	live, err := t.Switched(ctx, with)
	if err != nil {
		return err
	}
	for _, p := range live.Snapshot.Problems {
		if p.Severity == "error" {
			return entryProblem(p)
		}
	}
	t.switched = append(t.switched, live.Snapshot.Hash)
	t.block = with.Playbooks
	t.take(live)
	t.meet(t.Rules)
	return nil
}

func (t *trialTest) knowsPlaybook(name string) error {
	var names []string
	for _, p := range t.Declarations.Playbooks {
		if names = append(names, p.Name); p.Name == name {
			return nil
		}
	}
	return engine.Errorf(engine.NotFound, "t.playbook: there is no playbook %q", name).WithHint("%s", settings.Suggest(name, names))
}

// entryPlace is where the entry of a t.playbook stands, for what is wrong with it.
const entryPlace = "t.playbook"

// withEntry is the configuration with one more entry in its block.
func (t *trialTest) withEntry(name string, params engine.Value) (scripts.Settings, error) {
	with := t.Config.Settings()
	if t.block != "" {
		with.Playbooks = t.block
	}
	var all []engine.Value
	if with.Playbooks != "" {
		block, err := engine.Data(with.Playbooks).Value()
		if err != nil {
			return with, err
		}
		all, _ = block.([]engine.Value)
	}
	places := map[string]engine.Position{strconv.Itoa(len(all)): {File: entryPlace, Line: 1, Col: 1}}
	maps.Copy(places, with.Places)
	with.Places = places
	data, err := engine.Encode(append(all, map[string]engine.Value{name: params}))
	if err != nil {
		return with, engine.WrapError(engine.Invalid, err, "t.playbook")
	}
	with.Playbooks = string(data)
	return with, nil
}

// entryProblem is what the worker said of the entry, in the words of the test.
func entryProblem(p engine.Problem) error {
	e := engine.Errorf(engine.Invalid, "t.playbook: %s", strings.TrimPrefix(p.Message, "playbooks."))
	if p.File != entryPlace {
		e.Message = "t.playbook: " + engine.Position{File: p.File, Line: p.Line, Col: p.Col}.String() + ": " + p.Message
	}
	return e.WithHint("%s", p.Hint)
}

// forget drops the bundles that the test made.
func (t *trialTest) forget() {
	for _, hash := range t.switched {
		t.Runs.Forget(hash)
	}
}
